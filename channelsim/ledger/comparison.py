"""Comparison of two ledgers, row by row and bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from channelsim.ledger.ledger import Ledger
from channelsim.ledger.sql import dumps, quoted

# Equal runs agree in these; other keys are about place, time and schedule.
SAME_HEADER = (
    "seed", "scenario_hash", "count", "max_attempts", "metrics", "control", "swept_keys",
    "receivers", "block_rows", "weights", "calibration", "memory_s", "total",
    "finished",
)  # fmt: skip
_BY_KEY: Mapping[str, tuple[str, ...]] = {
    "arm": ("arm",),
    "transmission": ("transmission",),
    "attempt": ("attempt",),
    "image": ("transmission", "attempt", "role"),
    "event": ("level", "text", "sim_s", "arm"),
}


def differences(a: Ledger, b: Ledger, at_most: int = 20) -> list[str]:
    """The differences between two ledgers, row by row and bit by bit; empty if they are equal.

    Compared are all rows of all tables by key, and the keys of the header in `SAME_HEADER`, which
    leaves out time, place and schedule.
    """
    found = []
    left, right = a.header().values, b.header().values
    for key in SAME_HEADER:
        if dumps(left.get(key)) != dumps(right.get(key)):  # NaN is not equal to itself
            found.append(f"header {key}: {left.get(key)!r} and {right.get(key)!r}")
    for table in _BY_KEY:
        for difference in _table_differences(a, b, table):
            found.append(f"{table} {difference}")
            if len(found) >= at_most:
                return [*found, "… and perhaps more"]
    return found


def _table_differences(a: Ledger, b: Ledger, table: str) -> Iterator[str]:
    keys = _BY_KEY[table]
    names = [row[1] for row in a.rows(f"PRAGMA table_info({table})")]
    others = [row[1] for row in b.rows(f"PRAGMA table_info({table})")]
    if names != others:
        yield f"columns: {names} and {others}"
        return
    # An event's number is its order of arrival, which depends on the schedule.
    names = [*keys, *(name for name in names if name not in (*keys, "event"))]
    chosen = ", ".join(quoted(name) for name in names)
    query = f"SELECT {chosen} FROM {table} ORDER BY {', '.join(keys)}"

    def key(row: tuple) -> list[tuple[bool, Any]]:  # SQLite's order: NULL comes first
        return [(value is not None, value) for value in row[: len(keys)]]

    left, right = a.rows(query), b.rows(query)
    x, y = next(left, None), next(right, None)
    while x is not None or y is not None:
        if x == y:
            x, y = next(left, None), next(right, None)
        elif y is None or (x is not None and key(x) < key(y)):
            assert x is not None
            yield f"{x[: len(keys)]}: only in the first"
            x = next(left, None)
        elif x is None or key(y) < key(x):
            yield f"{y[: len(keys)]}: only in the second"
            y = next(right, None)
        else:
            unlike = [f"{n} {u!r} and {v!r}" for n, u, v in zip(names, x, y, strict=True) if u != v]
            yield f"{x[: len(keys)]}: {'; '.join(unlike)}"
            x, y = next(left, None), next(right, None)
