"""Detectors: tests of whether a received latent looks benign."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from channelsim.contracts.parts import Detector, OpenFraction, part
from channelsim.support.errors import InputError

# Share of the mean variance added to every variance of the Gaussian fit.
_RIDGE = 1e-6


def threshold(scores: Tensor, false_alarm: float) -> float:
    """The score above which a detector rejects: the ⌈(n + 1)(1 − α)⌉-th smallest of n scores.

    For n benign calibration scores [n] and a fresh benign score, exchangeable with them and without
    ties, P(score > threshold) ≤ α for any distribution, and ≥ α − 1/(n + 1) (split conformal
    prediction; Vovk et al. 2005). Needs n ≥ (1 − α)/α scores.
    """
    count = scores.numel()
    # (n + 1)(1 − α) may come out a rounding error above a whole number.
    rank = math.ceil((count + 1) * (1.0 - false_alarm) - 1e-9)
    if rank > count:
        needed = math.ceil((1.0 - false_alarm) / false_alarm - 1e-9)
        raise InputError(
            f"detector: a false-alarm rate of {false_alarm:g} needs at least {needed} calibration"
            f" messages, there are {count}; raise false_alarm or use a larger source"
        )
    if not bool(torch.isfinite(scores).all()):
        raise InputError("detector: a calibration score is NaN or infinite")
    return float(scores.flatten().sort().values[max(rank, 1) - 1])


@part
class LatentDensity(Detector):
    """Distance of the received latent from a Gaussian fitted to benign ones.

    Score = (y − m)ᵀ S⁻¹ (y − m), the squared Mahalanobis distance, which is −2·log density up to a
    constant; dimensionless; χ² with K degrees of freedom if benign latents are Gaussian. m and S
    are mean and unbiased covariance of the benign received latents, with 1e-6 of the mean variance
    added to the diagonal of S, so that unused latent dimensions stay invertible (project's choice).
    ``false_alarm`` in (0, 1), project default 0.05: share of benign messages rejected.
    """

    kind: ClassVar[str] = "latent-density"

    false_alarm: OpenFraction = 0.05

    def fit(self, latents: Tensor) -> dict[str, Tensor]:
        """``mean`` [K] and ``whiten`` [K, K], a root of S⁻¹; float64."""
        data = _benign(latents)
        mean = data.mean(dim=0)
        centred = data - mean
        covariance = centred.T @ centred / (len(data) - 1)
        variance = covariance.diagonal().mean()
        if not bool(variance > 0):
            raise InputError("detector latent-density: benign latents are all the same")
        ridge = _RIDGE * variance * torch.eye(len(mean), dtype=data.dtype, device=data.device)
        root = torch.linalg.cholesky(covariance + ridge)
        unit = torch.eye(len(mean), dtype=data.dtype, device=data.device)
        return {"mean": mean, "whiten": torch.linalg.solve_triangular(root, unit, upper=False)}

    def score(self, latents: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """Squared Mahalanobis distances [N]."""
        mean, whiten = (
            state[name].to(latents.device, torch.float64) for name in ("mean", "whiten")
        )
        strange = (latents.double() - mean)[:, :, None]
        return torch.bmm(whiten.expand(len(strange), -1, -1), strange).square().sum(dim=(1, 2))


@part
class Norm(Detector):
    """Deviation of the received latent's norm from that of benign ones.

    Score = |‖y‖₂ − m|, in latent units, with m the mean norm of the benign received latents;
    two-sided, since an attack towards a uniform image may shorten the latent. ``false_alarm`` in
    (0, 1), project default 0.05: share of benign messages rejected.
    """

    kind: ClassVar[str] = "norm"

    false_alarm: OpenFraction = 0.05

    def fit(self, latents: Tensor) -> dict[str, Tensor]:
        """``mean_norm``, a float64 scalar."""
        return {"mean_norm": torch.linalg.vector_norm(_benign(latents), dim=1).mean()}

    def score(self, latents: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """Deviations from the mean norm [N]."""
        mean_norm = state["mean_norm"].to(latents.device, torch.float64)
        return (torch.linalg.vector_norm(latents.double(), dim=1) - mean_norm).abs()


def _benign(latents: Tensor) -> Tensor:
    if len(latents) < 2:
        raise InputError(
            f"detector: cannot be fitted to {len(latents)} benign latents; at least 2 are needed"
        )
    return latents.detach().double()
