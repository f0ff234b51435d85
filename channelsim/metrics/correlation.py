"""Densities of an encoder's posteriors, and the total correlation of their average.

The aggregate posterior of N images is q(z) = (1/N)·Σ_k q(z|x_k), each q(z|x_k) a Gaussian with
diagonal covariance; its total correlation is KL(q(z) ‖ Π_j q(z_j)).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LOG_TWO_PI = math.log(2.0 * math.pi)


def gaussian_log_density(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; μ, σ²) value by value, in nats; shapes broadcast."""
    squared = (latent - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + _LOG_TWO_PI)


def pairwise_log_density(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z_ij | x_k) [B, M, d] of ``latent`` [B, d] under posteriors [M, d], in nats."""
    return gaussian_log_density(latent[:, None], mean[None], log_variance[None])


def aggregate_total_correlation(
    mean: Tensor, log_variance: Tensor, *, draws: int = 4, block: int = 64, seed: int = 0
) -> float:
    """Total correlation of the aggregate posterior of N images, in nats; 0 if independent.

    ``mean``, ``log_variance``: [N, d], of the whole data set, so log q(z) and log q(z_j) are exact
    and only the expectation over z ~ q is an average: over ``draws`` (4) latents per image, from
    ``seed``. ``block``: latents at a time, which affects memory alone. A codec that is not
    variational has no density here. The defaults are the project's.
    """
    count = len(mean)
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = mean.double(), log_variance.double()
    total = 0.0
    for _ in range(draws):
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        for rows in torch.split(latent, block):
            density = pairwise_log_density(rows, mean, log_variance)
            joint = torch.logsumexp(density.sum(2), dim=1) - math.log(count)
            marginals = (torch.logsumexp(density, dim=1) - math.log(count)).sum(1)
            total += float((joint - marginals).sum())
    return total / (draws * count)
