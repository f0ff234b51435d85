"""Jobs: the arithmetic of a run in pieces, pure functions of consecutive rows of one group.

The event plane hands jobs out; whoever has the run's paths computes them, in this process or in
another. Which rows come together, and who computes them, changes no bit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import Batch, ImageSaved, Outcome
from channelsim.signal_path import SignalPath
from channelsim.signal_path.arrival import Arrival
from channelsim.signal_path.fallback import LastAccepted
from channelsim.simulation.attempt_rows import thumbnails
from channelsim.simulation.image_retention import ImageRetention

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """A job's result, and the seconds that it took."""

    value: T_co
    seconds: float


class Job(Protocol[T_co]):
    """A piece of work on rows of one ``group``."""

    @property
    def group(self) -> int:
        """The number of the path."""

    @property
    def rows(self) -> Batch:
        """The attempts."""

    def result(self, path: SignalPath) -> T_co:
        """Computes it."""


@dataclass(frozen=True)
class Shown:
    """What was measured of attempts, and their pictures.

    ``pictures``: at least those that the run keeps. ``memory``: the receiver's, after them.
    """

    rows: Batch
    outcome: Outcome
    pictures: Sequence[ImageSaved]
    memory: LastAccepted | None


@dataclass(frozen=True)
class Judge:
    """Attempts up to the receiver's decision."""

    group: int
    rows: Batch

    def result(self, path: SignalPath) -> Arrival:
        """Judge them."""
        return path.judge(self.rows)


@dataclass(frozen=True)
class Show:
    """The rest of their way: decoded, measured, and the pictures of some.

    ``memory``: the receiver's, before them (None: its fallback is one image). ``keys``: the run's
    numbering. ``retention``: which pictures are kept, as far as known when the job is handed out:
    more rows can only make fewer of these worth keeping.
    """

    group: int
    arrivals: Sequence[Arrival]
    memory: LastAccepted | None
    keys: Keys
    retention: ImageRetention

    @property
    def rows(self) -> Batch:
        """The attempts."""
        return Batch.joined([one.batch for one in self.arrivals])

    def result(self, path: SignalPath) -> Shown:
        """Show them."""
        return _shown(path, Arrival.joined(self.arrivals), self.memory, self.keys, self.retention)


@dataclass(frozen=True)
class Transmit:
    """Attempts on their whole way, where no decision is waited for; see `Show`."""

    group: int
    rows: Batch
    memory: LastAccepted | None
    keys: Keys
    retention: ImageRetention

    def result(self, path: SignalPath) -> Shown:
        """Transmit them."""
        return _shown(path, path.judge(self.rows), self.memory, self.keys, self.retention)


def answer(job: Job[T_co], paths: Sequence[SignalPath]) -> Answer[T_co]:
    """Compute a job."""
    begun = time.perf_counter()
    with torch.no_grad():
        value = job.result(paths[job.group])
    return Answer(value, time.perf_counter() - begun)


class Computing(Protocol):
    """Whoever computes jobs."""

    @property
    def at_once(self) -> int:
        """How many jobs may be under way."""

    def submit(self, job: Job[T_co]) -> Future[Answer[T_co]]:
        """Hand a job out; never waits for its result."""

    def wait(self, seconds: float) -> None:
        """Return when some job is done, or after so many seconds."""


@dataclass(frozen=True, slots=True)
class InThisProcess:
    """Computes every job as it is handed out."""

    paths: Sequence[SignalPath]
    at_once: int = 1

    def submit(self, job: Job[T_co]) -> Future[Answer[T_co]]:
        """Compute it now."""
        done: Future[Answer[T_co]] = Future()
        done.set_result(answer(job, self.paths))
        return done

    def wait(self, seconds: float) -> None:
        """Nothing is under way."""


def _shown(
    path: SignalPath,
    arrival: Arrival,
    memory: LastAccepted | None,
    keys: Keys,
    retention: ImageRetention,
) -> Shown:
    rows = arrival.batch
    numbers = rows.keys(keys)
    fallbacks = None
    if memory is not None:
        fallbacks = memory.of(rows, numbers, lambda row: path.transmit(row)[1]["received"][0])
    outcome, images, _ = path.show(arrival, fallbacks)
    kept = retention.candidates(rows, numbers, outcome)
    return Shown(rows, outcome, list(thumbnails(rows, kept, images, keys)), memory)
