"""The objective of a gradient attack: an adversary's goal as a function of δ."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from channelsim.adversaries.goals import AnyGoal, Damage, distance
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.goal import goal_of
from channelsim.contracts.parts import Codec
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Knowledge, Rows


@dataclass(frozen=True)
class GoalObjective:
    """J: δ [N, K] → [N] = ±D(image that the receiver would show, the goal's image).

    For damage to a codec that has a loss of its own, J is that (``own``).

    The sign is + for damage and − for a distance to a target. Where the adversary imagines draws of
    unknown quantities, J is the mean over them; differentiable.
    """

    goal: AnyGoal
    signal: Tensor
    reference: Tensor
    views: Sequence[Knowledge]
    own: bool = False

    @property
    def raises_own(self) -> bool:
        """Whether J is the codec's own loss."""
        return self.own and all(view.loss is not None for view in self.views)

    def __call__(self, delta: Tensor) -> Tensor:
        """J of all rows."""
        found = [self._of(view, self.signal + view.carry(delta)) for view in self.views]
        # One after the other: a mean over the draws of all rows at once depends on a row's place.
        return self.goal.sign * (functools.reduce(torch.add, found) / len(found))

    def _of(self, view: Knowledge, signal: Tensor) -> Tensor:
        if self.own and view.loss is not None:
            return view.loss(signal)
        return distance(self.goal.loss, view.decode(signal), self.reference)

    def only(self, rows: Ints) -> GoalObjective:
        """The objective of some of its rows."""
        views = [view.only(rows) for view in self.views]
        return GoalObjective(self.goal, self.signal[rows], self.reference[rows], views, self.own)


def objective(
    goal: AnyGoal, signal: Tensor, rows: Rows, knowledge: Knowledge, *, climbed: bool = False
) -> GoalObjective:
    """The objective of a goal on the rows of a batch; ``climbed``: by its gradient."""
    reference = usable(goal.image(rows, knowledge)).detach()
    own = climbed and isinstance(goal, Damage)
    return GoalObjective(goal, signal, reference, knowledge.views(), own)


def raises_own_loss(adversary: Adversary, codec: Codec) -> bool:
    """Whether an adversary raises the codec's ``attack_loss``, and not its goal's own loss."""
    damaging = isinstance(goal_of(adversary), Damage)
    return adversary.climbs and damaging and codec.has_attack_loss


def usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if it was made in inference mode (such tensors carry no gradients)."""
    return tensor.clone() if tensor.is_inference() else tensor
