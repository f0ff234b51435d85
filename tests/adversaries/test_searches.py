"""Searches of single rows: exact answers where they are known, and honest effort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.known_decoders import (
    LinearDecoder,
    convolutional,
    image_damage,
    latents,
    meet,
    searched,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.optimize import brentq, lsq_linear
from torch import Tensor

import channelsim
from channelsim.adversaries import ADVERSARIES
from channelsim.adversaries.apgd import checkpoints
from channelsim.adversaries.corners import every_corner
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts import records
from channelsim.contracts.rows import Rows
from channelsim.support import arithmetic
from channelsim.support.block_shape import BlockShape

SINGULAR = (3.0, 1.5, 1.0, 0.5, 0.25)
DAMAGE = {"kind": "damage"}
BLACK = {"kind": "image", "target": "black"}
SEARCHES = ["corners", "directions", "falling", "ensemble", "apgd"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than these small sums."""
    with arithmetic.threads(1):
        yield


def made(kind: str, norm: str, epsilon: float, goal: Any = DAMAGE, **fields: Any) -> Any:
    given = {"goal": goal, "budget": {"norm": norm, "epsilon": epsilon}, **fields}
    return TypeAdapter(ADVERSARIES[kind]).validate_python(given)


def norm_of(kind: str) -> str:
    return "l2" if kind == "directions" else "linf"


def met(attack: Any, signal: Tensor, decode: Any, **more: Any) -> Rows:
    return meet(attack, signal, decode, shape=BlockShape(64, 8, 512), **more)


def found(attack: Any, signal: Tensor, decode: Any, **more: Any) -> Tensor:
    return attack.attack(signal, met(attack, signal, decode, **more)).delta


def largest(decode: Any, signal: Tensor, epsilon: float) -> Tensor:
    """The largest damage over all corners, row by row."""
    corners = torch.from_numpy(every_corner(signal.shape[1])).float() * epsilon
    each = [image_damage(decode, signal, one.expand_as(signal)) for one in corners]
    return torch.stack(each).amax(dim=0)


# --- the optimum, where it is known -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["corners", "ensemble"])
def test_no_corner_does_more_damage_than_the_one_that_is_found(kind: str) -> None:
    for decode, size in ((LinearDecoder(SINGULAR), 5), (convolutional(6), 6)):
        for epsilon in (0.1, 1.0):
            signal = latents(8, size)
            delta = found(made(kind, "linf", epsilon), signal, decode)
            damage = image_damage(decode, signal, delta)
            share = damage / largest(decode, signal, epsilon)
            assert float(share.min()) > 0.999
            assert float(share.max()) < 1 + 1e-5


@pytest.mark.parametrize("kind", ["directions", "ensemble"])
@pytest.mark.parametrize("norm", ["l2", "psr_db"])
def test_on_a_sphere_the_leading_eigenvector_is_found(kind: str, norm: str) -> None:
    decode, signal = LinearDecoder(SINGULAR), latents(16, 5)
    radius = 0.3 if norm == "l2" else (5 * 0.5 * 10**-1.2) ** 0.5
    attack = made(kind, norm, 0.3 if norm == "l2" else -12.0)
    damage = image_damage(decode, signal, found(attack, signal, decode, power=0.5))
    assert damage.numpy() == pytest.approx(np.full(16, (radius * SINGULAR[0]) ** 2), rel=1e-5)


@pytest.mark.parametrize("kind", ["falling", "ensemble", "apgd"])
def test_an_image_whose_optimum_lies_inside_the_box_is_reached(kind: str) -> None:
    decode, signal = LinearDecoder((1.2, 1.0, 0.9, 0.8)), latents(16, 4)
    for epsilon in (0.3, 1.0):
        delta = found(made(kind, "linf", epsilon, BLACK), signal, decode)
        for one, at in zip(signal, delta, strict=True):
            image = decode(one[None]).flatten().double().numpy()
            matrix = decode.jacobian.double().numpy()
            least = 2 * lsq_linear(matrix, -image, bounds=(-epsilon, epsilon), tol=1e-12).cost
            left = float(decode((one + at)[None]).double().square().sum())
            way = float((image**2).sum()) - least
            assert left - least < 5e-3 * way


