"""One message's life in one arm: sent, judged, sent again; ids, times and floats only.

Whether a message is sent again is decided here, in `life`, from what its link and receiver answer.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import simpy

from channelsim.contracts.records import (
    ARRIVED,
    COLLIDED,
    DELIVERED,
    DROPPED,
    LOST,
    REJECTED,
    Attempt,
    TransmissionsDone,
)
from channelsim.link.medium import Passage, media
from channelsim.scenario import Arm, Scenario
from channelsim.scenario.waiting import judged, waits
from channelsim.signal_path import SignalPath
from channelsim.simulation.adversary_state import UNTOUCHED, Crossing, Interference
from channelsim.simulation.desk import Desk
from channelsim.support import seeds


def arrivals(
    env: simpy.Environment, times: Sequence[float], worlds: Sequence[World]
) -> Generator[simpy.Event, Any, None]:
    """Start the process of every message in every arm at its arrival time."""
    for message, time in enumerate(times):
        if time > env.now:
            yield env.timeout(time - env.now)
        for world in worlds:
            env.process(life(env, world, message, time))


def life(
    env: simpy.Environment, world: World, message: int, arrival_s: float
) -> Generator[simpy.Event, Any, None]:
    """One message in one arm: wait for the medium, cross it, be judged, perhaps try again."""
    medium = world.media.of(message)
    last = world.max_attempts - 1
    attempt = 0
    while True:
        passage = yield from medium.send(message, attempt)
        crossing = UNTOUCHED
        if world.watched:
            # Called as codewords arrive, all equally late: in the order in which they began.
            crossing = world.crossing(message, passage.began_s)
            if crossing.delay_s > 0:
                yield env.timeout(crossing.delay_s)

        lost = world.fate(passage, message, attempt)
        world.submit(message, attempt, lost, passage.began_s, crossing)
        if not world.waits:
            verdict = LOST if lost else DELIVERED
            done_s = env.now + world.receiver_latency_s
            break
        if lost:
            done_s = env.now + world.receiver_latency_s
            verdict = LOST
            if attempt == last:
                break
            yield world.silence(passage, message, attempt)
        else:
            yield env.timeout(world.receiver_latency_s)
            done_s = env.now
            if not world.judged or (yield from world.accepts(message, attempt)):
                verdict = DELIVERED
                break
            verdict = REJECTED
            if attempt == last:
                break
            request = yield from medium.answer(message, attempt)
            if request.destroyed:
                yield world.silence(passage, message, attempt)
        attempt += 1
    world.settled.add(world.number, message, arrival_s, done_s, attempt + 1, verdict)
    if world.acknowledges and verdict == DELIVERED:
        yield from acknowledge(world, passage, message, attempt)


def acknowledge(
    world: World, passage: Passage, message: int, attempt: int
) -> Generator[simpy.Event, Any, None]:
    """The answer to a delivered message, and repeats until it is heard, which occupy the medium.

    The receiver has the message: repeats are not decoded, and adversaries do not attack them.
    """
    medium = world.media.of(message)
    lost = ARRIVED
    while attempt < world.max_attempts - 1:
        if not lost and not (yield from medium.answer(message, attempt)).destroyed:
            return
        yield world.silence(passage, message, attempt)
        attempt += 1
        passage = yield from medium.send(message, attempt)
        lost = world.fate(passage, message, attempt)
        if not lost:
            yield world.env.timeout(world.receiver_latency_s)


class World:
    """One arm on the event plane."""

    __slots__ = (
        "_desk",
        "_draws",
        "_interference",
        "_key",
        "_messages",
        "acknowledges",
        "env",
        "judged",
        "loss",
        "max_attempts",
        "media",
        "number",
        "receiver_latency_s",
        "settled",
        "silence_s",
        "waits",
        "watched",
    )

    def __init__(
        self,
        desk: Desk,
        arm: Arm,
        scenario: Scenario,
        path: SignalPath,
        settled: Settled,
    ) -> None:
        link, receiver = arm.link, arm.receiver
        self.env = env = desk.env
        self._desk = desk
        self.number = arm.number
        self.media = media(env, link, receiver.codec.latent_size, scenario.seed)
        self.loss, self.max_attempts = link.loss, link.max_attempts
        self.silence_s = link.silence_s(receiver.latency_s)
        self.receiver_latency_s = receiver.latency_s
        # A message waits only where a decision depends on content, or a silence on the link.
        self.judged, self.waits = judged(arm), waits(arm)
        self.acknowledges = link.answers
        self.settled = settled
        self._key = seeds.stream_key(scenario.seed, "link", "loss")
        self._messages = scenario.source.messages
        self._draws: dict[int, list[float]] = {}
        self._interference = Interference(arm, path.setting)
        self.watched = self._interference.acts

    def fate(self, passage: Passage, message: int, attempt: int) -> int:
        """`ARRIVED`, or the reason of the loss."""
        if passage.destroyed:
            return COLLIDED
        return DROPPED if self.loss > 0.0 and self._loses(message, attempt) else ARRIVED

    def silence(self, passage: Passage, message: int, attempt: int) -> simpy.Event:
        """The time without an answer until a transmitter's next attempt."""
        until_s = passage.ended_s + self.silence_s
        backoff_s = self.media.of(message).backoff_s(message, attempt)
        return self.env.timeout(max(0.0, until_s - self.env.now) + backoff_s)

    def _loses(self, message: int, attempt: int) -> bool:
        """Whether the link drops this attempt; the same draw in every arm."""
        if attempt not in self._draws:
            numbers = np.arange(self._messages)
            draws = seeds.uniforms(self._key, numbers, attempt, 1)[:, 0]
            self._draws[attempt] = draws.tolist()
        return self._draws[attempt][message] < self.loss

    def crossing(self, message: int, began_s: float) -> Crossing:
        """A codeword's crossing under the adversaries; called in order of codewords' begins."""
        return self._interference.crossing(message, began_s)

    def submit(
        self, message: int, attempt: int, lost: int, began_s: float, crossing: Crossing
    ) -> None:
        """Hand over an attempt that arrives, or is missed, now."""
        arrived_s = float(self.env.now)
        self._desk.submit(
            Attempt(
                *(self.number, message, attempt, lost, began_s, arrived_s),
                *(crossing.allowance, crossing.replayed),
            )
        )

    def accepts(self, message: int, attempt: int) -> Generator[simpy.Event, bool, bool]:
        """The detector's decision, which has the attempt computed."""
        return (yield from self._desk.accepted(self.number, message, attempt))


class Settled:
    """Settled transmissions, as columns."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: list[tuple[Any, ...]] = []
        self.total = 0

    def add(self, arm: int, message: int, *rest: Any) -> None:
        """Enter one."""
        self._rows.append((arm * self._count + message, *rest))
        self.total += 1

    def pending(self) -> bool:
        """Whether enough wait for an event of their own."""
        return len(self._rows) >= 1024

    def take(self) -> TransmissionsDone:
        """Those entered since the last time."""
        rows, self._rows = self._rows, []
        names = ("transmission", "sent_s", "done_s", "attempts", "delivered")
        values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return TransmissionsDone(dict(zip(names, values, strict=True)))
