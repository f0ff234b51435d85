"""Attempts that have arrived and were judged: half of their way, before anything is shown.

A message may have to wait for the decision, and for nothing else. So decisions are made as they
are asked for, in blocks of the few rows that fell due together, and what was decided is decoded and
measured later, many rows at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Batch, Ints
from channelsim.signal_path.blocks import SomeRows
from channelsim.signal_path.injection import Column
from channelsim.signal_path.reception import Judged


@dataclass(frozen=True)
class Arrival:
    """Attempts, judged.

    ``codeword`` [N, K]: the latent as encoded; ``sent`` [N, K]: as a receiver undoes it, without
    the channel. ``added``: what adversaries injected, and matched noise. ``images``: those that an
    attack on the input left. ``log``: columns so far.
    """

    batch: Batch
    codeword: Tensor
    sent: Tensor
    added: Mapping[str, Tensor]
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
        some = SomeRows(rows)
        return Arrival(
            self.batch[rows],
            some(self.codeword),
            some(self.sent),
            some.each(self.added),
            some.each(self.images),
            self.judged.only(some),
            {name: values[rows] for name, values in self.log.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Arrival]) -> Arrival:
        """All of them, in order."""
        first = parts[0]
        if len(parts) == 1:
            return first
        judged = [one.judged for one in parts]
        return cls(
            Batch.joined([one.batch for one in parts]),
            torch.cat([one.codeword for one in parts]),
            torch.cat([one.sent for one in parts]),
            _joined([one.added for one in parts]),
            _joined([one.images for one in parts]),
            Judged(
                _joined([one.latents for one in judged]),
                _joined([one.accepted for one in judged]),
                np.concatenate([one.score for one in judged]),
            ),
            {name: np.concatenate([one.log[name] for one in parts]) for name in first.log},
        )


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The rows of all parts, by role; roles that share a tensor in all of them share the result."""
    found: dict[str, Tensor] = {}
    for role in parts[0]:
        twin = next((it for it in found if all(one[it] is one[role] for one in parts)), None)
        found[role] = torch.cat([one[role] for one in parts]) if twin is None else found[twin]
    return found
