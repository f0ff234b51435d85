"""Whether a larger budget did less: a failing attack, which must not pass for a robust receiver.

A larger budget allows everything that a smaller one does. Where an attack with the larger of two
neighbouring budgets does surely less for its *own* objective (its loss: damage, or the distance to
its target), on the same messages and the same draws, its search has failed there. The test is
paired, with Holm's correction over all neighbours of a run. It is made in open loop only: where
receivers refuse and request repetitions, more power may rightly end in less damage. Beside it
stands the envelope: per message the smaller or equal budget that served the objective best, and the
user's quality there. Noise has no objective and is left out; so is an attack that raises a codec's
own ``attack_loss``, which is not measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from channelsim.analysis.aims import Aim
from channelsim.analysis.cells import ArmCells, in_metric
from channelsim.analysis.intervals import (
    LEVEL,
    Floats,
    Interval,
    Means,
    Resampler,
    ends,
    holm,
    intervals,
    means,
    p_values,
)
from channelsim.analysis.resampling import Unit
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import Scale, scale_of

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord
    from channelsim.ledger import Ledger

_ROUNDING = 1e-5  # relative; as of `orders`
_CHUNK = 20_000  # messages read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """Two neighbouring budgets of which the larger did surely less for the attack's objective.

    ``objective``: its column in the ledger; ``less``: the loss of objective, on the scale of mean
    damage, positive. ``p``: adjusted by Holm over all neighbours of the run. ``towards``: whether
    the objective is a distance to a target, which then grew.
    """

    receiver: str
    fixed: Mapping[str, Any]
    smaller: float
    larger: float
    objective: str
    towards: bool
    less: Interval
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Quality against the source if every message meets its worst budget up to ε.

    ``metrics``: metric → mean against the source; ``share``: of messages with a worst budget
    smaller than ε.
    """

    receiver: str
    fixed: Mapping[str, Any]
    epsilon: float
    share: float
    metrics: Mapping[str, Interval]

    def row(self) -> dict[str, Any]:
        """One flat dictionary."""
        row: dict[str, Any] = {"receiver": self.receiver, **self.fixed, "epsilon": self.epsilon}
        row["smaller_share"] = self.share
        for metric, interval in self.metrics.items():
            row |= ends(f"envelope_{metric}_source", interval)
        return row


@dataclass(frozen=True, slots=True)
class _Curve:
    """Complete arms that differ in ε alone, ascending, and their objective's column."""

    receiver: str
    fixed: Mapping[str, Any]
    arms: tuple[int, ...]
    epsilons: tuple[float, ...]
    scale: Scale  # of the metric in that column
    column: str
    sign: float  # of damage in that column: −1 where it is to become small


Curves = Sequence[tuple["ArmRecord", ArmCells, Aim]]


def objectives(metrics: Sequence[str]) -> list[str]:
    """The columns that may hold an attack's objective: all that `reversals` needs of an arm."""
    return [f"{metric}_{of}" for metric in metrics for of in ("clean", "source", "target")]


def reversals(
    arms: Curves,
    header: RunHeader,
    epsilon_key: str | None,
    resampler: Callable[[int], Resampler],
) -> tuple[Reversal, ...]:
    """Every pair of neighbouring budgets where the larger did surely less."""
    cells = {arm.arm: own for arm, own, _ in arms}
    found: list[tuple[_Curve, int, Means]] = []
    for curve in _curves(arms, header, epsilon_key):
        for place, (one, other) in enumerate(zip(curve.arms, curve.arms[1:], strict=False)):
            if (both := _paired(cells[one], cells[other], curve, resampler)) is not None:
                found.append((curve, place, both))
    if not found:
        return ()
    tested = [_less(curve) for curve, _, _ in found]
    p = np.concatenate(
        [
            p_values(*_three(both.map(less)), both.few)
            for less, (_, _, both) in zip(tested, found, strict=True)
        ]
    )
    significant = []
    for less, adjusted, (curve, place, both) in zip(tested, holm(p), found, strict=True):
        gone = intervals(both, less)[0]
        rounding = _ROUNDING * float(np.abs(curve.scale.damage(both.value)).max())
        if adjusted < 1 - LEVEL and gone.value > rounding:
            significant.append(
                Reversal(
                    receiver=curve.receiver,
                    fixed=curve.fixed,
                    smaller=curve.epsilons[place],
                    larger=curve.epsilons[place + 1],
                    objective=curve.column,
                    towards=curve.sign < 0,
                    less=gone,
                    p=float(adjusted),
                )
            )
    return tuple(significant)


def envelopes(
    ledger: Ledger,
    arms: Curves,
    header: RunHeader,
    epsilon_key: str | None,
    unit: Unit,
    resampler: Callable[[int], Resampler],
    turned: Sequence[Reversal],
) -> tuple[Envelope, ...]:
    """The envelopes of the curves where a larger budget did less, at every budget."""
    wanted = {_key(one.receiver, one.fixed) for one in turned}
    found: list[Envelope] = []
    for curve in _curves(arms, header, epsilon_key):
        if _key(curve.receiver, curve.fixed) in wanted:
            found += _envelope(ledger, curve, header, unit, resampler)
    return tuple(found)


# --- arms and their objectives ------------------------------------------------------------------


