"""95 % intervals by resampling messages: the bootstrap, for whole tables of means at once.

The unit of resampling is a cell of messages (`resampling`): those that carry the same image, or
repeats would shrink every interval; on a channel with memory, those of one time block, or every
fade would be counted as often as messages met it. Every figure of a summary (a mean, a gain in dB,
an area under a curve) is a smooth function of column means, and all columns of a resample use the
*same* messages, so differences and ratios are paired.

Intervals are BCa, bias-corrected and accelerated (Efron 1987, "Better bootstrap confidence
intervals", J. Am. Stat. Assoc. 82, eqs. 2.3, 6.6): damages are skewed and gains are ratios, for
which the plain percentile interval misses more often on one side than on the other. BCa's jackknife
is cheap here, since leaving a message out only subtracts it from the column sums.

``scipy.stats.bootstrap`` does the same for one statistic at a time, drawing anew for each; a
summary needs hundreds from one set of draws, so the draws are made once and applied to all columns
by a matrix product. The tests compare the two.

With few time blocks even the largest and the smallest are not far enough apart: the mean of k lies
beyond all of them with probability 2^(1 − k). With fewer than `FEW` of them intervals are the
jackknife's (Tukey 1958), value ± t·SE with Student's t of k − 1 degrees of freedom, which for equal
time blocks is the t-interval of their means.

A bootstrap over messages covers *one* trained checkpoint, not the method that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelsim.support import seeds
from channelsim.support.time_blocks import FEW

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]

LEVEL = 0.95
RESAMPLES = 2000  # project's choice; Efron and Tibshirani require at least 1000 for BCa
CELLS = 4096  # project's choice; above this many messages, cells of messages are resampled
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; ``low`` and ``high`` are NaN for n < 2."""

    value: float
    low: float
    high: float

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Interval:
        """The interval of a monotone function of the quantity, falling or rising."""
        ends = function(np.array([self.value, self.low, self.high]))
        low, high = sorted((float(ends[1]), float(ends[2])))
        return Interval(float(ends[0]), low, high)


def ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    """An interval as three cells of a flat row: ``name``, ``name_low``, ``name_high``."""
    found = (interval.value, interval.low, interval.high) if interval else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def cell_of(
    message: NDArray[np.int64], count: int, seed: int, most: int | None = None
) -> NDArray[np.int64]:
    """The cell of each message (by its image), [N]; one cell per image up to ``most`` images.

    Beyond that (`CELLS` where ``most`` is None) a message goes to one of as many cells by a hash,
    and whole cells are resampled: the same interval, since the messages of a cell are a random
    sample, at a cost that no longer grows with the run. Consecutive messages would not be random:
    images may be ordered by class.
    """
    most = CELLS if most is None else most
    return message if count <= most else scattered(message, most, seed, "cells")


def scattered(numbers: NDArray[np.int64], places: int, seed: int, draw: str) -> NDArray[np.int64]:
    """Send each number to one of ``places`` by a hash (splitmix64, Steele et al. 2014), [N]."""
    first, second = seeds.stream_key(seed, "bootstrap", draw)
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed += np.uint64(first << 32 | second)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(places)).astype(np.int64)


class Resampler:
    """Draws with replacement among n cells, made once: ``weights`` [resamples, n], counts.

    Equal (n, seed, resamples) give equal draws, so two arms over the same messages are paired.
    ``in_time``: whether cells are time blocks, which may be `few`.
    """

    def __init__(
        self, cells: int, seed: int, resamples: int = RESAMPLES, in_time: bool = False
    ) -> None:
        self.few = in_time and cells < FEW
        key = seeds.stream_key(seed, "bootstrap", "draws")
        random = np.random.Generator(np.random.Philox(key=key[0] << 32 | key[1]))
        self.cells = cells
        self.weights = np.empty((resamples, cells), dtype=np.uint16)
        for start in range(0, resamples, _ROWS_AT_ONCE):
            rows = min(_ROWS_AT_ONCE, resamples - start)
            drawn = random.integers(cells, size=(rows, cells))
            drawn += np.arange(rows)[:, None] * cells
            counted = np.bincount(drawn.ravel(), minlength=rows * cells)
            self.weights[start : start + rows] = counted.reshape(rows, cells)

    def totals(self, values: Floats) -> Floats:
        """Column sums of every resample: values [n, C] → [resamples, C]."""
        parts = [
            self.weights[start : start + _ROWS_AT_ONCE].astype(np.float64) @ values
            for start in range(0, len(self.weights), _ROWS_AT_ONCE)
        ]
        return np.concatenate(parts)


Resamplers = Callable[[int], Resampler]  # by the number of cells


