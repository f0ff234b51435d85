"""Measurement: every metric of what was shown, against every image that one may compare it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from channelsim.contracts.parts import Metric
from channelsim.contracts.records import CONTROL_ACCEPTED
from channelsim.signal_path.blocks import block_by_block
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

    def cut(self, cut: Callable[[Tensor], Tensor], part: slice) -> References:
        """Some of the rows."""
        target = None if self.target is None else cut(self.target)
        passive, wanted = cut(self.passive), self.wanted[part]
        return References(cut(self.source), cut(self.clean), passive, target, wanted)

    def full(self) -> dict[str, Tensor | None]:
        """All of them by the suffix of their columns."""
        return {"source": self.source, "clean": self.clean, "passive": self.passive} | self.alone()

    def alone(self) -> dict[str, Tensor | None]:
        """Those that the channel without the adversary is compared with."""
        return {"source": self.source, "target": self.target}


def measure(
    metrics: Sequence[Metric],
    received: Received,
    references: References,
    fallback: Tensor,
    *,
    control: bool,
    judged: bool,
    shape: BlockShape,
) -> dict[str, Column]:
    """The metric columns of a batch; see `records.metric_columns`.

    ``fallback``: the image in the place of those that were not accepted. ``control``: whether
    matched noise ran beside the attack; ``judged``: whether the run's ledger has columns of
    decisions. Metrics are asked of one block at a time.
    """

    def measured(_: int, part: slice) -> dict[str, Column]:
        cut = _Cut(part)
        alone = fallback.dim() < references.source.dim()  # one image for all rows
        return _measured(
            metrics,
            received.cut(cut, part),
            references.cut(cut, part),
            fallback if alone else cut(fallback),
            control=control,
            judged=judged,
        )

    n = len(references.source)
    found = block_by_block(measured, shape.parts(n), n)
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


class _Cut:
    """Some rows of tensors; of one tensor always the same, since equal ones are measured once."""

    def __init__(self, part: slice) -> None:
        self._part = part
        self._done: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, rows: Tensor) -> Tensor:
        if id(rows) not in self._done:
            self._done[id(rows)] = rows, rows[self._part]
        return self._done[id(rows)][1]


def _measured(
    metrics: Sequence[Metric],
    received: Received,
    references: References,
    fallback: Tensor,
    *,
    control: bool,
    judged: bool,
) -> dict[str, Column]:
    shown = received.shown("attacked", fallback)
    log = {
        f"quality_{metric.kind}": column_of(metric(references.clean, references.source))
        for metric in metrics
    }
    log |= _compared(metrics, "", shown, references.full())
    if control:
        noisy = received.shown("control", fallback)
        log |= _compared(metrics, "control_", noisy, references.full())
    if received.untouched:
        log |= {
            f"passive_{metric.kind}_{suffix}": log[f"{metric.kind}_{suffix}"]
            for metric in metrics
            for suffix in references.alone()
        }
    else:
        alone = received.shown("passive", fallback)
        log |= _compared(metrics, "passive_", alone, references.alone())
    if not references.wanted.all():
        targets = [name for name in log if name.endswith("_target")]
        log |= {name: np.where(references.wanted, log[name], np.nan) for name in targets}
    if judged and control:
        log[CONTROL_ACCEPTED] = received.accepted["control"].cpu().numpy().astype(np.int64)
    if judged:
        decoded = received.decoded["attacked"]
        source = {"source": references.source}
        log |= (
            {f"decoded_{one.kind}_source": log[f"{one.kind}_source"] for one in metrics}
            if shown is decoded
            else _compared(metrics, "decoded_", decoded, source)
        )
    return log


def _compared(
    metrics: Sequence[Metric],
    prefix: str,
    shown: Tensor,
    references: Mapping[str, Tensor | None],
) -> dict[str, Column]:
    log: dict[str, Column] = {}
    for metric in metrics:
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
