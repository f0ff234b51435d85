"""Codecs: a transmitter's encoder and a receiver's decoder."""

from collections.abc import Mapping

from channelsim.codecs.linear import Linear
from channelsim.codecs.lu_chen import LuChen
from channelsim.codecs.module import Module
from channelsim.codecs.onnx import Onnx
from channelsim.codecs.trained import Trained, Zoo, zoo_names
from channelsim.contracts.parts import Codec

# The codecs that a scenario may name by kind; ``use:`` brings a user's own as a Module.
CODECS: Mapping[str, type[Codec]] = {
    "linear": Linear,
    "trained": Trained,
    "zoo": Zoo,
    "onnx": Onnx,
}

__all__ = ["CODECS", "Linear", "LuChen", "Module", "Onnx", "Trained", "Zoo", "zoo_names"]
