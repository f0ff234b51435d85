"""Rows that go round in a circle leave the blocks, and no bit of any row depends on that."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from helpers.known_decoders import convolutional, latents
from torch import Tensor

from channelsim.adversaries.ascent import Ascent, ascend
from channelsim.adversaries.steps import RULES, State, StepRule
from channelsim.contracts.records import Ints
from channelsim.support.block_shape import BlockShape

ROWS, SIZE, STEPS = 90, 6, 10
DECODE, SIGNAL = convolutional(SIZE), latents(ROWS, SIZE)
RADIUS = torch.linspace(0.05, 1.0, ROWS)
START = RADIUS[:, None] * (
    2 * torch.rand(ROWS, SIZE, generator=torch.Generator().manual_seed(1)) - 1
)


class ForthAndBack(StepRule):
    """A rule with a memory that returns to where it was: steps go forth, then back, by turns."""

    def begin(self, start: Tensor) -> State:
        return {"turn": torch.zeros(len(start), dtype=torch.int64)}

    def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
        sign = 1.0 - 2.0 * (state["turn"] % 2).float()
        return (sign * step_size)[:, None] * gradient.sign(), {"turn": (state["turn"] + 1) % 2}


@dataclass
class Blackness:
    """−(mean square of the image) of some rows; counts the rows that it is asked for."""

    rows: Ints = field(default_factory=lambda: np.arange(ROWS))
    asked: list[Ints] = field(default_factory=list)

    def __call__(self, delta: Tensor) -> Tensor:
        self.asked.append(self.rows)
        return -DECODE(SIGNAL[self.rows] + delta).square().flatten(1).mean(1)

    def only(self, rows: Ints) -> Blackness:
        return Blackness(self.rows[rows], self.asked)


def climbed(
    rule: StepRule, share: float, shape: BlockShape | None, **more: bool
) -> tuple[Ascent, list[Ints]]:
    objective = Blackness()
    found = ascend(
        objective, START, RADIUS, "linf", share * RADIUS, rule, steps=STEPS, shape=shape, **more
    )
    return found, objective.asked


def by_hand(rule: StepRule, share: float, keep_best: bool) -> tuple[Tensor, Tensor]:
    """All steps of every row in blocks of 8, with nobody leaving."""
    deltas, values = [], []
    for begin in range(0, ROWS, 8):
        rows = np.minimum(np.arange(begin, begin + 8), ROWS - 1)
        bound, delta, state = RADIUS[rows], START[rows], rule.begin(START[rows])
        best, most = delta, torch.full((8,), -torch.inf)
        for number in range(STEPS + 1):
            leaf = delta.clone().requires_grad_()
            value = Blackness(rows)(leaf)
            better = value > most if keep_best else torch.ones(8, dtype=torch.bool)
            best = torch.where(better[:, None], delta, best)
            most = torch.where(better, value.detach(), most)
            if number < STEPS:
                (slope,) = torch.autograd.grad(value.sum(), leaf)
                move, state = rule.move(slope, share * bound, state)
                delta = torch.maximum(torch.minimum(delta + move, bound[:, None]), -bound[:, None])
        deltas.append(best[: ROWS - begin])
        values.append(most[: ROWS - begin])
    return torch.cat(deltas) + 0.0, torch.cat(values)


@pytest.mark.parametrize("keep_best", [True, False], ids=["best", "last"])
@pytest.mark.parametrize("share", [0.25, 1.0, 3.0], ids="{} of the radius".format)
@pytest.mark.parametrize(
    "rule", [RULES["sign"], RULES["l2"], ForthAndBack()], ids=["sign", "l2", "memory"]
)
def test_blocks_that_close_up_give_the_bits_of_all_steps(
    rule: StepRule, share: float, keep_best: bool
) -> None:
    found, asked = climbed(rule, share, BlockShape(8), keep_best=keep_best)
    delta, value = by_hand(rule, share, keep_best)
    assert torch.equal(found.delta, delta)
    assert torch.equal(found.value, value)
    assert {len(rows) for rows in asked} == {8}
    computed = sum(map(len, asked))
    assert int(found.gradients.sum()) <= computed <= 96 * (STEPS + 1)


def test_large_steps_are_done_early_and_their_places_are_not_computed_in_vain() -> None:
    found, asked = climbed(RULES["sign"], 3.0, BlockShape(8))
    needed = int(found.gradients.sum())
    assert needed < 0.7 * ROWS * STEPS
    assert sum(map(len, asked)) < 1.2 * needed + 8 * STEPS
    patient, _ = climbed(RULES["sign"], 0.03, BlockShape(8))
    assert patient.gradients.tolist() == [STEPS] * ROWS


def test_a_rule_with_memory_leaves_where_its_memory_recurs_too() -> None:
    # A step forth, and one back to the start, with the same memory as then; without one the search
    # would go on from there.
    found, _ = climbed(ForthAndBack(), 2.0**-6, BlockShape(8))
    assert int((found.gradients == 2).sum()) > ROWS // 10
    forgetful, _ = climbed(RULES["sign"], 2.0**-6, BlockShape(8))
    assert forgetful.gradients.tolist() == [STEPS] * ROWS
