"""The results of one arm of a run: numbers with intervals, and a flat row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from channelsim.analysis.aims import Aim, told_by_image
from channelsim.analysis.approach import Approach, approach
from channelsim.analysis.cells import FIRST, ArmCells, in_metric
from channelsim.analysis.gain import adversarial_gain
from channelsim.analysis.intervals import Interval, Means, Resampler, ends, intervals
from channelsim.analysis.success import Success
from channelsim.analysis.verdicts import arm_verdict, lost_to_noise
from channelsim.contracts import records
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import Scale, damage_metric, scale_of
from channelsim.support import units

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One metric at one point: means with 95 % intervals, each None if not measured.

    ``source`` is the primary endpoint; ``quality`` is the undisturbed g(z) against the source,
    always given beside it. ``target`` is against the adversary's target image (None where its goal
    is damage). ``control_*`` are the matched noise's. ``alone_*``: of the channel alone, without
    any adversary; None in ledgers that lack it.
    """

    source: Interval | None
    quality: Interval | None
    clean: Interval | None
    passive: Interval | None
    target: Interval | None
    control_source: Interval | None
    control_clean: Interval | None
    control_passive: Interval | None
    control_target: Interval | None
    alone_source: Interval | None
    alone_target: Interval | None


_REFERENCES = ("source", "clean", "passive", "target")
# Fields of a reading → columns of a metric in the ledger, and in flat rows.
_READ: Mapping[str, str] = {
    "quality": "quality_{}",
    **{name: f"{{}}_{name}" for name in _REFERENCES},
    **{f"control_{name}": f"control_{{}}_{name}" for name in _REFERENCES},
    **{f"alone_{name}": f"passive_{{}}_{name}" for name in ("source", "target")},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One arm: a receiver at one point of the sweep.

    ``n`` of ``expected`` transmissions are settled; they carry ``images`` different images.
    ``cells``: the number of units that every interval resamples (`Summary.resampled`). ``power``: P
    per real value on the wire, ``latent_size``: K, of the receiver's codec; a perturbation of
    energy ‖δ‖² has the PSR ‖δ‖²/(K·P). ``psr_db``, ``psr_received_db`` average linear power over
    all attempts of all messages, those with no perturbation included; None if nothing was injected.
    ``attacked_share``: share of the attempts that the adversary attacked; None without one.
    ``snr_measured_db`` is P over the mean noise power, of all attempts. ``verdict``: see
    `arm_verdict`; ``verdicts``: of all attempts. ``false_alarm_share``: share rejected of the
    attempts that arrived with nothing injected; None without such. ``gain_db``: see `gain`, read
    from ``Summary.gain_metric`` at first attempts; None without an attack. ``aim``: the adversary's
    goal, which decides the verdict; ``approach``: to a target image; ``success``: by the goal's
    criterion, if it states one. ``row_power``: mean power of the codewords sent over P; None if no
    row implies it.
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
    aim: Aim = field(default_factory=Aim)
    approach: Approach | None = None
    row_power: float | None = None
    success: Success | None = None


def read_point(
    arm: ArmRecord,
    cells: ArmCells,
    header: RunHeader,
    resampler: Callable[[int], Resampler],
    aim: Aim,
    towards: str | None,
) -> Point:
    """The point of one arm; ``towards``: the metric of its `cells.GOAL`."""
    metrics = list(header.metrics)
    found = cells.means(resampler(len(cells.cells))) if cells.messages else None
    tally = cells.tally
    gain = near = None
    spared = sum(tally.verdicts.get(word, 0) for word in records.SPARED)
    attacked = sum(tally.verdicts.values()) - spared
    scales = header.scales
    gauge = damage_metric(metrics, scales) if header.control else None
    if found is not None and gauge is not None and attacked > 0:
        attack, control = (found.take([cells.names.index(name)]) for name in FIRST)
        gain = adversarial_gain(attack, control, scale_of(gauge, scales))
    if found is not None and towards is not None and attacked > 0:
        near = approach(found, cells, aim, scale_of(towards, scales), header.reach(arm.arm))
    return Point(
        arm=arm.arm,
        receiver=arm.receiver,
        swept=dict(arm.swept),
        n=cells.messages,
        expected=header.count,
        images=cells.images,
        cells=len(cells.cells),
        power=header.calibration.power(arm.arm),
        latent_size=header.calibration.latent_size(arm.arm),
        metrics=_readings([scale_of(name, scales) for name in metrics], cells, found),
        gain_db=gain,
        verdict=arm_verdict(tally.verdicts, lost_to_noise(cells, aim, gauge, towards, scales)),
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
        aim=aim,
        approach=near,
        row_power=None if told_by_image(header, arm) else cells.mean("row_power"),
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
        scale.name: Reading(
            **{field: read(scale, column.format(scale.name)) for field, column in _READ.items()}
        )
        for scale in scales
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _decibels(ratio: float | None, sign: int = 1) -> float | None:
    return sign * units.db(ratio) if ratio else None


def flat(point: Point) -> dict[str, Any]:
    """One flat dictionary of all figures of a point."""
    row: dict[str, Any] = {"arm": point.arm, "receiver": point.receiver, **point.swept}
    row |= {"n": point.n, "images": point.images, "cells": point.cells, "verdict": point.verdict}
    row |= {"power": point.power, "latent_size": point.latent_size, "row_power": point.row_power}
    row |= {"goal": point.aim.kind, "goal_target": point.aim.target or None}
    for name in (
        "delivered_share", "rejected_share", "attempts", "latency_s", "snr_db",
        "snr_measured_db", "psr_db", "psr_received_db", "attacked_share", "false_alarm_share",
    ):  # fmt: skip
        row[name] = getattr(point, name)
    spread: list[tuple[str, Interval | None]] = [("gain_db", point.gain_db)]
    for metric, reading in point.metrics.items():
        spread += [(column.format(metric), getattr(reading, x)) for x, column in _READ.items()]
    for name, interval in spread:
        row |= ends(name, interval)
    for of_the_goal in (point.approach, point.success):
        row |= {} if of_the_goal is None else of_the_goal.row()
    return row
