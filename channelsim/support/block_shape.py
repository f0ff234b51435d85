"""The heights of the blocks in which rows are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows that fill no block are filled up to a multiple of an eighth of one: at most three blocks, an
# eighth computed in vain. Project's choice, since three smaller blocks cost a little more than one.
_FINEST = 3  # halvings


@dataclass(frozen=True)
class BlockShape:
    """Blocks of ``rows``, or of any of these heights that are known to give the same bits.

    From ``least`` to ``most``, both the height itself, halved or doubled a few times; default: the
    height alone. A row that is computed in vain, to fill a block, takes as long as any other.
    """

    rows: int
    least: int = 0
    most: int = 0

    @property
    def heights(self) -> list[int]:
        """All heights, in order."""
        found = [self.rows]
        while found[0] > (self.least or self.rows):
            found.insert(0, found[0] // 2)
        while found[-1] < self.most:
            found.append(2 * found[-1])
        return found

    def parts(self, rows: int) -> list[slice]:
        """The blocks of so many rows, in order; the last one may reach beyond them."""
        heights = self.heights
        whole, left = divmod(rows, heights[-1])
        chosen = [heights[-1]] * whole
        if left:
            place = next(place for place, height in enumerate(heights) if height >= left)
            finest = max(0, place - _FINEST)
            left = -(-left // heights[finest]) * heights[finest]
            for height in reversed(heights[finest : place + 1]):
                if left >= height:
                    chosen.append(height)
                    left -= height
        ends = np.cumsum(chosen).tolist()
        return [slice(end - height, end) for end, height in zip(ends, chosen, strict=True)]

    def padded(self, rows: int) -> int:
        """The number of rows that are computed for so many."""
        return self.parts(rows)[-1].stop if rows else 0

    def filled(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows and, up to the number that is computed, the last one again."""
        found: NDArray[Any] = rows[np.minimum(np.arange(self.padded(len(rows))), len(rows) - 1)]
        return found
