"""The second reading of every curve: at equal power of the perturbation, not at equal budget.

Codecs differ in the scale of their latents (a regulariser that does not fix it, such as
Shapiro–Wilk's, leaves it free), so one ε is weak for one codec and strong for another. Here a
DD-curve is parametrised by the relative amplitude of the perturbation,

    ρ = √(mean over messages of ‖δ‖² / (K·P)) = 10^(PSR/20),

K real values of transmit power P, at the injection point. The curve is the polygon through the
measured arms, linear in ρ on the metric's additive scale (the MSE behind a PSNR), beginning with
the arm without an attack. It is integrated over the range that all receivers share: up to ρ₂ = min
over receivers of their largest ρ. ρ and ρ₂ are means of the sample like any other and are resampled
with it. The abscissa ρ instead of decibels is a choice of this project: it grows as ε does, and
includes 0, no attack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from channelsim.analysis.areas import Area, area, flags_of
from channelsim.analysis.cells import in_metric
from channelsim.analysis.curves import Group
from channelsim.analysis.intervals import Floats, Interval, Means, intervals
from channelsim.contracts.scales import Scale
from channelsim.support import units

STEP_DB, MOST_POINTS, LOWEST_DB = 5.0, 6, -20.0  # of the table; project's choice
SAME = 1.01  # project's choice: amplitudes within 1 % (0.09 dB) are the same power


@dataclass(frozen=True, slots=True, kw_only=True)
class AtPsr:
    """One metric of one receiver at a PSR, interpolated between the measured arms.

    ``source``: against the source image; ``clean``: against g(z).
    """

    receiver: str
    metric: str
    psr_db: float
    source: Interval | None
    clean: Interval | None
    fixed: Mapping[str, Any] = field(default_factory=dict)


def at(amplitude: Floats, quality: Floats, where: Floats) -> Floats:
    """Value of polygons [..., points], ascending in amplitude [..., points], at places [..., m].

    Constant beyond the ends; of several points at one amplitude the last one counts.
    """
    found = np.repeat(quality[..., :1], where.shape[-1], axis=-1)
    for right in range(1, amplitude.shape[-1]):
        start, end = amplitude[..., right - 1, None], amplitude[..., right, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(end > start, (where - start) / (end - start), where >= end)
        step = quality[..., right, None] - quality[..., right - 1, None]
        found = found + np.clip(share, 0.0, 1.0) * step
    return found


class Polygons:
    """The curves of one group of receivers over ρ, for any of its resamples.

    A statistic takes the group's columns [..., columns] and returns one value per receiver.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        value = group.means.value
        self._psr = [group.places(rank, "psr") for rank in range(len(group.receivers))]
        self._moved = [[place for place in places if value[place] > 0.0] for places in self._psr]

    @property
    def usable(self) -> bool:
        """Whether every receiver was attacked, with known power, over some common range."""
        value = self.group.means.value
        known = all(bool(np.isfinite(value[places]).all()) for places in self._psr)
        if not known or not all(self._moved):
            return False
        start, end = self.range(value)
        return bool(SAME * start < end)  # all at one power: no range, and no curve

    def range(self, columns: Floats, finite_start: bool = True) -> tuple[Floats, Floats]:
        """ρ at both ends of the range that all receivers share, each [...]."""
        first = self._psr if finite_start else self._moved
        start = [columns[..., places].min(axis=-1) for places in first]
        end = [columns[..., places].max(axis=-1) for places in self._psr]
        return np.sqrt(np.max(start, axis=0)), np.sqrt(np.min(end, axis=0))

    def curve(self, columns: Floats, rank: int, column: str) -> tuple[Floats, Floats]:
        """ρ ascending and the column's values, on its additive scale, both [..., points]."""
        amplitude = np.sqrt(columns[..., self._psr[rank]])
        order = np.argsort(amplitude, axis=-1, kind="stable")
        values = columns[..., self.group.places(rank, column)]
        return np.take_along_axis(amplitude, order, -1), np.take_along_axis(values, order, -1)

    def inside(
        self, columns: Floats, rank: int, column: str, finite_start: bool = True
    ) -> tuple[Floats, Floats]:
        """The same, cut to the common range; points outside fall onto its ends."""
        amplitude, values = self.curve(columns, rank, column)
        start, end = self.range(columns, finite_start)
        where = np.clip(amplitude, start[..., None], end[..., None])
        return where, at(amplitude, values, where)

    def areas(self, scale: Scale, line: float, clip: bool) -> Means:
        """Signed areas of all receivers and, behind them, their normalisers: [..., 2 receivers]."""
        finite = scale.perfect is not None

        def statistic(columns: Floats) -> Floats:
            found, norms = [], []
            for rank in range(len(self.group.receivers)):
                where, values = self.inside(columns, rank, f"{scale.name}_clean", finite)
                quality = scale.from_additive(values)
                found.append(area(where, quality, line, bool(scale.higher_is_better), clip))
                norms.append(np.abs(quality[..., 0] - line) * (where[..., -1] - where[..., 0]))
            return np.stack(found + norms, axis=-1)

        return self.group.means.map(statistic)

    def grid_error(
        self, scale: Scale, line: float, normalised: bool, against: str = "clean"
    ) -> Floats:
        """The largest effect of the arms' positions on each receiver's area, [receivers].

        Twice (project's choice) the trapezoid's error Σ h³/12·|q''| over the pieces that reach into
        the range, q'' from the arms around; with two arms, the most that any monotone curve could
        differ.
        """
        value = self.group.means.value
        finite = against == "source" or scale.perfect is not None  # no decoded image is perfect
        start, end = (float(one) for one in self.range(value, finite))
        errors = []
        for rank in range(len(self.group.receivers)):
            where, values = self.curve(value, rank, f"{scale.name}_{against}")
            # Of several arms at one amplitude the last one counts, as in `at`.
            where, back = np.unique(where[::-1], return_index=True)
            quality = scale.from_additive(values[::-1][back])
            where, quality = where[np.isfinite(quality)], quality[np.isfinite(quality)]
            width = np.diff(where)
            slope = np.diff(quality) / width
            reach = (where[1:] > start) & (where[:-1] < end)
            if len(where) > 2:
                bend = np.abs(2 * np.diff(slope) / (width[1:] + width[:-1]))
                bend = np.concatenate([bend[:1], bend, bend[-1:]])  # one per arm
                piece = 2 * width**3 / 12 * np.maximum(bend[1:], bend[:-1])
            else:
                piece = width**2 * np.abs(slope) / 2
            error = float(piece[reach].sum())
            _, inside = self.inside(value, rank, f"{scale.name}_{against}", finite)
            gap = abs(float(scale.from_additive(inside)[0]) - line)
            errors.append(error / (gap * (end - start)) if normalised else error)
        return np.array(errors)

    def same_power(self) -> bool:
        """Whether at every ε all receivers had the same relative power of the perturbation."""
        value = self.group.means.value
        by_epsilon: dict[float, list[float]] = {}
        for rank, places in enumerate(self._psr):
            for epsilon, place in zip(self.group.epsilons[rank], places, strict=True):
                by_epsilon.setdefault(float(epsilon), []).append(float(np.sqrt(value[place])))
        return all(max(found) <= SAME * min(found) for found in by_epsilon.values())


