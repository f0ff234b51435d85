"""Matrix products in which every row is computed separately.

A product of a whole block, ``rows @ matrix``, is cut into tiles by the library that computes it,
and rows of a partly filled tile may be summed in another order: on AVX2 the last four of 64 rows
then differ in their last bits from the same rows elsewhere in the block; with other numbers of
threads, other rows do. Here each row is a problem of its own, all of one shape and equally aligned
in memory, so a row's bits depend on the row alone. It takes up to twice as long as one product of
the block, a few percent of the time of the convolutions beside it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_ALIGNED = 16  # 64 bytes in float32 values: the widest vector


class RowProduct(nn.Module):
    """x ↦ x·W + b for every row x of a block, [N, K] → [N, M]; differentiable in the rows.

    ``matrix``: W, [K, M]. ``bias``: b, [M], or none.
    """

    matrix: Tensor
    bias: Tensor | None

    def __init__(self, matrix: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.size = tuple(matrix.shape)
        spare = [-length % _ALIGNED for length in matrix.shape]
        padded = functional.pad(matrix, (0, spare[1], 0, spare[0]))
        self.register_buffer("matrix", padded.contiguous())
        self.register_buffer("bias", bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Products of rows [N, K]."""
        spare = len(self.matrix) - self.size[0]
        given = functional.pad(rows, (0, spare)) if spare else rows.contiguous()
        found = given[:, None].bmm(self.matrix.expand(len(given), -1, -1))[:, 0, : self.size[1]]
        return found if self.bias is None else found + self.bias
