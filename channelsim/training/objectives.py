"""Objectives of codec training: reconstruction plus one of these regularisers.

Every objective is the loss  reconstruction + penalty, averaged over the batch. A penalty maps one
batch of encoded images to its terms by name; the one added to the loss is ``penalty``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from channelsim.contracts.parts import Count, NonNegative, OpenFraction, part
from channelsim.training import kl_terms, mmd, normality

Draw = Callable[[str], torch.Generator]  # a name → this step's generator of that name


@dataclass(frozen=True)
class Encoded:
    """A batch in the latent space: ``latent`` [B, K] is decoded.

    Of a variational encoder it is a draw mean + exp(½·log variance)·ζ, otherwise the mean.
    """

    mean: Tensor
    log_variance: Tensor | None
    latent: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviation [B, K]; zero unless variational."""
        if self.log_variance is None:
            return torch.zeros_like(self.mean)
        return torch.exp(0.5 * self.log_variance)


@part
class ObjectiveRecipe(ABC):
    """Base of all objectives; ``kind`` names them.

    ``recon_reduction: sum`` takes Σ_pixels (x − x̂)², ``mean`` the mean over the N pixels. −log p of
    a Gaussian of variance 1 is ½·Σ(x − x̂)², against which a penalty of weight w counts w/2 for
    ``sum`` and w·N/2 for ``mean``: the card's ``beta_eff``.
    """

    variational_only: ClassVar[bool] = False
    prior: ClassVar[Literal["standard", "fitted"]] = "standard"  # the prior to generate from

    recon_reduction: Literal["sum", "mean"] = "sum"

    @property
    @abstractmethod
    def weight(self) -> float:
        """The weight that ``beta_eff`` is computed from."""

    @abstractmethod
    def penalty(self, encoded: Encoded, draw: Draw, images_total: int) -> Mapping[str, Tensor]:
        """Scalars by name; the loss adds ``penalty``, the others are for reports."""

    def least_rows(self, latent_size: int) -> int:  # noqa: ARG002
        """The smallest batch for which the penalty is defined."""
        return 2

    def effective_beta(self, pixels: int) -> float:
        """Weight of the penalty against the likelihood of a Gaussian of variance 1."""
        return self.weight * (pixels if self.recon_reduction == "mean" else 1) / 2


