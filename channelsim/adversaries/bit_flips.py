"""An adversary on a digital link: it flips a few bits of the words that cross it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from channelsim.adversaries.goals import AnyGoal, Damage
from channelsim.adversaries.objective import objective
from channelsim.channels import Quantiser
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import Stage, part
from channelsim.contracts.rows import Knowledge, Perturbation, Rows
from channelsim.contracts.words import Words
from channelsim.support.errors import InputError


@part
class BitFlips(Adversary):
    """Flips at most ε bits of every codeword that crosses a digital link.

    It stands behind a `Quantiser`, holds the words that its receiver reads there (of K values, b
    bits each, those that the link itself flipped included), and changes them: δ is the difference
    of the levels. The ledger has its energy too.

    ``budget``: ``norm: bits`` and ε, a whole number per codeword; ε ≥ K·b allows all. ``of``: the
    name of the quantiser; default: the nearest one in front. Only other bit-flipping adversaries
    may stand between the two. ``search``: the choice of bits.

    * ``greedy`` (default): flips one bit after the other, each the one of all K·b that improves the
      goal's objective most by itself, found by trying each (K·b forward passes per flip). It never
      takes a flip back, and stops where none gains; so it is no upper bound on the effect of ε
      flips.
    * ``msb``: the most significant bits of values drawn at random; when all are flipped, the next
      lower bits. It needs no knowledge. In natural code each moves its value by Δ·2^(b−1) = A; in
      Gray code it mirrors it at 0, and so hardly moves a small one.
    * ``random``: any bits, drawn at random, as on a poor link.

    Draws are shared: a bit that is flipped for a small ε is flipped for every larger one. The
    control flips as many bits at random. ``goal``: of ``greedy``; see `Damage` (project default)
    and `TargetImage`. ``access``: a relay; with ``expectation`` greedy averages its objective over
    imagined draws, for as many times the effort. ``activity``: see `Activity`; there is no energy
    account, since bits are counted. The defaults are the project's.

    Per real value, for a signal uniform on [−A, A] in natural code, n flips at ``random`` cost the
    mean squared error n/(K·b)·Δ²(4^b − 1)/3, as a binary symmetric channel of that error rate does.
    """

    kind: ClassVar[str] = "bit_flips"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon"}
    digital = True

    name: str = ""
    of: str = ""
    search: Literal["greedy", "msb", "random"] = "greedy"
    goal: AnyGoal = Damage()
    budget: Budget
    access: Access = Access()
    activity: Activity = Activity()

    @model_validator(mode="after")
    def _consistent(self) -> BitFlips:
        if self.budget.norm != "bits":
            raise ValueError(
                f"budget.norm must be bits, which it flips, not {self.budget.norm}; write"
                " budget: {norm: bits, epsilon: …}"
            )
        if self.access.place != "relay" or self.access.own_path is not None:
            what = "own_path" if self.access.place == "relay" else f"place: {self.access.place}"
            raise ValueError(
                f"who flips bits holds the words and sends them on; remove access.{what}"
            )
        if self.activity.energy is not None:
            raise ValueError(
                "an account of energy is not for flipped bits, which budget.epsilon counts; remove"
                " activity.energy"
            )
        return self

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge: only the search for the best bits needs any."""
        if self.search != "greedy":
            return ()
        return ("codeword", "receiver weights", *self.goal.needs())

    @property
    def effort(self) -> Mapping[str, Any]:
        """Per flip, and per imagined draw if it averages over several."""
        return {"gradients": 0, "forward passes": "K·b" if self.search == "greedy" else 0}

    def check_path(self, earlier: Sequence[Stage]) -> None:
        """Require digital words at its place."""
        places = [i for i, stage in enumerate(earlier) if isinstance(stage, Quantiser)]
        names = [earlier[i].label for i in places]
        if not places:
            raise InputError(
                f"{self.label} flips bits, but no quantiser stands in front of it; add one (kind:"
                " quantiser) to the path, before it"
            )
        if self.of and self.of not in names:
            raise InputError(
                f"{self.label}: of: {self.of} names no quantiser in front of it"
                f" ({', '.join(names)})"
            )
        place = places[names.index(self.of)] if self.of else places[-1]
        between = [one for one in earlier[place + 1 :] if not isinstance(one, BitFlips)]
        if between:
            raise InputError(
                f"{between[0].label} stands between {earlier[place].label} and {self.label}, where"
                f" there are only words; move {self.label} directly behind {earlier[place].label}"
            )

    def brief(self) -> BitFlips:
        """Leading bits, without the search, which decodes a block in every trial."""
        return dataclasses.replace(self, search="msb")

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        """The differences of the levels; at most ε·K·b + 1 forward passes."""
        words = rows.channel.words
        assert words is not None, "see check_path"
        sent, most = words.read(signal), radius.long()
        if self.search == "greedy":
            flips = self._greedy(signal, sent, most, words, rows, knowledge)
        else:
            draws = _draws(sent, words, rows, "bits")
            if self.search == "msb":
                draws = draws + torch.arange(draws.shape[2], device=draws.device)
            flips = _first(draws, most, words)
        verdict = np.full(len(signal), records.OK, dtype=object)
        return words.moved(sent, flips).to(signal.dtype), verdict

    def control(self, signal: Tensor, found: Perturbation, rows: Rows) -> Tensor:
        """As many bits, at random."""
        words = rows.channel.words
        assert words is not None, "see check_path"
        assert found.flipped_bits is not None, "counted by Adversary.confined"
        sent = words.read(signal)
        most = torch.from_numpy(found.flipped_bits).to(sent)
        flips = _first(_draws(sent, words, rows, "control"), most, words)
        return words.moved(sent, flips).to(signal.dtype)

    def _greedy(
        self,
        signal: Tensor,
        sent: Tensor,
        most: Tensor,
        words: Words,
        rows: Rows,
        knowledge: Knowledge,
    ) -> Tensor:
        """Flips [N, K]: in every round the best single one, for all rows at once.

        A forward pass tries one bit in every row. It keeps the batch's shape: later stages work by
        row, and a row among as many others is the same to the last bit.
        """
        aim = objective(self.goal, signal, rows, knowledge)
        flips = torch.zeros_like(sent)
        value = aim(torch.zeros_like(signal))
        searching = most > 0
        for number in range(int(most.max())):
            best, best_value = flips, value
            for column in range(sent.shape[1]):
                for place in range(int(words.bits.max())):
                    bit = words.weight(place)[:, 0]
                    fresh = (bit > 0) & (flips[:, column] & bit == 0) & searching
                    if not bool(fresh.any()):
                        continue
                    tried = flips.clone()
                    tried[:, column] |= bit
                    found = aim(words.moved(sent, tried).to(signal.dtype))
                    ahead = fresh & torch.isfinite(found) & (found > best_value)
                    best = torch.where(ahead[:, None], tried, best)
                    best_value = torch.where(ahead, found, best_value)
            searching = (best != flips).any(dim=1) & (most > number + 1)
            flips, value = best, best_value
            if not bool(searching.any()):
                break
        return flips


def _draws(sent: Tensor, words: Words, rows: Rows, draw: str) -> Tensor:
    """A uniform number in (0, 1) for every bit [N, K, b], the most significant first."""
    places = range(int(words.bits.max()))
    return torch.stack([rows.uniform(sent.shape[1], draw, place) for place in places], dim=2)


def _first(draws: Tensor, most: Tensor, words: Words) -> Tensor:
    """Flips [N, K] of the bits with the smallest numbers [N, K, b], as many as ``most`` [N] or all.

    The order of the bits does not depend on ``most``.
    """
    weight = torch.stack([words.weight(place) for place in range(draws.shape[2])], dim=2)
    there = (weight > 0).expand_as(draws)
    order = torch.where(there, draws, torch.full_like(draws, torch.inf)).flatten(1)
    rank = order.argsort(dim=1, stable=True).argsort(dim=1).view_as(draws)
    chosen = there & (rank < most[:, None, None])
    return (chosen * weight).sum(dim=2)
