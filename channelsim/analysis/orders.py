"""Lu & Chen's order of receivers by the change under attack, under either reading.

It compares every codec with its own undisturbed g(z), so a codec that conveys little loses little:
this order is Lu & Chen's, secondary, and does not measure the user's quality (`family` does). A
receiver that serves the user worse may not win here (`Order.unranked`).

Two receivers are compared by the difference of their areas over the same resampled messages. The
one with the larger area beats the other only if the 95 % interval of that difference excludes 0
(Holm's correction over all pairs of one reading of one metric), and if the difference is larger
than rounding and than the possible effect of the arms' positions on the abscissa.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from channelsim.analysis.areas import Area, area, normaliser
from channelsim.analysis.curves import Group
from channelsim.analysis.equal_psr import AtPsr, Polygons, psr_areas, share, table
from channelsim.analysis.family import PrimaryFamily
from channelsim.analysis.intervals import LEVEL, Floats, Interval, Means, holm, intervals, p_values
from channelsim.contracts.scales import ROUNDING, Scale

At = Literal["epsilon", "psr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two receivers: ``difference`` of their areas, ``better`` minus ``worse``, never negative.

    ``p``: of `intervals.p_values`, Holm-adjusted within the order. ``margin``: the possible effect
    of rounding and of the arms' positions. ``decided``: p < 0.05 and difference > margin.
    """

    better: str
    worse: str
    difference: Interval
    p: float
    margin: float
    decided: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Receivers by one metric's area, the best first.

    ``at``: compared at equal ``epsilon`` or equal ``psr``. ``normalised``: by nAADDC, else AADDC.
    ``unranked``: left out, since they would precede a receiver that surely serves the user better
    (`PrimaryFamily.barred`).
    """

    at: At
    metric: str
    normalised: bool
    receivers: tuple[str, ...]
    pairs: tuple[Pair, ...]
    unranked: tuple[str, ...] = ()

    def beats(self, one: str, other: str) -> bool:
        """Whether one receiver is surely better than the other."""
        return any(p.decided and (p.better, p.worse) == (one, other) for p in self.pairs)

    def __str__(self) -> str:
        """``a > b ≈ c (d unranked)``: neighbours decided (>) or not (≈)."""
        text = self.receivers[0]
        for better, worse in zip(self.receivers, self.receivers[1:], strict=False):
            text += f" {'>' if self.beats(better, worse) else '≈'} {worse}"
        return text + (f" ({', '.join(self.unranked)} unranked)" if self.unranked else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All receivers side by side at one value of every other swept key (``fixed``).

    ``areas``: at equal PSR (those at equal ε are ``Summary.areas``); ``start``, ``end``: the common
    range of relative amplitude √(‖δ‖²/(K·P)). ``table``: quality at a few PSRs. ``same_power``:
    every ε was the same PSR for all receivers, so both readings are one. ``orders``: of several
    receivers, per metric and reading (where ``same_power``, one reading).
    """

    fixed: Mapping[str, Any] = field(default_factory=dict)
    receivers: tuple[str, ...]
    start: float
    end: float
    same_power: bool
    areas: tuple[Area, ...]
    table: tuple[AtPsr, ...]
    orders: tuple[Order, ...]

    def order(self, metric: str, at: At) -> Order | None:
        """The order by one metric under one reading."""
        return next((o for o in self.orders if (o.metric, o.at) == (metric, at)), None)


def compare(
    groups: Sequence[Group],
    scales: Sequence[Scale],
    in_db: bool,
    clip: bool,
    primary: PrimaryFamily | None = None,
) -> tuple[Comparison, ...]:
    """Order the receivers under both readings of every curve.

    ``primary``: decides which receivers may not win.
    """
    found = []
    for group in groups:
        polygons = Polygons(group)
        if not polygons.usable:
            continue
        start, end = polygons.range(group.means.value)
        same = polygons.same_power()
        orders = []
        for scale in scales:
            if scale.limit is None or scale.higher_is_better is None or len(group.receivers) < 2:
                continue
            # A budget in dB is a PSR: at equal ε there is no origin and no normalised area.
            if not (same and in_db):
                orders.append(_at_epsilon(group, scale, scale.limit, in_db, clip))
            if not same or in_db:
                orders.append(_at_psr(polygons, scale, scale.limit, clip))
        found.append(
            Comparison(
                fixed=group.fixed,
                receivers=group.receivers,
                start=float(start),
                end=float(end),
                same_power=same,
                areas=tuple(psr_areas(polygons, scales, clip)),
                table=tuple(table(polygons, scales)),
                orders=tuple(
                    _ranked(one, group.fixed, primary) for one in orders if one is not None
                ),
            )
        )
    return tuple(found)


