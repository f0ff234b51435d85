"""The rows of a list: the highest by a score, in every group, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Top:
    """The ``keep`` rows with the highest score of every group; ties go to the lower transmission.

    A row is a line of a matrix: its transmission, its score, then the other columns shown.
    """

    def __init__(self, width: int, keep: int) -> None:
        self._keep = keep
        self._rows = np.empty((0, width))
        self._group = np.empty(0, dtype=np.int64)

    def add(self, rows: Floats, group: Ints) -> None:
        """Offer rows [N, width] with their groups [N]; rows without a score are ignored."""
        known = ~np.isnan(rows[:, 1])
        rows = np.concatenate([self._rows, rows[known]])
        group = np.concatenate([self._group, group[known]])
        order = np.lexsort((rows[:, 0], -rows[:, 1], group))
        sorted_group = group[order]
        first = np.r_[True, sorted_group[1:] != sorted_group[:-1]] if len(order) else order
        starts = np.flatnonzero(first)
        lengths = np.diff(np.r_[starts, len(order)])
        rank = np.arange(len(order)) - np.repeat(starts, lengths)
        kept = order[rank < self._keep]
        self._rows, self._group = rows[kept], group[kept]

    def best(self, groups: NDArray[np.bool_], most: int) -> Floats:
        """The highest rows [≤ most, width] of the groups in the mask, best first."""
        rows = self._rows[groups[self._group]]
        order = np.lexsort((rows[:, 0], -rows[:, 1]))
        return rows[order[:most]]
