"""`channelsim --help` answers in under half a second, shell script and interpreter included."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

CHANNELSIM = Path(__file__).parents[2] / "bin" / "channelsim"


def bench_help() -> None:
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([CHANNELSIM, "--help"], check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    print(f"\n--help: {statistics.median(taken):.3f} s (median of {len(taken)}; limit 0.5 s)")
    assert statistics.median(taken) < 0.5
