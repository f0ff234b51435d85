"""The primary family's conclusions in words: which receiver serves the user best.

Sentences follow the simultaneous intervals. They are about *these weights*: one checkpoint is not
the method that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelsim.analysis.family import Difference, Over, PrimaryFamily, unsure
from channelsim.analysis.places import place, places
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import decimals, spread

SECONDARY = "secondary, unadjusted"
NOBODY = "Nobody is surely best"  # begins the sentence on the other points
_LEVEL = "these weights, joint 95 % intervals"
_SAME_DB = 0.1  # project's choice: receivers within so much of each other had equal PSR
_MOST_DIGITS = 9  # for tiny but certain differences
_MOST = 3  # project's choice: list so many differing values or points, and count the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Points with the same conclusion.

    ``best``: the receiver that surely serves the user better than all others there; None if there
    is none. ``first``: the same at equal budget; different from ``best`` only where the two
    readings of the budget disagree. ``useful``: whether any receiver serves the user better than a
    mean image would. ``unbeaten``: the receivers that none surely beats there. ``closest``: for
    every point the difference to the closest competitor of ``first``.
    """

    best: str | None
    first: str | None
    useful: bool
    points: tuple[Mapping[str, Any], ...]
    unbeaten: tuple[str, ...]
    closest: tuple[Difference, ...]


def standings(family: PrimaryFamily) -> tuple[Standing, ...]:
    """Points grouped by conclusion, in the order of the sweep."""
    alike: dict[tuple[str | None, str | None, bool, tuple[str, ...]], list[Mapping[str, Any]]] = {}
    for swept in family.points:
        useful = not all(family.is_useless(name, swept) for name in family.receivers)
        best, first = family.best_at(swept), family.ahead_at(swept)
        key = (best, first, useful, family.unbeaten_at(swept) if useful else ())
        alike.setdefault(key, []).append(swept)
    found = []
    for (best, first, useful, unbeaten), points in alike.items():
        closest = []
        for swept in points if first is not None else ():
            closest.append(_closest(family.at(swept), first))
        leading = {family.unbeaten_at(swept) for swept in points}
        found.append(
            Standing(
                best=best,
                first=first,
                useful=useful,
                points=tuple(points),
                unbeaten=unbeaten or (leading.pop() if len(leading) == 1 else ()),
                closest=tuple(closest),
            )
        )
    return tuple(found)


def who_serves_best(summary: Summary) -> list[str]:
    """The receiver that serves the user best, where, by how much, and how surely; empty for one."""
    family = summary.primary
    if family is None:
        return []
    metric = family.metric
    if family.higher_is_better is None:
        return [
            f"By {metric} against the source nobody is called best: whether more or less of it is"
            " better is not known; `primary:` names another metric."
        ]
    if all(map(unsure, family.members)):
        why = "a single unit was observed" if family.units == 1 else "differences are not finite"
        start = f"By {metric} against the source nobody is called best"
        return [f"{start}: {why}, so there are no intervals."]
    found = standings(family)
    said = _at_points(summary, family, found, metric)
    said += _over_budget(summary, family)
    said += _of_power(summary, family)
    return [*said, _how_surely(family, found)]


# --- at points ----------------------------------------------------------------------------------


def _at_points(
    summary: Summary, family: PrimaryFamily, found: Sequence[Standing], metric: str
) -> list[str]:
    if len(found) == 1 and (name := found[0].best) is not None:
        every = "" if len(family.points) == 1 else " at every point"
        margin = _margin(summary, family, found[0])
        return [f"{name} serves the user best{every}: {margin} ({_LEVEL})."]
    phrases = [
        f"{one.best}{_where(summary, one.points)}: {_margin(summary, family, one)}"
        for one in found
        if one.best is not None
    ]
    open_points = [one for one in found if one.best is None]
    reasons = []
    for one in open_points[:_MOST]:
        where = ":" if len(found) == 1 else f"{_where(summary, one.points)}, where"
        reasons.append(f"{where} {_why_nobody(family, one, summary.noun)}")
    if more := sum(len(one.points) for one in open_points[_MOST:]):
        reasons.append(f" at {more} more point{'' if more == 1 else 's'}")
    decided = sum(len(one.points) for one in found if one.best is not None)
    some = f" at {decided} of {len(family.points)} points" if open_points and phrases else ""
    by = f"for the user by {metric}{some} ({_LEVEL})"
    listed = [f"Best {by}: {'; '.join(phrases)}."] if phrases else []
    if reasons:
        start = NOBODY if phrases else f"{NOBODY} {by}"
        listed.append(f"{start}{';'.join(reasons)}.")
    return listed


def _why_nobody(family: PrimaryFamily, one: Standing, noun: str) -> str:
    if one.first is not None:
        return f"{one.first} is surely best at equal ε, but not surely at equal PSR"
    if not one.useful:
        nearest = f" ({one.unbeaten[0]} comes nearest)" if len(one.unbeaten) == 1 else ""
        return f"none is surely better than always showing the mean {noun}{nearest}"
    if 1 < len(one.unbeaten) < len(family.receivers):
        return f"{_listed(one.unbeaten)} lead without a significant difference"
    if len(one.unbeaten) > 1:
        return f"{_listed(one.unbeaten)} do not differ significantly"
    return "nobody differs significantly from all others"


