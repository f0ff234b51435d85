"""Decibels, power and the one SNR contract.

The contract, used everywhere: a codeword has K real values; ``P`` is the codec's transmit power
per real value, measured once on training data. ``SNR = P / N0`` with ``N0`` the noise variance per
real value. Two real values make one complex symbol of power 2P in noise of variance 2·N0, so the
ratio is the same in the real and the complex reading. Nothing here looks at a batch.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Number = TypeVar("Number", float, np.ndarray, Tensor)


def db(ratio: Number) -> Number:
    """Power ratio → decibels, 10·log₁₀(ratio); 0 becomes −inf without a warning."""
    if isinstance(ratio, Tensor):
        return 10.0 * torch.log10(ratio)
    with np.errstate(divide="ignore"):
        value = 10.0 * np.log10(ratio)
    return value if isinstance(ratio, np.ndarray) else float(value)


def from_db(decibels: Number) -> Number:
    """Decibels → power ratio, 10^(dB/10)."""
    if isinstance(decibels, Tensor):
        return torch.pow(10.0, decibels / 10.0)
    value = np.power(10.0, np.asarray(decibels) / 10.0)
    return value if isinstance(decibels, np.ndarray) else float(value)


def noise_variance(power: Number, snr_db: Number) -> Number:
    """N0 per real value for transmit power ``power`` per real value: P / 10^(SNR/10)."""
    return power / from_db(snr_db)


def psr_radius(power: float, latent_size: int, psr_db: Tensor) -> Tensor:
    """L2 radius of a perturbation at a perturbation-to-signal ratio: √(K·P·10^(PSR/10))."""
    return torch.sqrt(from_db(psr_db) * (power * latent_size))


def psr(delta_energy: Number, power: float, latent_size: int) -> Number:
    """Perturbation-to-signal ratio ‖δ‖² / (K·P), linear."""
    return delta_energy / (power * latent_size)


def psnr_from_mse(mse: Number) -> Number:
    """PSNR in dB of images in [0, 1]: −10·log₁₀(MSE); +inf where MSE is 0."""
    return -db(mse)
