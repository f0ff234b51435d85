"""Step rules: what an ascent makes of a gradient.

A rule keeps nothing itself. What it remembers of each row is its `State`, tensors [N, …] with one
entry per row, so that rows may be taken out of a block, or put into one, between any two steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, final

import torch
from torch import Tensor

State = Mapping[str, Tensor]
_TINY = torch.finfo(torch.float32).tiny


class StepRule(ABC):
    """One gradient attack's step: from a gradient to a move.

    The ascent projects onto the budget, keeps the best iterate and decides when to stop; a rule
    never sees the objective.
    """

    @abstractmethod
    def begin(self, start: Tensor) -> State:
        """The state at the starting points [N, K]; empty for a rule without memory.

        The next iterate is a function of the current one and of the state, so a row whose iterate
        and state were there before goes round in a circle, and is done.
        """

    @abstractmethod
    def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
        """The move [N, K] along a gradient [N, K], not yet projected, and the next state.

        ``step_size``: α [N], in units of δ.
        """


class _Memoryless(StepRule, ABC):
    @final
    def begin(self, start: Tensor) -> State:  # noqa: ARG002  nothing is remembered
        return {}


@final
class SignStep(_Memoryless):
    """α·sign ∇J: the steepest ascent in L∞. Source: Lu & Chen 2023, eq. 6."""

    def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
        """See `StepRule.move`."""
        return step_size[:, None] * gradient.sign(), state


@final
class UnitStep(_Memoryless):
    """α·∇J/‖∇J‖₂: the steepest ascent in L2."""

    def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
        """See `StepRule.move`."""
        return step_size[:, None] * unit(gradient), state


# What `step:` of pgd and of training recipes may say. An attack with a rule of its own keeps it in
# its own file.
RULES: Mapping[Literal["sign", "l2"], StepRule] = {"sign": SignStep(), "l2": UnitStep()}


def unit(gradient: Tensor) -> Tensor:
    """A gradient [N, K] at unit Euclidean length, row by row; 0 where it is 0."""
    # Twice, because the square of a small float32 gradient would underflow.
    scaled = gradient / gradient.abs().amax(dim=1, keepdim=True).clamp_min(_TINY)
    return scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True).clamp_min(_TINY)
