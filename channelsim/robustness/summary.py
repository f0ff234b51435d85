"""What a run found, in numbers with intervals: per receiver and sweep point, and per curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from channelsim import records, units
from channelsim.metrics.scales import damage_metric, scale_of
from channelsim.promises import of_header, weakened
from channelsim.robustness.areas import Area
from channelsim.robustness.cells import FIRST, ArmCells, in_metric, read_arm
from channelsim.robustness.coverage import Coverage, coverages
from channelsim.robustness.curves import CurveCells, areas_of, counts_bits
from channelsim.robustness.gain import adversarial_gain, beaten
from channelsim.robustness.intervals import Interval, Means, Resampler, ends, intervals
from channelsim.robustness.names import epsilon_key_of, in_decibels, scenario_of
from channelsim.robustness.orders import Comparison, compare
from channelsim.robustness.resampling import Resampled, unit_of
from channelsim.robustness.timeline import Timeline, timelines
from channelsim.robustness.verdicts import arm_verdict
from channelsim.scales import Scale

if TYPE_CHECKING:
    from channelsim.ledger import Ledger
    from channelsim.records import ArmRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One metric at one point: means with 95 % intervals, each None where nothing was measured.

    ``source`` is the primary endpoint; ``quality`` is the undisturbed g(z) against the source, and
    stands beside it always. ``target`` is the image that the adversary wants to be seen (None where
    its goal is damage). ``control_*`` are the matched noise's.
    """

    source: Interval | None
    quality: Interval | None
    clean: Interval | None
    passive: Interval | None
    target: Interval | None = None
    control_source: Interval | None = None
    control_clean: Interval | None = None
    control_passive: Interval | None = None
    control_target: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One arm: a receiver at one point of the sweep.

    ``n`` of ``expected`` transmissions are settled; they carry ``images`` different images.
    ``cells``: how many units every interval resamples (`Summary.resampled`). ``power``: P per real
    value on the wire, ``latent_size``: K, of the receiver's codec; a perturbation of energy ‖δ‖²
    has the PSR ‖δ‖²/(K·P). ``psr_db``, ``psr_received_db`` average linear power over all attempts
    of all messages, those with no perturbation included; None where nothing was injected.
    ``attacked_share``: of the attempts, how
    many the adversary did not let pass; None without one. ``snr_measured_db`` is P over the mean
    noise power, of all attempts. ``verdict``: see `arm_verdict`; ``verdicts``: of all attempts.
    ``false_alarm_share``: of the attempts that arrived with nothing injected, how many were
    rejected; None without such. ``gain_db``: see `gain`, read from
    ``Summary.gain_metric`` at first attempts; None without an attack.
    """

    arm: int
    receiver: str
    swept: Mapping[str, Any]
    n: int
    expected: int
    images: int
    cells: int
    power: float | None
    latent_size: int | None
    metrics: Mapping[str, Reading]
    gain_db: Interval | None
    verdict: str | None
    verdicts: Mapping[str, int]
    attacked_share: float | None
    psr_db: float | None
    psr_received_db: float | None
    snr_db: float | None
    snr_measured_db: float | None
    delivered_share: float | None
    lost_share: float | None
    rejected_share: float | None
    attempts: float | None
    latency_s: float | None
    attempts_rejected_share: float | None
    false_alarm_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything a table or a plot of one run needs.

    ``points`` in arm order; ``areas`` at equal ε where exactly one swept key is a budget's epsilon
    (``epsilon_key``), and then ``comparisons``: the same at equal PSR, and the receivers' order
    under both readings. ``coverages``: what detectors are worth, per arm that has one;
    ``timelines``: what happened when, per arm. ``constant_image``: what a receiver scores that
    always shows the data set's mean image, per metric against the source; the sanity row of every
    table. ``in_bits``: whether budgets count flipped bits, so that a control is as many random ones
    and not noise of the same power. ``resampled``: the unit that intervals resample. They are BCa
    bootstrap intervals (of few stretches of time, the jackknife's), seeded by the run's seed: the
    same ledger always gives the same summary. ``shared_paths``: names of adversaries that act on
    one path, whose δ, PSR, gain and verdict are of all of them together. ``weakened``: what of the
    promise about bits does not hold where the run was computed, in sentences. ``scales``: what the
    header keeps of metrics of the user's own, see `scale_of`.
    """

    title: str
    seed: int
    count: int
    metrics: tuple[str, ...]
    receivers: tuple[str, ...]
    swept_keys: tuple[str, ...]
    epsilon_key: str | None
    epsilon_in_db: bool
    control: bool
    gain_metric: str | None
    points: tuple[Point, ...]
    areas: tuple[Area, ...] = field(default_factory=tuple)
    comparisons: tuple[Comparison, ...] = field(default_factory=tuple)
    constant_image: Mapping[str, float] = field(default_factory=dict)
    coverages: tuple[Coverage, ...] = field(default_factory=tuple)
    timelines: tuple[Timeline, ...] = field(default_factory=tuple)
    in_bits: bool = False
    resampled: Resampled = field(default_factory=Resampled)
    shared_paths: tuple[tuple[str, ...], ...] = ()
    weakened: tuple[str, ...] = ()
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, receiver: str) -> tuple[Point, ...]:
        """Return the points of one receiver, in arm order."""
        return tuple(point for point in self.points if point.receiver == receiver)

    @property
    def complete(self) -> bool:
        """Whether every transmission of every arm is settled."""
        return all(point.n == point.expected for point in self.points)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per point (``pandas.DataFrame(summary.rows())``)."""
        return [_flat(point) for point in self.points]

    def area_rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per area and reading: ``at`` is ``epsilon`` or ``psr``.

        ``start``, ``end``: of ε, or of relative amplitude (the PSR is 20·log₁₀ of it).
        """
        rows = [("epsilon", area) for area in self.areas]
        rows += [("psr", area) for one in self.comparisons for area in one.areas]
        return [_flat_area(at, area) for at, area in rows]

    def coverage_rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per arm with a detector: its errors, areas and risks."""
        return [one.row() for one in self.coverages]

    def timeline_rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per arm and bin of simulated time."""
        return [row for one in self.timelines for row in one.rows()]


