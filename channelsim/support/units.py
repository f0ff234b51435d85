"""Decibels, power and the definition of SNR.

The definition, used everywhere: a codeword has K real values; ``P`` is the codec's transmit power
per real value, measured once on training data. ``SNR = P / N0`` with ``N0`` the noise variance per
real value. Two real values make one complex symbol of power 2P in noise of variance 2·N0, so the
ratio is the same in the real and the complex reading. Nothing here looks at a batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:  # readers without tensors need no torch
    from torch import Tensor

Number = TypeVar("Number", float, np.ndarray, "Tensor")


def db(ratio: Number) -> Number:
    """Power ratio → decibels, 10·log₁₀(ratio); 0 becomes −inf without a warning."""
    given: Any = ratio
    if _is_tensor(given):
        return 10.0 * given.log10()
    with np.errstate(divide="ignore"):
        return _like(given, 10.0 * np.log10(given))


def from_db(decibels: Number) -> Number:
    """Decibels → power ratio, 10^(dB/10)."""
    given: Any = decibels
    if _is_tensor(given):
        # Not a power, whose last digit depends on a number's place in the tensor (see `rowwise`).
        return (given.double() * (math.log(10.0) / 10.0)).exp().to(given.dtype)
    return _like(given, np.power(10.0, np.asarray(given) / 10.0))


def noise_variance(power: Number, snr_db: Number) -> Number:
    """N0 per real value for transmit power ``power`` per real value: P / 10^(SNR/10)."""
    return power / from_db(snr_db)


def psr_radius(power: float, latent_size: int, psr_db: Tensor) -> Tensor:
    """L2 radius of a perturbation at a perturbation-to-signal ratio: √(K·P·10^(PSR/10))."""
    return (from_db(psr_db) * (power * latent_size)).sqrt()


def psr(delta_energy: Number, power: float, latent_size: int) -> Number:
    """Perturbation-to-signal ratio ‖δ‖² / (K·P), linear."""
    return delta_energy / (power * latent_size)


def psnr_from_mse(mse: Number) -> Number:
    """PSNR in dB of images in [0, 1]: −10·log₁₀(MSE); +inf where MSE is 0."""
    return -db(mse)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "log10")  # neither a float nor an array has it


def _like(given: Any, value: Any) -> Any:
    return value if isinstance(given, np.ndarray) else float(value)
