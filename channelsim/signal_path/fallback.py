"""The fallback for a message that was lost or rejected: the last image its receiver accepted.

A receiver's memory, kept beside the batches so that the signal plane stays a pure function: rows of
a group run in order of arrival, block by block, so the last image that an arm accepted does not
depend on the division into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channelsim.contracts.records import Batch

Bools = NDArray[np.bool_]
Chosen = tuple[NDArray[np.object_], Tensor]


class FallbackChoice(Protocol):
    """Chooses the image shown for rows that were not accepted."""

    def choose(self, accepted: Bools, needed: Bools, decoded: Tensor) -> Chosen:
        """Attempt keys [N] (None: the constant fallback) and images [N, C, H, W] of rows in need.

        ``needed``: rows that were not accepted themselves, or would not have been with matched
        noise or nothing in the adversary's place.
        ``decoded``: the receiver's image of each row, accepted or not. There may be more rows than
        requested (padding).
        """


@dataclass(slots=True)
class LastAccepted:
    """The last accepted attempt of every arm of a group.

    ``fallback``: the image before the first one. Plain values, which travel with the rows.
    """

    fallback: Tensor
    _keys: dict[int, int] = field(default_factory=dict)
    _images: dict[int, Tensor] = field(default_factory=dict)
    _rows: dict[int, Batch] = field(default_factory=dict)

    def known(self, key: int, row: Batch) -> None:
        """Record an attempt that an earlier run accepted; called in order of arrival."""
        arm = int(row.arm[0])
        self._keys[arm], self._rows[arm] = key, row
        self._images.pop(arm, None)

    def of(
        self, batch: Batch, keys: Sequence[int], recompute: Callable[[Batch], Tensor]
    ) -> FallbackChoice:
        """The choice for one batch; its rows are remembered when the choice is made.

        ``recompute``: the image of an accepted attempt; called only for those that an earlier,
        interrupted run computed.
        """
        return _InBatch(self, batch, keys, recompute)

    def image(self, arm: int, recompute: Callable[[Batch], Tensor]) -> Tensor:
        """The last accepted image of an arm, or the fallback."""
        if arm not in self._keys:
            return self.fallback
        if arm not in self._images:
            self._images[arm] = recompute(self._rows.pop(arm))
        return self._images[arm]

    def key(self, arm: int) -> int | None:
        """The attempt of that image."""
        return self._keys.get(arm)

    def accept(self, arm: int, key: int, image: Tensor) -> None:
        """Record a newly accepted image."""
        self._keys[arm], self._images[arm] = key, image


@dataclass(frozen=True, slots=True)
class _InBatch:
    memory: LastAccepted
    batch: Batch
    keys: Sequence[int]
    recompute: Callable[[Batch], Tensor]

    def choose(self, accepted: Bools, needed: Bools, decoded: Tensor) -> Chosen:
        chosen: NDArray[np.object_] = np.full(len(decoded), None, dtype=object)
        images = self.memory.fallback.expand_as(decoded).clone()
        for row, (arm, key) in enumerate(zip(self.batch.arm.tolist(), self.keys, strict=True)):
            if needed[row]:  # the control of an accepted row, too, shows what came before it
                chosen[row] = self.memory.key(arm)
                images[row] = self.memory.image(arm, self.recompute)
            if accepted[row]:
                # A copy: a view would keep the whole block alive.
                self.memory.accept(arm, key, decoded[row].clone())
        return chosen, images


@dataclass(frozen=True, slots=True)
class Recorded:
    """Fallbacks that the ledger names: keys [n] (None: the fallback) and images [n, C, H, W]."""

    keys: Sequence[Any]
    images: Tensor

    def choose(self, accepted: Bools, needed: Bools, decoded: Tensor) -> Chosen:  # noqa: ARG002
        """The recorded ones; padding repeats the last."""
        rows = np.minimum(np.arange(len(decoded)), len(self.keys) - 1)
        return np.array(self.keys, dtype=object)[rows], self.images[torch.from_numpy(rows)]
