"""A linear codec with closed-form results."""

from __future__ import annotations

import functools
import math
from typing import ClassVar, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from channelsim.contracts.parts import Codec, Count, Positive, part
from channelsim.support.row_product import RowProduct


@part
class Linear(Codec):
    """Decoder g(z) = W·diag(gains)·z, encoder z = diag(1/gains)·Wᵀx, nothing clamped.

    The K columns of W are the lowest frequencies of the orthonormal two-dimensional cosine basis
    in zigzag order (each frequency once per colour channel), so WᵀW = I and the Jacobian's
    singular values are exactly the gains. Hence

    * encode(decode(z)) = z; decode(encode(x)) projects x onto the basis;
    * largest damage at ‖δ‖₂ ≤ ε: ‖g(z+δ) − g(z)‖² = ε²·λ₁ with λ₁ = max gain², along that unit
      vector; on average over noise of the same energy, ε²·mean(gain²);
    * towards an image x_t, the first gradient step is −Jᵀ(g(z) − x_t); for a black target that is
      −diag(gains²)·z.

    ``latent_size``: K, at most C·H·W, default 16. ``gains``: K positive numbers, default all one.
    ``image_shape``: (C, H, W), or (C, L) of signals, which are taken as images of one row; default
    (1, 32, 32). The defaults are the project's.
    """

    kind: ClassVar[str] = "linear"

    latent_size: Count = 16
    gains: tuple[Positive, ...] | None = None
    image_shape: tuple[Count, Count, Count] | tuple[Count, Count] = (1, 32, 32)

    @model_validator(mode="after")
    def _fits(self) -> Linear:
        values = math.prod(self.image_shape)
        if self.latent_size > values:
            raise ValueError(
                f"latent_size {self.latent_size} is more than the {values} values of an image of"
                f" shape {list(self.image_shape)}"
            )
        if self.gains is not None and len(self.gains) != self.latent_size:
            raise ValueError(
                f"gains has {len(self.gains)} numbers, but latent_size is {self.latent_size};"
                " give one gain per latent value"
            )
        return self

    @functools.cached_property
    def network(self) -> nn.Module:
        """The two matrices, as a module."""
        gains = self.gains or (1.0,) * self.latent_size
        return LinearNetwork(cosine_basis(self.image_shape, self.latent_size), gains)


class LinearNetwork(nn.Module):
    """Encoder and decoder of `Linear`; ``basis``: [C, H, W, K] or [C, L, K], orthonormal."""

    def __init__(self, basis: Tensor, gains: tuple[float, ...]) -> None:
        super().__init__()
        self.image_shape = basis.shape[:-1]
        columns = basis.flatten(0, -2)
        scale = torch.tensor(gains, dtype=torch.float64)
        self.analysis = RowProduct((columns / scale).float())
        self.synthesis = RowProduct((columns * scale).T.float())
        self.eval()

    def encode(self, images: Tensor) -> Tensor:
        """Latent [N, K]."""
        return cast(Tensor, self.analysis(images.flatten(1)))

    def decode(self, latent: Tensor) -> Tensor:
        """Image [N, C, H, W], which may leave [0, 1]."""
        return cast(Tensor, self.synthesis(latent)).reshape(-1, *self.image_shape)


def cosine_basis(image_shape: tuple[int, ...], size: int) -> Tensor:
    """The first ``size`` orthonormal cosine images in zigzag order, float64 [C, H, W, size].

    Of signals (C, L): the lowest frequencies, float64 [C, L, size].
    """
    if len(image_shape) == 2:
        return cosine_basis((image_shape[0], 1, image_shape[1]), size)[:, 0]
    colours, height, width = image_shape
    rows, columns = _cosines(height), _cosines(width)
    basis = torch.zeros(colours, height, width, size, dtype=torch.float64)
    for number, (u, v) in enumerate(_zigzag(height, width)):
        image = rows[u][:, None] * columns[v][None, :]
        for colour in range(colours):
            position = number * colours + colour
            if position >= size:
                return basis
            basis[colour, :, :, position] = image
    return basis


def _cosines(length: int) -> Tensor:
    """Orthonormal DCT-II vectors, [frequency, position]."""
    frequency = torch.arange(length, dtype=torch.float64)[:, None]
    position = torch.arange(length, dtype=torch.float64)[None, :]
    vectors = torch.cos(math.pi * (position + 0.5) * frequency / length)
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)


def _zigzag(height: int, width: int) -> list[tuple[int, int]]:
    """Frequency pairs by rising sum, turning at each diagonal, as JPEG orders them."""
    pairs = [(u, v) for u in range(height) for v in range(width)]
    return sorted(pairs, key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else -p[0]))
