"""Maximum mean discrepancy between a batch of latents and draws from the prior.

    MMD² = E k(z, z′) + E k(p, p′) − 2·E k(z, p)        (Gretton et al. 2012)

Lu & Chen (arXiv 2307.02202, equation 2) put it in place of the Kullback–Leibler term but name no
kernel; the kernel and the estimator are options here, with project defaults.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["imq", "rbf_median", "rbf_d2"]

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def squared_mmd(
    latents: Tensor, prior: Tensor, kernel: Kernel = "imq", prior_std: float = 1.0
) -> Tensor:
    """Estimate of MMD² from ``latents`` [B, d] and ``prior`` draws [B, d]; a scalar.

    ``kernel``, of the squared distance r:

    * ``imq`` (default): Σ_s sC/(sC + r), s ∈ {.1, .2, .5, 1, 2, 5, 10} and C = 2d·``prior_std``²,
      which is E r under the prior (Tolstikhin et al. 2018, "Wasserstein auto-encoders"). Its values
      lie in [0, 7].
    * ``rbf_median``: exp(−r/2σ²), σ² = median of r between latents and prior draws + median of r
      among the latents; the bandwidth itself gives no gradient (same source; medians over all
      pairs, where the published code takes the element of rank B(B−1)/2).
    * ``rbf_d2``: exp(−r/d²) (Zhao et al. 2019, "InfoVAE", released code). Since E r = 2d under the
      prior it is nearly constant for large d (d = 128: 1/64 in the exponent) and trains little.

    The first two are unbiased U-statistics, without the pairs i = j of one sample, and may be
    negative; ``rbf_d2`` keeps these pairs, as its source does, and is never negative. Computed in
    float32 at least.
    """
    if latents.shape != prior.shape or latents.ndim != 2 or len(latents) < 2:
        raise ValueError(
            f"latents {list(latents.shape)} and prior {list(prior.shape)}: squared_mmd wants two"
            " equal shapes [B, d] with B at least 2"
        )
    size, width = latents.shape
    squared = _squared_distances(latents, prior)
    if kernel == "imq":
        scale = 2.0 * width * prior_std**2
        values = torch.stack([s * scale / (s * scale + squared) for s in _SCALES]).sum(0)
    elif kernel == "rbf_median":
        values = torch.exp(-squared / (2.0 * _median_bandwidth(squared.detach(), size)))
    elif kernel == "rbf_d2":
        values = torch.exp(-squared / width**2)
    else:
        raise ValueError(f"kernel {kernel!r}: allowed are imq, rbf_median and rbf_d2")
    within = values[:size, :size].sum() + values[size:, size:].sum()
    across = values[:size, size:].mean()
    if kernel == "rbf_d2":
        return within / size**2 - 2.0 * across
    own = values.diagonal().sum()  # constant: every point at distance 0 from itself
    return (within - own) / (size * (size - 1)) - 2.0 * across


def _squared_distances(latents: Tensor, prior: Tensor) -> Tensor:
    """‖·‖² between all 2B points, [2B, 2B], zero on the diagonal."""
    dtype = torch.promote_types(latents.dtype, torch.float32)
    with torch.autocast(latents.device.type, enabled=False):
        points = torch.cat([latents.to(dtype), prior.to(dtype)])
        # ‖a‖² + ‖b‖² − 2ab cancels badly far from the origin; distances are invariant to shifts.
        points = points - points.detach().mean(0)
        lengths = points.square().sum(1)
        squared = lengths[:, None] + lengths[None, :] - 2.0 * points @ points.T
        own = torch.eye(len(points), dtype=torch.bool, device=points.device)
        return squared.masked_fill(own, 0.0).clamp_min(0.0)


def _median_bandwidth(squared: Tensor, size: int) -> Tensor:
    rows, columns = torch.triu_indices(size, size, offset=1, device=squared.device)
    among = squared[:size, :size][rows, columns].median()
    bandwidth = squared[:size, size:].median() + among
    # Identical points everywhere: any bandwidth gives a discrepancy of zero.
    return bandwidth.clamp_min(torch.finfo(squared.dtype).tiny)