@pytest.mark.parametrize("kind", ["falling", "ensemble", "apgd"])
def test_an_image_is_reached_within_a_ball_too(kind: str) -> None:
    singular, radius = (1.2, 1.0, 0.9, 0.8), 0.7
    decode, signal = LinearDecoder(singular), latents(16, 4)
    delta = found(made(kind, "l2", radius, BLACK), signal, decode)
    squares = np.square(singular)
    for one, at in zip((signal @ decode.right).double().numpy(), delta, strict=True):
        # The nearest to black in the ball: δ = −s²·z/(s² + λ) along every singular vector.
        def excess(shrink: float, one: Any = one) -> float:
            return float(np.linalg.norm(squares * one / (squares + shrink)) - radius)

        shrink = 0.0 if excess(0.0) < 0 else brentq(excess, 0.0, 1e3)
        least = float(np.square(np.sqrt(squares) * one * shrink / (squares + shrink)).sum())
        way = float((squares * one**2).sum()) - least
        left = float(np.square(singular * (one + (at @ decode.right).double().numpy())).sum())
        assert left - least < 5e-3 * way


def test_beyond_twelve_values_the_leading_directions_lead_to_the_optimum() -> None:
    singular = np.geomspace(3.0, 0.1, 20).tolist()
    decode, signal = LinearDecoder(singular), latents(8, 20)
    best = image_damage(decode, signal, found(made("directions", "l2", 0.5), signal, decode))
    assert best.numpy() == pytest.approx(np.full(8, 0.25 * 9), rel=1e-3)
    # All rows of a linear decoder have one optimum, and 320 starts together find it.
    starts = made("pgd", "linf", 0.5, restarts=40, step_size=0.5, steps=5)
    known = float(image_damage(decode, signal, found(starts, signal, decode)).max())
    damage = image_damage(decode, signal, found(made("corners", "linf", 0.5), signal, decode))
    assert float(damage.min()) > 0.99 * known


def test_a_search_beats_gradient_ascent_with_as_many_gradients() -> None:
    decode, signal = convolutional(10), latents(8, 10)
    for norm in ("linf", "l2"):
        ten, best = (
            image_damage(decode, signal, found(attack, signal, decode)).mean()
            for attack in (made("pgd", norm, 0.7, restarts=10), made("ensemble", norm, 0.7))
        )
        assert float(best) > float(ten)


def test_a_loss_of_structure_is_searched_inside_the_box_as_well() -> None:
    decode, signal = convolutional(6), latents(8, 6)
    goal = {"kind": "damage", "loss": "ssim"}
    corners = made("corners", "linf", 0.8, goal)
    ensemble = made("ensemble", "linf", 0.8, goal)
    values = [
        searched(attack, signal, torch.full((8,), 0.8), rows, rows.knowledge).value
        for attack in (corners, ensemble)
        for rows in [met(attack, signal, decode)]
    ]
    assert bool((values[1] >= values[0] - 1e-6).all())
    assert float((values[1] - values[0]).max()) > 1e-4


# --- budget, reach, effort, verdicts ------------------------------------------------------------


@settings(max_examples=15)
@given(
    kind=st.sampled_from(SEARCHES),
    epsilon=st.floats(2**-20, 3, width=32),
    goal=st.sampled_from([DAMAGE, BLACK]),
    seed=st.integers(0, 99),
)
def test_no_search_leaves_its_budget(kind: str, epsilon: float, goal: Any, seed: int) -> None:
    decode, signal = LinearDecoder(SINGULAR), latents(3, 5, seed)
    norm = norm_of(kind)
    delta = found(made(kind, norm, epsilon, goal), signal, decode, seed=seed)
    size = delta.abs().amax(dim=1) if norm == "linf" else delta.double().norm(dim=1)
    assert bool((size <= epsilon * (1 + 1e-6)).all())


