"""Features of a batch in which many rows are equal: each different image goes through a trunk once.

A block holds the same few messages in many arms, so that of its sources, clean and passive images
only some differ, and a target image is often one for all. Rows are computed in blocks of one
height, whatever the number of different ones: a row's bits depend neither on its place nor on its
neighbours, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from channelsim.support.distinct_rows import distinct_rows

HEIGHT = 32  # rows of a block; project's choice: as fast per row as 256 on the shipped trunk


@dataclass(frozen=True, slots=True)
class DistinctFeatures:
    """Features of a batch: ``values`` [..., u, F] of its different images.

    ``place`` [N]: every row's place among them; None where the rows are taken as all different.
    """

    values: Tensor
    place: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """The memory that they take."""
        return self.values.nbytes

    @property
    def requires_grad(self) -> bool:
        """Whether they carry a gradient."""
        return self.values.requires_grad

    def is_inference(self) -> bool:
        """Whether they come from inference mode."""
        return self.values.is_inference()

    def rows(self) -> Tensor:
        """The features of every row, [..., N, F]."""
        return self.values if self.place is None else self.values[..., self.place, :]


def distinct_features(images: Tensor, compute: Callable[[Tensor], Tensor]) -> DistinctFeatures:
    """The features [..., N, F] that ``compute`` finds in images [N, C, H, W], row by row.

    Images that carry a gradient, and small batches, are all computed, as one block.
    """
    if images.requires_grad or len(images) <= HEIGHT:
        return DistinctFeatures(compute(images))
    first, place = distinct_rows(images)
    padded = torch.cat([first, first[-1:].expand(-len(first) % HEIGHT)])
    found = [compute(images[rows]) for rows in _parts(padded)]
    return DistinctFeatures(torch.cat(found, dim=-2)[..., : len(first), :], place)


def squared_distances(a: DistinctFeatures, b: DistinctFeatures) -> Tensor:
    """‖φ(x) − φ(y)‖² of every row, [..., N]; differentiable."""
    if a.requires_grad or b.requires_grad or a.place is None or b.place is None:
        return _squared(a.rows(), b.rows())
    many = b.values.shape[-2]
    pairs, place = torch.unique(a.place * many + b.place, return_inverse=True)
    # In parts that stay in the processor's cache.
    found = [
        _squared(a.values[..., some // many, :], b.values[..., some % many, :])
        for some in _parts(pairs)
    ]
    return torch.cat(found, dim=-1)[..., place]


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, HEIGHT)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(dim=-1)
