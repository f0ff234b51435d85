"""A million transmissions of the linear codec, interrupted in the middle and resumed.

In under 1 GB of memory, and at most 100 bare simpy timeouts each, both parts together.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench_event_plane import bare_timeout_s

from channelsim.ledger import Ledger
from channelsim.support.errors import InputError

SCENARIO = """
title: A million digits through a linear codec
seed: 1
source: {kind: dataset, count: 250000, repeat: true, arrivals: {kind: poisson, rate_hz: 1000}}
link: {latency_s: 0.01, symbol_rate_hz: 100e3}
path: [{kind: awgn, snr_db: 10}]
receivers: {linear: {codec: {kind: linear, latent_size: 16}}}
metrics: [mse, psnr]
control: false
sweep: {awgn.snr_db: [0, 10, 20, 30]}
"""


def run(out: Path, *extra: str, until: int | None = None) -> tuple[float, float]:
    """Run (or resume) in a child; returns its wall seconds and peak memory in MB."""
    scenario = out.parent / "million.yaml"
    scenario.write_text(SCENARIO)
    command = [sys.executable, "-m", "channelsim", "run", str(scenario), "--quiet"]
    start = time.perf_counter()
    child = subprocess.Popen([*command, "--out", str(out), *extra], stdout=subprocess.DEVNULL)
    if until is not None:
        while committed(out) < until and child.poll() is None:
            time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(child.pid, 0)
    code = child.returncode = os.waitstatus_to_exitcode(status)
    assert code == (130 if until is not None else 0), code
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def committed(out: Path) -> int:
    """Number of attempts visible to a reader of the ledger."""
    try:
        with Ledger.open(out / "ledger.sqlite") as ledger:
            return int(next(ledger.rows("SELECT count(*) FROM attempt"))[0])
    except InputError:
        return 0


def bench_a_million_transmissions(tmp_path: Path) -> None:
    bare = min(bare_timeout_s() for _ in range(3))
    out = tmp_path / "run"
    first_s, first_mb = run(out, until=500_000)
    before = committed(out)
    second_s, second_mb = run(out, "--resume")
    assert committed(out) == 1_000_000
    each = (first_s + second_s) / 1e6
    print(
        f"\na million transmissions: interrupted after {before:,} ({first_s:.0f} s,"
        f" {first_mb:.0f} MB), resumed to the end ({second_s:.0f} s, {second_mb:.0f} MB):"
        f" {each * 1e6:.1f} us each = {each / bare:.0f} bare timeouts (at most 100);"
        f" ledger {(out / 'ledger.sqlite').stat().st_size / 1e6:.0f} MB"
    )
    assert max(first_mb, second_mb) < 1000
    assert each <= 100 * bare
