"""The scales of metrics without loading the metrics: they need torch, and a view must not.

The same as `metrics.scales` reads from the metrics themselves; a test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from channelsim.contracts.scales import Scale, gauge, kept

_NOTHING: Mapping[str, Mapping[str, Any]] = {}
_DISTANCES = ("mse", "dfd", "rfd", "lpips")
_SIMILARITIES = ("ssim", "ms_ssim", "label")
_KNOWN = {
    "psnr": Scale(name="psnr", higher_is_better=True, form="decibels lost"),
    **{name: Scale(name=name, higher_is_better=False, perfect=0.0) for name in _DISTANCES},
    **{name: Scale(name=name, higher_is_better=True, perfect=1.0) for name in _SIMILARITIES},
}


def scale_of(name: str, scales: Mapping[str, Mapping[str, Any]] = _NOTHING) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one.

    ``scales``: what the run's header says that metrics of the user's own declared.
    """
    return kept(name, scales) or _KNOWN.get(name, Scale(name=name))


def damage_metric(
    metrics: Sequence[str], scales: Mapping[str, Mapping[str, Any]] = _NOTHING
) -> str | None:
    """Which of some metrics the worst is judged by: see `gauge`."""
    return gauge(scale_of(name, scales) for name in metrics)
