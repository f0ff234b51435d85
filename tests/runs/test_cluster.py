"""A Dask cluster computes what one process computes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.happenings import at_rows
from helpers.known_ledger import assert_equal_ledgers
from helpers.patience import PATIENCE_S

import channelsim
from channelsim.runs.run import run
from channelsim.support.errors import InputError, MachineError

OWN = Path(__file__).parents[2] / "scenarios" / "own"
LINEAR = {"kind": "linear", "latent_size": 8}
STUDY: dict[str, Any] = {
    "title": "A study for a cluster",
    "seed": 5,
    "source": {"kind": "dataset", "count": 80},
    "link": {"latency_s": 0.01, "symbol_rate_hz": 1000, "max_attempts": 2},
    "path": [{"kind": "noise", "name": "mallory", "budget": {"norm": "linf", "epsilon": 1.0}}],
    "receivers": {
        "plain": {"codec": LINEAR},
        "wary": {
            "codec": LINEAR,
            "detector": {"kind": "norm", "false_alarm": 0.3},
            "fallback": "last",
        },
    },
    "metrics": ["mse"],
    "block_rows": 8,
    "max_pending": 8,
}
lets_dask_warn = pytest.mark.filterwarnings("default")
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="the extra dask is not installed"
)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'channelsim\[dask\]'"):
        run(STUDY, out=tmp_path / "run", dask="tcp://127.0.0.1:1")
    assert not (tmp_path / "run").exists()


def test_a_cluster_and_workers_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        run(STUDY, out=tmp_path / "run", workers=1, dask="tcp://127.0.0.1:1")


class Cluster:
    """A scheduler and its workers: real processes, which see no file of this test."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        }
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file)
        )
        self.workers = [self.begin() for _ in range(workers)]

    def begin(self) -> subprocess.Popen[bytes]:
        return self._start(
            *("worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--no-nanny"),
            *("--no-dashboard", "--local-directory", str(self._folder)),
        )

    def _start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *words],
            env=self._environment,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("cluster"), 2)
    from distributed import Client

    deadline = time.monotonic() + PATIENCE_S
    while not found.file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with Client(scheduler_file=str(found.file), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=PATIENCE_S)
    yield found
    found.end()


@needs_dask
@lets_dask_warn
def test_a_cluster_writes_the_ledger_of_one_process(cluster: Cluster, tmp_path: Path) -> None:
    run(STUDY, out=tmp_path / "alone")
    run(STUDY, out=tmp_path / "cluster", dask=str(cluster.file))
    assert_equal_ledgers(tmp_path / "alone", tmp_path / "cluster")
    # The next run of the same workers, with code that is only in the parent's reach.
    for name in ("momentum.py", "momentum.yaml"):
        shutil.copy(OWN / name, tmp_path / name)
    small = {"source.count": 4, "block_rows": 8}
    run(tmp_path / "momentum.yaml", set=small, out=tmp_path / "own")
    run(tmp_path / "momentum.yaml", set=small, out=tmp_path / "own2", dask=str(cluster.file))
    assert_equal_ledgers(tmp_path / "own", tmp_path / "own2")


@needs_dask
@lets_dask_warn
def test_a_killed_worker_costs_time_and_a_lost_scheduler_ends_the_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    run(STUDY, out=tmp_path / "alone")
    strike = at_rows(20, lambda: cluster.workers[0].send_signal(signal.SIGKILL))
    run(STUDY, out=tmp_path / "struck", dask=str(cluster.file), on_event=strike)
    assert_equal_ledgers(tmp_path / "alone", tmp_path / "struck")

    with pytest.raises(MachineError, match="is gone; what is recorded stays"):
        run(
            STUDY,
            out=tmp_path / "lost",
            dask=str(cluster.file),
            on_event=at_rows(20, lambda: cluster.scheduler.send_signal(signal.SIGKILL)),
        )
    channelsim.run(STUDY, out=tmp_path / "lost", resume=True)
    assert_equal_ledgers(tmp_path / "alone", tmp_path / "lost")
