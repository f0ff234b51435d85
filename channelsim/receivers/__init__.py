"""Receivers and their defences."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.contracts.parts import Detector
from channelsim.receivers.detector import LatentDensity, Norm, threshold
from channelsim.receivers.receiver import Receiver

DETECTORS: Mapping[str, type[Detector]] = {part.kind: part for part in (LatentDensity, Norm)}

__all__ = ["DETECTORS", "LatentDensity", "Norm", "Receiver", "threshold"]
