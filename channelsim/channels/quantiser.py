"""A digital link: values become bits, and some bits flip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from pydantic import AllowInfNan, Strict
from torch import Tensor

from channelsim.parts import Fraction, Stage, part
from channelsim.rows import Rows

Bits = Annotated[int, Strict(), Ge(1), Le(16)]
Range = Annotated[float, Strict(), AllowInfNan(False), Ge(1e-3), Le(1e3)]


@part
class Quantiser(Stage):
    """Uniform midrise quantiser: b bits per real value on [−A, A], then a binary symmetric channel.

    Q(z) = −A + (k + ½)·Δ, k = ⌊(z + A)/Δ⌋ within 0 … 2^b − 1, Δ = 2A/2^b; the b bits of k's code
    word flip independently with probability p, and the receiver looks up the level it reads.

    ``bits``: b per real value, 1 to 16. ``range``: A in multiples of √P, the rms amplitude on the
    wire, 0.001 to 1000; what lies beyond is clipped to the outermost level. So one file suits
    codecs of every scale and both levels of the power mode; default 4 (ours), where a Gaussian
    signal clips one value in 16,000. ``bit_error``: p, 0 to 1; default 0. ``code``: ``natural``
    binary (default, ours) or reflected binary ``gray``. ``bits``, ``range`` and ``bit_error`` may
    differ from row to row, and arms share draws: a bit that flips at a low p flips at every higher
    one, and the most significant bits flip alike for every b. ``name``: keys the flips. The link's
    airtime counts symbols of two values each, whatever their bits.

    Per real value, for a signal uniform on [−A, A]: quantisation error Δ²/12; error of flipped bits
    p·Δ²(4^b − 1)/3 in natural code, p·Δ²(4·(4^b − 1)/3 − b)/3 + O(p²) in Gray code, a third more,
    since a flip there mirrors all lower bits; the two errors are uncorrelated and add up.

    Both errors depend on the signal, so the ledger's nominal ``snr_db`` knows nothing of them;
    ``snr_measured_db`` counts them, clipping included. The stage is not linear: what a perturbation
    injected before it becomes at the receiver (``psr_received_db``) is the difference of the two
    signals that crossed with the same flips: nothing (empty) where it moved no value over a
    threshold, and more with flips than without, since flips no longer let the bits in which two
    neighbouring words differ cancel. No gradient passes and none is asked for: an adversary
    differentiates the receiver's decoder where it injects, never a stage, and so does not foresee
    what a quantiser behind it will do. Source: Jayant and Noll, "Digital Coding of Waveforms",
    1984, chapter 4.
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
    code: Literal["natural", "gray"] = "natural"

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """The levels that the receiver reads, [N, K]."""
        bits = rows["bits"].long()[:, None]
        levels = 2 ** bits.double()
        # In double precision, so that no level of 16 bits lies near a threshold by rounding.
        limit = (rows["range"].double() * rows.power**0.5)[:, None]
        step = 2 * limit / levels
        place = torch.floor((signal.double() + limit) / step).clamp_min(0)
        sent = torch.minimum(place, levels - 1).long()
        read = self._read(sent, bits, rows)
        return ((read.double() + 0.5) * step - limit).to(signal.dtype)

    def _read(self, sent: Tensor, bits: Tensor, rows: Rows) -> Tensor:
        """Numbers of levels [N, K] after the binary symmetric channel."""
        bit_error = rows["bit_error"][:, None]
        if not bool((bit_error > 0).any()):
            return sent
        flips = torch.zeros_like(sent)
        for place in range(int(bits.max())):  # 0: the most significant bit
            # Draws are above 0, and may round to 1: with ≤, p = 0 is never and p = 1 is always.
            flipped = rows.uniform(sent.shape[1], "flips", place) <= bit_error
            weight = (bits - 1 - place).clamp_min(0)
            flips |= (flipped & (place < bits)).long() << weight
        if self.code == "natural":
            return sent ^ flips
        word = sent ^ (sent >> 1) ^ flips
        for shift in (1, 2, 4, 8):  # from Gray back: each bit is the parity of those above it
            word = word ^ (word >> shift)
        return word
