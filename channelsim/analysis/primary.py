"""Computation of a run's primary family (`family`): all arms are resampled jointly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from channelsim.analysis.areas import area
from channelsim.analysis.cells import ArmCells
from channelsim.analysis.curves import Group
from channelsim.analysis.equal_psr import Polygons
from channelsim.analysis.family import Difference, Over, PrimaryFamily, place_key
from channelsim.analysis.intervals import Floats, Means, Resamplers, means
from channelsim.analysis.simultaneous import together
from channelsim.contracts.scales import ROUNDING, Scale, as_it_is

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord

Read = Callable[[np.ndarray], np.ndarray]

_AT_ONCE = 64  # members whose resamples are held at a time


class SourceCells:
    """One arm's input for the family: sums and counts [cells] of one metric, against the source."""

    def __init__(self, arm: ArmRecord, cells: ArmCells, metric: str) -> None:
        column = cells.names.index(f"{metric}_source")
        self.arm, self.cells = arm, cells.cells
        self.sums, self.counts = cells.sums[:, column], cells.counts[:, column]


@dataclass(frozen=True, slots=True)
class _Shared:
    """Means of the metric in every arm, over the units in all of them. ``arms``: their columns."""

    arms: Mapping[tuple[str, str], int]
    means: Means
    units: int


def primary_family(
    columns: Sequence[SourceCells],
    groups: Sequence[Group],
    scale: Scale,
    *,
    epsilon_key: str | None,
    in_db: bool,
    mean_image: float | None,
    resampler: Resamplers,
) -> PrimaryFamily | None:
    """All pairs of receivers; None with fewer than two, or if no message is shared by all arms.

    ``columns``: of the arms that have messages. ``groups``: the curves over a swept budget.
    ``scale``: of the primary metric.
    """
    receivers = tuple(dict.fromkeys(one.arm.receiver for one in columns))
    if len(receivers) < 2:
        return None
    shared = _shared(columns, resampler)
    if shared is None:
        return None
    points = {place_key(one.arm.swept): dict(one.arm.swept) for one in columns}
    members = [
        (key, first, second)
        for key in points
        for first, second in combinations(receivers, 2)
        if (first, key) in shared.arms and (second, key) in shared.arms
    ]
    found = together(_blocks(scale, shared, members), resampler)
    value = shared.means.value
    judged = []
    for (key, first, second), interval, p in zip(
        members, found.intervals, found.holm_p, strict=True
    ):
        one, other = (float(value[shared.arms[name, key]]) for name in (first, second))
        judged.append(
            _judged(
                Difference(
                    first=first, second=second, swept=points[key], difference=interval, holm_p=p
                ),
                scale,
                abs(one - other) > ROUNDING * max(abs(one), abs(other)),
            )
        )
    useless = []
    if mean_image is not None and scale.higher_is_better is not None:
        sign, plain = (1.0 if scale.higher_is_better else -1.0), scale.from_additive(value)
        useless = [
            (name, points[key])
            for (name, key), column in shared.arms.items()
            if sign * plain[column] <= sign * mean_image
        ]
    return PrimaryFamily(
        metric=scale.name,
        unit="dB" if scale.decibels else "",
        higher_is_better=scale.higher_is_better,
        receivers=receivers,
        points=tuple(points.values()),
        members=tuple(judged),
        areas=tuple(_areas(groups, scale, in_db, resampler)),
        useless=tuple(useless),
        mean_image=mean_image,
        units=shared.units,
        critical=found.critical,
        epsilon_key=epsilon_key,
    )


def _shared(columns: Sequence[SourceCells], resampler: Resamplers) -> _Shared | None:
    """In an unfinished run only units with equally many messages in every arm, or None."""
    cells = columns[0].cells
    for one in columns[1:]:
        cells = np.intersect1d(cells, one.cells, assume_unique=True)
    rows = [np.searchsorted(one.cells, cells) for one in columns]
    counts = np.stack([one.counts[row] for one, row in zip(columns, rows, strict=True)], axis=1)
    kept = (counts[:, 0] > 0) & (counts == counts[:, :1]).all(axis=1)
    if not kept.any():
        return None
    sums = np.stack([one.sums[row] for one, row in zip(columns, rows, strict=True)], axis=1)
    units = int(kept.sum())
    arms = {(one.arm.receiver, place_key(one.arm.swept)): i for i, one in enumerate(columns)}
    return _Shared(arms, means(sums[kept], counts[kept], resampler(units)), units)


