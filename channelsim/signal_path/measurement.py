"""Measurement: every metric of what was shown, against every image that one may compare it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from channelsim.contracts.parts import Metric
from channelsim.contracts.records import CONTROL_ACCEPTED
from channelsim.signal_path.injection import Column, column_of
from channelsim.signal_path.reception import Received


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
) -> dict[str, Column]:
    """The metric columns of a batch; see `records.metric_columns`.

    ``fallback``: the image in the place of those that were not accepted. ``control``: whether
    matched noise ran beside the attack; ``judged``: whether the run's ledger has columns of
    decisions.
    """
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
