"""Gradient steps with momentum."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from channelsim.adversaries.gradient_attack import GradientAttack
from channelsim.adversaries.steps import State, StepRule, unit
from channelsim.contracts.parts import NonNegative, part


@final
class MomentumStep(StepRule):
    """m ← μ·m + ∇J/‖∇J‖₁ and a move of α·sign(m), or of α·m/‖m‖₂ if ``euclidean``."""

    def __init__(self, decay: float, euclidean: bool) -> None:
        self._decay, self._euclidean = decay, euclidean

    def begin(self, start: Tensor) -> State:
        """Nothing gathered yet."""
        return {"gathered": torch.zeros_like(start)}

    def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
        """See `StepRule.move`."""
        length = gradient.abs().sum(dim=1, keepdim=True)
        share = gradient / torch.where(length > 0, length, torch.ones_like(length))
        gathered = self._decay * state["gathered"] + share
        move = unit(gathered) if self._euclidean else gathered.sign()
        return step_size[:, None] * move, {"gathered": gathered}


@part
class Momentum(GradientAttack):
    """MI-FGSM: m ← μ·m + ∇J/‖∇J‖₁, δ ← Π(δ + α·sign m); for L2 and PSR budgets α·m/‖m‖₂.

    ``decay`` μ ≥ 0, default 1 as in the source. The start is uniform unless given, and α then twice
    the radius over ``steps``, so that the steps can cross the budget (project defaults); the source
    starts at zero, where a damage loss has no gradient, and with ``start: zero`` α is by default
    the radius over ``steps``, as there. All else as `GradientAttack` says.

    Source: Dong et al. 2018, eq. 6 to 8.
    """

    kind: ClassVar[str] = "momentum"

    decay: NonNegative = 1.0

    @property
    def rule(self) -> StepRule:
        """Steps along the gathered gradients."""
        return MomentumStep(self.decay, self.budget.ball == "l2")

    def usual_step_size(self, radius: Tensor) -> Tensor:
        """α [N] in latent units where none is given."""
        return (1.0 if self.starts == "zero" else 2.0) * radius / self.steps
