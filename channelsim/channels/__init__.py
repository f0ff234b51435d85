"""Stages of the channel, and the transmit power."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.channels.awgn import AWGN
from channelsim.channels.equaliser import Equaliser
from channelsim.channels.fading import Fading
from channelsim.channels.gilbert_elliott import GilbertElliott
from channelsim.channels.impulsive import Impulsive
from channelsim.channels.path_notices import memories_s, memory_notices, notices
from channelsim.channels.phase_noise import PhaseNoise
from channelsim.channels.power import Power
from channelsim.channels.quantiser import Quantiser
from channelsim.contracts.parts import Stage

CHANNELS: Mapping[str, type[Stage]] = {
    part.kind: part
    for part in (AWGN, Equaliser, Fading, GilbertElliott, Impulsive, PhaseNoise, Quantiser)
}

__all__ = [
    "AWGN",
    "CHANNELS",
    "Equaliser",
    "Fading",
    "GilbertElliott",
    "Impulsive",
    "PhaseNoise",
    "Power",
    "Quantiser",
    "memories_s",
    "memory_notices",
    "notices",
]
