"""Arrival processes of messages."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from channelsim.contracts.parts import Positive, part
from channelsim.support import seeds


@part
class OnceArrivals:
    """Every message arrives at time zero."""

    kind: Literal["once"] = "once"

    def times(self, count: int, _seed: int) -> seeds.Floats:
        """Arrival times [s], shape [count]."""
        return np.zeros(count)


@part
class PeriodicArrivals:
    """Message i arrives at i / rate; ``rate_hz`` [messages/s], project default 200."""

    kind: Literal["periodic"] = "periodic"
    rate_hz: Positive = 200.0

    def times(self, count: int, _seed: int) -> seeds.Floats:
        """Arrival times [s], shape [count]."""
        return np.arange(count) / self.rate_hz


@part
class PoissonArrivals:
    """Independent exponential gaps of mean 1 / rate; ``rate_hz`` [messages/s], project default 200.

    The gaps are drawn by (seed, message): the number of messages does not change them.
    """

    kind: Literal["poisson"] = "poisson"
    rate_hz: Positive = 200.0

    def times(self, count: int, seed: int) -> seeds.Floats:
        """Arrival times [s], shape [count], ascending."""
        key = seeds.stream_key(seed, "source", "arrivals")
        gaps = seeds.exponentials(key, np.arange(count, dtype=np.int64))
        return np.cumsum(gaps) / self.rate_hz


Arrivals = Annotated[OnceArrivals | PeriodicArrivals | PoissonArrivals, Field(discriminator="kind")]
