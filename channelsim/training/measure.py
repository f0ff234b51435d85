"""The figures of a trained codec's card."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

import channelsim
from channelsim.codecs.module import Module
from channelsim.codecs.network import Network
from channelsim.metrics import METRICS
from channelsim.metrics.disentanglement import disentanglement
from channelsim.metrics.diversity import generation_diversity
from channelsim.metrics.frechet import dataset_features, fdd
from channelsim.sources import TrainingSet, as_float
from channelsim.support import arithmetic, units

_ROWS = 256
_DRAWS = 1000  # images generated for a card; project's choice


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


def generation(
    network: Network, latent_size: int, card: Mapping[str, Any], data: TrainingSet
) -> dict[str, Any]:
    """Diversity of images decoded from the codec's prior, and their distance to the test images.

    ``diversity``: see `generation_diversity`, of ``images`` draws, beside ``test_diversity`` of as
    many test images. ``fdd`` (digits alone): Fréchet distance on data-set features to all test
    images. The prior is N(0, I), or with ``prior: fitted`` in the ``card`` N(m, S) of the latents.
    """
    zeta = torch.randn(_DRAWS, latent_size, generator=torch.Generator().manual_seed(0))
    if card["prior"] == "fitted":
        covariance = torch.tensor(card["latent_covariance"], dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp_min(0).sqrt()
        mean = torch.tensor(card["latent_mean"], dtype=torch.float64)
        zeta = (mean + zeta.double() @ root.T).float()
    with torch.no_grad():
        blocks = torch.split(zeta, _ROWS)
        images: Tensor = torch.cat([network.folded().decode(z) for z in blocks])  # type: ignore[operator]
    tests = as_float(data.test_images)
    found: dict[str, Any] = {"prior": card["prior"], "images": _DRAWS}
    found["diversity"] = generation_diversity(images)
    found["test_diversity"] = generation_diversity(tests[:_DRAWS])
    if of_digits(data):
        distance = fdd(images.clamp(0, 1), tests)
        found |= {"fdd": distance.value, "fdd_trunk_sha256": distance.sha256}
    return found


def of_digits(data: TrainingSet) -> bool:
    """Whether the shipped classifier fits such images."""
    return data.name in ("mnist", "mnist5k")


def require(data: TrainingSet) -> None:
    """Check before the training that everything its card needs is available."""
    if of_digits(data):
        dataset_features()


def disentangled(network: Network, image_shape: tuple[int, int, int], size: int) -> dict[str, Any]:
    """MIG, and TC of the aggregate posterior, on synthetic squares with known factors."""
    codec = Module(module=network.folded(), image_shape=image_shape, latent_size=size)
    found = disentanglement(codec)
    return {
        "data": "made squares (1,024): place, size, brightness",
        "mig": found.mig,
        "total_correlation": found.total_correlation,
    }


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


def arithmetic_here() -> dict[str, str]:
    """This machine's arithmetic: a recipe gives the same bits where the signature is the same."""
    return {
        "instruction_set": arithmetic.instruction_set(),
        "signature": arithmetic.signature(),
        "processor": arithmetic.processor(),
    }


def versions() -> dict[str, str]:
    """Versions of the software that decides the result."""
    return {
        "channelsim": channelsim.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }
