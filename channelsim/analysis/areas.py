"""Areas under DD-curves: quality over a whole range of budgets (AADDC).

A DD-curve (Lu & Chen 2023) is q(ε) = mean over messages of metric(g(y'), g(z)), the attacked image
against the undisturbed one (``<metric>_clean``). Its area against a line L, up to budget E, is

    A = ∫ (L − q) dε where lower is better, ∫ (q − L) dε where higher is better,

by the trapezoid rule on the raw grid; signed, so that parts of a curve on the wrong side of L are
subtracted. Larger is more robust. The lines are the metrics' ``limit`` (SSIM 0.4, LPIPS 0.15, PSNR
34 dB in the paper). A depends on the range and the unit of ε; the project's normalised area is
therefore given beside it:

    nAADDC = A / (|q(0) − L| · E), which is 1 for a curve that never falls below q(0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.intervals import Interval, Means, intervals

Floats = NDArray[np.float64]

STARTS_ABOVE_ZERO = "q(0) is infinite, so the range starts at the smallest budget above 0"
NO_ORIGIN = "the sweep has no point at ε = 0, so there is no q(0) to normalise by"
WRONG_SIDE = "q(0) already lies on the wrong side of the line"
ON_THE_LINE = "q(0) lies on the line, so there is nothing to normalise by"
IMPROVES = "some attacked point is better than q(0), so the normalised area may exceed 1"
IN_DECIBELS = (
    "the budget is in dB, where ε = 0 is no absence of an attack: areas are not normalised"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """AADDC of one receiver and metric, at fixed values of all other swept keys.

    ``raw``: A in units of metric × ε. ``normalised``: nAADDC ≤ 1, or None with the reason in
    ``flags``. ``start``, ``end``: the range of ε actually integrated. ``line``: L. In the reading
    at equal PSR (`equal_psr`) the relative amplitude of the perturbation replaces ε.
    """

    receiver: str
    metric: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    raw: Interval
    normalised: Interval | None
    line: float
    start: float
    end: float
    points: int
    flags: tuple[str, ...] = ()


def area(
    epsilon: Floats, quality: Floats, line: float, higher_is_better: bool, clip: bool = False
) -> Floats:
    """Signed area between curves and a line: quality, epsilon [..., points] → [...].

    ``clip`` counts parts on the wrong side of the line as zero, beginning where the straight piece
    crosses it.
    """
    gap = quality - line if higher_is_better else line - quality
    left, right, width = gap[..., :-1], gap[..., 1:], np.diff(epsilon, axis=-1)
    piece = width * (left + right) / 2
    if clip:
        top = np.maximum(np.maximum(left, right), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            triangle = width * top**2 / (2 * np.abs(left - right))
        piece = np.where(left * right < 0, triangle, np.maximum(piece, 0.0))
    total: Floats = piece.sum(axis=-1)
    return total


def normaliser(epsilon: Floats, quality: Floats, line: float) -> Floats:
    """|q(ε₁) − L| · (E − ε₁): the area of a curve that stays at its first value."""
    scale: Floats = np.abs(quality[..., 0] - line) * (epsilon[..., -1] - epsilon[..., 0])
    return scale


def integrate(
    epsilon: Sequence[float],
    curve: Means,
    *,
    receiver: str,
    metric: str,
    line: float,
    higher_is_better: bool,
    finite_start: bool = True,
    decibels: bool = False,
    clip: bool = False,
    fixed: Mapping[str, Any] | None = None,
) -> Area | None:
    """AADDC with intervals, from a curve's means over paired messages (one column per ε, sorted).

    ``finite_start``: whether the metric of an undisturbed image is finite (for PSNR it is not).
    ``decibels``: whether ε is in dB. None where fewer than two points can be integrated.
    """
    grid = np.asarray(epsilon, dtype=np.float64)
    keep = np.isfinite(grid) & np.isfinite(curve.value)
    if not finite_start and not decibels:
        keep &= grid > 0
    if keep.sum() < 2:
        return None
    chosen, used = [int(i) for i in np.flatnonzero(keep)], grid[keep]
    part = curve.take(chosen)
    flags = flags_of(used, part.value, line, higher_is_better, finite_start, decibels)
    scaled = not {STARTS_ABOVE_ZERO, NO_ORIGIN, ON_THE_LINE, IN_DECIBELS} & set(flags)

    def statistic(means: Floats) -> Floats:
        return area(used, means, line, higher_is_better, clip)[..., None]

    def share(means: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return statistic(means) / normaliser(used, means, line)[..., None]

    return Area(
        receiver=receiver,
        metric=metric,
        fixed=dict(fixed or {}),
        raw=intervals(part, statistic)[0],
        normalised=intervals(part, share)[0] if scaled else None,
        line=line,
        start=float(used[0]),
        end=float(used[-1]),
        points=len(used),
        flags=flags,
    )


def flags_of(
    grid: Floats,
    quality: Floats,
    line: float,
    higher_is_better: bool,
    finite_start: bool,
    decibels: bool = False,
) -> tuple[str, ...]:
    """Warnings about a curve, quality [points] over grid [points]."""
    if decibels:
        return (IN_DECIBELS,)
    if not finite_start:
        return (STARTS_ABOVE_ZERO,)
    if grid[0] != 0.0:
        return (NO_ORIGIN,)
    flags = []
    gap = (quality - line) * (1.0 if higher_is_better else -1.0)
    if gap[0] == 0.0:
        flags.append(ON_THE_LINE)
    elif gap[0] < 0.0:
        flags.append(WRONG_SIDE)
    if (gap[1:] > gap[0]).any():
        flags.append(IMPROVES)
    return tuple(flags)
