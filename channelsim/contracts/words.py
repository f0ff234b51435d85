"""Words of a digital link: the level and the bits of each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Code = Literal["natural", "gray"]


@dataclass(frozen=True)
class Words:
    """b bits per real value on [−A, A]; level k of 2^b is −A + (k + ½)·Δ with Δ = 2A/2^b.

    ``bits``: b ≤ 16, int64 [N, 1]. ``limit``: A, float64 [N, 1], so that rounding brings no level
    of 16 bits near a threshold. ``code``: k's word is ``natural`` binary or reflected (``gray``).
    Numbers of levels, words and flips are int64 [N, K]; a flip is a 1 at its bit's place.
    """

    bits: Tensor
    limit: Tensor
    code: Code = "natural"

    @classmethod
    def joined(cls, parts: Sequence[Words]) -> Words:
        """The rows of all parts."""
        bits = torch.cat([one.bits for one in parts])
        return cls(bits, torch.cat([one.limit for one in parts]), parts[0].code)

    @property
    def step(self) -> Tensor:
        """Δ, float64 [N, 1]."""
        return 2 * self.limit / 2 ** self.bits.double()

    def read(self, signal: Tensor) -> Tensor:
        """Numbers k of the levels nearest to a signal; beyond ±A the outermost one."""
        place = torch.floor((signal.double() + self.limit) / self.step).clamp_min(0)
        return torch.minimum(place, 2 ** self.bits.double() - 1).long()

    def level(self, number: Tensor) -> Tensor:
        """Levels of these numbers, float64."""
        return (number.double() + 0.5) * self.step - self.limit

    def flipped(self, number: Tensor, flips: Tensor) -> Tensor:
        """Numbers of the levels read after these bits were flipped."""
        return self._number(self._word(number) ^ flips)

    def moved(self, number: Tensor, flips: Tensor) -> Tensor:
        """The change of the values by these flips, float64."""
        return self.level(self.flipped(number, flips)) - self.level(number)

    def weight(self, place: int) -> Tensor:
        """The bit at a place of each word, 0 for the most significant; 0 where there is none."""
        weight = torch.ones_like(self.bits) << (self.bits - 1 - place).clamp_min(0)
        return torch.where(place < self.bits, weight, torch.zeros_like(weight))

    def within(self, signal: Tensor, delta: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        """δ as flips of the words in ``signal``, at most ``most`` [N].

        Flips beyond that are undone, from the codeword's end. Returns δ and its number of flipped
        bits, int64 [N].
        """
        sent = self.read(signal)
        wanted = self.read(self.level(sent) + delta.double())
        flips = self._word(sent) ^ self._word(wanted)
        places = torch.arange(int(self.bits.max()) - 1, -1, -1, device=flips.device)
        made = (flips[:, :, None] >> places) & 1  # [N, K, b]
        counted = made.flatten(1).cumsum(dim=1).view_as(made)
        kept = made * (counted <= most[:, None, None])
        flips = (kept << places).sum(dim=2)
        return self.moved(sent, flips).to(delta.dtype), kept.sum(dim=(1, 2))

    def _word(self, number: Tensor) -> Tensor:
        return number if self.code == "natural" else number ^ (number >> 1)

    def _number(self, word: Tensor) -> Tensor:
        if self.code == "gray":
            for shift in (1, 2, 4, 8):  # each bit is the parity of those above it
                word = word ^ (word >> shift)
        return word
