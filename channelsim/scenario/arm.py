"""One arm of a scenario: a receiver at one point of its sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from channelsim.channels.power import Power
from channelsim.contracts.parts import Codec, Metric
from channelsim.contracts.stages import Stages
from channelsim.link.link import Link
from channelsim.receivers.receiver import Receiver


@dataclass(frozen=True)
class Arm:
    """One receiver at one point of the sweep; ``number``: its place among the scenario's arms.

    ``swept``: dotted key as written → the value it has here.
    """

    number: int
    receiver_name: str
    swept: Mapping[str, Any]
    transmit: Literal["mean", "sample"]
    power: Power
    link: Link
    path: Stages
    receiver: Receiver
    metrics: tuple[Metric, ...]
    control: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Stages(self.path))  # from Python, any sequence

    @property
    def codec(self) -> Codec:
        """The receiver's codec, told the SNR of this arm where it takes side information.

        The same object in all arms that are told the same.
        """
        return self.receiver.codec_on(self.path)
