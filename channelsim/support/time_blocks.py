"""How much of a run must be resampled together where the channel remembers: the arithmetic of it.

Messages in a row that meet the same fade, or the same burst, are no independent observations. What
is (almost) independent are blocks of simulated time, counted from time 0, as long as the channel
remembers (`Stage.memory_s`). Everywhere the same error is let pass, our choice: a tenth of the
variance of a mean, which makes its interval 5 % too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

UNNOTICED = 0.1  # ours: share of a variance that an interval may miss
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEW = 30  # ours: fewer units than this are little to rest an interval on
MOST_MEMORIES = 5  # with arrivals shifted by any constant, a time block of so many misses no more
LEAST_RUNS = 10  # ours: with fewer runs of images, these images are taken as given instead
_ROUNDING = 1e-6  # of a time block: who comes so little too early comes on time, as in `fading`


def shared(memory_s: float, gap_s: float) -> bool:
    """Whether messages ``gap_s`` [s] apart on average meet the same channel to any effect.

    Of messages that arrive at random, 1 + memory/gap share a fade of that length on average, which
    is the factor between the variance of their mean and that of as many independent ones.
    """
    return memory_s > 0.0 and memory_s >= UNNOTICED * gap_s


def memories(memory_s: Sequence[float], wait_s: float = 0.0) -> int | None:
    """How many times the longest of some memories [s] make a time block for all of them.

    ``wait_s``: how long messages wait before they cross the channel, on average [s]. Without
    waiting it is one: no fade reaches from one time block into the next. A message that waits
    beyond the end of its time block meets the fade of the next; of the variance between time blocks
    of length L that hides up to 2·wait/L; shorter fades that do not fill the longest evenly hide a
    third of their length over L. None where more than `MOST_MEMORIES` would be needed: then the
    time of arrival hardly tells which fade a message met.
    """
    longest = max(memory_s)
    straddling = [short for short in memory_s if abs(math.remainder(longest, short)) > 1e-6 * short]
    hidden_s = 2.0 * wait_s + max(straddling, default=0.0) / 3.0
    needed = math.ceil(hidden_s / (UNNOTICED * longest) - 1e-9)
    return max(1, needed) if needed <= MOST_MEMORIES else None


def run_length(memory_s: float, reach_s: float, gap_s: float) -> int | None:
    """How many consecutive messages, ``gap_s`` [s] apart on the channel, must stay together.

    A run that ends anywhere within a fade shares it with the next, which hides up to
    memory/(2·run) of the variance between runs; messages that overtake each other by ``reach_s``
    [s] on average widen that border. None where all messages meet the channel at once.
    """
    if gap_s <= 0.0:
        return None
    return max(1, math.ceil((memory_s + reach_s) / (2.0 * UNNOTICED * gap_s) - 1e-9))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is resampled together: time blocks of ``many`` times the longest memory, or runs of so
    many consecutive messages, or images.
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
    """How to resample ``count`` messages of ``images`` different images; None: each by itself.

    ``memory_s``: all memories on any path, ``gap_s``: mean time between messages on the channel,
    ``wait_s``, ``reach_s``: how long they wait and overtake each other on average, all in seconds.
    ``contended``: whether messages may destroy each other. Then at least two are lost at a time,
    and a backlog of repetitions lasts for nobody knows how long: whatever the channel remembers,
    the unit is a run of messages, and there are `FEW` of them (ours; Schmeiser 1982, "Batch size
    effects in the analysis of simulation output", Oper. Res. 30: 10 to 30), or fewer longer ones.
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
    """In which time block of ``memory_s`` [s] each time [s] lies, counted from time 0."""
    return np.floor(np.asarray(times_s) / memory_s + _ROUNDING).astype(np.int64)


def numbered_in_sql(column: str, memory_s: float) -> str:
    """The same, as an expression of SQLite in a column of times that are not negative."""
    return f"CAST({column} / {memory_s!r} + {_ROUNDING!r} AS INTEGER)"
