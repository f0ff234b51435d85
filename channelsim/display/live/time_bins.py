"""Sums per arm over bins of simulated time, which widen as the run goes on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BINS = 160  # even; project's choice
_FIRST_WIDTH_S = 2.0**-10


class TimeBins:
    """Sums per arm and bin; ``width_s`` is the width of a bin, a power of two of a millisecond.

    ``fidelity``: Σ of every metric on its additive scale and the number of rows, by arrival time of
    the transmission's last attempt. ``attempts``, ``attacked``: numbers of attempts that arrived,
    and of those into which something was injected.
    """

    def __init__(self, arms: int, metrics: int) -> None:
        self.width_s = _FIRST_WIDTH_S
        self.sums = np.zeros((metrics, arms, BINS))
        self.counts = np.zeros((metrics, arms, BINS))
        self.attempts = np.zeros((arms, BINS))
        self.attacked = np.zeros((arms, BINS))
        self.end_s = 0.0

    def add_attempts(self, arm: Ints, time_s: Floats, attacked: Bools) -> None:
        """Count attempts [N] by arrival time."""
        place = self._place(arm, time_s)
        _count(self.attempts, place)
        _count(self.attacked, place[attacked])

    def add_fidelity(self, arm: Ints, time_s: Floats, additive: Floats) -> None:
        """Add metrics [N, metrics] of settled transmissions; NaN is skipped."""
        place = self._place(arm, time_s)
        for metric in range(additive.shape[1]):
            known = ~np.isnan(additive[:, metric])
            _count(self.sums[metric], place[known], additive[known, metric])
            _count(self.counts[metric], place[known])

    def _place(self, arm: Ints, time_s: Floats) -> Ints:
        if len(time_s):
            self.end_s = max(self.end_s, float(time_s.max()))
        while self.end_s >= BINS * self.width_s:
            self.width_s *= 2
            for table in (self.sums, self.counts, self.attempts, self.attacked):
                table[...] = _halved(table)
        return arm * BINS + (time_s / self.width_s).astype(np.int64)

    def shown(self, metric: int, arms: Bools, width: int) -> tuple[Floats, Floats]:
        """Return mean fidelity (additive; NaN without rows) and attacked share in ``width`` bins.

        Over the arms in the mask [arms], from 0 to the latest time seen.
        """
        used = min(BINS, max(1, int(self.end_s / self.width_s) + 1))
        edges = np.linspace(0, used, min(width, used) + 1).astype(int)[:-1]
        tables = (self.sums[metric], self.counts[metric], self.attacked, self.attempts)
        sums, counts, attacked, attempts = (
            np.add.reduceat(table[arms].sum(axis=0)[:used], edges) for table in tables
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums / counts, np.where(attempts > 0, attacked / attempts, 0.0)


def _count(table: Floats, place: Ints, weights: Floats | None = None) -> None:
    flat = table.reshape(-1)
    np.add.at(flat, place, 1.0 if weights is None else weights)


def _halved(table: Floats) -> Floats:
    pairs = table[..., 0::2] + table[..., 1::2]
    return np.concatenate([pairs, np.zeros_like(pairs)], axis=-1)
