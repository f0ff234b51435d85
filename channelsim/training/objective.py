"""What training minimises, and the perturbed latents on which Algorithm 1 trains the decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from channelsim.adversaries.ascent import ascend
from channelsim.metrics.ssim import SSIM
from channelsim.training.recipe import AdversarialRecipe

Decode = Callable[[Tensor], Tensor]
_SSIM = SSIM()


def reconstruction_loss(
    images: Tensor, decoded: Tensor, reduction: Literal["sum", "mean"]
) -> Tensor:
    """Squared error per image, summed or averaged over its pixels; averaged over the batch."""
    squared = (images - decoded.float()).square().flatten(1)
    return (squared.sum(1) if reduction == "sum" else squared.mean(1)).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)) = ½·Σ_j (μ² + σ² − 1 − log σ²), averaged over the batch."""
    terms = mean.square() + log_variance.exp() - 1.0 - log_variance
    return 0.5 * terms.sum(dim=1).mean()


def adversarial_latents(
    latent: Tensor, decode: Decode, recipe: AdversarialRecipe, generator: torch.Generator
) -> Tensor:
    """Latents z + δ [N, K], δ within the recipe's ball, that drive g(z + δ) away from g(z)."""
    radius = torch.full((len(latent),), recipe.epsilon)
    with torch.no_grad():
        reference = decode(latent)

    def damage(delta: Tensor) -> Tensor:
        image = decode(latent + delta)
        if recipe.loss == "ssim":
            return 1.0 - _SSIM(image, reference)
        return (image - reference).square().flatten(1).mean(1)

    start = torch.zeros_like(latent)
    if recipe.start == "uniform":
        start = _uniform_in_ball(latent, recipe, generator)
    found = ascend(
        damage,
        start,
        radius,
        recipe.norm,
        torch.full_like(radius, recipe.step_size),
        steps=recipe.steps,
        keep_best=recipe.keep_best,
    )
    return (latent + found.delta).detach()


def _uniform_in_ball(
    latent: Tensor, recipe: AdversarialRecipe, generator: torch.Generator
) -> Tensor:
    if recipe.norm == "linf":
        return (torch.rand(latent.shape, generator=generator) * 2 - 1) * recipe.epsilon
    direction = torch.randn(latent.shape, generator=generator)
    direction /= torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    share = torch.rand(len(latent), 1, generator=generator) ** (1 / latent.shape[1])
    return direction * share * recipe.epsilon