def _margin(summary: Summary, family: PrimaryFamily, one: Standing) -> str:
    """``mse lower than that of kld (next best) by 0.010 [0.009, 0.011]``."""
    low, high = (pick(one.closest, key=lambda d: d.ahead().value) for pick in (min, max))
    nexts = list(dict.fromkeys(d.worse or "" for d in one.closest))
    text = f"{family.metric} {_side(family)} than that of {' or '.join(nexts)}"
    if len(family.receivers) > 2:
        text += " (next best)"
    amounts = [low] if low is high else [low, high]
    several = len(one.closest) > 1 and len(summary.swept_keys) == 1
    phrases = [
        _amount(family, d) + (f" ({place(summary, d.swept)})" if several else "") for d in amounts
    ]
    return f"{text} by {' to '.join(phrases)}"


def _side(family: PrimaryFamily) -> str:
    return "higher" if family.higher_is_better else "lower"


def _closest(found: Sequence[Difference], name: str | None) -> Difference:
    """The smallest of one receiver's differences."""
    own = [one for one in found if name in (one.first, one.second)]
    return min(own, key=lambda one: one.ahead().value)


def _amount(family: PrimaryFamily, one: Difference) -> str:
    ahead = one.ahead()
    digits = decimals([ahead])
    while digits < _MOST_DIGITS and ahead.low > 0 and round(ahead.low, digits) == 0:
        digits += 1  # an interval without 0 must not end at "0.00"
    text = spread(ahead, digits)
    return f"{text} {family.unit}" if family.unit else text


# --- over a swept budget ------------------------------------------------------------------------


_OVER: Mapping[Over, str] = {"epsilon": "equal ε", "psr": "equal PSR"}


def _over_budget(summary: Summary, family: PrimaryFamily) -> list[str]:
    """The conclusions of areas against the source, by reading, for each value of the other keys."""
    alike: dict[tuple[tuple[Over, str | None], ...], list[Mapping[str, Any]]] = {}
    for fixed in family.fixed():
        alike.setdefault(tuple(family.readings(fixed).items()), []).append(fixed)
    listed = []
    for readings, where in alike.items():
        text = _of_readings(family, dict(readings), where)
        if len(alike) == 1:
            listed.append(f"On average over the swept budget, {text}.")
            continue
        some = "; ".join(place(summary, fixed) for fixed in where[:_MOST])
        some += f" and {len(where) - _MOST} more" if len(where) > _MOST else ""
        listed.append(f"On average over the swept budget, with {some}: {text}.")
    return listed


def _of_readings(
    family: PrimaryFamily,
    readings: Mapping[Over, str | None],
    where: Sequence[Mapping[str, Any]],
) -> str:
    areas = [one for fixed in where for one in family.areas_at(fixed)]
    own = {over: [one for one in areas if one.over == over] for over in readings}
    (name, *others) = dict.fromkeys(readings.values())
    if others or name is None:
        phrases = []
        for reading, ahead in readings.items():
            tied = family.unbeaten(own[reading])
            result = "nobody is best"
            if ahead is not None:
                result = f"{ahead} is best"
            elif len(tied) > 1:
                result = f"{_listed(tied)} do not differ significantly"
            phrases.append(f"at {_OVER[reading]} {result}")
        text = ", ".join(phrases)
        return f"{text}: the readings differ, so nobody is called best" if others else text
    over = " and ".join(f"at {_OVER[one]}" for one in readings)
    amounts = " and ".join(_amount(family, _closest(own[one], name)) for one in readings)
    least = " at least" if len(where) > 1 else ""
    side = f"its {family.metric} is {_side(family)} by{least} {amounts}"
    return f"{over}, {name} serves the user best: {side}"


def _of_power(summary: Summary, family: PrimaryFamily) -> list[str]:
    """Warn where a budget was a different power for each receiver, and no reading corrects it."""
    if summary.epsilon_key is not None and any(one.over == "psr" for one in family.areas):
        return []
    apart = 0.0
    for swept in family.points:
        powers = [
            point.psr_db
            for point in summary.points
            if point.swept == swept and point.psr_db is not None
        ]
        if len(powers) > 1:
            apart = max(apart, max(powers) - min(powers))
    if apart <= _SAME_DB:
        return []
    return [
        f"At equal budget receivers met powers up to {apart:.1f} dB apart (PSR); sweep the budget"
        " to compare them at equal power too."
    ]


# --- certainty ----------------------------------------------------------------------------------


def _how_surely(family: PrimaryFamily, found: Sequence[Standing]) -> str:
    pairs, points = len(family.receivers), len(family.points)
    pairs = pairs * (pairs - 1) // 2
    many = f"{pairs} pair{'' if pairs == 1 else 's'}"
    many += f" × {points} point{'' if points == 1 else 's'}" if points > 1 else ""
    alone = "; averages over the budget each alone" if family.areas else ""
    text = f"95 % intervals, jointly for {many} (max-t{alone})"
    claimed = [
        one.holm_p
        for standing in found
        for swept in standing.points
        for one in family.at(swept)
        if standing.best is not None and standing.best in (one.first, one.second)
    ]
    if claimed:
        text += f", Holm's p {_p(max(claimed))}"
    return text + "; valid for these weights, not for the methods that made them."


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"≤ {value:.2g}"


# --- places -------------------------------------------------------------------------------------


def _where(summary: Summary, points: Sequence[Mapping[str, Any]]) -> str:
    """`` at ε = 0.1, 0.3 … 0.6``."""
    anyone = summary.of(summary.receivers[0])
    return places(summary, [point for point in anyone if dict(point.swept) in points])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
