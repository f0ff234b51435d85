"""The only interface between the event plane and the signal plane.

`submit` returns at once. An attempt's answer falls due after the receiver's modelled latency; when
the first answer of a group is requested, everything pending in that group is judged, across arms;
decoding and measuring wait until many rows are judged. Where no decision depends on content no
answer is requested, and batches fill, up to several blocks. A row's result does not depend on the
other rows of its batch: ``max_pending`` is scheduling only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import (
    Attempt,
    Batch,
    ImagesDropped,
    LogEvent,
    Outcome,
)
from channelsim.signal_path import SignalPath
from channelsim.signal_path.arrival import Arrival
from channelsim.signal_path.fallback import LastAccepted
from channelsim.simulation.attempt_rows import attempt_rows, thumbnails
from channelsim.simulation.image_retention import ImageRetention, Pictured


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


class _Judged:
    """Attempts of one group that are judged and not shown yet."""

    def __init__(self, *, steady: bool) -> None:
        self._steady = steady
        self.arrivals: list[Arrival] = []
        self._seconds, self._since = 0.0, 0.0

    def __len__(self) -> int:
        return sum(map(len, self.arrivals))

    def add(self, arrival: Arrival, begun: float) -> None:
        if not self.arrivals:
            self._since = begun
        self.arrivals.append(arrival)
        self._seconds += time.perf_counter() - begun

    @property
    def overdue(self) -> bool:
        """Whether the first of them waits for long, where time may decide."""
        return not self._steady and time.perf_counter() - self._since > _LONGEST_S

    def take(self) -> tuple[Arrival, float]:
        """All of them, and the seconds that they took so far."""
        found = Arrival.joined(self.arrivals), self._seconds
        self.arrivals, self._seconds = [], 0.0
        return found


class Batcher:
    """Collects attempts per group and runs them in blocks of heights that give the same bits.

    ``keys``: the run's numbering of attempts. ``max_pending``: most attempts that wait; None: as
    many as are computed at once. ``retention`` selects the images kept. ``emit`` receives the
    results. ``steady``: whether time decides nothing of how many rows are computed at once, for
    paths on which a row's bits depend on its neighbours.
    """

    def __init__(
        self,
        paths: Sequence[SignalPath],
        *,
        keys: Keys,
        max_pending: int | None,
        retention: ImageRetention,
        memo: Memo,
        emit: Callable[[LogEvent], None],
        steady: bool = False,
    ) -> None:
        self._paths = paths
        self._numbers = keys
        self._max_pending = max_pending
        self._retention = retention
        retention.recall(memo.pictured(retention.column))
        self._memo, self._emit = memo, emit
        self._pending: list[list[Attempt]] = [[] for _ in paths]
        self._checked = [0] * len(paths)  # how many of the first were looked up in the memo already
        self._answers: dict[int, bool] = {}
        self._judged = [_Judged(steady=steady) for _ in paths]
        self._computing = 0  # remaining rows of the group being computed
        self._last = [_memory(path) for path in paths]
        self._room = [_Room(path, steady=steady) for path in paths]

    @property
    def waiting(self) -> int:
        """Number of attempts submitted and not yet computed."""
        return self._computing + sum(map(len, self._pending)) + sum(map(len, self._judged))

    def submit(self, group: int, attempt: Attempt) -> None:
        """Submit one attempt (see `Batch`); its inputs are frozen from here on."""
        pending = self._pending[group]
        pending.append(attempt)
        most = self._max_pending or self._room[group].rows
        if len(pending) >= most:
            self._drop_known(group)
            if len(pending) >= most:
                self._run(group)

    def answer(self, group: int, arm: int, message: int, attempt: int) -> bool:
        """Whether the receiver accepted this attempt; judges its group if that is still open."""
        key = self._numbers.attempt(self._numbers.transmission(arm, message), attempt)
        if key not in self._answers:
            self.flush(group)
        return self._answers.pop(key)

    def flush(self, group: int) -> None:
        """Have everything judged that is pending in one group."""
        self._drop_known(group)
        self._run(group)

    def drain(self) -> Iterator[None]:
        """Run everything pending, and pause now and then."""
        for group, judged in enumerate(self._judged):
            self._drop_known(group)
            yield from self._blocks(group)
            if judged:
                self._show(group)
                yield

    def finish(self) -> None:
        """Show what is judged, of all groups: a run that is stopped loses none of it."""
        for group, judged in enumerate(self._judged):
            if judged:
                self._show(group)

    def hurry(self) -> None:
        """Show what has been judged for long, of groups in which nothing more is judged now."""
        for group, judged in enumerate(self._judged):
            if judged and judged.overdue:
                self._show(group)

    def _drop_known(self, group: int) -> None:
        """Take results of an earlier, interrupted run from the memo."""
        pending, start = self._pending[group], self._checked[group]
        new = Batch.of(pending[start:])
        keys = new.keys(self._numbers)
        known = self._memo.known(keys) if keys else {}
        if known:
            self._remember(group, known)
            self._recall(group, new, keys, known)
            pending[start:] = [
                one for one, key in zip(pending[start:], keys, strict=True) if key not in known
            ]
        self._checked[group] = len(pending)

    def _remember(self, group: int, accepted: dict[int, bool]) -> None:
        """Keep answers that will be requested: none without a judging receiver."""
        if self._paths[group].defence.detector is not None:
            self._answers.update(accepted)

    def _recall(
        self, group: int, batch: Batch, keys: Sequence[int], known: dict[int, bool]
    ) -> None:
        """Enter attempts that an earlier run accepted into a receiver's memory."""
        memory = self._last[group]
        if memory is None:
            return
        # Known attempts come first in their group, so nothing of it waits to be shown.
        for row, key in enumerate(keys):
            if known.get(key, False):
                memory.known(key, batch[row : row + 1])

    def _run(self, group: int) -> None:
        for _ in self._blocks(group):
            pass

    def _blocks(self, group: int) -> Iterator[None]:
        batch = Batch.of(self._pending[group])
        self._pending[group], self._checked[group] = [], 0
        path, judged, room = self._paths[group], self._judged[group], self._room[group]
        start = 0
        while start < len(batch):
            rows = batch[start : start + room.rows]
            start += len(rows)
            self._computing = len(batch) - start
            begun = time.perf_counter()
            arrival = path.judge(rows)
            judged.add(arrival, begun)
            arrived = zip(
                rows.keys(self._numbers), arrival.accepted.tolist(), rows.lost.tolist(), strict=True
            )
            self._remember(group, {key: yes for key, yes, lost in arrived if not lost})
            most = min(self._max_pending or room.rows, room.rows)
            if path.defence.detector is None or len(judged) >= most or judged.overdue:
                self._show(group)
                yield

    def _show(self, group: int) -> None:
        """Have everything decoded and measured that is judged in one group."""
        arrival, seconds = self._judged[group].take()
        begun = time.perf_counter()
        rows, memory = arrival.batch, self._last[group]
        keys = rows.keys(self._numbers)
        fallbacks = None if memory is None else memory.of(rows, keys)
        outcome, images, _ = self._paths[group].show(arrival, fallbacks)
        self._room[group].took(len(rows), seconds + time.perf_counter() - begun)
        self._emit(attempt_rows(rows, outcome, self._numbers))
        # Images go last: a ledger commits before attempts, so never the one without the other.
        self._picture(rows, keys, outcome, images)

    def _picture(
        self,
        rows: Batch,
        keys: Sequence[int],
        outcome: Outcome,
        images: Mapping[str, Tensor],
    ) -> None:
        kept, dropped = self._retention.choose(rows, keys, outcome)
        for one in thumbnails(rows, kept, images, self._numbers):
            self._emit(one)
        if dropped:
            self._emit(ImagesDropped(list(map(self._numbers.of_attempt, dropped))))


def _memory(path: SignalPath) -> LastAccepted | None:
    if not path.defence.last:
        return None
    return LastAccepted(path.defence.fallback, lambda row: path.transmit(row)[1]["received"][0])
