"""Every row is computed once, in whole blocks and in allowed halves, with little in vain."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from channelsim.support.block_shape import BlockShape
from channelsim.support.distinct_rows import distinct_rows

SIZES = st.integers(1, 700)


@given(
    rows=SIZES, block=st.integers(1, 300), halvings=st.integers(0, 6), doublings=st.integers(0, 2)
)
def test_parts_are_the_rows_in_order_in_allowed_heights(
    rows: int, block: int, halvings: int, doublings: int
) -> None:
    least = block
    while halvings and least % 2 == 0:
        halvings, least = halvings - 1, least // 2
    shape = BlockShape(block, least, block << doublings)
    parts, padded = shape.parts(rows), shape.padded(rows)
    assert parts == shape.parts(padded), "as if it were that many"
    assert [row for part in parts for row in range(padded)[part]] == list(range(padded))
    assert {part.stop - part.start for part in parts} <= set(shape.heights)
    assert shape.heights[0] == least
    assert shape.heights[-1] == block << doublings
    assert rows <= padded <= max(rows + least - 1, 1.25 * rows, rows + shape.heights[-1] / 8)
    filled = shape.filled(np.arange(rows))
    assert filled.tolist() == [*range(rows), *[rows - 1] * (padded - rows)]


def test_without_other_heights_every_block_is_whole() -> None:
    assert BlockShape(256).parts(300) == [slice(0, 256), slice(256, 512)]
    assert BlockShape(256, 2, 256).parts(300) == [slice(0, 256), slice(256, 288), slice(288, 304)]
    assert BlockShape(8, 2, 64).parts(70) == [slice(0, 64), slice(64, 68), slice(68, 70)]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80))
def test_equal_rows_are_found_whatever_their_order(values: list[int]) -> None:
    table = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [torch.nan, 2.0], [3.0, 1e-30], [1.0, 0.0]])
    rows = table[values]
    first, place = distinct_rows(rows)
    assert first.tolist() == sorted({values.index(one) for one in values})
    assert [values[first[one]] for one in place] == values  # −0 is not 0, and NaN is itself
