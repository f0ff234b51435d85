"""What a run's header keeps of the scales of metrics that are not of this package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from channelsim.contracts.own_code import is_foreign
from channelsim.contracts.parts import Metric
from channelsim.contracts.scales import declared


def own_scales(metrics: Iterable[Metric]) -> dict[str, dict[str, Any]]:
    """What metrics of the user's own declare, by name; a ledger is read without their code."""
    own = [metric for metric in metrics if is_foreign(type(metric))]
    return {metric.kind: declared(metric.kind, metric).as_dict for metric in own}
