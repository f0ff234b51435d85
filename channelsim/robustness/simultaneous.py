"""Intervals that hold together: 95 % for a whole family of differences at once, by max-t.

A family has S members, each a smooth function of column means with the jackknife's standard error
SE. In every bootstrap resample the largest |θ* − θ̂|/SD over the family is kept, SD being that
member's standard deviation over the resamples. The 95 % quantile c of these maxima serves all
members: θ̂ ± c·SE covers all of them in 95 % of repetitions, and being drawn jointly it asks no more
than their correlation demands (Westfall & Young 1993, "Resampling-based multiple testing"; Romano &
Wolf 2005, Econometrica 73). Ours: c is that of a normal law and is replaced by the quantile of
Student's t with n − 1 degrees of freedom of the same tail, and is never below that of one member
alone.

Of fewer than `FEW` units the maxima of resamples say little: there c is Bonferroni's, the t
quantile of a tail 0.05/S. A member without spread (two receivers that are one) has both ends at
its value and takes no part; one without an interval (a single unit, an infinite difference) has
NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from channelsim.robustness.intervals import (
    LEVEL,
    Floats,
    Interval,
    Means,
    holm,
    standard_error,
    usable,
)
from channelsim.stretches import FEW

_NO_SPREAD = 1e-11  # of the size of what is compared: rounding of sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What holds of a family at once.

    ``intervals``: of its members, in their order. ``holm_p``: two-sided p against 0 of Student's t
    with n − 1 degrees of freedom at θ̂/SE, adjusted for the family (Holm 1979); NaN where there is
    no interval. ``critical``: c; NaN where no member has spread.
    """

    intervals: tuple[Interval, ...]
    holm_p: tuple[float, ...]
    critical: float


def together(blocks: Iterable[tuple[Means, Floats]]) -> Together:
    """Intervals of a family that comes in blocks, so that few resamples are held at a time.

    A block: its members as `Means` [S], over the same resamples as all others, and the size [S] of
    what each member compares, to tell spread from rounding.
    """
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    values, errors, most, units = [], [], None, 0
    for found, size in blocks:
        error, scores = _scores(found, size)
        values.append(found.value)
        errors.append(error)
        units = max(units, len(found.left_out))
        if scores.shape[1]:
            top = scores.max(axis=1)
            most = top if most is None else np.maximum(most, top)
    if not values:
        return Together(intervals=(), holm_p=(), critical=float("nan"))
    value, error = np.concatenate(values), np.concatenate(errors)
    critical, spread = float("nan"), error > 0
    if most is not None:
        alone = float(ndtri(0.5 + LEVEL / 2))
        tail = (1 - LEVEL) / int(spread.sum())
        if units >= FEW:
            quantile = float(np.quantile(most, LEVEL, method="higher"))
            tail = 2 * float(ndtr(-max(quantile, alone)))
        critical = -float(stdtrit(units - 1, max(tail, 1e-300) / 2))
    half = np.where(spread, critical * np.where(spread, error, 0.0), error)  # 0 or NaN stay
    p = np.where(np.isnan(error), np.nan, np.where(value == 0.0, 1.0, 0.0))
    p[spread] = 2 * stdtr(units - 1, -np.abs(value[spread]) / error[spread])
    return Together(
        intervals=tuple(
            Interval(float(v), float(v - h), float(v + h)) for v, h in zip(value, half, strict=True)
        ),
        holm_p=tuple(map(float, holm(p))),
        critical=critical,
    )


def _scores(found: Means, size: Floats) -> tuple[Floats, Floats]:
    """Standard errors [S] (0 without spread, NaN without interval), and |θ* − θ̂|/SD [R, S′]."""
    error = np.full_like(found.value, np.nan)
    known = usable(found.value, found.resampled, found.left_out)
    error[known] = standard_error(found.left_out[:, known])
    error[known & (error <= _NO_SPREAD * size)] = 0.0
    spread = error > 0
    away = found.resampled[:, spread] - found.value[spread]
    deviation = found.resampled[:, spread].std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: Floats = np.where(deviation > 0, np.abs(away) / deviation, 0.0)
    return error, scores
