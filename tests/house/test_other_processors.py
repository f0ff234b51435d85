"""A ledger written here is replayed with the kernels of other processors: within 1e-4, or listed.

Environment variables make torch and its libraries choose the kernels of an older processor, which
is the nearest to another machine that one machine allows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.patience import PATIENCE_S

import channelsim
from channelsim.support import arithmetic

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
SMALL: dict[str, Any] = {"source.count": 3, "block_rows": 8}
KERNELS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "plain": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
ELSEWHERE = """
import json, sys
from channelsim.support import arithmetic
from channelsim.runs.replay import replay
found = {"kernels": [arithmetic.instruction_set(), arithmetic.signature()], "replays": []}
for folder, *transmissions in json.loads(sys.argv[1]):
    for transmission in transmissions:
        again = replay(folder, transmission, allow_code=True)
        flips = [f"{c.column} {c.stored} -> {c.recomputed}" for c in again.flips]
        found["replays"].append([folder, transmission, again.exact, again.promise, flips])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """A run of every shipped scenario, and its first and last transmission."""
    runs = []
    for path in SCENARIOS:
        run = channelsim.run(path, set=SMALL, out=tmp_path_factory.mktemp(path.stem) / "run")
        with run.ledger() as ledger:
            last = ledger.settled() - 1
        runs.append([str(run.folder), 0, last // 2, last])
    return runs


@pytest.mark.parametrize(
    "kernels", ["avx2", pytest.param("plain", marks=pytest.mark.slow)], ids=lambda name: name
)
def test_every_shipped_scenario_is_replayed_by_another_processors_kernels_within_a_tolerance(
    kernels: str, written: list[list[Any]]
) -> None:
    answer = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE, json.dumps(written)],
        env=os.environ | KERNELS[kernels] | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert len(found["replays"]) == 3 * len(SCENARIOS)
    same = found["kernels"] == [arithmetic.instruction_set(), arithmetic.signature()]
    for _, _, exact, promise, _ in found["replays"]:
        assert exact == same
        assert promise == "bit for bit" or "the run had other" in promise
    # Where a gradient is so near to zero that rounding turns its sign the attack differs. That is
    # rare, and a replay must report it: here all cases are listed.
    flipped = [
        (Path(run).parent.name, *rest) for run, *rest, _, _, flips in found["replays"] if flips
    ]
    listed = [line for *_, flips in found["replays"] for line in flips]
    assert len(flipped) <= len(found["replays"]) // 20, (flipped, listed)
