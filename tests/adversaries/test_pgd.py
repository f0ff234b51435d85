"""The gradient attack: closed forms, budgets, verdicts, targets, and invariances."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.known_decoders import LinearDecoder, convolutional, image_damage, latents, meet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from channelsim.adversaries import ADVERSARIES, PGD, Noise, ascend
from channelsim.adversaries.goals import distance
from channelsim.adversaries.steps import RULES
from channelsim.contracts import records
from channelsim.contracts.adversary import Budget
from channelsim.support.errors import InputError

SIGN = RULES["sign"]
SINGULAR = (3.0, 1.5, 1.0, 0.5, 0.25)
PARSE = TypeAdapter(PGD)


def pgd(norm: str = "linf", epsilon: float = 0.5, **fields) -> PGD:
    fields.setdefault("goal", {"kind": "damage"})
    return PARSE.validate_python({"budget": {"norm": norm, "epsilon": epsilon}, **fields})


def black(norm: str = "linf", epsilon: float = 0.5, **fields) -> PGD:
    return pgd(norm, epsilon, goal={"kind": "image", "target": "black"}, **fields)


# --- closed forms on a linear decoder -----------------------------------------------------------


def test_the_untargeted_l2_attack_finds_the_largest_eigenvalue():
    decode, epsilon = LinearDecoder(SINGULAR), 0.3
    signal = latents(16, len(SINGULAR))
    attack = pgd("l2", epsilon, step="l2", steps=60)
    found = attack.attack(signal, meet(attack, signal, decode))
    optimum = epsilon**2 * SINGULAR[0] ** 2
    damage = image_damage(decode, signal, found.delta)
    assert damage.numpy() == pytest.approx(np.full(16, optimum), rel=1e-4)
    along = (found.delta @ decode.right[:, 0]).abs() / epsilon
    assert along.numpy() == pytest.approx(np.ones(16), abs=1e-3)
    assert set(found.verdict) == {records.OK}


def test_the_first_step_towards_black_goes_along_minus_jacobian_transposed_image():
    decode = LinearDecoder(SINGULAR, offset=0.2)
    signal = latents(8, len(SINGULAR))
    direction = -(decode(signal).flatten(1) @ decode.jacobian)

    straight = black("l2", 1.0, step="l2", steps=1, step_size=0.1, start="zero", keep_best=False)
    delta = straight.attack(signal, meet(straight, signal, decode)).delta
    unit = direction / direction.norm(dim=1, keepdim=True)
    assert delta.numpy() == pytest.approx((0.1 * unit).numpy(), abs=1e-6)

    signed = black("linf", 1.0, steps=1, step_size=0.1, start="zero", keep_best=False)
    delta = signed.attack(signal, meet(signed, signal, decode)).delta
    assert delta.numpy() == pytest.approx((0.1 * direction.sign()).numpy(), abs=1e-7)


def test_with_power_to_spare_the_image_goes_black_and_the_latent_to_zero():
    decode = LinearDecoder((1.2, 1.0, 0.9))
    signal = latents(8, 3)
    attack = black("l2", 10.0, step="l2", steps=400, step_size=0.02, start="zero")
    delta = attack.attack(signal, meet(attack, signal, decode)).delta
    assert (signal + delta).abs().max() < 0.02


def test_damage_against_the_source_moves_away_from_the_source_not_from_the_reconstruction():
    decode = LinearDecoder(SINGULAR)
    signal = latents(8, len(SINGULAR))
    source = decode(signal) + 0.3 * (decode.jacobian @ decode.right[:, 1]).view(1, 1, 8, 8)
    goal = {"kind": "damage", "reference": "source"}
    attack = pgd("l2", 0.1, goal=goal, start="zero", steps=1, step="l2", step_size=0.1)
    found = attack.attack(signal, meet(attack, signal, decode, source=source))
    # The gradient is 2/N·Jᵀ(g − x), that is along −v₂ here, although g − g(z) is zero.
    along = found.delta @ decode.right[:, 1]
    assert along.numpy() == pytest.approx(np.full(8, -0.1), rel=1e-4)


def test_a_step_of_twice_the_budget_ends_on_a_corner():
    decode, signal = convolutional(), latents(32, 6)
    for step_size in (1.0, 5.0):
        attack = black("linf", 0.5, step_size=step_size)
        delta = attack.attack(signal, meet(attack, signal, decode)).delta
        last = black("linf", 0.5, step_size=step_size, keep_best=False)
        delta = last.attack(signal, meet(last, signal, decode)).delta
        assert torch.equal(delta.abs(), torch.full_like(delta, 0.5))
    smaller = black("linf", 0.5, step_size=0.01, start="zero", steps=3)
    delta = smaller.attack(signal, meet(smaller, signal, decode)).delta
    assert delta.abs().max() < 0.04


def test_on_the_cube_restarts_come_close_to_enumerating_all_corners():
    decode, signal = LinearDecoder(SINGULAR), latents(64, 5)
    signs = torch.tensor(list(itertools.product([-0.3, 0.3], repeat=5)))
    exact = (signs @ decode.jacobian.T).square().sum(1).max()  # convex: the maximum is a corner
    share = []
    for restarts in (1, 20):
        attack = pgd(epsilon=0.3, restarts=restarts)
        delta = attack.attack(signal, meet(attack, signal, decode)).delta
        damage = image_damage(decode, signal, delta) / exact
        assert damage.max() <= 1 + 1e-5
        share.append(float(damage.mean()))
    assert 0.6 < share[0] < share[1]
    assert share[1] > 0.97


def test_the_attack_does_at_least_the_damage_of_noise_of_equal_norm():
    decode, signal = convolutional(), latents(64, 6)
    for norm, law in (("l2", "gaussian"), ("linf", "signs")):
        attack = pgd(norm, 0.1, steps=30, restarts=4)
        noise = Noise(budget=Budget(norm=norm, epsilon=0.1), law=law)
        spoilt = attack.attack(signal, meet(attack, signal, decode)).delta
        jammed = noise.attack(signal, meet(noise, signal, decode)).delta
        assert (spoilt.norm(dim=1) <= jammed.norm(dim=1) * (1 + 1e-5)).all()
        strong, weak = (image_damage(decode, signal, d) for d in (spoilt, jammed))
        # On the cube a row may end in a local maximum that a lucky corner beats.
        assert (strong >= weak).double().mean() >= (1.0 if norm == "l2" else 0.8)
        assert strong.mean() > 1.3 * weak.mean()


# --- budgets ------------------------------------------------------------------------------------


def upto(most: float) -> st.SearchStrategy[float]:
    """0, or a size that float32 represents to seven digits in every coordinate."""
    return st.just(0.0) | st.floats(float(np.float32(1e-30)), most, width=32)


@settings(max_examples=40)
@given(
    norm=st.sampled_from(["linf", "l2", "psr_db"]),
    epsilon=upto(3),
    step=st.sampled_from(["sign", "l2"]),
    start=st.sampled_from(["zero", "uniform", "sphere"]),
    step_size=st.floats(1e-3, 10),
    unit=st.sampled_from(["absolute", "relative"]),
    power=st.floats(0.01, 50),
    seed=st.integers(0, 99),
)
def test_no_choice_ever_leaves_the_budget(norm, epsilon, step, start, step_size, unit, power, seed):
    decode, signal = LinearDecoder(SINGULAR), latents(4, 5, seed)
    attack = black(
        norm, epsilon, step=step, start=start, step_size=step_size, step_unit=unit, steps=3
    )
    delta = attack.attack(signal, meet(attack, signal, decode, power=power, seed=seed)).delta
    if norm == "linf":
        assert (delta.abs() <= np.float32(epsilon)).all()
    else:
        limit = epsilon if norm == "l2" else math.sqrt(5 * power * 10 ** (epsilon / 10))
        assert (delta.double().norm(dim=1) <= limit * (1 + 1e-6)).all()


@settings(max_examples=60)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    radius=upto(10),
    scale=st.floats(0, 1e6, width=32),
    seed=st.integers(0, 999),
)
@example(norm="l2", radius=1e-30, scale=1e-27, seed=0)  # squares of these are zero
def test_projecting_twice_is_projecting_once(norm, radius, scale, seed):
    budget, bound = Budget(norm=norm, epsilon=1.0), torch.full((6,), radius)
    once = budget.project(scale * latents(6, 7, seed), bound)
    assert torch.equal(budget.project(once, bound), once)
    size = once.abs().amax(1) if norm == "linf" else once.double().norm(dim=1)
    assert (size <= bound).all()


def test_a_budget_in_psr_is_met_for_rows_of_unequal_power():
    decode = LinearDecoder(SINGULAR)
    signal = latents(64, 5) * torch.logspace(-1, 1, 64)[:, None]
    attack = pgd("psr_db", -12.0, step="l2", steps=20)
    delta = attack.attack(signal, meet(attack, signal, decode, power=2.5)).delta
    measured = 10 * torch.log10(delta.square().sum(1) / (5 * 2.5))
    assert measured.numpy() == pytest.approx(np.full(64, -12.0), abs=0.05)


@pytest.mark.parametrize(("norm", "nothing"), [("linf", 0.0), ("l2", 0.0), ("psr_db", -math.inf)])
def test_a_budget_of_zero_injects_exactly_nothing_and_says_off(norm, nothing):
    decode, signal = convolutional(), latents(4, 6)
    attack = pgd(norm, nothing)
    found = attack.attack(signal, meet(attack, signal, decode))
    assert torch.equal(found.delta, torch.zeros_like(signal))
    assert list(found.verdict) == [records.OFF] * 4
    assert torch.equal(attack.apply(signal, meet(attack, signal, decode)), signal)


def test_rows_of_zero_budget_are_off_beside_rows_that_are_attacked():
    decode, signal = convolutional(), latents(4, 6)
    attack = pgd(epsilon=0.5)
    epsilon = torch.tensor([0.0, 0.5, 0.0, 0.1])
    found = attack.attack(signal, meet(attack, signal, decode, epsilon=epsilon))
    assert list(found.verdict) == [records.OFF, records.OK, records.OFF, records.OK]
    assert torch.equal(found.delta[[0, 2]], torch.zeros(2, 6))
    assert found.delta[1].abs().max() > 0.1 >= found.delta[3].abs().max()


# --- the paper's attack, and verdicts -----------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "ssim"])
def test_the_literal_untargeted_attack_has_no_gradient_and_says_so(loss):
    decode, signal = convolutional(), latents(16, 6)
    attack = pgd(epsilon=0.5, goal={"kind": "damage", "loss": loss}, literal=True)
    found = attack.attack(signal, meet(attack, signal, decode))
    assert set(found.verdict) == {records.ZERO_GRADIENT}
    if loss == "mse":
        assert torch.equal(found.delta, torch.zeros_like(signal))


def test_a_random_start_is_what_the_untargeted_attack_lacked():
    decode, signal = convolutional(), latents(16, 6)
    for loss in ("mse", "ssim"):
        attack = pgd(epsilon=0.5, goal={"kind": "damage", "loss": loss})
        found = attack.attack(signal, meet(attack, signal, decode))
        assert set(found.verdict) == {records.OK}
        assert (image_damage(decode, signal, found.delta) > 0).all()


@pytest.mark.parametrize("epsilon", [1e-4, 1e-3])
def test_a_tiny_budget_is_not_mistaken_for_a_zero_gradient(epsilon):
    decode, signal = LinearDecoder(SINGULAR, shape=(1, 16, 16)), latents(16, 5)
    attack = pgd(epsilon=epsilon)
    found = attack.attack(signal, meet(attack, signal, decode))
    assert set(found.verdict) == {records.OK}


def test_the_literal_black_target_is_the_plain_loop_of_the_paper():
    decode, signal = convolutional(), latents(16, 6)
    attack = black(epsilon=0.8, literal=True)
    delta = torch.zeros_like(signal)
    for _ in range(10):
        leaf = (signal + delta).requires_grad_()
        loss = decode(leaf).square().flatten(1).mean(1).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        delta = (delta - gradient.sign()).clamp(-0.8, 0.8)
    found = attack.attack(signal, meet(attack, signal, decode))
    assert torch.equal(found.delta, delta)


def test_literal_means_what_it_says():
    # The same to the bit as every choice of the paper written out.
    spelled = {"start": "zero", "step": "sign", "step_size": 1.0, "keep_best": False, "steps": 10}
    decode, signal = LinearDecoder(SINGULAR), latents(8, len(SINGULAR))
    for norm in ("linf", "l2"):
        short, long = black(norm, 0.7, literal=True), black(norm, 0.7, **spelled)
        one, other = (
            attack.attack(signal, meet(attack, signal, decode)) for attack in (short, long)
        )
        assert torch.equal(one.delta, other.delta)
    for field, value, words in [
        ("start", "uniform", "literal means start: zero, but start is uniform"),
        ("keep_best", True, "literal means keep_best: false, but keep_best is true"),
        ("step_unit", "relative", "literal means step_unit: absolute"),
        ("restarts", 3, "literal means restarts: 1, but restarts is 3"),
        ("step", "l2", "literal means step: sign, but step is l2"),
    ]:
        with pytest.raises(ValidationError, match=words):
            pgd(literal=True, **{field: value})


def test_an_overshooting_step_is_reported_as_saturated():
    def decode(wire: Tensor) -> Tensor:  # black at −0.1, and the literal step is 1
        return (wire.mean(dim=1) + 0.1).abs()[:, None, None, None].expand(-1, 1, 2, 2)

    signal = torch.zeros(3, 2)
    attack = black(epsilon=1.0, literal=True, steps=1)
    found = attack.attack(signal, meet(attack, signal, decode))
    assert set(found.verdict) == {records.SATURATED}
    assert torch.equal(found.delta, torch.full((3, 2), -1.0))


def test_a_decoder_that_ignores_the_latent_gives_zero_gradients():
    def decode(wire: Tensor) -> Tensor:
        return (0.5 + 0.0 * wire.sum(dim=1))[:, None, None, None].expand(-1, 1, 4, 4)

    signal = latents(5, 3)
    for attack in (pgd(), black(), pgd(restarts=3)):
        found = attack.attack(signal, meet(attack, signal, decode))
        assert set(found.verdict) == {records.ZERO_GRADIENT}


def test_rows_whose_decoder_breaks_are_dropped_and_the_others_attacked():
    smooth = LinearDecoder((1.0, 2.0))

    def decode(wire: Tensor) -> Tensor:  # NaN wherever the first latent leaves the left half plane
        broken = torch.where(wire[:, :1] > 5, torch.sqrt(-wire[:, :1]), 0.0)
        return smooth(wire) + broken[:, :, None, None]

    signal = latents(6, 2)
    signal[2] = torch.tensor([9.0, 0.0])
    for keep_best in (True, False):
        attack = black(epsilon=0.5, keep_best=keep_best)
        found = attack.attack(signal, meet(attack, signal, decode))
        assert list(found.verdict == records.NONFINITE) == [False, False, True, False, False, False]
        assert torch.equal(found.delta[2], torch.zeros(2))
        assert (found.delta[[0, 1, 3, 4, 5]] != 0).any(dim=1).all()


def test_an_infinite_objective_is_not_a_success():
    def objective(delta: Tensor) -> Tensor:  # beyond 0.3 the decoder overflows
        total = delta.sum(dim=1)
        return torch.where(total > 0.3, torch.full_like(total, torch.inf), total)

    found = ascend(
        objective,
        torch.zeros(2, 1),
        torch.ones(2),
        "linf",
        torch.tensor([0.1, 0.25]),
        SIGN,
        steps=8,
    )
    assert found.value.numpy() == pytest.approx([0.3, 0.25], abs=1e-6)
    assert found.delta[:, 0].numpy() == pytest.approx([0.3, 0.25], abs=1e-6)


def test_an_attack_that_returns_nothing_says_not_moved():
    def decode(wire: Tensor) -> Tensor:
        return wire[:, :, None, None]

    # A step against the boundary of the ball: the sign step and the projection cancel.
    signal = torch.zeros(2, 4)
    attack = black(epsilon=0.5, start="zero", steps=2, step_size=0.1)
    found = attack.attack(signal, meet(attack, signal, decode))
    assert set(found.verdict) == {records.ZERO_GRADIENT}  # black already

    # Even steps of the same length, there and back: the last iterate is the start.
    def kinked(wire: Tensor) -> Tensor:
        return (wire - 0.01).abs()[:, :, None, None]

    attack = black(epsilon=0.5, start="zero", steps=2, step_size=0.125, keep_best=False)
    found = attack.attack(signal, meet(attack, signal, kinked))
    assert set(found.verdict) == {records.NOT_MOVED}


# --- keeping the best, restarts, stopping early -------------------------------------------------


def goal_value(attack: PGD, signal: Tensor, decode, delta: Tensor) -> Tensor:
    rows = meet(attack, signal, decode)
    target = attack.goal.image(rows, rows.knowledge)
    return attack.goal.sign * distance(attack.goal.loss, decode(signal + delta), target)


def test_more_freedom_never_does_worse():
    decode, signal = convolutional(), latents(48, 6)
    shared = {"epsilon": 2.0, "step_size": 3.0, "steps": 7}

    def value(**fields) -> Tensor:
        attack = pgd(**shared, **fields)
        found = attack.attack(signal, meet(attack, signal, decode))
        return goal_value(attack, signal, decode, found.delta)

    last, best = value(keep_best=False), value()
    assert (best >= last).all()
    assert (best > last).any()
    several = value(restarts=4)
    assert (several >= best).all()
    assert (several > best).any()


def plain_loop(objective, start, radius, ball, step_size, steps, keep_best):
    """The textbook loop, never stopping early."""
    budget = Budget(norm=ball, epsilon=1.0)
    delta = budget.project(start, radius)
    best, best_value = delta, None
    for number in range(steps + 1):
        leaf = delta.clone().requires_grad_()
        value = objective(leaf)
        if best_value is None or not keep_best:
            best, best_value = delta, value.detach()
        else:
            ahead = value.detach() > best_value
            best = torch.where(ahead[:, None], delta, best)
            best_value = torch.where(ahead, value.detach(), best_value)
        if number < steps:
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
            delta = budget.project(delta + step_size[:, None] * gradient.sign(), radius)
    return best, best_value


@pytest.mark.parametrize("keep_best", [True, False])
@pytest.mark.parametrize("step_size", [0.5, 1.0, 2.0])
def test_stopping_early_changes_no_bit_and_saves_gradients(keep_best, step_size):
    decode, signal = convolutional(), latents(24, 6)
    radius = torch.linspace(0.0, 0.3, 24)
    saved = 0
    for steps in range(1, 16):

        def objective(delta: Tensor) -> Tensor:
            return -decode(signal + delta).square().flatten(1).mean(1)

        alpha = torch.full_like(radius, step_size)
        start = (2 * torch.rand(24, 6, generator=torch.Generator().manual_seed(1)) - 1) * 0.4
        found = ascend(
            objective, start, radius, "linf", alpha, SIGN, steps=steps, keep_best=keep_best
        )
        delta, value = plain_loop(objective, start, radius, "linf", alpha, steps, keep_best)
        assert torch.equal(found.delta, delta + 0.0)
        assert torch.equal(found.value, value)
        saved += int((steps - found.gradients).sum())
    assert saved > 0


@pytest.mark.parametrize("keep_best", [True, False])
def test_a_search_that_swings_between_two_points_is_recognised(keep_best):
    def objective(delta: Tensor) -> Tensor:  # a ridge at 0.1 that every step jumps over
        return -(delta - 0.1).abs().sum(dim=1)

    start, radius = torch.full((2, 3), 0.3), torch.full((2,), 0.5)
    for steps in range(1, 9):
        found = ascend(
            objective, start, radius, "linf", torch.tensor([0.5, 9.0]), SIGN,
            steps=steps, keep_best=keep_best,
        )  # fmt: skip
        delta, value = plain_loop(
            objective, start, radius, "linf", torch.tensor([0.5, 9.0]), steps, keep_best
        )
        assert torch.equal(found.delta, delta)
        assert torch.equal(found.value, value)
        assert found.gradients.max() <= 3


# --- invariances --------------------------------------------------------------------------------

GOALS = [
    {"kind": "damage"},
    {"kind": "damage", "loss": "ssim"},
    {"kind": "image", "target": "black"},
    {"kind": "image", "target": "random"},
    {"kind": "image", "target": "inverse", "loss": "ssim"},
    {"kind": "image", "target": "message"},
]


@pytest.mark.parametrize(
    ("norm", "goal"),
    [*(("l2", goal) for goal in GOALS), ("linf", GOALS[0]), ("linf", GOALS[2])],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
def test_a_row_does_not_care_where_it_stands_nor_on_how_many_threads(norm, goal):
    decode, signal = convolutional(), latents(32, 6)
    attack = pgd(norm, 0.4, goal=goal, steps=3)
    home = attack.attack(signal, meet(attack, signal, decode))

    order = np.random.default_rng(0).permutation(32)
    moved = attack.attack(signal[order], meet(attack, signal[order], decode, message=order))
    assert torch.equal(moved.delta, home.delta[order])
    assert list(moved.verdict) == list(home.verdict[order])

    strangers = signal.clone()
    strangers[1:] = 3 * latents(31, 6, seed=99)
    assert torch.equal(
        attack.attack(strangers, meet(attack, strangers, decode)).delta[0], home.delta[0]
    )

    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            again = attack.attack(signal, meet(attack, signal, decode))
            assert torch.equal(again.delta, home.delta)
    finally:
        torch.set_num_threads(threads)


def test_callers_may_forbid_gradients():
    decode, signal = convolutional(), latents(8, 6)
    attack = pgd(goal={"kind": "damage", "loss": "ssim"})
    expected = attack.attack(signal, meet(attack, signal, decode)).delta
    with torch.no_grad():
        assert torch.equal(attack.attack(signal, meet(attack, signal, decode)).delta, expected)
    with torch.inference_mode():
        copy = signal.clone()
        assert torch.equal(attack.attack(copy, meet(attack, copy, decode)).delta, expected)
    assert all(parameter.grad is None for parameter in decode.parameters())


def test_the_decoder_is_asked_as_often_as_promised():
    network, signal, calls = convolutional(), latents(8, 6), []

    def decode(wire: Tensor) -> Tensor:
        calls.append(len(wire))
        return network(wire)

    attack = pgd(steps=5, restarts=3, step="l2")
    rows = meet(attack, signal, decode)
    calls.clear()
    attack.attack(signal, rows)
    assert calls == [8] * (3 * (5 + 1) + 1)
    assert attack.threat["effort"] == {"steps": 5, "restarts": 3, "gradients": 15}
    off = pgd(epsilon=0.0)
    rows = meet(off, signal, decode)
    calls.clear()
    off.attack(signal, rows)
    assert calls == []


# --- targets ------------------------------------------------------------------------------------


def target_of(goal: dict, signal: Tensor, decode, **kwargs) -> Tensor:
    attack = pgd(goal=goal)
    rows = meet(attack, signal, decode, **kwargs)
    return attack.goal.image(rows, rows.knowledge)


def test_plain_targets():
    decode, signal = convolutional(colours=3), latents(5, 6)
    clean = decode(signal)
    image = {"kind": "image"}
    assert torch.equal(target_of({**image, "target": "black"}, signal, decode), 0 * clean)
    assert torch.equal(target_of({**image, "target": "white"}, signal, decode), 0 * clean + 1)
    assert torch.equal(target_of({**image, "target": "inverse"}, signal, decode), 1 - clean)
    noise = target_of({**image, "target": "random"}, signal, decode)
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.05)
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("messages", [2, 3, 500])
def test_another_message_is_drawn_fairly_and_never_oneself(messages):
    decode, signal = convolutional(), latents(messages, 6)
    own = np.arange(messages)
    goal = {"kind": "image", "target": "message"}
    # `meet` paints message m at the level m / messages, and its reconstruction at 1 − m / messages.
    level = target_of(goal, signal, decode, messages=messages)[:, 0, 0, 0]
    other = np.rint(level.numpy() * messages).astype(int)
    assert ((other >= 0) & (other < messages)).all()
    assert (other != own).all()
    if messages == 500:
        ahead = (other - own) % messages
        assert ahead.mean() == pytest.approx(250, abs=4 * 500 / math.sqrt(12 * 500))
        assert ahead.min() < 10
        assert ahead.max() > 490
    decoded = target_of({**goal, "of": "reconstruction"}, signal, decode, messages=messages)
    assert torch.allclose(decoded[:, 0, 0, 0], 1 - level)


@pytest.mark.parametrize("target", ["random", "message"])
def test_what_is_wanted_stays_the_same_when_a_message_is_sent_again(target):
    decode, signal = convolutional(), latents(50, 6)
    attack = pgd(goal={"kind": "image", "target": target})
    first = meet(attack, signal, decode, messages=50)
    again = dataclasses.replace(first, attempt=first.attempt + 1, _drawn={})
    wanted = [attack.goal.image(rows, first.knowledge) for rows in (first, again)]
    assert torch.equal(*wanted)


def test_a_run_of_one_message_has_nobody_to_imitate():
    decode, signal = convolutional(), latents(1, 6)
    with pytest.raises(InputError, match=r"has 1 message; .* at least two \(raise source.count\)"):
        target_of({"kind": "image", "target": "message"}, signal, decode, messages=1)


def checker() -> np.ndarray:
    return (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)


def test_a_target_may_come_from_a_picture_or_an_array(tmp_path: Path):
    decode, signal = convolutional(), latents(3, 6)
    grey = checker()
    wanted = torch.from_numpy(grey / np.float32(255)).expand(3, 1, 16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("1").save(tmp_path / "bits.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    np.save(tmp_path / "bytes.npy", grey)
    np.save(tmp_path / "floats.npy", (grey / 255)[None])
    for path in sorted(tmp_path.iterdir()):
        goal = {"kind": "image", "target": "file", "file": str(path)}
        assert torch.equal(target_of(goal, signal, decode), wanted), path.name

    colour = np.stack([grey, 255 - grey, grey // 2], axis=-1)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "colour.png")}
    shown = target_of(goal, signal, convolutional(colours=3))
    assert torch.equal(shown[0], torch.from_numpy(colour.transpose(2, 0, 1) / np.float32(255)))


def test_a_target_file_that_does_not_fit_is_named_with_its_shape(tmp_path: Path):
    decode, signal = convolutional(), latents(3, 6)
    np.save(tmp_path / "small.npy", np.zeros((8, 8)))
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "small.npy")}
    with pytest.raises(
        InputError, match=r"small.npy: .* \[8, 8\], the codec shows \[1, 16, 16\]; .* or \[16, 16\]"
    ):
        target_of(goal, signal, decode)


def test_bad_target_files_are_refused_when_the_scenario_is_read(tmp_path: Path):
    np.save(tmp_path / "loud.npy", np.full((1, 4, 4), 255.0))
    np.save(tmp_path / "nan.npy", np.full((1, 4, 4), np.nan))
    np.save(tmp_path / "wide.npy", np.zeros((4, 4), dtype=np.int64))
    np.save(tmp_path / "deep.npy", np.zeros((1, 1, 4, 4)))
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (tmp_path / "empty.npy").write_bytes(b"")
    Image.new("RGBA", (4, 4)).save(tmp_path / "glass.png")
    (tmp_path / "notes.txt").write_text("black, please")
    for name, words in [
        ("loud.npy", "values run from 255 to 255; allowed: 0 to 1"),
        ("nan.npy", "values run from nan to nan"),
        ("wide.npy", "values are of type int64; allowed: floats"),
        ("deep.npy", r"shape \[1, 1, 4, 4\] is no image"),
        ("pickle.npy", "not a plain .npy array"),
        ("torn.png", "not a readable picture"),
        ("empty.npy", "not a plain .npy array"),
        ("glass.png", "colour mode RGBA; allowed: grey or RGB without transparency"),
        ("notes.txt", "cannot be read from this type"),
        ("absent.png", "no such file"),
    ]:
        goal = {"kind": "image", "target": "file", "file": str(tmp_path / name)}
        with pytest.raises(ValidationError, match=f"{name}: .*{words}"):
            pgd(goal=goal)


def test_a_target_file_of_one_dimension_is_a_signal_and_no_image(tmp_path: Path):
    np.save(tmp_path / "flat.npy", np.zeros(256))
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "flat.npy")}
    with pytest.raises(InputError, match=r"flat.npy: shape \[256\] is no image; allowed: \[H, W\]"):
        target_of(goal, latents(3, 6), convolutional())


@pytest.mark.parametrize(("value", "words"), [(255.0, "255 to 255"), (np.nan, "nan to nan")])
def test_floats_without_channels_are_refused_where_the_codec_shows_images(tmp_path, value, words):
    np.save(tmp_path / "t.npy", np.full((16, 16), value))  # of a codec of signals, 16 channels
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "t.npy")}
    with pytest.raises(InputError, match=rf"t\.npy: values run from {words}; allowed: 0 to 1"):
        target_of(goal, latents(3, 6), convolutional())


# --- configuration ------------------------------------------------------------------------------


def test_the_example_of_the_documentation_parses_with_an_absolute_step():
    attack = PARSE.validate_python(
        {
            "name": "mallory",
            "goal": {"kind": "image", "target": "black"},
            "budget": {"norm": "linf", "epsilon": 0.5},
            "steps": 10,
            "step_size": 1.0,
        }
    )
    assert (attack.step_unit, attack.label) == ("absolute", "mallory")
    assert attack.column_values() == {"epsilon": 0.5, "step_size": 1.0}
    assert ADVERSARIES["pgd"] is PGD


def test_a_relative_step_grows_with_the_budget():
    decode = LinearDecoder(SINGULAR)
    signal = latents(4, 5)
    epsilon = torch.tensor([0.1, 0.2, 0.4, 0.8])
    attack = black(start="zero", steps=1, step_unit="relative", step_size=0.5, keep_best=False)
    delta = attack.attack(signal, meet(attack, signal, decode, epsilon=epsilon)).delta
    assert torch.equal(delta.abs(), (0.5 * epsilon)[:, None].expand(4, 5))


def test_a_step_that_nobody_chose_is_a_quarter_of_the_budget_along_the_norm():
    decode = LinearDecoder(SINGULAR)
    signal = latents(4, 5)
    once = {"start": "zero", "steps": 1, "keep_best": False}
    for norm in ("linf", "l2"):
        attack = black(norm, **once)
        delta = attack.attack(signal, meet(attack, signal, decode)).delta
        order = torch.inf if norm == "linf" else 2
        size = torch.linalg.vector_norm(delta, ord=order, dim=1)
        assert size == pytest.approx(0.25 * attack.budget.epsilon, rel=1e-5)
    # As the paper prints it: sign steps of 1 in latent units, whatever the norm.
    literal = black("l2", epsilon=100.0, literal=True, steps=1)
    delta = literal.attack(signal, meet(literal, signal, decode)).delta
    assert torch.equal(delta.abs(), torch.ones(4, 5))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": "zero", "restarts": 2}, "all would be the same; use start: uniform or sphere"),
        ({"goal": {"kind": "image", "target": "file"}}, "target: file needs a file"),
        (
            {"goal": {"kind": "image", "target": "black", "file": "a.png"}},
            "file is given but target is black; write target: file",
        ),
        (
            {"goal": {"kind": "image", "target": "black", "of": "reconstruction"}},
            "of is for target: message, but target is black",
        ),
        ({"goal": {"kind": "image"}}, "Field required"),
        ({"goal": {"kind": "chaos"}}, "'damage', 'image'"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"step_size": 0.0}, "greater than 0"),
        ({"step_size": float("nan")}, "finite number"),
        ({"keep_best": 1}, "valid boolean"),
        ({"norm": "l7"}, "'linf', 'l2', 'psr_db' or 'bits'"),
        ({"epsilon": -1.0}, "must not be negative"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused_in_words(fields, words):
    with pytest.raises(ValidationError, match=words):
        pgd(**fields)


def test_what_the_adversary_must_know_is_declared():
    assert pgd().threat["knowledge"] == ["codeword", "receiver weights"]
    source = pgd(goal={"kind": "damage", "reference": "source"})
    assert source.threat["knowledge"] == ["codeword", "receiver weights", "source"]
    assert "relay" in source.threat["causality"]
