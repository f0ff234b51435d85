"""The objective of a gradient attack: an adversary's goal as a function of δ."""

from __future__ import annotations

import torch
from torch import Tensor

from channelsim.adversaries.ascent import Objective
from channelsim.adversaries.goals import AnyGoal, distance
from channelsim.contracts.rows import Knowledge, Rows


def objective(goal: AnyGoal, signal: Tensor, rows: Rows, knowledge: Knowledge) -> Objective:
    """J: δ [N, K] → [N] = ±D(image that the receiver would show, the goal's image).

    The sign is + for damage and − for a distance to a target. Where the adversary imagines draws of
    unknown quantities, J is the mean over them; differentiable.
    """
    reference = usable(goal.image(rows, knowledge)).detach()
    views = knowledge.views()

    def value(delta: Tensor) -> Tensor:
        found = [
            distance(goal.loss, view.decode(signal + view.carry(delta)), reference)
            for view in views
        ]
        return goal.sign * (found[0] if len(found) == 1 else torch.stack(found).mean(dim=0))

    return value


def usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if it was made in inference mode (such tensors carry no gradients)."""
    return tensor.clone() if tensor.is_inference() else tensor
