"""The signal plane: all operations on the tensors of a batch; a pure function of that batch."""

from channelsim.signal_path.injection import Column
from channelsim.signal_path.path import SignalPath
from channelsim.signal_path.reception import Defence
from channelsim.signal_path.rehearsal import Encoded, Rehearsal
from channelsim.signal_path.setting import Setting
from channelsim.signal_path.transmitter import Latents, Transmitter

__all__ = [
    "Column",
    "Defence",
    "Encoded",
    "Latents",
    "Rehearsal",
    "Setting",
    "SignalPath",
    "Transmitter",
]
