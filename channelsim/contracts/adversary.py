"""The contract of adversaries: budget, place, knowledge and activity.

Every limit on an adversary is enforced here and by the wire, outside the attack: the budget per
codeword, the energy over time, the symbols that it can still reach, and its knowledge.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from pydantic import Strict, model_validator
from torch import Tensor

from channelsim.contracts import own_code, records
from channelsim.contracts.access import Access, Activity, Bools
from channelsim.contracts.goal import Wanted, goal_of
from channelsim.contracts.parts import Stage, part
from channelsim.contracts.records import Floats, Ints
from channelsim.contracts.rows import Knowledge, Perturbation, Rows
from channelsim.support import units
from channelsim.support.errors import InputError

# Project's choice: the range that single precision can add to a codeword, square and pass on to
# stages and decoders.
_LEAST, _MOST, _MOST_DB = 1e-30, 1e15, 300


@part
class Budget:
    """The largest perturbation of one codeword, enforced outside the attack.

    ``norm: linf``, |δ_j| ≤ ε for all j; ``norm: l2``, ‖δ‖₂ ≤ ε, both in latent units where δ is
    injected; ``norm: psr_db``, ‖δ‖₂² ≤ K·P·10^(ε/10) with ε in dB and P the transmit power;
    ``norm: bits``, of an adversary on a digital link: at most ε of a codeword's bits flipped.
    ε = 0 (for ``psr_db``: −inf) switches the adversary off; others lie within 1e-30 … 1e15 (for
    ``psr_db``: ±300), which single precision can carry.
    """

    norm: Literal["linf", "l2", "psr_db", "bits"] = "linf"
    epsilon: Annotated[float, Strict()]

    @model_validator(mode="after")
    def _sensible(self) -> Budget:
        if np.isnan(self.epsilon) or self.epsilon == np.inf:
            raise ValueError(f"epsilon must be a number, not {self.epsilon}")
        if self.norm != "psr_db" and self.epsilon < 0:
            raise ValueError(
                f"epsilon must not be negative for norm {self.norm}, not {self.epsilon:g}"
            )
        if self.norm in ("linf", "l2") and not (self.off or _LEAST <= self.epsilon <= _MOST):
            raise ValueError(
                f"epsilon must be 0, or from {_LEAST:g} to {_MOST:g} for norm {self.norm}, not"
                f" {self.epsilon:g}: beyond that a codeword in single precision holds no sum"
            )
        if self.norm == "psr_db" and not (self.off or abs(self.epsilon) <= _MOST_DB):
            raise ValueError(
                f"epsilon must be -.inf, or from {-_MOST_DB} to {_MOST_DB} dB for norm psr_db, not"
                f" {self.epsilon:g}"
            )
        if self.norm == "bits" and not self.epsilon.is_integer():
            raise ValueError(f"epsilon must be a whole number for norm bits, not {self.epsilon:g}")
        return self

    @property
    def off(self) -> bool:
        """Whether nothing may be injected."""
        return self.epsilon == (-np.inf if self.norm == "psr_db" else 0.0)

    @property
    def ball(self) -> Literal["linf", "l2"]:
        """The shape of the feasible set; for ``bits``, which has none, that of equal energy."""
        return "linf" if self.norm == "linf" else "l2"

    def radius(self, epsilon: Tensor, power: float, latent_size: int) -> Tensor:
        """Radius [N] of the ball in latent units for per-row values of epsilon [N]; or bits."""
        return units.psr_radius(power, latent_size, epsilon) if self.norm == "psr_db" else epsilon

    def project(self, delta: Tensor, radius: Tensor) -> Tensor:
        """Nearest point of the ball, [N, K]; idempotent, and never outside by a rounding error."""
        bound = radius[:, None]
        if self.ball == "linf":
            return torch.maximum(torch.minimum(delta, bound), -bound)
        # Double precision: the square of a float32 below 1e-22 is zero.
        norm = torch.linalg.vector_norm(delta, dim=1, keepdim=True, dtype=torch.float64)
        # Slightly under 1, so that the norm of the rounded product stays within the radius.
        shrink = (bound * (1 - 3e-7) / norm).to(delta.dtype)
        return torch.where(norm > bound, delta * shrink, delta)


class Adversary(Stage, ABC):
    """A stage with a goal and a budget that is enforced here, whatever ``perturb`` returns.

    ``access`` and ``activity`` are optional fields, declared by the author.
    """

    budget: Budget
    access = Access()
    activity = Activity()
    digital = False  # whether it flips bits of a digital link's words: its budget counts them
    # Whether `perturb` takes the rows of several blocks at once, and asks `Knowledge` of some of
    # them (`Knowledge.only`); otherwise it is called block by block.
    takes_blocks = False
    climbs = False  # whether it follows a gradient of the receiver

    def memory_s(self, symbol_s: float) -> float:  # noqa: ARG002
        """The coherence time of its own path to the receiver, if that fades."""
        own = self.access.own_path
        return 0.0 if own is None or own.k_factor is None else own.coherence_s

    @property
    def recall(self) -> int:
        """The number of past transmissions whose codewords it remembers; 0: none."""
        return 0

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge: ``codeword``, ``source``, ``receiver weights``… Default: the codeword."""
        return ("codeword",)

    @property
    def wants(self) -> Wanted | None:
        """The image it wants to be seen; None: none. Default: the goal's."""
        goal = goal_of(self)
        return None if goal is None else goal.wanted

    def wanted(self, rows: Rows, knowledge: Knowledge) -> tuple[Tensor, Bools]:
        """That image [N, C, H, W], and of which rows it wants one, bool [N]."""
        goal = goal_of(self)
        assert goal is not None, "who wants an image without a goal says which here"
        return goal.image(rows, knowledge), np.ones(len(rows.message), dtype=bool)

    @property
    def effort(self) -> Mapping[str, Any]:
        """The cost of an attack on one codeword: gradients, restarts, queries."""
        return {}

    @property
    def threat(self) -> Mapping[str, Any]:
        """Place, knowledge, causality and effort, recorded in the run's header."""
        access, own = self.access, self.access.own_path
        places = {"relay": "on the wire", "over_the_air": "on the wire, over the air"}
        draws = {"imagined draws": access.expectation} if access.expectation else {}
        return {
            "place": places.get(access.place, "before the encoder"),
            **({"own path": own.description} if own is not None else {}),
            "knowledge": [*self._knowledge, *(["class"] if self.activity.classes else [])],
            **({"channel": self._channel} if self.knows else {}),
            "causality": self._causality,
            **({"activity": self.activity.description} if self.activity.description else {}),
            "effort": dict(self.effort) | draws,
        }

    @property
    def _knowledge(self) -> list[str]:
        """Its knowledge; before the encoder there is no codeword yet, but the image is there."""
        if not self.access.before_encoder or "codeword" not in self.knows:
            return list(self.knows)
        others = (one for one in self.knows if one not in ("codeword", "source"))
        return ["source", "encoder", *others]

    @property
    def _channel(self) -> str:
        if self.fits and self.access.channel != "none":
            return "the law of the fading, fitted to other realisations"
        return self.access.description

    @property
    def _causality(self) -> str:
        access = self.access
        if access.place == "relay":
            return f"relay: holds the codeword, knows it, sends it on {access.reaction_s:g} s later"
        if access.before_encoder:
            return "before the encoder: has the image before anything is sent"
        if access.listen_symbols:
            heard = f"{access.listen_symbols} symbol{'s' if access.listen_symbols > 1 else ''}"
            return (
                f"over the air: hears {heard}, reacts"
                f" {access.reaction_s:g} s later, adds to what is left"
            )
        if self.activity.classes:
            return "over the air: of the message it knows the class, and nothing else"
        return "over the air: nothing it sends depends on the message"

    def brief(self) -> Adversary:
        """The same adversary with the least effort that uses the same arithmetic.

        For self-tests of the arithmetic, not of the defence; default: itself.
        """
        return self

    @final
    def check_causality(self, symbols: int, symbol_s: float) -> None:
        """Raise an `InputError` if it would need information that does not exist when it acts."""
        access, uses = self.access, set(self.knows)
        if access.place != "over_the_air":
            return
        loud = self.activity.louder_than_db is not None
        if "source" in uses:
            raise InputError(
                "an adversary over the air never sees the source image; use reference: clean, or"
                " place: relay"
            )
        if not access.listen_symbols and ("codeword" in uses or loud):
            what = "louder_than_db" if loud and "codeword" not in uses else f"{self.kind}"
            raise InputError(
                f"{what} needs the codeword, and over the air nobody has seen it before its symbols"
                " are sent; use place: relay, kind: universal, or listen_symbols"
            )
        deaf = int(access.deaf_symbols(np.array([symbol_s]))[0])
        if access.listen_symbols and deaf >= symbols:
            raise InputError(
                f"it hears {access.listen_symbols} of {symbols} symbols and reacts"
                f" {access.reaction_s:g} s later, when all {symbols} are sent"
                f" ({symbols * symbol_s:g} s of airtime); listen to fewer, react faster, or use"
                " place: relay"
            )

    @property
    def restricted(self) -> bool:
        """Whether it spares some codewords or symbols."""
        return self.activity != Activity() or self.access.listen_symbols > 0

    @final
    def reach(self, times_s: Floats, symbol_s: Floats, message: Ints, labels: Ints | None) -> Bools:
        """The symbols that it can reach and plans to attack, bool [N, symbols].

        ``times_s`` [N, symbols]: when symbols are sent; ``symbol_s`` [N]: their duration.
        """
        if self.access.place == "over_the_air":
            on = self.activity.on(times_s)
            deaf = self.access.deaf_symbols(symbol_s)
            on &= np.arange(times_s.shape[1]) >= deaf[:, None]
        else:
            on = np.repeat(self.activity.on(times_s[:, :1]), times_s.shape[1], axis=1)
        on &= self.activity.takes(message, labels)[:, None]
        return on

    def most_energy(self, epsilon: float, power: float, latent_size: int) -> float:
        """The largest ‖δ‖² that the budget allows on one codeword; not for a budget in bits."""
        radius = float(self.budget.radius(torch.tensor([epsilon]).double(), power, latent_size))
        return radius**2 * (latent_size if self.budget.ball == "linf" else 1)

    def column_values(self) -> dict[str, float]:
        """Its columns, always with its budget's ε: the budget is enforced here."""
        return super().column_values() | {"epsilon": float(self.budget.epsilon)}

    fits = False  # whether it is fitted to training codewords in calibration

    def fit(  # for those that are fitted
        self, radius: float, rows: Rows, draw: Callable[[Ints], tuple[Tensor, Rows]]
    ) -> Tensor:
        """Author's method if ``fits``: the later value of ``rows.fitted``, [K] or any shape.

        ``radius`` of the budget's ball; ``rows``: all codewords of the training split, by number,
        for random draws; ``draw``: numbers [n] of some of them → their signal [n, K] where the
        adversary stands, and rows with its knowledge of them. They never include a message of the
        run.
        """
        raise NotImplementedError(f"{type(self).__name__} says that it fits, but does not")

    @final
    def fitted(
        self, radius: float, rows: Rows, draw: Callable[[Ints], tuple[Tensor, Rows]]
    ) -> Tensor:
        """`fit`, with its answer checked."""
        label = f"adversary {self.label}: fit"
        found = own_code.asked(label, self, self.fit, radius=radius, rows=rows, draw=draw)
        if not isinstance(found, Tensor):
            raise InputError(f"{label} must return a tensor, returned {own_code.described(found)}")
        return found.detach()

    @final
    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Add the perturbation."""
        return signal + self.attack(signal, rows).delta

    @final
    def attack(self, signal: Tensor, rows: Rows, reach: Tensor | None = None) -> Perturbation:
        """The perturbation for a signal [N, K], within the budget, with a verdict per row.

        ``reach``: where it may inject, bool [N, K]; None: everywhere.
        """
        assert rows.knowledge is not None, "an adversary needs rows.knowledge"
        latent_size = signal.shape[1]
        radius = self.budget.radius(rows["epsilon"], rows.knowledge.power, latent_size)
        delta, verdict = self._perturbed(signal.detach(), radius, rows, rows.knowledge)
        broken = ~torch.isfinite(delta).all(dim=1)
        delta = torch.where(broken[:, None], torch.zeros_like(delta), delta)
        delta, flipped = self.confined(signal, delta, radius, rows)
        idle = torch.zeros_like(broken)
        if reach is not None:
            delta = torch.where(reach, delta, torch.zeros_like(delta))
            idle = ~reach.any(dim=1)
        if rows.allowance is not None and self.activity.energy is not None:
            delta, spent = _within(delta, rows.allowance)
            idle = idle | spent
        if flipped is not None:
            flipped = np.where(idle.cpu().numpy(), 0.0, flipped)
        still = (delta == 0).all(dim=1).cpu().numpy()
        verdict[still & (verdict == records.OK)] = records.NOT_MOVED
        verdict[broken.cpu().numpy()] = records.NONFINITE
        verdict[idle.cpu().numpy()] = records.IDLE
        verdict[(radius == 0).cpu().numpy()] = records.OFF
        return Perturbation(delta, verdict, flipped)

    def _perturbed(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        """`perturb`, with its answer checked."""
        label = f"adversary {self.label}: perturb"
        answer = own_code.asked(
            label, self, self.perturb, signal=signal, radius=radius, rows=rows, knowledge=knowledge
        )
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise InputError(
                f"{label} must return (perturbation, verdicts), returned"
                f" {own_code.described(answer)}"
            )
        delta, verdict = answer[0], np.array(answer[1], dtype=object)
        if not isinstance(delta, Tensor) or delta.shape != signal.shape:
            raise InputError(
                f"{label} must return a perturbation of shape {list(signal.shape)}, returned"
                f" {own_code.described(delta)}"
            )
        if verdict.shape != (len(signal),):
            raise InputError(
                f"{label} must return verdicts of shape [{len(signal)}], returned"
                f" {own_code.described(verdict)}"
            )
        known = [word for word in records.VERDICTS if word != records.BEATEN_BY_NOISE]
        if unknown := [word for word in verdict.tolist() if word not in known]:
            raise InputError(
                f"{label} returned the verdict {unknown[0]!r}; a row's is one of {', '.join(known)}"
            )
        return delta.detach(), verdict

    @final
    def confined(
        self, signal: Tensor, delta: Tensor, radius: Tensor, rows: Rows
    ) -> tuple[Tensor, Floats | None]:
        """δ inside the budget, and the number of bits it flips where the budget counts bits."""
        if self.budget.norm != "bits":
            return self.budget.project(delta, radius), None
        words = rows.channel.words
        assert words is not None, "a budget in bits needs words; see `check_path`"
        delta, flipped = words.within(signal, delta, radius)
        return delta, flipped.cpu().numpy().astype(np.float64)

    @final
    def shadow(self, signal: Tensor, found: Perturbation, rows: Rows) -> Tensor | None:
        """`control`, with its answer checked."""
        label = f"adversary {self.label}: control"
        delta = own_code.asked(label, self, self.control, signal=signal, found=found, rows=rows)
        if delta is None:
            return None
        if not isinstance(delta, Tensor) or delta.shape != signal.shape:
            raise InputError(
                f"{label} must return None or a perturbation of shape {list(signal.shape)},"
                f" returned {own_code.described(delta)}"
            )
        return delta

    def control(self, signal: Tensor, found: Perturbation, rows: Rows) -> Tensor | None:  # noqa: ARG002
        """Perturbation [N, K] of its control where matched noise would not resemble it; else None.

        ``signal``: the signal that its control meets at its place.
        """
        return None

    @abstractmethod
    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        """Author's method: δ [N, K] and verdicts [N]; ``radius`` [N] is the budget's ball.

        ``signal``: the adversary's estimate of the sent signal; where it hears nothing, the mean.
        """


def _within(delta: Tensor, allowance: Floats) -> tuple[Tensor, Tensor]:
    """δ scaled down to the allowed energy ‖δ‖², and the rows without allowance, [N]."""
    allowed = torch.from_numpy(np.nan_to_num(allowance, nan=math.inf)).to(delta.device)
    energy = delta.double().square().sum(dim=1)
    # Slightly under 1, so that the energy of the rounded product stays within.
    scale = torch.sqrt(allowed * (1 - 6e-7) / energy.clamp_min(torch.finfo(torch.float64).tiny))
    scaled = torch.where((energy > allowed)[:, None], delta * scale[:, None].float(), delta)
    return scaled, allowed <= 0
