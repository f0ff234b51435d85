"""What became of a gradient attack, row by row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from channelsim.adversaries.goals import Loss
from channelsim.adversaries.objective import GoalObjective
from channelsim.contracts import records

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
_OWN_ROUNDING = (1e-6, 0.0)  # of a codec's own loss, whose scale is unknown


def verdicts(
    aim: GoalObjective, delta: Tensor, value: Tensor, unperturbed: Tensor, flat: NDArray[np.bool_]
) -> NDArray[np.object_]:
    """A word per row: ``zero_gradient`` where ``flat``, ``saturated`` or ``ok``.

    ``saturated``: δ [N, K] is not 0, and its objective ``value`` [N] exceeds the ``unperturbed``
    one by no more than rounding.
    """
    relative, absolute = _OWN_ROUNDING if aim.raises_own else _ROUNDING[aim.goal.loss]
    moved = (delta != 0).any(dim=1)
    rounding = relative * unperturbed.abs() + absolute
    saturated = moved & (value - unperturbed <= rounding)
    found = np.full(len(delta), records.OK, dtype=object)
    found[saturated.cpu().numpy()] = records.SATURATED
    found[flat] = records.ZERO_GRADIENT
    return found