def summarise(ledger: Ledger, clip: bool = False) -> Summary:
    """Summarise a ledger, finished or not; ``clip`` as in `areas.area`."""
    header, arms = ledger.header(), ledger.arms()
    tried = of_header(header)
    unit = unit_of(ledger, header, arms)
    resampler = _resamplers(int(header["seed"]), unit.what.in_time)
    epsilon_key = epsilon_key_of(header["swept_keys"])
    told = header.get("scales", {})
    scales = [scale_of(name, told) for name in header["metrics"]]
    points, curves = [], {}
    for arm in arms:
        cells = read_arm(ledger, header, arm.arm, unit)
        points.append(_point(arm, cells, header, resampler))
        if epsilon_key is not None and cells.messages:
            curves[arm.arm] = CurveCells(arm, cells, scales)
    in_db = epsilon_key is not None and in_decibels(scenario_of(header), epsilon_key)
    measured = list(curves.values())
    compared: tuple[Comparison, ...] = ()
    if epsilon_key is not None and measured:
        compared = compare(measured, epsilon_key, in_db, resampler, clip)
    return Summary(
        title=str(header["title"]),
        constant_image=header.get("calibration", {}).get("constant_image", {}),
        seed=int(header["seed"]),
        count=int(header["count"]),
        metrics=tuple(header["metrics"]),
        receivers=tuple(dict.fromkeys(arm.receiver for arm in arms)),
        swept_keys=tuple(header["swept_keys"]),
        epsilon_key=epsilon_key,
        epsilon_in_db=in_db,
        control=bool(header["control"]),
        gain_metric=damage_metric(header["metrics"], told) if header["control"] else None,
        scales=told,
        points=tuple(points),
        areas=areas_of(measured, epsilon_key, in_db, resampler, clip),
        comparisons=compared,
        coverages=coverages(
            ledger, header, arms, _resamplers(int(header["seed"]), unit.what.in_time), unit
        ),
        timelines=timelines(ledger, header, arms),
        in_bits=counts_bits(scenario_of(header)),
        resampled=unit.what,
        shared_paths=tuple(map(tuple, header.get("shared_paths", []))),
        weakened=() if tried is None else tuple(weakened(tried)),
    )


# --- points -------------------------------------------------------------------------------------


