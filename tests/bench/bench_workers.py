"""Two workers of one thread against one process, and the share of the parent.

Each in a process of its own, from the first event to the last: the start (loading, calibrating, the
self-test) is the same for all, and shown beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCENARIO = Path(__file__).parents[2] / "scenarios" / "black_target.yaml"
STORY = """
import json, os, sys, time
import channelsim
from channelsim.contracts.records import Finished, Started

seen = {}
def hear(event):
    if isinstance(event, Started | Finished):
        seen[type(event).__name__] = time.perf_counter(), sum(os.times()[:2])

begun = time.perf_counter()
channelsim.run(sys.argv[1], set={"source.count": int(sys.argv[3])}, out=sys.argv[2],
               workers=int(sys.argv[4]), on_event=hear)
(start, own), (end, owned) = seen["Started"], seen["Finished"]
print(json.dumps({"start": start - begun, "wall": end - start, "parent": owned - own}))
"""
KINDS = {
    "one process, one thread": (0, 1),
    "one process, two threads": (0, 2),
    "two workers": (2, 1),
}
MESSAGES = 250


def run(out: Path, workers: int, threads: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", STORY, str(SCENARIO), str(out), str(MESSAGES), str(workers)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def bench_two_workers_against_one_process(tmp_path: Path) -> None:
    best: dict[str, dict[str, float]] = {}
    for turn in range(2):
        for number, (kind, how) in enumerate(KINDS.items()):
            found = run(tmp_path / f"{turn}-{number}", *how)
            if kind not in best or found["wall"] < best[kind]["wall"]:
                best[kind] = found
    print()
    for kind, found in best.items():
        print(f"  {kind}: {found['wall']:.1f} s after a start of {found['start']:.1f} s")
    one, two, shared = (best[kind] for kind in KINDS)
    parent = shared["parent"] / (2 * shared["wall"])
    print(f"  two workers against one thread {one['wall'] / shared['wall']:.2f} ×")
    print(f"  two workers against two threads {two['wall'] / shared['wall']:.2f} ×")
    print(f"  the parent's share of the processors' time {100 * parent:.1f} %")
