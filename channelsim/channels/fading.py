"""Fading: a complex gain on the symbols that is constant for a coherence time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from channelsim.contracts.complex_symbols import (
    CoherenceTime,
    KFactor,
    amplified,
    block_gains,
    magnitude,
    symbol_count,
    together,
)
from channelsim.contracts.parts import Stage, part
from channelsim.contracts.rows import Channel, Rows


@part
class Fading(Stage):
    """Rician block fading over simulated time: y_i = h·z_i, z_i = values 2i + j·values 2i + 1.

    h = √(κ/(κ + 1))·e^{jθ} + √(1/(κ + 1))·w, w ~ CN(0, 1), θ uniform, both drawn anew for every
    block of ``coherence_s`` seconds, counted from time 0, and independent of other blocks. So E|h|²
    = 1 and Var|h|² = (1 + 2κ)/(1 + κ)²; κ = 0 is Rayleigh fading, P(|h|² < g) = 1 − e^{−g}. Gains
    belong to the time, not to a message: all signals on the air in a block meet the same, a
    repetition within the coherence time meets the same fade again, and a codeword longer than that
    meets several.

    ``k_factor``: κ, power of the line of sight over that of the scattered rest, 0 (default) to 1e6.
    ``coherence_s`` [s]: 1e-9 to 1e4. Both may differ from row to row; arms that differ in κ share
    their draws. ``name``: keys the draws. The defaults are the project's.

    The gain multiplies the arriving signal, a perturbation injected earlier included, and stays on
    the symbols until an ``equaliser`` undoes it; a receiver without one decodes rotated symbols.
    Put ``awgn`` between the two: its noise follows the transmit power P, so the receiver's SNR is
    |h|²·P/N₀ and falls in a deep fade. The ledger keeps ``gain_db``, |h|² averaged over the
    codeword's symbols; its nominal ``snr_db`` is that of |h| = 1. The last value of an odd K is a
    symbol received in phase: it is multiplied by |h|. An adversary in front of it knows h as its
    ``access.channel`` says. Block fading: Biglieri, Proakis and Shamai, "Fading channels:
    information-theoretic and communications aspects", IEEE Trans. Inf. Theory 44(6), 1998.
    """

    kind: ClassVar[str] = "fading"
    columns: ClassVar[Mapping[str, str]] = {"k_factor": "k_factor", "coherence_s": "coherence_s"}
    fades: ClassVar[bool] = True

    name: str = ""
    k_factor: KFactor = 0.0
    coherence_s: CoherenceTime

    def gains(self, rows: Rows, symbols: int) -> Tensor:
        """h of every symbol of these rows, real or as their view sees it: complex64 [N, S]."""
        coherence_s = torch.from_numpy(rows.exactly("coherence_s"))
        return block_gains(rows, symbols, rows["k_factor"], coherence_s)

    def memory_s(self, symbol_s: float) -> float:  # noqa: ARG002
        """The coherence time, exactly: blocks begin at 0 too, and are independent."""
        return self.coherence_s

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Faded signal, [N, K]."""
        return amplified(signal, self.gains(rows, symbol_count(signal.shape[1])))

    def foresee(self, signal: Tensor, rows: Rows) -> Tensor:
        """Fading as the view knows it."""
        return self.cross(signal, rows)

    def leaves(self, rows: Rows) -> Channel:
        """Its gain on top of those not yet undone."""
        before = rows.channel
        gain = self.gains(rows, symbol_count(rows.latent_size))
        if before.gain is not None:
            gain = together(before.gain, gain)
        power = magnitude(gain).square().mean(dim=1)
        if before.gain is None and before.faded is not None:
            power = power * before.faded  # of fading that an equaliser has undone
        return replace(before, gain=gain, faded=power)
