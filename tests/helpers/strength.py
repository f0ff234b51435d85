"""How much of the best known an attack reaches, on digits of the zoo's codecs (no tests in here).

The settings were chosen on digits 0 to 23 of the test split; those from 500 on were never used for
that. The best known values are the exact maximum over all corners for damage under an L∞ budget,
and long searches for the rest; `best_known.json` keeps them, and they only rise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.corners import every_corner
from channelsim.adversaries.directions import directions
from channelsim.adversaries.falling import start, steepest, within
from channelsim.adversaries.goals import AnyGoal, Damage, TargetImage
from channelsim.adversaries.live_blocks import LiveBlocks
from channelsim.adversaries.objective import objective, usable
from channelsim.adversaries.row_search import (
    Question,
    RowSearch,
    RowSearches,
    Searched,
    SearchedRow,
)
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.records import Batch, Floats
from channelsim.contracts.rows import Rows
from channelsim.scenario import Scenario
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import calibrate
from channelsim.support.block_shape import BlockShape
from helpers.known_decoders import searched

FIRST, MOST = 500, 64
BEST_KNOWN = Path(__file__).parents[1] / "adversaries" / "best_known.json"
_LONG_STARTS, _LONG_STEPS = 20, 60


@dataclass(frozen=True)
class Point:
    """A goal under a budget."""

    goal: AnyGoal
    norm: str
    epsilon: float

    @property
    def name(self) -> str:
        return f"{self.goal.kind} {self.norm} {self.epsilon:g}"

    @property
    def budget(self) -> Budget:
        return Budget(norm=self.norm, epsilon=self.epsilon)  # type: ignore[arg-type]


POINTS = [
    Point(goal, norm, epsilon)
    for goal in (Damage(), TargetImage(target="black"))
    for norm, epsilon in (("linf", 0.3), ("linf", 1.0), ("psr_db", -10.0), ("psr_db", 0.0))
]


class Ground:
    """Digits from `FIRST` on, as a codec of the zoo sends them, and attacks on them."""

    def __init__(self, codec: str, count: int) -> None:
        self.codec, self.count = codec, count
        self._path = _path(codec, FIRST + count)
        message = np.arange(FIRST, FIRST + count)
        with torch.no_grad():
            source, scaled, clean = self._path._sent(message)
        self.signal = usable(scaled.wire)
        self._knowledge = self._path._on_the_wire(self._path._knowledge(source, clean), scaled)
        self._message = message

    def rows(self, attack: Adversary) -> Rows:
        """The rows that an attack meets."""
        n = self.count
        columns = {k: torch.full((n,), v) for k, v in attack.column_values().items()}
        batch = Batch.planned(self._message)
        return Rows(
            name=attack.label,
            seed=7,
            message=batch.message,
            attempt=np.zeros(n, dtype=np.int64),
            columns=columns,
            knowledge=self._knowledge,
            power=self._knowledge.power,
        )

    def value(self, point: Point, delta: Tensor) -> Floats:
        """J [N] of a perturbation."""
        aim = objective(point.goal, self.signal, self._any_rows(), self._knowledge)
        blocks = LiveBlocks(aim, self.count, self._knowledge.shape)
        return blocks.evaluate(delta, gradient=False)[0].double().numpy()

    def passive(self, point: Point) -> Floats:
        """J(0) [N]."""
        return self.value(point, torch.zeros_like(self.signal))

    def reached(self, point: Point, attack: Adversary) -> tuple[Floats, Floats]:
        """J [N] that an attack reaches, and its effort in gradients [N]."""
        rows = self.rows(attack)
        if isinstance(attack, WhiteBoxSearch):
            radius = attack.budget.radius(
                rows["epsilon"], self._knowledge.power, self.signal.shape[1]
            )
            found = searched(attack, self.signal, radius, rows, self._knowledge)
            return found.value.double().numpy(), found.gradients + found.values / 2
        delta = attack.attack(self.signal, rows).delta
        effort: Any = attack.effort
        spent = effort["gradients"] + effort["restarts"] / 2  # the values of the last iterates
        return self.value(point, delta), np.full(self.count, spent)

    def searched(self, point: Point, search: Any) -> Searched:
        """What a search of single rows finds."""
        aim = objective(point.goal, self.signal, self._any_rows(), self._knowledge)
        epsilon = torch.full((self.count,), point.epsilon, dtype=torch.float64)
        radius = point.budget.radius(epsilon, self._knowledge.power, self.signal.shape[1])
        return RowSearches(
            aim,
            self.signal,
            radius.float(),
            point.budget.ball,
            search,
            self._any_rows(),
            self._knowledge,
        ).ended()

    def long(self, point: Point) -> Floats:
        """J [N] by exact enumeration of corners, or by a long search."""
        if point.goal.kind == "image":
            return self.searched(point, _long_ascents).value.double().numpy()
        search = _every_corner if point.norm == "linf" else _long_directions
        return self.searched(point, search).value.double().numpy()

    def _any_rows(self) -> Rows:
        from channelsim.adversaries import Noise

        return self.rows(Noise(name="strength", budget=Budget(norm="linf", epsilon=1.0)))


def _path(codec: str, count: int) -> SignalPath:
    scenario = Scenario.load(
        {
            "title": "Strength",
            "seed": 7,
            "block_rows": 64,
            "source": {"kind": "dataset", "name": "mnist5k", "split": "test", "count": count},
            "path": [{"kind": "awgn", "snr_db": 300}],
            "receivers": {"r": {"codec": codec}},
            "metrics": ["mse"],
        }
    )
    return calibrate(scenario).in_blocks(BlockShape(64, 8, 512)).paths[0]


def _every_corner(row: SearchedRow) -> RowSearch:
    yield Question(row.radius * every_corner(row.size))


def _long_directions(row: SearchedRow) -> RowSearch:
    yield from directions(row)
    yield from _ascents(row, first=2.0, last=0.05)


def _long_ascents(row: SearchedRow) -> RowSearch:
    yield from _ascents(row, first=1.0, last=0.002)


def _ascents(row: SearchedRow, first: float, last: float) -> RowSearch:
    """Many long ascents with falling steps, side by side."""
    points = np.array([start(row, number) for number in range(_LONG_STARTS)])
    for share in np.geomspace(first, last, _LONG_STEPS):
        answer = yield Question(points, gradient=True)
        points = np.array(
            [
                within(row, point + share * row.radius * steepest(row, slope))
                for point, slope in zip(points, answer.gradients, strict=True)
            ]
        )
    yield Question(points)


def share(value: Floats, passive: Floats, best: Floats) -> Floats:
    """The share of the way from the passive value to the best known, [N]."""
    return (value - passive) / (best - passive)


def best_known() -> dict[str, dict[str, list[float]]]:
    """The best known J of digits from `FIRST` on, by codec and point."""
    found: dict[str, dict[str, list[float]]] = json.loads(BEST_KNOWN.read_text())
    return found


def raised(codec: str, point: Point, values: Floats) -> Floats:
    """The best known with these values among them; written where one of them is better."""
    known = best_known() if BEST_KNOWN.exists() else {}
    before = np.array(known.get(codec, {}).get(point.name, []))
    best = np.full(max(len(before), len(values)), -np.inf)
    best[: len(before)] = before
    best[: len(values)] = np.maximum(best[: len(values)], values)
    stored = [float(f"{one:.7g}") for one in best]
    if stored != before.tolist():
        known.setdefault(codec, {})[point.name] = stored
        lines = (
            f'"{codec}": {{\n' + ",\n".join(f' "{k}": {json.dumps(v)}' for k, v in of.items()) + "}"
            for codec, of in sorted(known.items())
        )
        BEST_KNOWN.write_text("{" + ",\n".join(lines) + "}\n")
    return best[: len(values)]
