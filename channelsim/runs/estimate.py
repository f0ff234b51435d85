"""Estimates of a run's time and ledger size, from a trial of its first messages."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelsim.contracts.goal import goal_of
from channelsim.contracts.promises import Tried, of_header
from channelsim.contracts.records import (
    ArmRecord,
    AttemptsDone,
    Finished,
    ImageSaved,
    Started,
    TransmissionsDone,
)
from channelsim.contracts.run_header import RunHeader
from channelsim.scenario import Scenario
from channelsim.scenario.waiting import JUDGED_BLOCK, judged
from channelsim.simulation.event_plane import simulate

# Choices of this project: the values of block_rows tried, the speed-up for another to be proposed,
# the total time of the trials [s], and the blocks per trial.
BLOCKS = (32, 64, 128, 256, 512)
WORTH_CHANGING = 1.1
BUDGET_S = 5.0
_TRIAL_BLOCKS = 1
FIRST_ROWS = 32  # of a block in the first trial: a message in every arm rarely fills more
_ROW_OVERHEAD = 12  # bytes SQLite spends on a row's key, header and place in its page
_EMPTY_BYTES = 50_000  # a ledger with its header and no rows


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Results of a short run.

    ``header``: of the run. ``columns``: the attempt columns with the values measured.
    ``set_up_s``: before the first message (loading, calibration). ``run_s``: the rest.
    ``transmissions``, ``image_bytes``, ``row_bytes``: of this trial.
    """

    header: RunHeader
    arms: Sequence[ArmRecord]
    columns: Mapping[str, Sequence[Any]]
    set_up_s: float
    run_s: float
    transmissions: int
    image_bytes: int
    row_bytes: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Time [s] and ledger size [bytes] of a run, and the block size that was fastest here.

    ``rates``: transmissions per second for every block_rows tried.
    """

    transmissions: int
    seconds: float
    ledger_bytes: int
    block_rows: int
    rates: Mapping[int, float]


def trial(
    scenario: Scenario,
    messages: int,
    block_rows: int | None = None,
    fitted: Mapping[str, Any] | None = None,
    tried: Tried | None = None,
) -> Trial:
    """Run the first ``messages`` of a scenario in memory, through everything but the ledger.

    ``block_rows``: of a block, default the scenario's own, at which the self-test is made in any
    case. ``fitted``, ``tried``: fits of its adversaries and result of the self-test in another
    trial of it, see `simulate`.
    """
    short = dataclasses.replace(
        scenario,
        source=scenario.source.first(max(messages, least_messages(scenario))),
        block_rows=block_rows or scenario.block_rows,
        max_pending=None,
    )
    began = started_at = time.perf_counter()
    header = RunHeader({})
    arms: Sequence[ArmRecord] = ()
    columns: dict[str, list[Any]] = {}
    settled = pictures = size = 0
    whole = scenario.block_rows
    for event in simulate(short, fitted=fitted, tried=tried, tested_rows=whole):
        match event:
            case Started():
                header, arms, started_at = event.header, event.arms, time.perf_counter()
            case AttemptsDone():
                size += row_bytes(event.columns)
                for name, values in event.columns.items():
                    columns.setdefault(name, []).extend(values)
            case TransmissionsDone():
                size += row_bytes(event.columns)
                settled += len(event.columns["transmission"])
            case ImageSaved():
                pictures += len(event.png)
            case Finished():
                break
    return Trial(
        header=header,
        arms=arms,
        columns=columns,
        set_up_s=started_at - began,
        run_s=time.perf_counter() - started_at,
        transmissions=settled,
        image_bytes=pictures,
        row_bytes=size,
    )


def least_messages(scenario: Scenario) -> int:
    """Messages needed to try all of a run: two where a goal is another message's image."""
    goals = (goal_of(stage) for arm in scenario.arms for stage in arm.path.adversaries)
    needs = {need for goal in goals if goal is not None for need in goal.needs()}
    return min(scenario.source.messages, 2 if "other messages" in needs else 1)


def estimate(
    scenario: Scenario, blocks: Sequence[int] = BLOCKS, first: Trial | None = None
) -> Estimate:
    """Measure a scenario at its own block_rows, then at others that `BUDGET_S` has time for.

    Call `trial` once before, so that loading on first use is not part of the rate. ``first``: that
    trial, so that its adversaries' fits need not be repeated.
    """
    began = time.perf_counter()
    fitted = None if first is None else first.header.calibration.fitted
    tried = None if first is None else of_header(first.header)
    set_up_s = None if first is None or fitted is None else first.set_up_s
    messages, arms = scenario.source.messages, len(scenario.arms)
    own = _measured(scenario, scenario.block_rows, fitted, tried)
    rates = {scenario.block_rows: own.transmissions / own.run_s}
    total = messages * arms
    # The default block size is always tried first: large blocks with a judging receiver are so
    # slow that no other would be tried.
    usual = [JUDGED_BLOCK] if any(map(judged, scenario.arms)) else []
    for block in usual + sorted(blocks, key=lambda size: abs(size - scenario.block_rows)):
        nearest = min(rates, key=lambda known: abs(known - block))
        needed_s = _rows(scenario, block) / rates[nearest]
        fills, in_time = block <= total, time.perf_counter() - began + needed_s < BUDGET_S
        if fills and block not in rates and (in_time or block in usual):
            measured = _measured(scenario, block, fitted, tried)
            rates[block] = measured.transmissions / measured.run_s
    share = total / own.transmissions
    sent = own.transmissions // arms
    # Pictures of the first messages are kept; the trial may have sent only some of these.
    pictures = own.image_bytes * min(scenario.images, messages) / max(1, min(scenario.images, sent))
    return Estimate(
        transmissions=total,
        seconds=(set_up_s or own.set_up_s) + total / rates[scenario.block_rows],
        ledger_bytes=round(_EMPTY_BYTES + own.row_bytes * share + pictures),
        block_rows=proposed(rates, scenario.block_rows),
        rates=rates,
    )


def proposed(rates: Mapping[int, float], own: int) -> int:
    """The block_rows to use: the scenario's own unless another is clearly faster."""
    fastest = max(rates, key=lambda block: rates[block])
    return fastest if rates[fastest] > WORTH_CHANGING * rates[own] else own


def row_bytes(columns: Mapping[str, Sequence[Any]]) -> int:
    """Bytes that columns of rows take in SQLite: values by their type, and a little per row."""
    rows = len(next(iter(columns.values()), ()))
    total = rows * (_ROW_OVERHEAD + len(columns))
    for values in columns.values():
        total += sum(_value_bytes(value) for value in values)
    return total


def _value_bytes(value: Any) -> int:
    if value is None or value != value or value in (0, 1):
        return 0  # NULL (NaN becomes NULL), 0 and 1 live in the row's header
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, int):
        return 1 + max(0, (value.bit_length() - 1) // 8)
    return 8


def _measured(
    scenario: Scenario, block_rows: int, fitted: Mapping[str, Any] | None, tried: Tried | None
) -> Trial:
    messages = _rows(scenario, block_rows) // len(scenario.arms)
    return trial(scenario, messages, block_rows, fitted, tried)


def _rows(scenario: Scenario, block_rows: int) -> int:
    """Transmissions of a trial in which every receiver fills its blocks.

    Only arms of one receiver share blocks; where these do not fill, padding would count as work.
    """
    receivers = Counter(arm.receiver_name for arm in scenario.arms)
    rows, sharing = _TRIAL_BLOCKS * block_rows, min(receivers.values())
    messages = max(1, min(scenario.source.messages, -(-rows // sharing)))
    return messages * len(scenario.arms)
