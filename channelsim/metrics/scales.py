"""The scales of metrics, by their names in a ledger: as its header says, else as they declare."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channelsim.contracts.own_code import is_foreign
from channelsim.contracts.parts import Metric
from channelsim.contracts.scales import Scale, declared, gauge, kept
from channelsim.metrics import METRICS

_NOTHING: Mapping[str, Mapping[str, Any]] = {}


def scale_of(name: str, scales: Mapping[str, Mapping[str, Any]] = _NOTHING) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one.

    ``scales``: what the run's header says that metrics of the user's own declared.
    """
    return kept(name, scales) or _known(name)


def damage_metric(
    metrics: Sequence[str], scales: Mapping[str, Mapping[str, Any]] = _NOTHING
) -> str | None:
    """Which of some metrics the adversarial gain is read from: see `gauge`."""
    return gauge(scale_of(name, scales) for name in metrics)


def own_scales(metrics: Iterable[Metric]) -> dict[str, dict[str, Any]]:
    """What the header keeps of metrics that are not of this package, by name."""
    own = [metric for metric in metrics if is_foreign(type(metric))]
    return {metric.kind: declared(metric.kind, metric).told for metric in own}


@functools.cache
def _known(name: str) -> Scale:
    kind = METRICS.get(name)
    return Scale(name=name) if kind is None else declared(name, kind())
