"""The receiver: a codec's decoder and its defences."""

from __future__ import annotations

from typing import ClassVar, Literal

from channelsim.contracts.parts import Codec, Decibels, Detector, NonNegative, Part, part
from channelsim.contracts.stages import Stages
from channelsim.support.errors import InputError


@part
class Receiver(Part):
    """A decoder, an optional detector, a modelled latency, and a fallback image.

    ``codec``: also gives the transmitter its encoder. ``latency_s`` [s]: from arrival to decision;
    it is the Batcher's window. ``fallback``: the image shown for a message that was lost or
    rejected: the data set's ``mean`` image, ``black``, or the ``last`` one that this receiver
    accepted (until there is one, the mean). ``assumed_snr_db`` [dB]: the SNR told to a codec that
    takes side information, both its halves, be it right or wrong. Default: the nominal SNR of the
    path, the ledger's ``snr_db``: the noise of all stages that state an ``snr_db`` added, at a gain
    of 1, without impulses, quantisation or an adversary. The defaults are the project's.
    """

    kind: ClassVar[str] = "receiver"

    codec: Codec
    detector: Detector | None = None
    latency_s: NonNegative = 0.02
    fallback: Literal["mean", "black", "last"] = "mean"
    assumed_snr_db: Decibels | None = None

    def codec_on(self, path: Stages) -> Codec:
        """The codec on a path: told the SNR, where it takes side information."""
        codec, assumed = self.codec, self.assumed_snr_db
        if not codec.takes_side:
            if assumed is not None:
                raise InputError(
                    f"assumed_snr_db is {assumed:g}, but {codec.title} is told nothing: neither its"
                    " encode nor its decode takes side; remove the key"
                )
            return codec
        snr_db = path.snr_db if assumed is None else assumed
        if snr_db is None:
            raise InputError(
                f"{codec.title} takes side, the SNR of its channel, and no stage of the path states"
                " one; add a stage with snr_db (awgn), or state assumed_snr_db in the receiver"
            )
        return codec.at_snr(snr_db)
