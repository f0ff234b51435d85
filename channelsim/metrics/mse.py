"""Mean squared error of an image."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from channelsim.contracts.parts import Metric, part


@part
class MSE(Metric):
    """Mean squared difference over the pixels and channels of one image, or samples of a signal.

    MSE = ‖a − b‖² / (C·H·W), in squared units of the image range [0, 1]; of signals ‖a − b‖² /
    (C·L), in squared units of the signal. There is no ``limit``: Lu
    & Chen draw no line for the MSE, and their 34 dB for PSNR (MSE 4e-4) lies so close to perfect
    that an area against it would only measure the distance beyond it.
    """

    kind: ClassVar[str] = "mse"
    higher_is_better: ClassVar[bool] = False
    perfect: ClassVar[float | None] = 0.0

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable."""
        return functional.mse_loss(images, references, reduction="none").flatten(1).mean(1)
