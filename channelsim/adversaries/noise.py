"""An adversary without knowledge: noise within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from pydantic import AllowInfNan, Strict, model_validator
from torch import Tensor

from channelsim.adversaries.draws import Ball, in_ball, signs
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity, OnTheAir
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.complex_symbols import symbol_count
from channelsim.contracts.parts import part
from channelsim.contracts.rows import Knowledge, Rows

Offset = Annotated[float, Strict(), AllowInfNan(False), Ge(0), Le(0.5)]


@part
class Noise(Adversary):
    """A jammer: δ drawn at random and independent of the codewords.

    ``law: gaussian``: a Gaussian vector scaled onto the surface of the budget's ball (for L2 and
    PSR budgets ‖δ‖₂ equals the radius, for L∞ the largest |δ_j| equals ε). ``uniform``: a uniform
    point inside the ball. ``signs``: ±ε in every coordinate for an L∞ budget, ±radius/√K otherwise.
    ``tone``: a complex exponential e^{j(2π·f·n + φ)} over the codeword's symbols n, scaled onto the
    ball's surface; φ is uniform and drawn per codeword, and the last value of an odd K gets the
    real part.

    ``offset``: f of a tone, in cycles per symbol, 0 to 0.5: how far it lies from the carrier, as a
    share of the symbol rate. At 0 (default) every symbol is moved by the same complex number, at
    0.5 the next one by its negative; beyond, samples at symbol times look like a tone below the
    carrier. ``budget``: as for every adversary; it bounds a whole codeword, also where ``activity``
    lets the jammer touch a part of one: a duty cycle of D leaves D of the energy on average.
    ``access``: over the air unless a place is given. ``name``: keys the draws. The defaults are the
    project's.
    """

    kind: ClassVar[str] = "noise"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon", "offset": "offset"}

    name: str = ""
    law: Literal["gaussian", "uniform", "signs", "tone"] = "gaussian"
    offset: Offset | None = None
    budget: Budget
    access: OnTheAir = Access(place="over_the_air")
    activity: Activity = Activity()

    @model_validator(mode="after")
    def _consistent(self) -> Noise:
        if self.offset is not None and self.law != "tone":
            raise ValueError(f"offset is for law: tone, but law is {self.law}; remove one of them")
        return self

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
        """Noise of the chosen law; every verdict is ok."""
        width, ball = signal.shape[1], self.budget.ball
        if self.law == "uniform":
            delta = in_ball(rows, radius, width, ball, "noise")
        elif self.law == "signs":
            size = radius if ball == "linf" else radius / width**0.5
            delta = signs(rows, size, width, "noise")
        elif self.law == "tone":
            delta = _on_surface(_tone(rows, width), radius, ball)
        else:
            delta = _on_surface(rows.normal(width, "noise"), radius, ball)
        return delta.to(signal.dtype), np.full(len(signal), records.OK, dtype=object)


def _tone(rows: Rows, width: int) -> Tensor:
    """A complex exponential with its own phase per row as real values, float32 [N, width]."""
    symbols = torch.arange(symbol_count(width), device=rows.device, dtype=torch.float64)
    offset = rows["offset"].double().nan_to_num(0.0)
    turns = offset[:, None] * symbols + rows.uniform(1, "phase").double()
    angle = 2 * torch.pi * torch.remainder(turns, 1.0)
    return torch.stack([angle.cos(), angle.sin()], dim=2).flatten(1)[:, :width].float()


def _on_surface(direction: Tensor, radius: Tensor, ball: Ball) -> Tensor:
    """Directions [N, K] scaled to the surface of the ball, whatever their length."""
    if ball == "linf":
        length = direction.abs().amax(dim=1)
    else:
        length = torch.linalg.vector_norm(direction, dim=1)
    return direction * (radius / length)[:, None]
