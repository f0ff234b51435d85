"""A codec of one's own: averages of blocks out, smooth interpolation back; nothing to train."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlockAverage(nn.Module):
    """Images [N, 1, 32, 32] → the means of their blocks [N, K], K = (32 / block)², and back.

    ``block``: side of a block in pixels, a divisor of 32.
    """

    def __init__(self, block: int = 4) -> None:
        super().__init__()
        if 32 % block:
            raise ValueError(f"block must divide 32, was given {block}")
        self.side = 32 // block
        self.block = block
        # Linear interpolation from a row of means to a row of pixels, as a matrix [32, side].
        unit = torch.eye(self.side)[None]
        smooth = functional.interpolate(unit, scale_factor=float(block), mode="linear")
        self.register_buffer("smooth", smooth[0].T.contiguous())

    def encode(self, images: Tensor) -> Tensor:
        """Latents [N, K]; a variational codec would return (mean, standard deviation)."""
        return functional.avg_pool2d(images, self.block).flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        """Images [N, 1, 32, 32]; every row by itself, differentiable."""
        means = latent.unflatten(1, (1, self.side, self.side))
        return self.smooth @ means @ self.smooth.T
