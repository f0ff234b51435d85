"""Peak signal-to-noise ratio."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor

from channelsim.contracts.parts import Metric, part
from channelsim.metrics.mse import MSE
from channelsim.support import units

_MSE = MSE()


@part
class PSNR(Metric):
    """Peak signal-to-noise ratio of one image, peak 1, in dB.

    PSNR = −10·log₁₀ MSE; +inf where the images are equal, so there is no finite perfect value.
    Values are averaged as MSE, never in decibels. ``limit``: 34 dB (Lu & Chen 2023, Table 3).
    """

    kind: ClassVar[str] = "psnr"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = True
    limit: ClassVar[float | None] = 34.0

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N] in dB; differentiable except where the images are equal."""
        return units.psnr_from_mse(_MSE.measure(images, references))

    def to_additive(self, values: np.ndarray) -> np.ndarray:
        """DB → MSE; +inf becomes 0."""
        return units.from_db(-np.asarray(values, dtype=float))

    def from_additive(self, values: np.ndarray) -> np.ndarray:
        """MSE → dB; 0 becomes +inf."""
        return units.psnr_from_mse(np.asarray(values, dtype=float))