def _blocks(
    scale: Scale, shared: _Shared, members: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[Means, Floats]]:
    """The members' differences, some at a time, with the size of the values compared."""
    plain = scale.from_additive(shared.means.value)
    for start in range(0, len(members), _AT_ONCE):
        some = members[start : start + _AT_ONCE]
        left = [shared.arms[first, key] for key, first, _ in some]
        right = [shared.arms[second, key] for key, _, second in some]
        gaps = shared.means.map(partial(_gaps, scale.from_additive, left, right))
        yield gaps, np.maximum(np.abs(plain[left]), np.abs(plain[right]))


def _gaps(read: Read, left: list[int], right: list[int], columns: Floats) -> Floats:
    """Differences in the metric's own unit; equal values give 0, even where both are ∞."""
    one, other = read(columns[..., left]), read(columns[..., right])
    with np.errstate(invalid="ignore"):
        return np.where(one == other, 0.0, one - other)


def _judged(one: Difference, scale: Scale, apart: bool) -> Difference:
    """The same with the surely better receiver; ``apart``: whether they differ significantly."""
    gap = one.difference
    if scale.higher_is_better is None or not apart or not (gap.low > 0.0 or gap.high < 0.0):
        return one
    better = one.first if (gap.value > 0.0) == scale.higher_is_better else one.second
    return replace(one, better=better)


# --- areas --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Curves:
    """The mean of every receiver's curve over one reading of one group."""

    over: Over
    group: Group
    means: Means  # [receivers]
    start: float
    end: float
    margins: Floats  # [receivers]: possible effect of the arms' positions


def _areas(
    groups: Sequence[Group], scale: Scale, in_db: bool, resampler: Resamplers
) -> list[Difference]:
    """All pairs × readings × groups: areas against the source over their range."""
    curves = []
    for group in groups:
        if len(group.receivers) > 1:
            readings = (_over_psr(group, scale), None if in_db else _over_epsilon(group, scale))
            curves += [one for one in readings if one is not None]
    blocks, pairs = [], []
    for curve in curves:
        value = curve.means.value
        some = list(combinations(range(len(curve.group.receivers)), 2))
        left, right = [a for a, _ in some], [b for _, b in some]
        size = np.maximum(np.abs(value[left]), np.abs(value[right]))
        blocks.append((curve.means.map(partial(_gaps, as_it_is, left, right)), size))
        pairs += [(curve, a, b) for a, b in some]
    found = together(blocks, resampler)
    areas = []
    for (curve, a, b), interval, p in zip(pairs, found.intervals, found.holm_p, strict=True):
        least = max(
            ROUNDING * float(np.abs(curve.means.value[[a, b]]).max()),
            float(curve.margins[[a, b]].sum()),
        )
        one = Difference(
            first=curve.group.receivers[a],
            second=curve.group.receivers[b],
            over=curve.over,
            swept=curve.group.fixed,
            difference=interval,
            holm_p=p,
            start=curve.start,
            end=curve.end,
        )
        areas.append(_judged(one, scale, abs(interval.value) > least))
    return areas


def _over_epsilon(group: Group, scale: Scale) -> _Curves | None:
    """The curves' means over ε, on the budgets that all receivers share."""
    every = [set(points.tolist()) for points in group.epsilons]
    grid = np.array(sorted(e for e in set.intersection(*every) if np.isfinite(e)))
    if len(grid) < 2:
        return None
    places = []
    for rank, points in enumerate(group.epsilons):
        mine = group.places(rank, f"{scale.name}_source")
        places.append([mine[points.tolist().index(epsilon)] for epsilon in grid])
    span = float(grid[-1] - grid[0])

    def statistic(columns: Floats) -> Floats:
        curves = [scale.from_additive(columns[..., own]) for own in places]
        return np.stack([area(grid, curve, 0.0, True) / span for curve in curves], axis=-1)

    # All receivers share the grid, so its error is the same for all.
    margins = np.zeros(len(places))
    return _Curves(
        "epsilon", group, group.means.map(statistic), float(grid[0]), float(grid[-1]), margins
    )


def _over_psr(group: Group, scale: Scale) -> _Curves | None:
    """The curves' means over the range of relative amplitude that all receivers share."""
    polygons = Polygons(group)
    if not polygons.usable:
        return None
    ranks = range(len(group.receivers))

    def statistic(columns: Floats) -> Floats:
        found = []
        for rank in ranks:
            where, values = polygons.inside(columns, rank, f"{scale.name}_source")
            span = where[..., -1] - where[..., 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(area(where, scale.from_additive(values), 0.0, True) / span)
        return np.stack(found, axis=-1)

    start, end = (float(one) for one in polygons.range(group.means.value))
    margins = np.zeros(len(group.receivers))
    if not polygons.same_power():  # arms at the same amplitudes have the same error
        margins = polygons.grid_error(scale, 0.0, False, "source") / (end - start)
    return _Curves("psr", group, group.means.map(statistic), start, end, margins)
