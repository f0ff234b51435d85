"""Attacks that climb a gradient of the receiver's loss, row by row: all but their step rule."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from channelsim.adversaries.ascent import ascend
from channelsim.adversaries.draws import in_ball, on_sphere
from channelsim.adversaries.goals import AnyGoal
from channelsim.adversaries.live_blocks import LiveBlocks, Objective
from channelsim.adversaries.objective import objective, usable
from channelsim.adversaries.steps import StepRule
from channelsim.adversaries.verdicts import FLAT, verdicts
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import Count, Flag, Positive, part
from channelsim.contracts.rows import Knowledge, Rows

_USUAL_STEP = 0.25  # of the radius


@dataclass(slots=True)
class _Found:
    """Best perturbation [N, K], its objective, whether no restart had a slope, J(0) if known."""

    delta: Tensor
    value: Tensor
    flat: Tensor
    unperturbed: Tensor | None


@part
class GradientAttack(Adversary):
    """Projected gradient ascent on the wire: δ_{k+1} = Π(δ_k + move(∇J(δ_k))), move a step rule's.

    J is the goal's loss of the receiver's image (its sign turned for a target image) and Π the
    projection onto the budget around the sent signal; latents are never clamped to [0, 1].

    ``goal``: see `Damage` and `TargetImage`. ``budget``: see `Budget`. ``steps`` ≥ 1, default 10.
    ``step_size`` > 0: α, in latent units, or in budget radii with ``step_unit: relative``; default
    a quarter of the radius, Madry et al.'s 2.5·ε/K at ten steps (project default). ``start``:
    ``zero``, ``uniform`` in the ball, or ``sphere``, on the Euclidean sphere of the budget's
    radius; project default ``uniform``, because an untargeted attack that starts at zero has no
    gradient there. ``restarts`` ≥ 1, default 1, each from its own start; the best counts.
    ``keep_best`` (project default) injects the best iterate rather than the last. ``access``,
    ``activity``: see `Access` and `Activity`. With ``access.expectation`` J is averaged over that
    many imagined draws of the channel, for as many times the effort.

    Verdicts per row: ``zero_gradient`` where the first gradient of every restart satisfies
    ‖∇J‖₂·√P ≤ 1e-6; after a start at δ₀ ≠ 0 that bound is multiplied by ‖δ₀‖/√(K·P), kept within
    0.001 … 1, because near its reference a damage loss is truly flat. ``saturated`` where δ ≠ 0
    improved the loss by no more than rounding.
    """

    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon", "step_size": "step_size"}
    takes_blocks = True
    climbs = True

    name: str = ""
    goal: AnyGoal
    budget: Budget
    steps: Count = 10
    step_size: Positive | None = None
    step_unit: Literal["absolute", "relative"] = "absolute"
    start: Literal["zero", "uniform", "sphere"] | None = None
    restarts: Count = 1
    keep_best: Flag | None = None
    access: Access = Access()
    activity: Activity = Activity()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A search of somebody's own may ask for more than the gradient of some rows.
        own = cls.perturb, cls._search
        if "takes_blocks" not in vars(cls) and own != (
            GradientAttack.perturb,
            GradientAttack._search,
        ):
            cls.takes_blocks = False

    @property
    @abstractmethod
    def rule(self) -> StepRule:
        """What it makes of a gradient."""

    # Defaults that depend on other fields are derived here and never stored: the fields stay as
    # given, so that a swept norm brings its own defaults.

    @property
    def starts(self) -> str:
        """The kind of start."""
        return self.start or "uniform"

    @property
    def keeps_best(self) -> bool:
        """Whether the best iterate is injected, not the last."""
        return self.keep_best is not False

    def usual_step_size(self, radius: Tensor) -> Tensor:
        """α [N] in latent units where none is given."""
        return _USUAL_STEP * radius

    @model_validator(mode="after")
    def _starts_differ(self) -> Self:
        if self.restarts > 1 and self.start == "zero":
            raise ValueError(
                f"restarts is {self.restarts} but every start is zero, so all would be the same;"
                " use start: uniform or sphere"
            )
        return self

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge."""
        return ("codeword", "receiver weights", *self.goal.needs())

    @property
    def effort(self) -> Mapping[str, Any]:
        """Per codeword, and per imagined draw if it averages over several."""
        return {
            "steps": self.steps,
            "restarts": self.restarts,
            "gradients": self.steps * self.restarts * max(1, self.access.expectation),
        }

    def brief(self) -> Self:
        """One step from one start."""
        return dataclasses.replace(self, steps=1, restarts=1)

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        """Attack all rows at once; at most restarts·(steps + 1) + 1 forward passes."""
        if not bool((radius > 0).any()):
            return torch.zeros_like(signal), np.full(len(signal), records.OK, dtype=object)
        with torch.inference_mode(False):  # inference-mode tensors carry no gradients
            signal, radius = usable(signal), usable(radius)
            aim = objective(self.goal, signal, rows, knowledge, climbed=True)
            step_size = self._alpha(rows["step_size"], radius)
            found = self._search(aim, signal, radius, step_size, rows, knowledge)
            unperturbed = found.unperturbed
            if unperturbed is None:
                still = LiveBlocks(aim, len(signal), knowledge.shape)
                unperturbed, _ = still.evaluate(torch.zeros_like(signal), gradient=False)
        flat = found.flat.cpu().numpy()
        return found.delta, verdicts(aim, found.delta, found.value, unperturbed, flat)

    def _search(
        self,
        aim: Objective,
        signal: Tensor,
        radius: Tensor,
        step_size: Tensor,
        rows: Rows,
        knowledge: Knowledge,
    ) -> _Found:
        """The best of all restarts, row by row."""
        ball, width = self.budget.ball, signal.shape[1]
        rms = knowledge.power**0.5
        best: _Found | None = None
        for index in range(self.restarts):
            if self.starts == "uniform":
                start = in_ball(rows, radius, width, ball, "start", index)
            elif self.starts == "sphere":
                start = on_sphere(rows, radius, width, "start", index)
            else:
                start = torch.zeros_like(signal)
            if knowledge.reach is not None:
                start = torch.where(knowledge.reach, start, torch.zeros_like(start))
            found = ascend(
                aim,
                start.to(signal),
                radius,
                ball,
                step_size,
                self.rule,
                steps=self.steps,
                keep_best=self.keeps_best,
                inside=knowledge.inside,
                shape=knowledge.shape,
            )
            begun = torch.linalg.vector_norm(start, dim=1) / (width**0.5 * rms)
            share = torch.where(begun > 0, begun.clamp(1e-3, 1.0), torch.ones_like(begun))
            flat = found.slope * rms <= FLAT * share
            if best is None:
                unperturbed = found.start_value if self.starts == "zero" else None
                best = _Found(found.delta, found.value, flat, unperturbed)
            else:
                ahead = found.value > best.value
                best.delta = torch.where(ahead[:, None], found.delta, best.delta)
                best.value = torch.where(ahead, found.value, best.value)
                best.flat = best.flat & flat
        assert best is not None
        return best

    def _alpha(self, given: Tensor, radius: Tensor) -> Tensor:
        """α [N] in latent units; a size not given arrives as NaN."""
        step_size = usable(given).to(radius)
        if self.step_unit == "relative":
            step_size = step_size * radius
        return torch.where(torch.isnan(step_size), self.usual_step_size(radius), step_size)
