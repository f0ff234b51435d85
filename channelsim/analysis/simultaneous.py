"""Simultaneous intervals: 95 % for a whole family of differences at once, by max-t.

A family has S members, each a smooth function of column means with the jackknife's standard error
SE. In every bootstrap resample the largest t* = |θ* − θ̂|/SE* over the family is kept, SE* being
the member's error in that resample. The 95 % quantile c of these maxima is used for all members: θ̂
± c·SE covers all of them in 95 % of repetitions, and being drawn jointly it is no wider than their
correlation demands (Westfall & Young 1993, "Resampling-based multiple testing"; Romano & Wolf 2005,
"Exact and approximate stepdown methods", J. Am. Stat. Assoc. 100). SE* comes from the jackknife's
influences u_i = (n − 1)(θ̂ − θ̂_(i)), SE*² = (mean* u² − (θ* − θ̂)²)/(n − 1).

Choices of this project: SE* is at least half of SE, or a member that rests on two or three units,
which a resample may lack, would widen all intervals; and c is at least the t quantile of one member
alone. With fewer than `FEW` units resamples are uninformative: there c is Bonferroni's, the t
quantile of a tail 0.05/S. A member without spread (two identical receivers) has both ends at its
value and takes no part; one without an interval (a single unit, an infinite difference) has NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from channelsim.analysis.intervals import (
    LEVEL,
    Floats,
    Interval,
    Means,
    Resampler,
    Resamplers,
    holm,
    standard_error,
    usable,
)
from channelsim.support.time_blocks import FEW

_LEAST = 0.5  # of SE
_NO_SPREAD = 1e-11  # relative to the compared values: rounding of sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Simultaneous results of a family.

    ``intervals``: of its members, in their order. ``holm_p``: two-sided p against 0 of Student's t
    with n − 1 degrees of freedom at θ̂/SE, adjusted for the family (Holm 1979); NaN without an
    interval. ``critical``: c; NaN if no member has spread.
    """

    intervals: tuple[Interval, ...]
    holm_p: tuple[float, ...]
    critical: float


def together(blocks: Iterable[tuple[Means, Floats]], resampler: Resamplers) -> Together:
    """Intervals of a family that comes in blocks, so that few resamples are held at a time.

    A block: its members as `Means` [S] of the ``resampler``'s draws, and the size [S] of the values
    that each member compares, to distinguish spread from rounding.
    """
    from scipy.special import stdtr, stdtrit

    values, errors, most, units = [], [], None, 0
    for found, size in blocks:
        error = _errors(found, size)
        values.append(found.value)
        errors.append(error)
        units = max(units, len(found.left_out))
        if len(found.left_out) >= FEW and (error > 0).any():
            top = _largest(found, error, resampler(len(found.left_out)))
            most = top if most is None else np.maximum(most, top)
    if not values:
        return Together(intervals=(), holm_p=(), critical=float("nan"))
    value, error = np.concatenate(values), np.concatenate(errors)
    critical, spread = float("nan"), error > 0
    if spread.any():
        tail = (1 - LEVEL) / (1 if most is not None else int(spread.sum()))
        critical = -float(stdtrit(units - 1, tail / 2))
        if most is not None:
            critical = max(critical, float(np.quantile(most, LEVEL, method="higher")))
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


def _errors(found: Means, size: Floats) -> Floats:
    """Standard errors [S]: 0 without spread, NaN without an interval."""
    error = np.full_like(found.value, np.nan)
    known = usable(found.value, found.resampled, found.left_out)
    error[known] = standard_error(found.left_out[:, known])
    error[known & (error <= _NO_SPREAD * size)] = 0.0
    return error


def _largest(found: Means, error: Floats, resampler: Resampler) -> Floats:
    """The largest t* of every resample, [R], among members with spread."""
    spread, n = error > 0, len(found.left_out)
    away = found.resampled[:, spread] - found.value[spread]
    influence = (n - 1) * (found.value[spread] - found.left_out[:, spread])
    variance = (resampler.totals(influence**2) / n - away**2) / (n - 1)
    own = np.sqrt(np.maximum(variance, (_LEAST * error[spread]) ** 2))
    largest: Floats = (np.abs(away) / own).max(axis=1)
    return largest
