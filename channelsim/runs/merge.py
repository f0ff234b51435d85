"""Several folders of one run become one: shares that were computed apart, or copies of it.

Rows have computed keys, so putting ledgers together is adding the rows that are not there yet. Only
runs of equal scenarios, on equal machines and with equal calibrations are put together, and a row
that is in two of them must be the same in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from channelsim.contracts.records import (
    AttemptsDone,
    ImageSaved,
    Noted,
    Started,
    TransmissionsDone,
)
from channelsim.ledger import Ledger
from channelsim.ledger.examination import examined
from channelsim.ledger.file import is_written
from channelsim.ledger.genuine import damaged
from channelsim.ledger.sql import TRANSMISSION_COLUMNS, quoted
from channelsim.runs.resume import changes_between
from channelsim.runs.run_folder import LEDGER, SCENARIO
from channelsim.support.errors import InputError, printable

_ROWS = 2048  # read at once; project's choice
# About the moment or the schedule, not the run.
_NOT_TAKEN = (
    "total",
    "created_at",
    "ledger_version",
    "finished",
    "finished_at",
    "closed_later",
    "ended",
)


@dataclass(frozen=True)
class Merged:
    """A merged run. ``missing``: transmissions that nobody recorded, by arm."""

    folder: Path
    transmissions: int
    missing: dict[int, int]


def merge(runs: Sequence[Path | str], out: Path | str) -> Merged:
    """Put the rows of several runs' folders into a new one; no arm is closed early."""
    folders, out = [Path(run) for run in runs], Path(out)
    for folder in folders:
        if not (folder / LEDGER).is_file():
            raise InputError(f"{folder}: holds no run (there is no {LEDGER})")
        if is_written(folder / LEDGER):
            raise InputError(f"{folder}: is being written by a run; wait until that has ended")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: exists and is not empty; choose another")
    started = _begun(folders)
    out.mkdir(parents=True, exist_ok=True)
    target = Ledger.create(out / LEDGER, started)
    try:
        with target:
            for folder in folders:
                with examined(folder / LEDGER), _opened(folder) as source:
                    _add(target, source, folder)
            merged = _merged(target, out)
    except BaseException:
        for more in ("", "-wal", "-shm", ".lock"):
            (out / (LEDGER + more)).unlink(missing_ok=True)
        with suppress(OSError):
            out.rmdir()  # removes only an empty one
        raise
    header = started.header
    text = f"# {printable(header.title)!r}, merged; hash {header.scenario_hash}\n"
    text += yaml.safe_dump(header.scenario, sort_keys=False, allow_unicode=True, width=100)
    (out / SCENARIO).write_text(text, encoding="utf-8")
    return merged


def _begun(folders: Sequence[Path]) -> Started:
    """The first event of the whole: what all headers agree on, and what each adds."""
    found: Started | None = None
    mixed: list[Any] = []
    ends: list[float] = []
    for folder in folders:
        with examined(folder / LEDGER), _opened(folder) as ledger:
            header, arms = ledger.raw_header(), ledger.arms()
            if found is None:
                kept = {key: header.values[key] for key in header.values if key not in _NOT_TAKEN}
                found = Started(type(header)(kept), arms, ledger.header().total)
            elif changed := changes_between(found.header, header):
                raise InputError(
                    f"{folder}: is no part of the same run as {folders[0]}; they differ in"
                    f" {changed}. Only runs of the same scenario, begun on the same kind of"
                    " machine, are put together"
                )
            if [arm.arm for arm in arms] != list(range(len(arms))) or not arms:
                raise damaged(ledger.path, "its arms are not all there")
            mixed += [one for one in header.values.get("mixed", []) if one not in mixed]
            ends += [] if header.ended_s is None else [header.ended_s]
    assert found is not None, "there is at least one folder"
    more: dict[str, Any] = {"ended": max(ends)} if ends else {}
    more |= {"mixed": mixed} if mixed else {}
    return Started(found.header.with_values(**more), found.arms, found.total)


def _merged(target: Ledger, out: Path) -> Merged:
    """What is there, and what is missing: a transmission is there with all its attempts."""
    target.commit()
    most = target.max_attempts
    query = (
        "SELECT arm, count(*) FROM transmission AS t WHERE attempts = (SELECT count(*) FROM attempt"
        " AS a WHERE a.attempt >= t.transmission * ? AND a.attempt < t.transmission * ?"
        " + t.attempts) GROUP BY arm"
    )
    there = dict(target.rows(query, (most, most)))
    missing = {arm.arm: target.count - there.get(arm.arm, 0) for arm in target.arms()}
    return Merged(out, sum(there.values()), {arm: n for arm, n in missing.items() if n})


def _opened(folder: Path) -> Ledger:
    return Ledger.open(folder / LEDGER)


def _add(target: Ledger, source: Ledger, place: Path) -> None:
    attempts = len(target.arms()) * target.count * target.max_attempts
    for names, table, event, keys in (
        (target.attempt_columns, "attempt", AttemptsDone, attempts),
        (TRANSMISSION_COLUMNS, "transmission", TransmissionsDone, attempts // target.max_attempts),
    ):
        # SQLite takes the quoted name of a column that is not there for a text.
        known = {row[1] for row in source.rows(f"PRAGMA table_info({table})")}
        if lacking := [name for name in names if name not in known]:
            raise InputError(
                f"{place}: was made by another version of channelsim, it has no {lacking[0]}"
            )
        listed = ", ".join(map(quoted, names))
        # The key is the first column of both.
        rows = source.rows(f"SELECT {listed} FROM {table} ORDER BY 1")
        for some in _chunks(rows):
            if not (some[0][0] >= 0 and some[-1][0] < keys):
                raise damaged(source.path, f"its table {table} has keys that no run of it has")
            within = (
                f"SELECT {listed} FROM {table} WHERE {table} IN (SELECT value FROM json_each(?))"
            )
            chosen = json.dumps([row[0] for row in some])
            there = {row[0]: row for row in target.rows(within, (chosen,))}
            for row in some:
                if there.get(row[0], row) != row:
                    raise InputError(_unequal(target, table, names, there[row[0]], row, place))
            columns = dict(zip(names, zip(*some, strict=True), strict=True))
            target.write(event(columns))
    for row in source.rows("SELECT transmission, attempt, role, png FROM image"):
        target.write(ImageSaved(*row))
    for row in source.rows("SELECT level, text, sim_s, arm FROM event ORDER BY event"):
        target.write(Noted(*row))


def _chunks(rows: Iterator[tuple]) -> Iterator[list[tuple]]:
    while some := list(islice(rows, _ROWS)):
        yield some


def _unequal(
    target: Ledger, table: str, names: Sequence[str], old: tuple, new: tuple, place: Path
) -> str:
    keys = target.header().keys
    transmission = keys.of_attempt(new[0])[0] if table == "attempt" else new[0]
    arm, message = keys.of_transmission(transmission)
    name, a, b = next((name, a, b) for name, a, b in zip(names, old, new, strict=True) if a != b)
    return (
        f"{place}: message {message} of arm {arm} is recorded twice and not the same ({name}:"
        f" {json.dumps(a)} elsewhere, {json.dumps(b)} here); one of the two is damaged, or was made"
        " by other code"
    )
