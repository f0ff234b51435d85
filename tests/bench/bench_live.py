"""The cost of a view: for the watched run, and for the machine.

With the view open a run takes at most 3 % longer; and at four frames a second on a ledger of a
million rows the view stays under 15 % of a core, once it has read the existing rows.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from channelsim.contracts.records import ArmRecord, AttemptsDone, Started, TransmissionsDone
from channelsim.contracts.run_header import RunHeader
from channelsim.display.live.model import Model
from channelsim.display.live.reader import Reader
from channelsim.ledger import Ledger

ROWS, ARMS, BLOCK, COMING = 1_000_000, 50, 4096, 20_000
WATCHED_S, TURNS = 20.0, 8
SCENARIO = """
title: A few seconds of work
seed: 1
source: {kind: dataset, count: 5000, repeat: true, arrivals: {kind: poisson, rate_hz: 500}}
path:
  - kind: pgd
    name: mallory
    goal: {kind: image, target: black}
    budget: {norm: linf, epsilon: 0.5}
  - {kind: awgn, snr_db: 20}
receivers: {linear: {codec: {kind: linear, latent_size: 16}}}
metrics: [mse, psnr, ssim]
sweep: {mallory.budget.epsilon: [0.1, 0.2, 0.5, 1.0]}
"""
HEADER: dict[str, Any] = {
    "title": "A million rows", "seed": 1, "scenario_hash": "", "count": ROWS // ARMS,
    "max_attempts": 1, "metrics": ["mse", "psnr", "ssim"], "control": True,
    "swept_keys": ["mallory.budget.epsilon"], "receivers": ["r"],
    "scenario": {"path": [{"kind": "pgd", "name": "mallory", "budget": {"norm": "linf"}}]},
}  # fmt: skip


class View:
    """`watch` on a hidden terminal of 160 × 50."""

    def __init__(self, folder: Path) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "channelsim", "watch", str(folder)],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.drawn = 0
        threading.Thread(target=self._look_away, daemon=True).start()

    def _look_away(self) -> None:
        try:
            while data := os.read(self._terminal, 65536):
                self.drawn += len(data)
        except OSError:
            pass

    def cpu_s(self) -> float:
        """Seconds of processor time so far."""
        return cpu_s(self._child.pid)

    def peak_mb(self) -> float:
        """Largest memory so far."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def close(self) -> None:
        """Quit by its key."""
        os.write(self._terminal, b"q")
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait()
        os.close(self._terminal)


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has had so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(folder: Path, scenario: Path, watched: bool) -> tuple[float, float]:
    """Wall and processor seconds of a run, from its ledger's first moment to its end."""
    command = [sys.executable, "-m", "channelsim", "run", str(scenario), "--quiet"]
    child = subprocess.Popen(
        [*command, "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while not (folder / "ledger.sqlite").exists():
        assert child.poll() is None
        time.sleep(0.005)
    view = View(folder) if watched else None
    begin, before = time.perf_counter(), cpu_s(child.pid)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    if view is not None:
        view.close()
    return wall, used.ru_utime + used.ru_stime - before


def bench_a_run_that_is_watched(tmp_path: Path) -> None:
    """Runs with and without a view, in turns.

    The test is on the processor time of the run, which is its wall time where the view has its own
    core; wall times, printed beside it, also depend on other processes.
    """
    scenario = tmp_path / "work.yaml"
    scenario.write_text(SCENARIO)
    run(tmp_path / "warm", scenario, watched=False)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for turn in range(TURNS):
        for watched in (False, True) if turn % 2 else (True, False):
            found[watched].append(run(tmp_path / f"{turn}-{watched}", scenario, watched))
    alone, seen = np.array(found[False]), np.array(found[True])
    ratio = seen / alone
    more = ratio.mean(axis=0) - 1
    error = ratio.std(axis=0, ddof=1) / np.sqrt(TURNS)
    print(
        f"\na run of {alone[:, 1].mean():.1f} s of processor time takes {100 * more[1]:+.1f} %"
        f" ± {100 * error[1]:.1f} % more with the view open (at most 3 %); of wall time"
        f" {100 * more[0]:+.1f} % ± {100 * error[0]:.1f} % ({TURNS} pairs)"
    )
    assert more[1] - 2 * error[1] <= 0.03, "clearly more than 3 %"


def rows(ledger: Ledger, keys: np.ndarray) -> None:
    """Write attempts and their transmissions."""
    count = ROWS // ARMS
    values = np.random.default_rng(len(keys)).random(len(keys))
    columns: dict[str, Any] = dict.fromkeys(ledger.attempt_columns, values)
    columns |= {"attempt": keys, "transmission": keys, "lost": keys * 0, "accepted": keys * 0 + 1}
    times = 0.01 * (keys % count)
    columns |= {"verdict": ["ok"] * len(keys), "arrived_s": times}
    ledger.write(AttemptsDone(columns))
    settled = {"transmission": keys, "sent_s": times, "done_s": times}
    settled |= {"attempts": [1] * len(keys), "delivered": ["yes"] * len(keys)}
    ledger.write(TransmissionsDone(settled))


def bench_a_view_of_a_million_rows(tmp_path: Path) -> None:
    arms = [ArmRecord(arm, "r", {"mallory.budget.epsilon": arm / ARMS}) for arm in range(ARMS)]
    order = np.arange(ROWS)
    keys = order % ARMS * (ROWS // ARMS) + order // ARMS  # message by message, as they arrive
    there, coming = np.split(keys, [ROWS - COMING])
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, Started(RunHeader(HEADER), arms, ROWS)) as ledger:
        for start in range(0, len(there), BLOCK):
            rows(ledger, there[start : start + BLOCK])
        ledger.commit()
        first_s, attach_s = attached(path, len(there))

        view = View(tmp_path)
        time.sleep(1.5 * attach_s + 10.0)
        attach_cpu_s, drawn = view.cpu_s(), view.drawn
        time.sleep(WATCHED_S)
        quiet = (view.cpu_s() - attach_cpu_s) / WATCHED_S
        drawn = view.drawn - drawn

        before, begin = view.cpu_s(), time.perf_counter()
        for turn, part in enumerate(np.split(coming, COMING // 1000)):
            rows(ledger, part)
            ledger.commit()
            time.sleep(max(0.0, begin + turn + 1 - time.perf_counter()))
        growing = (view.cpu_s() - before) / (time.perf_counter() - begin)
        peak_mb = view.peak_mb()
        view.close()
    print(
        f"\na view of {ROWS:,} rows: first frame after {first_s:.2f} s, all of it read after"
        f" {attach_s:.1f} s ({1e6 * attach_s / ROWS:.1f} us a row), {attach_cpu_s:.1f} s of"
        f" processor time until then; after that {100 * quiet:.1f} % of a core"
        f" ({drawn / WATCHED_S:.0f} bytes/s drawn), and {100 * growing:.1f} % while 1,000 rows a"
        f" second come in (at most 15 %); {peak_mb:.0f} MB"
    )
    assert first_s < 1.0
    assert quiet < 0.15
    assert growing < 0.15


def attached(path: Path, expected: int) -> tuple[float, float]:
    """Seconds to the first figures, and to those of all rows."""
    begin = time.perf_counter()
    model = Model(Reader(path))
    model.tick(0.06)
    first_s = time.perf_counter() - begin
    while model.tick(0.06):
        pass
    assert model.figures.settled == expected
    return first_s, time.perf_counter() - begin
