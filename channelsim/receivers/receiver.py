"""The receiver: a codec's decoder and its defences."""

from __future__ import annotations

from typing import ClassVar, Literal

from channelsim.contracts.parts import Codec, Detector, NonNegative, Part, part


@part
class Receiver(Part):
    """A decoder, an optional detector, a modelled latency, and a fallback image.

    ``codec``: also gives the transmitter its encoder. ``latency_s`` [s]: from arrival to decision;
    it is the Batcher's window. ``fallback``: the image shown for a message that was lost or
    rejected: the data set's ``mean`` image, ``black``, or the ``last`` one that this receiver
    accepted (until there is one, the mean). The defaults are the project's.
    """

    kind: ClassVar[str] = "receiver"

    codec: Codec
    detector: Detector | None = None
    latency_s: NonNegative = 0.02
    fallback: Literal["mean", "black", "last"] = "mean"
