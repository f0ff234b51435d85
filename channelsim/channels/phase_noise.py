"""Phase noise: an oscillator with an offset or a drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from pydantic import AllowInfNan, Strict
from torch import Tensor

from channelsim.contracts.parts import Stage, part
from channelsim.contracts.rows import Rows

# Beyond, a phase is practically uniform on the circle.
Degrees = Annotated[float, Strict(), AllowInfNan(False), Ge(0), Le(180)]


@part
class PhaseNoise(Stage):
    """Rotation of complex symbols: y_i = z_i·e^{jφ_i}, z_i = values 2i + j·values 2i + 1.

    ``deviation_deg``: σ in degrees, 0 to 180; may differ from row to row. ``law: constant``: one φ
    ~ N(0, σ²) for the whole codeword, the residue of a receiver's carrier recovery; ``walk``: a
    Wiener process, φ_i = w_0 + … + w_i with independent w ~ N(0, σ²), so that the i-th symbol (from
    0) is off by (i + 1)·σ² in variance: the receiver was in phase one symbol before the codeword
    began. An oscillator of linewidth Δν (Hz, full width at half maximum) and symbol time T has σ² =
    2π·Δν·T. The default law is the project's. ``name``: keys the draws; arms of all σ share them.

    The energy of every symbol is kept, up to rounding. The last value of an odd K has no partner
    and stays as it is. E|z·(1 − e^{jφ})|² = 2·(1 − e^{−v/2})·|z|² for a phase of variance v. The
    error is proportional to the signal, so the ledger's nominal ``snr_db`` does not include it;
    ``snr_measured_db`` counts it. A perturbation injected before it reaches the receiver rotated
    but with its full energy. Source: Demir, Mehrotra and Roychowdhury, "Phase noise in oscillators:
    a unifying theory and numerical methods for characterization", IEEE Trans. Circuits Syst. I
    47(5), 2000.
    """

    kind: ClassVar[str] = "phase_noise"
    columns: ClassVar[Mapping[str, str]] = {"deviation_deg": "deviation_deg"}

    name: str = ""
    deviation_deg: Degrees
    law: Literal["constant", "walk"] = "constant"

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Rotated signal, [N, K]."""
        symbols = signal.shape[1] // 2
        if symbols == 0:
            return signal
        # Double precision: a long walk adds up many roundings.
        deviation = torch.deg2rad(rows["deviation_deg"].double())[:, None]
        if self.law == "constant":
            phase = deviation * rows.normal(1, "phase").double()
        else:
            phase = deviation * rows.normal(symbols, "phase").double().cumsum(dim=1)
        cos, sin = torch.cos(phase), torch.sin(phase)
        real, imaginary = signal[:, 0 : 2 * symbols : 2], signal[:, 1 : 2 * symbols : 2]
        turned = torch.stack([cos * real - sin * imaginary, sin * real + cos * imaginary], dim=2)
        return torch.cat([turned.flatten(1).to(signal.dtype), signal[:, 2 * symbols :]], dim=1)
