"""Scales of the user's own metrics, for a run's header."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from channelsim.contracts.own_code import is_foreign
from channelsim.contracts.parts import Metric
from channelsim.contracts.scales import declared


def own_scales(metrics: Iterable[Metric]) -> dict[str, dict[str, Any]]:
    """Scales declared by the user's own metrics, by name; ledgers are read without their code."""
    own = [metric for metric in metrics if is_foreign(type(metric))]
    return {metric.kind: declared(metric.kind, metric).as_dict for metric in own}
