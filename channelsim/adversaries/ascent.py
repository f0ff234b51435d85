"""Projected gradient ascent on many rows at once; the loop under the attacks and under training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from channelsim.adversaries.draws import BALLS, Ball
from channelsim.adversaries.live_blocks import LiveBlocks, Objective
from channelsim.adversaries.steps import State, StepRule
from channelsim.contracts.own_code import described
from channelsim.support.block_shape import BlockShape
from channelsim.support.errors import InputError

# Earlier iterates that a new one is compared with, and their numbers; project's choices.
_REMEMBERED, _NUMBERS = 16, 2**24


@dataclass(frozen=True, slots=True)
class Ascent:
    """Result of the ascent; all detached.

    ``delta`` [N, K] and its objective ``value`` [N] (−inf and NaN deltas where no iterate was
    finite); ``start_value`` [N]: the objective at the start; ``slope`` [N]: the L2 norm of the
    first gradient; ``gradients`` [N]: the number computed.
    """

    delta: Tensor
    value: Tensor
    start_value: Tensor
    slope: Tensor
    gradients: Tensor


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
    shape: BlockShape | None = None,
) -> Ascent:
    """Maximise a row-wise objective over a ball around 0: δ ← Π(δ + move), moved by a step rule.

    ``objective``: δ [N, K] → J [N], differentiable, with no coupling between rows. ``start`` [N,
    K], projected first. ``radius`` [N] and ``step_size`` α [N], both in units of δ. ``rule``: see
    `StepRule`. ``keep_best`` returns for each row the best of all iterates, the start and the last
    included; otherwise the last one. ``inside``: applied after every projection where not all of
    the ball is allowed: δ → an allowed point, no larger in any coordinate. ``shape``: of the
    blocks in which a `RowObjective` is computed. Costs at most ``steps`` gradients
    and one forward pass.

    A row's next iterate is a function of the current one and of what the rule remembers of the row.
    So where both are equal to earlier ones of the row, it goes round in a circle: it is done, its
    result is known, equal to the bit to that after all steps, and it leaves the blocks, which close
    up. Large steps end so after a few iterates, in the corners of the ball.

    Works under ``no_grad``; computes no parameter gradients. Source: Lu & Chen 2023, eq. 6.
    """
    into_ball = BALLS[ball].project

    def project(delta: Tensor, radius: Tensor) -> Tensor:
        within = into_ball(delta, radius)
        return within if inside is None else inside(within)

    delta = project(start.detach(), radius)
    state = _checked(rule, "begin", rule.begin(delta), len(delta))
    blocks = LiveBlocks(objective, len(delta), shape)
    live = torch.ones(len(delta), dtype=torch.bool, device=delta.device)
    gradients = torch.zeros(len(delta), dtype=torch.int64, device=delta.device)
    best = torch.full_like(delta, torch.nan)
    best_value = start_value = slope = None
    past = _Past(delta.numel())
    for number in range(steps + 1):
        last = number == steps
        value, gradient = blocks.evaluate(delta, gradient=not last)
        if start_value is None or best_value is None:
            start_value, best_value = value, torch.full_like(value, -torch.inf)
        if keep_best or last:
            best, best_value = _better(live, delta, value, best, best_value)
        if gradient is None:
            break
        gradients += live
        if slope is None:
            slope = torch.linalg.vector_norm(gradient, dim=1)
        past.add(delta, state, value)
        moved, new_state = _moved(rule, gradient, step_size, state)
        new = project(delta + moved, radius)
        for ago, back in past.recurring(new, new_state, live):
            if not keep_best:
                # The iterate after all steps is one of the circle.
                final, final_value = past.ago(ago - (steps - number - 1) % (ago + 1))
                best, best_value = _better(back, final, final_value, best, best_value)
            live = live & ~back
        delta = torch.where(live[:, None], new, delta)
        state = new_state
        if not blocks.keep(live):
            break
    assert start_value is not None
    assert best_value is not None
    slope = torch.zeros_like(start_value) if slope is None else slope
    best = best + 0.0  # −0 becomes 0: the sign of a zero carries no information
    return Ascent(best, best_value, start_value, slope, gradients)


def _moved(
    rule: StepRule, gradient: Tensor, step_size: Tensor, state: State
) -> tuple[Tensor, State]:
    """A rule's answer; a user's own may have another form."""
    answer = rule.move(gradient, step_size, state)
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise InputError(
            f"{type(rule).__name__}.move must return (move [N, K], state), returned"
            f" {described(answer)}"
        )
    moved, new_state = answer
    if not isinstance(moved, Tensor) or moved.shape != gradient.shape:
        raise InputError(
            f"{type(rule).__name__}.move must return a move of shape {list(gradient.shape)},"
            f" returned {described(moved)}"
        )
    return moved, _checked(rule, "move", new_state, len(gradient))


def _checked(rule: StepRule, method: str, state: State, rows: int) -> State:
    if isinstance(state, Mapping) and all(
        isinstance(one, Tensor) and one.dim() > 0 and len(one) == rows for one in state.values()
    ):
        return state
    raise InputError(
        f"{type(rule).__name__}.{method} must return a state: a dictionary of tensors [N, …], one"
        f" entry per row (here N = {rows})"
    )


def _better(
    rows: Tensor, delta: Tensor, value: Tensor, best: Tensor, best_value: Tensor
) -> tuple[Tensor, Tensor]:
    """The better of two in some rows, bool [N]; a value that is not finite is never better."""
    improved = rows & torch.isfinite(value) & (value > best_value)
    return torch.where(improved[:, None], delta, best), torch.where(improved, value, best_value)


class _Past:
    """The last iterates of all rows, with what the rule remembered of them and their values."""

    def __init__(self, numbers: int) -> None:
        most = max(2, min(_REMEMBERED, _NUMBERS // max(1, numbers)))
        self._past: deque[tuple[Tensor, State, Tensor]] = deque(maxlen=most)

    def add(self, delta: Tensor, state: State, value: Tensor) -> None:
        self._past.appendleft((delta, state, value))

    def ago(self, steps: int) -> tuple[Tensor, Tensor]:
        """An earlier iterate and its value; 0: the newest."""
        delta, _, value = self._past[steps]
        return delta, value

    def recurring(self, new: Tensor, state: State, live: Tensor) -> list[tuple[int, Tensor]]:
        """How long ago the next iterate was already there, and the live rows of which it was."""
        found, left = [], live
        for ago, (delta, remembered, _) in enumerate(self._past):
            same = left & (new[:, 0] == delta[:, 0])  # cheap, and seldom true
            if not bool(same.any()):
                continue
            same = same & (new == delta).all(dim=1)
            same = same & _equal(state, remembered)
            if bool(same.any()):
                found.append((ago, same))
                left = left & ~same
        return found


def _equal(state: State, other: State) -> Tensor | bool:
    """The rows that are remembered alike, bool [N], or none."""
    if state.keys() != other.keys():
        return False
    same: Tensor | bool = True
    for name, values in state.items():
        if values.dim() == 0 or values.shape != other[name].shape:
            return False
        same = same & (values == other[name]).reshape(len(values), -1).all(dim=1)
    return same
