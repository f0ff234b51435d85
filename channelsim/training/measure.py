"""What a trained codec's card says; every figure is computed here."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

import channelsim
from channelsim import sources, units
from channelsim.codecs.lu_chen import LuChen
from channelsim.metrics import METRICS

_ROWS = 256


def quality(network: LuChen) -> dict[str, float]:
    """MSE, its PSNR, and SSIM of g(μ(x)) against x over mnist5k's test split."""
    folded = network.folded()
    mse, ssim = METRICS["mse"](), METRICS["ssim"]()
    totals = torch.zeros(2, dtype=torch.float64)
    images = sources.mnist5k("test").images
    with torch.no_grad():
        for block in torch.split(images, _ROWS):
            encoded = folded.encode(block)
            mean = encoded[0] if isinstance(encoded, tuple) else encoded
            decoded = folded.decode(mean)
            totals[0] += mse(decoded, block).double().sum()
            totals[1] += ssim(decoded, block).double().sum()
    means = (totals / len(images)).tolist()
    return {
        "test_mse": means[0],
        "test_psnr_db": float(units.psnr_from_mse(means[0])),
        "test_ssim": means[1],
    }


def power(network: LuChen, images: Tensor) -> dict[str, Any]:
    """Transmit power per real value over the training images, and the mean latent.

    ``transmit_power``: mean of ‖μ‖²/K (transmit: mean); ``transmit_power_sample``: mean of
    (‖μ‖² + ‖σ‖²)/K, which is the expectation over samples; ``transmit_power_centred``: mean of
    ‖μ − mean μ‖²/K.
    """
    means, variance_sum = [], 0.0
    for mean, variance in _posteriors(network, images):
        means.append(mean)
        variance_sum += float(variance.sum())
    latents = torch.cat(means)
    centre = latents.mean(dim=0)
    mean_power = float(latents.square().mean())
    return {
        "transmit_power": mean_power,
        "transmit_power_sample": mean_power + variance_sum / latents.numel(),
        "transmit_power_centred": float((latents - centre).square().mean()),
        "latent_mean": centre.tolist(),
    }


def _posteriors(network: LuChen, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    folded = network.folded()
    with torch.no_grad():
        for block in torch.split(images, _ROWS):
            encoded = folded.encode(block)
            if isinstance(encoded, tuple):
                yield encoded[0].double(), encoded[1].double().square()
            else:
                yield encoded.double(), torch.zeros_like(encoded).double()


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    return {
        "channelsim": channelsim.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }
