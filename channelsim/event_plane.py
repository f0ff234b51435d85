"""The event plane: when and whether; ids, times and floats only.

One generator per message tells its story from arrival to decision. One simpy Environment serves
all arms: each arm is a world of its own (its own transmitter, link and receiver) in which the same
messages arrive at the same times.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import simpy

from channelsim import fingerprint, seeds
from channelsim.batcher import Batcher, Memo, NoMemo
from channelsim.calibration import Paths, calibrate
from channelsim.interference import UNTOUCHED, Crossing, Interference
from channelsim.records import (
    DELIVERED,
    DROPPED,
    LOST,
    REJECTED,
    ArmRecord,
    Finished,
    LogEvent,
    Noted,
    Started,
    Ticked,
    TransmissionsDone,
)
from channelsim.scenario import Arm, Scenario

_SLICE = 4096  # events between two looks at the outside world


def simulate(
    scenario: Scenario, memo: Memo | None = None, stop: Callable[[], bool] | None = None
) -> Iterator[LogEvent]:
    """Run a scenario and yield what happens: `Started` first, `Finished` last.

    ``memo`` knows attempts that need not be computed again. When ``stop()`` turns true the stream
    ends early, without `Finished`.
    """
    paths = calibrate(scenario)
    count = scenario.source.messages
    total = count * len(scenario.arms)
    yield Started(fingerprint.header(scenario, paths.report), _arm_records(scenario), total)
    for notice in scenario.notices:
        yield Noted("info", notice, 0.0)

    outbox: list[LogEvent] = []
    batcher = Batcher(
        paths.paths,
        count=count,
        max_attempts=max(arm.link.max_attempts for arm in scenario.arms),
        max_pending=scenario.max_pending or scenario.block_rows,
        thumbnails=scenario.images,
        memo=memo or NoMemo(),
        emit=outbox.append,
    )
    env = simpy.Environment()
    settled = _Settled(count)
    worlds = [_World(arm, scenario, paths, batcher, settled) for arm in scenario.arms]
    env.process(arrivals(env, scenario.source.arrival_times(scenario.seed).tolist(), worlds))

    step, events_left = env.step, True
    while events_left:
        try:
            for _ in range(_SLICE):
                step()
                if outbox:
                    break
        except simpy.core.EmptySchedule:
            events_left = False
            batcher.flush_all()
        computed = bool(outbox)
        yield from outbox
        outbox.clear()
        if settled.pending() or computed or not events_left:
            yield settled.take()
        yield Ticked(env.now, settled.total - batcher.waiting, total)
        if stop is not None and stop():
            return
    yield Finished(env.now)


def _arm_records(scenario: Scenario) -> list[ArmRecord]:
    return [ArmRecord(arm.number, arm.receiver_name, arm.swept) for arm in scenario.arms]


def arrivals(
    env: simpy.Environment, times: Sequence[float], worlds: Sequence[_World]
) -> Generator[simpy.Event, Any, None]:
    """Start the life of every message in every arm at its arrival time."""
    for message, time in enumerate(times):
        if time > env.now:
            yield env.timeout(time - env.now)
        for world in worlds:
            env.process(life(env, world, message, time))


def life(
    env: simpy.Environment, world: _World, message: int, arrival_s: float
) -> Generator[simpy.Event, Any, None]:
    """One message in one arm: wait for the link, cross it, be judged, perhaps try again."""
    last = world.max_attempts - 1
    attempt = 0
    while True:
        # First come first served: the link is free again when the last one booked is through.
        began = max(env.now, world.free_at_s)
        sent_by = began + world.airtime_s
        world.free_at_s = sent_by
        crossing = world.crossing(message, began) if world.watched else UNTOUCHED
        yield env.timeout(sent_by + world.latency_s + crossing.delay_s - env.now)

        lost = DROPPED if world.loss > 0.0 and world.loses(message, attempt) else 0
        world.submit(message, attempt, lost, began, env.now, crossing)
        if not world.waits:
            verdict = LOST if lost else DELIVERED
            done_s = env.now + world.receiver_latency_s
            break
        if lost:
            done_s = env.now + world.receiver_latency_s
            verdict = LOST
            if attempt == last:
                break
            yield env.timeout(max(0.0, sent_by + world.silence_s - env.now))
        else:
            yield env.timeout(world.receiver_latency_s)
            done_s = env.now
            if not world.judged or world.accepts(message, attempt):
                verdict = DELIVERED
                break
            verdict = REJECTED
            if attempt == last:
                break
            yield env.timeout(world.latency_s)  # the request to send again travels back
        attempt += 1
    world.settled.add(world.number, message, arrival_s, done_s, attempt + 1, verdict)


class _World:
    """One arm as the event plane sees it."""

    __slots__ = (
        "_batcher",
        "_draws",
        "_group",
        "_interference",
        "_key",
        "_messages",
        "airtime_s",
        "free_at_s",
        "judged",
        "latency_s",
        "loss",
        "max_attempts",
        "number",
        "receiver_latency_s",
        "settled",
        "silence_s",
        "waits",
        "watched",
    )

    def __init__(
        self, arm: Arm, scenario: Scenario, paths: Paths, batcher: Batcher, settled: _Settled
    ) -> None:
        link, receiver = arm.link, arm.receiver
        self.number = arm.number
        self.airtime_s = link.airtime_s(receiver.codec.latent_size)
        self.latency_s, self.loss = link.latency_s, link.loss
        self.max_attempts = link.max_attempts
        self.silence_s = link.silence_s(receiver.latency_s)
        self.receiver_latency_s = receiver.latency_s
        # Only where a decision depends on content, or a silence on the link, does anybody wait.
        self.judged = receiver.detector is not None
        self.waits = self.judged or (link.loss > 0 and link.max_attempts > 1)
        self.free_at_s = 0.0
        self.settled = settled
        self._batcher = batcher
        self._group = paths.of_arm[arm.number]
        self._key = seeds.stream_key(scenario.seed, "link", "loss")
        self._messages = scenario.source.messages
        self._draws: dict[int, list[float]] = {}
        path = paths.paths[self._group]
        self._interference = Interference(arm, path.setting)
        self.watched = self._interference.acts

    def loses(self, message: int, attempt: int) -> bool:
        """Whether the link drops this attempt; the same draw in every arm."""
        if attempt not in self._draws:
            import numpy as np

            numbers = np.arange(self._messages)
            draws = seeds.uniforms(self._key, numbers, attempt, 1)[:, 0]
            self._draws[attempt] = draws.tolist()
        return self._draws[attempt][message] < self.loss

    def crossing(self, message: int, began_s: float) -> Crossing:
        """What adversaries do to a codeword that begins now; called in the order of time."""
        return self._interference.crossing(message, began_s)

    def submit(
        self,
        message: int,
        attempt: int,
        lost: int,
        began_s: float,
        now_s: float,
        crossing: Crossing,
    ) -> None:
        self._batcher.submit(
            self._group,
            self.number,
            message,
            attempt,
            lost=lost,
            began_s=began_s,
            arrived_s=now_s,
            allowance=crossing.allowance,
            replayed=crossing.replayed,
        )

    def accepts(self, message: int, attempt: int) -> bool:
        return self._batcher.answer(self._group, self.number, message, attempt)


class _Settled:
    """Transmissions whose story has ended, as columns."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: list[tuple[Any, ...]] = []
        self.total = 0

    def add(self, arm: int, message: int, *rest: Any) -> None:
        self._rows.append((arm * self._count + message, *rest))
        self.total += 1

    def pending(self) -> bool:
        return len(self._rows) >= 1024

    def take(self) -> TransmissionsDone:
        rows, self._rows = self._rows, []
        names = ("transmission", "sent_s", "done_s", "attempts", "delivered")
        values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return TransmissionsDone(dict(zip(names, values, strict=True)))