def psr_areas(polygons: Polygons, scales: Sequence[Scale], clip: bool) -> list[Area]:
    """AADDC over ρ of all receivers and metrics with a line; ``start``, ``end`` are ρ."""
    group, value = polygons.group, polygons.group.means.value
    many, found = len(group.receivers), []
    for scale in scales:
        if scale.limit is None or scale.higher_is_better is None:
            continue
        finite = scale.perfect is not None
        start, end = (float(one) for one in polygons.range(value, finite))
        if not start < end:
            continue
        means = polygons.areas(scale, scale.limit, clip)
        raw = intervals(means, lambda both: both[..., :many])
        shares = intervals(means, lambda both: share(both, many))
        for rank, receiver in enumerate(group.receivers):
            where, values = polygons.inside(value, rank, f"{scale.name}_clean", finite)
            quality = scale.from_additive(values)
            flags = flags_of(where, quality, scale.limit, scale.higher_is_better, finite)
            found.append(
                Area(
                    receiver=receiver,
                    metric=scale.name,
                    fixed=group.fixed,
                    raw=raw[rank],
                    normalised=shares[rank] if finite and start == 0.0 and quality[0] != scale.limit
                    else None,
                    line=scale.limit,
                    start=start,
                    end=end,
                    points=len(np.unique(where)),
                    flags=flags,
                )
            )  # fmt: skip
    return found


def share(both: Floats, many: int) -> Floats:
    """Areas over their normalisers: [..., 2·many] → [..., many]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = both[..., :many] / both[..., many:]
    return found


def table(polygons: Polygons, scales: Sequence[Scale]) -> list[AtPsr]:
    """Values of every receiver at a few PSRs inside the common range."""
    group = polygons.group
    decibels = np.array(points_db(*(float(e) for e in polygons.range(group.means.value))))
    where = 10 ** (decibels / 20)

    def read(rank: int, column: str, scale: Scale) -> list[Interval | None]:
        def statistic(columns: Floats) -> Floats:
            places = np.broadcast_to(where, (*columns.shape[:-1], len(where)))
            return at(*polygons.curve(columns, rank, column), places)

        found = intervals(group.means, statistic)
        return [None if np.isnan(i.value) else in_metric(i, scale, group.means.few) for i in found]

    return [
        AtPsr(
            receiver=receiver,
            metric=scale.name,
            psr_db=float(psr),
            source=source,
            clean=clean,
            fixed=group.fixed,
        )
        for scale in scales
        for rank, receiver in enumerate(group.receivers)
        for psr, source, clean in zip(
            decibels,
            read(rank, f"{scale.name}_source", scale),
            read(rank, f"{scale.name}_clean", scale),
            strict=True,
        )
    ]


def points_db(start: float, end: float) -> list[float]:
    """At most six multiples of 5 dB between two amplitudes, from −20 dB or the third largest."""
    top, bottom = 2 * units.db(end) + 1e-3, 2 * units.db(start)
    highest = STEP_DB * np.floor(top / STEP_DB)
    lowest = min(LOWEST_DB, highest - 2 * STEP_DB)
    found = np.arange(highest, lowest - 1e-9, -STEP_DB)[:MOST_POINTS][::-1]
    return [float(psr) for psr in found if psr >= bottom]
