"""Differences of losses that are rounding, for the verdicts of gradient attacks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from channelsim.adversaries.goals import Loss

# A first gradient is zero if moving by the signal's own rms changes the loss by less than this.
FLAT = 1e-6
# Differences of the loss within float32 rounding: (relative, absolute). A feature distance D is a
# squared one of unit vectors, whose rounding of 1e-6 counts as 2e-6·√D.
_ROUNDING: Mapping[Loss, tuple[float, float]] = {
    "mse": (1e-6, 1e-12),
    "ssim": (1e-6, 1e-6),
    "dfd": (1e-5, 1e-7),
    "rfd": (1e-5, 1e-7),
}


def rounding(loss: Loss, value: Tensor) -> Tensor:
    """The rounding [N] of a loss around its values [N]."""
    relative, absolute = _ROUNDING[loss]
    return relative * value.abs() + absolute
