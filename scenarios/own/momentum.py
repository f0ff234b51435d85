"""An adversary of your own: a gradient attack is its step rule. This one has momentum.

Source: Dong et al. 2018, eq. 6 and 7.
"""

from typing import ClassVar

import torch

from channelsim import Fraction, GradientAttack, StepRule, part


class MomentumStep(StepRule):
    """g ← μ·g + ∇J/‖∇J‖₁ and a step of α·sign(g)."""

    def __init__(self, decay):
        self.decay = decay

    def begin(self, start):
        """Nothing gathered yet."""
        return {"gathered": torch.zeros_like(start)}  # what it remembers of every row, [N, K]

    def move(self, gradient, step_size, state):
        """The step, and what is gathered now."""
        length = gradient.abs().sum(dim=1, keepdim=True).clamp_min(1e-30)
        gathered = self.decay * state["gathered"] + gradient / length
        return step_size[:, None] * gathered.sign(), {"gathered": gathered}


@part
class Momentum(GradientAttack):
    """``decay`` μ in [0, 1]; goal, budget, steps, restarts, access and activity as for pgd."""

    kind: ClassVar[str] = "momentum"

    decay: Fraction = 0.9

    @property
    def rule(self):
        """What it makes of a gradient."""
        return MomentumStep(self.decay)
