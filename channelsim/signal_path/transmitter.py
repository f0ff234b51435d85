"""The transmitter: images to codewords on the wire, or codewords drawn from a prior."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from channelsim.channels.power import Power, Scaled
from channelsim.contracts.parts import Codec
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Rows
from channelsim.support.row_product import RowProduct

# Known codewords, and their numbers: at most about 16 MB; project's choices.
_REMEMBERED, _NUMBERS = 2**13, 2**22


class Encoder(Protocol):
    """A codec's first half."""

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean [N, K] and standard deviation [N, K] or None of images [N, C, H, W]."""
        ...


@dataclass(frozen=True)
class Transmitter:
    """The transmitter: a codec, whether it sends means or samples, and its calibrated power."""

    codec: Codec
    transmit: str
    power: Power
    codec_power: float  # P of the codec (centred if the power mode says so)
    latent_mean: Tensor  # [K]

    @property
    def wire_power(self) -> float:
        """P per real value on the wire."""
        return self.power.wire_power(self.codec_power)

    @property
    def mean_codeword(self) -> Tensor:
        """The mean latent as it would be sent, [K]."""
        return self.scaled(self.latent_mean[None]).wire[0]

    def send(
        self, images: Tensor, rows: Rows, codec: Encoder | None = None
    ) -> tuple[Tensor, Scaled]:
        """Latents z [N, K] and their scaled wire signal; ``codec``: default the transmitter's."""
        mean, std = (codec or self.codec).posterior(images)
        latent = mean
        if self.transmit == "sample" and std is not None:
            latent = mean + std * rows.normal(self.codec.latent_size, "posterior")
        return latent, self.scaled(latent)

    def report(self) -> dict[str, Any]:
        """Its powers per real value, as the header keeps them."""
        return {
            "codec": self.codec_power,
            "wire": self.wire_power,
            "latent_size": self.codec.latent_size,
        }

    def guessed(self, wire: Tensor) -> Tensor:
        """Latents [N, K] estimated from the wire under the assumption of average amplitude.

        Only the receiver gets the amplitude of a codeword that was scaled individually.
        """
        latent = wire / (self.wire_power / self.codec_power) ** 0.5
        return latent + self.latent_mean if self.power.centred else latent

    def scaled(self, latent: Tensor) -> Scaled:
        """The wire signal of latents [N, K]."""
        return self.power.scale(latent, self.codec_power, self.latent_mean)


@dataclass(frozen=True)
class Latents:
    """A normal distribution from which codewords are drawn, N(mean, root²) or N(0, I).

    ``name``: "standard normal" or "fitted". ``mean``: [K]. ``root``: the symmetric square root of
    the covariance, as a product with rows; both None for the standard normal distribution.
    """

    name: str
    size: int
    mean: Tensor | None = None
    root: RowProduct | None = None

    @classmethod
    def of_card(cls, card: Mapping[str, Any], size: int, device: torch.device) -> Latents:
        """The distribution in a card; ValueError for ``prior: fitted`` without its moments."""
        if card.get("prior") != "fitted":
            return cls("standard normal", size)
        mean = torch.tensor(card.get("latent_mean", ()), dtype=torch.float64)
        covariance = torch.tensor(card.get("latent_covariance", ()), dtype=torch.float64)
        if mean.shape != (size,) or covariance.shape != (size, size):
            raise ValueError(
                f"it does not hold latent_mean [{size}] and latent_covariance [{size}, {size}]"
            )
        values, vectors = torch.linalg.eigh(covariance)
        if not bool(torch.isfinite(values).all()) or float(values[0]) < -1e-6 * float(values[-1]):
            raise ValueError("its latent_covariance is not a covariance (a negative variance)")
        # The symmetric root is unique, so LAPACK's choice of signs does not change a result.
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        spread = RowProduct(root.float()).to(device)
        return cls("fitted", size, mean.float().to(device), spread)

    def draw(self, rows: Rows) -> Tensor:
        """Codewords [N, K]; ``rows`` of attempt 0, named so that every receiver has the same ξ."""
        noise = rows.normal(self.size, "prior")
        if self.mean is None or self.root is None:
            return noise
        return cast(Tensor, self.root(noise)) + self.mean


class KnownCodewords:
    """The latents of the messages that were encoded last, since a message may be sent again."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Tensor] = OrderedDict()

    def of(self, messages: Ints, encode: Callable[[Ints], Tensor]) -> Tensor:
        """Latents [n, K] of different messages; ``encode`` makes those not known."""
        numbers = messages.tolist()
        new = [one for one in numbers if one not in self._known]
        if new:
            latents = encode(np.array(new, dtype=np.int64))
            self._known.update((one, row.clone()) for one, row in zip(new, latents, strict=True))
        found = torch.stack([self._known[one] for one in numbers])
        most = min(_REMEMBERED, _NUMBERS // found.shape[1])
        while len(self._known) > max(1, most):
            self._known.popitem(last=False)
        return found
