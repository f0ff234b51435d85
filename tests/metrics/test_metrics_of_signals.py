"""SNR and spectral error of signals [N, C, L], against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from channelsim.metrics import METRICS, MSE, SNR, SpectralError
from channelsim.support.errors import InputError


def tone(cycles: float, samples: int = 64, height: float = 1.0, channels: int = 1) -> Tensor:
    time = torch.arange(samples, dtype=torch.float64) / samples
    one = height * torch.cos(2 * math.pi * cycles * time + 0.3)
    return one.float().expand(1, channels, samples).clone()


def random(shape: tuple[int, ...] = (5, 2, 37), seed: int = 0) -> Tensor:
    return 3.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_snr_is_signal_power_over_error_power():
    reference = random()
    # An error of a tenth of the amplitude is 20 dB below, whatever the unit.
    assert SNR()(1.1 * reference, reference).numpy() == pytest.approx([20.0] * 5, abs=1e-3)
    assert SNR()(1e-3 * 1.1 * reference, 1e-3 * reference).numpy() == pytest.approx(20.0, abs=1e-3)
    assert SNR()(torch.zeros_like(reference), reference).numpy() == pytest.approx(0.0, abs=1e-5)
    assert torch.isinf(SNR()(reference, reference)).all()
    # Pythagoras: an orthogonal error of equal power gives 0 dB.
    assert float(SNR()(tone(3) + tone(5), tone(3))) == pytest.approx(0.0, abs=1e-3)


def test_snr_is_averaged_as_a_ratio_of_powers():
    metric = SNR()
    mean = metric.from_additive(np.array([metric.to_additive(np.array([10.0, 20.0])).mean()]))
    assert mean == pytest.approx(-10 * np.log10((0.1 + 0.01) / 2))


def test_spectral_error_agrees_with_the_fast_fourier_transform():
    for length in (36, 37):
        found, wanted = random((4, 2, length), 1), random((4, 2, length), 2)
        power = [np.abs(np.fft.fft(one.double().numpy(), axis=2)) ** 2 for one in (found, wanted)]
        expected = np.abs(power[0] - power[1]).sum((1, 2)) / power[1].sum((1, 2))
        assert SpectralError()(found, wanted).numpy() == pytest.approx(expected, rel=1e-5)


def test_spectral_error_has_the_values_that_its_description_names():
    metric, reference = SpectralError(), random()
    assert metric(reference, reference).abs().max() < 1e-6
    assert metric(torch.zeros_like(reference), reference).numpy() == pytest.approx(1.0, rel=1e-5)
    for gain in (0.5, 2.0):
        wanted = abs(gain**2 - 1)
        assert metric(gain * reference, reference).numpy() == pytest.approx(wanted, rel=1e-4)
    assert float(metric(tone(3), tone(9))) == pytest.approx(2.0, rel=1e-4)
    turned = reference.roll(11, dims=2)
    assert metric(turned, reference).max() < 1e-5
    assert MSE()(turned, reference).min() > 1.0  # which sees the phase


@pytest.mark.parametrize("metric", [SNR(), SpectralError()], ids=lambda one: one.kind)
def test_a_silent_reference_has_no_value_and_harms_no_neighbour(metric):
    reference = random()
    reference[2] = 0
    values = metric(random(seed=3), reference)
    assert torch.isnan(values).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("metric", [SNR(), SpectralError()], ids=lambda one: one.kind)
def test_a_row_has_the_same_bits_wherever_it_stands(metric):
    found, wanted = random((33, 1, 257), 4), random((33, 1, 257), 5)
    whole = metric(found, wanted)
    for rows in (range(32, -1, -1), range(1, 33), [7], [7, 7, 31]):
        some = torch.tensor(list(rows))
        assert torch.equal(metric(found[some], wanted[some]), whole[some])


@pytest.mark.parametrize("metric", [SNR(), SpectralError()], ids=lambda one: one.kind)
def test_their_gradients_are_those_of_finite_differences(metric):
    found, wanted = random((2, 1, 9), 6), random((2, 1, 9), 7)
    found.requires_grad_()
    (slope,) = torch.autograd.grad(metric(found, wanted).sum(), found)
    step = 1e-2 * torch.randn(found.shape, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        rise = metric(found + step, wanted).sum() - metric(found - step, wanted).sum()
    assert float(rise) == pytest.approx(2 * float((slope * step).sum()), rel=2e-2)


def test_spectral_error_first_used_in_inference_mode_serves_gradients_afterwards():
    found, wanted = random((2, 1, 23), 9), random((2, 1, 23), 10)  # a length of no other test
    with torch.inference_mode():
        value = SpectralError()(found, wanted)
    found.requires_grad_()
    again = SpectralError()(found, wanted)
    (slope,) = torch.autograd.grad(again.sum(), found)
    assert torch.equal(again, value)
    assert slope.abs().min() > 0


def test_metrics_of_images_refuse_signals_and_the_other_way_round():
    signals, images = random(), torch.rand(3, 1, 32, 32)
    for kind, metric in METRICS.items():
        if kind in ("mse", "lpips"):  # which needs weights that are not here
            continue
        wrong, there = (images, "images") if metric.takes == "signals" else (signals, "signals")
        with pytest.raises(InputError, match=f"metric {kind}: compares .*these are {there}"):
            metric()(wrong, wrong)
    assert MSE()(signals, 0 * signals).numpy() == pytest.approx(
        signals.square().flatten(1).mean(1).numpy()
    )


def test_a_segment_too_long_for_a_matrix_is_refused():
    with pytest.raises(InputError, match="5,000 samples; allowed: at most 4,096"):
        SpectralError().check_fit((1, 5000))
