"""Image retention: a run keeps the images of every arm's first, newest and worst messages.

The choice depends on the recorded attempts alone: being among the first, the newest or the worst
does not depend on the order in which rows were computed, nor on where a run was interrupted. So the
images of two equal runs are equal, and their number is bounded.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import Batch, Outcome
from channelsim.contracts.scales import damage_metric, scale_of

WORST = 2  # messages of every arm, beside its newest; project's choice


# Of an attempt whose images are recorded: its key, whether it was accepted, its arrival [s], and
# its value of `column`.
Pictured = tuple[int, int, float, float | None]


class Choice(NamedTuple):
    """After a block: places of its rows to keep, and earlier attempts to drop."""

    kept: list[int]
    dropped: list[int]


@dataclass(slots=True)
class _Arm:
    """The newest transmission of an arm, (arrived, attempt), and its worst, (−damage, attempt)."""

    newest: tuple[float, int]
    worst: list[tuple[float, int]]  # the worst first

    def chosen(self) -> set[int]:
        return {self.newest[1], *(key for _, key in self.worst)} - {-1}


class ImageRetention:
    """Chooses block by block.

    ``first``: number of messages per arm of which every attempt is kept; 0: nothing is kept.
    ``last``: number of the last attempt that each arm allows. ``keys``: the run's numbering of
    attempts. ``scales``: as in the header.

    Newest and worst count transmissions, at the attempt that ends them: the accepted one, or the
    last allowed. Newest is the latest arrival in simulated time. Worst is by the metric of the
    adversarial gain, against the source; of equals the first.
    """

    def __init__(
        self,
        *,
        first: int,
        last: Sequence[int],
        keys: Keys,
        metrics: Sequence[str],
        scales: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self._first, self._keys = first, keys
        gauge = damage_metric(metrics, scales)
        self.column = None if gauge is None else f"{gauge}_source"
        better = gauge is not None and scale_of(gauge, scales).higher_is_better
        self._sign = -1.0 if better else 1.0
        self._last = np.array(last, dtype=np.int64)
        self._arms = [_Arm((-np.inf, -1), []) for _ in last]
        self._newest = np.full(len(last), -np.inf)  # its arrival, by arm
        self._bar = np.full(len(last), -np.inf)  # threshold of a row to be among the worst

    def recall(self, pictured: Iterable[Pictured]) -> None:
        """Restore the state of an interrupted run from the attempts whose images it recorded."""
        for key, accepted, arrived_s, value in pictured:
            transmission, number = self._keys.of_attempt(key)
            arm = self._keys.of_transmission(transmission)[0]
            if accepted or number == self._last[arm]:
                damage = math.nan if value is None else self._sign * value
                self._enter(arm, key, arrived_s, damage)

    def choose(self, batch: Batch, keys: Sequence[int], outcome: Outcome) -> Choice:
        """The rows of a computed block to keep, and the attempts that they replace."""
        if not self._first:
            return Choice([], [])
        damage = np.full(len(keys), np.nan)
        if self.column is not None:
            damage = self._sign * outcome.columns[self.column]
        ends = outcome.accepted | (batch.attempt == self._last[batch.arm])
        with np.errstate(invalid="ignore"):
            notable = batch.arrived_s >= self._newest[batch.arm]
            notable |= damage >= self._bar[batch.arm]
        entered = np.flatnonzero(ends & notable)
        before = {arm: self._arms[arm].chosen() for arm in set(batch.arm[entered].tolist())}
        for row in entered.tolist():
            self._enter(
                int(batch.arm[row]), keys[row], float(batch.arrived_s[row]), float(damage[row])
            )
        first = {keys[row] for row in np.flatnonzero(batch.message < self._first).tolist()}
        after = {arm: self._arms[arm].chosen() for arm in before}
        wanted = first.union(*after.values())
        left = {key for arm, held in before.items() for key in held - after[arm]}
        return Choice(
            [row for row, one in enumerate(keys) if one in wanted],
            sorted(one for one in left if not self._sampled(one)),
        )

    def candidates(self, batch: Batch, keys: Sequence[int], outcome: Outcome) -> list[int]:
        """Rows that `choose` would keep now, if not fewer: others may come to replace them."""
        if not self._first:
            return []
        tried = copy.copy(self)
        tried._arms = [_Arm(one.newest, list(one.worst)) for one in self._arms]
        tried._newest, tried._bar = self._newest.copy(), self._bar.copy()
        return tried.choose(batch, keys, outcome).kept

    def _sampled(self, key: int) -> bool:
        transmission = self._keys.of_attempt(key)[0]
        return bool(self._keys.of_transmission(transmission)[1] < self._first)

    def _enter(self, arm: int, key: int, arrived_s: float, damage: float) -> None:
        state = self._arms[arm]
        state.newest = max(state.newest, (arrived_s, key))
        self._newest[arm] = state.newest[0]
        if not math.isnan(damage):
            state.worst = sorted([*state.worst, (-damage, key)])[:WORST]
            if len(state.worst) == WORST:
                self._bar[arm] = -state.worst[-1][0]
