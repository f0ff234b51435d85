"""A run as a stream of events: preparations, the messages' lives, and what their blocks gave.

One simpy Environment serves all arms: each arm is separate (its own transmitters, medium and
receiver), and the same messages arrive in it at the same times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import simpy

from channelsim.contracts.own_code import naming_own_code
from channelsim.contracts.promises import Tried, weakened
from channelsim.contracts.records import (
    ArmRecord,
    Finished,
    LogEvent,
    Noted,
    Preparing,
    Started,
    Ticked,
)
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.signal_path.reach import reach
from channelsim.simulation import header as fingerprint
from channelsim.simulation.batcher import Batcher, Memo, NoMemo
from channelsim.simulation.image_retention import ImageRetention
from channelsim.simulation.message_life import Settled, World, arrivals
from channelsim.simulation.self_test import self_test
from channelsim.support.allocator import keep_freed_memory

_SLICE = 4096  # events between two checks of ``stop`` and the batcher


def simulate(
    scenario: Scenario,
    memo: Memo | None = None,
    stop: Callable[[], bool] | None = None,
    prepare: Callable[[Preparing], None] | None = None,
    fitted: Mapping[str, Mapping[str, Any]] | None = None,
    tried: Tried | None = None,
    tested_rows: int | None = None,
) -> Iterator[LogEvent]:
    """Run a scenario and yield its events: `Started` first, `Finished` last.

    ``memo`` holds attempts that need not be computed again. When ``stop()`` turns true the stream
    ends early, without `Finished`. ``prepare`` receives the slow preparations before `Started`.
    ``fitted``: see `calibrate`. ``tried``: the result of a self-test of this scenario, where it
    need not be repeated; ``tested_rows``: the height of the block that it is made on, default the
    scenario's ``block_rows``.
    """
    keep_freed_memory()
    with naming_own_code():
        yield from _simulated(scenario, memo, stop, prepare, fitted, tried, tested_rows)


def _simulated(
    scenario: Scenario,
    memo: Memo | None,
    stop: Callable[[], bool] | None,
    prepare: Callable[[Preparing], None] | None,
    fitted: Mapping[str, Mapping[str, Any]] | None,
    tried: Tried | None,
    tested_rows: int | None,
) -> Iterator[LogEvent]:
    def tell(doing: str, arm: int, arms: int) -> None:
        if stop is not None and stop():
            raise _StoppedError
        if prepare is not None:
            prepare(Preparing(f"{doing} (arm {arm + 1} of {arms})"))

    def fits(who: str, arm: int, arms: int) -> None:
        tell(f"fitting {who}", arm, arms)

    try:
        paths = calibrate(scenario, fitted, fits)
        # A resumed run has it in its header, and a further trial of block sizes needs none.
        seeks = partial(tell, "how near a decoder comes to the target")
        ways = reach(scenario, paths, seeks) if memo is None and tried is None else {}
    except _StoppedError:
        return
    tried = tried or self_test(scenario, paths, tested_rows)
    paths = paths.in_blocks(tried.shape(scenario.block_rows))
    count = scenario.source.messages
    total = count * len(scenario.arms)
    header = fingerprint.header(scenario, paths.report, tried)
    if ways:
        header = header.with_values(reach=ways)
    yield Started(header, _arm_records(scenario), total)
    for sentence in weakened(tried):
        yield Noted("warning", sentence, 0.0)
    for notice in scenario.notices:
        yield Noted("info", notice, 0.0)

    outbox: list[LogEvent] = []
    attempts = [arm.link.max_attempts for arm in scenario.arms]
    batcher = Batcher(
        paths.paths,
        keys=header.keys,
        max_pending=scenario.max_pending,
        retention=ImageRetention(
            first=scenario.images,
            last=[most - 1 for most in attempts],
            keys=header.keys,
            metrics=[metric.kind for metric in scenario.metrics],
            scales=header.scales,
        ),
        memo=memo or NoMemo(),
        emit=outbox.append,
        steady=tried.place.differ > 0,
    )
    env = simpy.Environment()
    settled = Settled(count)
    worlds = [World(env, arm, scenario, paths, batcher, settled) for arm in scenario.arms]
    env.process(arrivals(env, scenario.source.arrival_times(scenario.seed).tolist(), worlds))

    def told(*more: LogEvent) -> Iterator[LogEvent]:
        yield from outbox
        outbox.clear()
        yield from more
        yield Ticked(env.now, max(0, settled.total - batcher.waiting), total)

    step, events_left = env.step, True
    while events_left:
        try:
            for _ in range(_SLICE):
                step()
                if outbox:
                    break
            batcher.hurry()
        except simpy.core.EmptySchedule:
            events_left = False
            for _ in batcher.drain():
                yield from told()
                if stop is not None and stop():
                    break
        due = settled.pending() or outbox or not events_left
        yield from told(*([settled.take()] if due else []))
        if stop is not None and stop():
            batcher.finish()
            yield from told()
            return
    yield Finished(env.now)


class _StoppedError(Exception):
    """A stop was requested before the first message."""


def _arm_records(scenario: Scenario) -> list[ArmRecord]:
    return [ArmRecord(arm.number, arm.receiver_name, arm.swept) for arm in scenario.arms]
