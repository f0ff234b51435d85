"""A codec of one's own: averages of blocks out, smooth interpolation back; nothing to train."""

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

    def encode(self, images: Tensor) -> Tensor:
        """Latents [N, K]; a variational codec would return (mean, standard deviation)."""
        return functional.avg_pool2d(images, self.block).flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        """Images [N, 1, 32, 32]; every row by itself, differentiable."""
        means = latent.unflatten(1, (1, self.side, self.side))
        return functional.interpolate(means, scale_factor=float(self.block), mode="bilinear")
