"""Functions whose value at a number depends on the number alone, not on its place in a tensor.

Torch computes some functions of many numbers with vector instructions and those left over, at the
end of a tensor or of one thread's part of it, by another algorithm: the last digit may differ. Sums
over a row, and exp, log, sin and cos, are free of that; powers, the sigmoid and products of complex
numbers are not. `tests/support/test_rowwise.py` tells which.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_VECTORS = 64  # numbers that the widest kernel takes at once
_GRAIN = 32_768  # numbers from which on torch divides a tensor among threads


def sigmoid(values: Tensor) -> Tensor:
    """1/(1 + e^−x); differentiable."""
    values = values.contiguous()  # else every line of a slice has a rest of its own
    size = values.numel()
    full = _without_rest(size)
    if full == size:
        return torch.sigmoid(values)
    padded = functional.pad(values.view(-1), (0, full - size))
    return torch.sigmoid(padded)[:size].view(values.shape)


def _without_rest(size: int) -> int:
    """The least number, from ``size`` on, that threads and vectors divide without a rest."""
    while True:
        threads = max(1, min(torch.get_num_threads(), -(-size // _GRAIN)))
        full = -(-size // (_VECTORS * threads)) * _VECTORS * threads
        if full == size:
            return size
        size = full


def power(values: Tensor, exponent: float) -> Tensor:
    """x^exponent for x > 0, by double precision; differentiable."""
    return (values.double().log() * exponent).exp().to(values.dtype)
