"""β-TCVAE's three terms: weights, identities, and exact values of a small data set."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import qmc
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from channelsim.metrics.correlation import (
    aggregate_total_correlation,
    gaussian_log_density,
    pairwise_log_density,
)
from channelsim.training.kl_terms import importance_weights, total_correlation_terms
from channelsim.training.objectives import kl_to_standard_normal

ESTIMATORS = ["mws", "mss", "mss_released"]


def posteriors(count: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Means correlated across dimensions, and log variances."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, d, generator=generator, dtype=torch.float64)
    mean = mean + 0.8 * mean[:, :1]
    spread = 0.3 * torch.randn(count, d, generator=generator, dtype=torch.float64)
    return mean, spread - 0.3


def drawn(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    return mean + torch.exp(0.5 * log_variance) * noise


# --- densities ----------------------------------------------------------------------------------


def test_densities_and_kl_are_those_of_torch_distributions():
    mean, log_variance = posteriors(7, 3)
    laws = Normal(mean, torch.exp(0.5 * log_variance))
    latent = drawn(mean, log_variance, torch.Generator().manual_seed(1))
    assert torch.allclose(gaussian_log_density(latent, mean, log_variance), laws.log_prob(latent))
    pairs = pairwise_log_density(latent[:4], mean, log_variance)
    assert pairs.shape == (4, 7, 3)
    assert torch.allclose(pairs, laws.log_prob(latent[:4, None]))
    standard = Normal(torch.zeros(3).double(), torch.ones(3).double())
    expected = kl_divergence(laws, standard).sum(1).mean()
    assert torch.allclose(kl_to_standard_normal(mean, log_variance), expected)


# --- the weights --------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "total"), [(2, 2), (2, 100), (8, 8), (8, 500), (64, 60000)])
def test_stratified_weights_lie_on_the_diagonals_and_rows_sum_to_one(batch, total):
    weights = importance_weights(batch, total, "mss")
    assert torch.allclose(weights.sum(1), torch.ones(batch, dtype=torch.float64))
    assert torch.allclose(weights.diagonal(), torch.tensor(1 / total).double())
    if batch > 2:
        # Every row is the row above it, shifted by one: all images are treated alike.
        assert torch.equal(weights[1:, 1:], weights[:-1, :-1])
        others = batch - 1
        share = (total - others) / (total * others)
        assert float(weights[0, 1]) == float(weights[batch - 1, 0]) == pytest.approx(share)
        assert float(weights[0, 2]) == pytest.approx(1 / others)


def test_released_weights_fill_two_columns_and_one_row_no_longer_sums_to_one():
    """As in the published code, flat index 0, B, 2B … and 1, B + 1 …, then row B − 2 once more."""
    batch, total = 6, 300
    expected = torch.full((batch, batch), 1 / 5, dtype=torch.float64)
    share = (total - 5) / (total * 5)
    expected.view(-1)[::batch] = 1 / total
    expected.view(-1)[1::batch] = share
    expected[4, 0] = share
    weights = importance_weights(batch, total, "mss_released")
    assert torch.equal(weights, expected)
    sums = weights.sum(1)
    assert torch.allclose(sums[:4], torch.ones(4, dtype=torch.float64))
    assert float(sums[4]) > 1.1
    assert float((weights.diagonal() - 1 / total).abs().max()) > 0.1


def test_minibatch_weights_are_flat():
    weights = importance_weights(4, 50, "mws")
    assert torch.equal(weights, torch.full((4, 4), 1 / 200, dtype=torch.float64))


def test_stratified_weights_make_q_unbiased_over_all_batches():
    """All batches of three from five images, z a draw of the first's posterior."""
    import itertools

    mean, log_variance = posteriors(5, 2)
    latent = drawn(mean, log_variance, torch.Generator().manual_seed(1))[:1]
    density = pairwise_log_density(latent, mean, log_variance).sum(2).exp()[0]
    weights = importance_weights(3, 5, "mss")[0]
    others = list(itertools.permutations(range(1, 5), 2))
    found = sum(float(weights @ density[[0, a, b]]) for a, b in others) / len(others)
    assert found == pytest.approx(float(density.mean()), rel=1e-12)


