"""Projected gradient ascent on many rows at once; the loop under the attacks and under training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from channelsim.adversaries.draws import Ball
from channelsim.adversaries.steps import StepRule
from channelsim.contracts.adversary import Budget

Objective = Callable[[Tensor], Tensor]

_BALLS = {
    "linf": Budget(norm="linf", epsilon=0.0),
    "l2": Budget(norm="l2", epsilon=0.0),
}


@dataclass(frozen=True, slots=True)
class Ascent:
    """Result of the ascent; all detached.

    ``delta`` [N, K] and its objective ``value`` [N] (−inf and NaN deltas where no iterate was
    finite); ``start_value`` [N]: the objective at the start; ``slope`` [N]: the L2 norm of the
    first gradient; ``gradients``: the number computed, per row.
    """

    delta: Tensor
    value: Tensor
    start_value: Tensor
    slope: Tensor
    gradients: int


def ascend(
    objective: Objective,
    start: Tensor,
    radius: Tensor,
    ball: Ball,
    step_size: Tensor,
    rule: StepRule,
    *,
    steps: int = 10,
    keep_best: bool = True,
    inside: Callable[[Tensor], Tensor] | None = None,
) -> Ascent:
    """Maximise a row-wise objective over a ball around 0: δ ← Π(δ + move), moved by a step rule.

    ``objective``: δ [N, K] → J [N], differentiable, with no coupling between rows. ``start`` [N,
    K], projected first. ``radius`` [N] and ``step_size`` α [N], both in units of δ. ``rule``: see
    `StepRule`. ``keep_best`` returns for each row the best of all iterates, the start and the last
    included; otherwise the last one. ``inside``: applied after every projection where not all of
    the ball is allowed: δ → an allowed point, no larger in any coordinate. Costs ``steps``
    gradients and one forward pass.

    With a rule without memory the next iterate is a function of the current one. So once every row
    repeats its last iterate, or the one before it, nothing new can follow: the loop stops there,
    with a result equal to the bit to that after all steps.

    Works under ``no_grad``; computes no parameter gradients. Source: Lu & Chen 2023, eq. 6.
    """
    into_ball = _BALLS[ball].project

    def project(delta: Tensor, radius: Tensor) -> Tensor:
        within = into_ball(delta, radius)
        return within if inside is None else inside(within)

    delta = project(start.detach(), radius)
    state = rule.begin(delta)
    best, best_value = torch.full_like(delta, torch.nan), None
    previous = previous_value = start_value = slope = None
    gradients = 0
    for number in range(steps + 1):
        last = number == steps
        with torch.enable_grad():
            leaf = delta.requires_grad_()
            tracked = objective(leaf)
        value, delta = tracked.detach(), leaf.detach()
        if start_value is None or best_value is None:
            start_value, best_value = value, torch.full_like(value, -torch.inf)
        if keep_best or last:
            best, best_value = _better(delta, value, best, best_value)
        if last:
            break
        (gradient,) = torch.autograd.grad(tracked, leaf, torch.ones_like(value))
        gradients += 1
        if slope is None:
            slope = torch.linalg.vector_norm(gradient, dim=1)
        moved, state = rule.move(gradient, step_size, state)
        new = project(delta + moved, radius)
        again = (new == delta).all(dim=1)
        back = again if previous is None else (new == previous).all(dim=1)
        if not state and bool((again | back).all()):
            if not keep_best:
                if (steps - number) % 2 == 1 and previous_value is not None:
                    delta, value = new, torch.where(again, value, previous_value)
                best, best_value = _better(delta, value, best, best_value)
            break
        previous, previous_value, delta = delta, value, new
    assert start_value is not None
    assert best_value is not None
    slope = torch.zeros_like(start_value) if slope is None else slope
    best = best + 0.0  # −0 becomes 0: the sign of a zero carries no information
    return Ascent(best, best_value, start_value, slope, gradients)


def _better(
    delta: Tensor, value: Tensor, best: Tensor, best_value: Tensor
) -> tuple[Tensor, Tensor]:
    """The better of two, row by row; a value that is not finite is never better."""
    improved = torch.isfinite(value) & (value > best_value)
    return torch.where(improved[:, None], delta, best), torch.where(improved, value, best_value)
