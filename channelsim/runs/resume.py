"""Conditions for resuming a run, and the command for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from channelsim.contracts.records import Started
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger
from channelsim.ledger.sql import dumps
from channelsim.scenario import Scenario
from channelsim.simulation import part_prints
from channelsim.support.errors import InputError

# Parts of the header that decide bits; Python and pydantic only read the scenario.
_MACHINE = ("fingerprint", "versions", "weights", "calibration")
_RUN = ("scenario", "scenario_hash", "parts")
_HARMLESS = {"versions.python", "versions.pydantic"}
_SCHEDULING = {"max_pending"}
_SHOWN = 8


def begun_in_blocks(ledger: Ledger, scenario: Scenario) -> int | None:
    """The rows per block that the run began with, if they were left out and the default changed."""
    there = ledger.raw_header().scenario.get("block_rows")
    changed = scenario.default_blocks and there != scenario.block_rows
    return there if changed and isinstance(there, int) else None


def check_same_scenario(ledger: Ledger, scenario: Scenario) -> None:
    """Refuse to go on with a run of another scenario, naming what changed."""
    header = ledger.raw_header()
    if header.scenario_hash == scenario.hash:
        return
    before, now = header.scenario, json.loads(dumps(scenario.resolved))
    changed = _listed(line for key, line in _changes(before, now) if key not in _SCHEDULING)
    if not changed and "parts" in header:
        changed = _listed(iter(part_prints.changes(header.parts, part_prints.prints(scenario))))
    changed = changed or "a file it refers to (weights, image or code)"
    raise InputError(
        f"{ledger.path.parent}: this run is of another scenario, so it cannot go on; changed since"
        f" it began: {changed}. Put that back, or start a new run in another folder with --out"
    )


def check_same_parts(ledger: Ledger, scenario: Scenario) -> None:
    """Refuse to go on with parts whose results differ from those that began the run."""
    header, place = ledger.raw_header(), ledger.path.parent
    if "parts" not in header:
        raise InputError(
            f"{place}: this run was begun by a channelsim that did not record what its parts"
            " compute, so that nobody can tell whether it would go on with the same ones; run its"
            " scenario again in another folder with --out"
        )
    remedy = "Put that back, or start a new run in another folder with --out"
    part_prints.same_as(header, scenario, place, remedy)


def check_same_machine(ledger: Ledger, started: Started, mixed: bool) -> None:
    """Refuse to mix rows of two kinds of machine or version, unless ``mixed``; then record it."""
    before = ledger.raw_header().values
    now = json.loads(dumps(dict(started.header.values)))
    old, new = ({key: header.get(key) for key in _MACHINE} for header in (before, now))
    changed = _that_matter(old, new)
    if not changed:
        return
    if not mixed:
        raise InputError(
            f"{ledger.path.parent}: this run was begun on another kind of machine, with other"
            f" versions or other code ({_listed(iter(changed))}), and rows of two kinds"
            " would not be comparable bit for bit; go on where it was begun, start a new run in"
            " another folder with --out, or accept it with --mixed"
        )
    ledger.set_header({"mixed": [*before.get("mixed", []), new]})


def changes_between(one: RunHeader, other: RunHeader) -> str:
    """What makes two headers ones of different runs; empty where nothing does."""
    old, new = (
        {key: header.values.get(key) for key in (*_RUN, *_MACHINE)} for header in (one, other)
    )
    return _listed(iter(_that_matter(old, new)), 3)


def _that_matter(old: Any, new: Any) -> list[str]:
    return [line for key, line in _changes(old, new) if key not in _HARMLESS]


def _changes(before: Any, now: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys that differ, each with a phrase like ``seed (7 → 8)``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            inner = f"{place}.{key}" if place else str(key)
            yield from _changes(before.get(key), now.get(key), inner)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _changes(old, new, f"{place}[{index}]")
    elif dumps(before) != dumps(now):  # as text, since NaN is not equal to itself
        yield place, f"{place} ({_short(before)} → {_short(now)})"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 48 else text[:45] + "…"


def _listed(changes: Iterator[str], shown: int = _SHOWN) -> str:
    lines = list(changes)
    more = f" and {len(lines) - shown} more" if len(lines) > shown else ""
    return ", ".join(lines[:shown]) + more


def resume_command(
    scenario: Scenario | Mapping[str, Any] | Path | str,
    set: Mapping[str, Any] | None,
    seed: int | None,
    data_root: Path | str | None,
    folder: Path,
    workers: int = 0,
    part: str | None = None,
    dask: str | None = None,
) -> str:
    """The command that resumes this run."""
    if not isinstance(scenario, str | Path):
        more = f", workers={workers}" if workers else ""
        more += f", part={part!r}" if part else ""
        more += f", dask={dask!r}" if dask else ""
        return f"channelsim.run(…, out={str(folder)!r}, resume=True{more})"
    words = ["channelsim", "run", str(scenario)]
    for key, value in (set or {}).items():
        words += ["--set", f"{key}={_as_yaml(value)}"]
    if seed is not None:
        words += ["--seed", str(seed)]
    if data_root is not None:
        words += ["--data-root", str(data_root)]
    words += ["--workers", str(workers)] if workers else []
    words += ["--part", part] if part else []
    words += ["--dask", dask] if dask else []
    return shlex.join([*words, "--out", str(folder), "--resume"])


def _as_yaml(value: Any) -> str:
    # One line of YAML, not JSON: YAML reads JSON's 1e-05 as a word.
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")
