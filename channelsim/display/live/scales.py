"""The scales of metrics without loading the metrics: they need torch, and a view must not.

The same as `metrics.scales` reads from the metrics themselves; a test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from channelsim.scales import Scale, gauge

Floats = NDArray[np.float64]


def _mse_of(values: Floats) -> Floats:
    found: Floats = np.power(10.0, -values / 10.0)
    return found


def _psnr_of(values: Floats) -> Floats:
    """An MSE of 0 (or below, at an interval's end) is +inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = -10.0 * np.log10(np.maximum(values, 0.0))
    return found


_DISTANCES = ("mse", "dfd", "rfd", "lpips")
_SIMILARITIES = ("ssim", "ms_ssim", "label")
_KNOWN = {
    "psnr": Scale(name="psnr", higher_is_better=True, to_additive=_mse_of, from_additive=_psnr_of),
    **{name: Scale(name=name, higher_is_better=False, perfect=0.0) for name in _DISTANCES},
    **{name: Scale(name=name, higher_is_better=True, perfect=1.0) for name in _SIMILARITIES},
}


def scale_of(name: str) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one."""
    return _KNOWN.get(name, Scale(name=name))


def damage_metric(metrics: Sequence[str]) -> str | None:
    """Which of some metrics the worst is judged by: see `gauge`."""
    return gauge(map(scale_of, metrics))
