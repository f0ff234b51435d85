"""The only interface between the event plane and the signal plane.

`submit` returns at once. An attempt's answer falls due after the receiver's modelled latency; when
the first answer of a group is asked for, everything pending in that group is judged, across arms;
decoding and measuring wait until many rows are judged. Where no decision depends on content no
answer is asked for, and batches fill, up to several blocks. A row's result does not depend on the
other rows of its batch: ``max_pending``, and who computes, are scheduling only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import Attempt, Batch, ImagesDropped, LogEvent
from channelsim.signal_path import SignalPath
from channelsim.signal_path.arrival import Arrival
from channelsim.signal_path.fallback import LastAccepted
from channelsim.simulation.attempt_rows import attempt_rows
from channelsim.simulation.image_retention import ImageRetention, Pictured
from channelsim.simulation.jobs import Answer, Computing, Job, Judge, Show, Shown, Transmit

T = TypeVar("T")


class Memo(Protocol):
    """A record of finished attempts: the ledger."""

    def known(self, keys: Sequence[int]) -> dict[int, bool]:
        """Those of these attempt keys that are recorded, with whether they were accepted."""

    def pictured(self, column: str | None) -> Iterable[Pictured]:
        """Attempts whose images are recorded."""


class NoMemo:
    """The empty record of a new run."""

    def known(self, keys: Sequence[int]) -> dict[int, bool]:  # noqa: ARG002
        """Nothing is known."""
        return {}

    def pictured(self, column: str | None) -> Iterable[Pictured]:  # noqa: ARG002
        """Nothing is recorded."""
        return ()


# Project's choices: more rows at once close up better, and are heard of less often.
_ROWS = 2048
_NUMBERS = 2**22  # of their images, or codewords: 16 MB
_LONGEST_S = 2.0  # of computing without a sign of life
_SHARED = 16  # rows of a decision's job, at least, where several workers share it


class _Room:
    """How many rows of one group are computed at once: from one block up to `_ROWS`.

    Scheduling only: it follows the time that they took.
    """

    def __init__(self, path: SignalPath, *, steady: bool) -> None:
        self._block = path.shape.heights[-1]
        rows = min(_ROWS, _NUMBERS // path.largest)
        self._most = 1 if steady else max(1, rows // self._block)
        self._now = 1

    @property
    def rows(self) -> int:
        return self._now * self._block

    def took(self, rows: int, seconds: float) -> None:
        """Blocks that took so long were computed; later ones may be more or fewer."""
        fitting = int(_LONGEST_S * rows / max(seconds, 1e-6) / self._block)
        self._now = max(1, min(2 * self._now, fitting, self._most))


@dataclass
class _Judged:
    """Attempts that are judged, the seconds that it took, and when the first was handed out."""

    arrivals: list[Arrival] = field(default_factory=list)
    seconds: float = 0.0
    since: float = 0.0

    def __len__(self) -> int:
        return sum(map(len, self.arrivals))

    def add(self, arrival: Arrival, seconds: float, begun: float) -> None:
        if not self.arrivals:
            self.since = begun
        self.arrivals.append(arrival)
        self.seconds += seconds


@dataclass
class _Group:
    """The attempts of one group, by how far they are.

    ``pending``: submitted; ``checked``: how many of the first were looked up in the memo already.
    ``judging``: handed out for a decision, with the time of handing out. ``judged``: decided;
    ``ready``: those that go on together. ``showing``: handed out for the rest of their way.
    ``asked``: whether an answer is waited for; ``closed``: whether no more will come. ``memory``:
    of a receiver that shows what it accepted last.
    """

    path: SignalPath
    room: _Room
    memory: LastAccepted | None
    pending: list[Attempt] = field(default_factory=list)
    checked: int = 0
    judging: deque[tuple[Judge, Future[Answer[Arrival]], float]] = field(default_factory=deque)
    judged: _Judged = field(default_factory=lambda: _Judged())
    ready: deque[_Judged] = field(default_factory=deque)
    showing: deque[tuple[float, Future[Answer[Shown]], int]] = field(default_factory=deque)
    asked: bool = False
    closed: bool = False

    @property
    def judges(self) -> bool:
        return self.path.defence.detector is not None

    @property
    def waiting(self) -> int:
        """Number of attempts submitted and not computed."""
        judging = sum(len(job.rows) for job, _, _ in self.judging)
        judged = sum(map(len, self.ready), len(self.judged))
        return len(self.pending) + judging + judged + sum(rows for *_, rows in self.showing)

    def cut(self) -> None:
        """What is judged goes on together."""
        if len(self.judged):
            self.ready.append(self.judged)
            self.judged = _Judged()

    def may_show(self) -> bool:
        """What a receiver shows may depend on what it accepted before: then one after the other."""
        return self.memory is None or not self.showing


class Batcher:
    """Collects attempts per group and has them computed in blocks that give the same bits.

    ``computing``: who computes. ``keys``: the run's numbering of attempts. ``max_pending``: most
    attempts that wait; None: as many as are computed at once. ``retention`` selects the images
    kept. ``emit`` receives the results. ``steady``: whether time decides nothing of how many rows
    are computed at once, for paths on which a row's bits depend on its neighbours.

    `submit` and `ask` only enter something; `advance` takes what is done and hands out what is due.
    """

    def __init__(
        self,
        paths: Sequence[SignalPath],
        *,
        computing: Computing,
        keys: Keys,
        max_pending: int | None,
        retention: ImageRetention,
        memo: Memo,
        emit: Callable[[LogEvent], None],
        steady: bool = False,
    ) -> None:
        self._computing = computing
        self._numbers = keys
        self._max_pending = max_pending
        self._steady = steady
        self._retention = retention
        retention.recall(memo.pictured(retention.column))
        self._memo, self._emit = memo, emit
        self._groups = [_Group(one, _Room(one, steady=steady), _memory(one)) for one in paths]
        self._answers: dict[int, bool] = {}
        self._under_way = 0

    @property
    def waiting(self) -> int:
        """Number of attempts submitted and not yet computed."""
        return sum(group.waiting for group in self._groups)

    def submit(self, group: int, attempt: Attempt) -> None:
        """Submit one attempt (see `Batch`); its inputs are frozen from here on."""
        self._groups[group].pending.append(attempt)

    def full(self, group: int) -> bool:
        """Whether a group has as many attempts pending as are computed at once."""
        one = self._groups[group]
        return len(one.pending) >= (self._max_pending or one.room.rows)

    def ask(self, group: int) -> None:
        """Have everything judged that is pending in one group: an answer is waited for."""
        self._groups[group].asked = True

    def answer(self, key: int) -> bool | None:
        """Whether the receiver accepted this attempt; None as long as nobody knows."""
        return self._answers.pop(key, None)

    def close(self, group: int) -> None:
        """No attempts will be submitted to this group any more."""
        self._groups[group].closed = True

    def advance(self) -> None:
        """Take what is done, and hand out what is due as far as there is somebody to compute it."""
        self._computing.wait(0.0)
        for group in self._groups:
            self._take(group)
        self._hand_out()
        for group in self._groups:  # computed in this process, it is done by now
            self._take(group)

    def wait(self, seconds: float) -> None:
        """Wait so long for something that is done, if anything is under way."""
        if self._under_way:
            self._computing.wait(seconds)

    def finish(self) -> None:
        """Take everything under way, and show what is judged: a stopped run loses none of it."""
        for group in self._groups:
            group.pending, group.checked = [], 0
            group.closed = True
        while self.waiting:
            self.wait(_LONGEST_S)
            self.advance()

    # --- handing out ----------------------------------------------------------------------------

    @property
    def _free(self) -> bool:
        return self._under_way < self._computing.at_once

    def _hand_out(self) -> None:
        """What is ready to be shown goes first: it is recorded then, and lets go of its tensors.

        Then decisions, which somebody waits for.
        """
        for number, group in enumerate(self._groups):
            self._cut(group)
            while self._free and group.ready and group.may_show():
                self._show(number, group, group.ready.popleft())
        for number, group in sorted(enumerate(self._groups), key=_waits_most):
            self._begin(number, group)

    def _begin(self, number: int, group: _Group) -> None:
        """Hand out what is pending, if it is due."""
        if not self._due(group):
            return
        self._drop_known(group)
        share = self._share(group)
        while self._free and group.pending and self._due(group):
            if not group.judges and not group.may_show():
                return
            size = min(self._max_pending or group.room.rows, group.room.rows, share)
            rows = Batch.of(group.pending[:size])
            del group.pending[:size]
            group.checked = len(group.pending)
            if group.judges:
                judge = Judge(number, rows)
                begun = time.perf_counter()
                group.judging.append((judge, self._submit(judge), begun))
            else:
                work = Transmit(number, rows, group.memory, self._numbers, self._retention)
                group.showing.append((0.0, self._submit(work), len(rows)))
        group.asked = group.asked and bool(group.pending)

    def _due(self, group: _Group) -> bool:
        most = self._max_pending or group.room.rows
        return group.asked or group.closed or len(group.pending) >= most

    def _share(self, group: _Group) -> int:
        """Rows of one job where several workers share what one decision waits for."""
        workers = 1 if self._steady or not group.judges else max(1, self._computing.at_once // 2)
        return max(_SHARED, -(-len(group.pending) // workers)) if workers > 1 else _ROWS

    def _cut(self, group: _Group) -> None:
        """Have what is judged go on, if more will not come or not in time."""
        over = group.closed and not group.pending and not group.judging
        overdue = not self._steady and time.perf_counter() - group.judged.since > _LONGEST_S
        if over or overdue:
            group.cut()

    def _show(self, number: int, group: _Group, judged: _Judged) -> None:
        work = Show(number, judged.arrivals, group.memory, self._numbers, self._retention)
        group.showing.append((judged.seconds, self._submit(work), len(judged)))

    def _submit(self, job: Job[T]) -> Future[Answer[T]]:
        self._under_way += 1
        return self._computing.submit(job)

    # --- taking ---------------------------------------------------------------------------------

    def _take(self, group: _Group) -> None:
        """Take what is done, in the order in which it was handed out."""
        while group.judging and group.judging[0][1].done():
            job, future, begun = group.judging.popleft()
            self._under_way -= 1
            arrival, seconds = future.result().value, future.result().seconds
            arrived = zip(
                job.rows.keys(self._numbers),
                arrival.accepted.tolist(),
                job.rows.lost.tolist(),
                strict=True,
            )
            self._answers.update((key, yes) for key, yes, lost in arrived if not lost)
            group.judged.add(arrival, seconds, begun)
            most = min(self._max_pending or group.room.rows, group.room.rows)
            if len(group.judged) >= most:
                group.cut()
        while group.showing and group.showing[0][1].done():
            spent, future_shown, rows = group.showing.popleft()
            self._under_way -= 1
            found = future_shown.result()
            group.room.took(rows, spent + found.seconds)
            group.memory = found.value.memory
            self._enter(found.value)

    def _enter(self, shown: Shown) -> None:
        rows, keys = shown.rows, shown.rows.keys(self._numbers)
        self._emit(attempt_rows(rows, shown.outcome, self._numbers))
        # Images go last: a ledger commits before attempts, so never the one without the other.
        kept, dropped = self._retention.choose(rows, keys, shown.outcome)
        wanted = {self._numbers.of_attempt(keys[row]) for row in kept}
        for picture in shown.pictures:
            if (picture.transmission, picture.attempt) in wanted:
                self._emit(picture)
        if dropped:
            self._emit(ImagesDropped(list(map(self._numbers.of_attempt, dropped))))

    # --- the memo -------------------------------------------------------------------------------

    def _drop_known(self, group: _Group) -> None:
        """Take results of an earlier, interrupted run from the memo."""
        pending, start = group.pending, group.checked
        new = Batch.of(pending[start:])
        keys = new.keys(self._numbers)
        known = self._memo.known(keys) if keys else {}
        if known:
            if group.judges:  # nobody asks for the others
                lost = {key for one, key in zip(pending[start:], keys, strict=True) if one.lost}
                self._answers.update((key, yes) for key, yes in known.items() if key not in lost)
            self._recall(group, new, keys, known)
            pending[start:] = [
                one for one, key in zip(pending[start:], keys, strict=True) if key not in known
            ]
        group.checked = len(pending)

    def _recall(
        self, group: _Group, batch: Batch, keys: Sequence[int], known: dict[int, bool]
    ) -> None:
        """Enter attempts that an earlier run accepted into a receiver's memory."""
        if group.memory is None:
            return
        # Known attempts come first in their group, so nothing of it waits to be shown.
        for row, key in enumerate(keys):
            if known.get(key, False):
                group.memory.known(key, batch[row : row + 1])


def _waits_most(numbered: tuple[int, _Group]) -> bool:
    return not numbered[1].asked


def _memory(path: SignalPath) -> LastAccepted | None:
    return LastAccepted(path.defence.fallback) if path.defence.last else None
