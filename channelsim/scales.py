"""On which scale a metric's values may be averaged, and which metric damage is told by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-5  # relative; some hundred times that of a float32 metric (ours)


def as_it_is(values: np.ndarray) -> np.ndarray:
    """Most metrics are averaged as they are."""
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a summary must know about a metric.

    ``higher_is_better`` is None for a metric that is not in the table (a user's own): its values
    are averaged as they are, and no area or gain is taken from it.
    """

    name: str
    higher_is_better: bool | None = None
    perfect: float | None = None
    limit: float | None = None
    to_additive: Callable[[np.ndarray], np.ndarray] = as_it_is
    from_additive: Callable[[np.ndarray], np.ndarray] = as_it_is

    def damage(self, additive: np.ndarray) -> np.ndarray:
        """Mean damage from a mean on the additive scale: 0 without damage, growing with it.

        A distance is its own damage, PSNR counts as the MSE behind it, and a bounded similarity
        as what it lacks to its perfect value (1 − SSIM).
        """
        if self.higher_is_better and self.perfect is not None:
            return self.perfect - additive
        return additive

    @property
    def damaging(self) -> bool:
        """Whether `damage` means anything for this metric."""
        if self.higher_is_better is None:
            return False
        return not self.higher_is_better or self.perfect is not None or self.decibels

    @property
    def decibels(self) -> bool:
        """Whether it is averaged as something else: PSNR, as MSE."""
        return self.from_additive is not as_it_is

    @property
    def damage_name(self) -> str:
        """What `damage` is a mean of: ``mse`` for PSNR, ``1 − ssim``, else the metric itself."""
        if self.name == "psnr":
            return "mse"
        return (
            f"1 − {self.name}" if self.higher_is_better and self.perfect is not None else self.name
        )


def gauge(scales: Iterable[Scale]) -> str | None:
    """Which metric the adversarial gain is read from, and the worst is told by.

    MSE where it was measured, else the first distance, else PSNR or the first bounded similarity;
    None where no metric has a known direction. The choice is ours: gains are power ratios, and
    for small perturbations the MSE is the one proportional to power.
    """
    usable = [scale for scale in scales if scale.damaging]
    if any(scale.name == "mse" for scale in usable):
        return "mse"
    distances = [scale for scale in usable if not scale.higher_is_better]
    return next((scale.name for scale in distances or usable), None)
