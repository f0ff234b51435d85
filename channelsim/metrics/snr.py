"""Signal-to-noise ratio of a received signal."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.parts import Metric, part
from channelsim.support import units


@part
class SNR(Metric):
    """Power of the reference over that of the error, in one signal, in dB.

    SNR = −10·log₁₀(‖a − b‖² / ‖b‖²), b the reference, over all channels and samples; 0 dB for a
    signal of zeros, +inf where the signals are equal, and no value (NaN) where the reference is
    zero. Values are averaged as ‖a − b‖² / ‖b‖², never in decibels. Not the channel's SNR, which is
    that of the codeword.
    """

    kind: ClassVar[str] = "snr"
    takes: ClassVar[str] = "signals"
    higher_is_better: ClassVar[bool] = True

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N] in dB; differentiable except where the signals are equal."""
        error = (images - references).flatten(1).square().sum(1)
        power = references.flatten(1).square().sum(1)
        ratio = error / power.clamp_min(torch.finfo(power.dtype).tiny)
        return torch.where(power > 0, units.psnr_from_mse(ratio), torch.nan)

    def to_additive(self, values: np.ndarray) -> np.ndarray:
        """DB → error over power; +inf becomes 0."""
        return units.from_db(-np.asarray(values, dtype=float))

    def from_additive(self, values: np.ndarray) -> np.ndarray:
        """Error over power → dB; 0 becomes +inf."""
        return units.psnr_from_mse(np.asarray(values, dtype=float))
