"""DD-curves of a run, put together from its arms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from channelsim.robustness.areas import Area, integrate
from channelsim.robustness.cells import ArmCells
from channelsim.robustness.intervals import Resampler, means
from channelsim.robustness.scales import scale_of

if TYPE_CHECKING:
    from channelsim.records import ArmRecord


class CurveCells:
    """What an area needs of one arm: its ``<metric>_clean`` columns."""

    def __init__(self, arm: ArmRecord, cells: ArmCells, metrics: Sequence[str]) -> None:
        places = [cells.names.index(f"{metric}_clean") for metric in metrics]
        self.arm, self.cells, self.metrics = arm, cells.cells, list(metrics)
        self.sums, self.counts = cells.sums[:, places], cells.counts[:, places]


def areas_of(
    curves: Sequence[CurveCells],
    epsilon_key: str | None,
    in_db: bool,
    resampler: Callable[[int], Resampler],
    clip: bool,
) -> tuple[Area, ...]:
    """Areas of all receivers and metrics that have a line, per value of the other swept keys."""
    groups: dict[str, list[CurveCells]] = {}
    for curve in curves:
        others = {key: value for key, value in curve.arm.swept.items() if key != epsilon_key}
        same = json.dumps([curve.arm.receiver, others], sort_keys=True, default=str)
        groups.setdefault(same, []).append(curve)
    found = []
    for group in groups.values():
        assert epsilon_key is not None
        group.sort(key=lambda curve: float(curve.arm.swept[epsilon_key]))
        shared = group[0].cells
        for curve in group[1:]:  # paired: only messages that every point of the curve has
            shared = np.intersect1d(shared, curve.cells, assume_unique=True)
        if not len(shared):
            continue
        rows = [np.searchsorted(curve.cells, shared) for curve in group]
        for place, metric in enumerate(group[0].metrics):
            scale = scale_of(metric)
            if scale.limit is None or scale.higher_is_better is None:
                continue
            columns = [(curve, row) for curve, row in zip(group, rows, strict=True)]
            curve_means = means(
                np.stack([curve.sums[row, place] for curve, row in columns], axis=1),
                np.stack([curve.counts[row, place] for curve, row in columns], axis=1),
                resampler(len(shared)),
            ).map(scale.from_additive)
            first = group[0].arm
            area = integrate(
                [float(curve.arm.swept[epsilon_key]) for curve in group],
                curve_means,
                receiver=first.receiver,
                metric=metric,
                line=scale.limit,
                higher_is_better=scale.higher_is_better,
                finite_start=scale.perfect is not None,
                decibels=in_db,
                clip=clip,
                fixed={key: value for key, value in first.swept.items() if key != epsilon_key},
            )
            if area is not None:
                found.append(area)
    return tuple(found)


def epsilon_key_of(swept_keys: Sequence[str]) -> str | None:
    """Return the one swept key that is a budget's epsilon; None where there are none or several."""
    keys = [key for key in swept_keys if key.endswith("budget.epsilon")]
    return keys[0] if len(keys) == 1 else None


def in_decibels(scenario: Any, epsilon_key: str) -> bool:
    """Whether the swept epsilon belongs to a budget in dB, by the resolved scenario's path."""
    owner = epsilon_key.removesuffix(".budget.epsilon")
    stages = scenario.get("path", []) if isinstance(scenario, Mapping) else []
    for place, stage in enumerate(stages):
        if not isinstance(stage, Mapping):
            continue
        names = {stage.get("name"), stage.get("kind"), f"path[{place}]", f"path.{place}"}
        if owner in names and isinstance(stage.get("budget"), Mapping):
            return bool(stage["budget"].get("norm") == "psr_db")
    return False