@pytest.mark.parametrize(("batch", "total"), [(1, 10), (11, 10)])
def test_batches_that_cannot_be_are_refused(batch, total):
    with pytest.raises(ValueError, match=f"must hold from 2 to n_data = {total}"):
        importance_weights(batch, total, "mss")
    with pytest.raises(ValueError, match="allowed are mws"):
        importance_weights(2, 10, "exact")


# --- the terms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_three_terms_add_up_to_the_divergence_from_the_prior(estimator):
    """Whatever the weights: they only move nats between the terms."""
    mean, log_variance = posteriors(16, 4)
    latent = drawn(mean, log_variance, torch.Generator().manual_seed(1))
    terms = total_correlation_terms(latent, mean, log_variance, 1000, estimator)
    laws = Normal(mean, torch.exp(0.5 * log_variance))
    expected = (laws.log_prob(latent) - Normal(0.0, 1.0).log_prob(latent)).sum(1).mean()
    assert torch.allclose(sum(terms), expected)


def plain_total_correlation(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """With q the plain mean over the batch."""
    density = pairwise_log_density(latent, mean, log_variance)
    size = math.log(len(latent))
    joint = torch.logsumexp(density.sum(2), 1) - size
    return (joint - (torch.logsumexp(density, 1) - size).sum(1)).mean()


def test_weighted_tc_is_the_plain_batch_mean_plus_a_constant_with_equal_gradients():
    d, total = 5, 60000
    mean, log_variance = (value.requires_grad_() for value in posteriors(16, d))
    noise = torch.randn(16, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    latent = mean + torch.exp(0.5 * log_variance) * noise
    weighted = total_correlation_terms(latent, mean, log_variance, total, "mws").total_correlation
    plain = plain_total_correlation(latent, mean, log_variance)
    assert float((weighted - plain).detach()) == pytest.approx((d - 1) * math.log(total))
    inputs = (mean, log_variance)
    ours = torch.autograd.grad(weighted, inputs, retain_graph=True)
    theirs = torch.autograd.grad(plain, inputs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_stratified_tc_finds_the_truth_and_the_released_placing_misses_it():
    """300 images of broad posteriors, batches of 32, against the aggregate's own value."""
    mean, log_variance = posteriors(300, 2)
    log_variance = log_variance + 1.0
    truth = aggregate_total_correlation(mean, log_variance, draws=40, block=300)
    generator = torch.Generator().manual_seed(3)
    found: dict[str, list[float]] = {"mss": [], "mss_released": []}
    for _ in range(2000):
        chosen = torch.randperm(300, generator=generator)[:32]
        m, v = mean[chosen], log_variance[chosen]
        latent = drawn(m, v, generator)
        for estimator, values in found.items():
            terms = total_correlation_terms(latent, m, v, 300, estimator)
            values.append(float(terms.total_correlation))
    right, released = (sum(values) / len(values) for values in found.values())
    assert right == pytest.approx(truth, rel=0.1)
    assert released > 1.1 * truth


def test_tc_of_a_correlated_gaussian_aggregate_is_its_closed_form():
    """Means from N(0, A), posterior variances v: the aggregate tends to N(0, S), S = A + v·I."""
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.3, -0.4, 0.9]]).double()
    even = qmc.Sobol(3, seed=0).random(1024)  # a finite sample, but spread as evenly as can be
    means = torch.special.ndtri(torch.from_numpy(even)) @ mixing.T
    s = mixing @ mixing.T + 0.5 * torch.eye(3, dtype=torch.float64)
    expected = 0.5 * float(s.diagonal().log().sum() - torch.logdet(s))
    log_variance = torch.full_like(means, math.log(0.5))
    found = aggregate_total_correlation(means, log_variance, draws=8, block=128)
    assert expected > 0.15
    assert found == pytest.approx(expected, rel=0.05)


def test_tc_of_a_grid_of_independent_codes_is_zero():
    axis = torch.linspace(-2, 2, 12).double()
    mean = torch.cartesian_prod(axis, axis)
    found = aggregate_total_correlation(mean, torch.full_like(mean, -3.0))
    assert found == pytest.approx(0.0, abs=1e-10)
