"""Trials of the user's own parts: the images they are tried on, and the checks of a method.

A run computes rows in blocks of unrelated rows, in any order and number, and again after an
interruption: an answer must be repeatable, and each row's independent of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.own_code import OwnCodeError, RowsError, Writes, watched
from channelsim.contracts.parts import Codec
from channelsim.sources import ImageSource, Source, as_float
from channelsim.support.errors import InputError

Again = Callable[[], Any]  # constructs a part a second time
Answer = Callable[[Sequence[int]], Tensor]  # places of rows → the answers for these, [n, …]

ROWS = 8  # ordinary images tried: enough to change all neighbours of a row
TRAINING = 512  # training images for parts that must be fitted to be tried
_SENT = 6  # images of the messages
_TOLERANCE = 1e-6  # in a block of one shape, relative to the largest value; project's choice
_ROUNDING = 1e-4  # in blocks of different shapes, where kernels differ; project's choice


@dataclass(frozen=True)
class TrialImages:
    """Images [n, C, H, W] to try parts on, float32 in [0, 1], and their names in errors.

    The first `ROWS` are of the training split; then a black one, a white one, and some messages'.
    """

    images: Tensor
    names: tuple[str, ...]

    @classmethod
    def of(cls, source: Source) -> TrialImages:
        """Images of a source."""
        ordinary = as_float(source.calibration().images[:ROWS])
        black, white = torch.zeros_like(ordinary[:1]), torch.ones_like(ordinary[:1])
        found, names = [ordinary, black, white], ["ordinary input"] * len(ordinary)
        names += ["a black image", "a white image"]
        if isinstance(source, ImageSource):
            sent = source.sent().images
            chosen = np.unique(np.linspace(0, len(sent) - 1, _SENT).astype(np.int64))
            found.append(as_float(sent[torch.from_numpy(chosen)]))
            names += [f"image {number} of those to be sent" for number in chosen]
        return cls(torch.cat(found), tuple(names))

    def __len__(self) -> int:
        return len(self.images)

    @contextmanager
    def tried(self) -> Iterator[Writes]:
        """Inside, writes into arguments are recorded, and errors about rows name the images."""
        try:
            with watched() as writes:
                yield writes
        except OwnCodeError:
            raise
        except RowsError as error:
            if error.of not in (ROWS, len(self)):
                raise
            raise InputError(
                f"{error.message} for {self.names[error.rows[0]]}; look for a division by zero, a"
                " logarithm of zero, or weights that training blew up"
            ) from None


@contextmanager
def on_the_cpu(codec: Codec) -> Iterator[None]:
    """Inside, a codec's network is on the CPU: an earlier run may have moved it to a device."""
    held = (tensor.device for tensor in (*codec.network.parameters(), *codec.network.buffers()))
    device = next(held, torch.device("cpu"))
    if device.type == "cpu":
        yield
        return
    codec.network.cpu()
    try:
        yield
    finally:
        codec.network.to(device)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of a part. ``label``: its name in errors. ``count``: number of rows.

    ``coupled``, ``random``: the likely fix where it mixes rows, or answers differently. ``floor``:
    least scale to which rounding is relative. ``share``: of the rows that may change; for attacks,
    where a rounding error may turn a sign.
    """

    label: str
    count: int
    answer: Answer
    coupled: str = (
        "every row must be computed from itself alone (no mean or maximum over dimension 0, no"
        " place in the block)"
    )
    random: str = "remove randomness, or seed a generator inside the method"
    floor: float = 1.0
    share: float = 0.0

    def check(self) -> Tensor:
        """Refuse it (`InputError`) or return its answer for all rows in order."""
        everything = list(range(self.count))
        first = self.answer(everything)
        turned = self.answer(everything[::-1]).flip(0)
        if changed := self.apart(first, self.answer(everything)):
            raise InputError(
                f"{self.label} answers differently when asked twice (by {changed[1]:.2g}); a run"
                f" must be repeatable: {self.random}"
            )
        found = [(row, self.answer([row] * self.count)) for row in sorted({0, self.count // 2})]
        mixed = [self.apart(first[row : row + 1], alone[row : row + 1]) for row, alone in found]
        if all(mixed) if self.share else any(mixed):
            at, changed = next((found[i][0], one) for i, one in enumerate(mixed) if one)
            raise InputError(
                f"{self.label} couples rows: row {at} changes by {changed[1]:.2g} with its"
                f" neighbours in the batch; {self.coupled}"
            )
        for row, alone in found:
            if changed := self.apart(alone[row : row + 1].expand_as(alone), alone):
                raise InputError(
                    f"{self.label} depends on a row's place in the block: the same row changes by"
                    f" {changed[1]:.2g} at place {changed[0]}; {self.coupled}"
                )
        if changed := self.apart(first, turned):
            raise InputError(
                f"{self.label} depends on the order of rows in the block: row {changed[0]} changes"
                f" by {changed[1]:.2g} when they stand in reverse; {self.coupled}"
            )
        if changed := self.apart(first[:3], self.answer(everything[:3]), _ROUNDING):
            raise InputError(
                f"{self.label} depends on how many rows are in the block: row {changed[0]} changes"
                f" by {changed[1]:.2g} in a block of 3; {self.coupled}"
            )
        return first

    def agree(self, again: Answer, answered: Tensor) -> None:
        """Refuse a part whose second construction answers differently."""
        other = again(range(self.count))
        same = other.shape == answered.shape
        changed = self.apart(answered, other) if same else (0, float("inf"))
        if changed:
            raise InputError(
                f"{self.label} answers differently when the part is constructed a second time (by"
                f" {changed[1]:.2g}), so no run could be resumed or replayed; load weights from a"
                " file, or draw them from a generator with a fixed seed"
            )

    def apart(
        self, one: Tensor, other: Tensor, tolerance: float = _TOLERANCE
    ) -> tuple[int, float] | None:
        """The first row that differs beyond rounding, and the largest difference."""
        if not one.numel():
            return None
        scale = max(self.floor, float(torch.where(one.isfinite(), one, 0.0).abs().max()))
        same = (one == other) | (one.isnan() & other.isnan())
        size = torch.where(same, 0.0, (one.double() - other.double()).abs())
        size = size.reshape(len(size), -1).amax(dim=1)
        rows = (~(size <= tolerance * scale)).nonzero().flatten()
        if len(rows) <= self.share * len(one):
            return None
        return int(rows[0]), float(size.max())
