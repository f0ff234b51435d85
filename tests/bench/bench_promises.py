"""What the self-test finds in every scenario that ships, in the setting of this process.

For other kernels, or one thread, set the environment as the table in `README.md` beside it says.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from channelsim.contracts.promises import BitComparison
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.self_test import self_test
from channelsim.support import arithmetic

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def bench_promises_of_every_scenario() -> None:
    began, place, thread = time.perf_counter(), BitComparison(), BitComparison()
    files = sorted(f for f in SCENARIOS.rglob("*.yaml") if not f.stem.endswith(".card"))
    for file in files:
        scenario = Scenario.load(file, set={"source.count": 64})
        found = self_test(scenario, calibrate(scenario))
        place, thread = place + found.place, thread + found.thread
    print(
        f"\n{arithmetic.instruction_set()}, {torch.get_num_threads()} threads: {len(files)}"
        f" scenarios, {place.rows} rows; {place.differ} depend on their place ({place.flipped}"
        f" flipped), {thread.differ} on the number of threads; {time.perf_counter() - began:.0f} s"
    )
