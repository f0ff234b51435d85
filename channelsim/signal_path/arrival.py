"""Attempts that have arrived and were judged: half of their way, before anything is shown.

A message may have to wait for the decision, and for nothing else. So decisions are made as they
are asked for, in blocks of the few rows that fell due together, and what was decided is decoded and
measured later, many rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Batch, Ints
from channelsim.signal_path.injection import Column
from channelsim.signal_path.reception import Judged


@dataclass(frozen=True)
class Arrival:
    """Attempts, judged.

    ``codeword`` [N, K]: the latent as encoded; ``sent`` [N, K]: as a receiver undoes it, without
    the channel. ``images``: those that an attack on the input left. ``log``: columns so far.
    """

    batch: Batch
    codeword: Tensor
    sent: Tensor
    images: Mapping[str, Tensor]
    judged: Judged
    log: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def accepted(self) -> Column:
        """Whether the receiver accepted them, bool [N]."""
        accepted: Column = self.judged.accepted["attacked"].cpu().numpy()
        return accepted

    def only(self, rows: Ints | slice) -> Arrival:
        """Some of them."""
        taken = _Once(lambda tensors: tensors[0][rows])
        return Arrival(
            self.batch[rows],
            self.codeword[rows],
            self.sent[rows],
            {role: image[rows] for role, image in self.images.items()},
            Judged(
                taken(self.judged.latents),
                taken(self.judged.accepted),
                self.judged.score[rows],
            ),
            {name: values[rows] for name, values in self.log.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Arrival]) -> Arrival:
        """All of them, in order."""
        first = parts[0]
        if len(parts) == 1:
            return first
        together = _Once(torch.cat)
        return cls(
            Batch.joined([one.batch for one in parts]),
            torch.cat([one.codeword for one in parts]),
            torch.cat([one.sent for one in parts]),
            {role: torch.cat([one.images[role] for one in parts]) for role in first.images},
            Judged(
                together(*(one.judged.latents for one in parts)),
                together(*(one.judged.accepted for one in parts)),
                np.concatenate([one.judged.score for one in parts]),
            ),
            {name: np.concatenate([one.log[name] for one in parts]) for name in first.log},
        )


class _Once:
    """A function of tensors by role: roles that share one tensor share the result."""

    def __init__(self, compute: Callable[[list[Tensor]], Tensor]) -> None:
        self._compute = compute

    def __call__(self, *parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for role in parts[0]:
            twin = next(
                (other for other in found if all(one[other] is one[role] for one in parts)), None
            )
            found[role] = (
                self._compute([one[role] for one in parts]) if twin is None else found[twin]
            )
        return found
