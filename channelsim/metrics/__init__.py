"""Metrics: the quality of an image compared with a reference."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.contracts.parts import Metric
from channelsim.metrics.features import (
    DatasetFeatureDistance,
    LabelKept,
    RandomFeatureDistance,
)
from channelsim.metrics.lpips import LPIPS
from channelsim.metrics.ms_ssim import MSSSIM
from channelsim.metrics.mse import MSE
from channelsim.metrics.psnr import PSNR
from channelsim.metrics.snr import SNR
from channelsim.metrics.spectral_error import SpectralError
from channelsim.metrics.ssim import SSIM

METRICS: Mapping[str, type[Metric]] = {
    part.kind: part
    for part in (
        MSE,
        PSNR,
        SSIM,
        MSSSIM,
        DatasetFeatureDistance,
        RandomFeatureDistance,
        LPIPS,
        LabelKept,
        SNR,
        SpectralError,
    )
}

__all__ = [
    "LPIPS",
    "METRICS",
    "MSE",
    "MSSSIM",
    "PSNR",
    "SNR",
    "SSIM",
    "DatasetFeatureDistance",
    "LabelKept",
    "RandomFeatureDistance",
    "SpectralError",
]
