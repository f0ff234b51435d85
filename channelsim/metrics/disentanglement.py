"""Disentanglement: the separation of known factors of images in a codec's latent values.

Synthetic images of one bright square replace the data, because only synthetic data have known
factors: a full grid over horizontal place, vertical place, size and brightness. Two figures:

* mutual information gap (MIG; Chen et al. 2018, arXiv 1802.04942): for each factor v_k, the
  information in the best latent value minus the runner-up's,
  (I(z_j*; v_k) − max_{j≠j*} I(z_j; v_k))/H(v_k), averaged over the factors; 1 if every factor is
  in one latent value alone, 0 if always two have equal information;
* total correlation of the aggregate posterior (see `correlation`).

A codec trained on digits meets squares it has never seen: compare codecs with each other, not with
figures of codecs trained on such grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from channelsim.contracts.parts import Codec
from channelsim.metrics.correlation import aggregate_total_correlation, gaussian_log_density

FACTORS = ("x", "y", "size", "brightness")
_COUNTS = (8, 8, 4, 4)
_BINS = 20
_ROWS = 256


@dataclass(frozen=True)
class MadeFactors:
    """``images`` [N, C, H, W] in [0, 1] and their factor values ``factors`` [N, 4], int64."""

    images: Tensor
    factors: Tensor


@dataclass(frozen=True)
class Disentanglement:
    """``mig`` ∈ [0, 1], ``by_factor`` its summands, ``information`` I(z_j; v_k) [K, 4] in nats.

    ``total_correlation`` of the aggregate posterior over the synthetic images, in nats; None for a
    codec without a posterior.
    """

    mig: float
    by_factor: dict[str, float]
    information: Tensor
    total_correlation: float | None


def made_factors(image_shape: tuple[int, int, int] = (1, 32, 32)) -> MadeFactors:
    """One square on black at every one of 8 × 8 places, 4 sizes and 4 brightnesses: 1,024 images.

    Its side is 4, 6, 8 or 10 thirty-seconds of the image's shorter side, its brightness ¼, ½, ¾ or
    1 in every colour, and it is never cut off. Edges between pixels are drawn by their share of the
    pixel, so places need not be whole pixels. All numbers are the project's choice.
    """
    colours, height, width = image_shape
    factors = torch.cartesian_prod(*(torch.arange(count) for count in _COUNTS))
    x, y, size, brightness = factors.double().T
    unit = min(height, width) / 32
    side = (4 + 2 * size) * unit
    across = _coverage(_centre(x, _COUNTS[0], width, 10 * unit), side, width)
    down = _coverage(_centre(y, _COUNTS[1], height, 10 * unit), side, height)
    square = down[:, :, None] * across[:, None, :] * ((1 + brightness) / 4)[:, None, None]
    images = square[:, None].expand(-1, colours, -1, -1).float().contiguous()
    return MadeFactors(images, factors)


def _centre(place: Tensor, count: int, length: int, widest: float) -> Tensor:
    return widest / 2 + (length - widest) * place / (count - 1)


def _coverage(centre: Tensor, side: Tensor, length: int) -> Tensor:
    """Share of each pixel that lies in the interval, [N, length]."""
    left = torch.arange(length, dtype=torch.float64)[None, :]
    low, high = (centre - side / 2)[:, None], (centre + side / 2)[:, None]
    return (torch.minimum(left + 1, high) - torch.maximum(left, low)).clamp(0, 1)


def disentanglement(
    codec: Codec, made: MadeFactors | None = None, *, seed: int = 0
) -> Disentanglement:
    """MIG and total correlation of ``codec`` on ``made`` (default: `made_factors` of its shape).

    A variational codec's information is that of draws of its posterior, as in Chen et al.; any
    other codec's is that of its latent values in 20 bins (`binned_information`). The two are not
    comparable.
    """
    made = made_factors(cast(tuple[int, int, int], codec.image_shape)) if made is None else made
    posteriors = [codec.posterior(block) for block in torch.split(made.images, _ROWS)]
    mean = torch.cat([block for block, _ in posteriors]).double()
    stds = [std for _, std in posteriors if std is not None]
    correlation = None
    if stds:
        log_variance = 2.0 * torch.cat(stds).double().clamp_min(1e-12).log()
        information = posterior_information(mean, log_variance, made.factors, seed=seed)
        correlation = aggregate_total_correlation(mean, log_variance, draws=1, seed=seed)
    else:
        information = binned_information(mean, made.factors)
    gaps = information_gaps(information, made.factors)
    by_factor = dict(zip(FACTORS, gaps.tolist(), strict=True))
    return Disentanglement(float(gaps.mean()), by_factor, information, correlation)


def posterior_information(
    mean: Tensor, log_variance: Tensor, factors: Tensor, *, draws: int = 1, seed: int = 0
) -> Tensor:
    """I(z_j; v_k) [d, F] in nats, z drawn from the posteriors N(mean, exp(log_variance)) [N, d].

    ``factors``: [N, F], int64, values from 0. Given the N images the densities q(z_j) and
    q(z_j|v_k) are exact mixtures; the expectation is over ``draws`` (default 1) latents per image,
    from ``seed``.
    """
    mean, log_variance = mean.double(), log_variance.double()
    count, width = mean.shape
    classes = [torch.nn.functional.one_hot(column).double() for column in factors.T]
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(width, len(classes), dtype=torch.float64)
    for _ in range(draws):
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        for j in range(width):
            for rows in torch.split(torch.arange(count), _ROWS):
                density = gaussian_log_density(
                    latent[rows, j, None], mean[:, j], log_variance[:, j]
                )
                # Scale each row by its largest density, which both mixtures share.
                density = torch.exp(density - density.amax(1, keepdim=True))
                log_all = torch.log(density.mean(1))
                for k, members in enumerate(classes):
                    own = members[rows]
                    inside = (density @ members * own).sum(1) / (own @ members.sum(0))
                    tiny = torch.finfo(torch.float64).tiny
                    total[j, k] += (inside.clamp_min(tiny).log() - log_all).sum()
    return total / (draws * count)


def binned_information(latent: Tensor, factors: Tensor) -> Tensor:
    """I(z_j; v_k) [d, F] in nats between ``factors`` [N, F] and latents [N, d] in 20 bins.

    Bins of equal width from the smallest to the largest value, as in Locatello et al. 2019 (arXiv
    1811.12359). For independent values it averages about (bins − 1)(values − 1)/2N instead of 0.
    """
    low, high = latent.amin(0), latent.amax(0)
    scaled = (latent - low) / (high - low).clamp_min(torch.finfo(latent.dtype).tiny)
    bins = (scaled * _BINS).long().clamp(0, _BINS - 1)
    total = torch.zeros(latent.shape[1], factors.shape[1], dtype=torch.float64)
    for k, column in enumerate(factors.T):
        values = int(column.max()) + 1
        for j in range(latent.shape[1]):
            table = torch.bincount(bins[:, j] * values + column, minlength=_BINS * values)
            joint = table.double().view(_BINS, values) / len(latent)
            total[j, k] = _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint)
    return total


def information_gaps(information: Tensor, factors: Tensor) -> Tensor:
    """Best minus runner-up of each column of I(z_j; v_k) [d, F] over H(v_k), as [F].

    The runner-up of a single latent value counts as 0.
    """
    padded = torch.cat([information, torch.zeros_like(information[:1])])
    first, second = torch.topk(padded, 2, dim=0).values
    entropies = torch.stack([_entropy(torch.bincount(v) / len(v)) for v in factors.T])
    return (first - second) / entropies


def _entropy(shares: Tensor) -> Tensor:
    return torch.special.entr(shares.double()).sum()
