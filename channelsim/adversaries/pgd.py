"""Projected gradient descent against the receiver's decoder, with every open choice exposed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from channelsim.adversaries.gradient_attack import GradientAttack
from channelsim.adversaries.steps import RULES, StepRule
from channelsim.contracts.parts import Flag, part

# Fields of `literal` beside a step of 1 in latent units: the attack as printed by Lu & Chen.
_LITERAL: Mapping[str, Any] = {
    "step_unit": "absolute",
    "step": "sign",
    "start": "zero",
    "restarts": 1,
    "keep_best": False,
}
_LITERAL_STEP = 1.0  # α


@part
class PGD(GradientAttack):
    """White-box projected gradient attack on the wire: z_{k+1} = Π(z_k + α·step(∇J(z_k))).

    ``step``: ``sign`` (Lu & Chen's; default for an L∞ budget) or ``l2``, the gradient at unit
    length (project default for L2 and PSR budgets). All else as `GradientAttack` says.

    ``literal``: the attack as Lu & Chen (2023, eq. 6) print it: start at zero, sign steps of α = 1
    in latent units, K = 10, the last iterate, one start. A given ``steps`` or ``step_size`` is
    kept; any other contradicting field is an error.

    On the cube of an L∞ budget a damage loss has many local maxima, and one random start reached
    about three quarters of the best corner's damage in a case where all corners could be tried:
    claims about a defence need restarts.
    """

    kind: ClassVar[str] = "pgd"

    step: Literal["sign", "l2"] | None = None
    literal: Flag = False

    @model_validator(mode="after")
    def _consistent(self) -> PGD:
        for field, value in _LITERAL.items() if self.literal else ():
            given = getattr(self, field)
            if given is not None and given != value:
                raise ValueError(
                    f"literal means {field}: {_yaml(value)}, but {field} is {_yaml(given)};"
                    " remove one of the two"
                )
        return self

    @property
    def rule(self) -> StepRule:
        """Sign steps, or steps of unit length."""
        usual: Literal["sign", "l2"] = "l2" if self.budget.ball == "l2" else "sign"
        return RULES[self.step or ("sign" if self.literal else usual)]

    @property
    def starts(self) -> str:
        """The kind of start."""
        return self.start or ("zero" if self.literal else "uniform")

    @property
    def keeps_best(self) -> bool:
        """Whether the best iterate is injected, not the last."""
        return not self.literal if self.keep_best is None else self.keep_best

    def usual_step_size(self, radius: Tensor) -> Tensor:
        """α [N] in latent units where none is given."""
        if self.literal:
            return torch.full_like(radius, _LITERAL_STEP)
        return super().usual_step_size(radius)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
