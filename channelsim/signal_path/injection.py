"""The injection of adversaries into a batch, as the ledger's columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from channelsim.contracts import records
from channelsim.support import units

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Injected:
    """The sum of adversaries' injections at one place.

    ``delta`` [N, ·]; ``energy`` [N] of the row there and ``power`` P per real value there;
    ``verdict`` None where no adversary is on the path; ``noise`` [N, ·]: matched, of its control.
    """

    delta: Tensor
    energy: Column
    power: float
    verdict: Column | None
    flipped_bits: Column | None = None
    noise: Tensor | None = None

    def columns(self) -> dict[str, Column]:
        """The attempt columns of the injection."""
        n, size = self.delta.shape
        energy = row_energy(self.delta)
        nothing = np.full(n, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "delta_linf": column_of(self.delta.abs().amax(dim=1)),
                "delta_l2": np.sqrt(energy),
                "psr_db": known(units.db(units.psr(energy, self.power, size))),
                "psr_row_db": known(units.db(energy / self.energy)),
                "flipped_bits": nothing if self.flipped_bits is None else self.flipped_bits,
                "verdict": np.full(n, None, dtype=object) if self.verdict is None else self.verdict,
            }


def column_of(values: Tensor) -> Column:
    """A tensor [N] as float64."""
    return values.detach().cpu().numpy().astype(np.float64)


def row_energy(signal: Tensor) -> Column:
    """‖·‖² per row, in double precision: float32 cancellation would show in dB."""
    return column_of(signal.double().square().sum(dim=1))


def known(decibels: Column) -> Column:
    """Infinite decibels (no noise, no perturbation) are missing values, not numbers."""
    return np.where(np.isfinite(decibels), decibels, np.nan)


def total(left: Column | None, right: Column | None) -> Column | None:
    """The sum of the given columns; None if both are."""
    if left is None or right is None:
        return right if left is None else left
    return left + right


_SEVERITY = {
    word: rank
    for rank, word in enumerate(
        [
            records.OFF,
            records.IDLE,
            records.OK,
            records.SATURATED,
            records.NOT_MOVED,
            records.ZERO_GRADIENT,
            records.NONFINITE,
        ]
    )
}


def worse(left: Column | None, right: Column) -> Column:
    """The more severe of two adversaries' verdicts."""
    if left is None:
        return right
    rank = np.vectorize(_SEVERITY.__getitem__, otypes=[int])
    return np.where(rank(right) >= rank(left), right, left)
