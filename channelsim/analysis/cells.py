"""One arm of a ledger as sums per cell of messages: the bootstrap's input, in bounded memory.

`resampling` decides which messages share a cell: those with the same image, or those in the same
time block of a channel with memory. Rows stream out of SQLite in chunks; the result is at most
`intervals.CELLS` cells × columns, for five messages or fifty million.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis import intervals
from channelsim.analysis.intervals import Floats, Interval, Means, Resampler
from channelsim.analysis.resampling import Unit, by_image
from channelsim.contracts import records
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import Scale, scale_of
from channelsim.support import units

if TYPE_CHECKING:
    from channelsim.ledger import Ledger

_CHUNK = 20_000  # rows held in memory at a time

# Figures of a transmission other than metrics.
FIGURES: tuple[str, ...] = ("attempts", "latency")  # done_s - sent_s
# Figures of every attempt, averaged on the scale named here. Repetitions meet the channel and the
# adversary too: a receiver that refuses attacked attempts ends on the others, and those alone would
# make an adversary seem weak, or absent.
WIRE: tuple[str, ...] = (
    "psr",  # linear, 0 where an adversary is on the path but injected nothing
    "psr_received",
    "noise",  # N0 / P, linear: noise powers are averaged, never decibels or ratios over noise
    "noise_measured",  # 0 where nothing disturbed the row: impulses miss most rows
    "row_power",  # of the codewords sent, over P; of rows whose noise or perturbation implies it
)
# Damage at the first attempt, by the metric of the gain: matched noise never triggers a repetition,
# so only first attempts compare like with like. Where the link dropped it, or a detector refused an
# untouched codeword, the damage is theirs and equal for both, and would draw every gain towards 0
# dB.
FIRST: tuple[str, ...] = ("first_damage", "first_control")
# With a target image: the distance of the shown image from it at those same attempts, without the
# adversary, with it, and with its control; by the metric of `Aim.metric`.
GOAL: tuple[str, ...] = ("goal_passive", "goal_attack", "goal_control")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one arm: of transmissions in ``delivered``, else of attempts."""

    delivered: Mapping[str, int]
    verdicts: Mapping[str, int]
    attempts: int
    attempts_arrived: int
    attempts_rejected: int
    attempts_benign: int  # arrived, and nothing had been injected
    attempts_false_alarm: int  # of those, the rejected ones


@dataclass(frozen=True, slots=True)
class ArmCells:
    """Sums and counts [cells, columns] of one arm's transmissions, on additive scales.

    ``messages``: how many; ``images``: how many different ones they carry (of a large run as far as
    cells distinguish them). ``cells``: the cells that hold a message, ascending. ``names``: the
    columns.
    """

    messages: int
    images: int
    cells: NDArray[np.int64]
    names: tuple[str, ...]
    sums: Floats
    counts: Floats
    tally: Tally

    def means(self, resampler: Resampler) -> Means:
        """Means of all columns; the resampler must have as many cells."""
        return intervals.means(self.sums, self.counts, resampler)

    def only(self, names: Sequence[str]) -> ArmCells:
        """The same with only those of the named columns that exist."""
        kept = tuple(name for name in names if name in self.names)
        places = [self.names.index(name) for name in kept]
        return replace(self, names=kept, sums=self.sums[:, places], counts=self.counts[:, places])

    def mean(self, name: str) -> float | None:
        """Plain mean of one column; None if it was never measured."""
        place = self.names.index(name)
        number = self.counts[:, place].sum()
        return float(self.sums[:, place].sum() / number) if number else None


def in_metric(mean: Interval, scale: Scale, few: bool) -> Interval:
    """A mean on the additive scale with its interval, in the metric itself.

    ``few``: see `Means`; an interval of few time blocks may leave the possible range (an MSE below
    0), and is cut there.
    """
    if not few:
        return mean.map(scale.from_additive)
    best, low, high = scale.best, mean.low, mean.high
    if not scale.worse_upwards and best is not None:
        high = min(high, max(best, mean.value))
    elif scale.damaging:
        low = max(low, min(best or 0.0, mean.value))
    return replace(mean, low=low, high=high).map(scale.from_additive)


