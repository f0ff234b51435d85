"""The folder of a run, and the scenario file beside its ledger."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from channelsim.ledger import Ledger
from channelsim.ledger.sql import dumps
from channelsim.scenario import Scenario
from channelsim.support.errors import ChannelsimError, InputError, printable

LEDGER = "ledger.sqlite"
SCENARIO = "scenario.yaml"
RUNS = Path("runs")

# Files that a process killed before its first row may have left.
_REMAINS = {SCENARIO, f"{LEDGER}.lock", f"{LEDGER}.part", f"{LEDGER}.part-journal"}


def chosen_folder(scenario: Scenario, out: Path | None, resume: bool) -> Path:
    """The run's folder: created if missing, empty or (to resume) with the run to go on with."""
    try:
        if out is None:
            return (_latest(scenario) if resume else None) or _next_free(scenario)
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: this is a file; name a folder")
        out.mkdir(parents=True, exist_ok=True)
        _check_free(out, resume)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot make this folder ({error.strerror})") from error
    return out


def _check_free(folder: Path, resume: bool) -> None:
    there = {entry.name for entry in folder.iterdir()}
    if LEDGER in there:
        if not resume:
            raise InputError(
                f"--out {folder}: exists and holds a run; choose another --out, or add --resume to"
                " go on with it"
            )
    elif there - _REMAINS or (there and not resume):
        strangers = ", ".join(sorted(there)[:3]) + (", …" if len(there) > 3 else "")
        raise InputError(
            f"--out {folder}: exists, is not empty ({strangers}) and holds no run; choose another"
            " --out"
        )


def _name(scenario: Scenario) -> str:
    stem = scenario.path.stem if scenario.path else scenario.title
    plain = re.sub(r"[^\w.-]+", "-", stem).strip("-.").lower() if not scenario.path else stem
    return f"{plain[:80] or 'scenario'}-{scenario.seed}"


def _next_free(scenario: Scenario) -> Path:
    number = max((n for n, _ in _runs(scenario)), default=0)
    while True:
        number += 1
        folder = RUNS / f"{_name(scenario)}-{number}"
        folder.parent.mkdir(exist_ok=True)
        try:
            folder.mkdir()  # fails if another process took the number first
        except FileExistsError:
            continue
        return folder


def _latest(scenario: Scenario) -> Path | None:
    """The newest run of this scenario; else of its name, to report the difference."""
    newest = None
    for _, folder in sorted(_runs(scenario), reverse=True):
        if not (folder / LEDGER).exists():
            continue
        newest = newest or folder
        try:
            with Ledger.open(folder / LEDGER) as ledger:
                if _is_of(ledger, scenario):
                    return folder
        except ChannelsimError:
            continue
    return newest


def _is_of(ledger: Ledger, scenario: Scenario) -> bool:
    """Whether a run is of this scenario, perhaps in blocks that were the default when it began."""
    header = ledger.raw_header()
    if header.scenario_hash == scenario.hash:
        return True
    before, now = (
        {key: value for key, value in one.items() if key != "block_rows"}
        for one in (header.scenario, json.loads(dumps(scenario.resolved)))
    )
    return scenario.default_blocks and before == now


def _runs(scenario: Scenario) -> Iterator[tuple[int, Path]]:
    stem = _name(scenario)
    if RUNS.is_dir():
        for folder in RUNS.iterdir():
            name, _, number = folder.name.rpartition("-")
            if name == stem and number.isdecimal():
                yield int(number), folder


def write_scenario(scenario: Scenario, folder: Path) -> None:
    """Write the scenario with every default filled in, for people; the ledger holds it too."""
    text = f"# {scenario.title!r} with every default filled in; hash {scenario.hash}\n"
    if scenario.path is not None:
        text += "# Relative file names and `use:` are as seen from"
        text += f" {printable(str(scenario.path.parent))}\n"
    text += yaml.safe_dump(scenario.resolved, sort_keys=False, allow_unicode=True, width=100)
    part = folder / f".{SCENARIO}.{os.getpid()}"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / SCENARIO)
