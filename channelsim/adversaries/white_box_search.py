"""Attacks that search row by row with the receiver's gradients: all but the search."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.goals import AnyGoal
from channelsim.adversaries.objective import GoalObjective, objective, usable
from channelsim.adversaries.row_search import (
    Question,
    RowSearch,
    RowSearches,
    Searched,
    SearchedRow,
)
from channelsim.adversaries.verdicts import FLAT, verdicts
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import part
from channelsim.contracts.rows import Knowledge, Rows


@part
class WhiteBoxSearch(Adversary):
    """A search for the best point of the budget, row by row; the best point that it saw counts.

    ``goal``: see `Damage` and `TargetImage`. ``budget``: see `Budget`. ``access``, ``activity``:
    see `Access` and `Activity`. With ``access.expectation`` J is averaged over that many imagined
    draws of the channel, for as many times the effort, and the best point is chosen on them.

    Effort is counted in gradients; a value of J alone counts as half a gradient (project's choice:
    a forward pass was measured to take half the time).

    Verdicts per row as for `GradientAttack`, with every gradient computed in the place of the first
    of every restart.
    """

    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon"}
    takes_blocks = True
    climbs = True

    name: str = ""
    goal: AnyGoal
    budget: Budget
    access: Access = Access()
    activity: Activity = Activity()

    @abstractmethod
    def search(self, row: SearchedRow) -> RowSearch:
        """Author's method: the search of one row."""

    @property
    @abstractmethod
    def most_gradients(self) -> int:
        """The most gradients per codeword; a search that asks for more has ended."""

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge."""
        return ("codeword", "receiver weights", *self.goal.needs())

    @property
    def effort(self) -> Mapping[str, Any]:
        """Per codeword, at most, and per imagined draw if it averages over several."""
        most = self.most_gradients * max(1, self.access.expectation)
        return {"gradients": most, "of a gradient for a value alone": 0.5}

    def brief(self) -> Adversary:
        """Two gradients of the same objective; all else is computed for each row by itself."""
        return _Brief(
            name=self.label,
            goal=self.goal,
            budget=self.budget,
            access=self.access,
            activity=self.activity,
        )

    def searched(
        self, aim: GoalObjective, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> Searched:
        """What the searches of all rows found, and at what effort."""
        ball, most = self.budget.ball, self.most_gradients
        return RowSearches(aim, signal, radius, ball, self.search, rows, knowledge, most).ended()

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        """The best δ that each row's search saw."""
        if not bool((radius > 0).any()):
            return torch.zeros_like(signal), np.full(len(signal), records.OK, dtype=object)
        with torch.inference_mode(False):  # inference-mode tensors carry no gradients
            signal, radius = usable(signal), usable(radius)
            aim = objective(self.goal, signal, rows, knowledge, climbed=True)
            found = self.searched(aim, signal, radius.to(signal), rows, knowledge)
        flat = found.slope * knowledge.power**0.5 <= FLAT
        return found.delta, verdicts(aim, found.delta, found.value, found.unperturbed, flat)


@part
class _Brief(WhiteBoxSearch):
    """A gradient at δ = 0, and one at a random point."""

    kind: ClassVar[str] = "brief"

    @property
    def most_gradients(self) -> int:
        """Two."""
        return 2

    def search(self, row: SearchedRow) -> RowSearch:
        """One gradient."""
        yield Question((2 * row.uniform("brief", 0) - 1)[None] * row.radius, gradient=True)
