"""One perturbation for every codeword, fitted beforehand: an attack that needs to hear nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from pydantic import Strict, model_validator
from torch import Tensor

from channelsim.adversaries.draws import on_sphere
from channelsim.adversaries.goals import AnyGoal
from channelsim.adversaries.objective import objective, usable
from channelsim.adversaries.steps import unit
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity, OnTheAir
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import Count, Flag, Positive, part
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Knowledge, Rows

_BALL = Budget(norm="l2", epsilon=0.0)  # only for its projection
_ROUNDING = 1e-5  # relative rounding of a difference of two means; project's choice
_JUDGED = 256  # training codewords on which restarts are compared; project's choice

Minibatch = Annotated[int, Strict(), Ge(32)]
Draw = Callable[[Ints], tuple[Tensor, Rows]]


@part
class Universal(Adversary):
    """One δ for all codewords: projected stochastic gradient ascent of the goal's mean.

    δ_{t+1} = Π(δ_t + α_t·∇J̄/‖∇J̄‖₂), J̄ the mean of the goal's loss over a minibatch of codewords
    of the training split; never of a message that is sent. It needs the codec, its receiver's
    weights and images like those that are sent, before the run; so it may stand over the air and
    hear nothing.

    ``goal``: see `Damage` and `TargetImage`; ``budget``: see `Budget`. ``steps`` ≥ 1, default 50,
    over minibatches of ``batch`` ≥ 32 codewords, default 32; every codeword comes once before any
    comes again, in an order that the run's seed decides. ``step_size`` > 0: α_0 in units of the
    largest ‖δ‖₂ of the budget, default 1; α_t falls linearly to 0. Π projects onto the budget;
    where that is an L∞ one, only in the second half of the steps, and before that onto the
    Euclidean ball around it, in which a damage loss has fewer local maxima. ``restarts`` ≥ 1,
    default 2, from random points of that ball's surface, every second one opposite to the one
    before: the effects of δ and −δ may differ much. Of two with equal effect up to rounding the
    earlier one is chosen, and of δ and −δ the one whose first large coordinate is positive.

    At the end δ is scaled up to the whole budget, unless the goal's mean is better without (a
    target image that is near enough), and restarts are compared, on 256 training codewords. δ is
    written to the run's header, ``calibration.fitted``. If all gradients were zero, nothing is
    sent, and the verdict is ``zero_gradient``.

    ``shift``: it does not know the beginning of a codeword. Per attempt, δ is rotated by a random
    whole number of complex symbols (I stays I and Q stays Q; the lone value of an odd K keeps its
    place), and fitted to the mean over rotations too; ‖δ‖ is kept. Default false.

    ``access``, ``activity``: as for all, but over the air unless a place is given. It is fitted to
    whole codewords, through the channel as its ``access`` sees it: other realisations of the fading
    (``exact``, ``stale``), gains of 1 (``none``), the mean over imagined draws (``expectation``).
    The defaults are the project's.

    Source: Sadeghi & Larsson 2019 (Algorithm 1 and its random shifts), with the mean of a goal in
    place of misclassified samples.
    """

    kind: ClassVar[str] = "universal"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon"}
    fits = True
    climbs = True

    name: str = ""
    goal: AnyGoal
    budget: Budget
    steps: Count = 50
    batch: Minibatch = 32
    step_size: Positive = 1.0
    restarts: Count = 2
    shift: Flag = False
    access: OnTheAir = Access(place="over_the_air")
    activity: Activity = Activity()

    @model_validator(mode="after")
    def _consistent(self) -> Universal:
        if self.shift and self.access.before_encoder:
            raise ValueError(
                "shift rotates symbols on the wire, but place is before_encoder, where images are"
                " changed; remove one of the two"
            )
        return self

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge; none of the message."""
        return ("encoder", "receiver weights", "training images")

    @property
    def effort(self) -> Mapping[str, Any]:
        """Once, before the first message, for any number of messages."""
        draws = max(1, self.access.expectation)
        return {
            "steps": self.steps,
            "restarts": self.restarts,
            "gradients": self.steps * self.restarts * self.batch * draws,
            "codewords at once": "all",
        }

    def perturb(
        self,
        signal: Tensor,
        radius: Tensor,  # noqa: ARG002  δ was fitted within it
        rows: Rows,
        knowledge: Knowledge,  # noqa: ARG002  the contract offers it; nothing of it is needed
    ) -> tuple[Tensor, np.ndarray]:
        """The fitted δ, the same for every row, or rotated by a draw for each row."""
        assert rows.fitted is not None, "a universal attack is fitted in calibration"
        delta = self._sent(rows.fitted.to(signal.dtype), rows, 0)
        aimless = (delta == 0).all(dim=1).cpu().numpy()
        return delta, np.where(aimless, records.ZERO_GRADIENT, records.OK).astype(object)

    def _sent(self, delta: Tensor, rows: Rows, index: int) -> Tensor:
        """δ [N, K] as sent: unchanged, or with each row rotated by the ``index``-th draw."""
        return rotated(delta, rows.uniform(1, "shift", index)[:, 0]) if self.shift else delta

    # --- fitting ----------------------------------------------------------------------------------

    def fit(self, radius: float, rows: Rows, draw: Draw) -> Tensor:
        """The best δ of all restarts, [K]."""
        judged = _shuffled(rows, "judged", 0)[: min(_JUDGED, len(rows))]
        found: list[tuple[float, Tensor]] = []
        with torch.inference_mode(False):
            for restart in range(self.restarts):
                delta = self._ascend(radius, rows, draw, restart)
                whole = self._whole(delta, radius)
                found.append((self._mean(whole, judged, draw), whole))
                if not torch.equal(delta, whole):
                    found.append((self._mean(delta, judged, draw), delta))
            # Of equals the first: the whole budget, the earlier restart. Differences within
            # rounding count as equal, or another processor would choose another one.
            best = max(value for value, _ in found)
            value, delta = next(one for one in found if _as_good(one[0], best))
            opposite = self._mean(-delta, judged, draw)
            if _as_good(opposite, value) and (
                not _as_good(value, opposite) or not _first_positive(delta)
            ):
                delta = -delta
        return delta[0] + 0.0  # −0 becomes 0

    def _ascend(self, radius: float, rows: Rows, draw: Draw, restart: int) -> Tensor:
        """One ascent from a random start, [1, K]; zero where no step had a direction."""
        sloped = False
        bound = torch.full((1,), radius, dtype=torch.float32, device=rows.device)
        delta, largest = None, bound
        for step in range(self.steps):
            index = restart * self.steps + step
            signal, some = draw(_minibatch(rows, index, self.batch))
            if delta is None:
                if self.budget.ball == "linf":
                    largest = bound * signal.shape[1] ** 0.5
                delta = self._start(largest, signal.shape[1], some, restart)
            gradient = self._gradient(delta, signal, some, index + 1)
            sloped = sloped or bool(gradient.any())
            alpha = self.step_size * largest * (1 - step / self.steps)
            moved = delta + alpha * unit(gradient)
            around = 2 * step < self.steps
            delta = _BALL.project(moved, largest) if around else self.budget.project(moved, bound)
        assert delta is not None
        return self.budget.project(delta if sloped else torch.zeros_like(delta), bound)

    def _start(self, largest: Tensor, width: int, rows: Rows, restart: int) -> Tensor:
        """A random point of the sphere, [1, K]; zero where it cannot inject."""
        first = np.zeros(1, dtype=np.int64)
        one = Rows(name=rows.name, seed=rows.seed, message=first, attempt=first, columns={})
        start = on_sphere(one, largest.cpu(), width, "start", restart // 2).to(largest)
        start = -start if restart % 2 else start
        reach = None if rows.knowledge is None else rows.knowledge.reach
        if reach is None or self.shift:
            return start
        return torch.where(reach[:1], start, torch.zeros_like(start))

    def _gradient(self, delta: Tensor, signal: Tensor, rows: Rows, index: int) -> Tensor:
        """The gradient of the mean objective of a minibatch, [1, K]."""
        with torch.enable_grad():
            leaf = delta.expand(len(signal), -1).clone().requires_grad_()
            values = self._values(leaf, signal, rows, index)
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        # Summed in fixed order and double precision: the same bits for any number of threads.
        each = np.nan_to_num(gradient.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        return torch.from_numpy(each.mean(axis=0, keepdims=True)).to(delta)

    def _values(self, delta: Tensor, signal: Tensor, rows: Rows, index: int) -> Tensor:
        """The objective of δ [N, K] on some codewords, [N]."""
        assert rows.knowledge is not None
        aim = objective(self.goal, usable(signal), rows, rows.knowledge, climbed=True)
        return aim(self._sent(delta, rows, index))

    @torch.no_grad()
    def _mean(self, delta: Tensor, numbers: Ints, draw: Draw) -> float:
        """The mean objective over some training codewords; −inf if it is not finite."""
        found = []
        for start in range(0, len(numbers), self.batch):
            signal, rows = draw(numbers[start : start + self.batch])
            values = self._values(delta.expand(len(signal), -1), signal, rows, 0)
            found.append(values.double().cpu().numpy())
        mean = float(np.concatenate(found).mean())
        return mean if np.isfinite(mean) else -np.inf

    def _whole(self, delta: Tensor, radius: float) -> Tensor:
        """δ scaled up to the surface of the ball; zero stays zero."""
        size = delta.abs().amax() if self.budget.ball == "linf" else torch.linalg.norm(delta)
        if not float(size) > 0:
            return delta
        bound = torch.full((1,), radius, dtype=delta.dtype, device=delta.device)
        return self.budget.project(delta * (radius / float(size)), bound)


def _as_good(value: float, other: float) -> bool:
    """Whether a mean is larger than another, or smaller only by rounding."""
    return value >= other or (
        math.isfinite(value) and other - value <= _ROUNDING * max(abs(value), abs(other))
    )


def _first_positive(delta: Tensor) -> bool:
    """Whether the first large coordinate of δ [1, K] is positive, or there is none.

    Of δ and −δ with equal effect, the one for which this holds is used.
    """
    large = delta[0].abs() >= 0.5 * delta.abs().amax()
    return bool(delta[0][large][0] >= 0)


def rotated(delta: Tensor, share: Tensor) -> Tensor:
    """Rows of δ [N, K], their S = ⌊K/2⌋ whole complex symbols rotated by ⌊share·S⌋; differentiable.

    ``share`` [N] in (0, 1). Both values of a symbol move together, and rows never mix.
    """
    n, width = delta.shape
    symbols = width // 2
    if symbols < 2:
        return delta
    # The float32 draw may round up to 1.
    by = (share.double() * symbols).long().clamp_max(symbols - 1)
    source = (torch.arange(symbols, device=delta.device)[None] - by[:, None]) % symbols
    pairs = delta[:, : 2 * symbols].reshape(n, symbols, 2)
    moved = pairs.gather(1, source[:, :, None].expand(-1, -1, 2)).reshape(n, 2 * symbols)
    return torch.cat([moved, delta[:, 2 * symbols :]], dim=1)


def _minibatch(rows: Rows, index: int, size: int) -> Ints:
    """The ``index``-th minibatch of an endless sequence of shuffled passes over the rows."""
    numbers = np.arange(index * size, (index + 1) * size)
    found = np.empty(size, dtype=np.int64)
    for epoch in np.unique(numbers // len(rows)):
        now = numbers // len(rows) == epoch
        found[now] = _shuffled(rows, "order", int(epoch))[numbers[now] % len(rows)]
    return found


def _shuffled(rows: Rows, draw: str, index: int) -> Ints:
    keys = rows.uniform(1, draw, index)[:, 0].cpu().numpy()
    return rows.message[np.argsort(keys, kind="stable")]
