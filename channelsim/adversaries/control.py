"""The control of an attack: noise of exactly the same norm."""

from __future__ import annotations

import torch
from torch import Tensor

from channelsim.adversaries.draws import Ball, on_sphere, signs
from channelsim.contracts.rows import Rows


def matched_control(delta: Tensor, ball: Ball, rows: Rows, reach: Tensor | None = None) -> Tensor:
    """Random perturbation [N, K] whose L2 norm equals, row by row, that of ``delta`` [N, K].

    For an L2 (or PSR) budget: a uniform direction scaled to ‖δ‖₂. For an L∞ budget: random signs of
    equal magnitude, ‖δ‖₂/√K, which is ±ε where the attack sits on the corners, and never outside
    the box. ``reach``, bool [N, K]: where the attack could inject (None: everywhere), and so the
    control. ``rows``: the adversary's own view, so that the draws are keyed by its name. The
    control of a zero row is zero.
    """
    width = delta.shape[1]
    norm = torch.linalg.vector_norm(delta, dim=1)
    if reach is None:
        if ball == "linf":
            return signs(rows, norm / width**0.5, width, "control")
        return on_sphere(rows, norm, width, "control")
    unit = torch.ones_like(norm)
    noise = signs(rows, unit, width, "control") if ball == "linf" else rows.normal(width, "control")
    noise = torch.where(reach, noise, torch.zeros_like(noise))
    found = torch.linalg.vector_norm(noise, dim=1).clamp_min(torch.finfo(noise.dtype).tiny)
    return noise * (norm / found)[:, None]
