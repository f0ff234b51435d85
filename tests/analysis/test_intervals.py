"""Bootstrap intervals: stated coverage, and agreement with scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from channelsim.analysis.intervals import (
    CELLS,
    Resampler,
    bca,
    cell_of,
    holm,
    intervals,
    mean_interval,
    means,
    p_values,
)


def ones(values: np.ndarray) -> np.ndarray:
    return np.ones_like(values)


def coverage(draw, truth: float, statistic=None, n: int = 200, times: int = 400) -> float:
    random = np.random.default_rng(5)
    resampler = Resampler(n, seed=3, resamples=1000)
    hits = 0
    for _ in range(times):
        sample = draw(random, n)
        found = intervals(means(sample, ones(sample), resampler), statistic)[0]
        hits += found.low <= truth <= found.high
    return hits / times


# 400 repetitions of a 95 % interval have a standard error of 1.1 %; skewed samples of 200 lie a
# little below (Efron 1987), so the band is 91 to 98 %.


def test_the_interval_of_a_mean_of_normals_covers_it_95_times_in_100():
    assert 0.91 <= coverage(lambda r, n: r.normal(2.0, 3.0, (n, 1)), 2.0) <= 0.98


def test_the_interval_of_a_mean_of_skewed_damages_covers_it_too():
    assert 0.91 <= coverage(lambda r, n: r.exponential(1.0, (n, 1)), 1.0) <= 0.98


def decibels(columns: np.ndarray) -> np.ndarray:
    return 10 * np.log10(columns[..., :1] / columns[..., 1:])


def damages(random: np.random.Generator, n: int) -> np.ndarray:
    image = random.gamma(2.0, size=n)  # some images are easier to damage, for all receivers
    return np.stack([4 * image * random.uniform(0.5, 1.5, n), image], axis=1)


def test_the_interval_of_a_paired_gain_in_db_covers_it():
    assert 0.91 <= coverage(damages, 10 * np.log10(4.0), decibels) <= 0.98


def test_pairing_makes_a_gain_much_more_precise_than_two_separate_samples():
    sample = damages(np.random.default_rng(1), 400)
    apart = sample.copy()
    np.random.default_rng(2).shuffle(apart[:, 1])
    resampler = Resampler(400, seed=1)
    paired = intervals(means(sample, ones(sample), resampler), decibels)[0]
    unpaired = intervals(means(apart, ones(apart), resampler), decibels)[0]
    assert paired.value == pytest.approx(unpaired.value)
    assert (paired.high - paired.low) < 0.5 * (unpaired.high - unpaired.low)


def test_means_agree_with_the_bootstrap_of_scipy():
    values = np.random.default_rng(8).lognormal(0.0, 1.0, 120)
    found = mean_interval(values, seed=1, resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    assert found.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_paired_gains_agree_with_the_bootstrap_of_scipy():
    sample = damages(np.random.default_rng(4), 150)
    found = intervals(means(sample, ones(sample), Resampler(150, 1, 20_000)), decibels)[0]
    theirs = stats.bootstrap(
        (sample[:, 0], sample[:, 1]),
        lambda a, b, axis: 10 * np.log10(a.mean(axis=axis) / b.mean(axis=axis)),
        n_resamples=20_000,
        paired=True,
        method="BCa",
        rng=np.random.default_rng(2),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_every_resample_draws_as_many_cells_as_there_are():
    weights = Resampler(37, seed=1, resamples=300).weights
    assert (weights.sum(axis=1) == 37).all()
    # Poisson-like counts: mean 1, variance 1 − 1/n.
    assert weights.var() == pytest.approx(1 - 1 / 37, rel=0.05)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(8).normal(size=60)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_one_message_has_a_mean_but_no_interval():
    found = mean_interval(np.array([0.25]), seed=1)
    assert found.value == 0.25
    assert np.isnan([found.low, found.high]).all()


def test_equal_messages_have_an_interval_of_no_width():
    found = mean_interval(np.full(50, 0.3), seed=1)
    assert (found.low, found.high) == (found.value, found.value)
    assert found.value == pytest.approx(0.3, rel=1e-12)


def test_a_column_of_nothing_has_no_mean_and_disturbs_no_other():
    values = np.random.default_rng(8).normal(size=(40, 2))
    counts = ones(values)
    alone = intervals(means(values[:, :1], counts[:, :1], Resampler(40, 1)))[0]
    values[:, 1], counts[:, 1] = 0.0, 0.0
    both = intervals(means(values, counts, Resampler(40, 1)))
    expected = (alone.value, alone.low, alone.high)
    assert (both[0].value, both[0].low, both[0].high) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(both[1].value)


def test_missing_values_leave_the_mean_of_the_rest():
    values = np.array([[1.0], [2.0], [0.0], [6.0]])
    counts = np.array([[1.0], [1.0], [0.0], [1.0]])
    assert means(values, counts, Resampler(4, 1)).value[0] == 3.0


def test_a_mapped_interval_stays_in_order_when_the_map_falls():
    values = np.random.default_rng(8).uniform(0.01, 0.02, 50)
    mse = mean_interval(values, seed=1)
    psnr = mse.map(lambda x: -10 * np.log10(x))
    assert psnr.low < psnr.value < psnr.high
    assert psnr.high == pytest.approx(-10 * np.log10(mse.low))


def test_the_jackknife_leaves_out_one_message_at_a_time():
    values = np.array([[1.0], [2.0], [6.0]])
    left_out = means(values, ones(values), Resampler(3, 1)).left_out
    assert left_out[:, 0].tolist() == [4.0, 3.5, 1.5]


def test_bca_shifts_towards_the_long_tail_and_percentiles_do_not():
    values = np.random.default_rng(8).lognormal(0.0, 1.2, (80, 1))
    found = means(values, ones(values), Resampler(80, 1, 4000))
    interval = bca(found.value, found.resampled, found.left_out)[0]
    low, high = np.quantile(found.resampled[:, 0], [0.025, 0.975])
    assert interval.low > low
    assert interval.high > high


def test_small_runs_resample_messages_and_large_ones_bounded_cells():
    few, many = np.arange(CELLS), np.arange(20 * CELLS)
    assert (cell_of(few, CELLS, seed=1) == few).all()
    cells = cell_of(many, len(many), seed=1)
    sizes = np.bincount(cells, minlength=CELLS)
    assert len(sizes) == CELLS
    # A hash acts as a random draw: Poisson sizes of mean 20.
    assert sizes.mean() == 20
    assert sizes.var() == pytest.approx(20, rel=0.15)


def test_cells_give_the_interval_that_messages_would():
    n = 10 * CELLS
    # Messages come ordered by class, each class with its own level: consecutive cells would not do.
    values = np.random.default_rng(8).normal(size=n) + 5.0 * (np.arange(n) % 10)
    cells = cell_of(np.arange(n), n, seed=1)
    sums = np.bincount(cells, weights=values, minlength=CELLS)[:, None]
    counts = np.bincount(cells, minlength=CELLS)[:, None].astype(float)
    found = intervals(means(sums, counts, Resampler(CELLS, 1)))[0]
    half = 1.96 * values.std() / np.sqrt(n)
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)


# --- whether a difference is one ------------------------------------------------------------------


def test_a_p_value_is_small_exactly_where_the_interval_excludes_zero():
    # Skewed samples whose means lie around the limit of significance for 80 values.
    random = np.random.default_rng(7)
    samples = random.gamma(1.5, 1.0, (80, 120)) - 1.5 + random.uniform(-0.6, 0.6, 120)
    found = means(samples, ones(samples), Resampler(80, 2))
    arguments = found.value, found.resampled, found.left_out
    sure = np.array([i.low > 0 or i.high < 0 for i in intervals(found)])
    p = p_values(*arguments)
    clear = np.abs(p - 0.05) > 0.003  # the quantiles are interpolated between resamples
    assert ((p < 0.05) == sure)[clear].all()
    assert 20 < sure.sum() < 100


def test_under_normality_p_values_are_those_of_the_z_test():
    column = np.random.default_rng(1).normal(0.15, 1.0, (400, 1))
    found = means(column, ones(column), Resampler(400, 5, 20_000))
    z = column.mean() / (column.std() / 20)
    expected = 2 * stats.norm.sf(abs(z))
    assert p_values(found.value, found.resampled, found.left_out)[0] == pytest.approx(
        expected, rel=0.25
    )


def pairs_told_apart(columns: np.ndarray, resampler: Resampler) -> np.ndarray:
    """Holm-adjusted p of all pairs of columns [n, receivers]."""
    left, right = np.triu_indices(columns.shape[1], 1)
    gaps = columns[:, left] - columns[:, right]
    found = means(gaps, ones(gaps), resampler)
    return holm(p_values(found.value, found.resampled, found.left_out))


def test_many_receivers_far_apart_are_told_apart_pair_by_pair():
    """With 2,000 resamples p ≥ 1/2000, and the correction for 190 pairs would make that 0.1."""
    random = np.random.default_rng(2)
    image = random.gamma(2.0, size=(100, 1))
    damages = image + np.arange(20) + random.normal(0, 0.5, (100, 20))
    assert (pairs_told_apart(damages, Resampler(100, 4)) < 1e-6).all()


@pytest.mark.parametrize(("receivers", "n"), [(5, 60), (20, 60), (20, 12)])
def test_equal_receivers_are_told_apart_no_more_often_than_the_level_says(receivers, n):
    random, resampler = np.random.default_rng(2), Resampler(n, 4)
    times, alarms = 200, 0
    for _ in range(times):
        image = random.gamma(2.0, size=(n, 1))
        damages = image * random.gamma(4.0, 0.25, (n, receivers))
        alarms += bool((pairs_told_apart(damages, resampler) < 0.05).any())
    # 0.05 of 200 families, and three standard errors.
    assert alarms <= 0.05 * times + 3 * np.sqrt(0.05 * 0.95 * times)


def test_where_no_resample_reaches_zero_p_goes_on_as_students_t_does():
    column = np.random.default_rng(1).normal(0.6, 1.0, (100, 1))
    found = means(column, ones(column), Resampler(100, 5))
    assert (found.resampled > 0).all()
    expected = stats.ttest_1samp(column[:, 0], 0.0).pvalue
    p = p_values(found.value, found.resampled, found.left_out)[0]
    assert np.log(p) == pytest.approx(np.log(expected), rel=0.1)
    assert p_values(-found.value, -found.resampled, -found.left_out)[0] == pytest.approx(p)


def test_without_spread_a_difference_is_certain_or_none():
    columns = np.tile([0.0, 0.3], (10, 1))
    found = means(columns, ones(columns), Resampler(10, 1))
    assert p_values(found.value, found.resampled, found.left_out).tolist() == [1.0, 0.0]


def test_holm_steps_down_and_leaves_out_what_is_unknown():
    # The example by hand: 0.01·4, then 0.015·3 (not below 0.04), 0.03·2, 0.04·1 raised to 0.06.
    p = np.array([0.03, 0.01, np.nan, 0.04, 0.015])
    assert holm(p) == pytest.approx([0.06, 0.04, np.nan, 0.06, 0.045], nan_ok=True)
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
