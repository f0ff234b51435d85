"""Multiplicative channels: complex symbols, and gains that stay the same for a coherence time.

Real values 2i and 2i + 1 of a codeword are one complex symbol. The last value of an odd K is a
symbol without an imaginary part, sent and received in phase: a gain h acts on it as |h|.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from pydantic import AllowInfNan, Strict
from torch import Tensor

from channelsim.contracts.records import Floats, Ints
from channelsim.contracts.rows import Rows

# A κ beyond a million, 60 dB, is a pure line of sight.
KFactor = Annotated[float, Strict(), AllowInfNan(False), Ge(0), Le(1e6)]
# Nanoseconds to hours: calibration codewords, 10,000 s apart, meet separate blocks.
CoherenceTime = Annotated[float, Strict(), AllowInfNan(False), Ge(1e-9), Le(1e4)]

_ROUNDING = 1e-6  # of a block or slot: a time this little before an edge is at it
_COUNTABLE = 2.0**62  # more blocks or slots than any run has, and safe to convert to int64


def symbol_count(latent_size: int) -> int:
    """⌈K/2⌉ complex symbols for K real values."""
    return (latent_size + 1) // 2


def amplified(signal: Tensor, gain: Tensor) -> Tensor:
    """A signal [N, K] whose symbols are multiplied by complex gains [N, ⌈K/2⌉]; differentiable."""
    n, width = signal.shape
    if width % 2:
        signal = torch.cat([signal, torch.zeros_like(signal[:, :1])], dim=1)
        gain = torch.cat([gain[:, :-1], magnitude(gain[:, -1:]).to(gain.dtype)], dim=1)
    pairs = signal.reshape(n, -1, 2)
    real = pairs[:, :, 0] * gain.real - pairs[:, :, 1] * gain.imag
    imaginary = pairs[:, :, 0] * gain.imag + pairs[:, :, 1] * gain.real
    return torch.stack([real, imaginary], dim=2).reshape(n, -1)[:, :width].to(signal.dtype)


def together(one: Tensor, other: Tensor) -> Tensor:
    """The product of two gains; the last digit of torch's own depends on a number's place."""
    real = one.real * other.real - one.imag * other.imag
    return torch.complex(real, one.real * other.imag + one.imag * other.real)


def magnitude(gain: Tensor) -> Tensor:
    """|h|; the last digit of torch's own depends on a number's place in the tensor."""
    return (gain.real.double().square() + gain.imag.double().square()).sqrt()


def block_gains(
    rows: Rows, symbols: int, k_factor: Tensor, coherence_s: Tensor, draw: str = "fading"
) -> Tensor:
    """Rician block fading of ``rows`` as it occurs, or as its view sees it: complex64 [N, symbols].

    h = √(κ/(κ + 1))·e^{jθ} + √(1/(κ + 1))·w with w ~ CN(0, 1) and θ uniform, both drawn anew for
    every block of ``coherence_s`` [s, N] of simulated time and independent between blocks; so E|h|²
    = 1 and Var|h|² = (1 + 2κ)/(1 + κ)². ``k_factor`` κ ≥ 0 [N]: power of the line of sight over the
    power of the scattered rest; 0 is Rayleigh fading. Gains belong to the time: all codewords on
    the air in a block meet the same.

    A view with exact knowledge sees these gains; a stale one those of ``stale_s`` ago; one without
    knowledge 1, or imagined gains.
    """
    view, delay, fate = rows.view, 0.0, rows
    if view is not None and view.channel == "none":
        if view.draw is None:
            return torch.ones(len(rows), symbols, dtype=torch.complex64, device=rows.device)
        fate = rows.imagined()
    elif view is not None and view.channel == "stale":
        delay = view.stale_s

    def drawn() -> Tensor:
        times = fate.times_s(symbols) - delay
        # An edge may come out a rounding error late, just where a codeword begins.
        blocks = _counted(times / coherence_s.double().cpu().numpy()[:, None] + _ROUNDING)
        gain = _rician(fate, blocks, k_factor.double().cpu().numpy(), draw)
        return gain.to(rows.device)

    return rows.once(f"gains, {draw}, {symbols}", drawn)


def _rician(rows: Rows, blocks: Ints, k_factor: Floats, draw: str) -> Tensor:
    """Gains of numbered blocks [N, S], complex64."""
    scattered = rows.normal_at(blocks, 2, draw)
    turn = 2 * np.pi * rows.uniform_at(blocks, 1, f"{draw} line of sight")[..., 0]
    factor = k_factor[:, None]
    sight = np.sqrt(factor / (factor + 1))
    rest = np.sqrt(0.5 / (factor + 1))  # half of the scattered power in each quadrature
    gain = sight * np.exp(1j * turn) + rest * (scattered[..., 0] + 1j * scattered[..., 1])
    return torch.from_numpy(gain.astype(np.complex64))


def symbol_slots(rows: Rows, symbols: int) -> Ints:
    """The numbers of the symbol times in which a codeword's symbols are on the air, [N, symbols].

    Slot i lasts from i to i + 1 symbol times after the run began; a codeword that begins within a
    slot counts from that slot. So codewords that follow each other on the air never share a slot,
    and those that overlap meet the same. Without a clock: 0, 1, 2 ….
    """
    first = np.zeros(len(rows), dtype=np.int64)
    if rows.began_s is not None and rows.symbol_s is not None:
        # The slot's beginning may come out a rounding error early.
        first = _counted(rows.began_s / rows.symbol_s + _ROUNDING)
    return first[:, None] + np.arange(symbols, dtype=np.int64)


def _counted(values: Floats) -> Ints:
    return np.floor(np.clip(values, -_COUNTABLE, _COUNTABLE)).astype(np.int64)
