"""On which scale a metric's values may be averaged, by its name in a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from channelsim.metrics import METRICS
from channelsim.parts import Metric


def _as_it_is(values: np.ndarray) -> np.ndarray:
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
    to_additive: Callable[[np.ndarray], np.ndarray] = _as_it_is
    from_additive: Callable[[np.ndarray], np.ndarray] = _as_it_is

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
        changed = self.from_additive is not _as_it_is
        return not self.higher_is_better or self.perfect is not None or changed

    @property
    def damage_name(self) -> str:
        """What `damage` is a mean of: ``mse`` for PSNR, ``1 − ssim``, else the metric itself."""
        if self.name == "psnr":
            return "mse"
        return (
            f"1 − {self.name}" if self.higher_is_better and self.perfect is not None else self.name
        )


def scale_of(name: str) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one."""
    kind = METRICS.get(name)
    if kind is None:
        return Scale(name=name)
    metric = kind()
    plain = kind.to_additive is Metric.to_additive
    return Scale(
        name=name,
        higher_is_better=kind.higher_is_better,
        perfect=kind.perfect,
        limit=kind.limit,
        to_additive=_as_it_is if plain else metric.to_additive,
        from_additive=_as_it_is if plain else metric.from_additive,
    )


def damage_metric(metrics: Sequence[str]) -> str | None:
    """Which metric the adversarial gain is read from.

    MSE where it was measured, else the first distance, else PSNR or the first bounded similarity;
    None where no metric has a known direction. The choice is ours: gains are power ratios, and
    for small perturbations the MSE is the one proportional to power.
    """
    scales = {name: scale_of(name) for name in metrics}
    if "mse" in scales:
        return "mse"
    usable = [name for name, scale in scales.items() if scale.damaging]
    distances = [name for name in usable if not scales[name].higher_is_better]
    return next(iter(distances or usable), None)
