"""Signals in a ledger: kept as they are, little-endian float32, and drawn as small pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelsim.contracts.sampling import Sampling

Signal = NDArray[np.float32]

_HEIGHT, _WIDEST = 64, 256  # pixels of a picture; project's choice
_PAPER, _AXIS, _BEHIND = 250, 220, (170, 170, 170)
_INKS = ((38, 70, 131), (178, 76, 48), (64, 120, 64), (120, 80, 140))  # of channels, in turn


def signal_bytes(signal: Signal) -> bytes:
    """A signal [C, L] as the ledger keeps it: no value is rounded."""
    return np.ascontiguousarray(signal, dtype="<f4").tobytes()


def signal_of(stored: Any, shape: tuple[int, int] | None) -> Signal | None:
    """The signal [C, L]; None where it is damaged, or not of the run's shape."""
    if shape is None or not isinstance(stored, bytes) or len(stored) != 4 * shape[0] * shape[1]:
        return None
    found: Signal = np.frombuffer(stored, dtype="<f4").reshape(shape).astype(np.float32)
    return found if np.isfinite(found).all() else None


def drawn(signal: Signal, sampling: Sampling, behind: Signal | None = None) -> NDArray[np.uint8]:
    """A picture [H, W, 3] of a signal [C, L], from left to right in time.

    From top to bottom is the range of the training split, extended to zero, where a line is;
    values beyond it lie at the edge. ``behind``: another signal, in grey behind this one.
    """
    wide = min(signal.shape[1], _WIDEST)
    picture = np.full((_HEIGHT, wide, 3), _PAPER, dtype=np.uint8)
    low, high = min(sampling.low, 0.0), max(sampling.high, 0.0)
    per_row = (high - low) / (_HEIGHT - 1) or 1.0

    def rows(values: NDArray[np.float64]) -> NDArray[np.int64]:
        with np.errstate(over="ignore"):
            return np.rint((high - values) / per_row).clip(0, _HEIGHT - 1).astype(np.int64)

    picture[rows(np.zeros(1))[0]] = _AXIS
    edges = np.arange(wide + 1) * signal.shape[1] // wide
    for shown, inks in ((behind, (_BEHIND,)), (signal, _INKS)):
        for number, channel in enumerate(() if shown is None else shown.astype(np.float64)):
            for column in range(wide):
                # From the value before, so that the line is not broken.
                part = channel[max(0, edges[column] - 1) : edges[column + 1]]
                top, bottom = rows(np.array([part.max(), part.min()]))
                picture[top : bottom + 1, column] = inks[number % len(inks)]
    return picture
