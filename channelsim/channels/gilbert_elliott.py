"""Gilbert–Elliott erasures: a channel with a good and a bad state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import AllowInfNan, Strict, model_validator
from torch import Tensor

from channelsim.contracts.complex_symbols import symbol_count, symbol_slots
from channelsim.contracts.parts import Fraction, Stage, part
from channelsim.contracts.records import Floats, Ints
from channelsim.contracts.rows import Channel, Rows

Bools = NDArray[np.bool_]
# Nearer to 1, p = q·π/(1 − π) would lose digits in a float32 column.
Share = Annotated[float, Strict(), AllowInfNan(False), Ge(0), Le(0.99)]

_LEAST = 1e-4  # chance per symbol that the chain forgets its past: a memory of 10,000 symbols
_CHUNK, _LONGEST = 32, 4096  # slots looked back at a time, first and at most


@part
class GilbertElliott(Stage):
    """Erasures in bursts: a two-state chain over symbol times erases complex symbols.

    In the good state a symbol is erased with probability ``e_good`` (default 0, Gilbert's), in the
    bad one with ``e_bad`` (default 1). From one symbol time to the next the chain turns bad with
    probability p and good again with ``q``. In the long run it is bad for a share π = p/(p + q) of
    the time, erases π·e_bad + (1 − π)·e_good, stays bad for 1/q symbols on average, and its states
    k symbols apart have correlation (1 − p − q)^k. Give ``p``, or ``share_bad`` for π, at most
    0.99: then p = q·π/(1 − π), and sweeping ``q`` changes how long bursts are while the mean loss
    stays. All of them are probabilities and may differ from row to row. p + q must lie between 1e-4
    and 2 − 1e-4 (project's choice): beyond, the chain hardly ever forgets its past.

    ``filling``: the receiver's replacement of an erased value: ``zero`` (project default);
    ``mean``, that of the codec's mean codeword; ``last``, the last one received before it in this
    codeword in the same quadrature, the mean where there is none. A filled value is not noise-free
    behind a later noise stage: put this stage last, where the receiver is. Values 2i and 2i + 1 are
    one symbol; the last value of an odd K is a symbol by itself.

    The chain runs over simulated time, with or without signals, and is exactly stationary from the
    start: its state in a slot of one symbol time is a pure function of seed, name, slot, p and q,
    found by coupling from the past. So codewords on the air together meet the same burst, and a
    repetition meets the states of its own time. Arms share draws: while p + q ≤ 1, an arm with a
    larger p, or a smaller q, is bad wherever the other is. ``name``: keys the draws.

    The ledger's ``erased`` counts values; ``snr_measured_db`` counts erasures as noise. A
    perturbation arrives where its symbols do, and again where ``last`` repeats them:
    ``psr_received_db`` is that of the two signals' difference. Sources: Gilbert, "Capacity of a
    burst-noise channel", Bell Syst. Tech. J. 39, 1960; Elliott, "Estimates of error rates for codes
    on burst-noise channels", ibid. 42, 1963; coupling: Propp and Wilson, "Exact sampling with
    coupled Markov chains", Random Struct. Algorithms 9, 1996.
    """

    kind: ClassVar[str] = "gilbert_elliott"
    columns: ClassVar[Mapping[str, str]] = {
        "p": "p",
        "q": "q",
        "share_bad": "share_bad",
        "e_good": "e_good",
        "e_bad": "e_bad",
    }

    name: str = ""
    p: Fraction | None = None
    share_bad: Share | None = None
    q: Fraction
    e_good: Fraction = 0.0
    e_bad: Fraction = 1.0
    filling: Literal["zero", "mean", "last"] = "zero"

    @model_validator(mode="after")
    def _consistent(self) -> GilbertElliott:
        if (self.p is None) == (self.share_bad is None):
            raise ValueError(
                "give p, the probability to turn bad, or share_bad, the share of time in the bad"
                " state" + ("" if self.p is None else "; not both")
            )
        p = self.p
        if p is None and self.share_bad is not None:
            p = self.q * self.share_bad / (1 - self.share_bad)
            if p > 1:
                raise ValueError(
                    f"share_bad {self.share_bad:g} with q {self.q:g} needs p = {p:g}, and no"
                    f" probability is above 1; lower q to {(1 / self.share_bad - 1):.3g} or less"
                )
        assert p is not None
        if not _LEAST <= p + self.q <= 2 - _LEAST:
            raise ValueError(
                f"p + q must lie between {_LEAST:g} and {2 - _LEAST:g}, not {p + self.q:g}: beyond,"
                " the chain hardly ever forgets how it began; use shorter bursts"
            )
        return self

    def memory_s(self, symbol_s: float) -> float:
        """Ten times (project's choice) the time τ in which its autocorrelation falls to 1/e, or
        less.

        With the autocorrelation e^{−t/τ}, the mean over a time L has variance 2σ²·τ/L·(1 − τ/L·(1 −
        e^{−L/τ})). Independent time blocks of length L would have the long-run 2σ²·τ/L: the
        difference is the share τ/L, a tenth of the variance at L = 10·τ. Here the autocorrelation
        is (1 − p − q)^k after k symbols, so that τ is at most 1/(1 − |1 − p − q|) of them.
        """
        p = self.p
        if p is None and self.share_bad is not None:
            p = self.q * self.share_bad / (1 - self.share_bad)
        return 10.0 * symbol_s / (1.0 - abs(1.0 - (p or 0.0) - self.q))

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """The signal with erased values filled, [N, K]."""
        erased = self.erased(rows, signal.shape[1])
        if not bool(erased.any()):
            return signal
        if self.filling == "zero" or rows.mean is None:
            return torch.where(erased, torch.zeros_like(signal), signal)
        mean = rows.mean.to(signal).expand_as(signal)
        if self.filling == "mean":
            return torch.where(erased, mean, signal)
        return _last(signal, erased, mean)

    def erased(self, rows: Rows, latent_size: int) -> Tensor:
        """Mask of the values that do not arrive, bool [N, K]."""

        def drawn() -> Tensor:
            slots = symbol_slots(rows, symbol_count(latent_size))
            bad = bad_states(rows, slots, *self._chances(rows))
            e_good, e_bad = (_column(rows, name) for name in ("e_good", "e_bad"))
            struck = rows.uniform_at(slots, 1, "erased")[..., 0] <= np.where(bad, e_bad, e_good)
            values = np.repeat(struck, 2, axis=1)[:, :latent_size]
            return torch.from_numpy(values).to(rows.device)

        return rows.once(f"erased, {latent_size}", drawn)

    @staticmethod
    def _chances(rows: Rows) -> tuple[Floats, Floats]:
        """p and q, [N, 1]."""
        p, q, share = (_column(rows, name) for name in ("p", "q", "share_bad"))
        derived = np.minimum(q * share / (1 - share), 1.0)  # float32 columns may round above 1
        return np.where(np.isnan(p), derived, p), q

    def leaves(self, rows: Rows) -> Channel:
        """The values erased here and before."""
        if rows.view is not None:
            if rows.view.draw is None:
                return rows.channel
            rows = rows.imagined()
        erased, before = self.erased(rows, rows.latent_size), rows.channel.erased
        return replace(rows.channel, erased=erased if before is None else before | erased)


def bad_states(rows: Rows, slots: Ints, p: Floats, q: Floats) -> Bools:
    """Whether the chain is bad in consecutive slots [N, S], for chances [N, 1]; exact.

    One uniform u moves the chain into a slot: u ≤ min(p, 1 − q) leads to the bad state from either,
    u > max(p, 1 − q) to the good one; in between it stays as it was where p ≤ 1 − q, and changes
    otherwise. The first two forget the past, so the state is determined from the last such slot on.
    """
    # Bad after bad has probability 1 − q, bad after good p: the thresholds of u.
    low, high = np.minimum(p, 1 - q), np.maximum(p, 1 - q)
    turns = p > 1 - q

    def moves(at: Ints, of: Ints | slice) -> tuple[Bools, Bools]:
        """The slots that forget the past, and whether their state is bad."""
        u = rows.uniform_at(at, 1, "state")[..., 0]
        bad = u <= low[of]
        return bad | (u > high[of]), bad

    before = np.zeros(len(slots), dtype=bool)  # the state before the first slot
    waiting = np.arange(len(slots))
    seen, chunk = 0, _CHUNK
    while len(waiting):
        back = np.arange(1 + seen, 1 + seen + chunk)
        forgets, bad = moves(slots[waiting, :1] - back, waiting)
        known = forgets.any(axis=1)
        found = forgets[known].argmax(axis=1)
        rest = waiting[known]
        # If the state changes in between, it does so once in every slot since.
        odd = turns[rest, 0] & ((seen + found) % 2 == 1)
        before[rest] = bad[known, found] ^ odd
        waiting, seen, chunk = waiting[~known], seen + chunk, min(2 * chunk, _LONGEST)

    forgets, bad = moves(slots, slice(None))
    here = np.arange(slots.shape[1])
    last = np.maximum.accumulate(np.where(forgets, here, -1), axis=1)
    start = np.where(last < 0, before[:, None], np.take_along_axis(bad, last.clip(0), axis=1))
    return start ^ (turns & ((here - last) % 2 == 1))


def _last(signal: Tensor, erased: Tensor, mean: Tensor) -> Tensor:
    """Erased values replaced by the last ones received before in the same quadrature."""
    width = signal.shape[1]
    place = torch.arange(width, device=signal.device).expand_as(erased)
    # Shifted by one, so that 0 means that no value came before; each quadrature separately.
    received = torch.where(erased, torch.zeros_like(place), place + 1)
    found = torch.zeros_like(received)
    for quadrature in (0, 1):
        found[:, quadrature::2] = received[:, quadrature::2].cummax(dim=1).values
    return torch.where(found > 0, signal.gather(1, (found - 1).clamp_min(0)), mean)


def _column(rows: Rows, name: str) -> Floats:
    return rows[name].double().cpu().numpy()[:, None]
