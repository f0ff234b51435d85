"""Detectors: scores against scipy, thresholds that keep the false-alarm rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy.spatial.distance import mahalanobis
from scipy.stats import binom, chi2

from channelsim.receivers import DETECTORS, LatentDensity, Norm, threshold
from channelsim.support.errors import InputError


def benign(rows: int, size: int = 5, seed: int = 0) -> torch.Tensor:
    """Correlated Gaussian latents with an offset."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=torch.Generator().manual_seed(99))
    return torch.randn(rows, size, generator=generator) @ mix + torch.arange(size)


# --- scores -------------------------------------------------------------------------------------


def test_the_density_score_is_the_squared_mahalanobis_distance():
    fitted, fresh = benign(3000), benign(20, seed=1)
    detector = LatentDensity()
    scores = detector.score(fresh, detector.fit(fitted))
    data = fitted.double().numpy()
    inverse = np.linalg.inv(np.cov(data.T))
    expected = [mahalanobis(row, data.mean(0), inverse) ** 2 for row in fresh.double().numpy()]
    assert scores.numpy() == pytest.approx(np.array(expected), rel=1e-4)


def test_density_scores_of_gaussian_latents_are_chi_squared():
    detector = LatentDensity()
    scores = detector.score(benign(20_000, seed=2), detector.fit(benign(20_000)))
    for share in (0.5, 0.9, 0.99):
        assert np.quantile(scores.numpy(), share) == pytest.approx(chi2.ppf(share, 5), rel=0.05)


def test_latent_dimensions_that_are_never_used_do_not_break_the_fit():
    latents = benign(500)
    latents[:, 2] = 1.5
    detector = LatentDensity()
    state = detector.fit(latents)
    assert torch.isfinite(detector.score(latents, state)).all()
    moved = latents.clone()
    moved[:, 2] += 0.5  # a change in a constant dimension
    assert detector.score(moved, state).min() > detector.score(latents, state).max()


def test_the_norm_score_is_the_deviation_to_either_side():
    latents = torch.tensor([[3.0, 4.0], [0.0, 5.0], [5.0, 0.0]])
    detector = Norm()
    state = detector.fit(latents)
    strange = torch.tensor([[0.0, 0.0], [6.0, 8.0], [0.0, -5.0]])
    assert detector.score(strange, state).tolist() == pytest.approx([5.0, 5.0, 0.0])


@pytest.mark.parametrize("detector", [LatentDensity(), Norm()], ids=lambda d: d.kind)
@pytest.mark.parametrize("size", [3, 10, 64])
def test_a_score_does_not_care_where_the_row_stands(detector, size):
    state = detector.fit(benign(400, size))
    latents = benign(33, size, seed=5)
    home = detector.score(latents, state)
    order = torch.randperm(33, generator=torch.Generator().manual_seed(0))
    assert torch.equal(detector.score(latents[order], state), home[order])
    latents[1:] = 7 * benign(32, size, seed=6)
    assert detector.score(latents, state)[0] == home[0]


# --- thresholds ---------------------------------------------------------------------------------


def test_the_threshold_is_the_stated_order_statistic():
    scores = torch.arange(1.0, 20.0)  # 19 scores
    assert threshold(scores, 0.05) == 19  # ⌈20 · 0.95⌉
    assert threshold(scores, 0.1) == 18
    assert threshold(scores.flip(0), 0.5) == 10
    assert threshold(torch.arange(1.0, 10.0), 0.7) == 3  # 10 · 0.3 must not round up to 4


def test_the_false_alarm_rate_is_met_whatever_the_law_of_the_scores():
    # Averaged over calibrations, P(score > threshold) = (n + 1 − rank)/(n + 1) for any law.
    random = np.random.default_rng(0)
    alarms, trials = 0, 4000
    for _ in range(trials):
        scores = torch.from_numpy(random.pareto(0.7, 40))
        alarms += float(scores[0]) > threshold(scores[1:], 0.1)
    low, high = binom.ppf([1e-4, 1 - 1e-4], trials, 4 / 40)
    assert low <= alarms <= high


@pytest.mark.parametrize("kind", ["latent-density", "norm"])
@pytest.mark.parametrize("false_alarm", [0.01, 0.05, 0.3])
def test_fresh_benign_messages_are_rejected_as_often_as_promised(kind, false_alarm):
    detector = DETECTORS[kind](false_alarm=false_alarm)
    state = detector.fit(benign(4000))
    limit = threshold(detector.score(benign(4000, seed=3), state), detector.false_alarm)
    fresh = 20_000
    alarms = int((detector.score(benign(fresh, seed=4), state) > limit).sum())
    # Binomial for the fresh messages, and as much again for the 4,000 that set the threshold.
    spread = math.sqrt(false_alarm * (1 - false_alarm) * (1 / fresh + 1 / 4000))
    assert alarms / fresh == pytest.approx(false_alarm, abs=4 * spread)


def test_attacked_latents_score_higher():
    detector = LatentDensity()
    state = detector.fit(benign(2000))
    limit = threshold(detector.score(benign(2000, seed=1), state), 0.05)
    pushed = benign(500, seed=2) + 20
    assert (detector.score(pushed, state) > limit).all()


# --- faults -------------------------------------------------------------------------------------


def test_too_few_calibration_messages_are_refused_with_the_number_needed():
    with pytest.raises(
        InputError, match=r"0.01 needs at least 99 calibration messages, there are 98"
    ):
        threshold(torch.rand(98), 0.01)
    assert math.isfinite(threshold(torch.rand(99), 0.01))
    with pytest.raises(InputError, match="NaN or infinite"):
        threshold(torch.tensor([1.0, math.nan] * 30), 0.05)


@pytest.mark.parametrize("detector", [LatentDensity(), Norm()], ids=lambda d: d.kind)
def test_a_fit_needs_data(detector):
    with pytest.raises(InputError, match="fitted to 1 benign latents; at least 2"):
        detector.fit(torch.zeros(1, 3))


def test_identical_latents_have_no_density():
    with pytest.raises(InputError, match="benign latents are all the same"):
        LatentDensity().fit(torch.ones(10, 3))


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan"), "0.05", True])
def test_a_false_alarm_rate_is_strictly_between_zero_and_one(value):
    for part in DETECTORS.values():
        with pytest.raises(ValidationError):
            TypeAdapter(part).validate_python({"false_alarm": value})
        assert part().false_alarm == 0.05
