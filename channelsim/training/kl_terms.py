"""The three terms into which β-TCVAE decomposes the Kullback–Leibler term.

    E KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ Π_j q(z_j)) + Σ_j KL(q(z_j) ‖ p(z_j))

mutual information, total correlation and dimension-wise divergence (Chen et al. 2018,
arXiv 1802.04942). The aggregate q(z) over all N images is estimated from the B posteriors of one
batch, log q(z_i) ≈ log Σ_k W_ik·q(z_i|x_k), and per dimension alike.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from channelsim.metrics.correlation import gaussian_log_density, pairwise_log_density

Estimator = Literal["mws", "mss", "mss_released"]


class TotalCorrelationTerms(NamedTuple):
    """Scalars in nats, averaged over the batch; they add up to E[log q(z|x) − log p(z)]."""

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_kl: Tensor


def total_correlation_terms(
    latent: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    n_data: int,
    estimator: Estimator = "mws",
) -> TotalCorrelationTerms:
    """Estimate the three terms from ``latent`` [B, d], z_i drawn from N(mean_i, variance_i).

    ``n_data``: N, images in the training set. ``estimator``: the weights, see
    `importance_weights`. With ``mws`` the total correlation is (d − 1)·log N too high, a constant
    without gradient (and the mutual information log N and the dimension-wise term −d·log N off to
    match); with ``mss`` q(z_i) itself is unbiased.
    """
    batch = len(latent)
    log_weights = importance_weights(batch, n_data, estimator).log()
    log_weights = log_weights.to(dtype=latent.dtype, device=latent.device)
    density = pairwise_log_density(latent, mean, log_variance)
    joint = torch.logsumexp(density.sum(2) + log_weights, dim=1)
    marginals = torch.logsumexp(density + log_weights[:, :, None], dim=1).sum(1)
    posterior = gaussian_log_density(latent, mean, log_variance).sum(1)
    nothing = torch.zeros_like(latent)
    prior = gaussian_log_density(latent, nothing, nothing).sum(1)
    return TotalCorrelationTerms(
        mutual_information=(posterior - joint).mean(),
        total_correlation=(joint - marginals).mean(),
        dimension_kl=(marginals - prior).mean(),
    )


@functools.lru_cache(maxsize=16)
def importance_weights(batch: int, n_data: int, estimator: Estimator) -> Tensor:
    """W [B, B], float64: the weight of posterior k in the aggregate at z_i.

    * ``mws`` (minibatch weighted sampling): 1/(B·N) everywhere.
    * ``mss`` (minibatch stratified sampling): 1/N for k = i, since x_i is surely in the data set;
      (N − M)/(N·M) for the next image, M = B − 1; 1/M for the others. Rows sum to 1.
    * ``mss_released``: the same three numbers as the published code and its many copies place
      them, in the first two columns instead of on the diagonals. Wrong, and kept for comparison
      with results that were made with it.
    """
    if not 2 <= batch <= n_data:
        raise ValueError(f"batch {batch}: must hold from 2 to n_data = {n_data} images")
    with torch.inference_mode(False), torch.no_grad():
        if estimator == "mws":
            return torch.full((batch, batch), 1.0 / (batch * n_data), dtype=torch.float64)
        others = batch - 1
        share = (n_data - others) / (n_data * others)
        matrix = torch.full((batch, batch), 1.0 / others, dtype=torch.float64)
        if estimator == "mss":
            rows = torch.arange(batch)
            matrix[rows, rows] = 1.0 / n_data
            matrix[rows, (rows + 1) % batch] = share
        elif estimator == "mss_released":
            matrix[:, 0] = 1.0 / n_data
            matrix[:, 1] = share
            matrix[others - 1, 0] = share
        else:
            raise ValueError(f"estimator {estimator!r}: allowed are mws, mss and mss_released")
        return matrix
