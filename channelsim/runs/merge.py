"""Several folders of one run become one: shares that were computed apart, or copies of it.

Rows have computed keys, so putting ledgers together is adding the rows that are not there yet. Only
runs of equal scenarios, on equal machines and with equal calibrations are put together, and a row
that is in two of them must be the same in both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from channelsim.analysis.closing import ENDED
from channelsim.contracts.records import (
    AttemptsDone,
    ImageSaved,
    Noted,
    Started,
    TransmissionsDone,
)
from channelsim.ledger import Ledger
from channelsim.ledger.examination import examined
from channelsim.ledger.sql import TRANSMISSION_COLUMNS, quoted
from channelsim.runs.resume import changes_between
from channelsim.runs.run_folder import LEDGER, SCENARIO
from channelsim.support.errors import InputError

_ROWS = 2048  # read at once; project's choice
# About the moment or the schedule, not the run.
_NOT_TAKEN = (
    "total",
    "created_at",
    "ledger_version",
    "finished",
    "finished_at",
    "closed_later",
    ENDED,
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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: exists and is not empty; choose another")
    for folder in folders[1:]:
        _check_equal(folders[0], folder)
    out.mkdir(parents=True, exist_ok=True)
    try:
        merged = _merged(folders, out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    with suppress(OSError):
        shutil.copyfile(folders[0] / SCENARIO, out / SCENARIO)
    return merged


def _merged(folders: Sequence[Path], out: Path) -> Merged:
    with _opened(folders[0]) as first:
        header = first.raw_header()
        kept = {key: value for key, value in header.values.items() if key not in _NOT_TAKEN}
        started = Started(type(header)(kept), first.arms(), first.header().total)
    with Ledger.create(out / LEDGER, started) as target:
        for folder in folders:
            with examined(folder / LEDGER), _opened(folder) as source:
                _add(target, source, folder)
        target.commit()
        query = "SELECT arm, count(*) FROM transmission GROUP BY arm"
        there = dict(target.rows(query))
        ends = [_ended_s(folder) for folder in folders]
        known = [end for end in ends if end is not None]
        if known:
            target.set_header({ENDED: max(known)})
        missing = {arm.arm: target.count - there.get(arm.arm, 0) for arm in target.arms()}
        return Merged(out, sum(there.values()), {arm: n for arm, n in missing.items() if n})


def _ended_s(folder: Path) -> float | None:
    with _opened(folder) as ledger:
        values = ledger.raw_header().values
        found = values.get("finished", values.get(ENDED))
        return float(found) if isinstance(found, int | float) else None


def _opened(folder: Path) -> Ledger:
    return Ledger.open(folder / LEDGER)


def _check_equal(one: Path, other: Path) -> None:
    with _opened(one) as a, _opened(other) as b:
        changed = changes_between(a.raw_header(), b.raw_header())
    if changed:
        raise InputError(
            f"{other}: is no part of the same run as {one}; they differ in {changed}. Only runs of"
            " the same scenario, begun on the same kind of machine, are put together"
        )


def _add(target: Ledger, source: Ledger, place: Path) -> None:
    for names, table, event in (
        (target.attempt_columns, "attempt", AttemptsDone),
        (TRANSMISSION_COLUMNS, "transmission", TransmissionsDone),
    ):
        listed = ", ".join(map(quoted, names))
        # The key is the first column of both.
        rows = source.rows(f"SELECT {listed} FROM {table} ORDER BY 1")
        for some in _chunks(rows):
            within = f"SELECT {listed} FROM {table} WHERE {table} BETWEEN ? AND ?"
            there = {row[0]: row for row in target.rows(within, (some[0][0], some[-1][0]))}
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
