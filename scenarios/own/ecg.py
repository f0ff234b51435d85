"""A codec of your own for signals: principal components of an electrocardiogram.

The K directions in which segments of the training split differ most; z are the coordinates along
them, and the receiver shows their sum, in mV.
"""

from pathlib import Path

import torch
from torch import nn

import channelsim

RECORD = Path(__file__).parent / "ecg.npz"


class Components(nn.Module):
    """``size``: K, of 256 samples."""

    def __init__(self, size=48):
        super().__init__()
        seen = channelsim.signals(
            RECORD, samples=256, hop=16, rate_hz=360.0, scale=0.005, offset=1024.0, split="train"
        )
        seen = seen.flatten(1).double()
        mean = seen.mean(dim=0)
        _, vectors = torch.linalg.eigh(torch.cov(seen.T))
        directions = vectors[:, -size:].flip(1)
        signs = directions.sum(dim=0).sign()  # an eigenvector's sign is nobody's choice
        self.register_buffer("mean", mean.float())
        self.register_buffer("directions", (directions * signs).float())

    def encode(self, signals):
        """Signals [N, 1, 256] in mV → coordinates [N, K]."""
        return _products(signals.flatten(1) - self.mean, self.directions)

    def decode(self, latent):
        """Coordinates [N, K] → signals [N, 1, 256] in mV; differentiable."""
        return (self.mean + _products(latent, self.directions.T))[:, None]


def _products(rows, matrix):
    """Every row times a matrix, each a product of its own: its bits depend on no other row."""
    return torch.bmm(rows[:, None], matrix.expand(len(rows), -1, -1))[:, 0]
