"""Latents as a user's module has them, of any shape and perhaps complex, and as they are sent.

On the wire a latent is K real values [N, K]; two of them make one complex symbol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LatentForm:
    """The form of one latent: its ``shape``, and whether its values are ``complex``."""

    shape: tuple[int, ...]
    complex: bool = False

    @classmethod
    def of(cls, latent: Tensor) -> LatentForm:
        """The form of latents [N, …]."""
        return cls(tuple(latent.shape[1:]), latent.dtype.is_complex)

    @property
    def size(self) -> int:
        """K: a complex value counts as two."""
        return math.prod(self.shape) * (2 if self.complex else 1)

    def fits(self, latent: Tensor) -> bool:
        """Whether latents [N, …] have this form."""
        return LatentForm.of(latent) == self

    def sent(self, latent: Tensor) -> Tensor:
        """Latents [N, …] as real values [N, K]; of a complex one its real part comes first."""
        real = torch.view_as_real(latent) if self.complex else latent
        return real.reshape(len(latent), self.size)

    def restored(self, values: Tensor) -> Tensor:
        """Values [N, K] as the module takes them, [N, …]."""
        if not self.complex:
            return values.reshape(len(values), *self.shape)
        pairs = values.reshape(len(values), *self.shape, 2).contiguous()
        return torch.view_as_complex(pairs)
