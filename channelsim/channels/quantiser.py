"""A digital link: values become bits, some of which flip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from pydantic import AllowInfNan, Strict
from torch import Tensor

from channelsim.contracts.parts import Fraction, Stage, part
from channelsim.contracts.rows import Channel, Rows
from channelsim.contracts.words import Code, Words

Bits = Annotated[int, Strict(), Ge(1), Le(16)]
Range = Annotated[float, Strict(), AllowInfNan(False), Ge(1e-3), Le(1e3)]


@part
class Quantiser(Stage):
    """Uniform midrise quantiser: b bits per real value on [−A, A], then a binary symmetric channel.

    Q(z) = −A + (k + ½)·Δ, k = ⌊(z + A)/Δ⌋ within 0 … 2^b − 1, Δ = 2A/2^b; the b bits of k's code
    word flip independently with probability p, and the receiver looks up the level it reads.

    ``bits``: b per real value, 1 to 16. ``range``: A in multiples of √P, the rms amplitude on the
    wire, 0.001 to 1000; values beyond are clipped to the outermost level. So one file suits codecs
    of every scale and both levels of the power mode; project default 4, where a Gaussian signal
    clips one value in 16,000. ``bit_error``: p, 0 to 1; default 0. ``code``: ``natural`` binary
    (project default) or reflected binary ``gray``. ``bits``, ``range`` and ``bit_error`` may differ
    from row to row, and arms share draws: a bit that flips at a low p flips at every higher one,
    and the most significant bits flip alike for every b. ``name``: keys the flips. The link's
    airtime counts symbols of two values each, whatever their bits.

    Per real value, for a signal uniform on [−A, A]: quantisation error Δ²/12; error of flipped bits
    p·Δ²(4^b − 1)/3 in natural code, p·Δ²(4·(4^b − 1)/3 − b)/3 + O(p²) in Gray code, a third more,
    since a flip there mirrors all lower bits; the two errors are uncorrelated and add up.

    Both errors depend on the signal, so the ledger's nominal ``snr_db`` does not include them;
    ``snr_measured_db`` counts them, clipping included. The stage is not linear: the received
    perturbation (``psr_received_db``) is the difference of the two signals that crossed with the
    same flips: nothing (empty) where it moved no value over a threshold, and more with flips than
    without, since with flips the bits in which two neighbouring words differ no longer cancel. An
    adversary in front of it foresees the levels, and flips where it imagines draws; it takes the
    gradient as if the stage were absent (straight-through: Bengio, Léonard and Courville,
    arXiv:1308.3432, 2013). Source: Jayant and Noll, "Digital Coding of Waveforms", 1984, chapter 4.
    """

    kind: ClassVar[str] = "quantiser"
    columns: ClassVar[Mapping[str, str]] = {
        "bits": "bits",
        "range": "range",
        "bit_error": "bit_error",
    }

    name: str = ""
    bits: Bits
    range: Range = 4.0
    bit_error: Fraction = 0.0
    code: Code = "natural"

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """The levels that the receiver reads, [N, K]."""
        return self._levels(signal, rows, flips=True)

    def foresee(self, signal: Tensor, rows: Rows) -> Tensor:
        """The levels, bits flipped only where the view imagines; the gradient of the identity."""
        imagines = rows.view is not None and rows.view.draw is not None
        with torch.no_grad():
            seen = rows.imagined() if imagines else rows
            moved = self._levels(signal, seen, flips=imagines) - signal
        return signal + moved

    def _levels(self, signal: Tensor, rows: Rows, flips: bool) -> Tensor:
        words = self._words(rows)
        sent = words.read(signal)
        bit_error = rows["bit_error"][:, None]
        if flips and bool((bit_error > 0).any()):
            errors = torch.zeros_like(sent)
            for place in range(int(words.bits.max())):
                # Draws are above 0 and may round to 1: with ≤, p = 0 means never and p = 1 always.
                flipped = rows.uniform(sent.shape[1], "flips", place) <= bit_error
                errors |= flipped * words.weight(place)
            sent = words.flipped(sent, errors)
        return words.level(sent).to(signal.dtype)

    def leaves(self, rows: Rows) -> Channel:
        """The channel behind this stage: values are words now."""
        return replace(rows.channel, words=self._words(rows))

    def _words(self, rows: Rows) -> Words:
        limit = (rows["range"].double() * rows.power**0.5)[:, None]
        return Words(rows["bits"].long()[:, None], limit, self.code)
