"""The loss of one batch: encode, cross the channel, decode, add the recipe's terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from channelsim.codecs.lu_chen import LuChen
from channelsim.training.attacks import adversarial_latents
from channelsim.training.defences import ChannelRecipe, MixupRecipe
from channelsim.training.objectives import (
    Draw,
    Encoded,
    kl_to_standard_normal,
    reconstruction_loss,
)
from channelsim.training.recipe import Recipe


def encode(network: LuChen, images: Tensor, noise: torch.Generator) -> Encoded:
    """Encode a batch; a variational encoder's latent is a draw."""
    mean, log_variance = network.moments(images)
    if log_variance is None:
        return Encoded(mean, None, mean)
    zeta = torch.randn(mean.shape, generator=noise)
    return Encoded(mean, log_variance, mean + torch.exp(0.5 * log_variance) * zeta)


def batch_loss(
    recipe: Recipe, network: LuChen, images: Tensor, draw: Draw, images_total: int
) -> tuple[Encoded, Mapping[str, Tensor]]:
    """The batch in the latent space, and ``loss`` with its terms, all averaged over the batch."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and not recipe.frozen_encoder):
        encoded = encode(network, images, draw("posterior"))
    received = encoded.latent
    if recipe.channel is not None:
        received = received + channel_noise(recipe.channel, received, draw("channel"))
    decoded = network.decode(received)
    reduction = recipe.objective.recon_reduction
    reconstruction = reconstruction_loss(images, decoded, reduction)
    terms = recipe.objective.penalty(encoded, draw, images_total)
    loss = reconstruction + terms["penalty"]
    losses = {"reconstruction": reconstruction, **terms}
    if recipe.mixup is not None:
        mixed = mixup_loss(recipe.mixup, network, images, encoded, draw)
        losses["mixup"] = mixed
        loss = loss + mixed
    return encoded, {"loss": loss, **losses}


def channel_noise(recipe: ChannelRecipe, latent: Tensor, generator: torch.Generator) -> Tensor:
    """White Gaussian noise [B, K] at the recipe's SNR against the batch's mean latent power."""
    low, high = recipe.range_db
    snr_db = low + (high - low) * torch.rand(len(latent), 1, generator=generator)
    power = latent.detach().square().mean()
    return torch.randn(latent.shape, generator=generator) * torch.sqrt(power / 10 ** (snr_db / 10))


def mixup_loss(
    recipe: MixupRecipe, network: LuChen, images: Tensor, encoded: Encoded, draw: Draw
) -> Tensor:
    """KL(q(·|x_m) ‖ p) + ‖x_m − g(z_m)‖² + ‖z_m − μ(x_m)‖², averaged over the batch."""
    share, partner = _mixture(recipe, len(images), draw("mixup"))
    image = share * images + (1 - share) * images[partner]
    if recipe.pairing == "released":
        share, partner = _mixture(recipe, len(images), draw("mixup again"))
    latent = share * encoded.latent + (1 - share) * encoded.latent[partner]
    # The deployed codec sees no mixtures: they must not move its running statistics.
    with running_statistics_kept(network):
        mean, log_variance = network.moments(image)
        decoded = network.decode(latent)
    assert log_variance is not None
    return (
        kl_to_standard_normal(mean, log_variance)
        + reconstruction_loss(image, decoded, "sum")
        + (latent - mean).square().sum(1).mean()
    )


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Normalise by the batch, as in training, without moving batch norm's running statistics."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _mixture(recipe: MixupRecipe, rows: int, generator: torch.Generator) -> tuple[float, Tensor]:
    """One share a ~ Beta(α, α) and one permutation."""
    # torch's own Beta takes no generator; numpy's is seeded from it.
    seed = int(torch.randint(2**62, (1,), generator=generator))
    share = float(np.random.Generator(np.random.Philox(seed)).beta(recipe.alpha, recipe.alpha))
    return share, torch.randperm(rows, generator=generator)


def hardening_loss(
    recipe: Recipe, network: LuChen, images: Tensor, encoded: Encoded, generator: torch.Generator
) -> Tensor:
    """e(x, g(z + δ)) for a fresh draw z of the posterior; the network must be in eval mode."""
    assert recipe.adversarial is not None
    mean, std = encoded.mean.detach(), encoded.std.detach()
    latent = mean + std * torch.randn(mean.shape, generator=generator)
    if recipe.adversarial.algorithm != "equal-compute":
        latent = adversarial_latents(latent, network.folded().decode, recipe.adversarial, generator)
    return reconstruction_loss(images, network.decode(latent), recipe.objective.recon_reduction)
