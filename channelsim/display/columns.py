"""Numbers as a table's cells: a dash where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from channelsim.analysis.coverage import Coverage
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import fixed, number
from channelsim.analysis.places import labels
from channelsim.analysis.summary import Summary
from channelsim.analysis.timeline import Timeline
from channelsim.analysis.written import spread
from channelsim.display.page import Column

NONE = "–"


def spread_cell(interval: Interval | None, digits: int) -> str:
    """``0.81 [0.79, 0.83]``."""
    return NONE if interval is None else spread(interval, digits)


def value_cell(interval: Interval | None, digits: int) -> str:
    """``0.81``."""
    return NONE if interval is None else fixed(interval.value, digits)


def decimal_cell(value: float | None, digits: int) -> str:
    """A number without an interval."""
    return NONE if value is None else fixed(value, digits)


def percent_cell(share: float | None) -> str:
    """``81.0 %``."""
    return NONE if share is None else f"{100 * share:.1f} %"


def range_cell(values: Sequence[float], digits: int) -> str:
    """``0.8``, or ``0.8 to 0.9``."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def places(summary: Summary, rows: Sequence[Coverage] | Sequence[Timeline]) -> list[Column]:
    """Leading columns of a table over arms: the receiver where it changes, and the swept values."""
    names = [row.receiver for row in rows]
    again = [name == before for before, name in zip(["", *names], names, strict=False)]
    shown = ["" if same else name for same, name in zip(again, names, strict=True)]
    columns = [Column("", shown, left=True)]
    for key, short in labels(summary).items():
        columns.append(Column(short, [number(row.swept[key]) for row in rows]))
    return columns
