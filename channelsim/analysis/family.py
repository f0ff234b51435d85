"""The primary family: paired differences between receivers in the quality for the user.

One metric, fixed in the scenario (``primary``), against the source image; all pairs of receivers at
all points of the sweep, and where a budget is swept, areas over it. Only these are compared with
simultaneous intervals (`simultaneous`), and only they may call a receiver best. Here are the
results and their consequences; `primary` computes them, `serving` describes them in sentences.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Any, Literal

from channelsim.analysis.intervals import Interval

Over = Literal["point", "epsilon", "psr"]
_READINGS: tuple[Over, ...] = ("epsilon", "psr")


def place_key(swept: Mapping[str, Any]) -> str:
    """A point of the sweep as a word, equal for equal points."""
    return json.dumps(dict(swept), sort_keys=True, default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two receivers: ``first`` minus ``second``, in the metric's own unit (of PSNR: dB).

    ``over``: at one ``point`` of the sweep (``swept``); or on average over the swept budget, by its
    ``epsilon`` or by the relative amplitude at equal ``psr``, from ``start`` to ``end`` of it, at
    fixed values of all other swept keys (``swept``). ``difference``: its interval is simultaneous
    over the whole family. ``better``: the receiver that surely serves the user better; None where
    the interval reaches 0, or rounding and interpolation may account for the difference, or the
    metric has no known direction.
    """

    first: str
    second: str
    over: Over = "point"
    swept: Mapping[str, Any] = field(default_factory=dict)
    difference: Interval
    holm_p: float
    better: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def worse(self) -> str | None:
        """The receiver that surely serves the user worse."""
        if self.better is None:
            return None
        return self.second if self.better == self.first else self.first

    def ahead(self) -> Interval:
        """The lead of the better receiver (or the one that the value favours): never negative."""
        one = self.difference
        return one if one.value >= 0 else Interval(-one.value, -one.high, -one.low)


