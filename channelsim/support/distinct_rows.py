"""Which rows of a batch are equal to the bit, so that each different one is computed once."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

_PART = 32  # rows hashed at once, so that they stay in the processor's cache; project's choice


def distinct_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The first of each different row, in order [u], and every row's number among them [N].

    ``rows``: [N, …]. Where they are not float32, all are taken as different.
    """
    numbers = torch.arange(len(rows), device=rows.device)
    if rows.dtype != torch.float32 or not rows.numel():
        return numbers, numbers
    bits = rows.detach().reshape(len(rows), -1).contiguous().view(torch.int32)
    factors = _factors(bits.shape[1]).to(bits.device)
    # Exact modulo 2⁶⁴, in any order of summing.
    parts = torch.split(bits, _PART)
    keys = torch.cat([(part.long() * factors).sum(dim=1) for part in parts])
    known, place = torch.unique(keys, return_inverse=True)
    first = torch.full_like(known, len(rows)).scatter_reduce(0, place, numbers, "amin")
    if not torch.equal(bits[first][place], bits):
        return numbers, numbers  # two different rows of one key
    order = first.argsort()
    return first[order], order.argsort()[place]


@functools.lru_cache(maxsize=8)
def _factors(size: int) -> Tensor:
    """Odd numbers, the same always."""
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.integers(-(2**62), 2**62, size, dtype=np.int64) * 2 + 1)
