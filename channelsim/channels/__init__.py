"""What the signal meets on the wire, and the power it is sent with."""

from __future__ import annotations

from collections.abc import Mapping

from channelsim.channels.awgn import AWGN
from channelsim.channels.power import Power
from channelsim.parts import Stage

CHANNELS: Mapping[str, type[Stage]] = {part.kind: part for part in (AWGN,)}

__all__ = ["AWGN", "CHANNELS", "Power"]
