"""The objective of a gradient attack: an adversary's goal as a function of δ."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from channelsim.adversaries.goals import AnyGoal, distance
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Knowledge, Rows


@dataclass(frozen=True)
class GoalObjective:
    """J: δ [N, K] → [N] = ±D(image that the receiver would show, the goal's image).

    The sign is + for damage and − for a distance to a target. Where the adversary imagines draws of
    unknown quantities, J is the mean over them; differentiable.
    """

    goal: AnyGoal
    signal: Tensor
    reference: Tensor
    views: Sequence[Knowledge]

    def __call__(self, delta: Tensor) -> Tensor:
        """J of all rows."""
        found = [
            distance(self.goal.loss, view.decode(self.signal + view.carry(delta)), self.reference)
            for view in self.views
        ]
        # One after the other: a mean over the draws of all rows at once depends on a row's place.
        return self.goal.sign * (functools.reduce(torch.add, found) / len(found))

    def only(self, rows: Ints) -> GoalObjective:
        """The objective of some of its rows."""
        views = [view.only(rows) for view in self.views]
        return GoalObjective(self.goal, self.signal[rows], self.reference[rows], views)


def objective(goal: AnyGoal, signal: Tensor, rows: Rows, knowledge: Knowledge) -> GoalObjective:
    """The objective of a goal on the rows of a batch."""
    reference = usable(goal.image(rows, knowledge)).detach()
    return GoalObjective(goal, signal, reference, knowledge.views())


def usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if it was made in inference mode (such tensors carry no gradients)."""
    return tensor.clone() if tensor.is_inference() else tensor
