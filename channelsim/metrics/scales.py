"""The scales of metrics, read from the metrics themselves by their names in a ledger."""

from __future__ import annotations

from collections.abc import Sequence

from channelsim.metrics import METRICS
from channelsim.parts import Metric
from channelsim.scales import Scale, as_it_is, gauge


def scale_of(name: str) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one."""
    kind = METRICS.get(name)
    if kind is None:
        return Scale(name=name)
    metric = kind()
    plain = kind.to_additive is Metric.to_additive
    return Scale(
        name=name,
        higher_is_better=kind.higher_is_better,
        perfect=kind.perfect,
        limit=kind.limit,
        to_additive=as_it_is if plain else metric.to_additive,
        from_additive=as_it_is if plain else metric.from_additive,
    )


def damage_metric(metrics: Sequence[str]) -> str | None:
    """Which of some metrics the adversarial gain is read from: see `gauge`."""
    return gauge(map(scale_of, metrics))
