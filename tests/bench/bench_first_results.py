"""From the start of the program to the first recorded results of `black_target.yaml`: 10 s."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from bench_million import committed

SCENARIO = Path(__file__).parents[2] / "scenarios" / "black_target.yaml"
LIMIT_S = 10.0


def bench_first_results_of_black_target(tmp_path: Path) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "channelsim", "run", str(SCENARIO), "--quiet"]
    child = subprocess.Popen([*command, "--out", str(tmp_path / "run")], stderr=subprocess.DEVNULL)
    while not committed(tmp_path / "run") and child.poll() is None:
        time.sleep(0.05)
    took = time.perf_counter() - start
    found = committed(tmp_path / "run")
    child.send_signal(signal.SIGTERM)
    child.wait(timeout=60)
    print(f"\nfirst results of black_target.yaml: {found} attempts after {took:.1f} s (limit 10 s)")
    assert found
    assert took <= LIMIT_S
