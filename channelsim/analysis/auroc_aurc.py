"""Quality of an order of rows: areas under risk–coverage and ROC curves, resampled.

A detector orders rows by suspicion. Every statistic of that order is a function of the cells'
weights (how often a resample holds each cell, see `intervals`), so that the data themselves (all
weights 1), the bootstrap's resamples and the jackknife use one function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.intervals import Floats, Interval, Means, Resampler, intervals

Ints = NDArray[np.int64]
OfWeights = Callable[[Floats], Floats]

EXACT = 2048  # project's choice: up to this many rows every score is its own group
GROUPS = 256  # project's choice: beyond, groups of equal size; areas then err by about 1/GROUPS²
_ROWS_AT_ONCE = 256


class Ranked:
    """Rows in ascending order of ``key`` [n], as groups that share a place in the order.

    ``cell`` [n]: the cell of each row, of ``cells``. ``columns``: values [n] to sum. Rows of equal
    key are one group: results must not depend on an order among them.
    """

    def __init__(self, key: Floats, cell: Ints, cells: int, columns: Sequence[Floats]) -> None:
        order = np.argsort(key, kind="stable")
        ranked, self._cell = key[order], cell[order]
        self._columns = [column[order] for column in columns]
        place = np.searchsorted(ranked, ranked, side="left")  # equal keys share a group
        self._matrices: list[Floats] | None = None
        if len(key) > EXACT:
            group = place * GROUPS // len(key)
            flat, size = self._cell * GROUPS + group, cells * GROUPS
            self._matrices = []
            for column in (np.ones(len(key)), *self._columns):
                sums: Floats = np.bincount(flat, weights=column, minlength=size).astype(float)
                self._matrices.append(sums.reshape(cells, GROUPS))
        else:
            self._starts = np.flatnonzero(place == np.arange(len(key)))

    def totals(self, weights: Floats) -> list[Floats]:
        """Number of rows, then the sums of every column, per group: weights [R, cells] → [R, G]."""
        if self._matrices is not None:
            return [weights @ matrix for matrix in self._matrices]
        rows = weights[:, self._cell]
        wanted = [rows, *(rows * column for column in self._columns)]
        return [np.add.reduceat(values, self._starts, axis=1) for values in wanted]


def area_under_risk(count: Floats, damage: Floats) -> Floats:
    """AURC: the mean of risk(k) over k = 1 … n, where risk(k) is the mean damage of the first k.

    ``count``, ``damage``: rows and summed damage of every group, [R, G] → [R]. A group of m rows
    behind N others of summed damage S stands for all orders among its rows, whose mean is

        Σ_{j=1..m} (S + j·D/m)/(N + j) = (S − N·D/m)·(H_{N+m} − H_N) + D

    with H the harmonic numbers and D the group's own damage: a constant score gives the mean
    damage, as a random one does on average. Source: Geifman, Uziel & El-Yaniv 2019, "Bias-reduced
    uncertainty estimation for deep neural classifiers"; the mean over ties is the project's.
    """
    after = np.cumsum(count, axis=1)
    total = np.rint(after).astype(np.int64)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, total.max(initial=0) + 1))])
    steps = harmonic[total] - harmonic[np.rint(after - count).astype(np.int64)]
    before = np.cumsum(damage, axis=1) - damage
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(count > 0, damage / count, 0.0)
        area: Floats = ((before - (after - count) * each) * steps + damage).sum(1) / after[:, -1]
    return area


def risk_at(share: Floats, count: Floats, damage: Floats) -> Floats:
    """Mean damage of the first ``share`` [S] of the rows, linear within a group: [R, G] → [R, S].

    Shares are in (0, 1].
    """
    zero = np.zeros((len(count), 1))
    rows = np.concatenate([zero, np.cumsum(count, axis=1)], axis=1)
    sums = np.concatenate([zero, np.cumsum(damage, axis=1)], axis=1)
    found = np.empty((len(count), len(share)))
    for place, (x, y) in enumerate(zip(rows, sums, strict=True)):
        wanted = share * x[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            found[place] = np.interp(wanted, x, y) / wanted
    return found


def area_under_roc(count: Floats, positive: Floats) -> Floats:
    """AUROC: P(score of a positive > score of a negative) + ½ P(equal), [R, G] → [R].

    That is Mann and Whitney's U over the number of pairs. ``positive``: the number of positive rows
    among the ``count`` of each group. NaN without a pair.
    """
    negative = count - positive
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(divide="ignore", invalid="ignore"):
        area: Floats = (positive * (below + negative / 2)).sum(1) / (
            positive.sum(1) * negative.sum(1)
        )
    return area


def estimates(of: OfWeights, cells: int, resampler: Resampler) -> list[Interval]:
    """Values and intervals of S statistics of the weights: [R, cells] → [R, S]."""
    with np.errstate(divide="ignore", invalid="ignore"):  # leaving out the only cell leaves nothing
        value = of(np.ones((1, cells)))[0]
        resampled = np.concatenate([of(chunk) for chunk in _chunks(resampler.weights)])
        left_out = np.concatenate([of(chunk) for chunk in _without_each(cells)])
    return intervals(Means(value, resampled, left_out, resampler.few))


def _chunks(weights: NDArray[np.uint16]) -> Iterator[Floats]:
    for start in range(0, len(weights), _ROWS_AT_ONCE):
        yield weights[start : start + _ROWS_AT_ONCE].astype(np.float64)


def _without_each(cells: int) -> Iterator[Floats]:
    for start in range(0, cells, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, cells - start)
        chunk = np.ones((rows, cells))
        chunk[np.arange(rows), start + np.arange(rows)] = 0.0
        yield chunk
