"""Measurement: every metric of what was shown, against every image that one may compare it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from channelsim.contracts.parts import Metric
from channelsim.contracts.records import CONTROL_ACCEPTED
from channelsim.signal_path.blocks import SomeRows, block_by_block
from channelsim.signal_path.injection import Column, column_of
from channelsim.signal_path.reception import Received
from channelsim.support.block_shape import BlockShape


@dataclass(frozen=True)
class References:
    """The images [N, C, H, W] that a shown one is compared with.

    ``target``: the image that an adversary wants to be seen, None where none wants any; ``wanted``
    [N]: of which rows it wants one.
    """

    source: Tensor
    clean: Tensor
    passive: Tensor
    target: Tensor | None
    wanted: Column

    def only(self, some: SomeRows) -> References:
        """Some of the rows."""
        target = None if self.target is None else some(self.target)
        images = some(self.source), some(self.clean), some(self.passive)
        return References(*images, target, self.wanted[some.rows])

    def full(self) -> dict[str, Tensor | None]:
        """All of them by the suffix of their columns."""
        return {"source": self.source, "clean": self.clean, "passive": self.passive} | self.alone()

    def alone(self) -> dict[str, Tensor | None]:
        """Those that the channel without the adversary is compared with."""
        return {"source": self.source, "target": self.target}


@dataclass(frozen=True)
class Measurement:
    """The metrics of a path, asked of one block at a time.

    ``control``: whether matched noise runs beside the attack; ``judged``: whether the run's ledger
    has columns of decisions.
    """

    metrics: Sequence[Metric]
    control: bool
    judged: bool
    shape: BlockShape

    def columns(
        self, received: Received, references: References, fallback: Tensor
    ) -> dict[str, Column]:
        """The metric columns of a batch; see `records.metric_columns`.

        ``fallback``: the images in the place of those that were not accepted, one per row or one
        for all.
        """
        alone = fallback.dim() < references.source.dim()

        def of(_: int, part: slice) -> dict[str, Column]:
            some = SomeRows(part)
            shown = fallback if alone else some(fallback)
            return self._of_block(received.only(some), references.only(some), shown)

        n = len(references.source)
        found = block_by_block(of, self.shape.parts(n), n)
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def _of_block(
        self, received: Received, references: References, fallback: Tensor
    ) -> dict[str, Column]:
        shown = received.shown("attacked", fallback)
        log = {
            f"quality_{metric.kind}": column_of(metric(references.clean, references.source))
            for metric in self.metrics
        }
        log |= self._compared("", shown, references.full())
        if self.control:
            noisy = received.shown("control", fallback)
            log |= self._compared("control_", noisy, references.full())
        if received.untouched:
            log |= {
                f"passive_{metric.kind}_{suffix}": log[f"{metric.kind}_{suffix}"]
                for metric in self.metrics
                for suffix in references.alone()
            }
        else:
            alone = received.shown("passive", fallback)
            log |= self._compared("passive_", alone, references.alone())
        if not references.wanted.all():
            targets = [name for name in log if name.endswith("_target")]
            log |= {name: np.where(references.wanted, log[name], np.nan) for name in targets}
        if self.judged and self.control:
            log[CONTROL_ACCEPTED] = received.accepted["control"].cpu().numpy().astype(np.int64)
        if self.judged:
            decoded = received.decoded["attacked"]
            source = {"source": references.source}
            log |= (
                {f"decoded_{one.kind}_source": log[f"{one.kind}_source"] for one in self.metrics}
                if shown is decoded
                else self._compared("decoded_", decoded, source)
            )
        return log

    def _compared(
        self, prefix: str, shown: Tensor, references: Mapping[str, Tensor | None]
    ) -> dict[str, Column]:
        log: dict[str, Column] = {}
        for metric in self.metrics:
            done: list[tuple[Tensor, Column]] = []
            for suffix, reference in references.items():
                name = f"{prefix}{metric.kind}_{suffix}"
                if reference is None:
                    log[name] = np.full(len(shown), np.nan)
                    continue
                known = next((values for seen, values in done if seen is reference), None)
                values = column_of(metric(shown, reference)) if known is None else known
                done.append((reference, values))
                log[name] = values
        return log
