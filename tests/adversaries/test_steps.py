"""A gradient attack is its step rule, whose memory is per row."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from helpers.known_decoders import convolutional, latents, meet
from pydantic import TypeAdapter
from torch import Tensor

from channelsim.adversaries.ascent import ascend
from channelsim.adversaries.gradient_attack import GradientAttack
from channelsim.adversaries.steps import RULES, State, StepRule
from channelsim.contracts import records
from channelsim.contracts.parts import part

DECAY = 0.9


class Momentum(StepRule):
    """Dong et al. 2018: the sign of a decaying sum of gradients, each of unit L1 norm."""

    def begin(self, start: Tensor) -> State:
        return {"sum": torch.zeros_like(start)}

    def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
        norm = gradient.abs().sum(dim=1, keepdim=True).clamp_min(1e-30)
        total = DECAY * state["sum"] + gradient / norm
        return step_size[:, None] * total.sign(), {"sum": total}


@part
class MomentumAttack(GradientAttack):
    """A gradient attack of somebody's own, complete."""

    kind: ClassVar[str] = "momentum"

    @property
    def rule(self) -> StepRule:
        return Momentum()


def ridge(delta: Tensor) -> Tensor:
    """A narrow ridge along the first axis, which sign steps zigzag across. Its top is at (1, 0)."""
    return -((delta[:, 0] - 1.0).square() + 40.0 * delta[:, 1].square())


def test_momentum_does_what_its_authors_print() -> None:
    start, radius, alpha = torch.tensor([[0.0, 0.35]]), torch.tensor([2.0]), torch.tensor([0.1])
    total, delta = torch.zeros(2), start[0].clone()
    for _ in range(6):
        gradient = torch.tensor([-2 * (delta[0] - 1.0), -80.0 * delta[1]])
        total = DECAY * total + gradient / gradient.abs().sum()
        delta = delta + 0.1 * total.sign()
    found = ascend(ridge, start, radius, "linf", alpha, Momentum(), steps=6, keep_best=False)
    assert torch.allclose(found.delta[0], delta, atol=1e-6)


def test_a_rule_with_memory_is_not_stopped_where_its_iterates_repeat() -> None:
    # At the ball's edge the first iterates stand still while the sum of gradients turns round.
    def objective(delta: Tensor) -> Tensor:
        return -(delta[:, 0] - 0.5).square()

    start, radius, alpha = torch.tensor([[-1.0]]), torch.tensor([1.0]), torch.tensor([0.5])
    begun = {"sum": torch.tensor([[-3.0]])}

    class Stubborn(Momentum):
        def begin(self, start: Tensor) -> State:
            return begun

    found = ascend(objective, start, radius, "linf", alpha, Stubborn(), steps=12)
    assert found.gradients.tolist() == [12]
    assert float(found.delta[0, 0]) == pytest.approx(0.5, abs=0.26)
    plain = ascend(objective, start, radius, "linf", alpha, RULES["sign"], steps=12)
    assert plain.gradients.max() < 12, "and one without memory is"


@pytest.mark.parametrize("rule", [*RULES.values(), Momentum()], ids=["sign", "l2", "momentum"])
def test_rows_may_leave_and_enter_a_block_between_any_two_steps(rule: StepRule) -> None:
    torch.manual_seed(1)
    gradients = [torch.randn(5, 3) for _ in range(6)]
    alpha = torch.rand(5) + 0.1

    def alone(row: int) -> list[Tensor]:
        state, moves = rule.begin(torch.zeros(1, 3)), []
        for gradient in gradients:
            move, state = rule.move(gradient[[row]], alpha[[row]], state)
            moves.append(move[0])
        return moves

    # Rows 0 to 3 begin; after two steps row 1 leaves, and row 4 begins in its place.
    state = rule.begin(torch.zeros(4, 3))
    rows, age = [0, 1, 2, 3], [0, 0, 0, 0]
    expected = {row: alone(row) for row in range(5)}
    for number in range(5):
        if number == 2:
            fresh = rule.begin(torch.zeros(1, 3))
            state = {name: tensor.clone() for name, tensor in state.items()}
            for name, tensor in fresh.items():
                state[name][1] = tensor[0]
            rows[1], age[1] = 4, 0
        given = torch.stack([gradients[age[place]][row] for place, row in enumerate(rows)])
        move, state = rule.move(given, alpha[rows], state)
        for place, row in enumerate(rows):
            assert torch.equal(move[place], expected[row][age[place]])
            age[place] += 1


def test_an_attack_of_one_rule_keeps_its_budget_and_does_damage() -> None:
    decode = convolutional(4)
    given = {"goal": {"kind": "damage"}, "budget": {"norm": "linf", "epsilon": 0.3}}
    momentum = TypeAdapter(MomentumAttack).validate_python(given)
    signal = latents(16, 4)
    found = momentum.attack(signal, meet(momentum, signal, decode))
    assert set(found.verdict) == {records.OK}
    assert float(found.delta.abs().amax()) <= 0.3 * (1 + 1e-6)
    noise = 0.3 * torch.sign(torch.randn(16, 4, generator=torch.Generator().manual_seed(3)))

    def damage(delta: Tensor) -> float:
        return float((decode(signal + delta) - decode(signal)).square().mean())

    assert damage(found.delta) > 1.3 * damage(noise)


def test_a_rule_that_remembers_from_its_first_step_on_is_not_taken_for_one_in_a_circle() -> None:
    class Late(Momentum):
        def begin(self, start: Tensor) -> State:
            return {}

        def move(self, gradient: Tensor, step_size: Tensor, state: State) -> tuple[Tensor, State]:
            return super().move(gradient, step_size, state or super().begin(gradient))

    def flat(delta: Tensor) -> Tensor:
        return 0.0 * delta.sum(dim=1)

    start, one = torch.zeros(2, 3), torch.ones(2)
    found = ascend(flat, start, one, "linf", one, Late(), steps=5)
    assert torch.equal(found.delta, start)


def test_who_searches_by_a_method_of_its_own_gets_one_block_at_a_time() -> None:
    class Mixin:
        def perturb(self, *given: object) -> object:
            return super().perturb(*given)  # type: ignore[misc]

    class Mixed(Mixin, MomentumAttack):
        pass

    class Own(MomentumAttack):
        def _search(self, *given: object) -> object:  # type: ignore[override]
            return super()._search(*given)  # type: ignore[arg-type]

    class Knowing(Own):
        takes_blocks = True

    assert MomentumAttack.takes_blocks
    assert not Mixed.takes_blocks
    assert not Own.takes_blocks
    assert Knowing.takes_blocks
