"""A run as a stream of events: preparations, the messages' lives, and what their blocks gave.

Each arm is separate (its own transmitters, medium and receiver), and the same messages arrive in it
at the same times. Arms whose rows share blocks share a simulated time (`desk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from channelsim.contracts.keys import Keys
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
from channelsim.contracts.run_header import RunHeader
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import Paths, calibrate
from channelsim.signal_path.reach import reach
from channelsim.simulation import header as fingerprint
from channelsim.simulation.batcher import Batcher, Memo, NoMemo
from channelsim.simulation.desk import Desk
from channelsim.simulation.image_retention import ImageRetention
from channelsim.simulation.jobs import Computing, InThisProcess
from channelsim.simulation.message_life import Settled, World, arrivals
from channelsim.simulation.self_test import self_test
from channelsim.simulation.share import Share
from channelsim.support.allocator import keep_freed_memory

_ATTACK = 10.0  # how much more an attack costs than a transmission, about; project's choice
_SLICE = 4096  # events between two checks of ``stop`` and the batcher
_PATIENCE_S = 0.25  # between two signs of life while workers compute

Workers = Callable[[RunHeader, Paths], Computing]


def simulate(
    scenario: Scenario,
    memo: Memo | None = None,
    stop: Callable[[], bool] | None = None,
    prepare: Callable[[Preparing], None] | None = None,
    fitted: Mapping[str, Mapping[str, Any]] | None = None,
    tried: Tried | None = None,
    tested_rows: int | None = None,
    workers: Workers | None = None,
    share: Share | None = None,
) -> Iterator[LogEvent]:
    """Run a scenario and yield its events: `Started` first, `Finished` last.

    ``memo`` holds attempts that need not be computed again. When ``stop()`` turns true the stream
    ends early, without `Finished`. ``prepare`` receives the slow preparations before `Started`.
    ``fitted``: see `calibrate`. ``tried``: the result of a self-test of this scenario, where it
    need not be repeated; ``tested_rows``: the height of the block that it is made on, default the
    scenario's ``block_rows``. ``workers``: who computes, prepared with the run's header and paths;
    default this process. ``share``: compute only these groups of arms, and end without `Finished`.
    """
    keep_freed_memory()
    with naming_own_code():
        yield from _simulated(
            scenario, memo, stop, prepare, fitted, tried, tested_rows, workers, share
        )


def _simulated(
    scenario: Scenario,
    memo: Memo | None,
    stop: Callable[[], bool] | None,
    prepare: Callable[[Preparing], None] | None,
    fitted: Mapping[str, Mapping[str, Any]] | None,
    tried: Tried | None,
    tested_rows: int | None,
    workers: Workers | None,
    share: Share | None,
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
    groups = list(range(len(paths.paths)))
    if share is not None:
        groups = share.groups([_work(paths, group) for group in groups])
    count = scenario.source.messages
    total = count * sum(of in groups for of in paths.of_arm)
    header = fingerprint.header(scenario, paths.report, tried, paths.device)
    if ways:
        header = header.with_values(reach=ways)
    computing = InThisProcess(paths.paths) if workers is None else workers(header, paths)
    yield Started(header, _arm_records(scenario), count * len(scenario.arms))
    for sentence in weakened(tried):
        yield Noted("warning", sentence, 0.0)
    for notice in scenario.notices:
        yield Noted("info", notice, 0.0)

    outbox: list[LogEvent] = []
    attempts = [arm.link.max_attempts for arm in scenario.arms]
    batcher = Batcher(
        paths.paths,
        computing=computing,
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
    settled = Settled(count)
    desks = _desks(scenario, paths, groups, batcher, header.keys, settled)
    slice_ = max(64, _SLICE // len(desks))

    def told(*more: LogEvent) -> Iterator[LogEvent]:
        yield from outbox
        outbox.clear()
        yield from more
        now_s = min((desk.env.now for desk in desks if not desk.over), default=_end_s(desks))
        yield Ticked(now_s, max(0, settled.total - batcher.waiting), total)

    while not (all(desk.over for desk in desks) and not batcher.waiting):
        batcher.advance()
        for desk in desks:
            desk.listen()
        if stop is not None and stop():
            batcher.finish()
            yield from told(settled.take())
            return
        # The earliest goes on, so that arms advance together in simulated time.
        able = [desk for desk in desks if desk.runs]
        if able:
            min(able, key=_next_s).run(slice_)
        else:
            batcher.wait(_PATIENCE_S)
        if settled.pending() or outbox or not able:
            yield from told(*([settled.take()] if settled.pending() or outbox else []))
    yield from told(settled.take())
    if share is None:  # else the run goes on elsewhere
        yield Finished(_end_s(desks))


def _desks(
    scenario: Scenario,
    paths: Paths,
    groups: Sequence[int],
    batcher: Batcher,
    keys: Keys,
    settled: Settled,
) -> list[Desk]:
    """The event plane of every group, before its first event."""
    desks = []
    times = scenario.source.arrival_times(scenario.seed).tolist()
    for group in groups:
        desk = Desk(group, batcher, keys)
        worlds = [
            World(desk, arm, scenario, paths.paths[group], settled)
            for arm in scenario.arms
            if paths.of_arm[arm.number] == group
        ]
        desk.env.process(arrivals(desk.env, times, worlds))
        desks.append(desk)
    return desks


def _work(paths: Paths, group: int) -> float:
    """About how much a group has to compute, of an arm without an adversary."""
    attacked = paths.paths[group].setting.active
    return paths.of_arm.count(group) * (_ATTACK if attacked else 1.0)


def _next_s(desk: Desk) -> float:
    return desk.next_s


def _end_s(desks: Sequence[Desk]) -> float:
    return max(float(desk.env.now) for desk in desks)


class _StoppedError(Exception):
    """A stop was requested before the first message."""


def _arm_records(scenario: Scenario) -> list[ArmRecord]:
    return [ArmRecord(arm.number, arm.receiver_name, arm.swept) for arm in scenario.arms]
