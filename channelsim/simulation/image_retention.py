"""Which images a run keeps: of every arm the first messages, the newest one, and the worst.

What is kept follows from the attempts that are recorded and from nothing else: being among the
first, the newest or the worst does not depend on the order in which rows were computed, nor on
where a run was interrupted. So the images of two equal runs are equal, and their number is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import Batch, Outcome
from channelsim.contracts.scales import damage_metric, scale_of

WORST = 2  # ours: as many of every arm, beside its newest


# Of an attempt whose images are recorded: its key, whether it was accepted, when it arrived [s],
# and what `column` says.
Pictured = tuple[int, int, float, float | None]


class Choice(NamedTuple):
    """After a block: places of those of its rows to keep, and attempts kept before and no more."""

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

    ``first``: of how many messages per arm every attempt is kept; 0: nothing at all is. ``last``:
    number of the last attempt that each arm allows. ``keys``: how the run numbers its attempts.
    ``scales``: as the header keeps them.

    Newest and worst count transmissions, at the attempt that ends them: that which was accepted, or
    the last one allowed. Newest is what arrived last in simulated time. Worst is by the metric from
    which the adversarial gain is read, against the source; of equals the first.
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
        self._newest = np.full(len(last), -np.inf)  # when it arrived, by arm
        self._bar = np.full(len(last), -np.inf)  # what a row must reach to be among the worst

    def recall(self, pictured: Iterable[Pictured]) -> None:
        """Take up where an interrupted run stopped, from the attempts whose images it recorded."""
        for key, accepted, arrived_s, value in pictured:
            transmission, number = self._keys.of_attempt(key)
            arm = self._keys.of_transmission(transmission)[0]
            if accepted or number == self._last[arm]:
                damage = math.nan if value is None else self._sign * value
                self._enter(arm, key, arrived_s, damage)

    def choose(self, batch: Batch, keys: Sequence[int], outcome: Outcome) -> Choice:
        """Which rows of a computed block to keep, and what they drive out."""
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
