"""An adversary that knows nothing: noise within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from channelsim import records
from channelsim.access import Access, Activity
from channelsim.adversaries.draws import in_ball, on_sphere, signs
from channelsim.parts import part
from channelsim.rows import Knowledge, Rows
from channelsim.threat import Adversary, Budget


@part
class Noise(Adversary):
    """A jammer: δ drawn at random and independent of everything that is sent.

    ``law: gaussian``: a Gaussian vector scaled onto the surface of the budget's ball (for L2 and
    PSR budgets ‖δ‖₂ equals the radius, for L∞ the largest |δ_j| equals ε). ``uniform``: a uniform
    point inside the ball. ``signs``: ±ε in every coordinate for an L∞ budget, ±radius/√K otherwise.
    ``budget``: as for every adversary. ``name``: keys the draws. The default law is ours.
    """

    kind: ClassVar[str] = "noise"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon"}

    name: str = ""
    law: Literal["gaussian", "uniform", "signs"] = "gaussian"
    budget: Budget
    access: Access = Access(place="over_the_air")
    activity: Activity = Activity()

    @property
    def knows(self) -> Sequence[str]:
        """Nothing."""
        return ()

    @property
    def effort(self) -> Mapping[str, Any]:
        """None."""
        return {"gradients": 0, "queries": 0}

    def perturb(
        self,
        signal: Tensor,
        radius: Tensor,
        rows: Rows,
        knowledge: Knowledge,  # noqa: ARG002  the contract offers it; noise has no use for it
    ) -> tuple[Tensor, np.ndarray]:
        """Noise of the stated law; every verdict is ok."""
        width, ball = signal.shape[1], self.budget.ball
        if self.law == "uniform":
            delta = in_ball(rows, radius, width, ball, "noise")
        elif self.law == "signs":
            size = radius if ball == "linf" else radius / width**0.5
            delta = signs(rows, size, width, "noise")
        elif ball == "linf":
            direction = rows.normal(width, "noise")
            delta = direction * (radius / direction.abs().amax(dim=1))[:, None]
        else:
            delta = on_sphere(rows, radius, width, "noise")
        return delta.to(signal.dtype), np.full(len(signal), records.OK, dtype=object)
