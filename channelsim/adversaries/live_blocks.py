"""Blocks of rows that are still being climbed: they close up as rows are done.

Blocks have heights that give the same bits, so a row's gradient does not depend on the rows beside
it: who leaves when changes no bit of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.own_code import RowsError, trying
from channelsim.contracts.records import Ints
from channelsim.support.block_shape import BlockShape

Objective = Callable[[Tensor], Tensor]
_WORTHWHILE = 0.95  # of the rows computed so far, to pack them anew; project's choice


@runtime_checkable
class RowObjective(Protocol):
    """A row-wise objective δ [N, K] → J [N] of which any rows may be computed alone."""

    def __call__(self, delta: Tensor) -> Tensor:
        """J of all rows."""

    def only(self, rows: Ints) -> Objective:
        """The objective of some of its rows, by number."""


class LiveBlocks:
    """An objective of N rows in blocks of a shape; without one, or for others, in one block."""

    def __init__(self, objective: Objective, rows: int, shape: BlockShape | None) -> None:
        self._objective, self._rows = objective, rows
        self._shape = shape if isinstance(objective, RowObjective) else None
        self._blocks: list[tuple[Ints, int, Objective]] = []
        self._computed = rows
        if self._shape is not None and self._shape.parts(rows) != [slice(0, rows)]:
            self._pack(np.arange(rows), self._shape)

    def evaluate(self, delta: Tensor, *, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """The objective [N], and its gradient [N, K] if asked for; of rows that left: zeros."""
        if not self._blocks:
            return evaluated(self._objective, delta, gradient)
        value: Tensor | None = None
        slopes = torch.zeros_like(delta) if gradient else None
        for rows, count, objective in self._blocks:
            try:
                some, slope = evaluated(objective, delta[rows], gradient)
            except RowsError as error:
                raise error.moved(rows.tolist(), self._rows) from error
            if value is None:
                value = torch.zeros(self._rows, dtype=some.dtype, device=some.device)
            value[rows[:count]] = some[:count]
            if slopes is not None and slope is not None:
                slopes[rows[:count]] = slope[:count]
        assert value is not None
        return value, slopes

    def keep(self, live: Tensor) -> bool:
        """Close up where enough rows left; whether any are live."""
        left = int(live.sum())
        if left and self._shape and self._shape.padded(left) <= _WORTHWHILE * self._computed:
            self._pack(np.flatnonzero(live.cpu().numpy()), self._shape)
        return left > 0

    def _pack(self, rows: Ints, shape: BlockShape) -> None:
        assert isinstance(self._objective, RowObjective)
        full = shape.filled(rows)
        self._computed = len(full)
        self._blocks = [
            (full[part], len(rows[part]), self._objective.only(full[part]))
            for part in shape.parts(len(full))
        ]


def evaluated(objective: Objective, delta: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
    """An objective of one block [N], and its gradient [N, K] if asked for; both detached."""
    if not gradient:
        with torch.no_grad(), trying():
            return objective(delta.detach()).detach(), None
    with torch.enable_grad():
        leaf = delta.detach().requires_grad_()
        value = objective(leaf)
        # Of the sum: for weights of rows torch would load its symbolic algebra, half a second.
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope
