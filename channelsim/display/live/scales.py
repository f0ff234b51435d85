"""How metrics are averaged, without loading the metrics: they need torch, and a view must not.

The same table as `metrics.scales` reads from the metrics themselves; a test holds the two to
each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """One metric: which way is better (None: nobody knows), its perfect value, decibels or not."""

    name: str
    higher_is_better: bool | None = None
    perfect: float | None = None
    decibels: bool = False

    def to_additive(self, values: Floats) -> Floats:
        """Values → a scale on which a mean is meaningful (PSNR → MSE)."""
        return np.power(10.0, -values / 10.0) if self.decibels else values

    def from_additive(self, values: Floats) -> Floats:
        """Back from the averaging scale; an MSE of 0 (or below, at an interval's end) is +inf."""
        if not self.decibels:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return -10.0 * np.log10(np.maximum(values, 0.0))

    def damage(self, additive: Floats) -> Floats:
        """Damage from the additive scale: it grows with what was lost."""
        if self.higher_is_better and self.perfect is not None:
            return self.perfect - additive
        return additive

    @property
    def damaging(self) -> bool:
        """Whether `damage` means anything for this metric."""
        if self.higher_is_better is None:
            return False
        return not self.higher_is_better or self.perfect is not None or self.decibels


_KNOWN = {
    "mse": Scale("mse", False, 0.0),
    "psnr": Scale("psnr", True, None, True),
    "ssim": Scale("ssim", True, 1.0),
    "ms_ssim": Scale("ms_ssim", True, 1.0),
    "dfd": Scale("dfd", False, 0.0),
    "rfd": Scale("rfd", False, 0.0),
    "lpips": Scale("lpips", False, 0.0),
    "label": Scale("label", True, 1.0),
}


def scale_of(name: str) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one."""
    return _KNOWN.get(name, Scale(name))


def damage_metric(metrics: Sequence[str]) -> str | None:
    """Which metric the worst is judged by: the one that the adversarial gain is read from.

    MSE where it was measured, else the first distance, else the first metric with a direction.
    """
    if "mse" in metrics:
        return "mse"
    usable = [name for name in metrics if scale_of(name).damaging]
    distances = [name for name in usable if not scale_of(name).higher_is_better]
    return next(iter(distances or usable), None)
