"""What a trained codec's card says; every figure is computed here."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

import channelsim
from channelsim import units
from channelsim.codecs.network import Network
from channelsim.metrics import METRICS
from channelsim.sources import as_float

_ROWS = 256


def quality(network: Network, images: Tensor) -> dict[str, float]:
    """MSE, its PSNR, and SSIM of g(μ(x)) against x over test images [n, C, H, W]."""
    folded = network.folded()
    mse, ssim = METRICS["mse"](), METRICS["ssim"]()
    totals = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for block in torch.split(images, _ROWS):
            rows = as_float(block)
            mean, _ = _posterior(folded, rows)
            decoded: Tensor = folded.decode(mean)  # type: ignore[operator]
            totals[0] += mse(decoded, rows).double().sum()
            totals[1] += ssim(decoded, rows).double().sum()
    means = (totals / len(images)).tolist()
    return {
        "test_mse": means[0],
        "test_psnr_db": float(units.psnr_from_mse(means[0])),
        "test_ssim": means[1],
    }


def power(network: Network, images: Tensor, *, covariance: bool = False) -> dict[str, Any]:
    """Transmit power per real value over the training images, and the mean latent.

    ``transmit_power``: mean of ‖μ‖²/K (transmit: mean); ``transmit_power_sample``: mean of
    (‖μ‖² + ‖σ‖²)/K, which is the expectation over samples; ``transmit_power_centred``: mean of
    ‖μ − mean μ‖²/K. With ``covariance``, that of the latents as sent by transmit: sample (μ's plus
    the mean of σ² on the diagonal), to generate from.
    """
    means, variances = [], []
    for mean, variance in _posteriors(network, images):
        means.append(mean)
        variances.append(variance)
    variance_sum = float(torch.cat(variances).sum())
    latents = torch.cat(means)
    centre = latents.mean(dim=0)
    mean_power = float(latents.square().mean())
    figures = {
        "transmit_power": mean_power,
        "transmit_power_sample": mean_power + variance_sum / latents.numel(),
        "transmit_power_centred": float((latents - centre).square().mean()),
        "latent_mean": centre.tolist(),
    }
    if covariance:
        spread = torch.cov(latents.T).reshape(len(centre), len(centre))
        spread += torch.diag(torch.cat(variances).mean(dim=0))
        figures["latent_covariance"] = spread.tolist()
    return figures


def _posteriors(network: Network, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    folded = network.folded()
    with torch.no_grad():
        for block in torch.split(images, _ROWS):
            mean, std = _posterior(folded, as_float(block))
            yield mean.double(), std.double().square()


def _posterior(folded: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, both [n, K]."""
    answer = folded.encode(rows)  # type: ignore[operator]
    return answer if isinstance(answer, tuple) else (answer, torch.zeros_like(answer))


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    return {
        "channelsim": channelsim.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }
