"""Written forms of intervals: as many decimals as their width supports."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, isfinite, isnan, log10

from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import fixed


def decimals(intervals: Iterable[Interval | None]) -> int:
    """Decimals for which half an interval is one to ten units of the last; between 1 and 6."""
    widths = [(i.high - i.low) / 2 for i in intervals if i is not None]
    known = sorted(width for width in widths if isfinite(width) and width > 0)
    if not known:
        return 3
    return max(1, min(6, -floor(log10(known[len(known) // 2]))))


def spread(interval: Interval, digits: int) -> str:
    """``0.81 [0.79, 0.83]``, or the value alone without an interval."""
    value = fixed(interval.value, digits)
    if isnan(interval.low):
        return value
    return f"{value} [{fixed(interval.low, digits)}, {fixed(interval.high, digits)}]"