def reaching(rows: Rows, reach: Tensor) -> Rows:
    assert rows.knowledge is not None
    rows.knowledge = replace(rows.knowledge, reach=reach)
    return rows


@pytest.mark.parametrize("kind", SEARCHES)
def test_only_what_it_reaches_is_searched_and_nothing_else_is_touched(kind: str) -> None:
    decode, signal = LinearDecoder(SINGULAR), latents(6, 5)
    reach = torch.zeros(6, 5, dtype=torch.bool)
    reach[:4, 1:3] = True
    reach[4, :] = True
    attack = made(kind, norm_of(kind), 0.5)
    result = attack.attack(signal, reaching(met(attack, signal, decode), reach), reach)
    assert torch.equal(result.delta[~reach], torch.zeros(int((~reach).sum())))
    assert result.verdict[5] == records.IDLE
    damage = image_damage(decode, signal, result.delta)[:4]
    if kind in ("corners", "ensemble"):
        tried = torch.zeros(4, 5)
        tried[:, 1:3] = 0.5 * torch.from_numpy(every_corner(2)).float()
        best = image_damage(decode, torch.zeros(4, 5), tried).max()
        assert damage.numpy() == pytest.approx(np.full(4, float(best)), rel=1e-5)
    elif kind == "directions":
        inside = decode.jacobian[:, 1:3]
        best = 0.25 * float(torch.linalg.svdvals(inside)[0]) ** 2
        assert damage.numpy() == pytest.approx(np.full(4, best), rel=1e-4)


class Counting:
    """A decoder that counts the rows it decodes, with gradients and without."""

    def __init__(self, decode: Any) -> None:
        self._decode, self.gradients, self.values = decode, 0, 0

    def __call__(self, signal: Tensor) -> Tensor:
        if torch.is_grad_enabled() and signal.requires_grad:
            self.gradients += len(signal)
        else:
            self.values += len(signal)
        return self._decode(signal)


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("goal", [DAMAGE, BLACK], ids=["damage", "black"])
def test_effort_is_what_the_decoder_was_asked_and_at_most_what_is_declared(
    kind: str, goal: Any
) -> None:
    attack = made(kind, norm_of(kind), 0.8, goal)
    for number in range(4):  # alone, so that no row is computed for another's sake
        signal = latents(1, 6, seed=number)
        rows = meet(attack, signal, convolutional(6))
        counting = Counting(convolutional(6))
        assert rows.knowledge is not None
        rows.knowledge = replace(rows.knowledge, decode=counting)
        result = searched(attack, signal, torch.full((1,), 0.8), rows, rows.knowledge)
        assert result.gradients.tolist() == [counting.gradients]
        assert result.values.tolist() == [counting.values]
        assert counting.gradients + counting.values / 2 <= attack.effort["gradients"]


def test_an_allowance_of_gradients_is_kept() -> None:
    decode, signal = convolutional(8), latents(8, 8)
    for most in (1, 20, 60):
        attack = made("corners", "linf", 0.8, gradients=most)
        rows = met(attack, signal, decode)
        result = searched(attack, signal, torch.full((8,), 0.8), rows, rows.knowledge)
        assert (result.gradients + result.values / 2 <= most).all()


def test_expectation_multiplies_the_declared_effort() -> None:
    once, often = (made("ensemble", "linf", 0.5, access={"expectation": draws}) for draws in (0, 8))
    assert often.effort["gradients"] == 8 * once.effort["gradients"]


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_decoder_that_ignores_the_signal_gives_zero_gradients(kind: str) -> None:
    def decode(wire: Tensor) -> Tensor:
        return (0.5 + 0.0 * wire.sum(dim=1))[:, None, None, None].expand(-1, 1, 4, 4)

    signal = latents(4, 3)
    attack = made(kind, norm_of(kind), 0.5)
    result = attack.attack(signal, met(attack, signal, decode))
    assert set(result.verdict) == {records.ZERO_GRADIENT}


