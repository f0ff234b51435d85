"""Whether the adversary reached its goal, in a sentence for every kind of result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from channelsim.analysis.gain import ROUNDING_DB
from channelsim.analysis.goal_words import attacked
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import fixed
from channelsim.analysis.places import place
from channelsim.analysis.points import Point
from channelsim.analysis.short_table import at, telling
from channelsim.analysis.summary import Summary

_LONGEST = 200  # characters; project's choice
_SINGULAR = {"does": "does", "wants": "wants", "is_": "is"}
_PLURAL = {"does": "do", "wants": "want", "is_": "are"}


def goals(summary: Summary) -> Iterator[str]:
    """At the largest budget, for each value of the other swept keys; equal results together."""
    results = dict[str, list[Point]]()
    for swept in _largest(summary):
        for point in at(summary, swept).values():
            if attacked(point) and (result := _result(summary, point)):
                results.setdefault(result, []).append(point)
    for result, points in results.items():
        whose = list(dict.fromkeys(point.aim.who for point in points))
        does = _SINGULAR if len(whose) == 1 else _PLURAL
        text = result.format(who=_listed(whose), **does)
        figures = "" if points[0].aim.kind == "noise" else f" in dB: {_told(summary, points)}"
        yield f"{text}{figures}."


def _told(summary: Summary, points: Sequence[Point]) -> str:
    """Figures by point of the sweep, as many as three lines hold."""
    places = dict[str, list[Point]]()
    for point in points:
        places.setdefault(place(summary, point.swept), []).append(point)
    phrases = list[str]()
    for where, here in places.items():
        phrase = _figures(summary, here) + (f" at {where}" if where else "")
        if phrases and sum(map(len, phrases)) + len(phrase) > _LONGEST:
            more = len(places) - len(phrases)
            return f"{'; '.join(phrases)}; and at {more} more point{'s' * (more > 1)}"
        phrases.append(phrase)
    return "; ".join(phrases)


def _largest(summary: Summary) -> list[Mapping[str, Any]]:
    """Points of the sweep with its largest budget, the hardest first."""
    key, points = summary.epsilon_key, [telling(summary)]
    most = None if key is None else max(float(point.swept[key]) for point in summary.points)
    for point in summary.points:
        if key is not None and float(point.swept[key]) != most:
            continue
        if point.swept not in points:
            points.append(point.swept)
    return points


def _result(summary: Summary, point: Point) -> str:
    """What happened, without figures, as a format of ``who`` and verbs; "" if nothing is known."""
    noise = "as many random flips" if summary.in_bits else "equal noise"
    if point.aim.kind == "noise":
        return "{who} {is_} plain noise, so no gain over noise is computed"
    if point.aim.kind == "image":
        return f"{{who}} {{wants}} {_escaped(point.aim.target)}{_nearer(point, noise)}"
    if point.gain_db is None:
        return ""
    if math.isnan(point.gain_db.low):
        return f"{{who}} {{does}} damage, on too few messages to compare with {noise}; gain"
    if point.gain_db.low > ROUNDING_DB:
        return f"{{who}} {{does}} more damage than {noise}, against the channel alone; gain"
    if point.gain_db.high < -ROUNDING_DB:
        return f"{{who}} {{does}} less damage than {noise}, against the channel alone; gain"
    same = f"not do significantly more or less damage than {noise}"
    return f"{{who}} {{does}} {same}, against the channel alone; gain"


def _nearer(point: Point, noise: str) -> str:
    near = point.approach
    unit = f"approach ({noise}'s)" if near is not None and near.noise is not None else "approach"
    if near is None or near.got_nearer is None:
        return f"; whether the {point.aim.noun} came nearer to it may be chance; {unit}"
    if not near.got_nearer:
        return f" and drove the {point.aim.noun} away from it; {unit}"
    if near.noise is None:
        return f" and came nearer to it; {unit}"
    how = {
        True: f" and came nearer to it than {noise} does",
        False: f" and came nearer to it, but less than {noise} does",
        None: f" and came nearer to it, but not significantly more than {noise} does",
    }
    return f"{how[near.knew]}; {unit}"


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _figures(summary: Summary, points: Sequence[Point]) -> str:
    several = len(summary.receivers) > 1
    return ", ".join((f"{point.receiver} " if several else "") + _figure(point) for point in points)


def _figure(point: Point) -> str:
    if point.aim.kind != "image":
        return _decibels(point.gain_db)
    near, met = point.approach, point.success
    text = "unknown" if near is None else _decibels(near.approach_db)
    if near is not None and near.noise is not None:
        text += f" ({_decibels(near.noise_db)})"
    if met is not None and met.attack is not None:
        text += f" and success {100 * met.attack.value:.0f} %"
        text += "" if met.noise is None else f" ({100 * met.noise.value:.0f} %)"
    return text


def _decibels(interval: Interval | None) -> str:
    return "unknown" if interval is None else fixed(interval.value, 1)
