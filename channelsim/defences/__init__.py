"""What a receiver has against an adversary."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.defences.detector import LatentDensity, Norm, threshold
from channelsim.defences.receiver import Receiver
from channelsim.parts import Detector

DETECTORS: Mapping[str, type[Detector]] = {part.kind: part for part in (LatentDensity, Norm)}

__all__ = ["DETECTORS", "LatentDensity", "Norm", "Receiver", "threshold"]
