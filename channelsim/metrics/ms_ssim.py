"""Structural similarity on several scales."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from channelsim.contracts.parts import Metric, part
from channelsim.metrics.ssim import C1, C2, WIDTH, Border, local_moments
from channelsim.support.errors import InputError
from channelsim.support.rowwise import power

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@part
class MSSSIM(Metric):
    """Structural similarity on several scales of one image (Wang, Simoncelli & Bovik 2003).

    MS-SSIM = SSIM_M^w_M · Π_{j<M} CS_j^w_j: SSIM_M is the mean structural similarity at the
    coarsest of M scales, CS_j the mean of (2σ_ab + c₂)/(σ_a² + σ_b² + c₂) at scale j; from scale to
    scale images are averaged over 2×2 pixels (an odd last row or column is dropped). Window,
    constants and ``border`` as in `SSIM`. A negative mean counts as 0: it has no real root.

    ``scales``: M, default 5 with the paper's weights (0.0448, 0.2856, 0.3001, 0.2363, 0.1333). The
    coarsest scale must still hold the 11×11 window, so 5 scales need 176 pixels each way, 4 need
    88, 3 need 44, 2 need 22. Fewer scales use the first M weights divided by their sum: another
    figure than the paper's (project's choice), used only where ``scales`` sets it. torchmetrics 1.9
    averages SSIM_M over the mirrored margin too but not CS_j; with ``border: valid`` nothing here
    is mirrored. There is no ``limit``.
    """

    kind: ClassVar[str] = "ms_ssim"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = True
    perfect: ClassVar[float | None] = 1.0

    scales: int = Field(default=5, ge=1, le=5, strict=True)
    border: Border = "valid"

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable where no scale's mean is 0."""
        self.check_shape(images.shape[1:])
        weights = self._exponents
        with torch.autocast(images.device.type, enabled=False):
            dtype = torch.promote_types(images.dtype, torch.float32)
            a, b = images.to(dtype), references.to(dtype)
            value = torch.ones(len(a), dtype=dtype, device=a.device)
            for scale, weight in enumerate(weights):
                found = local_moments(a, b, self.border)
                similar = (2 * found.covariance + C2) / (found.variance + C2)
                if scale == len(weights) - 1:
                    similar = similar * (2 * found.mean_product + C1) / (found.mean_square + C1)
                else:
                    a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
                # The slope of a root is infinite at 0, and infinity times 0 is NaN.
                mean = found.average(similar)
                root = power(mean.clamp_min(torch.finfo(dtype).tiny), weight)
                value = value * torch.where(mean > 0, root, torch.zeros_like(root))
        return value

    @property
    def _exponents(self) -> tuple[float, ...]:
        if self.scales == len(_WEIGHTS):
            return _WEIGHTS  # as printed, although they sum to 1.0001
        first = _WEIGHTS[: self.scales]
        return tuple(weight / sum(first) for weight in first)

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Require the window to fit at the coarsest scale."""
        height, width = image_shape[-2:]
        least = WIDTH * 2 ** (self.scales - 1)
        if min(height, width) >= least:
            return
        fit = max((m for m in range(1, 6) if min(height, width) >= WIDTH * 2 ** (m - 1)), default=0)
        fix = (
            f"write scales: {fit}, a figure of its own that does not compare with the usual five"
            if fit
            else "use mse or psnr"
        )
        raise InputError(
            f"metric ms_ssim: images of {height}×{width} pixels are too small for scales:"
            f" {self.scales}, which needs {least} pixels each way; {fix}"
        )