def read_arm(
    ledger: Ledger,
    header: RunHeader,
    arm: int,
    unit: Unit | None = None,
    towards: str | None = None,
) -> ArmCells:
    """Read the transmissions of one arm that are settled so far.

    ``unit``: the unit to resample; None, single images, is enough for plain means. ``towards``: the
    metric of `GOAL`; None without a target image.
    """
    unit = by_image(header) if unit is None else unit
    own = header.keys.transmissions(arm)
    names = metric_names(header)
    forms = header.scales
    scales = [scale_of(_metric_of(name, header.metrics), forms) for name in names]
    gauge = header.damage_metric if header.control else None
    first = () if gauge is None else FIRST
    size = unit.size()
    goal = () if towards is None else GOAL
    columns = (*WIRE, *FIGURES, *names, *first, *goal)
    sums, counts = np.zeros((size, len(columns))), np.zeros((size, len(columns)))
    members = np.zeros(size, dtype=np.int64)
    verdicts: Counter[str] = Counter()
    delivered: Counter[str] = Counter()

    chosen = [f'a."{name}"' for name in names]
    if gauge is not None:
        scales += [scale_of(gauge, forms)] * 2
        chosen += [
            f'CASE WHEN a.lost = 0 AND a.delta_l2 > 0 THEN a."{damage}_passive" END'
            for damage in (gauge, f"control_{gauge}")
        ]
    if towards is not None:
        scales += [scale_of(towards, forms)] * 3
        chosen += [
            f'CASE WHEN a.lost = 0 AND a.delta_l2 > 0 THEN a."{distance}" END'
            if distance in ledger.attempt_columns
            else "NULL"
            for distance in (
                f"passive_{towards}_target",
                f"{towards}_target",
                f"control_{towards}_target",
            )
        ]
    query = (
        "SELECT t.transmission, t.delivered, a.verdict, a.attempt - t.transmission * :most,"
        " a.delta_l2, a.psr_db, a.psr_received_db, a.snr_db, a.snr_measured_db,"
        " COALESCE(a.snr_row_db - a.snr_db, a.psr_db - a.psr_row_db),"
        f" t.attempts, t.done_s - t.sent_s{''.join(', ' + column for column in chosen)}"
        " FROM transmission t CROSS JOIN attempt a ON a.attempt >= t.transmission * :most"
        " AND a.attempt < t.transmission * :most + t.attempts"
        " WHERE t.transmission >= :start AND t.transmission < :end"
    )
    span = {"most": header.max_attempts, "start": own.start, "end": own.stop}
    rows = ledger.rows(query, span)
    while chunk := list(islice(rows, _CHUNK)):
        number, fate, word, *numbers = zip(*chunk, strict=True)
        attempt, *values = _additive([np.array(one, dtype=np.float64) for one in numbers], scales)
        last = attempt == values[len(WIRE)] - 1
        delivered.update(entry for entry, ends in zip(fate, last, strict=True) if ends)
        verdicts.update(entry for entry in word if entry is not None)
        message = np.array(number, dtype=np.int64) - own.start
        cell = unit.cells(message)
        all_of_them = np.bincount(cell, minlength=size)
        members += np.bincount(cell[last], minlength=size)
        for place, column in enumerate(values):
            known = ~np.isnan(column)
            if columns[place] in FIRST or columns[place] in GOAL:
                known &= attempt == 0
            elif columns[place] not in WIRE:
                known &= last
            if known.all():
                sums[:, place] += np.bincount(cell, weights=column, minlength=size)
                counts[:, place] += all_of_them
            else:
                sums[:, place] += np.bincount(cell[known], weights=column[known], minlength=size)
                counts[:, place] += np.bincount(cell[known], minlength=size)
    held = np.flatnonzero(members)
    tally = Tally(dict(delivered), dict(verdicts), *_attempts(ledger, header.keys.attempts(arm)))
    messages = int(members.sum())
    single = unit.starts is None and unit.images <= intervals.CELLS  # a cell for every image
    carried = len(held) if single else min(messages, unit.images)
    return ArmCells(messages, carried, held, columns, sums[held], counts[held], tally)


def metric_names(header: RunHeader) -> list[str]:
    """Names of the metric columns of a ledger, quality included."""
    metrics, control = list(header.metrics), header.control
    passive = header.passive_columns
    measured = records.metric_columns(metrics, control, passive=passive)
    return records.quality_columns(metrics) + measured


def _metric_of(column: str, metrics: Sequence[str]) -> str:
    bare = column.removeprefix("control_").removeprefix("quality_").removeprefix("passive_")
    return bare if bare in metrics else bare.rpartition("_")[0]


def _additive(numbers: list[Floats], scales: Sequence[Scale]) -> list[Floats]:
    """Selected columns → attempt, and all columns on their additive scales; NaN is missing."""
    attempt, delta, psr, received, snr, measured, row, attempts, latency, *metrics = numbers
    on_path = ~np.isnan(delta)
    figures = [
        np.where(on_path, np.nan_to_num(units.from_db(psr)), np.nan),
        np.where(on_path, np.nan_to_num(units.from_db(received)), np.nan),
        units.from_db(-snr),
        np.nan_to_num(units.from_db(-measured)),
        units.from_db(row),
        attempts,
        latency,
    ]
    read = [scale.to_additive(column) for scale, column in zip(scales, metrics, strict=True)]
    return [attempt, *figures, *read]


def _attempts(ledger: Ledger, own: range) -> tuple[int, ...]:
    benign = "lost = 0 AND COALESCE(delta_l2, 0) = 0"
    rows = ledger.rows(
        f"SELECT COUNT(*), TOTAL(lost = 0), TOTAL(lost = 0 AND accepted = 0), TOTAL({benign}),"
        f" TOTAL({benign} AND accepted = 0) FROM attempt WHERE attempt >= ? AND attempt < ?",
        (own.start, own.stop),
    )
    return tuple(int(entry) for entry in next(rows))
