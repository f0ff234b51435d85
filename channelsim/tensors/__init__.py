"""Parts used on tensors, without a scenario: in a notebook, or in a program of one's own."""

from channelsim.tensors.transmission import Transmission, attack, codec, images, signals, transmit

__all__ = ["Transmission", "attack", "codec", "images", "signals", "transmit"]