@pytest.mark.parametrize("kind", SEARCHES)
def test_rows_whose_decoder_breaks_are_told_and_the_others_attacked(kind: str) -> None:
    smooth = LinearDecoder((1.0, 2.0))

    def decode(wire: Tensor) -> Tensor:
        broken = torch.where(wire[:, :1] > 5, torch.sqrt(-wire[:, :1]), 0.0)
        return smooth(wire) + broken[:, :, None, None]

    signal = latents(4, 2)
    signal[2] = torch.tensor([9.0, 0.0])
    attack = made(kind, norm_of(kind), 0.5)
    result = attack.attack(signal, met(attack, signal, decode))
    assert list(result.verdict == records.NONFINITE) == [False, False, True, False]
    assert bool((result.delta[[0, 1, 3]] != 0).any(dim=1).all())


def test_an_image_that_is_black_already_is_left_alone() -> None:
    decode, signal = LinearDecoder((1.0, 2.0)), torch.zeros(3, 2)
    attack = made("ensemble", "linf", 0.5, BLACK)
    result = attack.attack(signal, met(attack, signal, decode))
    assert torch.equal(result.delta, torch.zeros(3, 2))
    assert set(result.verdict) <= records.FAILED


def test_a_budget_that_a_search_cannot_take_is_refused_with_the_one_that_can() -> None:
    with pytest.raises(ValidationError, match="budget of norm linf, but norm is l2; use direction"):
        made("corners", "l2", 0.5)
    with pytest.raises(ValidationError, match="l2 or psr_db, but norm is linf; use corners"):
        made("directions", "linf", 0.5)


# --- rows by themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "goal"),
    [
        ("corners", DAMAGE),
        ("directions", DAMAGE),
        ("ensemble", DAMAGE),
        ("ensemble", BLACK),
        ("apgd", BLACK),
    ],
    ids=["corners", "directions", "damage", "black", "apgd"],
)
def test_a_row_has_the_same_bits_in_any_company(kind: str, goal: Any) -> None:
    decode, signal = convolutional(6), latents(12, 6)
    attack, blocks = made(kind, norm_of(kind), 0.6, goal), BlockShape(8)
    together = attack.attack(signal, meet(attack, signal, decode, shape=blocks))
    order = np.random.default_rng(2).permutation(12)[:9]
    rows = meet(attack, signal[order], decode, message=order, shape=blocks)
    other = attack.attack(signal[order], rows)
    assert torch.equal(other.delta, together.delta[order])
    assert list(other.verdict) == list(together.verdict[order])


@pytest.mark.parametrize("kind", SEARCHES)
def test_knowledge_of_all_rows_at_once_is_enough(kind: str) -> None:
    decode, signal = convolutional(4), latents(3, 4)
    attack = made(kind, norm_of(kind), 0.6)
    in_blocks = attack.attack(signal, meet(attack, signal, decode, shape=BlockShape(8))).delta
    whole = attack.attack(signal, meet(attack, signal, decode)).delta
    damage = [float(image_damage(decode, signal, delta).mean()) for delta in (in_blocks, whole)]
    assert damage[0] == pytest.approx(damage[1], rel=1e-3)


def test_on_a_codec_of_the_zoo_some_rows_have_the_bits_of_all() -> None:
    digits = channelsim.images("mnist5k", 9)
    attack = made("ensemble", "linf", 0.5)
    fading = channelsim.Fading(coherence_s=1e-4)
    path = [fading, channelsim.AWGN(snr_db=15.0)]
    every = channelsim.attack("kld-vae", digits, attack, path=path, seed=7)
    some = channelsim.attack("kld-vae", digits[:5], attack, path=path, seed=7)
    assert torch.equal(some.perturbation, every.perturbation[:5])
    assert torch.equal(some.received, every.received[:5])


