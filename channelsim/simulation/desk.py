"""Where the lives of one group's messages hand over their attempts, and wait for decisions.

Arms of different groups share nothing on the event plane, so each group has a simpy environment of
its own. While a decision is computed elsewhere, the group's time stands still: no event comes
between the question and what its message does with the answer. So the order of events, and with it
the run, is the same however long an answer takes.
"""

from __future__ import annotations

from collections.abc import Generator

import simpy

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import Attempt
from channelsim.simulation.batcher import Batcher


class _Decision(simpy.Event):
    """The answer to a message; what waits for it comes before everything else at that time."""

    def give(self, accepted: bool) -> None:
        self._ok, self._value = True, accepted
        self.env.schedule(self, simpy.events.URGENT)


class Desk:
    """The event plane of one group of arms.

    ``env``: its simulated time. ``over``: no event is left.
    """

    def __init__(self, group: int, batcher: Batcher, keys: Keys) -> None:
        self.env = simpy.Environment()
        self.over = False
        self._group, self._batcher, self._keys = group, batcher, keys
        self._asked: tuple[int, _Decision] | None = None

    def submit(self, attempt: Attempt) -> None:
        """Hand over an attempt that arrives, or is missed, now."""
        self._batcher.submit(self._group, attempt)

    def accepted(self, arm: int, message: int, attempt: int) -> Generator[simpy.Event, bool, bool]:
        """Whether the receiver accepts an attempt; time stands still until that is known."""
        key = self._keys.attempt(self._keys.transmission(arm, message), attempt)
        known = self._batcher.answer(key)
        if known is not None:
            return known
        self._batcher.ask(self._group)
        self._asked = key, _Decision(self.env)
        return (yield self._asked[1])

    @property
    def runs(self) -> bool:
        """Whether events may happen: nobody waits for an answer, and there is room for attempts."""
        return not (self.over or self._asked or self._batcher.full(self._group))

    @property
    def next_s(self) -> float:
        """The time of the next event."""
        return float(self.env.peek())

    def listen(self) -> None:
        """Hand on the answer that is waited for, if it is known."""
        if self._asked is None:
            return
        key, decision = self._asked
        accepted = self._batcher.answer(key)
        if accepted is not None:
            self._asked = None
            decision.give(accepted)

    def run(self, events: int) -> None:
        """Let at most so many events happen, as long as they may."""
        step, batcher, group = self.env.step, self._batcher, self._group
        try:
            for _ in range(events):
                step()
                if self._asked is not None or batcher.full(group):
                    return
        except simpy.core.EmptySchedule:
            self.over = True
            batcher.close(group)
