"""Random points of a budget's ball, for starts of attacks and for noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from channelsim.contracts.adversary import Budget
from channelsim.contracts.rows import Rows
from channelsim.support.rowwise import power

Ball = Literal["linf", "l2"]
# Which project onto a ball; its radius is given with δ.
BALLS: Mapping[Ball, Budget] = {
    "linf": Budget(norm="linf", epsilon=0.0),
    "l2": Budget(norm="l2", epsilon=0.0),
}


def on_sphere(rows: Rows, radius: Tensor, width: int, draw: str, index: int = 0) -> Tensor:
    """Points of Euclidean norm ``radius`` [N] in uniform directions, [N, width]."""
    direction = rows.normal(width, draw, index)
    return direction * (radius / torch.linalg.vector_norm(direction, dim=1))[:, None]


def in_ball(
    rows: Rows, radius: Tensor, width: int, ball: Ball, draw: str, index: int = 0
) -> Tensor:
    """Points uniform in the box or in the Euclidean ball of ``radius`` [N], [N, width]."""
    if ball == "linf":
        return (2.0 * rows.uniform(width, draw, index) - 1.0) * radius[:, None]
    share = power(rows.uniform(1, f"{draw} radius", index)[:, 0], 1.0 / width)
    return on_sphere(rows, radius * share, width, draw, index)


def signs(rows: Rows, magnitude: Tensor, width: int, draw: str, index: int = 0) -> Tensor:
    """Independent ±``magnitude`` [N], [N, width]."""
    heads = rows.uniform(width, draw, index) < 0.5
    return torch.where(heads, magnitude[:, None], -magnitude[:, None])