@part
class KldRecipe(ObjectiveRecipe):
    """β·KL(q(z|x) ‖ N(0, I)): the VAE, and for β ≠ 1 the β-VAE (Higgins et al. 2017).

    β = 1 with ``sum`` is the variational bound of a Gaussian likelihood of variance ½. ``beta``:
    β ≥ 0, default 1. Lu & Chen state neither β nor the reduction; project defaults.
    """

    variational_only: ClassVar[bool] = True

    kind: Literal["kld"] = "kld"
    beta: NonNegative = 1.0

    @property
    def weight(self) -> float:
        """β."""
        return self.beta

    def penalty(self, encoded: Encoded, draw: Draw, images_total: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``kl``, in nats per image."""
        assert encoded.log_variance is not None
        kl = kl_to_standard_normal(encoded.mean, encoded.log_variance)
        return {"penalty": self.beta * kl, "kl": kl}


@part
class MmdRecipe(ObjectiveRecipe):
    """λ·MMD²(latents, as many draws of N(0, I)) (Lu & Chen 2023, equation 2).

    ``weight_mmd``: λ, default 10 (Wasserstein autoencoders on MNIST, with the cost summed over the
    pixels). ``kernel``: ``imq``, the sum of inverse multiquadratics of seven scales with the
    unbiased estimator (WAE's; the default, the paper names none); ``rbf_median``, a Gaussian whose
    width follows the medians; ``rbf_d2``, exp(−‖Δ‖²/d²) with the biased estimator, as in InfoVAE's
    code: nearly constant at large d, so that its gradient is small.
    """

    kind: Literal["mmd"] = "mmd"
    weight_mmd: NonNegative = 10.0
    kernel: Literal["imq", "rbf_median", "rbf_d2"] = "imq"

    @property
    def weight(self) -> float:
        """λ."""
        return self.weight_mmd

    def penalty(self, encoded: Encoded, draw: Draw, images_total: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``mmd``: the squared discrepancy; the unbiased one may be negative."""
        latent = encoded.latent
        prior = torch.randn(latent.shape, generator=draw("prior"))
        found = mmd.squared_mmd(latent, prior, self.kernel)
        return {"penalty": self.weight_mmd * found, "mmd": found}


@part
class SwtRecipe(ObjectiveRecipe):
    """λ·(1 − W), W the Shapiro–Wilk statistic of the latents (Lu & Chen 2023, equation 3).

    W is 1 for a perfectly normal sample and blind to its offset and scale, so the latents are drawn
    towards *some* Gaussian, not to N(0, I): generate from the fitted one. ``weight_swt``: λ,
    default 25 (GoFAE's, with the cost summed over the pixels). ``mode``: ``sliced`` along random
    orthonormal ``directions`` (default min(K, 10), drawn at every step), ``marginal`` along the
    axes, ``whitened`` after whitening by the batch's own covariance (needs more rows than K).
    ``reduce``: the mean or the minimum over directions. ``hinge``: a level α; only a W below its
    α-quantile under normality costs anything, which keeps the batch from becoming more regular
    than chance would. ``moments``: weight of ‖mean‖² + ‖diag covariance − 1‖², default 0.
    The paper gives none of these; the defaults are the project's.
    """

    prior: ClassVar[Literal["standard", "fitted"]] = "fitted"

    kind: Literal["swt"] = "swt"
    weight_swt: NonNegative = 25.0
    mode: Literal["sliced", "marginal", "whitened"] = "sliced"
    directions: Count | None = None
    reduce: Literal["mean", "min"] = "mean"
    hinge: OpenFraction | None = None
    moments: NonNegative = 0.0

    @model_validator(mode="after")
    def _directed(self) -> SwtRecipe:
        if self.directions is not None and self.mode != "sliced":
            raise ValueError(f"directions is for mode sliced; mode {self.mode} has none, remove it")
        return self

    @property
    def weight(self) -> float:
        """λ."""
        return self.weight_swt

    def least_rows(self, latent_size: int) -> int:
        """W needs three values; an invertible covariance needs more than K rows."""
        return max(3, latent_size + 1 if self.mode == "whitened" else 0)

    def penalty(self, encoded: Encoded, draw: Draw, images_total: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``swt``: 1 − W, or the distance to the hinge's threshold."""
        found = normality.shapiro_loss(
            encoded.latent,
            self.mode,
            directions=self.directions,
            reduce=self.reduce,
            hinge_alpha=self.hinge,
            generator=draw("directions"),
        )
        penalty = self.weight_swt * found
        if self.moments:
            penalty = penalty + self.moments * normality.moment_penalty(encoded.latent)
        return {"penalty": penalty, "swt": found}


@part
class TcRecipe(ObjectiveRecipe):
    """α·MI + β·TC + γ·Σ_j KL_j: the KL of the VAE in three parts (β-TCVAE, Chen et al. 2018).

    MI = E log q(z|x)/q(z), TC = E log q(z)/Π_j q(z_j), KL_j = E log q(z_j)/p(z_j). With α = β = γ
    it is β·KL. ``beta``: default 1; ``alpha``, ``gamma``: default 1. ``estimator`` of q from a
    batch: ``mws`` (weighted; its TC is too large by the constant (K − 1)·log of the number of
    training images, its gradient is that of the plain batch mean), ``mss`` (stratified, unbiased
    for q), or ``mss_released``, with weights in the wrong places as in widely copied code.
    """

    variational_only: ClassVar[bool] = True

    kind: Literal["tc"] = "tc"
    beta: NonNegative = 1.0
    alpha: NonNegative = 1.0
    gamma: NonNegative = 1.0
    estimator: Literal["mws", "mss", "mss_released"] = "mws"

    @property
    def weight(self) -> float:
        """β, the weight of the total kl_terms."""
        return self.beta

    def penalty(self, encoded: Encoded, draw: Draw, images_total: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``mi``, ``tc`` and ``kl_j``, in nats per image."""
        assert encoded.log_variance is not None
        terms = kl_terms.total_correlation_terms(
            encoded.latent, encoded.mean, encoded.log_variance, images_total, self.estimator
        )
        penalty = (
            self.alpha * terms.mutual_information
            + self.beta * terms.total_correlation
            + self.gamma * terms.dimension_kl
        )
        return {
            "penalty": penalty,
            "mi": terms.mutual_information,
            "tc": terms.total_correlation,
            "kl_j": terms.dimension_kl,
        }


Objective = Annotated[KldRecipe | MmdRecipe | SwtRecipe | TcRecipe, Field(discriminator="kind")]


def reconstruction_loss(
    images: Tensor, decoded: Tensor, reduction: Literal["sum", "mean"]
) -> Tensor:
    """Squared error per image, summed or averaged over its pixels; averaged over the batch."""
    squared = (images - decoded).square().flatten(1)
    return (squared.sum(1) if reduction == "sum" else squared.mean(1)).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)) = ½·Σ_j (μ² + σ² − 1 − log σ²), averaged over the batch."""
    terms = mean.square() + log_variance.exp() - 1.0 - log_variance
    return 0.5 * terms.sum(dim=1).mean()
