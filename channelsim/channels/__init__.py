"""What the signal meets on the wire, and the power it is sent with."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.channels.awgn import AWGN
from channelsim.channels.impulsive import Impulsive
from channelsim.channels.phase_noise import PhaseNoise
from channelsim.channels.power import Power
from channelsim.channels.quantiser import Quantiser
from channelsim.parts import Stage

CHANNELS: Mapping[str, type[Stage]] = {
    part.kind: part for part in (AWGN, Impulsive, PhaseNoise, Quantiser)
}

__all__ = ["AWGN", "CHANNELS", "Impulsive", "PhaseNoise", "Power", "Quantiser"]
