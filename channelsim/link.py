"""The link between transmitter and receiver, as the event plane sees it: time and loss."""

from __future__ import annotations

import math
from typing import ClassVar

from channelsim.parts import Count, Fraction, NonNegative, Part, Positive, part


@part
class Link(Part):
    """One transmitter, one receiver, first come first served.

    A codeword of K real values is ⌈K/2⌉ complex symbols and occupies the link for that many symbol
    times; a message that finds it busy waits. ``latency_s`` [s]: propagation, each way.
    ``symbol_rate_hz`` [symbols/s]. ``loss``: probability that an attempt never arrives, independent
    of everything else. ``max_attempts``: crossings per message; above 1 the receiver asks again
    after a rejection (the request takes ``latency_s``), and the transmitter repeats after
    ``timeout_s`` [s] of silence, counted from the end of sending (default: there and back again,
    plus the receiver's latency). All defaults are ours.
    """

    kind: ClassVar[str] = "link"

    latency_s: NonNegative = 0.02
    symbol_rate_hz: Positive = 20e3
    loss: Fraction = 0.0
    max_attempts: Count = 1
    timeout_s: Positive | None = None

    def airtime_s(self, latent_size: int) -> float:
        """How long one codeword of K real values occupies the link."""
        return math.ceil(latent_size / 2) / self.symbol_rate_hz

    def silence_s(self, receiver_latency_s: float) -> float:
        """How long after sending the transmitter waits for an answer before it repeats."""
        if self.timeout_s is not None:
            return self.timeout_s
        return 2 * self.latency_s + receiver_latency_s
