"""Points of a sweep in words, and the hardest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from channelsim.analysis.names import in_runs, number, short_names, stated
from channelsim.analysis.points import Point
from channelsim.analysis.summary import Summary
from channelsim.contracts.scales import scale_of

_MOST_PLACES = 4  # project's choice: phrases for points of the sweep in one sentence


def labels(summary: Summary) -> dict[str, str]:
    """Short names of the swept keys."""
    return short_names(summary.swept_keys, summary.decibel_keys)


def place(summary: Summary, swept: Mapping[str, Any]) -> str:
    """A point of the sweep in words: ``ε = 0.5, snr_db = 10``."""
    short = labels(summary)
    return ", ".join(stated(short[key], number(value)) for key, value in swept.items())


def hardest(summary: Summary, receiver: str) -> Point | None:
    """The receiver's point of lowest quality, among the largest budgets if swept.

    By the primary metric, as every sentence about quality for the user.
    """
    metric = summary.primary_metric
    points = [point for point in summary.of(receiver) if point.metrics[metric].source is not None]
    if not points:
        return None
    if (key := summary.epsilon_key) is not None:
        most = max(float(point.swept[key]) for point in points)
        points = [point for point in points if float(point.swept[key]) == most]
    better = scale_of(metric, summary.scales).higher_is_better

    def quality(point: Point) -> float:
        source = point.metrics[metric].source
        assert source is not None
        return source.value if better or better is None else -source.value

    return min(points, key=quality)


def places(summary: Summary, points: Sequence[Point]) -> str:
    """`` at ε = 0.1, 0.3 … 0.6``; the dots stand for all points between and no other.

    Of several swept keys, points that differ in one only are one phrase: `` at q = 0.2, any
    filling``.
    """
    if not summary.swept_keys:
        return ""
    wanted = list({repr(point.swept): point.swept for point in points}.values())
    several = len(summary.swept_keys) > 1
    if several and len(wanted) == len({repr(point.swept) for point in summary.points}):
        return " at every point"
    phrases = min((_along(summary, key, wanted) for key in summary.swept_keys[::-1]), key=len)
    listed = [f"({phrase})" if several and len(phrases) > 1 else phrase for phrase in phrases]
    if len(listed) > _MOST_PLACES:
        return f" at {len(wanted)} points, among them {', '.join(listed[: _MOST_PLACES - 1])}"
    return f" at {', '.join(listed)}"


def _along(summary: Summary, key: str, wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Phrases for points of the sweep, each for those that differ in ``key`` only."""
    all_values = _by_others(key, [point.swept for point in summary.points])
    phrases = []
    for group, (others, values) in _by_others(key, wanted).items():
        every = all_values[group][1]
        named = [place(summary, others)] if others else []
        if len(values) < len(every) or not others:
            named.append(stated(labels(summary)[key], *in_runs(values, every)))
        else:
            named.append(f"any {labels(summary)[key].removesuffix(' dB')}")
        phrases.append(", ".join(named))
    return phrases


def _by_others(
    key: str, points: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Mapping[str, Any], list[Any]]]:
    """Points grouped by the values of all keys but one: those values, and the one's."""
    groups: dict[str, tuple[Mapping[str, Any], list[Any]]] = {}
    for swept in points:
        others = {name: value for name, value in swept.items() if name != key}
        values = groups.setdefault(repr(others), (others, []))[1]
        if swept[key] not in values:
            values.append(swept[key])
    return groups
