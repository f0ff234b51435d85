"""Projected gradient descent against the receiver's decoder, with every open choice exposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import model_validator
from pydantic_core import ArgsKwargs
from torch import Tensor

from channelsim import records
from channelsim.adversaries.ascent import Objective, ascend
from channelsim.adversaries.draws import in_ball, on_sphere
from channelsim.adversaries.goals import Goal, Loss, distance
from channelsim.parts import Adversary, Budget, Count, Flag, Positive, part
from channelsim.records import Knowledge, Rows

# What `literal` means: the attack as Lu & Chen (2023, eq. 6) print it.
_LITERAL: Mapping[str, Any] = {
    "step_unit": "absolute",
    "step": "sign",
    "start": "zero",
    "restarts": 1,
    "keep_best": False,
}
_LITERAL_DEFAULTS: Mapping[str, Any] = {"steps": 10, "step_size": 1.0}

# A first gradient is zero if moving by the signal's own rms changes the loss by less than this.
_FLAT = 1e-6
# Differences of the loss that float32 cannot tell from none: (relative, absolute).
_ROUNDING: Mapping[Loss, tuple[float, float]] = {"mse": (1e-6, 1e-12), "ssim": (1e-6, 1e-6)}


@dataclass(slots=True)
class _Found:
    """Best perturbation [N, K], its objective, whether no restart had a slope, J(0) if known."""

    delta: Tensor
    value: Tensor
    flat: Tensor
    unperturbed: Tensor | None


@part
class PGD(Adversary):
    """White-box projected gradient attack on the wire: z_{k+1} = Π(z_k + α·step(∇J(z_k))).

    J is the goal's loss of the receiver's image (its sign turned for a target image) and Π the
    projection onto the budget around the sent signal; latents are never clamped to [0, 1].

    ``goal``: see `Damage` and `TargetImage`. ``budget``: see `Budget`. ``steps`` ≥ 1, default 10
    (the paper's K). ``step_size`` > 0: α, in latent units with ``step_unit: absolute``, in budget
    radii with ``relative``. A step size given without a unit is absolute; given neither, α is a
    quarter of the radius, Madry et al.'s 2.5·ε/K at ten steps (our default). ``step``: ``sign``
    (the paper's; default for an L∞ budget) or ``l2``, the gradient at unit length (our default for
    L2 and PSR budgets). ``start``: ``zero``, ``uniform`` in the ball, or ``sphere``, on the
    Euclidean sphere of the budget's radius; our default is
    ``uniform``, because an untargeted attack that starts at zero has no gradient there.
    ``restarts`` ≥ 1, default 1, each from its own start; the best counts. ``keep_best`` (default,
    ours) injects the best iterate rather than the last.

    ``literal``: the attack as Lu & Chen (2023, eq. 6) print it: start at zero, sign steps of α = 1
    in latent units, K = 10, the last iterate, one start. A steps or step size that is given stands;
    any other field that contradicts is an error.

    On the cube of an L∞ budget a damage loss has many local maxima, and one random start reached
    about three quarters of the best corner's damage where all corners could be tried: claims about
    a defence need restarts.

    Verdicts per row: ``zero_gradient`` where the first gradient of every restart satisfies
    ‖∇J‖₂·√P ≤ 1e-6; after a start at δ₀ ≠ 0 that bound is multiplied by ‖δ₀‖/√(K·P), kept within
    0.001 … 1, because near its reference a damage loss is truly flat. ``saturated`` where δ ≠ 0
    improved the loss by no more than rounding.
    """

    kind: ClassVar[str] = "pgd"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon", "step_size": "step_size"}

    name: str = ""
    goal: Goal
    budget: Budget
    steps: Count = 10
    step_size: Positive = 0.25
    step_unit: Literal["absolute", "relative"] = "relative"
    step: Literal["sign", "l2"] = "sign"
    start: Literal["zero", "uniform", "sphere"] = "uniform"
    restarts: Count = 1
    keep_best: Flag = True
    literal: Flag = False

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        if isinstance(given, ArgsKwargs):
            return ArgsKwargs(given.args, _complete(dict(given.kwargs or {})))
        return _complete(dict(given)) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _consistent(self) -> PGD:
        if self.restarts > 1 and self.start == "zero":
            raise ValueError(
                f"restarts is {self.restarts} but every start is zero, so all would be the same;"
                " use start: uniform or sphere"
            )
        return self

    @property
    def threat(self) -> Mapping[str, Any]:
        """Place, knowledge, causality, effort."""
        return {
            "place": "on the wire",
            "knowledge": ["codeword", "receiver weights", *self.goal.needs()],
            "causality": "relay: holds the codeword, knows it, then sends",
            "effort": {
                "steps": self.steps,
                "restarts": self.restarts,
                "gradients": self.steps * self.restarts,
            },
        }

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        """Attack all rows at once; at most restarts·(steps + 1) + 1 forward passes."""
        verdict = np.full(len(signal), records.OK, dtype=object)
        if not bool((radius > 0).any()):
            return torch.zeros_like(signal), verdict
        with torch.inference_mode(False):  # tensors made in inference mode carry no gradients
            signal, radius = _usable(signal), _usable(radius)
            objective = self._objective(signal, rows, knowledge)
            step_size = _usable(rows["step_size"]).to(radius)
            if self.step_unit == "relative":
                step_size = step_size * radius
            found = self._search(objective, signal, radius, step_size, rows, knowledge.power)
            unperturbed = found.unperturbed
            if unperturbed is None:
                with torch.enable_grad():
                    still = torch.zeros_like(signal).requires_grad_()
                    unperturbed = objective(still).detach()
        relative, absolute = _ROUNDING[self.goal.loss]
        rounding = relative * unperturbed.abs() + absolute
        moved = (found.delta != 0).any(dim=1)
        saturated = moved & (found.value - unperturbed <= rounding)
        verdict[saturated.cpu().numpy()] = records.SATURATED
        verdict[found.flat.cpu().numpy()] = records.ZERO_GRADIENT
        return found.delta, verdict

    def _objective(self, signal: Tensor, rows: Rows, knowledge: Knowledge) -> Objective:
        reference = _usable(self.goal.image(rows, knowledge)).detach()
        sign, loss = self.goal.sign, self.goal.loss

        def objective(delta: Tensor) -> Tensor:
            return sign * distance(loss, knowledge.decode(signal + delta), reference)

        return objective

    def _search(
        self,
        objective: Objective,
        signal: Tensor,
        radius: Tensor,
        step_size: Tensor,
        rows: Rows,
        power: float,
    ) -> _Found:
        """The best of all restarts, row by row."""
        ball, width = self.budget.ball, signal.shape[1]
        rms = power**0.5
        best: _Found | None = None
        for index in range(self.restarts):
            if self.start == "uniform":
                start = in_ball(rows, radius, width, ball, "start", index)
            elif self.start == "sphere":
                start = on_sphere(rows, radius, width, "start", index)
            else:
                start = torch.zeros_like(signal)
            found = ascend(
                objective,
                start.to(signal),
                radius,
                ball,
                step_size,
                step=self.step,
                steps=self.steps,
                keep_best=self.keep_best,
            )
            begun = torch.linalg.vector_norm(start, dim=1) / (width**0.5 * rms)
            share = torch.where(begun > 0, begun.clamp(1e-3, 1.0), torch.ones_like(begun))
            flat = found.slope * rms <= _FLAT * share
            if best is None:
                unperturbed = found.start_value if self.start == "zero" else None
                best = _Found(found.delta, found.value, flat, unperturbed)
            else:
                ahead = found.value > best.value
                best.delta = torch.where(ahead[:, None], found.delta, best.delta)
                best.value = torch.where(ahead, found.value, best.value)
                best.flat = best.flat & flat
        assert best is not None
        return best


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """Fill in what follows from the fields that are given, and refuse what contradicts them."""
    if given.get("literal") is True:
        for field, value in _LITERAL.items():
            if given.setdefault(field, value) != value:
                raise ValueError(
                    f"literal means {field}: {_yaml(value)}, but {field} is {_yaml(given[field])};"
                    f" remove one of the two"
                )
        return {**_LITERAL_DEFAULTS, **given}
    budget = given.get("budget")
    norm = budget.get("norm") if isinstance(budget, Mapping) else getattr(budget, "norm", None)
    given.setdefault("step", "l2" if norm in ("l2", "psr_db") else "sign")
    if "step_unit" not in given and "step_size" in given:
        given["step_unit"] = "absolute"
    elif given.get("step_unit") == "absolute" and "step_size" not in given:
        raise ValueError("step_unit: absolute needs a step_size, in latent units")
    return given


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one that was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor
