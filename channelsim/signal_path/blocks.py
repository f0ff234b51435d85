"""Rows in blocks of heights that give the same bits, so that a row's are its own.

A path takes several blocks at once: an attack that climbs them together closes up as rows are done,
and equal rows are computed once. Whatever belongs to a codec, a stage or a metric is still asked of
one block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import RowsError
from channelsim.contracts.parts import Codec
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Knowledge
from channelsim.support.block_shape import BlockShape
from channelsim.support.distinct_rows import distinct_rows

T = TypeVar("T")


def block_by_block(
    compute: Callable[[int, slice], T], parts: Sequence[slice], rows: int
) -> list[T]:
    """What ``compute`` makes of each block, given its number and its rows.

    An error about rows of one names those of the whole.
    """
    found = []
    for number, part in enumerate(parts):
        try:
            found.append(compute(number, part))
        except RowsError as error:
            raise error.moved(range(part.start, part.stop), rows) from error
    return found


def of_adversary(
    stage: Adversary,
    knowledge: Knowledge,
    parts: Sequence[slice],
    rows: int,
    compute: Callable[[slice, slice, Knowledge], T],
) -> list[T]:
    """What ``compute`` makes of an adversary: of all rows, if it takes several blocks, or of each.

    It is given the blocks by number, their rows, and the adversary's knowledge of these.
    """
    if stage.takes_blocks or len(parts) == 1:
        return [compute(slice(None), slice(0, rows), knowledge)]
    everyone = np.arange(rows)
    return block_by_block(
        lambda number, part: compute(
            slice(number, number + 1), part, knowledge.only(everyone[part])
        ),
        parts,
        rows,
    )


def joined(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all parts."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def _rows_of(
    parts: Sequence[tuple[Tensor, Tensor | None]], rows: Tensor | slice
) -> tuple[Tensor, Tensor | None]:
    """Some rows of all parts' images, and of what they say of their decoding."""
    flags = [ok for _, ok in parts if ok is not None]
    images = joined([image for image, _ in parts])[rows]
    return images, joined(flags)[rows] if len(flags) == len(parts) else None


class SomeRows:
    """Some rows of tensors; of one tensor always the same, since equal ones are computed once."""

    def __init__(self, rows: slice | Ints) -> None:
        self.rows = rows
        self._done: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        """Of one tensor [N, …]."""
        if id(tensor) not in self._done:
            self._done[id(tensor)] = tensor, tensor[self.rows]
        return self._done[id(tensor)][1]

    def each(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of each tensor, by role."""
        return {role: self(tensor) for role, tensor in tensors.items()}


@dataclass(frozen=True)
class BlockCodec:
    """A codec on any number of rows, in blocks."""

    codec: Codec
    shape: BlockShape

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and standard deviation, see `Codec.posterior`."""
        found = self._computed(self.codec.posterior, images)
        spreads = [std for _, std in found if std is not None]
        mean = joined([mean for mean, _ in found])[: len(images)]
        return mean, joined(spreads)[: len(images)] if spreads else None

    def encode(self, images: Tensor) -> Tensor:
        """The mean alone."""
        return self.posterior(images)[0]

    def decode(self, latent: Tensor) -> Tensor:
        """Images, see `decoded`."""
        return self.decoded(latent)[0]

    def decoded(self, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Codec.decoded`; of more than one block, each different row is decoded once.

        Not where gradients are asked for, which belong to every row.
        """
        if len(latent) <= self.shape.heights[0] or (
            torch.is_grad_enabled() and latent.requires_grad
        ):
            return _rows_of(self._computed(self.codec.decoded, latent), slice(len(latent)))
        first, place = distinct_rows(latent)
        try:
            found = self._computed(self.codec.decoded, latent[first])
        except RowsError as error:
            rows = torch.isin(place, torch.tensor(error.rows, device=place.device))
            raise error.about(
                error.message, rows.nonzero().flatten().tolist(), len(latent)
            ) from error
        return _rows_of(found, place)

    def attack_loss(self, latent: Tensor, sent: Tensor) -> Tensor:
        """Losses [N], see `Codec.attack_loss`."""
        codec, size = self.codec, self.codec.latent_size
        pairs = torch.cat([latent, sent.to(latent)], dim=1)
        found = self._computed(lambda p: codec.attack_loss(p[:, :size], p[:, size:]), pairs)
        return joined(found)[: len(latent)]

    def _computed(self, compute: Callable[[Tensor], T], rows: Tensor) -> list[T]:
        """Answers to all blocks, the last one filled up."""
        n, full = len(rows), rows
        if self.shape.padded(n) > n:
            full = rows[torch.from_numpy(self.shape.filled(np.arange(n))).to(rows.device)]
        parts = self.shape.parts(len(full))
        return block_by_block(lambda _, part: compute(full[part]), parts, n)
