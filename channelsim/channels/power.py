"""The scaling of latents onto the wire, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from channelsim.contracts.parts import Flag, Part, part
from channelsim.contracts.records import Ints

_SILENT = 1e-12  # project's choice: the least norm, relative to the usual, scaled to full power


@dataclass(frozen=True)
class Scaled:
    """A signal on the wire [N, K] and the scaling that the receiver undoes."""

    wire: Tensor
    gain: Tensor  # [N, 1], wire = (latent - offset) * gain; the receiver divides by it
    offset: Tensor  # [K]

    def undo(self, wire: Tensor) -> Tensor:
        """Latent coordinates as the receiver's decoder expects them."""
        return wire / self.gain + self.offset

    def only(self, rows: Ints) -> Scaled:
        """Some of the rows."""
        return Scaled(self.wire[rows], self.gain[rows], self.offset)


@part
class Power(Part):
    """The power mode of the transmitter; nothing about one row ever depends on its batch.

    ``mode: average``: the latent is sent as it is (or, with ``level: unit``, divided by √P), so the
    noise floor N0 = P/SNR is the same for all rows and a row's own SNR varies. ``mode: codeword``:
    every row is scaled to ‖s‖² = K·P; its amplitude is ``known`` to the receiver (side information)
    or ``lost`` (the receiver assumes the average, √(K·P)). A codeword of no energy stays zero: no
    gain exceeds 1e12 times (project's choice) that of the usual amplitude. ``level: native`` keeps
    the codec's own scale, so that an absolute ε is in latent units as Lu & Chen state it; ``unit``
    sends at P = 1. ``centred`` removes the codec's mean latent before sending and adds it back at
    the receiver (the mean is in the card). The defaults are the project's.
    """

    kind: ClassVar[str] = "power"

    mode: Literal["average", "codeword"] = "average"
    amplitude: Literal["known", "lost"] = "known"
    level: Literal["native", "unit"] = "native"
    centred: Flag = False

    def wire_power(self, codec_power: float) -> float:
        """P per real value on the wire, for a codec of calibrated power ``codec_power``."""
        return 1.0 if self.level == "unit" else codec_power

    def scale(self, latent: Tensor, codec_power: float, mean: Tensor) -> Scaled:
        """Put latents [N, K] on the wire; ``codec_power`` is the (centred) calibrated power."""
        offset = mean if self.centred else torch.zeros_like(mean)
        signal = latent - offset if self.centred else latent
        target = self.wire_power(codec_power)
        usual = (target / codec_power) ** 0.5
        if self.mode == "average":
            gain = torch.full_like(signal[:, :1], usual)
            return Scaled(signal if usual == 1.0 else signal * gain, gain, offset)
        norm = torch.linalg.vector_norm(signal, dim=1, keepdim=True)
        norm = norm.clamp_min(_SILENT * (signal.shape[1] * codec_power) ** 0.5)
        gain = (signal.shape[1] * target) ** 0.5 / norm
        known = gain if self.amplitude == "known" else torch.full_like(gain, usual)
        return Scaled(signal * gain, known, offset)
