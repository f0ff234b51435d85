"""Adversaries on the wire, and their goals."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.adversaries.adversary_notices import adversary_notices
from channelsim.adversaries.apgd import APGD
from channelsim.adversaries.ascent import Ascent, ascend
from channelsim.adversaries.bit_flips import BitFlips
from channelsim.adversaries.control import matched_control
from channelsim.adversaries.corners import Corners
from channelsim.adversaries.directions import Directions
from channelsim.adversaries.ensemble import Ensemble
from channelsim.adversaries.falling import Falling
from channelsim.adversaries.momentum import Momentum
from channelsim.adversaries.noise import Noise
from channelsim.adversaries.pgd import PGD
from channelsim.adversaries.substitute import Replay, Substitute
from channelsim.adversaries.universal import Universal
from channelsim.contracts.adversary import Adversary

ADVERSARIES: Mapping[str, type[Adversary]] = {
    part.kind: part
    for part in (
        PGD,
        Momentum,
        APGD,
        Corners,
        Directions,
        Falling,
        Ensemble,
        Noise,
        Universal,
        BitFlips,
        Replay,
        Substitute,
    )
}

__all__ = [
    "ADVERSARIES",
    "APGD",
    "PGD",
    "Ascent",
    "BitFlips",
    "Corners",
    "Directions",
    "Ensemble",
    "Falling",
    "Momentum",
    "Noise",
    "Replay",
    "Substitute",
    "Universal",
    "adversary_notices",
    "ascend",
    "matched_control",
]
