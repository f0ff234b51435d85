"""Areas under DD-curves, against curves whose areas are known."""

from __future__ import annotations

import numpy as np
import pytest

from channelsim.analysis import areas
from channelsim.analysis.areas import area, integrate
from channelsim.analysis.intervals import Resampler, means

GRID = np.linspace(0.0, 1.0, 11)


def curve(quality: np.ndarray, n: int = 1, spread: float = 0.0):
    """Return means over n messages whose average at each ε is the given quality."""
    noise = np.random.default_rng(3).normal(size=(n, len(quality))) * spread
    values = quality + noise - noise.mean(axis=0)
    return means(values, np.ones_like(values), Resampler(n, 1))


def ssim(quality: np.ndarray, grid: np.ndarray = GRID, n: int = 1, spread: float = 0.0, **more):
    found = integrate(
        grid,
        curve(quality, n, spread),
        receiver="kld",
        metric="ssim",
        line=0.4,
        higher_is_better=True,
        **more,
    )
    assert found is not None
    return found


def test_the_area_of_a_constant_curve_is_its_gap_times_the_range():
    assert area(GRID, np.full(11, 0.9), 0.4, higher_is_better=True) == pytest.approx(0.5)
    assert area(GRID, np.full(11, 0.05), 0.15, higher_is_better=False) == pytest.approx(0.1)


def test_the_area_of_a_straight_line_is_exact_on_an_uneven_grid():
    grid = np.array([0.0, 0.1, 0.5, 2.0])
    assert area(grid, 1 - 0.3 * grid, 0.4, True) == pytest.approx(2 * 0.6 - 0.3 * 2.0)


def test_areas_add_up_over_ranges():
    quality = np.exp(-2 * GRID)
    parts = area(GRID[:5], quality[:5], 0.4, True) + area(GRID[4:], quality[4:], 0.4, True)
    assert parts == pytest.approx(area(GRID, quality, 0.4, True))


def test_clipped_areas_add_up_over_ranges_too():
    quality = np.exp(-2 * GRID)
    parts = area(GRID[:5], quality[:5], 0.4, True, True) + area(
        GRID[4:], quality[4:], 0.4, True, True
    )
    assert parts == pytest.approx(area(GRID, quality, 0.4, True, True))


def test_a_curve_below_the_line_costs_and_clipping_forgives_it():
    quality = 1 - GRID  # crosses 0.4 at ε = 0.6, between no two grid points but exactly on one
    assert area(GRID, quality, 0.4, True) == pytest.approx(0.18 - 0.08)
    assert area(GRID, quality, 0.4, True, clip=True) == pytest.approx(0.18)


def test_clipping_cuts_at_the_crossing_not_at_the_grid():
    assert area(np.array([0.0, 1.0]), np.array([1.0, 0.0]), 0.4, True, True) == pytest.approx(0.18)


def test_the_normalised_area_of_an_undamaged_receiver_is_one():
    assert ssim(np.ones(11)).normalised.value == pytest.approx(1.0)
    assert ssim(np.full(11, 0.8)).normalised.value == pytest.approx(1.0)


def test_the_normalised_area_never_exceeds_one_where_no_attack_helps():
    random = np.random.default_rng(1)
    for _ in range(50):
        start = random.uniform(0.41, 1.0)
        falls = start - random.uniform(0, 1, 11)
        falls[0] = start
        found = ssim(falls)
        assert found.normalised.value <= 1.0
        assert found.flags == ()


def test_the_normalised_area_does_not_depend_on_the_unit_of_the_budget():
    quality = np.exp(-GRID)
    once, thousandfold = ssim(quality), ssim(quality, grid=1000 * GRID)
    assert thousandfold.raw.value == pytest.approx(1000 * once.raw.value)
    assert thousandfold.normalised.value == pytest.approx(once.normalised.value)


def test_a_receiver_that_starts_on_the_wrong_side_of_the_line_is_flagged():
    found = ssim(np.full(11, 0.3))
    assert found.flags == (areas.WRONG_SIDE,)
    assert found.normalised.value == pytest.approx(-1.0)


def test_a_receiver_that_starts_on_the_line_has_no_normalised_area():
    found = ssim(np.concatenate([[0.4], np.zeros(10)]))
    assert found.flags == (areas.ON_THE_LINE,)
    assert found.normalised is None


def test_an_attack_that_helps_is_flagged():
    assert areas.IMPROVES in ssim(np.concatenate([[0.8], np.full(10, 0.9)])).flags


def test_a_sweep_without_the_origin_has_an_area_but_no_normalised_one():
    found = ssim(np.ones(10), grid=GRID[1:])
    assert found.raw.value == pytest.approx(0.6 * 0.9)
    assert found.normalised is None
    assert found.flags == (areas.NO_ORIGIN,)


def test_psnr_starts_above_zero_and_is_never_normalised():
    # A locally linear decoder: MSE = 1e-3·ε², so PSNR = 30 − 20·log₁₀ ε dB, infinite at 0.
    mse = curve(1e-3 * GRID**2)
    with np.errstate(divide="ignore"):
        psnr = mse.map(lambda x: -10 * np.log10(x))
    found = integrate(
        GRID,
        psnr,
        receiver="kld",
        metric="psnr",
        line=34.0,
        higher_is_better=True,
        finite_start=False,
    )
    assert found is not None
    grid = GRID[1:]
    assert found.raw.value == pytest.approx(np.trapezoid(-4 - 20 * np.log10(grid), grid))
    assert (found.start, found.end, found.points) == (0.1, 1.0, 10)
    assert found.normalised is None
    assert found.flags == (areas.STARTS_ABOVE_ZERO,)


def test_a_budget_in_decibels_has_no_normalised_area_and_skips_the_off_point():
    found = ssim(np.ones(3), grid=np.array([-np.inf, -20.0, -10.0]), decibels=True)
    assert found.raw.value == pytest.approx(6.0)
    assert found.normalised is None


def test_one_point_has_no_area():
    lone = integrate(
        [0.5], curve(np.ones(1)), receiver="kld", metric="ssim", line=0.4, higher_is_better=True
    )
    assert lone is None


def test_the_interval_of_an_area_is_paired_over_messages():
    # Messages differ by a constant over the whole curve, so the area's spread is the constant's.
    n = 400
    level = np.random.default_rng(3).normal(0.0, 0.1, (n, 1))
    values = 0.8 + level - level.mean() + np.zeros((n, 11))
    found = integrate(
        GRID,
        means(values, np.ones_like(values), Resampler(n, 1)),
        receiver="kld",
        metric="ssim",
        line=0.4,
        higher_is_better=True,
    )
    assert found is not None
    assert found.raw.value == pytest.approx(0.4)
    half = 1.96 * level.std() / np.sqrt(n)
    assert found.raw.high - found.raw.low == pytest.approx(2 * half, rel=0.1)
    # A curve that only shifts is never lower than its start: the share is 1 without doubt.
    assert found.normalised.low == pytest.approx(1.0)