def test_the_worst_on_average_over_imagined_channels_is_not_the_worst_on_one() -> None:
    digits = channelsim.images("mnist5k", 2)
    fading = channelsim.Fading(coherence_s=1e-4)

    def damage(expectation: int) -> float:
        access = {"expectation": expectation, "channel": "none"}
        attack = made("apgd", "psr_db", -6.0, access=access, steps=5)
        sent = channelsim.attack("kld-vae", digits, attack, path=[fading], seed=7)
        return float(sent.metric("mse", against="passive").mean())

    # Both are read on the real channel, which neither has seen.
    over_two = damage(2)
    assert over_two > 0
    assert over_two != damage(0)


# --- APGD as its authors print it ---------------------------------------------------------------


def test_checkpoints_are_those_of_the_source() -> None:
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


def transcribed(decode: Any, signal: Tensor, start: Tensor, epsilon: float, steps: int) -> Tensor:
    """Algorithm 1 of Croce & Hein 2020 for one row and the box, line by line; its f_max."""

    def f(point: Tensor) -> tuple[float, Tensor]:
        leaf = point[None].clone().requires_grad_()
        value = -decode(leaf + signal).square().mean()
        (slope,) = torch.autograd.grad(value, leaf)
        return float(value.detach()), slope[0]

    def project(point: Tensor) -> Tensor:
        return point.clamp(-epsilon, epsilon)

    size, x0 = 2 * epsilon, start
    f0, g0 = f(x0)
    x1 = project(x0 + size * g0.sign())
    f1, _ = f(x1)
    most, best = max((f0, x0), (f1, x1), key=lambda one: one[0])
    values, sizes, mosts = [f0, f1], [size], {0: f0}
    previous, here = x0, x1
    marks = [0, *sorted(checkpoints(steps))]
    for k in range(1, steps):
        if k in marks:
            last = marks[marks.index(k) - 1]
            rising = sum(values[i + 1] > values[i] for i in range(last, k))
            first = rising < 0.75 * (k - last)
            second = sizes[-1] == sizes[last - 1 if last else 0] and mosts[last] == most
            mosts[k] = most
            if first or second:
                size, here, previous = size / 2, best, best
                values[-1] = most
        _, slope = f(here)
        z = project(here + size * slope.sign())
        following = project(here + 0.75 * (z - here) + 0.25 * (here - previous))
        previous, here = here, following
        value, _ = f(here)
        values.append(value)
        sizes.append(size)
        if value > most:
            most, best = value, here
    return torch.tensor(most)


def test_apgd_is_the_algorithm_of_its_authors() -> None:
    decode, signal = convolutional(6), latents(6, 6)
    attack = made("apgd", "linf", 0.7, BLACK, steps=30)
    rows = met(attack, signal, decode)
    result = searched(attack, signal, torch.full((6,), 0.7), rows, rows.knowledge)
    uniform = 2 * rows.uniform(6, "start", 0) - 1
    start = 0.7 * uniform / uniform.abs().amax(dim=1, keepdim=True)
    for row in range(6):
        most = transcribed(decode, signal[row], start[row], 0.7, 30)
        assert float(result.value[row]) == pytest.approx(float(most), rel=1e-4)


def test_apgd_does_better_than_fixed_steps_for_as_many_gradients() -> None:
    decode, signal = convolutional(8), latents(24, 8)
    for goal, sign in ((DAMAGE, 1.0), (BLACK, -1.0)):
        reached = []
        for attack in (made("apgd", "l2", 1.0, goal), made("pgd", "l2", 1.0, goal, steps=40)):
            delta = found(attack, signal, decode)
            if goal is DAMAGE:
                reached.append(float(image_damage(decode, signal, delta).mean()))
            else:
                reached.append(float(decode(signal + delta).square().mean()))
        assert sign * reached[0] > sign * reached[1]


def test_every_search_is_in_the_catalog_and_is_a_white_box() -> None:
    for kind in SEARCHES:
        assert issubclass(ADVERSARIES[kind], WhiteBoxSearch)
        assert "receiver weights" in made(kind, norm_of(kind), 0.5).knows
