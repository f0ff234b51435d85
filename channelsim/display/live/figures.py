"""Running figures of a run: sums per arm, so that drawing reads no old rows.

Rows come in any order and may come twice (a resumed run lists transmissions again): every attempt
and every transmission is counted once. Memory: a byte per attempt and per transmission, and some
sums per arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelsim.contracts import records
from channelsim.contracts.scales import Scale, damage_metric, scale_of
from channelsim.display.live.info import RunInfo
from channelsim.display.live.reader import FATES, WORDS, Table
from channelsim.display.live.time_bins import TimeBins
from channelsim.display.live.top import Top
from channelsim.support.time_blocks import shared

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

KEPT = 24  # rows of every arm and verdict that lists can show; project's choice
LEVEL = 0.95
_TALLIES = ("attempts", "lost", "rejected", "attacked", "benign", "false_alarms")


@dataclass(frozen=True, slots=True)
class Estimates:
    """Means of one metric per arm [arms] with 95 % t-intervals over messages; NaN without."""

    n: Floats
    value: Floats
    low: Floats
    high: Floats
    damage: Floats  # of the mean, on the additive scale: the larger, the worse


class Figures:
    """All sums of a view."""

    def __init__(self, info: RunInfo) -> None:
        self.info = info
        arms, metrics = len(info.arms), info.metrics
        scales = info.header.scales
        self.scales = [scale_of(name, scales) for name in metrics]
        self.gauge = damage_metric(metrics, scales)
        self.columns = [f"{name}_source" for name in metrics]
        self.columns += [f"quality_{name}" for name in metrics]
        self._seen = np.zeros(info.total * info.max_attempts, dtype=np.bool_)
        self._settled = np.zeros(info.total, dtype=np.bool_)
        self._sums = np.zeros((len(self.columns), arms))
        self._squares = np.zeros((len(self.columns), arms))
        self._counts = np.zeros((len(self.columns), arms))
        self.settled_of = np.zeros(arms, dtype=np.int64)
        self.fates = np.zeros((len(FATES), arms))
        self.words = np.zeros((len(WORDS), arms))  # of last attempts
        self.tally: Mapping[str, Floats] = {name: np.zeros(arms) for name in _TALLIES}
        # Success of attack and control at first attempts that arrived: Σ attack, Σ control, rows
        # with both, Σ (attack − control)². See `_served`.
        self.first = np.zeros((4, arms))
        groups: dict[tuple[str, str | None], list[int]] = {}
        for number, aim in enumerate(info.aims):
            groups.setdefault((aim.kind, info.gauge_of(number)), []).append(number)
        # An adversary that is noise itself is not compared with noise.
        self._judged = [
            (kind == "image", gauge, np.array(those))
            for (kind, gauge), those in groups.items()
            if gauge is not None and kind != "noise"
        ]
        self._psr = np.zeros((2, arms))  # Σ linear, rows with an adversary on the path
        self._noise = np.zeros((2, arms))  # Σ of noise over power, rows
        self.timeline = TimeBins(arms, len(metrics))
        width = 7 + len(metrics)  # transmission, score, `listed`'s other columns
        self.worst, self.newest = Top(width, KEPT), Top(width, KEPT)
        self.clock_s = 0.0
        self.last_message = -1
        self.active = np.zeros(arms, dtype=np.bool_)  # arms in what was folded of late
        self.active_attack = False

    @property
    def settled(self) -> int:
        """Number of transmissions that are settled and computed."""
        return int(self.settled_of.sum())

    @property
    def waiting(self) -> int:
        """Number of transmissions that have arrived and are not settled.

        Messages reach every arm in the same order at the same times: one that any arm has a row of
        has arrived in all.
        """
        return max(0, (self.last_message + 1) * len(self.info.arms) - self.settled)

    @property
    def tied(self) -> str:
        """Why consecutive messages are not independent; empty where they are."""
        header = self.info.header
        longest = max(header.memory_s, default=0.0)
        gap_s = self.clock_s / self.last_message if self.last_message > 0 else np.inf
        if shared(longest, gap_s):
            return f"the {longest:g} s the channel remembers"
        return "collisions and backlogs" if header.contended else ""

    def has(self, transmission: int) -> bool:
        """Whether a transmission is settled and folded."""
        return bool(self._settled[transmission])

    def forget_activity(self) -> None:
        """Reset ``active`` and ``active_attack``: they describe the rows folded next."""
        self.active[:] = False
        self.active_attack = False

    # --- adding ---------------------------------------------------------------------------------

    def fold(self, table: Table) -> int:
        """Count what is new in some rows; return the number of transmissions that they settled."""
        if not len(table):
            return 0
        keys = table.keys
        transmission, number = self.info.keys.of_attempt(keys)
        arm, message = self.info.keys.of_transmission(transmission)
        self.last_message = max(self.last_message, int(message.max()))
        fresh = ~self._seen[keys]
        self._seen[keys[fresh]] = True
        self._add_attempts(table.take(fresh), arm[fresh], number[fresh])
        done = (table["attempts"] == number + 1) & ~self._settled[transmission]
        self._settled[transmission[done]] = True
        self._add_settled(table.take(done), arm[done], transmission[done])
        return int(done.sum())

    def _add_attempts(self, table: Table, arm: Ints, number: Ints) -> None:
        arrived, lost, accepted = table["arrived_s"], table["lost"] > 0, table["accepted"] > 0
        with np.errstate(invalid="ignore"):
            injected = (table["delta_l2"] > 0) | (table["flipped_bits"] > 0)
        attacked = injected & ~lost
        benign = ~lost & ~attacked
        marks = {
            "attempts": np.ones(len(arm), dtype=bool),
            "lost": lost,
            "rejected": ~lost & ~accepted,
            "attacked": attacked,
            "benign": benign,
            "false_alarms": benign & ~accepted,
        }
        for name, mark in marks.items():
            self.tally[name][...] += self._bins(arm[mark])
        when = ~np.isnan(arrived)
        self.timeline.add_attempts(arm[when], arrived[when], attacked[when])
        if when.any():
            self.clock_s = max(self.clock_s, float(arrived[when].max()))
        self._add_powers(table, arm)
        self.active[arm] = True
        self.active_attack |= bool(attacked.any())
        if not self.info.control:
            return
        first = (number == 0) & attacked
        for wants_image, gauge, those in self._judged:
            scale = self.scales[self.info.metrics.index(gauge)]
            attack, control = _served(table, wants_image, scale)
            rows = first & np.isin(arm, those) & ~np.isnan(attack + control)
            ones, squares = np.ones(len(arm)), (attack - control) ** 2
            for place, values in enumerate((attack, control, ones, squares)):
                self.first[place] += self._bins(arm[rows], values[rows])

    def _add_settled(self, table: Table, arm: Ints, transmission: Ints) -> None:
        self.settled_of += self._bins(arm).astype(np.int64)
        additive = np.empty((len(table), len(self.columns)))
        for place, name in enumerate(self.columns):
            values = self.scales[place % len(self.scales)].to_additive(table[name])
            additive[:, place] = values
            known = np.isfinite(values)
            own, values = arm[known], values[known]
            self._sums[place] += self._bins(own, values)
            self._squares[place] += self._bins(own, values * values)
            self._counts[place] += self._bins(own)
        self._count_words(self.fates, table["fate"], arm)
        self._count_words(self.words, table["word"], arm)
        fidelity = additive[:, : len(self.scales)]
        when = ~np.isnan(table["arrived_s"])
        self.timeline.add_fidelity(arm[when], table["arrived_s"][when], fidelity[when])
        done_s = table["done_s"]
        if len(done_s):
            self.clock_s = max(self.clock_s, float(np.nanmax(done_s)))
        score = np.full(len(table), np.nan)
        if self.gauge is not None:
            place = self.info.metrics.index(self.gauge)
            score = self.scales[place].damage(fidelity[:, place])
        word = np.where(np.isnan(table["word"]), len(WORDS), table["word"])
        group = arm * (len(WORDS) + 1) + word.astype(np.int64)
        shown = [done_s, table["fate"], table["word"], table["attempts"], table["delta_l2"]]
        shown += [table[f"{name}_source"] for name in self.info.metrics]
        rest = np.stack(shown, axis=1)
        key = transmission.astype(np.float64)
        self.worst.add(np.column_stack([key, score, rest]), group)
        self.newest.add(np.column_stack([key, done_s, rest]), group)

    def _add_powers(self, table: Table, arm: Ints) -> None:
        on_path = ~np.isnan(table["delta_l2"])
        psr = np.nan_to_num(np.power(10.0, table["psr_db"] / 10.0))
        noise = np.nan_to_num(np.power(10.0, -table["snr_measured_db"] / 10.0))
        self._psr[0] += self._bins(arm[on_path], psr[on_path])
        self._psr[1] += self._bins(arm[on_path])
        self._noise[0] += self._bins(arm, noise)
        self._noise[1] += self._bins(arm)

    def _count_words(self, table: Floats, word: Floats, arm: Ints) -> None:
        for place in range(len(table)):
            table[place] += self._bins(arm[word == place])

    def _bins(self, arm: Ints, weights: Floats | None = None) -> Floats:
        found = np.bincount(arm, weights=weights, minlength=len(self.info.arms))
        return found.astype(np.float64)

    # --- asking ---------------------------------------------------------------------------------

    def estimates(self, column: str) -> Estimates:
        """Means of a column (``ssim_source``, ``quality_ssim``) per arm, with their intervals."""
        place = self.columns.index(column)
        scale = self.scales[place % len(self.scales)]
        n = self._counts[place]
        mean, half = _interval(n, self._sums[place], self._squares[place])
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = scale.from_additive(mean - half), scale.from_additive(mean + half)
            value, damage = scale.from_additive(mean), scale.damage(mean)
        return Estimates(n, value, np.minimum(*ends), np.maximum(*ends), damage)

    def lead(self) -> tuple[Floats, Floats]:
        """Lead of the attack over its control, per arm, and half its interval.

        In mean damage; or, where an image is wanted, in mean distance to it.
        """
        attack, control, rows, squares = self.first
        return _interval(rows, attack - control, squares)

    def psr_db(self) -> Floats:
        """Mean PSR per arm [dB] over all attempts; NaN where nothing was injected."""
        return _db(self._psr[0], self._psr[1])

    def snr_db(self) -> Floats:
        """Measured SNR per arm [dB], over all attempts; NaN where nothing disturbed."""
        return -_db(self._noise[0], self._noise[1])

    def groups(self, arms: Bools, word: str | None) -> Bools:
        """Mask of the groups of `worst` and `newest` for some arms [arms] and a verdict."""
        words = np.ones(len(WORDS) + 1, dtype=np.bool_)
        if word is not None:
            words[:] = False
            words[WORDS.index(word)] = True
        return np.outer(arms, words).reshape(-1)

    def failed(self) -> Mapping[str, Floats]:
        """Counts per arm of the verdicts that mean that no attack took place."""
        wanted = (records.ZERO_GRADIENT, records.NOT_MOVED, records.NONFINITE, records.SATURATED)
        return {word: self.words[WORDS.index(word)] for word in wanted if word in WORDS}


def _served(table: Table, wants_image: bool, scale: Scale) -> tuple[Floats, Floats]:
    """Success of attack and of control, per row [N] each: the larger, the better for the goal.

    Damage; where an image is wanted, each gets the distance of the *other* to it.
    """
    suffix = "target" if wants_image else "passive"
    attack, control = (
        scale.damage(scale.to_additive(table[f"{prefix}{scale.name}_{suffix}"]))
        for prefix in ("", "control_")
    )
    return (control, attack) if wants_image else (attack, control)


def _interval(n: Floats, total: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Mean and half of its 95 % t-interval, from sums over n rows; NaN where n < 2."""
    from scipy.special import stdtrit

    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        variance = np.maximum(squares - n * mean**2, 0.0) / (n - 1)
        half = stdtrit(n - 1, 0.5 + LEVEL / 2) * np.sqrt(variance / n)
    return mean, np.where(n > 1, half, np.nan)


def _db(sums: Floats, counts: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((counts > 0) & (sums > 0), 10.0 * np.log10(sums / counts), np.nan)
