"""The table of a short summary: one metric at a few points, receivers side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from channelsim.analysis.goal_words import attacked
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import fixed, number
from channelsim.analysis.places import hardest, labels, place
from channelsim.analysis.points import Point, Reading
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import decimals
from channelsim.contracts import records

WIDTH = 80  # columns; project default
Against = Literal["source", "clean", "passive", "target"]
AGAINST: tuple[Against, ...] = get_args(Against)
Cells = Mapping[str, Interval | None]
_POINTS = 3  # of a sweep: the first, the hardest or the middle, the last
_LEAST_LABEL = 22  # columns of the table's first column, at least
_PSR_DB = -10.0  # the power at which receivers are compared
_DELIVERED = "  delivered there, %"
_REFERENCES = {
    "source": "the source",
    "clean": "the undisturbed {noun}",
    "passive": "the {noun} after the channel alone",
    "target": "the adversary's target",
}


def table(summary: Summary, metric: str, against: Against) -> Iterator[str]:
    """The metric at a few points, with the channel alone, and equal noise at the hardest point."""
    rows = list(_rows(summary, metric, against))
    short = labels(summary)
    names = [name.removesuffix(" dB") for name in short.values()]
    keys = ", ".join(names) if len(names) > 1 else ""
    needed = max(len(name) for name in (keys, *(name for name, _ in rows))) + 3
    room = WIDTH - sum(map(_width, summary.receivers))
    label = max(_LEAST_LABEL, min(needed, room))
    receivers, hidden = _that_fit(summary.receivers, WIDTH - label)
    shown = [cells for name, cells in rows if name != _DELIVERED]
    digits = decimals([cells.get(name) for cells in shown for name in receivers])
    reference = _REFERENCES[against].format(noun=summary.noun)
    title = f"{metric}{summary.unit_of(metric)} against {reference}"
    if hidden:
        title += f" ({hidden} more receiver{'s' * (hidden > 1)} not shown)"
    yield title
    yield f"  {_cut(keys, label):<{label - 2}}" + "".join(
        f"{name:>{_width(name)}}" for name in receivers
    )
    for name, cells in rows:
        line = f"  {_cut(name, label):<{label - 2}}"
        for receiver in receivers:
            interval = cells.get(receiver)
            places = 1 if name == _DELIVERED else digits
            text = "–" if interval is None else fixed(interval.value, places)
            line += f"{text:>{_width(receiver)}}"
        yield line
    mean = summary.constant_image.get(metric) if against == "source" else None
    if mean is not None:
        blank = f"mean {summary.noun}, always"
        yield f"  {blank:<{label - 2}}{fixed(mean, digits):>{_width(receivers[0])}}"
    yield ""


def telling(summary: Summary) -> Mapping[str, Any]:
    """The point of the sweep that is hardest for most receivers, the first of several."""
    found = [point.swept for name in summary.receivers if (point := hardest(summary, name))]
    if not found:
        return summary.points[-1].swept
    often = Counter(map(repr, found))
    return max(found, key=lambda swept: often[repr(swept)])


def at(summary: Summary, swept: Mapping[str, Any]) -> dict[str, Point]:
    """The points of all receivers at one point of the sweep."""
    return {point.receiver: point for point in summary.points if point.swept == swept}


def _cut(text: str, label: int) -> str:
    return text if len(text) < label - 2 else f"{text[: label - 4].rstrip(', ')}…"


def _width(name: str) -> int:
    return max(8, len(name) + 2)


def _that_fit(receivers: Sequence[str], room: int) -> tuple[list[str], int]:
    shown = list[str]()
    for name in receivers:
        room -= _width(name)
        if room < 0:
            break
        shown.append(name)
    return shown or [receivers[0]], len(receivers) - max(1, len(shown))


def _rows(summary: Summary, metric: str, against: Against) -> Iterator[tuple[str, Cells]]:
    hard = telling(summary)
    here = at(summary, hard)

    def read(points: Mapping[str, Point], of: Callable[[Reading], Interval | None]) -> Cells:
        return {name: of(point.metrics[metric]) for name, point in points.items()}

    struck = {name: point for name, point in here.items() if attacked(point)}
    if against == "source":
        yield "undisturbed", read(here, lambda reading: reading.quality)
    for swept in _chosen(summary, hard):
        label = _label(summary, swept) or ("with the attack" if struck else "received")
        yield label, read(at(summary, swept), lambda reading: getattr(reading, against))
        if swept == hard:
            yield from _beside(summary, here, read, against)
    if against == "source":
        yield from _at_equal_power(summary, metric)


def _beside(
    summary: Summary,
    here: Mapping[str, Point],
    read: Callable[[Mapping[str, Point], Callable[[Reading], Interval | None]], Cells],
    against: Against,
) -> Iterator[tuple[str, Cells]]:
    """What belongs to the row above: the share delivered, the channel alone, matched noise."""
    delivered = {
        name: Interval(100 * point.delivered_share, math.nan, math.nan)
        for name, point in here.items()
        if point.delivered_share is not None
    }
    if any(share.value < 100 for share in delivered.values()):
        yield _DELIVERED, delivered
    struck = {name: point for name, point in here.items() if attacked(point)}
    off = any(point.verdict == records.OFF for point in summary.points)
    if against == "source" and not (off and len(summary.swept_keys) == 1):
        alone = read(struck, lambda reading: reading.alone_source)
        if any(alone.values()):
            yield "  channel alone there", alone
    hit = {name: p for name, p in struck.items() if p.aim.kind != "noise"}
    noise = read(hit, lambda reading: getattr(reading, f"control_{against}"))
    if any(noise.values()):
        yield f"  {'random flips' if summary.in_bits else 'equal noise'} there", noise


def _label(summary: Summary, swept: Mapping[str, Any]) -> str:
    """``ε = 0.5``, or of several keys the values alone: the table's head names the keys."""
    if len(swept) < 2:
        return place(summary, swept)
    units = [
        " dB" if key in summary.decibel_keys and value != -math.inf else ""
        for key, value in swept.items()
    ]
    return ", ".join(map("{}{}".format, map(number, swept.values()), units))


def _chosen(summary: Summary, hard: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A few points of the sweep, in its order."""
    points = list[Mapping[str, Any]]()
    for point in summary.points:
        if point.swept not in points:
            points.append(point.swept)
    if len(points) <= _POINTS:
        return points
    between = points[len(points) // 2] if hard in (points[0], points[-1]) else hard
    return [points[0], between, points[-1]]


def _at_equal_power(summary: Summary, metric: str) -> Iterator[tuple[str, Cells]]:
    if len(summary.comparisons) != 1:
        return  # one row could not say at which values of the other keys
    (one,) = summary.comparisons
    levels = sorted({c.psr_db for c in one.table if c.metric == metric})
    if one.same_power or not levels:
        return
    level = min(levels, key=lambda psr: abs(psr - _PSR_DB))
    cells = {c.receiver: c.source for c in one.table if (c.metric, c.psr_db) == (metric, level)}
    yield f"at {number(level)} dB PSR", cells
