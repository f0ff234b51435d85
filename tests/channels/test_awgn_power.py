"""Noise on the wire, its reference power, and the formulas of both."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy.stats import norm as gaussian
from torch import Tensor

from channelsim.channels import AWGN, CHANNELS, Power
from channelsim.contracts.rows import Rows
from channelsim.support import units


def wire(rows: int, snr_db: float | Tensor, power: float = 1.0, message=None, **fields) -> Rows:
    return Rows(
        name=fields.get("name", "awgn"),
        seed=fields.get("seed", 3),
        message=np.arange(rows) if message is None else message,
        attempt=np.zeros(rows, dtype=np.int64),
        columns={"snr_db": torch.as_tensor(snr_db).expand(rows)},
        power=power,
    )


def db(ratio: Tensor) -> float:
    return 10 * math.log10(float(ratio))


# --- the noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize("power", [0.01, 1.0, 40.0])
def test_ten_decibels_are_ten_decibels_in_the_real_and_in_the_complex_reading(snr_db, power):
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(2500, 128, generator=generator) * math.sqrt(power)
    signal *= torch.logspace(-1, 1, 2500)[:, None]  # rows of very unequal power
    signal *= math.sqrt(power) / signal.square().mean().sqrt()  # P is their mean
    noise = AWGN(snr_db=snr_db).apply(torch.zeros_like(signal), wire(2500, snr_db, power))
    real = db(signal.square().mean() / noise.square().mean())
    assert real == pytest.approx(snr_db, abs=0.05)
    symbols, disturbed = (torch.view_as_complex(t.view(2500, 64, 2)) for t in (signal, noise))
    both = db(symbols.abs().square().mean() / disturbed.abs().square().mean())
    assert both == pytest.approx(snr_db, abs=0.05)


def test_a_quiet_row_meets_the_same_noise_as_a_loud_one():
    awgn, message = AWGN(snr_db=10.0), np.array([5, 5])
    signal = torch.stack([torch.zeros(64), torch.full((64,), 8.0)])
    received = awgn.apply(signal, wire(2, 10.0, message=message))
    assert torch.allclose(received[1] - signal[1], received[0], atol=1e-6)
    assert received[0].std() == pytest.approx(math.sqrt(0.1), rel=0.3)


def test_each_row_has_its_own_snr():
    snr_db = torch.tensor([0.0, 20.0]).repeat_interleave(1000)
    noise = AWGN(snr_db=0.0).apply(torch.zeros(2000, 64), wire(2000, snr_db, power=2.0))
    assert db(2.0 / noise[:1000].square().mean()) == pytest.approx(0.0, abs=0.1)
    assert db(2.0 / noise[1000:].square().mean()) == pytest.approx(20.0, abs=0.1)


def test_noise_belongs_to_the_message_not_to_the_batch():
    awgn, signal = AWGN(snr_db=3.0), torch.randn(16, 10)
    home = awgn.apply(signal, wire(16, 3.0))
    order = np.random.default_rng(0).permutation(16)
    assert torch.equal(awgn.apply(signal[order], wire(16, 3.0, message=order)), home[order])
    alone = awgn.apply(signal[7:8], wire(1, 3.0, message=np.array([7])))
    assert torch.equal(alone, home[7:8])
    longer = awgn.apply(torch.cat([signal, signal], dim=1), wire(16, 3.0))
    assert torch.equal(longer[:, :10], home)
    assert not torch.equal(awgn.apply(signal, wire(16, 3.0, name="second")), home)


def test_signals_that_cross_side_by_side_meet_the_same_draw():
    awgn, rows, delta = AWGN(snr_db=5.0), wire(8, 5.0), torch.full((8, 4), 0.25)
    passive = awgn.apply(torch.zeros(8, 4), rows)
    attacked = awgn.apply(delta, rows)
    assert torch.allclose(attacked - passive, delta, atol=1e-6)


@pytest.mark.parametrize("snr_db", [0.0, 4.0, 8.0])
def test_the_sign_error_rate_is_the_textbook_one(snr_db):
    power, trials = 3.0, 400_000
    sent = torch.full((trials // 100, 100), math.sqrt(power))
    sent[:, ::2] *= -1
    received = AWGN(snr_db=snr_db).apply(sent, wire(trials // 100, snr_db, power))
    errors = (received.sign() != sent.sign()).double().mean().item()
    expected = gaussian.sf(math.sqrt(10 ** (snr_db / 10)))  # Q(√(P/N0))
    assert errors == pytest.approx(expected, abs=4 * math.sqrt(expected / trials))


def test_an_snr_must_be_a_finite_number_and_is_not_optional():
    parse = TypeAdapter(AWGN).validate_python
    assert parse({"snr_db": 7}).column_values() == {"snr_db": 7.0}
    assert parse({"snr_db": 7, "name": "uplink"}).label == "uplink"
    assert CHANNELS["awgn"] is AWGN
    for bad in ({}, {"snr_db": "10"}, {"snr_db": math.nan}, {"snr_db": math.inf}, {"snr": 10}):
        with pytest.raises(ValidationError):
            parse(bad)


# --- power modes --------------------------------------------------------------------------------

MODES = [
    Power(),
    Power(level="unit"),
    Power(centred=True),
    Power(level="unit", centred=True),
    Power(mode="codeword"),
    Power(mode="codeword", level="unit", centred=True),
]
MEAN = torch.tensor([1.0, -2.0, 0.5])


def some_latents(rows: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(rows, 3, generator=generator) * 2 + MEAN


@pytest.mark.parametrize("power", MODES, ids=str)
def test_what_the_transmitter_scales_the_receiver_undoes(power):
    latent = some_latents()
    scaled = power.scale(latent, 5.0, MEAN)
    assert torch.allclose(scaled.undo(scaled.wire), latent, atol=1e-5)


@pytest.mark.parametrize("power", MODES, ids=str)
def test_no_row_is_scaled_by_its_neighbours(power):
    latent = some_latents()
    together = power.scale(latent, 5.0, MEAN).wire
    alone = torch.cat([power.scale(row[None], 5.0, MEAN).wire for row in latent])
    assert torch.equal(together, alone)


def test_native_average_power_sends_the_latent_as_it_is():
    latent = some_latents()
    assert torch.equal(Power().scale(latent, 5.0, MEAN).wire, latent)
    assert Power().wire_power(5.0) == 5.0


def test_unit_level_sends_at_power_one_on_average_and_keeps_the_ratio_of_rows():
    latent = some_latents(4000)
    own = latent.square().mean().item()
    sent = Power(level="unit").scale(latent, own, MEAN).wire
    assert sent.square().mean().item() == pytest.approx(1.0, rel=1e-5)
    assert torch.allclose(sent * math.sqrt(own), latent, rtol=1e-5)
    centred = (latent - MEAN).square().mean().item()
    sent = Power(level="unit", centred=True).scale(latent, centred, MEAN).wire
    assert sent.square().mean().item() == pytest.approx(1.0, rel=1e-5)
    assert sent.mean(0).numpy() == pytest.approx(np.zeros(3), abs=0.08)


def test_codeword_power_makes_every_row_equally_loud():
    latent = some_latents() * torch.logspace(-2, 2, 40)[:, None]
    sent = Power(mode="codeword").scale(latent, 5.0, MEAN).wire
    assert sent.square().mean(1).numpy() == pytest.approx(np.full(40, 5.0), rel=1e-5)
    silent = Power(mode="codeword").scale(torch.zeros(1, 3), 5.0, MEAN)
    assert torch.isfinite(silent.undo(silent.wire)).all()


def test_a_lost_amplitude_leaves_only_the_direction():
    latent = some_latents()
    scaled = Power(mode="codeword", amplitude="lost").scale(latent, 5.0, MEAN)
    back = scaled.undo(scaled.wire)
    assert back.norm(dim=1).numpy() == pytest.approx(np.full(40, math.sqrt(15.0)), rel=1e-5)
    assert torch.nn.functional.cosine_similarity(back, latent).min() > 1 - 1e-5


# --- formulas -----------------------------------------------------------------------------------


def test_decibels_and_ratios_are_inverse_for_numbers_arrays_and_tensors():
    for value in (3.0, np.array([0.1, 50.0]), torch.tensor([0.1, 50.0])):
        back = units.from_db(units.db(value))
        assert type(back) is type(value)
        assert np.asarray(back) == pytest.approx(np.asarray(value), rel=1e-6)
    assert units.db(100.0) == pytest.approx(20.0)
    assert units.db(0.0) == -math.inf
    assert units.from_db(-math.inf) == 0.0
    assert units.db(np.array([0.0, 1.0])).tolist() == [-math.inf, 0.0]


def test_noise_variance_is_power_over_linear_snr():
    assert units.noise_variance(8.0, 3.0) == pytest.approx(8.0 / 10**0.3)
    assert units.noise_variance(np.array([8.0]), np.array([0.0])) == pytest.approx([8.0])


def test_the_radius_of_a_psr_has_that_psr():
    radius = units.psr_radius(2.5, 12, torch.tensor([-10.0, 0.0, -math.inf]))
    assert units.db(units.psr(radius[:2] ** 2, 2.5, 12)).numpy() == pytest.approx(
        [-10, 0], abs=1e-5
    )
    assert radius[1].item() == pytest.approx(math.sqrt(30.0))
    assert radius[2] == 0


def test_psnr_is_minus_the_decibels_of_the_mse():
    assert units.psnr_from_mse(1e-3) == pytest.approx(30.0)
    assert units.psnr_from_mse(0.0) == math.inf
