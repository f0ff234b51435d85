"""Side information: what a codec is told of the channel."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from channelsim.support import units
from channelsim.support.errors import InputError


@dataclass(frozen=True)
class Side:
    """The channel as a codec is told it, row by row: nominal values, never measured ones.

    ``snr_db`` [N]: the SNR in dB; ``noise_power`` [N]: N₀/P = 10^(−SNR/10), the noise variance per
    real value for a transmit power of 1. Float32 on the device of the images or latents beside it.
    """

    snr_db: Tensor
    noise_power: Tensor

    @classmethod
    def of(cls, snr_db: Tensor) -> Side:
        """Side information for rows of these SNRs in dB, [N]."""
        return cls(snr_db.float(), (1.0 / units.from_db(snr_db.double())).float())

    @classmethod
    def of_all(cls, snr_db: float, rows: Tensor) -> Side:
        """The same SNR for all of some rows [N, …]."""
        return cls.of(torch.full((len(rows),), float(snr_db), device=rows.device))


def takes_side(function: Callable[..., Any]) -> bool:
    """Whether a codec's method wants side information: its second parameter is named ``side``.

    One with a default other than None means something else and is left alone. `InputError` where
    ``side`` stands at another place.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # compiled code has no signature
        return False
    place = next((at for at, one in enumerate(parameters) if one.name == "side"), None)
    if place is None or parameters[place].default not in (inspect.Parameter.empty, None):
        return False
    if place != 1 or parameters[place].kind is inspect.Parameter.KEYWORD_ONLY:
        name = getattr(function, "__name__", "it")
        raise InputError(
            f"{name} takes side, but not as its second parameter; write {name}(…, side)"
        )
    return True
