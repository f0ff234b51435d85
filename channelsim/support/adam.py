"""Adam (Kingma & Ba 2015) for a short search: torch's own, to the bit, without its loading time.

Constructing `torch.optim.Adam` loads a compiler that takes more than a second, longer than the
search itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DECAY, _SQUARE_DECAY, _LEAST = 0.9, 0.999, 1e-8  # β₁, β₂ and ε, as torch has them


class Adam:
    """Descent with steps of about ``step_size``."""

    def __init__(self, step_size: float) -> None:
        self._step_size, self._steps = step_size, 0
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def descended(self, point: Tensor, gradient: Tensor) -> Tensor:
        """The next point after one with this gradient."""
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(point), torch.zeros_like(point)
        self._steps += 1
        self._mean.lerp_(gradient, 1 - _DECAY)
        self._square.mul_(_SQUARE_DECAY).addcmul_(gradient, gradient, value=1 - _SQUARE_DECAY)
        root = (1 - _SQUARE_DECAY**self._steps) ** 0.5
        spread = (self._square.sqrt() / root).add_(_LEAST)
        step_size = self._step_size / (1 - _DECAY**self._steps)
        return point.addcdiv(self._mean, spread, value=-step_size)
