"""The heights of the blocks in which rows are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 32  # rows; project's choice: as fast per row as 256 on the shipped codecs


@dataclass(frozen=True)
class BlockShape:
    """Blocks of ``rows``; where their bits are known to be the same, smaller ones for the rest.

    ``halvings``: how often a block may be halved. A row that is computed in vain, to fill a block,
    takes as long as any other.
    """

    rows: int
    halvings: int = 0

    @property
    def least(self) -> int:
        """The rows of the smallest blocks."""
        return self.rows >> self.halvings

    @property
    def smaller(self) -> BlockShape:
        """The same with all halvings that leave whole and not too small numbers of rows."""
        halvings, rows = 0, self.rows
        while rows % 2 == 0 and rows // 2 >= _LEAST:
            halvings, rows = halvings + 1, rows // 2
        return BlockShape(self.rows, halvings)

    def padded(self, rows: int) -> int:
        """The number of rows that are computed for so many."""
        return -(-rows // self.least) * self.least

    def filled(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows and, up to the number that is computed, the last one again."""
        found: NDArray[Any] = rows[np.minimum(np.arange(self.padded(len(rows))), len(rows) - 1)]
        return found

    def parts(self, rows: int) -> list[slice]:
        """The blocks of a padded number of rows: whole ones, then halves."""
        found, start, size = [], 0, self.rows
        while start < rows:
            while size > rows - start and size > self.least:
                size //= 2
            found.append(slice(start, start + size))
            start += size
        return found
