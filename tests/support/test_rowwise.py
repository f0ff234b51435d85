"""What a number gives depends on the number alone: not on its place, its tensor, or threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from channelsim.contracts.complex_symbols import amplified, magnitude, together
from channelsim.support import arithmetic, rowwise, units

NUMBERS = torch.rand(5_000, generator=torch.Generator().manual_seed(3)) * 0.98 + 0.01
LENGTHS = [1, 2, 3, 5, 8, 16, 24, 33, 150, 256, 1000]

FREE: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: rowwise.sigmoid(8 * x - 4),
    "power": lambda x: rowwise.power(x, 0.1),
    "from_db": lambda x: units.from_db(40 * x - 20),
    "db": units.db,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "sums of squares": lambda x: x[:, None].expand(-1, 10).square().sum(dim=1),
    "norms": lambda x: torch.linalg.vector_norm(x[:, None] * torch.arange(10), dim=1),
    "gains": lambda x: amplified(torch.stack([x, 1 - x], 1), torch.complex(x, x)[:, None])[:, 0],
    "products of gains": lambda x: together(torch.complex(x, 1 - x), torch.complex(x, x)).real,
    "magnitudes": lambda x: magnitude(torch.complex(x, 1 - x)),
}


@pytest.mark.elsewhere
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("function", FREE.values(), ids=FREE)
def test_a_numbers_value_does_not_depend_on_its_place(
    function: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    numbers = NUMBERS.to(dtype)
    alone = torch.cat([function(one) for one in numbers.split(1)])
    for length in LENGTHS:
        together = torch.cat([function(some) for some in numbers.split(length)])
        assert torch.equal(alone, together), length


@pytest.mark.elsewhere
@pytest.mark.parametrize("threads", [2, 3, 6, 7])
def test_a_sigmoid_is_the_same_for_any_number_of_threads(threads: int) -> None:
    many = NUMBERS.repeat(53)[:262_144].view(256, 1, 32, 32) * 8 - 4
    with arithmetic.threads(1):
        expected = rowwise.sigmoid(many)
    with arithmetic.threads(threads):
        assert torch.equal(rowwise.sigmoid(many), expected)


@pytest.mark.elsewhere
@pytest.mark.parametrize(("rows", "width"), [(256, 48), (299, 16), (40, 30)])
def test_a_sigmoid_of_a_slice_is_the_same_too(rows: int, width: int) -> None:
    whole = NUMBERS.repeat(150)[: rows * (width + 2) ** 2].view(rows, 1, width + 2, width + 2)
    inner = (whole * 8 - 4)[:, :, 1:-1, 1:-1]
    with arithmetic.threads(1):
        expected = torch.cat([rowwise.sigmoid(one) for one in inner.split(1)])
    for threads in (1, 3, 5):
        with arithmetic.threads(threads):
            assert torch.equal(rowwise.sigmoid(inner), expected), threads


def test_they_are_what_they_are_called() -> None:
    numbers = NUMBERS.double()
    assert torch.allclose(rowwise.power(numbers, 0.3), numbers**0.3, rtol=1e-14)
    assert torch.allclose(rowwise.sigmoid(numbers[:77]), torch.sigmoid(numbers[:77]), rtol=1e-14)
    leaf = numbers[:77].clone().requires_grad_()
    (slope,) = torch.autograd.grad(rowwise.sigmoid(leaf).sum(), leaf)
    value = torch.sigmoid(numbers[:77])
    assert torch.allclose(slope, value * (1 - value), rtol=1e-14)