@dataclass(frozen=True, kw_only=True)
class PrimaryFamily:
    """All comparisons of receivers that may call one of them best.

    ``unit``: of the differences (``dB`` for PSNR, else empty). ``higher_is_better``: None where the
    metric has no known direction; then no receiver is called best. ``points``: of the sweep, in its
    order. ``members``: pairs × points; ``areas``: pairs × readings over a swept budget, a family of
    their own. ``useless``: receivers at points where they served the user no better than the data
    set's mean image would have (``mean_image``: its value of the metric). ``units``: how many units
    were resampled, in all arms jointly; ``critical``: half-width of an interval of ``members`` in
    standard errors. ``epsilon_key``: the swept budget; None without areas.
    """

    metric: str
    unit: str = ""
    higher_is_better: bool | None
    receivers: tuple[str, ...]
    points: tuple[Mapping[str, Any], ...]
    members: tuple[Difference, ...]
    areas: tuple[Difference, ...] = ()
    useless: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    mean_image: float | None = None
    units: int
    critical: float
    epsilon_key: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per pair and point, and per pair and area."""
        return [
            {
                "over": one.over,
                "pair": f"{one.first} − {one.second}",
                "first": one.first,
                "second": one.second,
                **one.swept,
                "metric": self.metric,
                "unit": self.unit,
                "difference": one.difference.value,
                "low": one.difference.low,
                "high": one.difference.high,
                "holm_p": one.holm_p,
                "better": one.better,
                "start": one.start,
                "end": one.end,
            }
            for one in (*self.members, *self.areas)
        ]

    # --- at points ------------------------------------------------------------------------------

    def at(self, swept: Mapping[str, Any]) -> tuple[Difference, ...]:
        """All pairs at one point."""
        return tuple(self._at.get(place_key(swept), ()))

    def best_at(self, swept: Mapping[str, Any]) -> str | None:
        """The receiver that surely serves the user better than all others at one point, if any.

        None that a mean image would have equalled, and none where the two readings of a swept
        budget disagree (`contested`).
        """
        found = self.ahead_at(swept)
        return None if found is None or self.contested(swept) else found

    def ahead_at(self, swept: Mapping[str, Any]) -> str | None:
        """The same at equal budget alone, whatever the reading at equal power."""
        found = ahead_of_all(self.at(swept), self.receivers)
        return None if found is None or self.is_useless(found, swept) else found

    def unbeaten_at(self, swept: Mapping[str, Any]) -> tuple[str, ...]:
        """The receivers that none surely beats at one point."""
        return self.unbeaten(self.at(swept))

    def unbeaten(self, found: Iterable[Difference]) -> tuple[str, ...]:
        """The receivers that none surely beats in any of some differences."""
        beaten = {one.worse for one in found}
        return tuple(name for name in self.receivers if name not in beaten)

    def is_useless(self, receiver: str, swept: Mapping[str, Any]) -> bool:
        """Whether a mean image would have served the user as well at this point."""
        return (receiver, place_key(swept)) in self._useless

    # --- over a swept budget ----------------------------------------------------------------------

    def fixed(self) -> tuple[dict[str, Any], ...]:
        """The values of all other swept keys for which the budget was swept."""
        return tuple(dict(areas[0].swept) for areas in self._areas_at.values())

    def readings(self, fixed: Mapping[str, Any]) -> dict[Over, str | None]:
        """The receiver ahead of all others by area, under each reading that was made."""
        found = dict[Over, str | None]()
        for over in _READINGS:
            if own := [one for one in self.areas_at(fixed) if one.over == over]:
                first = ahead_of_all(own, self.receivers)
                found[over] = None if first in self.hopeless(fixed) else first
        return found

    def areas_at(self, fixed: Mapping[str, Any]) -> tuple[Difference, ...]:
        """All pairs under all readings, at one value of all other swept keys."""
        return tuple(self._areas_at.get(place_key(fixed), ()))

    def agreed(self, fixed: Mapping[str, Any]) -> bool:
        """Whether the readings that were made put the same receiver first, or none."""
        return len(set(self.readings(fixed).values())) <= 1

    def contested(self, swept: Mapping[str, Any]) -> bool:
        """Whether at a point of a swept budget, attack on, the two readings disagree."""
        if self.epsilon_key is None or self.epsilon_key not in swept:
            return False
        fixed = {key: value for key, value in swept.items() if key != self.epsilon_key}
        return float(swept[self.epsilon_key]) != 0.0 and place_key(fixed) in self._disagreed

    # --- who may not win --------------------------------------------------------------------------

    def barred(self, over: Over, fixed: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Pairs (one, other) where one may not win against the other in another reading.

        ``over``: whether that compares at equal ``epsilon`` or equal ``psr``, at the points that
        have the ``fixed`` values. Either one is surely worse for the user at every one of them; or
        at some and surely better at none, and surely worse by area under the same reading; or at
        every one a mean image would have served as well as one, but not as well as the other.
        """
        points = sum(_inside(swept, fixed) for swept in self.points)
        found = [o for o in self.members if _inside(o.swept, fixed)]
        lost = Counter((one.worse, one.better) for one in found)
        behind = {(one.worse, one.better) for one in self.areas_at(fixed) if one.over == over}
        hopeless = self.hopeless(fixed)
        return tuple(
            (one, other)
            for one, other in permutations(self.receivers, 2)
            if lost[one, other] == points
            or (lost[one, other] and not lost[other, one] and (one, other) in behind)
            or (one in hopeless and other not in hopeless)
        )

    def hopeless(self, fixed: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Receivers that a mean image would have equalled at every point with ``fixed`` values."""
        points = [swept for swept in self.points if _inside(swept, fixed)]
        return tuple(
            name for name in self.receivers if all(self.is_useless(name, point) for point in points)
        )

    def worse_everywhere(self) -> dict[str, str]:
        """Receivers that surely serve the user worse than another at every point, and which."""
        found: dict[str, str] = {}
        for one, other in permutations(self.receivers, 2):
            lost = sum((o.worse, o.better) == (one, other) for o in self.members)
            if lost == len(self.points):
                found.setdefault(one, other)
        return found

    # --- cached look-ups ------------------------------------------------------------------------

    @cached_property
    def _at(self) -> dict[str, list[Difference]]:
        return _by_place(self.members)

    @cached_property
    def _areas_at(self) -> dict[str, list[Difference]]:
        return _by_place(self.areas)

    @cached_property
    def _useless(self) -> frozenset[tuple[str, str]]:
        return frozenset((name, place_key(swept)) for name, swept in self.useless)

    @cached_property
    def _disagreed(self) -> frozenset[str]:
        return frozenset(place_key(one) for one in self.fixed() if not self.agreed(one))


def _by_place(found: Iterable[Difference]) -> dict[str, list[Difference]]:
    places: dict[str, list[Difference]] = {}
    for one in found:
        places.setdefault(place_key(one.swept), []).append(one)
    return places


def _inside(swept: Mapping[str, Any], fixed: Mapping[str, Any] | None) -> bool:
    """Whether a point has the given values of some swept keys."""
    return all(swept.get(key) == value for key, value in (fixed or {}).items())


def ahead_of_all(found: Iterable[Difference], receivers: Sequence[str]) -> str | None:
    """The receiver that is surely better than each of the others; None without one."""
    beats: dict[str, set[str]] = {}
    for one in found:
        if one.better is not None and one.worse is not None:
            beats.setdefault(one.better, set()).add(one.worse)
    return next(
        (name for name in receivers if len(beats.get(name, ())) == len(receivers) - 1), None
    )


def unsure(found: Difference) -> bool:
    """Whether there is no interval: a single unit, or an infinite difference."""
    return math.isnan(found.difference.low)
