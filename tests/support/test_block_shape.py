"""Every row is computed once, in whole blocks and in allowed halves, with little in vain."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from channelsim.support.block_shape import BlockShape
from channelsim.support.distinct_rows import distinct_rows

SIZES = st.integers(1, 700)


@given(rows=SIZES, block=st.integers(1, 300), halves=st.booleans())
def test_parts_are_the_rows_in_order_in_allowed_heights(
    rows: int, block: int, halves: bool
) -> None:
    shape = BlockShape(block).smaller if halves else BlockShape(block)
    padded = shape.padded(rows)
    assert rows <= padded < rows + shape.least
    parts = shape.parts(padded)
    assert [row for part in parts for row in range(padded)[part]] == list(range(padded))
    heights = {part.stop - part.start for part in parts}
    assert heights <= {block >> halving for halving in range(shape.halvings + 1)}
    assert all(block % height == 0 for height in heights)
    filled = shape.filled(np.arange(rows))
    assert filled.tolist() == [*range(rows), *[rows - 1] * (padded - rows)]


def test_without_halvings_every_block_is_whole() -> None:
    assert BlockShape(256).parts(512) == [slice(0, 256), slice(256, 512)]
    assert BlockShape(256).smaller.least == 32
    assert BlockShape(8).smaller == BlockShape(8)
    assert BlockShape(100).smaller.least == 50


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80))
def test_equal_rows_are_found_whatever_their_order(values: list[int]) -> None:
    table = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [torch.nan, 2.0], [3.0, 1e-30], [1.0, 0.0]])
    rows = table[values]
    first, place = distinct_rows(rows)
    assert first.tolist() == sorted({values.index(one) for one in values})
    assert [values[first[one]] for one in place] == values  # −0 is not 0, and NaN is itself
