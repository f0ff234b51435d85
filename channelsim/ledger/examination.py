"""Examination of a ledger for contradictions, after reading it has failed without another reason.

It takes a pass over all rows, so it is skipped while a ledger reads well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from channelsim.contracts import records
from channelsim.contracts.run_header import HeaderError
from channelsim.ledger.genuine import damaged
from channelsim.ledger.ledger import Ledger
from channelsim.ledger.sql import DONE, RUNNING, quoted, unpacked
from channelsim.support.errors import ChannelsimError

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "title": str,
    "seed": int,
    "scenario": dict,
    "scenario_hash": str,
    "receivers": list,
    "block_rows": int,
    "calibration": dict,
    "fingerprint": dict,
    "versions": dict,
    "total": int,
}
# Sections that only some runs have.
_SECTIONS = (
    *("parts", "scales", "own_stages", "threats", "reach"),
    *("metric_cards", "loss_cards", "attack_losses"),
)
_FATES = (records.DELIVERED, records.LOST, records.REJECTED)


@contextmanager
def examined(path: Path) -> Iterator[None]:
    """Inside, errors while reading a ledger are reported as damage if it is damaged."""
    try:
        yield
    except ChannelsimError:
        raise
    except HeaderError as error:
        raise damaged(path, error) from None
    except Exception:
        if fault := _fault(path):
            raise damaged(path, fault) from None
        raise


def _fault(path: Path) -> str | None:
    """The first content that no run writes; None if there is none."""
    try:
        with Ledger.open(path) as ledger:
            return next(_faults(ledger), None)
    except (ChannelsimError, sqlite3.Error, ValueError, OverflowError) as error:
        return str(error)


def _faults(ledger: Ledger) -> Iterator[str]:
    values = ledger.raw_header().values
    for key, kind in _KINDS.items():
        if key not in values or not isinstance(values[key], kind):
            yield f"its header has no {key} as one is written"
    for key in _SECTIONS:
        if not isinstance(values.get(key, {}), dict):
            yield f"its header has no {key} as one is written"
    arms = ledger.arms()
    if [arm.arm for arm in arms] != list(range(len(arms))) or not arms:
        yield "its arms are not all there"
    keys = set(ledger.swept_keys)
    for arm in arms:
        if not isinstance(arm.swept, dict) or set(arm.swept) != keys:
            yield f"arm {arm.arm} is at no point of the sweep"
    most = len(arms) * ledger.count
    counted = [("status", (RUNNING, DONE)), ("verdict", (*records.VERDICTS, "", None))]
    for column, words in counted:
        for (word,) in ledger.rows(f"SELECT DISTINCT {column} FROM arm"):
            if word not in words:
                yield f"an arm's {column} is {word!r}"
    yield from _rows(ledger, most)
    for (cell,) in ledger.rows("SELECT keys FROM block"):
        try:
            unpacked(cell)
        except ValueError as error:
            yield str(error)


def _rows(ledger: Ledger, most: int) -> Iterator[str]:
    """Keys that fit no transmission, and cells of the wrong type."""
    span = {"most": most, "tries": ledger.max_attempts}
    for table, bad in (
        ("transmission", "transmission < 0 OR transmission >= :most OR attempts < 1"
         " OR attempts > :tries OR attempts IS NULL"),
        ("attempt", "attempt / :tries IS NOT transmission OR attempt < 0"
         " OR transmission >= :most"),
        ("image", "transmission < 0 OR transmission >= :most OR attempt < 0 OR attempt >= :tries"),
    ):  # fmt: skip
        if next(ledger.rows(f"SELECT 1 FROM {table} WHERE {bad}", span), None):
            yield f"a row of {table} belongs to no transmission"
    words = {"delivered": _FATES, "verdict": (*records.VERDICTS, "")}
    for table in ("transmission", "attempt"):
        described = list(ledger.rows(f"PRAGMA table_info({table})"))
        for name, kind in ((row[1], row[2]) for row in described):
            yield from _cells(ledger, table, name, kind, words.get(name, ()))


def _cells(
    ledger: Ledger, table: str, name: str, kind: str, words: tuple[Any, ...]
) -> Iterator[str]:
    column = quoted(name)
    allowed = {"INTEGER": "'integer', 'null'", "REAL": "'real', 'integer', 'null'"}
    kinds = allowed.get(kind, "'text', 'null'")
    query = f"SELECT 1 FROM {table} WHERE typeof({column}) NOT IN ({kinds}) LIMIT 1"
    if next(ledger.rows(query), None):
        yield f"{table} has a {name} that is no {kind.lower()}"
    if words:
        for (word,) in ledger.rows(f"SELECT DISTINCT {column} FROM {table}"):
            if word is not None and word not in words:
                yield f"{table} has a {name} that is {word!r}"
