"""How good an image is, compared with a reference."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.metrics.mse import MSE
from channelsim.metrics.psnr import PSNR
from channelsim.metrics.ssim import SSIM
from channelsim.parts import Metric

METRICS: Mapping[str, type[Metric]] = {part.kind: part for part in (MSE, PSNR, SSIM)}

__all__ = ["METRICS", "MSE", "PSNR", "SSIM"]
