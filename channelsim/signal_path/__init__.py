"""The signal plane: all operations on the tensors of a batch; a pure function of that batch."""

from channelsim.signal_path.injection import Column
from channelsim.signal_path.path import SignalPath
from channelsim.signal_path.reception import Defence
from channelsim.signal_path.rehearsal import Rehearsal, TrainingCodewords
from channelsim.signal_path.setting import Setting
from channelsim.signal_path.transmitter import Latents, Transmitter

__all__ = [
    "Column",
    "Defence",
    "Latents",
    "Rehearsal",
    "Setting",
    "SignalPath",
    "TrainingCodewords",
    "Transmitter",
]
