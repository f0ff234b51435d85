"""Impulsive noise: rare, strong impulses on whole symbols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from channelsim.contracts.parts import Decibels, Fraction, Stage, part
from channelsim.contracts.rows import Rows
from channelsim.support import units


@part
class Impulsive(Stage):
    """Bernoulli–Gaussian impulses: y = z + b·n, b ~ Bernoulli(rate), n_j ~ N(0, P·10^(inr/10)).

    b is drawn once per complex symbol (values 2i and 2i + 1), because an impulse on the air hits
    both quadratures at once; with an odd K the last value is a symbol by itself. Nothing else is
    added: put an ``awgn`` beside it for thermal noise.

    ``rate``: probability of an impulse per symbol, 0 to 1. ``inr_db``: power of an impulse per real
    value while it lasts, over the transmit power P, in dB, −300 to 300: referred to P as ``snr_db``
    is, not to a background noise (which the path may lack). Both may differ from row to row, and
    arms share draws: an impulse at a low rate is there at every higher one, and only its size
    changes with ``inr_db``. ``name``: keys the draws.

    The mean noise power per real value is rate·P·10^(inr/10), the kurtosis E n⁴/(E n²)² of the
    noise is 3/rate. The ledger's nominal ``snr_db`` does not include impulses; ``snr_measured_db``
    counts those that hit the row, and is empty where none did and nothing else disturbed it. The
    model is that of Ghosh, "Analysis of the effect of impulse noise on multicarrier and single
    carrier QAM systems", IEEE Trans. Commun. 44(2), 1996, who refers it to background noise.
    """

    kind: ClassVar[str] = "impulsive"
    columns: ClassVar[Mapping[str, str]] = {"rate": "rate", "inr_db": "inr_db"}

    name: str = ""
    rate: Fraction
    inr_db: Decibels

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Signal plus impulses, [N, K]."""
        width = signal.shape[1]
        # Draws are above 0 and may round to 1: with ≤, rate 0 means never and rate 1 always.
        struck = rows.uniform((width + 1) // 2, "struck") <= rows["rate"][:, None]
        struck = struck.repeat_interleave(2, dim=1)[:, :width]
        inr_db = rows["inr_db"]
        deviation = torch.sqrt(units.from_db(inr_db) * rows.power)
        impulse = deviation[:, None] * rows.normal(width, "impulse")
        return torch.where(struck, signal + impulse, signal)