def _ranked(order: Order, fixed: Mapping[str, Any], primary: PrimaryFamily | None) -> Order:
    """The order without receivers that would precede one that they may not beat."""
    barred = () if primary is None else primary.barred(order.at, fixed)
    unranked = {one for one, other in combinations(order.receivers, 2) if (one, other) in barred}
    return replace(
        order,
        receivers=tuple(name for name in order.receivers if name not in unranked),
        pairs=tuple(p for p in order.pairs if not {p.better, p.worse} & unranked),
        unranked=tuple(name for name in order.receivers if name in unranked),
    )


def _at_epsilon(group: Group, scale: Scale, line: float, in_db: bool, clip: bool) -> Order | None:
    finite = scale.perfect is not None
    every = [set(points.tolist()) for points in group.epsilons]
    grid = np.array(sorted(e for e in set.intersection(*every) if np.isfinite(e)))
    if not finite and not in_db:
        grid = grid[grid > 0]
    if len(grid) < 2:
        return None
    higher = bool(scale.higher_is_better)
    places = []
    for rank, points in enumerate(group.epsilons):
        mine = group.places(rank, f"{scale.name}_clean")
        places.append([mine[points.tolist().index(epsilon)] for epsilon in grid])

    def statistic(columns: Floats) -> Floats:
        curves = [scale.from_additive(columns[..., own]) for own in places]
        found = [area(grid, curve, line, higher, clip) for curve in curves]
        return np.stack(found + [normaliser(grid, curve, line) for curve in curves], axis=-1)

    normalised = finite and grid[0] == 0.0 and not in_db
    # All receivers share the grid, so its error is the same for all.
    return _order("epsilon", scale, group, group.means.map(statistic), normalised, None)


def _at_psr(polygons: Polygons, scale: Scale, line: float, clip: bool) -> Order | None:
    finite = scale.perfect is not None
    start, end = polygons.range(polygons.group.means.value, finite)
    if not start < end:
        return None
    normalised = finite and float(start) == 0.0
    # Arms at the same amplitudes have the same error.
    same = polygons.same_power()
    errors = None if same else polygons.grid_error(scale, line, normalised)
    areas = polygons.areas(scale, line, clip)
    return _order("psr", scale, polygons.group, areas, normalised, errors)


def _order(
    at: At, scale: Scale, group: Group, both: Means, normalised: bool, errors: Floats | None
) -> Order | None:
    """``both``: areas of all receivers and, behind them, their normalisers."""
    many = len(group.receivers)
    if normalised and not (both.value[many:] > 0).all():
        normalised = False
    values = both.map(lambda columns: share(columns, many) if normalised else columns[..., :many])
    if not np.isfinite(values.value).all():
        return None
    rank = sorted(range(many), key=lambda place: -values.value[place])
    pairs = list(combinations(rank, 2))
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    gaps = values.map(lambda columns: columns[..., left] - columns[..., right])
    size = np.maximum(np.abs(values.value[left]), np.abs(values.value[right]))
    margin = ROUNDING * size
    if errors is not None:
        margin = np.maximum(margin, errors[left] + errors[right])
    adjusted = holm(p_values(gaps.value, gaps.resampled, gaps.left_out, gaps.few))
    return Order(
        at=at,
        metric=scale.name,
        normalised=normalised,
        receivers=tuple(group.receivers[place] for place in rank),
        pairs=tuple(
            Pair(
                better=group.receivers[a],
                worse=group.receivers[b],
                difference=difference,
                p=float(p),
                margin=float(least),
                decided=bool(p < 1 - LEVEL and difference.value > least),
            )
            for (a, b), difference, p, least in zip(
                pairs, intervals(gaps), adjusted, margin, strict=True
            )
        ),
    )
