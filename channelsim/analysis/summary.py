"""The results of a run with intervals: per receiver and sweep point, and per curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from channelsim.analysis.aims import aim_of
from channelsim.analysis.areas import Area
from channelsim.analysis.cells import read_arm
from channelsim.analysis.coverage import Coverage, coverages
from channelsim.analysis.curves import CurveCells, across_receivers, areas_of, counts_bits
from channelsim.analysis.family import PrimaryFamily
from channelsim.analysis.foreign_data import Sent, Trunk, powers, trunks
from channelsim.analysis.intervals import Resampler, ends
from channelsim.analysis.larger_budgets import Envelope, Reversal, envelopes, objectives, reversals
from channelsim.analysis.names import decibel_keys, epsilon_key_of
from channelsim.analysis.orders import Comparison, compare
from channelsim.analysis.points import Point, flat, read_point
from channelsim.analysis.primary import SourceCells, primary_family
from channelsim.analysis.resampling import Resampled, unit_of
from channelsim.analysis.success import SideBySide, successes
from channelsim.analysis.timeline import Timeline, timelines
from channelsim.analysis.undecoded import Undecoded, undecoded
from channelsim.contracts.promises import of_header, weakened
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.sampling import Sampling
from channelsim.contracts.scales import scale_of

if TYPE_CHECKING:
    from channelsim.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything a table or a plot of one run needs.

    ``primary_metric``: by which receivers are compared for the user; ``primary``: the comparison,
    and the best receiver (`family`); None with one receiver. Everything else is secondary:
    intervals and p of one figure at a time. ``points`` in arm order; ``areas`` at equal ε where
    exactly one swept key is a budget's epsilon (``epsilon_key``; ``decibel_keys``: the swept
    budgets in dB), and then ``comparisons``: the
    same at equal PSR, and the receivers' order under both readings. ``coverages``: value of
    detectors, per arm that has one; ``timelines``: traffic over time, per arm. ``constant_image``:
    the score of a receiver that always shows the data set's mean image, per metric against the
    source; the sanity row of every table. ``in_bits``: whether budgets count flipped bits, so that
    a control is as many random flips and not noise of the same power. ``resampled``: the unit that
    intervals resample. They are BCa bootstrap intervals (for few time blocks, the jackknife's),
    seeded by the run's seed: the same ledger always gives the same summary. ``shared_paths``: names
    of adversaries that act on one path, whose δ, PSR, gain and verdict are of all of them together.
    ``weakened``: parts of the promise about bits that do not hold on the run's machine, in
    sentences. ``successes``: receivers compared by their goals' criterion. ``reversals``: where a
    larger budget did less for the attack's own objective; ``envelopes``: of those curves.
    ``trunks``: the classifiers of metrics; ``powers``: of receivers with noticeably more or less
    power than their card's P. ``scales``: the header's entries for the user's own metrics, see
    `scale_of`. ``sampling``: of signals; None of a run of images. ``noun``: what a
    message carries, ``image`` or ``signal``.
    """

    title: str
    seed: int
    count: int
    metrics: tuple[str, ...]
    receivers: tuple[str, ...]
    swept_keys: tuple[str, ...]
    epsilon_key: str | None
    decibel_keys: tuple[str, ...]
    control: bool
    gain_metric: str | None
    points: tuple[Point, ...]
    areas: tuple[Area, ...] = field(default_factory=tuple)
    comparisons: tuple[Comparison, ...] = field(default_factory=tuple)
    constant_image: Mapping[str, float] = field(default_factory=dict)
    coverages: tuple[Coverage, ...] = field(default_factory=tuple)
    timelines: tuple[Timeline, ...] = field(default_factory=tuple)
    in_bits: bool = False
    sampling: Sampling | None = None
    noun: str = "image"
    resampled: Resampled = field(default_factory=Resampled)
    shared_paths: tuple[tuple[str, ...], ...] = ()
    weakened: tuple[str, ...] = ()
    successes: tuple[SideBySide, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    powers: tuple[Sent, ...] = ()
    undecoded: tuple[Undecoded, ...] = ()
    reversals: tuple[Reversal, ...] = ()
    envelopes: tuple[Envelope, ...] = ()
    primary_metric: str = ""
    primary: PrimaryFamily | None = None
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def unit_of(self, metric: str) -> str:
        """The unit of a metric whose unit is the signal's, behind a space; else empty."""
        unit = "" if self.sampling is None or metric != "mse" else self.sampling.unit
        return f" [{unit}²]" if unit else ""

    def column_unit_of(self, metric: str) -> str:
        """The same, or `` [dB]`` of a metric whose values are decibels."""
        return " [dB]" if scale_of(metric, self.scales).decibels else self.unit_of(metric)

    @property
    def epsilon_in_db(self) -> bool:
        """Whether the swept budget is in dB."""
        return self.epsilon_key in self.decibel_keys

    def of(self, receiver: str) -> tuple[Point, ...]:
        """The points of one receiver, in arm order."""
        return tuple(point for point in self.points if point.receiver == receiver)

    @property
    def complete(self) -> bool:
        """Whether every transmission of every arm is settled."""
        return all(point.n == point.expected for point in self.points)

    def rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per point (``pandas.DataFrame(summary.rows())``)."""
        return [flat(point) for point in self.points]

    def area_rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per area and reading: ``at`` is ``epsilon`` or ``psr``.

        ``start``, ``end``: of ε, or of relative amplitude (the PSR is 20·log₁₀ of it).
        """
        rows = [("epsilon", area) for area in self.areas]
        rows += [("psr", area) for one in self.comparisons for area in one.areas]
        return [_flat_area(at, area) for at, area in rows]

    def coverage_rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per arm with a detector: its errors, areas and risks."""
        return [one.row() for one in self.coverages]

    def envelope_rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per budget of every curve in which a larger one did less."""
        return [one.row() for one in self.envelopes]

    def timeline_rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per arm and bin of simulated time."""
        return [row for one in self.timelines for row in one.rows()]


def summarise(ledger: Ledger, clip: bool = False) -> Summary:
    """Summarise a ledger, finished or not; ``clip`` as in `areas.area`."""
    header, arms = ledger.header(), ledger.arms()
    tried = of_header(header)
    unit = unit_of(ledger, header, arms)
    resampler = _resamplers(header.seed, unit.what.in_time)
    epsilon_key = epsilon_key_of(header.swept_keys)
    forms = header.scales
    scales = [scale_of(name, forms) for name in header.metrics]
    points, curves, columns, judged = [], {}, [], []
    metric, mean_image = header.primary, _mean_image(header)
    for arm in arms:
        aim = aim_of(header.described_scenario, arm.swept, header.noun)
        towards = aim.metric(header.metrics, header.damage_metric)
        cells = read_arm(ledger, header, arm.arm, unit, towards)
        points.append(read_point(arm, cells, header, resampler, aim, towards))
        judged.append((arm, cells.only(objectives(header.metrics)), aim))
        if cells.messages:
            columns.append(SourceCells(arm, cells, metric))
        if epsilon_key is not None and cells.messages:
            curves[arm.arm] = CurveCells(arm, cells, scales)
    met, beside = successes(ledger, header, [(arm, aim) for arm, _, aim in judged], unit)
    points = [replace(point, success=met.get(point.arm)) for point in points]
    decibels = decibel_keys(header.described_scenario, header.swept_keys)
    in_db = epsilon_key in decibels
    measured = list(curves.values())
    groups = across_receivers(measured, epsilon_key or "", resampler)
    family = primary_family(
        columns,
        groups,
        scale_of(metric, forms),
        epsilon_key=epsilon_key,
        in_db=in_db,
        mean_image=mean_image.get(metric),
        resampler=resampler,
    )
    turned = reversals(judged, header, epsilon_key, resampler)
    return Summary(
        title=header.title,
        constant_image=mean_image,
        seed=header.seed,
        count=header.count,
        metrics=header.metrics,
        receivers=tuple(dict.fromkeys(arm.receiver for arm in arms)),
        swept_keys=header.swept_keys,
        epsilon_key=epsilon_key,
        decibel_keys=decibels,
        control=header.control,
        gain_metric=header.damage_metric if header.control else None,
        scales=forms,
        points=tuple(points),
        areas=areas_of(measured, epsilon_key, in_db, resampler, clip),
        comparisons=compare(groups, scales, in_db, clip, family),
        coverages=coverages(
            ledger, header, arms, _resamplers(header.seed, unit.what.in_time), unit
        ),
        timelines=timelines(ledger, header, arms),
        in_bits=counts_bits(header.described_scenario),
        sampling=header.sampling,
        noun=header.noun,
        resampled=unit.what,
        shared_paths=header.shared_paths,
        weakened=() if tried is None else tuple(weakened(tried)),
        successes=beside,
        trunks=trunks(header),
        powers=powers((p.receiver, p.row_power, p.snr_db, p.psr_db) for p in points),
        undecoded=undecoded(ledger, arms),
        reversals=turned,
        envelopes=envelopes(ledger, judged, header, epsilon_key, unit, resampler, turned),
        primary_metric=metric,
        primary=family,
    )


def _mean_image(header: RunHeader) -> dict[str, float]:
    return dict(header.calibration.constant_image)


def _resamplers(seed: int, in_time: bool) -> Callable[[int], Resampler]:
    """Resamplers by number of cells; arms over equally many messages share theirs."""
    known: dict[int, Resampler] = {}

    def of(cells: int) -> Resampler:
        if cells not in known:
            known.clear()  # an unfinished run may have a different number in every arm
            known[cells] = Resampler(cells, seed, in_time=in_time)
        return known[cells]

    return of


def _flat_area(at: str, area: Area) -> dict[str, Any]:
    row: dict[str, Any] = {"at": at, "receiver": area.receiver, "metric": area.metric}
    row |= {**area.fixed, "line": area.line, "start": area.start, "end": area.end}
    row |= {"points": area.points, "flags": "; ".join(area.flags)}
    return row | ends("aaddc", area.raw) | ends("naaddc", area.normalised)
