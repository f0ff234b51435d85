"""Worker processes of this machine, which compute a run's jobs.

Each worker is an executor of its own, so that a process that dies costs its own jobs and nobody
else's: it is replaced, and they are handed out again. A part's own error is the run's; it is never
tried again.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from channelsim.simulation import worker
from channelsim.simulation.jobs import Answer, Job
from channelsim.simulation.worker import Brief
from channelsim.support.errors import MachineError

_DEPTH = 2  # jobs of a worker: one that it computes, one that waits beside it
_GONE_S = 10.0
_DEATHS = 3  # of the workers that compute one job, or prepare, before the run gives up


@dataclass
class _Task:
    """A job, and how many workers died of it."""

    packed: bytes
    name: str
    answer: Future[Answer[Any]]
    inner: Future[bytes] | None = None
    deaths: int = 0


@dataclass
class _Worker:
    """One process, and the tasks that it was given, in order."""

    executor: ProcessPoolExecutor
    process: BaseProcess
    prepared: Future[None] | None = None
    tasks: deque[_Task] = field(default_factory=deque)
    deaths: int = 0  # while preparing


class LocalWorkers:
    """``count`` processes; use as a context. They start at once, and ``prepare`` comes later."""

    def __init__(self, count: int) -> None:
        self._brief: Brief | None = None
        self._workers: list[_Worker] = []
        try:
            for _ in range(count):
                self._workers.append(_begun())
        except OSError as error:
            self.__exit__()
            raise MachineError(
                f"only {len(self._workers)} of {count} workers could be started"
                f" ({error.strerror or error}); use fewer --workers"
            ) from error

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            one.executor.shutdown(wait=False, cancel_futures=True)
            one.process.kill()
        for one in self._workers:  # what was killed is soon gone
            one.process.join(_GONE_S)

    @property
    def at_once(self) -> int:
        """How many jobs may be under way."""
        return _DEPTH * len(self._workers)

    def prepare(self, brief: Brief) -> None:
        """Have every worker prepare for a run."""
        self._brief = brief
        for one in self._workers:
            self._prepare(one)

    def submit(self, job: Job[Any]) -> Future[Answer[Any]]:
        """Hand a job to the worker that has the fewest."""
        task = _Task(worker.packed(job), worker.name_of(job), Future())
        one = min(self._workers, key=lambda each: len(each.tasks))
        one.tasks.append(task)
        self._give(one, task)
        return task.answer

    def wait(self, seconds: float) -> None:
        """Return when some job is done, or after so many seconds."""
        waited: list[Future[Any]] = []
        for one in self._workers:
            if one.prepared is not None:
                waited.append(one.prepared)
            elif one.tasks and one.tasks[0].inner is not None:
                waited.append(one.tasks[0].inner)
        wait_for(waited, seconds, FIRST_COMPLETED)
        for one in self._workers:
            self._gather(one)

    def _gather(self, one: _Worker) -> None:
        """Take what a worker is done with; if it died, replace it."""
        try:
            if one.prepared is not None:
                if not one.prepared.done():
                    return
                one.prepared.result()
                one.prepared, one.deaths = None, 0
            while one.tasks and one.tasks[0].inner is not None and one.tasks[0].inner.done():
                found = one.tasks[0].inner.result()
                one.tasks.popleft().answer.set_result(worker.unpacked(found))
        except BrokenProcessPool:
            self._replace(one)

    def _replace(self, one: _Worker) -> None:
        """A worker died. Of what it had, the first is to blame, or what it was preparing."""
        if one.prepared is not None:
            one.deaths += 1
            if one.deaths >= _DEATHS:
                raise MachineError(
                    f"{_DEATHS} workers died, one after the other, before their first rows; is"
                    " there too little memory for so many? Try fewer --workers"
                )
        elif one.tasks:
            first = one.tasks[0]
            first.deaths += 1
            if first.deaths >= _DEATHS:
                raise MachineError(
                    f"{_DEATHS} workers died computing {first.name}; is there too little memory for"
                    " so many? What is recorded stays; go on with --resume and fewer --workers"
                )
        one.executor.shutdown(wait=False, cancel_futures=True)
        anew = _begun()
        one.executor, one.process = anew.executor, anew.process
        self._prepare(one)
        for task in one.tasks:
            self._give(one, task)

    def _prepare(self, one: _Worker) -> None:
        assert self._brief is not None
        try:
            one.prepared = one.executor.submit(worker.prepare, self._brief)
        except BrokenProcessPool as error:
            one.prepared = _broken(error)

    def _give(self, one: _Worker, task: _Task) -> None:
        try:
            task.inner = one.executor.submit(worker.compute, task.packed)
        except BrokenProcessPool as error:  # it died since; whoever gathers sees it
            task.inner = _broken(error)


def _broken(error: BrokenProcessPool) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _begun() -> _Worker:
    """A new worker, which does not hear Ctrl-C and ends when this process does."""
    executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    before = set(multiprocessing.active_children())
    with _unheard(), _without_main():
        executor.submit(worker.begin)
    (process,) = set(multiprocessing.active_children()) - before
    return _Worker(executor, process)


@contextmanager
def _unheard() -> Iterator[None]:
    """Processes that begin inside never get Ctrl-C: they inherit which signals are blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that begin inside do not run the main module again, which may be a script."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
