"""Perturbed latents for hardening a decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from channelsim.adversaries.ascent import ascend
from channelsim.adversaries.steps import RULES
from channelsim.metrics.ssim import SSIM
from channelsim.training.defences import AdversarialRecipe

Decode = Callable[[Tensor], Tensor]
_SSIM = SSIM()
MIXED = ("none", "fgm", "pgd", "universal", "awgn")


def adversarial_latents(
    latent: Tensor, decode: Decode, recipe: AdversarialRecipe, generator: torch.Generator
) -> Tensor:
    """Latents z + δ [N, K], δ within the recipe's ball, that drive g(z + δ) away from g(z)."""
    attack = "pgd"
    if recipe.algorithm == "mixed":
        attack = MIXED[int(torch.randint(len(MIXED), (1,), generator=generator))]
    if attack == "none":
        return latent
    if attack == "awgn":
        return latent + _noise(latent, recipe, generator)
    if attack == "universal":
        return latent + _universal(latent, decode, recipe, generator)
    steps = 1 if attack == "fgm" else recipe.steps
    return latent + _ascent(latent, decode, recipe, _start(latent, recipe, generator), steps)


def _ascent(
    latent: Tensor, decode: Decode, recipe: AdversarialRecipe, start: Tensor, steps: int
) -> Tensor:
    """δ [len(start), K]: one per row of the latent, or a single one for all of them."""
    with torch.no_grad():
        reference = decode(latent)
    together = len(start) == 1 and len(latent) > 1

    def damage(delta: Tensor) -> Tensor:
        values = _damage(decode(latent + delta), reference, recipe)
        return values.mean(0, keepdim=True) if together else values

    radius = torch.full((len(start),), recipe.epsilon)
    found = ascend(
        damage,
        start,
        radius,
        recipe.norm,
        torch.full_like(radius, recipe.step_size),
        RULES[recipe.step],
        steps=steps,
        keep_best=recipe.keep_best,
    )
    return found.delta.detach()


def _damage(image: Tensor, reference: Tensor, recipe: AdversarialRecipe) -> Tensor:
    if recipe.loss == "ssim":
        return 1.0 - _SSIM(image, reference)
    return (image - reference).square().flatten(1).mean(1)


def _universal(
    latent: Tensor, decode: Decode, recipe: AdversarialRecipe, generator: torch.Generator
) -> Tensor:
    """One δ [1, K] that does the most damage to the batch on average."""
    start = _start(latent[:1], recipe, generator)
    return _ascent(latent, decode, recipe, start, recipe.steps)


def _noise(latent: Tensor, recipe: AdversarialRecipe, generator: torch.Generator) -> Tensor:
    """Gaussian, of the norm of a corner of the box, or of the ball's radius."""
    noise = torch.randn(latent.shape, generator=generator)
    corner = latent.shape[1] ** 0.5 if recipe.norm == "linf" else 1.0
    length = torch.linalg.vector_norm(noise, dim=1, keepdim=True)
    return noise / length * (recipe.epsilon * corner)


def _start(latent: Tensor, recipe: AdversarialRecipe, generator: torch.Generator) -> Tensor:
    if recipe.start == "zero":
        return torch.zeros_like(latent)
    if recipe.norm == "linf":
        return (torch.rand(latent.shape, generator=generator) * 2 - 1) * recipe.epsilon
    direction = torch.randn(latent.shape, generator=generator)
    direction /= torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    share = torch.rand(len(latent), 1, generator=generator) ** (1 / latent.shape[1])
    return direction * share * recipe.epsilon
