"""Noise as an adversary, and the matched control of an attack."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.known_decoders import LinearDecoder, image_damage, latents, meet
from pydantic import TypeAdapter, ValidationError

from channelsim.adversaries import ADVERSARIES, PGD, Noise, matched_control
from channelsim.contracts import records
from channelsim.contracts.adversary import Budget

DECODE = LinearDecoder((3.0, 1.5, 1.0, 0.5))
N, K = 4000, 4


def noise(law: str, norm: str, epsilon: float = 0.5, **fields) -> Noise:
    return Noise(law=law, budget=Budget(norm=norm, epsilon=epsilon), **fields)


def delta_of(jammer: Noise, signal: torch.Tensor, **kwargs) -> torch.Tensor:
    found = jammer.attack(signal, meet(jammer, signal, DECODE, **kwargs))
    assert set(found.verdict) == {records.OK}
    return found.delta


# --- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["gaussian", "signs"])
def test_noise_in_an_l2_budget_uses_all_of_it(law):
    delta = delta_of(noise(law, "l2"), latents(N, K))
    assert delta.norm(dim=1).numpy() == pytest.approx(np.full(N, 0.5), rel=1e-6)


def test_noise_in_a_psr_budget_has_that_psr_whatever_the_row():
    signal = latents(64, K) * torch.logspace(-2, 2, 64)[:, None]
    delta = delta_of(noise("gaussian", "psr_db", -7.0), signal, power=3.0)
    measured = 10 * torch.log10(delta.square().sum(1) / (K * 3.0))
    assert measured.numpy() == pytest.approx(np.full(64, -7.0), abs=1e-3)


def test_noise_in_a_box_reaches_its_walls_or_fills_it():
    signal = latents(N, K)
    assert torch.equal(delta_of(noise("signs", "linf"), signal).abs(), torch.full((N, K), 0.5))
    largest = delta_of(noise("gaussian", "linf"), signal).abs().amax(1)
    assert largest.numpy() == pytest.approx(np.full(N, 0.5), rel=1e-6)
    inside = delta_of(noise("uniform", "linf"), signal)
    assert inside.abs().max() <= 0.5
    assert inside.mean().item() == pytest.approx(0, abs=4 * 0.5 / (3 * N * K) ** 0.5)
    assert inside.square().mean().item() == pytest.approx(0.25 / 3, rel=0.03)


def test_uniform_noise_fills_the_ball_evenly():
    radius = delta_of(noise("uniform", "l2"), latents(N, K)).norm(dim=1) / 0.5
    # Uniform in a K-ball: r^K is uniform in [0, 1].
    share = np.sort((radius**K).numpy())
    distance = np.abs(share - (np.arange(N) + 0.5) / N).max()
    assert distance < 1.95 / N**0.5  # Kolmogorov–Smirnov at a level of 0.001


def test_gaussian_noise_has_no_preferred_direction():
    delta = delta_of(noise("gaussian", "l2"), latents(N, K)).double()
    covariance = delta.T @ delta / N
    assert covariance.numpy() == pytest.approx(np.eye(K) * 0.25 / K, abs=0.004)


def test_mean_damage_of_noise_is_energy_times_mean_eigenvalue():
    signal = latents(N, K)
    damage = image_damage(DECODE, signal, delta_of(noise("gaussian", "l2"), signal))
    mean_eigenvalue = (9.0 + 2.25 + 1.0 + 0.25) / 4
    assert damage.mean().item() == pytest.approx(0.25 * mean_eigenvalue, rel=0.04)


# --- draws --------------------------------------------------------------------------------------


def test_draws_belong_to_seed_name_and_message_and_to_nothing_else():
    jammer, signal = noise("gaussian", "l2"), latents(16, K)
    home = delta_of(jammer, signal)
    order = np.random.default_rng(1).permutation(16)
    assert torch.equal(delta_of(jammer, signal[order], message=order), home[order])
    assert torch.equal(delta_of(jammer, 9 * signal[3:4], message=np.array([3])), home[3:4])
    assert not torch.equal(delta_of(jammer, signal, seed=8), home)
    renamed = dataclasses.replace(jammer, name="mallory")
    assert not torch.equal(delta_of(renamed, signal), home)


def test_a_louder_budget_is_the_same_noise_louder():
    signal = latents(16, K)
    quiet = delta_of(noise("gaussian", "l2", 0.1), signal)
    loud = delta_of(noise("gaussian", "l2", 0.4), signal)
    assert torch.allclose(loud, 4 * quiet, rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "psr_db"])
def test_noise_without_budget_is_off(norm):
    nothing = float("-inf") if norm == "psr_db" else 0.0
    jammer = noise("gaussian", norm, nothing)
    found = jammer.attack(latents(5, K), meet(jammer, latents(5, K), DECODE))
    assert list(found.verdict) == [records.OFF] * 5
    assert not found.delta.any()


def test_noise_needs_no_knowledge_and_its_law_is_checked():
    assert noise("signs", "linf").threat["knowledge"] == []
    assert ADVERSARIES["noise"] is Noise
    with pytest.raises(ValidationError, match="'gaussian', 'uniform', 'signs' or 'tone'"):
        TypeAdapter(Noise).validate_python(
            {"law": "pink", "budget": {"norm": "l2", "epsilon": 1.0}}
        )


# --- the control --------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2", "psr_db"])
def test_the_control_has_exactly_the_norm_of_the_attack(norm):
    signal = latents(64, K)
    attack = PGD(goal={"kind": "damage"}, budget=Budget(norm=norm, epsilon=0.3))
    rows = meet(attack, signal, DECODE)
    delta = attack.attack(signal, rows).delta
    control = matched_control(delta, attack.budget.ball, rows)
    assert control.norm(dim=1).numpy() == pytest.approx(delta.norm(dim=1).numpy(), rel=1e-6)
    assert not torch.allclose(control, delta)
    if norm == "linf":
        assert (control.abs() <= 0.3 * (1 + 1e-6)).all()


def test_the_control_of_a_corner_attack_is_random_corners():
    signal = latents(500, K)
    jammer = noise("signs", "linf", 0.3)
    rows = meet(jammer, signal, DECODE)
    delta = jammer.attack(signal, rows).delta
    control = matched_control(delta, "linf", rows)
    assert control.abs().numpy() == pytest.approx(np.full((500, K), 0.3), rel=1e-6)
    assert (control > 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    agreement = (control.sign() == delta.sign()).float().mean().item()
    assert agreement == pytest.approx(0.5, abs=0.05)  # its signs are not the attack's


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_where_nothing_is_injected_the_control_injects_nothing(ball):
    delta = torch.zeros(3, K)
    delta[1] = 0.2
    jammer = noise("gaussian", ball)
    control = matched_control(delta, ball, meet(jammer, delta, DECODE))
    assert not control[[0, 2]].any()
    assert control[1].norm().item() == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_the_control_of_a_row_does_not_care_where_it_stands(ball):
    jammer, delta = noise("gaussian", ball), latents(32, K)
    home = matched_control(delta, ball, meet(jammer, delta, DECODE))
    order = np.random.default_rng(2).permutation(32)
    moved = matched_control(delta[order], ball, meet(jammer, delta[order], DECODE, message=order))
    assert torch.equal(moved, home[order])
