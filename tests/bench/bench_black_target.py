"""The whole of `black_target.yaml` against its own arithmetic, in one process and one run.

Its own arithmetic: the calls of the codecs, of the attack's objective and of the metrics, timed
where the run makes them. What is left is everything else: reading the scenario, events, draws,
columns, pictures, the ledger and the summary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import channelsim
from channelsim.adversaries.live_blocks import LiveBlocks
from channelsim.contracts.parts import Metric
from channelsim.scenario import Scenario
from channelsim.signal_path.blocks import BlockCodec

SCENARIO = Path(__file__).parents[2] / "scenarios" / "black_target.yaml"
CALLS = [
    (BlockCodec, "posterior"),
    (BlockCodec, "decode"),
    (LiveBlocks, "evaluate"),
    (Metric, "__call__"),
]


class Watch:
    """Seconds within the outermost of some calls, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in CALLS:
                patch.setattr(owner, name, self._watched(owner, name))
            yield

    def _watched(self, owner: type, name: str) -> Any:
        call, label = getattr(owner, name), f"{owner.__name__}.{name}"

        def watched(*given: Any, **named: Any) -> Any:
            if self._inside:
                return call(*given, **named)
            self._inside, begun = True, time.perf_counter()
            try:
                return call(*given, **named)
            finally:
                self._inside = False
                took = time.perf_counter() - begun
                self.seconds[label] = self.seconds.get(label, 0.0) + took

        return watched


def bench_black_target_against_its_own_arithmetic(tmp_path: Path) -> None:
    channelsim.run(Scenario.load(SCENARIO, set={"source.count": 64}), out=tmp_path / "warm")
    ratios = []
    for turn in range(3):
        watch, begun = Watch(), time.perf_counter()
        with watch.watching():
            channelsim.run(SCENARIO, out=tmp_path / str(turn))
        took, own = time.perf_counter() - begun, sum(watch.seconds.values())
        ratios.append(took / own)
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in watch.seconds.items())
        print(f"\nblack_target.yaml: run {took:.1f} s, its own arithmetic {own:.1f} s ({parts})")
    print(f"  ratio {min(ratios):.2f} (at most 1.25)")
    assert min(ratios) <= 1.25
