"""Resampling units where the channel has memory: blocks of time, runs of messages, or images.

Consecutive messages in the same fade or burst are not independent observations. Blocks of simulated
time, counted from time 0 and as long as the channel's memory (`Stage.memory_s`), are (almost)
independent. Every rule here allows the same error, a choice of this project: a tenth of the
variance of a mean, which makes its interval 5 % too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

UNNOTICED = 0.1  # project's choice: share of a variance that an interval may miss
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEW = 30  # project's choice: an interval needs at least so many units
MOST_MEMORIES = 5  # with arrivals shifted by any constant, a time block this long misses no more
LEAST_RUNS = 10  # project's choice: with fewer runs of images, the images are taken as given
_ROUNDING = 1e-6  # of a time block: a time this little before an edge is at it, as in `fading`


def shared(memory_s: float, gap_s: float) -> bool:
    """Whether messages ``gap_s`` [s] apart on average share channel states to a relevant extent.

    Of messages that arrive at random, 1 + memory/gap share a fade of that length on average, which
    is the factor between the variance of their mean and that of as many independent ones.
    """
    return memory_s > 0.0 and memory_s >= UNNOTICED * gap_s


def memories(memory_s: Sequence[float], wait_s: float = 0.0) -> int | None:
    """Length of a time block that serves all memories [s], in multiples of the longest.

    ``wait_s``: mean wait of messages before they cross the channel [s]. Without waiting the length
    is 1: no fade reaches from one time block into the next. A message that waits beyond the end of
    its time block meets the fade of the next; this hides up to 2·wait/L of the variance between
    time blocks of length L; shorter fades that do not divide the longest evenly hide a third of
    their length over L. None where more than `MOST_MEMORIES` would be needed: then the time of
    arrival hardly determines a message's fade.
    """
    longest = max(memory_s)
    straddling = [short for short in memory_s if abs(math.remainder(longest, short)) > 1e-6 * short]
    hidden_s = 2.0 * wait_s + max(straddling, default=0.0) / 3.0
    needed = math.ceil(hidden_s / (UNNOTICED * longest) - 1e-9)
    return max(1, needed) if needed <= MOST_MEMORIES else None


def run_length(memory_s: float, reach_s: float, gap_s: float) -> int | None:
    """Number of consecutive messages, ``gap_s`` [s] apart on the channel, in one resampled run.

    A run that ends anywhere within a fade shares it with the next, which hides up to memory/(2·run)
    of the variance between runs; messages that overtake each other by ``reach_s`` [s] on average
    widen that border. None where all messages are on the channel at once.
    """
    if gap_s <= 0.0:
        return None
    return max(1, math.ceil((memory_s + reach_s) / (2.0 * UNNOTICED * gap_s) - 1e-9))


@dataclass(frozen=True, slots=True)
class Plan:
    """The units to resample: time blocks of ``many`` times the longest memory, runs of ``many``
    consecutive messages, or images.
    """

    kind: Literal["time block", "messages", "images"]
    many: int


def plan(
    memory_s: Sequence[float],
    *,
    gap_s: float,
    wait_s: float,
    reach_s: float,
    count: int,
    images: int,
    contended: bool = False,
) -> Plan | None:
    """The resampling of ``count`` messages of ``images`` different images; None: each by itself.

    ``memory_s``: all memories on any path, ``gap_s``: mean time between messages on the channel,
    ``wait_s``, ``reach_s``: their mean wait and mean overtaking, all in seconds. ``contended``:
    whether messages may destroy each other. Then at least two are lost at a time, and a backlog of
    repetitions has no known length: whatever the channel's memory, the unit is a run of messages,
    and there are `FEW` of them (project's choice; Schmeiser 1982, "Batch size effects in the
    analysis of simulation output", Oper. Res. 30: 10 to 30), or fewer longer ones.
    """
    remembers = bool(memory_s) and shared(max(memory_s), gap_s)
    run: int | None
    if contended:
        run = run_length(max(memory_s), reach_s, gap_s) if remembers else 1
        run = max(count // FEW, count if run is None else min(run, count))
        return Plan("messages", run) if run > 1 else None
    if not remembers:
        return None
    longest = max(memory_s)
    run = run_length(longest, reach_s, gap_s)
    if images < count and run is not None and images // run >= LEAST_RUNS:
        return Plan("images", run) if run > 1 else None
    many = memories(memory_s, wait_s)
    if many is not None:
        return Plan("time block", many)
    run = count if run is None else min(run, count)
    return Plan("messages", run) if run > 1 else None


def numbered(times_s: Floats, memory_s: float) -> Ints:
    """Each time [s] as the number of its time block of ``memory_s`` [s], counted from time 0."""
    return np.floor(np.asarray(times_s) / memory_s + _ROUNDING).astype(np.int64)


def numbered_in_sql(column: str, memory_s: float) -> str:
    """`numbered` as an SQLite expression, for a column of non-negative times."""
    return f"CAST({column} / {memory_s!r} + {_ROUNDING!r} AS INTEGER)"
