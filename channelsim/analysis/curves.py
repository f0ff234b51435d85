"""DD-curves of a run, assembled from its arms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from channelsim.analysis.areas import Area, integrate
from channelsim.analysis.cells import ArmCells
from channelsim.analysis.intervals import Floats, Means, Resamplers, means
from channelsim.contracts.scales import Scale

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord


class CurveCells:
    """Columns of one arm that curves need: ``psr`` and its ``<metric>_clean``, ``_source``."""

    def __init__(self, arm: ArmRecord, cells: ArmCells, scales: Sequence[Scale]) -> None:
        read = [f"{scale.name}_{suffix}" for scale in scales for suffix in ("clean", "source")]
        self.names = ("psr", *read)
        places = [cells.names.index(name) for name in self.names]
        self.arm, self.cells, self.scales = arm, cells.cells, list(scales)
        self.sums, self.counts = cells.sums[:, places], cells.counts[:, places]


@dataclass(frozen=True, slots=True)
class Group:
    """The curves of all receivers at one value of every other swept key, over shared messages.

    ``epsilons``: per receiver the budgets of its points, ascending. ``means``: of all columns of
    all points, found by ``places``.
    """

    fixed: Mapping[str, Any]
    receivers: tuple[str, ...]
    epsilons: tuple[Floats, ...]
    names: tuple[str, ...]
    means: Means

    def places(self, rank: int, column: str) -> list[int]:
        """Indices of a column of a receiver's points among the means, point by point."""
        before = sum(len(points) for points in self.epsilons[:rank])
        width, offset = len(self.names), self.names.index(column)
        return [(before + point) * width + offset for point in range(len(self.epsilons[rank]))]


def grouped(
    curves: Iterable[CurveCells], epsilon_key: str, with_receiver: bool
) -> list[list[CurveCells]]:
    """Arms that differ only in ε (and the receiver), ascending in ε."""
    groups: dict[str, list[CurveCells]] = {}
    for curve in curves:
        same: list[Any] = [{k: v for k, v in curve.arm.swept.items() if k != epsilon_key}]
        same += [curve.arm.receiver] if with_receiver else []
        groups.setdefault(json.dumps(same, sort_keys=True, default=str), []).append(curve)
    for group in groups.values():
        group.sort(key=lambda curve: float(curve.arm.swept[epsilon_key]))
    return list(groups.values())


def shared_means(group: Sequence[CurveCells], resampler: Resamplers) -> Means | None:
    """Means of all columns of all points, over the messages that every point has; None without."""
    shared = group[0].cells
    for curve in group[1:]:
        shared = np.intersect1d(shared, curve.cells, assume_unique=True)
    if not len(shared):
        return None
    rows = [np.searchsorted(curve.cells, shared) for curve in group]
    return means(
        np.concatenate([curve.sums[row] for curve, row in zip(group, rows, strict=True)], axis=1),
        np.concatenate([curve.counts[row] for curve, row in zip(group, rows, strict=True)], axis=1),
        resampler(len(shared)),
    )


def across_receivers(
    curves: Sequence[CurveCells], epsilon_key: str, resampler: Resamplers
) -> list[Group]:
    """One `Group` per value of the other swept keys."""
    found = []
    for members in grouped(curves, epsilon_key, with_receiver=False):
        receivers = tuple(dict.fromkeys(curve.arm.receiver for curve in sorted(
            members, key=lambda curve: curve.arm.arm)))  # fmt: skip
        ordered = [[curve for curve in members if curve.arm.receiver == one] for one in receivers]
        mean = shared_means([curve for own in ordered for curve in own], resampler)
        if mean is None:
            continue
        first = members[0]
        found.append(
            Group(
                _others(first, epsilon_key),
                receivers,
                tuple(
                    np.array([float(curve.arm.swept[epsilon_key]) for curve in own])
                    for own in ordered
                ),
                first.names,
                mean,
            )
        )
    return found


def areas_of(
    curves: Sequence[CurveCells],
    epsilon_key: str | None,
    in_db: bool,
    resampler: Resamplers,
    clip: bool,
) -> tuple[Area, ...]:
    """Areas of all receivers and metrics with a line, per value of the other swept keys."""
    found = []
    for group in grouped(curves, epsilon_key or "", with_receiver=True):
        assert epsilon_key is not None
        mean = shared_means(group, resampler)
        if mean is None:
            continue
        width = len(group[0].names)
        for scale in group[0].scales:
            if scale.limit is None or scale.higher_is_better is None:
                continue
            offset = group[0].names.index(f"{scale.name}_clean")
            area = integrate(
                [float(curve.arm.swept[epsilon_key]) for curve in group],
                mean.take([point * width + offset for point in range(len(group))]).map(
                    scale.from_additive
                ),
                receiver=group[0].arm.receiver,
                metric=scale.name,
                line=scale.limit,
                higher_is_better=scale.higher_is_better,
                finite_start=scale.perfect is not None,
                decibels=in_db,
                clip=clip,
                fixed=_others(group[0], epsilon_key),
            )
            if area is not None:
                found.append(area)
    return tuple(found)


def _others(curve: CurveCells, epsilon_key: str) -> dict[str, Any]:
    return {key: value for key, value in curve.arm.swept.items() if key != epsilon_key}


def counts_bits(scenario: Any) -> bool:
    """Whether all adversaries of a resolved scenario have budgets in bits."""
    stages = scenario.get("path", []) if isinstance(scenario, Mapping) else []
    budgets = [stage.get("budget") for stage in stages if isinstance(stage, Mapping)]
    norms = {budget.get("norm") for budget in budgets if isinstance(budget, Mapping)}
    return norms == {"bits"}
