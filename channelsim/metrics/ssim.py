"""Structural similarity with a Gaussian window."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from channelsim.contracts.parts import Metric, part
from channelsim.support.errors import InputError

WIDTH, _SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2

Border = Literal["valid", "reflect"]


@lru_cache(maxsize=32)
def _band(size: int, border: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix that slides the normalised window over ``size`` pixels: [positions, size]."""
    # The first caller may be inside inference_mode; the matrix must serve gradients too.
    with torch.inference_mode(False), torch.no_grad():
        steps = torch.arange(WIDTH, dtype=torch.float64) - WIDTH // 2
        window = torch.exp(-0.5 * (steps / _SIGMA) ** 2)
        window /= window.sum()
        reach = WIDTH // 2 if border == "reflect" else 0
        positions = size + 2 * reach - WIDTH + 1
        band = torch.zeros(positions, size, dtype=torch.float64)
        for position in range(positions):
            for step in range(WIDTH):
                pixel = abs(position + step - reach)  # mirrored at the first and the last pixel
                pixel = min(pixel, 2 * (size - 1) - pixel)
                band[position, pixel] += window[step]
        return band.to(dtype=dtype, device=device)


@part
class SSIM(Metric):
    """Mean structural similarity of one image (Wang et al. 2004), as Lu & Chen use it.

    SSIM = mean of (2μ_aμ_b + c₁)(2σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)) over the
    positions of an 11×11 Gaussian window of σ = 1.5, and over the channels; c₁ = 0.01²,
    c₂ = 0.03², data range 1. Images must be at least 11 pixels high and wide. ``limit``: 0.4
    (Lu & Chen 2023, Tables 1 and 2).

    ``border``: ``valid`` (default) averages over the positions where the window fits, as in the
    original definition; ``reflect`` mirrors the image at its edges and averages over all pixels,
    as torchmetrics 1.9 does (its earlier versions cropped). On digits the mirrored
    margin is black on black and lifts the value.

    The window is separable, so a blur is two products with small band matrices; on images of some
    tens of pixels that is much faster than a grouped 11×11 convolution.
    """

    kind: ClassVar[str] = "ssim"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = True
    perfect: ClassVar[float | None] = 1.0
    limit: ClassVar[float | None] = 0.4

    border: Border = "valid"

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Require images at least as large as the window."""
        height, width = image_shape[-2:]
        if min(height, width) < WIDTH:
            raise InputError(
                f"metric ssim: images of {height}×{width} pixels are smaller than its"
                f" {WIDTH}×{WIDTH} window; use mse or psnr, or pad the images to at least"
                f" {WIDTH} pixels each way"
            )

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable. Computed in float32 at least, even under autocast."""
        self.check_shape(images.shape[1:])
        with torch.autocast(images.device.type, enabled=False):
            dtype = torch.promote_types(images.dtype, torch.float32)
            found = local_moments(images.to(dtype), references.to(dtype), self.border)
            top = (2 * found.mean_product + C1) * (2 * found.covariance + C2)
            bottom = (found.mean_square + C1) * (found.variance + C2)
            return found.average(top / bottom)


class LocalMoments(NamedTuple):
    """Moments of a pair a, b in the window: each [N·C, rows, columns and more], see `average`.

    ``mean_product``: μ_a·μ_b. ``mean_square``: μ_a² + μ_b². ``covariance``: σ_ab. ``variance``:
    σ_a² + σ_b². ``rows``: N. ``columns``: those that count; the ones beyond only align memory.
    """

    mean_product: Tensor
    mean_square: Tensor
    covariance: Tensor
    variance: Tensor
    rows: int
    columns: int

    def average(self, values: Tensor) -> Tensor:
        """Mean over channels and positions of something computed from the moments, [N]."""
        return values[..., : self.columns].reshape(self.rows, -1).mean(1)


def local_moments(images: Tensor, references: Tensor, border: Border) -> LocalMoments:
    """Slide the window over images and references [N, C, H, W] of float32 or float64.

    Callers ensure that height and width are at least `WIDTH`.
    """
    height, width = images.shape[-2:]
    a, b = images, references
    down = _band(height, border, a.dtype, a.device)
    across = _band(width, border, a.dtype, a.device)
    rows, columns = len(down), len(across)
    # A product of small matrices may round differently at another alignment in memory; padded,
    # every image has the same alignment at every place of the batch.
    spare_in = _spare(width, height)
    spare_out = _spare(columns, height, rows)
    stack = torch.stack([a, b, a * a + b * b, a * b]).flatten(0, 2)
    stack = functional.pad(stack, (0, spare_in)) if spare_in else stack
    across = functional.pad(across, (0, spare_in, 0, spare_out))
    half = torch.bmm(stack, across.T.expand(len(stack), -1, -1))
    blurred = torch.bmm(down.expand(len(stack), -1, -1), half)
    mean_a, mean_b, square, product = blurred.chunk(4)
    mean_product = mean_a * mean_b
    mean_square = mean_a * mean_a + mean_b * mean_b
    # Rounding may leave a variance slightly below zero.
    variance = (square - mean_square).clamp_min(0)
    covariance = product - mean_product
    return LocalMoments(mean_product, mean_square, covariance, variance, len(images), columns)


def _spare(width: int, *heights: int) -> int:
    """Number of columns to add so that every height × width is a multiple of 16 numbers."""
    return next(spare for spare in range(16) if all(h * (width + spare) % 16 == 0 for h in heights))
