"""Error of a signal's power spectrum."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import torch
from torch import Tensor

from channelsim.contracts.parts import Metric, part
from channelsim.support.errors import InputError
from channelsim.support.row_product import RowProduct

_LONGEST = 4096  # samples: the matrices have twice their square; project's choice


@part
class SpectralError(Metric):
    """Difference of two signals' power spectra, over the power of the reference.

    E = Σ|P_a(c, k) − P_b(c, k)| / ΣP_b(c, k), summed over channels c and frequencies k, with the
    periodograms P(c, k) = |Σₜ x(c, t)·e^(−2πikt/L)|² of a segment, without a window, both sides of
    the spectrum counted. It is 0 for equal spectra, 1 for a signal of zeros, |g² − 1| for g times
    the reference, and 2 for a tone of equal power at another frequency. Blind to phase: a segment
    turned round in time has no error. No value (NaN) where the reference is zero. Segments have at
    most 4,096 samples.
    """

    kind: ClassVar[str] = "spectral_error"
    takes: ClassVar[str] = "signals"
    higher_is_better: ClassVar[bool] = False
    perfect: ClassVar[float | None] = 0.0

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """At most 4,096 samples."""
        if image_shape[-1] > _LONGEST:
            raise InputError(
                f"metric {self.kind}: segments have {image_shape[-1]:,} samples; allowed: at most"
                f" {_LONGEST:,} (lower samples, or leave the metric out)"
            )

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable."""
        self.check_shape(tuple(images.shape[1:]))
        found, wanted = (_spectrum(given) for given in (images, references))
        power = wanted.flatten(1).sum(1)
        error = (found - wanted).abs().flatten(1).sum(1)
        ratio = error / power.clamp_min(torch.finfo(power.dtype).tiny)
        return torch.where(power > 0, ratio, torch.nan)


def _spectrum(signals: Tensor) -> Tensor:
    """Power at the frequencies 0 … ⌊L/2⌋, each with its mirror image, [N, C, ⌊L/2⌋ + 1]."""
    product, weights = _transform(signals.shape[-1], signals.device)
    parts = product(signals.flatten(0, 1)).unflatten(1, (2, -1)).square().sum(1)
    return (parts * weights).unflatten(0, signals.shape[:2])


@functools.lru_cache(maxsize=8)
def _transform(length: int, device: torch.device) -> tuple[RowProduct, Tensor]:
    """Cosines and sines as one product a row: a row's bits shall not depend on its place."""
    # The first caller may be inside inference_mode; the matrices must serve gradients too.
    with torch.inference_mode(False), torch.no_grad():
        time = torch.arange(length, dtype=torch.float64)
        frequency = torch.arange(length // 2 + 1, dtype=torch.float64)
        angle = 2 * math.pi * torch.outer(time, frequency).remainder(length) / length
        weights = torch.full((len(frequency),), 2.0)
        weights[0] = 1.0
        if length % 2 == 0:
            weights[-1] = 1.0
        product = RowProduct(torch.cat([angle.cos(), angle.sin()], dim=1).float())
        return product.to(device), weights.to(device)