def _curves(arms: Curves, header: RunHeader, epsilon_key: str | None) -> list[_Curve]:
    if epsilon_key is None or header.max_attempts > 1 or header.judged:
        return []
    groups: dict[str, list[tuple[ArmRecord, ArmCells, Aim]]] = {}
    for arm, cells, aim in arms:
        if cells.messages == header.count:
            fixed = {k: v for k, v in arm.swept.items() if k != epsilon_key}
            groups.setdefault(_key(arm.receiver, fixed), []).append((arm, cells, aim))
    found = []
    for group in groups.values():
        group.sort(key=lambda one: float(one[0].swept[epsilon_key]))
        aims = [aim for _, _, aim in group if aim.kind != "none"]
        if not aims or any(aim.kind == "noise" or aim.loss != aims[0].loss for aim in aims):
            continue
        metric = _metric(aims[0].loss, header.metrics)
        if metric is None:
            continue
        image = aims[0].kind == "image"
        first = group[0][0]
        raised = header.attack_losses.get(first.receiver, ())
        if any(aim.kind == "damage" and aim.who in raised for aim in aims):
            continue
        found.append(
            _Curve(
                receiver=first.receiver,
                fixed={k: v for k, v in first.swept.items() if k != epsilon_key},
                arms=tuple(arm.arm for arm, _, _ in group),
                epsilons=tuple(float(arm.swept[epsilon_key]) for arm, _, _ in group),
                scale=header.scale(metric),
                column=f"{metric}_{'target' if image else aims[0].reference}",
                sign=-1.0 if image else 1.0,
            )
        )
    return found


def _metric(loss: str, metrics: Sequence[str]) -> str | None:
    """The metric of a loss; PSNR is averaged as MSE."""
    if loss in metrics:
        return loss
    return "psnr" if loss == "mse" and "psnr" in metrics else None


def _key(receiver: str, fixed: Mapping[str, Any]) -> str:
    return json.dumps([receiver, dict(fixed)], sort_keys=True, default=str)


# --- pairs --------------------------------------------------------------------------------------


def _paired(
    smaller: ArmCells, larger: ArmCells, curve: _Curve, resampler: Callable[[int], Resampler]
) -> Means | None:
    """The objective's column of two arms, [..., 2], of the same messages; None if they differ.

    Rows without a target are the same in both arms.
    """
    places = [one.names.index(curve.column) for one in (smaller, larger)]
    sums = np.stack([smaller.sums[:, places[0]], larger.sums[:, places[1]]], axis=1)
    counts = np.stack([smaller.counts[:, places[0]], larger.counts[:, places[1]]], axis=1)
    if not np.array_equal(counts[:, 0], counts[:, 1]) or not counts.any():
        return None
    return means(sums, counts, resampler(len(smaller.cells)))


def _less(curve: _Curve) -> Callable[[Floats], Floats]:
    """Means of both [..., 2] → how much less the larger budget served the objective [..., 1]."""
    scale = curve.scale

    def less(both: Floats) -> Floats:
        served = curve.sign * scale.damage(both)
        return served[..., :1] - served[..., 1:]

    return less


def _three(found: Means) -> tuple[Floats, Floats, Floats]:
    return found.value, found.resampled, found.left_out


# --- envelopes ----------------------------------------------------------------------------------


def _envelope(
    ledger: Ledger,
    curve: _Curve,
    header: RunHeader,
    unit: Unit,
    resampler: Callable[[int], Resampler],
) -> list[Envelope]:
    forms, count = header.scales, header.count
    scales = [scale_of(name, forms) for name in header.metrics]
    width, size = len(scales), unit.size()
    sums, counts = (np.zeros((size, len(curve.arms) * width)) for _ in range(2))
    smaller = np.zeros(len(curve.arms))
    for start in range(0, count, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, count))
        read = np.stack(
            [
                _read(ledger, curve, scales, header.keys.transmission(arm, numbers))
                for arm in curve.arms
            ]
        )
        damage = curve.scale.damage(read[:, :, 0])
        served = np.nan_to_num(curve.sign * damage, nan=-np.inf)
        best = np.zeros(len(numbers), dtype=np.int64)
        cell = unit.cells(numbers)
        for place in range(len(curve.arms)):
            better = served[place] > served[best, np.arange(len(numbers))]
            best = np.where(better, place, best)
            smaller[place] += (best != place).sum()
            there = read[best, np.arange(len(numbers)), 1:]
            known = ~np.isnan(there)
            for column in range(width):
                at, rows = place * width + column, known[:, column]
                weights = there[rows, column]
                sums[:, at] += np.bincount(cell[rows], weights=weights, minlength=size)
                counts[:, at] += np.bincount(cell[rows], minlength=size)
    held = np.flatnonzero(counts.any(axis=1))
    found = means(sums[held], counts[held], resampler(len(held)))
    estimates = intervals(found)
    return [
        Envelope(
            receiver=curve.receiver,
            fixed=curve.fixed,
            epsilon=epsilon,
            share=float(smaller[place] / count),
            metrics={
                scale.name: in_metric(estimates[place * width + column], scale, found.few)
                for column, scale in enumerate(scales)
            },
        )
        for place, epsilon in enumerate(curve.epsilons)
    ]


def _read(ledger: Ledger, curve: _Curve, scales: Sequence[Scale], keys: Any) -> Floats:
    """The objective and all metrics against the source, additive, [messages, 1 + metrics].

    In open loop an attempt has its transmission's number.
    """
    names = [curve.column, *(f"{scale.name}_source" for scale in scales)]
    chosen = ", ".join(f'"{name}"' for name in names)
    rows = ledger.rows(
        f"SELECT {chosen} FROM attempt WHERE attempt >= ? AND attempt <= ? ORDER BY attempt",
        (int(keys[0]), int(keys[-1])),
    )
    values = np.array(list(rows), dtype=np.float64)
    for place, scale in enumerate([curve.scale, *scales]):
        values[:, place] = scale.to_additive(values[:, place])
    return values
