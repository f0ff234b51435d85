"""Additive white Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from channelsim.contracts.parts import Decibels, Stage, part
from channelsim.contracts.rows import Rows
from channelsim.support import units


@part
class AWGN(Stage):
    """Thermal noise: y = z + n with n_j ~ N(0, N₀) for every real value, N₀ = P / 10^(SNR/10).

    P is the transmit power per real value on the wire, not the power of a row or of a batch: a
    quiet row meets the same noise as a loud one. Two real values make a complex symbol of power 2P
    in noise of variance 2·N₀, so the ratio is the same in both readings. ``snr_db``: nominal SNR in
    dB, −300 to 300 (limits of float32); may differ from row to row. ``name``: keys the noise draws.
    """

    kind: ClassVar[str] = "awgn"
    columns: ClassVar[Mapping[str, str]] = {"snr_db": "snr_db"}

    name: str = ""
    snr_db: Decibels

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Signal plus noise, [N, K]."""
        snr_db = rows["snr_db"]
        deviation = torch.sqrt(units.noise_variance(torch.full_like(snr_db, rows.power), snr_db))
        return signal + deviation[:, None] * rows.normal(signal.shape[1], "noise")
