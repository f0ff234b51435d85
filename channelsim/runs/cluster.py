"""Workers of a Dask cluster, which compute a run's jobs; needs the extra ``dask``.

The cluster is the user's own: what it is sent is unpickled there. A worker needs this program, the
same versions of what it computes with, and nothing else: no data, no weights, no shared disk.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

from channelsim.simulation import worker
from channelsim.simulation.jobs import Answer, Job
from channelsim.simulation.worker import Brief
from channelsim.support.errors import ChannelsimError, InputError, MachineError

_DEPTH = 2  # jobs of a thread: one that it computes, one that waits beside it
_COUNTED_S = 5.0  # between two counts of the workers' threads
_ANSWERS_S = 20  # a scheduler that takes longer is not there; project's choice


class ClusterWorkers:
    """The workers behind a scheduler's ``address``, or its file; use as a context."""

    def __init__(self, address: str) -> None:
        self._client = _connected(address)
        self._executor = self._client.get_executor(pure=False)
        self._brief: Any = None
        self._threads, self._counted = 1, 0.0
        self._address = address
        self._tasks: deque[tuple[str, Future[Answer[Any]], Future[bytes]]] = deque()

    def __enter__(self) -> ClusterWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for _name, _answer, inner in self._tasks:
            inner.cancel()
        self._executor.shutdown(wait=False)
        self._client.close(timeout=2)

    @property
    def at_once(self) -> int:
        """How many jobs may be under way."""
        return _DEPTH * self._threads

    def prepare(self, brief: Brief) -> None:
        """Have every worker prepare for a run, before its first job."""
        if not self._count():
            raise InputError(f"--dask {self._address}: this scheduler has no workers; start some")
        self._brief = self._client.scatter(brief, broadcast=True, hash=False)

    def submit(self, job: Job[Any]) -> Future[Answer[Any]]:
        """Hand a job to the cluster."""
        answer: Future[Answer[Any]] = Future()
        inner = self._executor.submit(worker.compute_for, self._brief, worker.packed(job))
        self._tasks.append((worker.name_of(job), answer, inner))
        return answer

    def wait(self, seconds: float) -> None:
        """Return when some job is done, or after so many seconds."""
        if seconds > 0:
            wait_for([inner for *_, inner in self._tasks], seconds, FIRST_COMPLETED)
        if self._client.status != "running":
            raise self._lost()
        if time.monotonic() - self._counted > _COUNTED_S:  # workers come and go
            self._count()
        waiting: deque[tuple[str, Future[Answer[Any]], Future[bytes]]] = deque()
        for name, answer, inner in self._tasks:
            if inner.done():
                answer.set_result(worker.unpacked(self._result(name, inner)))
            else:
                waiting.append((name, answer, inner))
        self._tasks = waiting

    def _count(self) -> int:
        try:
            found = sum(self._client.nthreads().values())
        except OSError:
            raise self._lost() from None
        self._threads, self._counted = max(1, found), time.monotonic()
        return found

    def _result(self, name: str, inner: Future[bytes]) -> bytes:
        from distributed import KilledWorker

        try:
            return inner.result()
        except ChannelsimError:
            raise
        except KilledWorker:
            raise MachineError(
                f"several workers died computing {name}; is there too little memory? What is"
                " recorded stays; go on with --resume"
            ) from None
        except CancelledError:
            raise self._lost() from None

    def _lost(self) -> MachineError:
        return MachineError(
            f"the Dask scheduler at {self._address} is gone; what is recorded stays, go on with"
            " --resume"
        )


def _connected(address: str) -> Any:
    """A client of the scheduler at an address, or in a file; or one sentence about why not."""
    try:
        import distributed
    except ImportError:
        raise InputError(
            "--dask needs Dask, which is an extra: pip install 'channelsim[dask]'"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    client: Any = distributed.Client
    try:
        return client(**where, timeout=_ANSWERS_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--dask {address}: no Dask scheduler answers there ({type(error).__name__}); give its"
            " address, such as tcp://10.0.0.1:8786, or its scheduler file"
        ) from None
