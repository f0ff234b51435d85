"""A codec of your own, from outside machine learning: compressed sensing, y = A·x.

The transmitter measures an image with a random matrix A; the receiver knows how images look (mean
and covariance C of a training set) and shows the best linear guess,
x̂ = m + C·Aᵀ(A·C·Aᵀ + λI)⁻¹·(y − A·m).
"""

import torch
from torch import nn

import channelsim


class Sensing(nn.Module):
    """``measurements``: K, of 1,024 pixels. ``noise``: λ per mean pixel variance."""

    calibration_images = 2000  # so many images are enough to measure its transmit power

    def __init__(self, measurements=64, noise=1e-3, seed=0):
        super().__init__()
        seen = channelsim.images("mnist5k", split="train").flatten(1).double()
        mean, pixels = seen.mean(dim=0), seen.shape[1]
        covariance = torch.cov(seen.T)
        draws = torch.Generator().manual_seed(seed)
        a = torch.randn(measurements, pixels, generator=draws, dtype=torch.float64) / pixels**0.5
        gram = a @ covariance @ a.T + noise * covariance.diagonal().mean() * torch.eye(measurements)
        self.register_buffer("a", a.float())
        self.register_buffer("mean", mean.float())
        self.register_buffer("back", torch.linalg.solve(gram, a @ covariance).float())

    def encode(self, images):
        """Images [N, 1, 32, 32] → measurements [N, K]."""
        return _products(images.flatten(1) - self.mean, self.a.T)

    def decode(self, latent):
        """Measurements [N, K] → images [N, 1, 32, 32]; differentiable."""
        image = self.mean + _products(latent, self.back)
        return image.clamp(0, 1).reshape(-1, 1, 32, 32)


def _products(rows, matrix):
    """Every row times a matrix, each a product of its own: its bits depend on no other row."""
    return torch.bmm(rows[:, None], matrix.expand(len(rows), -1, -1))[:, 0]