@dataclass(frozen=True, slots=True)
class Means:
    """Column means: of the data [C], of every resample [R, C], with one cell left out [n, C].

    ``few``: whether there are too few cells for quantiles of the resamples (`FEW`).
    """

    value: Floats
    resampled: Floats
    left_out: Floats
    few: bool = False

    def take(self, columns: list[int]) -> Means:
        """The given columns only."""
        return self.map(lambda means: means[..., columns])

    def map(self, function: Callable[[Floats], Floats]) -> Means:
        """The same means on another scale (PSNR from MSE)."""
        value, resampled = function(self.value), function(self.resampled)
        return Means(value, resampled, function(self.left_out), self.few)


def means(sums: Floats, counts: Floats, resampler: Resampler) -> Means:
    """Means of all columns and of their resamples, from sums and counts per cell, both [n, C].

    A cell without a value has sum 0 and count 0; a mean over nothing is NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        total, number = sums.sum(axis=0), counts.sum(axis=0)
        return Means(
            total / number,
            resampler.totals(sums) / resampler.totals(counts),
            (total - sums) / (number - counts),
            resampler.few,
        )


def intervals(found: Means, statistic: Statistic | None = None) -> list[Interval]:
    """Intervals of ``statistic``: means [..., C] → [..., S]; of the means where it is None.

    BCa, or for few time blocks the jackknife's.
    """
    of = found if statistic is None else found.map(statistic)
    return (jackknife if of.few else bca)(of.value, of.resampled, of.left_out)


def bca(value: Floats, resampled: Floats, left_out: Floats, level: float = LEVEL) -> list[Interval]:
    """BCa intervals of S statistics: value [S], resampled [R, S], left_out [n, S].

    The ends are the quantiles Φ(z₀ + (z₀ + z_α)/(1 − a(z₀ + z_α))) of the resamples, with z₀ from
    the share of resamples below the value (half the ties) and a from the skewness of the jackknife.
    Without spread both ends are the value; without two cells, or if a resample is not finite, they
    are NaN.
    """
    from scipy.special import ndtr, ndtri

    known, spread = _usable(value, resampled, left_out)
    low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
    low[known] = high[known] = value[known]
    if spread.any():
        draws = np.sort(resampled[:, spread], axis=0)
        bias, skew = _corrections(value[spread], draws, left_out[:, spread])
        tail = float(ndtri((1 - level) / 2))
        low[spread] = _quantiles(draws, _level(ndtr, bias, skew, tail))
        high[spread] = _quantiles(draws, _level(ndtr, bias, skew, -tail))
    return [
        Interval(float(v), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)
    ]


def jackknife(value: Floats, resampled: Floats, left_out: Floats) -> list[Interval]:
    """Intervals value ± t·SE of S statistics, for few time blocks; arguments as of `bca`.

    SE² = (n − 1)/n · Σ (left out − their mean)² over the n cells, t the quantile of Student's law
    with n − 1 degrees of freedom. Intervals are missing where `bca` has none.
    """
    from scipy.special import stdtrit

    known = usable(value, resampled, left_out)
    half = np.full_like(value, np.nan)
    error = standard_error(left_out[:, known])
    half[known] = stdtrit(len(left_out) - 1, 0.5 + LEVEL / 2) * error
    return [
        Interval(float(v), float(v - h), float(v + h)) for v, h in zip(value, half, strict=True)
    ]


def p_values(value: Floats, resampled: Floats, left_out: Floats, few: bool = False) -> Floats:
    """Two-sided p of S statistics against 0, [S]: below 0.05 where the BCa interval excludes 0.

    The same arguments as `bca`. From 0.05 up, the level at which the BCa interval reaches 0. Below,
    where a correction for many pairs needs tails that resamples do not show, the larger one
    (project's choice) of that level and of Student's t with n − 1 degrees of freedom at
    mean/deviation of the resamples times √((n − 1)/n), n the number of cells; but less than 0.05.
    Where no resample crosses 0, that level is the BCa shift of the t tail, so that p may fall below
    the reciprocal of the number of resamples. Without spread p is 0 or 1; NaN without an interval.
    ``few``: p of Student's t with the jackknife's error, as for the interval.
    """
    from scipy.special import ndtr, ndtri, stdtr

    known, spread = _usable(value, resampled, left_out)
    found = np.full_like(value, np.nan)
    found[known] = np.where(value[known] == 0.0, 1.0, 0.0)
    if few:
        ratio = np.abs(value[spread]) / standard_error(left_out[:, spread])
        found[spread] = 2 * stdtr(len(left_out) - 1, -ratio)
    elif spread.any():
        draws, n = resampled[:, spread], len(left_out)
        bias, skew = _corrections(value[spread], draws, left_out[:, spread])

        def shifted(score: Floats) -> Floats:
            at_zero = score - bias
            p: Floats = 2 * ndtr(-np.abs(at_zero / np.maximum(1 + skew * at_zero, 1e-3) - bias))
            return p

        below = shifted(ndtri(_below(draws, np.zeros(draws.shape[1]))))
        ratio = np.abs(draws.mean(axis=0)) / draws.std(axis=0)
        tail = np.maximum(stdtr(n - 1, -ratio * np.sqrt((n - 1) / n)), 1e-300)
        side = (draws.min(axis=0) > 0).astype(float) - (draws.max(axis=0) < 0)
        level = np.where(side != 0, np.minimum(below, shifted(side * ndtri(tail))), below)
        small = np.minimum(np.maximum(level, 2 * tail), (1 - LEVEL) * (1 - 1e-9))
        found[spread] = np.where(below < 1 - LEVEL, small, below)
    return found


def holm(p: Floats) -> Floats:
    """Adjust the p values [S] of one family (Holm 1979); NaN stays and does not count."""
    adjusted = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1.0)
    return adjusted


def usable(value: Floats, resampled: Floats, left_out: Floats) -> Bools:
    """Mask of the S statistics that have an interval: two cells or more, and all values finite."""
    known: Bools = np.isfinite(value) & np.isfinite(resampled).all(axis=0) & (len(left_out) > 1)
    known &= np.isfinite(left_out).all(axis=0)
    return known


def _usable(value: Floats, resampled: Floats, left_out: Floats) -> tuple[Bools, Bools]:
    """Masks of the statistics that have an interval, and of those with one wider than a point."""
    known = usable(value, resampled, left_out)
    # Sums of equal numbers differ by rounding; that is no spread.
    with np.errstate(invalid="ignore"):
        return known, known & (np.ptp(resampled, axis=0) > 1e-13 * np.abs(value))


def standard_error(left_out: Floats) -> Floats:
    """The jackknife's standard errors of S statistics, from left_out [n, S]."""
    found: Floats = np.sqrt((len(left_out) - 1) * left_out.var(axis=0))
    return found


def _below(draws: Floats, limit: Floats) -> Floats:
    """Share of the draws [R, S] below a limit [S], half the ties; never quite 0 or 1."""
    share = (draws < limit).mean(axis=0) + 0.5 * (draws == limit).mean(axis=0)
    half = 0.5 / len(draws)  # 0 or 1 would put the ends at infinity
    return np.clip(share, half, 1 - half)


def _corrections(value: Floats, draws: Floats, left_out: Floats) -> tuple[Floats, Floats]:
    """Bias z₀ and acceleration a."""
    from scipy.special import ndtri

    influence = left_out.mean(axis=0) - left_out
    scale = 6.0 * (influence**2).sum(axis=0) ** 1.5
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.where(scale > 0, (influence**3).sum(axis=0) / scale, 0.0)
    return ndtri(_below(draws, value)), skew


def _level(ndtr: Callable[[Floats], Floats], bias: Floats, skew: Floats, tail: float) -> Floats:
    shifted = bias + tail
    return ndtr(bias + shifted / np.maximum(1 - skew * shifted, 1e-3))


def _quantiles(draws: Floats, level: Floats) -> Floats:
    """One quantile per column of sorted draws [R, S], linear between order statistics."""
    place = level * (len(draws) - 1)
    under = np.floor(place).astype(np.int64)
    over = np.minimum(under + 1, len(draws) - 1)
    columns = np.arange(draws.shape[1])
    part = place - under
    return draws[under, columns] * (1 - part) + draws[over, columns] * part


def mean_interval(values: Floats, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Mean and interval of one column of values [n]."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    found = means(column, np.ones_like(column), Resampler(len(column), seed, resamples))
    return intervals(found)[0]


def binomial(hits: float, trials: float) -> Interval | None:
    """A share with its exact 95 % interval (Clopper & Pearson 1934); None without a trial.

    Both may be effective numbers, which need not be whole.
    """
    if trials == 0:
        return None
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return Interval(hits / trials, low, high)


def clustered_share(hits: Floats, trials: Floats) -> Interval | None:
    """The same for trials in k cells of correlated trials: hits and trials per cell, both [k].

    Exact of an effective number of trials n/deff·(z/t)², at most n: deff is the variance between
    cells over that of independent trials, and z/t makes up for few cells (Korn & Graubard 1998,
    "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Surv. Methodol. 24). Where all trials agree, a cell counts as one trial
    (project's choice). One cell has NaN ends.
    """
    from scipy.special import ndtri, stdtrit

    held = trials > 0
    n, k = float(trials.sum()), int(held.sum())
    if k == 0:
        return None
    share = float(hits.sum()) / n
    if k == 1:
        return Interval(share, np.nan, np.nan)
    effective = float(k)
    between = k / (k - 1) * float(((hits - share * trials)[held] ** 2).sum()) / n**2
    if between > 0:
        z_over_t = ndtri(0.5 + LEVEL / 2) / stdtrit(k - 1, 0.5 + LEVEL / 2)
        effective = min(n, share * (1 - share) / between * z_over_t**2)
    found = binomial(share * effective, effective)
    return None if found is None else Interval(share, found.low, found.high)