def _point(
    arm: ArmRecord,
    cells: ArmCells,
    header: Mapping[str, Any],
    resampler: Callable[[int], Resampler],
) -> Point:
    metrics = list(header["metrics"])
    found = cells.means(resampler(len(cells.cells))) if cells.messages else None
    tally = cells.tally
    gain, lost_to_noise = None, False
    power = header.get("calibration", {}).get("power", {}).get(str(arm.arm))
    spared = sum(tally.verdicts.get(word, 0) for word in records.SPARED)
    attacked = sum(tally.verdicts.values()) - spared
    scales = header.get("scales", {})
    gauge = damage_metric(metrics, scales) if header["control"] else None
    if found is not None and gauge is not None and attacked > 0:
        attack, control = (found.take([cells.names.index(name)]) for name in FIRST)
        scale = scale_of(gauge, scales)
        gain = adversarial_gain(attack, control, scale)
        lost_to_noise = beaten(
            float(attack.value[0]), float(control.value[0]), scale_of(gauge, scales)
        )
    return Point(
        arm=arm.arm,
        receiver=arm.receiver,
        swept=dict(arm.swept),
        n=cells.messages,
        expected=int(header["count"]),
        images=cells.images,
        cells=len(cells.cells),
        power=None if power is None else float(power["wire"]),
        latent_size=None if power is None else int(power["latent_size"]),
        metrics=_readings([scale_of(name, scales) for name in metrics], cells, found),
        gain_db=gain,
        verdict=arm_verdict(tally.verdicts, lost_to_noise),
        verdicts=dict(tally.verdicts),
        attacked_share=_share(attacked, attacked + spared),
        psr_db=_decibels(cells.mean("psr")),
        psr_received_db=_decibels(cells.mean("psr_received")),
        snr_db=_decibels(cells.mean("noise"), -1),
        snr_measured_db=_decibels(cells.mean("noise_measured"), -1),
        delivered_share=_share(tally.delivered.get(records.DELIVERED, 0), cells.messages),
        lost_share=_share(tally.delivered.get(records.LOST, 0), cells.messages),
        rejected_share=_share(tally.delivered.get(records.REJECTED, 0), cells.messages),
        attempts=cells.mean("attempts"),
        latency_s=cells.mean("latency"),
        attempts_rejected_share=_share(tally.attempts_rejected, tally.attempts_arrived),
        false_alarm_share=_share(tally.attempts_false_alarm, tally.attempts_benign),
    )


def _readings(scales: Sequence[Scale], cells: ArmCells, found: Means | None) -> dict[str, Reading]:
    estimates = intervals(found) if found is not None else []

    def read(scale: Scale, column: str) -> Interval | None:
        if column not in cells.names or not estimates:
            return None
        mean = estimates[cells.names.index(column)]
        few = found is not None and found.few
        return None if math.isnan(mean.value) else in_metric(mean, scale, few)

    return {
        name: Reading(
            source=read(scale, f"{name}_source"),
            quality=read(scale, f"quality_{name}"),
            clean=read(scale, f"{name}_clean"),
            passive=read(scale, f"{name}_passive"),
            target=read(scale, f"{name}_target"),
            control_source=read(scale, f"control_{name}_source"),
            control_clean=read(scale, f"control_{name}_clean"),
            control_passive=read(scale, f"control_{name}_passive"),
            control_target=read(scale, f"control_{name}_target"),
        )
        for scale in scales
        for name in [scale.name]
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _decibels(ratio: float | None, sign: int = 1) -> float | None:
    return sign * units.db(ratio) if ratio else None


def _resamplers(seed: int, in_time: bool) -> Callable[[int], Resampler]:
    """Draws by number of cells; arms over equally many messages share theirs."""
    known: dict[int, Resampler] = {}

    def of(cells: int) -> Resampler:
        if cells not in known:
            known.clear()  # an unfinished run may have a different number in every arm
            known[cells] = Resampler(cells, seed, in_time=in_time)
        return known[cells]

    return of


def _flat(point: Point) -> dict[str, Any]:
    row: dict[str, Any] = {"arm": point.arm, "receiver": point.receiver, **point.swept}
    row |= {"n": point.n, "images": point.images, "cells": point.cells, "verdict": point.verdict}
    row |= {"power": point.power, "latent_size": point.latent_size}
    for name in (
        "delivered_share", "rejected_share", "attempts", "latency_s", "snr_db",
        "snr_measured_db", "psr_db", "psr_received_db", "attacked_share", "false_alarm_share",
    ):  # fmt: skip
        row[name] = getattr(point, name)
    spread: list[tuple[str, Interval | None]] = [("gain_db", point.gain_db)]
    for metric, reading in point.metrics.items():
        spread += [
            (f"quality_{metric}", reading.quality),
            (f"{metric}_source", reading.source),
            (f"{metric}_clean", reading.clean),
            (f"{metric}_passive", reading.passive),
            (f"{metric}_target", reading.target),
            (f"control_{metric}_source", reading.control_source),
            (f"control_{metric}_clean", reading.control_clean),
            (f"control_{metric}_passive", reading.control_passive),
            (f"control_{metric}_target", reading.control_target),
        ]
    for name, interval in spread:
        row |= ends(name, interval)
    return row


def _flat_area(at: str, area: Area) -> dict[str, Any]:
    row: dict[str, Any] = {"at": at, "receiver": area.receiver, "metric": area.metric}
    row |= {**area.fixed, "line": area.line, "start": area.start, "end": area.end}
    row |= {"points": area.points, "flags": "; ".join(area.flags)}
    return row | ends("aaddc", area.raw) | ends("naaddc", area.normalised)
