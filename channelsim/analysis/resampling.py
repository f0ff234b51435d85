"""The bootstrap's unit: images, or on a channel with memory, neighbours in time.

A message is an observation of its image and of the channel. If the channel has no memory between
messages, those that carry one image are resampled together, and no others. Otherwise the unit is
one of three:

* a **time block**: all messages that arrived in it. Its length is the longest memory in the run's
  header (``memory_s``), or a few times that where messages wait.
* a **run of messages**, if they wait so long that the time of arrival does not determine their
  fade: they still cross the channel in order, or nearly. Also if transmitters contend: neighbours
  share collisions and backlogs.
* a **run of images**, if images are sent repeatedly: the messages of some consecutive images, from
  all repetitions, so that neither a fade nor an image is in two cells (except at their borders). If
  runs of sufficient length are too few, the unit is one of the other two, and intervals cover these
  images alone.

All three are neighbours in the order of messages, the same in all arms, so everything stays paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from channelsim.analysis import intervals
from channelsim.contracts.records import Ints
from channelsim.contracts.run_header import RunHeader
from channelsim.support import time_blocks

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord
    from channelsim.ledger import Ledger

_LOOKED_AT = 2**17  # project's choice: messages from which an arm's pace is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """The unit of resampling in words.

    ``kind``: ``image``, ``time block`` (of ``length_s`` [s]) or ``run`` (of ``run`` consecutive
    messages, or images). ``given_images``: whether images are sent repeatedly but not resampled, so
    that intervals cover these alone. ``noun``: what a message carries, ``image`` or ``signal``.
    """

    kind: Literal["image", "time block", "run"] = "image"
    length_s: float = 0.0
    run: int = 1
    of_images: bool = False
    given_images: bool = False
    noun: str = "image"

    @property
    def in_time(self) -> bool:
        """Whether neighbours in time are resampled together."""
        return self.kind != "image"

    def named(self, number: int) -> str:
        """The unit with a number: ``12 time blocks of 3 s``."""
        if self.kind == "time block":
            return f"{number:,} time block{'' if number == 1 else 's'} of {self.length_s:g} s"
        many = "" if number == 1 else "s"
        if self.kind == "run":
            carried = self.noun if self.of_images else "message"
            return f"{number:,} run{many} of {self.run:,} {carried}s"
        return f"{number:,} {self.noun}{many}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """The assignment of a run's messages to cells.

    ``images``: how many different ones the messages carry (message i: image i mod that number).
    ``starts``: the first message (or image) of every time block or run, ascending; None if the unit
    is the image.
    """

    images: int
    seed: int
    what: Resampled = field(default_factory=Resampled)
    starts: Ints | None = None

    def size(self, most: int | None = None) -> int:
        """The number of cells, at most ``most`` (default: `intervals.CELLS`)."""
        most = intervals.CELLS if most is None else most
        return min(self.images if self.starts is None else len(self.starts), most)

    def cells(self, message: Ints, most: int | None = None) -> Ints:
        """The cell of each message, [N]: below `size`, and neighbours in time stay neighbours."""
        if self.starts is None:
            return intervals.cell_of(message % self.images, self.images, self.seed, most)
        key = message % self.images if self.what.of_images else message
        place = np.searchsorted(self.starts, key, side="right") - 1
        found: Ints = place.clip(0) * self.size(most) // len(self.starts)
        return found


def by_image(header: RunHeader) -> Unit:
    """Single images as units: right if the channel has no memory, and for all plain means."""
    count = header.count
    images = min(count, header.calibration.images or count)
    return Unit(images=images, seed=header.seed, what=Resampled(noun=header.noun))


def unit_of(ledger: Ledger, header: RunHeader, arms: Sequence[ArmRecord]) -> Unit:
    """The unit for all arms of a run, from its rows so far."""
    alone, count = by_image(header), header.count
    memory_s = header.memory_s
    contended, airtime_s = header.contended, header.airtime_s
    pace = _pace(ledger, count, arms) if memory_s or contended else None
    if pace is None:
        return alone
    chosen = time_blocks.plan(
        memory_s,
        gap_s=pace.gap_s,
        # A symbol crosses half an airtime after its codeword began, on average.
        wait_s=pace.wait_s + airtime_s / 2,
        reach_s=pace.reach_s + airtime_s,
        count=count,
        images=alone.images,
        contended=contended,
    )
    if chosen is None:
        return alone
    if chosen.kind == "time block":
        return _in_time_blocks(alone, ledger, count, arms, max(memory_s), chosen.many)
    of_images = chosen.kind == "images"
    total = alone.images if of_images else count
    run = max(chosen.many, math.ceil(total / intervals.CELLS))
    given = alone.images < count and not of_images
    what = replace(alone.what, kind="run", run=run, of_images=of_images, given_images=given)
    return replace(alone, what=what, starts=np.arange(0, total, run, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class _Pace:
    """Mean time between messages, waiting, and overtaking [s], each of its worst arm."""

    gap_s: float
    wait_s: float
    reach_s: float


def _pace(ledger: Ledger, count: int, arms: Sequence[ArmRecord]) -> _Pace | None:
    """None until some arm has two messages."""
    found = []
    for arm in arms:
        rows = ledger.rows(
            "SELECT transmission, sent_s, done_s FROM transmission WHERE transmission >= ?"
            " AND transmission < ? ORDER BY transmission LIMIT ?",
            (arm.arm * count, (arm.arm + 1) * count, _LOOKED_AT),
        )
        number, sent, done = np.array(list(rows), dtype=np.float64).reshape(-1, 3).T
        if len(number) < 2:
            continue
        gap = float(np.ptp(done) / np.ptp(number))
        took = done - sent
        rank = np.argsort(np.argsort(done, kind="stable"), kind="stable")
        overtaken = np.abs(rank - np.arange(len(rank))).mean()
        found.append((gap, float(took.mean() - took.min()), float(overtaken) * gap))
    if not found:
        return None
    gaps, waits, reaches = zip(*found, strict=True)
    return _Pace(min(gaps), max(waits), max(reaches))


def _in_time_blocks(
    alone: Unit,
    ledger: Ledger,
    count: int,
    arms: Sequence[ArmRecord],
    memory_s: float,
    many: int,
) -> Unit:
    """Time blocks of ``many`` memories, or more if there would be more than `intervals.CELLS`."""
    last_s = next(ledger.rows("SELECT MAX(sent_s) FROM transmission"))[0]
    number = int(time_blocks.numbered(np.array([last_s]), memory_s)[0]) + 1
    many = max(many, math.ceil(number / intervals.CELLS))
    # Messages arrive in the order of their numbers, at the same times in all arms.
    firsts: dict[int, int] = {}
    for arm in arms:
        rows = ledger.rows(
            f"SELECT {time_blocks.numbered_in_sql('sent_s', memory_s)} / :many,"
            " MIN(transmission) - :first, COUNT(*) FROM transmission"
            " WHERE transmission >= :first AND transmission < :first + :count GROUP BY 1",
            {"many": many, "first": arm.arm * count, "count": count},
        )
        settled = 0
        for block, first, messages in rows:
            firsts[block] = min(first, firsts.get(block, first))
            settled += messages
        if settled == count:  # no other arm has more
            break
    if len(firsts) == count:
        return alone
    given = alone.images < count
    what = replace(alone.what, kind="time block", length_s=many * memory_s, given_images=given)
    starts = np.array(sorted(firsts.values()), dtype=np.int64)
    return replace(alone, what=what, starts=starts)
