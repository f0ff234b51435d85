"""The differentiable Shapiro–Wilk statistic: against scipy, against its invariances, as a loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import Tensor

from channelsim.training.normality import (
    moment_penalty,
    shapiro_loss,
    shapiro_w,
    statistic,
    threshold,
    view_count,
    weights,
    whiten,
)


def normals(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(size: int, seed: int = 5) -> Tensor:
    return torch.linalg.qr(normals(size, size, seed=seed)).Q


# --- W of one column ----------------------------------------------------------------------------

LAWS = {
    "normal": stats.norm,
    "uniform": stats.uniform,
    "exponential": stats.expon,
    "heavy tails": stats.t(3),
    "two humps": stats.beta(0.4, 0.4),
}


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 8, 20, 64, 128, 1000])
@pytest.mark.parametrize("law", LAWS)
def test_w_is_scipys_w(n, law):
    samples = LAWS[law].rvs(size=(n, 4), random_state=np.random.default_rng(n))
    expected = [stats.shapiro(column).statistic for column in samples.T]
    found = shapiro_w(torch.from_numpy(samples))
    assert found.numpy() == pytest.approx(expected, abs=1e-7)
    rough = shapiro_w(torch.from_numpy(samples).float())
    assert rough.dtype == torch.float32
    assert rough.numpy() == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 64, 500])
def test_weights_are_antisymmetric_of_length_one_and_rising(n):
    a = weights(n)
    assert a.dtype == torch.float64
    assert torch.equal(a, -a.flip(0))
    assert float(a.square().sum()) == pytest.approx(1.0, abs=1e-12)
    assert bool((a.diff() > 0).all())


def test_a_column_equal_to_the_weights_reaches_one():
    """Cauchy–Schwarz: W = 1 only there, which is more regular than any normal sample."""
    assert float(shapiro_w(weights(32)[:, None])[0]) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_its_gradient_is_that_of_finite_differences(n):
    assert torch.autograd.gradcheck(shapiro_w, (normals(n, 3).requires_grad_(),))


def test_shift_and_scale_do_not_matter_and_the_gradient_knows():
    columns = normals(64, 3).exp().requires_grad_()
    found = shapiro_w(columns)
    for scale, shift in ((1e-3, 0.0), (250.0, -7.0), (-1.0, 3.0)):
        assert torch.allclose(shapiro_w(scale * columns + shift), found, rtol=0, atol=1e-10)
    (gradient,) = torch.autograd.grad(found.sum(), columns)
    centred = columns - columns.mean(0)
    assert torch.allclose(gradient.sum(0), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    along = (gradient * centred).sum(0)
    assert torch.allclose(along, torch.zeros(3, dtype=torch.float64), atol=1e-12)


def test_float32_keeps_w_where_the_mean_is_a_thousand_deviations_away():
    columns = normals(64, 5)
    far = shapiro_w((columns + 1000.0).float())
    assert far.numpy() == pytest.approx(shapiro_w(columns).numpy(), abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, -300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_column_has_w_near_zero_and_no_nan(value, dtype):
    columns = torch.full((50, 1), value, dtype=dtype, requires_grad=True)
    found = shapiro_w(columns)
    (gradient,) = torch.autograd.grad(found.sum(), columns)
    assert 0.0 <= float(found[0].detach()) < 0.6
    assert bool(torch.isfinite(gradient).all())
    if value == 0.0:
        assert float(found[0].detach()) == 0.0
        assert float(gradient.abs().max()) == 0.0


def test_weights_made_in_inference_mode_serve_gradients_afterwards():
    weights.cache_clear()
    with torch.inference_mode():
        shapiro_w(torch.arange(11.0)[:, None])
    columns = torch.arange(11.0)[:, None].requires_grad_()
    shapiro_w(columns).sum().backward()
    assert columns.grad is not None


# --- several dimensions -------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", ["mean", "min"])
def test_marginal_is_w_of_the_coordinates(reduce):
    latents = normals(40, 6).exp()
    found = [stats.shapiro(column).statistic for column in latents.T.numpy()]
    expected = np.mean(found) if reduce == "mean" else min(found)
    assert float(statistic(latents, "marginal", reduce=reduce)) == pytest.approx(expected, abs=1e-7)


def sliced(latents: Tensor, draws: int, directions: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack(
        [statistic(latents, directions=directions, generator=generator) for _ in range(draws)]
    )


def test_sliced_w_does_not_know_a_rotation_where_marginal_w_does():
    """Over directions uniform on the sphere a rotation changes nothing in distribution."""
    latents = torch.sign(normals(64, 4)) + 0.1 * normals(64, 4, seed=1)  # two humps on each axis
    turned = latents @ torch.from_numpy(linalg.hadamard(4) / 2.0)
    gap = statistic(latents, "marginal") - statistic(turned, "marginal")
    assert float(gap) < -0.1
    plain, rotated = sliced(latents, 1500, 1), sliced(turned, 1500, 1)
    assert stats.ks_2samp(plain.numpy(), rotated.numpy()).pvalue > 0.01
    assert float(plain.mean() - rotated.mean()) == pytest.approx(0.0, abs=0.01)


def test_directions_are_drawn_anew_and_at_most_ten_unless_told():
    """All six views of six values: another rotation at each draw, so another W̄."""
    latents = normals(64, 6).exp()
    found = sliced(latents, 3, 6)
    assert len(set(found.tolist())) == 3
    assert view_count(128, "sliced") == 10
    assert view_count(6, "sliced") == 6
    assert view_count(128, "sliced", 20) == 20
    assert view_count(128, "marginal") == 128


def test_equal_generators_look_along_equal_directions():
    latents = normals(30, 12)
    twice = [
        statistic(latents, generator=torch.Generator().manual_seed(3)).item() for _ in range(2)
    ]
    assert twice[0] == twice[1]


def test_sliced_sees_dependence_to_which_marginal_is_blind():
    """Signs flipped together: every coordinate exactly normal, their sum far from it."""
    base = normals(400, 1)
    signs = torch.where(normals(400, 1, seed=9) > 0, 1.0, -1.0).double()
    latents = torch.cat([base, base * signs], dim=1)
    level = float(statistic(normals(400, 2, seed=2), "marginal"))
    assert float(statistic(latents, "marginal")) > level - 0.01
    assert float(sliced(latents, 50, 1).mean()) < level - 0.02


def test_whitened_has_unit_covariance_from_a_symmetric_root():
    mixing = normals(5, 5, seed=3)
    latents = normals(200, 5) @ mixing + 4.0
    white = whiten(latents)
    scatter = white.T @ white
    assert torch.allclose(
        scatter / scatter[0, 0], torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9
    )
    covariance = torch.cov(latents.T)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ torch.diag(values**-0.5) @ vectors.T
    expected = (latents - latents.mean(0)) @ root
    scale = expected.norm() / white.norm()
    assert torch.allclose(scale * white, expected, atol=1e-8)


def test_whitened_ignores_shift_and_scale_and_turns_with_the_latents():
    """The symmetric root of R·S·Rᵀ is R·S^½·Rᵀ, so whitened latents turn as the latents did."""
    latents = normals(60, 5).exp() @ normals(5, 5, seed=3)
    found = float(statistic(latents, "whitened"))
    assert float(statistic(-40.0 * latents + 7.0, "whitened")) == pytest.approx(found, abs=1e-10)
    turn = rotation(5)
    turned = float(statistic(latents @ turn, "whitened"))
    assert turned == pytest.approx(float(shapiro_w(whiten(latents) @ turn).mean()), abs=1e-10)


def test_whitened_has_one_law_under_normality_whatever_the_covariance():
    mixing = normals(4, 4, seed=8) @ torch.diag(torch.tensor([10.0, 3.0, 1.0, 0.1]).double())
    plain = [float(statistic(normals(24, 4, seed=s), "whitened")) for s in range(300)]
    mixed = [
        float(statistic(normals(24, 4, seed=9000 + s) @ mixing - 2.0, "whitened"))
        for s in range(300)
    ]
    assert stats.ks_2samp(plain, mixed).pvalue > 0.01


def test_whitened_has_a_finite_gradient_where_an_eigendecomposition_has_none():
    """A covariance that is a multiple of the identity: all eigenvalues equal."""
    corners = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    latents = (corners.double() + 0.0).requires_grad_()
    statistic(latents, "whitened").backward()
    assert latents.grad is not None
    assert bool(torch.isfinite(latents.grad).all())
    smooth = normals(9, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: statistic(z, "whitened"), (smooth,), atol=1e-4)


def test_a_dead_latent_costs_its_share_and_breaks_nothing():
    latents = normals(64, 4).float()
    latents[:, 2] = 0.0
    latents.requires_grad_()
    for mode in ("marginal", "whitened", "sliced"):
        found = statistic(latents, mode, generator=torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad(found, latents)
        assert bool(torch.isfinite(gradient).all())
        if mode != "sliced":
            assert float(found.detach()) == pytest.approx(0.98 * 3 / 4, abs=0.02)


# --- the loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "floor"), [(16, 0.0557), (64, 0.0193), (256, 0.0059)])
def test_normal_samples_leave_a_known_floor(n, floor):
    """E(1 − W) under normality: independent of this code, from scipy on other samples."""
    generator = np.random.default_rng(1)
    reference = [1 - stats.shapiro(generator.normal(size=n)).statistic for _ in range(3000)]
    assert np.mean(reference) == pytest.approx(floor, rel=0.05)
    latents = normals(n, 3000)
    assert float(shapiro_loss(latents, "marginal")) == pytest.approx(floor, rel=0.05)


@pytest.mark.parametrize("n", [8, 64, 128])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_threshold_of_one_column_is_roystons_quantile(n, alpha):
    """scipy's p-value (a fitted law of Royston's) at T_α; a column with that W is interpolated."""
    generator = np.random.default_rng(n)
    samples = generator.normal(size=(20000, n))
    found = shapiro_w(torch.from_numpy(samples.T)).numpy()
    assert np.mean(found < threshold(alpha, n)) == pytest.approx(alpha, abs=0.01)
    nearest = np.argmin(np.abs(found - threshold(alpha, n)))
    assert stats.shapiro(samples[nearest]).pvalue == pytest.approx(alpha, abs=0.02)


@pytest.mark.parametrize("reduce", ["mean", "min"])
@pytest.mark.parametrize("mode", ["sliced", "marginal", "whitened"])
def test_a_hinge_of_level_alpha_bites_on_that_share_of_normal_batches(mode, reduce):
    """For every mode and reduction; whitening makes its columns a little more alike."""
    generator = torch.Generator().manual_seed(4)
    costs = [
        float(
            shapiro_loss(
                torch.randn(64, 5, generator=generator),
                mode,
                reduce=reduce,
                hinge_alpha=0.2,
                generator=generator,
            )
        )
        for _ in range(500)
    ]
    assert min(costs) == 0.0
    assert np.mean(np.array(costs) > 0) == pytest.approx(0.2, abs=0.05)


def test_the_threshold_is_the_same_number_every_time():
    first = threshold(0.05, 32, 4)
    threshold.cache_clear()
    assert threshold(0.05, 32, 4) == first
    assert threshold(0.05, 32, 4, "min") < threshold(0.05, 32) < first < threshold(0.5, 32, 4)


def test_descending_the_loss_makes_a_skewed_batch_normal_and_no_more_with_a_hinge():
    def descend(hinge: float | None) -> Tensor:
        latents = normals(64, 3).exp().requires_grad_()
        optimiser = torch.optim.Adam([latents], lr=0.02, betas=(0.5, 0.9))
        generator = torch.Generator().manual_seed(2)
        for _ in range(300):
            optimiser.zero_grad()
            shapiro_loss(latents, hinge_alpha=hinge, generator=generator).backward()
            optimiser.step()
        return statistic(latents.detach(), generator=generator)

    assert float(statistic(normals(64, 3).exp())) < 0.8
    free, hinged = float(descend(None)), float(descend(0.05))
    assert free > 1 - 0.0193 + 0.008  # more regular than normal samples, which the hinge prevents
    assert threshold(0.05, 64, 3) - 0.005 < hinged < free - 0.003


def test_the_moment_penalty_is_its_formula_and_its_expectation():
    latents = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]])  # means 3, 1; variances 4, 3
    assert float(moment_penalty(latents)) == pytest.approx(9 + 1 + 9 + 4)
    found = [float(moment_penalty(normals(20, 6, seed=seed))) for seed in range(4000)]
    assert np.mean(found) == pytest.approx(6 / 20 + 2 * 6 / 19, rel=0.03)


def test_impossible_requests_are_refused_in_words():
    with pytest.raises(ValueError, match="batch of 64 cannot whiten 128 latent values"):
        statistic(torch.zeros(64, 128), "whitened")
    with pytest.raises(ValueError, match="batch of 10 cannot whiten 10"):
        statistic(normals(10, 10), "whitened")
    with pytest.raises(ValueError, match="at least 3"):
        shapiro_w(torch.zeros(2, 1))
    with pytest.raises(ValueError, match="room for 1 to 4"):
        statistic(normals(8, 4), directions=5)
    with pytest.raises(ValueError, match="allowed are sliced"):
        statistic(normals(8, 4), "joint")
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(1.0, 8)
    assert math.isfinite(float(statistic(normals(11, 10), "whitened")))
