"""Impulses, a digital link and phase noise, each against its closed form."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.known_ledger import assert_waiting_changes_nothing
from helpers.small_runs import attempts, mean_db, scenario
from rich.console import Console
from torch import Tensor

import channelsim
from channelsim.channels import CHANNELS, Impulsive, PhaseNoise, Quantiser
from channelsim.contracts.parts import Stage
from channelsim.contracts.rows import Rows, View
from channelsim.display.full_summary import print_summary
from channelsim.support.errors import InputError

SCENARIO = Path(__file__).parents[2] / "scenarios" / "quantised_link.yaml"


def crossed(stage: Stage, signal: Tensor, power: float = 1.0, message=None, **columns) -> Tensor:
    """The signal after a stage; ``columns`` [N] replace the stage's own values."""
    count = len(signal)
    values = stage.column_values() | columns
    rows = Rows(
        name=stage.label,
        seed=3,
        message=np.arange(count) if message is None else message,
        attempt=np.zeros(count, dtype=np.int64),
        columns={
            name: torch.as_tensor(value, dtype=torch.float32).expand(count)
            for name, value in values.items()
        },
        power=power,
    )
    return stage.apply(signal, rows)


def uniform(rows: int, width: int, limit: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(rows, width, generator=generator) - 1) * limit


def mse(left: Tensor, right: Tensor) -> float:
    return float((left.double() - right.double()).square().mean())


STAGES: list[Stage] = [
    Impulsive(rate=0.2, inr_db=10.0),
    Quantiser(bits=5),
    Quantiser(bits=5, bit_error=0.1),
    Quantiser(bits=7, bit_error=0.1, code="gray"),
    PhaseNoise(deviation_deg=20.0),
    PhaseNoise(deviation_deg=20.0, law="walk"),
]


# --- properties of all --------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_a_row_is_disturbed_alike_wherever_it_stands_and_whoever_stands_beside_it(stage):
    signal = uniform(16, 11, 3.0)
    home = crossed(stage, signal)
    assert not torch.equal(home, signal)
    order = np.random.default_rng(0).permutation(16)
    assert torch.equal(crossed(stage, signal[order], message=order), home[order])
    assert torch.equal(crossed(stage, signal[7:8], message=np.array([7])), home[7:8])
    # Rows with other settings have no influence: half the batch differs in every column.
    other = torch.arange(16) % 2 == 0
    extreme = {"rate": 1.0, "inr_db": -20.0, "bits": 16.0, "range": 0.5, "bit_error": 0.9}
    mixed = {
        name: torch.where(other, extreme.get(name, 90.0), value)
        for name, value in stage.column_values().items()
    }
    assert torch.equal(crossed(stage, signal, **mixed)[1::2], home[1::2])
    # Ten values of a longer codeword are the ten of a shorter one.
    assert torch.equal(crossed(stage, signal[:, :10]), home[:, :10])


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_a_column_swept_in_one_batch_is_the_same_as_each_value_alone(stage):
    signal, half = uniform(12, 8, 3.0), torch.arange(12) < 6
    grids = {"rate": (0.1, 0.9), "inr_db": (0, 20), "bits": (3, 8), "range": (1.0, 5.0)}
    grids |= {"bit_error": (0.01, 0.3), "deviation_deg": (5, 90)}
    for name in stage.columns:
        low, high = grids[name]
        mixed = crossed(stage, signal, **{name: torch.where(half, float(low), float(high))})
        left, right = (crossed(stage, signal, **{name: value}) for value in (low, high))
        assert torch.equal(mixed, torch.where(half[:, None], left, right))
        assert not torch.equal(left, right)


def test_each_kind_can_be_named_in_a_scenario_and_its_knobs_swept():
    assert {"impulsive", "quantiser", "phase_noise"} <= set(CHANNELS)
    swept = scenario(
        path=[
            {"kind": "impulsive", "rate": 0.1, "inr_db": 3},
            {"kind": "quantiser", "bits": 8},
            {"kind": "phase_noise", "deviation_deg": 5, "law": "walk"},
        ],
        sweep={
            "impulsive.rate": [0, 0.5],
            "quantiser.bits": [2, 4],
            "phase_noise.deviation_deg": [0, 10],
        },
    )
    assert len(swept.arms) == 8
    assert swept.arms[-1].path[1].column_values() == {"bits": 4.0, "range": 4.0, "bit_error": 0.0}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ({"kind": "impulsive", "rate": 1.5, "inr_db": 0}, "rate: must be at most 1, was given 1.5"),
        ({"kind": "impulsive", "rate": -0.1, "inr_db": 0}, "rate: must be at least 0, was given"),
        ({"kind": "impulsive", "rate": 0.1}, "inr_db: missing; impulsive needs it"),
        ({"kind": "quantiser", "bits": 0}, "bits: must be at least 1, was given 0"),
        ({"kind": "quantiser", "bits": 17}, "bits: must be at most 16, was given 17"),
        ({"kind": "quantiser", "bits": 2.5}, "bits: must be a whole number, was given 2.5"),
        ({"kind": "quantiser", "bits": 4, "range": 0}, "range: must be at least 0.001, was given"),
        ({"kind": "quantiser", "bits": 4, "bit_error": 2}, "bit_error: must be at most 1, was giv"),
        ({"kind": "quantiser", "bits": 4, "code": "grey"}, "Did you mean gray?"),
        ({"kind": "phase_noise", "deviation_deg": -1}, "deviation_deg: must be at least 0, was"),
        ({"kind": "phase_noise", "deviation_deg": 400}, "deviation_deg: must be at most 180, was"),
        ({"kind": "phase_noise", "deviation_deg": 4, "law": "warlk"}, "Did you mean walk?"),
        ({"kind": "phase_noise", "sigma": 4}, "unknown field for phase_noise"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_in_a_sentence(path, said):
    with pytest.raises(InputError) as error:
        scenario(path=[path])
    assert said in error.value.message


# --- impulses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "inr_db"), [(0.05, 13.0), (0.3, 0.0), (1.0, -10.0)])
def test_impulses_have_the_stated_mean_power_and_kurtosis(rate, inr_db):
    power = 2.5
    noise = crossed(Impulsive(rate=rate, inr_db=inr_db), torch.zeros(4000, 64), power).double()
    second, fourth = float(noise.square().mean()), float(noise.pow(4).mean())
    assert second == pytest.approx(rate * power * 10 ** (inr_db / 10), rel=0.03)
    assert fourth / second**2 == pytest.approx(3 / rate, rel=0.05)


def test_an_impulse_hits_both_values_of_a_symbol_and_the_odd_one_out_has_its_own():
    noise = crossed(Impulsive(rate=0.1, inr_db=0.0), torch.zeros(20_000, 7))
    struck = noise != 0
    assert torch.equal(struck[:, 0:6:2], struck[:, 1:6:2])
    together = (struck[:, 0] & struck[:, 2]).double().mean().item()
    assert together == pytest.approx(0.01, rel=0.2)  # two symbols: independent
    assert struck[:, 6].double().mean().item() == pytest.approx(0.1, rel=0.05)
    both = noise[struck[:, 0]][:, :2]  # and the two quadratures differ in what they get
    assert torch.corrcoef(both.T)[0, 1].abs() < 0.06


def test_impulses_of_a_rare_arm_are_among_those_of_a_frequent_one():
    still = torch.zeros(500, 20)
    rare = crossed(Impulsive(rate=0.05, inr_db=0.0), still)
    often = crossed(Impulsive(rate=0.5, inr_db=0.0), still)
    loud = crossed(Impulsive(rate=0.05, inr_db=20.0), still)
    assert torch.equal(rare[rare != 0], often[rare != 0])
    assert torch.allclose(loud, 10 * rare, rtol=1e-5)
    assert not crossed(Impulsive(rate=0.0, inr_db=300.0), still).any()
    assert (crossed(Impulsive(rate=1.0, inr_db=0.0), still) != 0).all()


# --- the digital link ---------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("power", [1.0, 9.0])
def test_a_uniform_signal_is_off_by_a_twelfth_of_the_squared_step(bits, power):
    limit = 2.0 * math.sqrt(power)  # the range counts rms amplitudes
    signal = uniform(2000, 50, limit)
    read = crossed(Quantiser(bits=bits, range=2.0), signal, power)
    step = 2 * limit / 2**bits
    assert mse(read, signal) == pytest.approx(step**2 / 12, rel=0.02)
    assert float((read - signal).abs().max()) <= step / 2 * (1 + 1e-5)
    levels = -limit + (np.arange(2**bits) + 0.5) * step  # midrise: no level at zero
    assert np.unique(read.numpy()) == pytest.approx(levels, rel=1e-6)


def test_what_lies_beyond_the_range_becomes_the_outermost_level():
    signal = torch.tensor([[-1e30, -4.0, -3.999, 0.0, 3.999, 4.0, 1e30]])
    read = crossed(Quantiser(bits=3), signal)
    assert read.tolist() == [[-3.5, -3.5, -3.5, 0.5, 3.5, 3.5, 3.5]]


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_quantising_twice_is_quantising_once(bits):
    stage = Quantiser(bits=bits, range=3.3)
    once = crossed(stage, uniform(200, 50, 4.0), power=0.7)
    assert torch.equal(crossed(stage, once, power=0.7), once)


def test_sixteen_bits_are_almost_the_identity():
    signal = uniform(200, 50, 4.0)
    assert float((crossed(Quantiser(bits=16), signal) - signal).abs().max()) <= 4 / 2**16 + 1e-6


def textbook_error(bits: int, p: float, code: str) -> float:
    """E (level read − level sent)² in steps², by going through all words and all flips."""
    words = [format(k if code == "natural" else k ^ (k >> 1), f"0{bits}b") for k in range(2**bits)]
    place = {word: k for k, word in enumerate(words)}
    total = 0.0
    for sent, word in enumerate(words):
        for flips in itertools.product((0, 1), repeat=bits):
            read = "".join(str(int(bit) ^ flip) for bit, flip in zip(word, flips, strict=True))
            chance = p ** sum(flips) * (1 - p) ** (bits - sum(flips))
            total += chance * (place[read] - sent) ** 2
    return total / 2**bits


@pytest.mark.parametrize("code", ["natural", "gray"])
@pytest.mark.parametrize(("bits", "p"), [(1, 0.2), (4, 0.02), (4, 0.3), (6, 0.05)])
def test_flipped_bits_do_the_textbooks_damage_beside_that_of_quantising(bits, p, code):
    signal, step = uniform(8000, 50, 4.0), 8 / 2**bits
    clean = crossed(Quantiser(bits=bits, code=code), signal)
    read = crossed(Quantiser(bits=bits, code=code, bit_error=p), signal)
    expected = textbook_error(bits, p, code) * step**2
    if code == "natural":
        assert expected == pytest.approx(p * step**2 * (4**bits - 1) / 3, rel=1e-9)
    assert mse(read, clean) == pytest.approx(expected, rel=0.05)
    # Uncorrelated with the quantisation error: the two add up.
    assert mse(read, signal) == pytest.approx(expected + step**2 / 12, rel=0.05)


def test_gray_code_costs_a_third_more_where_flips_are_rare():
    bits, p = 6, 1e-6
    first_order = p * (4 * (4**bits - 1) / 3 - bits) / 3
    assert textbook_error(bits, p, "gray") == pytest.approx(first_order, rel=1e-4)
    ratio = textbook_error(bits, p, "gray") / textbook_error(bits, p, "natural")
    assert ratio == pytest.approx(4 / 3, rel=0.01)


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_without_flips_the_code_cannot_be_told(bits):
    signal = uniform(50, 20, 4.0)
    # A channel with a negligible flip rate also goes through the words.
    gray = crossed(Quantiser(bits=bits, code="gray", bit_error=1e-30), signal)
    assert torch.equal(gray, crossed(Quantiser(bits=bits), signal))


@pytest.mark.parametrize("code", ["natural", "gray"])
@pytest.mark.parametrize("bits", [2, 7, 12])
def test_a_channel_that_flips_every_bit_reads_the_word_of_opposite_bits(code, bits):
    sent = torch.arange(2**bits)[None]
    levels = sent - (2**bits - 1) / 2  # the range is half the number of levels: steps of 1
    limit = 2.0 ** (bits - 1)
    flipped = Quantiser(bits=bits, range=min(limit, 1000.0), code=code, bit_error=1.0)
    power = (limit / flipped.range) ** 2
    read = crossed(flipped, levels, power) + (2**bits - 1) / 2
    words = [format(k if code == "natural" else k ^ (k >> 1), f"0{bits}b") for k in range(2**bits)]
    place = {word: k for k, word in enumerate(words)}
    opposite = [place["".join("10"[int(bit)] for bit in word)] for word in words]
    assert read[0].tolist() == opposite


def test_arms_of_a_link_share_their_flips():
    signal = uniform(400, 20, 4.0)
    clean = crossed(Quantiser(bits=6), signal)
    few, many = (crossed(Quantiser(bits=6, bit_error=p), signal) != clean for p in (0.01, 0.1))
    assert few.any()
    assert not (few & ~many).any()
    # One bit per value is the sign; with six, the leading bit flips in the same places.
    coarse = crossed(Quantiser(bits=1, bit_error=0.1), signal)
    fine = crossed(Quantiser(bits=6, bit_error=0.1), signal)
    assert torch.equal(coarse.sign(), fine.sign())


def foreseen(stage: Stage, signal: Tensor, draw: int | None) -> Tensor:
    """A stage's output as an adversary in front of it foresees it."""
    count = len(signal)
    rows = Rows(
        name=stage.label,
        seed=3,
        message=np.arange(count),
        attempt=np.zeros(count, dtype=np.int64),
        columns={k: torch.tensor([v]).expand(count) for k, v in stage.column_values().items()},
        view=View("mallory", draw=draw),
    )
    return stage.foresee(signal, rows)


def test_an_attack_sees_through_a_quantiser_as_if_it_were_straight():
    signal = uniform(300, 20, 4.5).requires_grad_()
    quiet, flipping = Quantiser(bits=3), Quantiser(bits=3, bit_error=0.2)
    weights = uniform(300, 20, 1.0, seed=1)
    for stage, draw in ((quiet, None), (flipping, None), (flipping, 0)):
        seen = foreseen(stage, signal, draw)
        (gradient,) = torch.autograd.grad((weights * seen).sum(), signal)
        assert torch.equal(gradient, weights)  # beyond the range too
    levels = crossed(quiet, signal.detach())
    assert foreseen(quiet, signal, None).detach().numpy() == pytest.approx(levels.numpy(), abs=1e-6)
    # Flips are unknown to adversaries: none without imagination, and with it never the real ones.
    assert torch.equal(foreseen(flipping, signal, None), foreseen(quiet, signal, None))
    imagined = (foreseen(flipping, signal, 0).detach() - levels).abs() > 0.1
    real = (crossed(flipping, signal.detach()) - levels).abs() > 0.1
    assert imagined.double().mean().item() == pytest.approx(1 - 0.8**3, abs=0.03)
    assert torch.corrcoef(torch.stack([imagined, real]).flatten(1).double())[0, 1].abs() < 0.05


@pytest.mark.parametrize(
    "stage",
    [Impulsive(rate=0.3, inr_db=0.0), PhaseNoise(deviation_deg=5.0, law="walk")],
    ids=lambda stage: stage.kind,
)
def test_an_attack_plans_without_noise_or_with_noise_it_imagines(stage):
    signal = uniform(500, 20, 3.0).requires_grad_()
    assert torch.equal(foreseen(stage, signal, None), signal)
    seen, real = foreseen(stage, signal, 0), crossed(stage, signal.detach())
    moved, really = seen.detach() - signal.detach(), real - signal.detach()
    assert mse(seen.detach(), signal.detach()) == pytest.approx(mse(real, signal.detach()), rel=0.1)
    assert torch.corrcoef(torch.stack([moved, really]).flatten(1))[0, 1].abs() < 0.1
    (gradient,) = torch.autograd.grad(seen.square().sum(), signal)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).all()


# --- phase --------------------------------------------------------------------------------------


def symbols(values: Tensor) -> Tensor:
    return torch.view_as_complex(values.double().unflatten(1, (-1, 2)).contiguous())


@pytest.mark.parametrize("law", ["constant", "walk"])
def test_a_rotation_keeps_the_energy_of_every_symbol_and_the_odd_value(law):
    signal = uniform(300, 21, 3.0)
    turned = crossed(PhaseNoise(deviation_deg=40.0, law=law), signal)
    assert torch.equal(turned[:, 20], signal[:, 20])
    assert not torch.isclose(turned[:, :20], signal[:, :20]).all(dim=1).any()
    before, after = symbols(signal[:, :20]), symbols(turned[:, :20])
    assert after.abs().numpy() == pytest.approx(before.abs().numpy(), rel=1e-6)
    still = crossed(PhaseNoise(deviation_deg=0.0, law=law), signal)
    assert torch.equal(still, signal)
    lone = signal[:, :1]
    assert torch.equal(crossed(PhaseNoise(deviation_deg=9.0, law=law), lone), lone)


@pytest.mark.parametrize("deviation_deg", [3.0, 30.0, 120.0])
def test_a_phase_error_costs_what_its_characteristic_function_says(deviation_deg):
    ones = torch.tensor([1.0, 0.0]).repeat(20_000, 1)
    turned = symbols(crossed(PhaseNoise(deviation_deg=deviation_deg), ones))
    variance = math.radians(deviation_deg) ** 2
    expected = 2 * (1 - math.exp(-variance / 2))
    assert (turned - 1).abs().square().mean().item() == pytest.approx(expected, rel=0.05)
    assert abs(turned.angle().mean().item()) < 0.05


def test_a_constant_phase_turns_the_whole_codeword_and_a_walk_strays():
    ones = torch.tensor([1.0, 0.0]).repeat(20_000, 8)
    whole = symbols(crossed(PhaseNoise(deviation_deg=25.0), ones)).angle()
    assert whole.numpy() == pytest.approx(whole[:, :1].expand(-1, 8).numpy(), abs=1e-6)
    steps = symbols(crossed(PhaseNoise(deviation_deg=6.0, law="walk"), ones)).angle()
    variance = math.radians(6.0) ** 2
    # The variance grows by σ² with every symbol, the first included; increments are independent.
    grown = steps.var(dim=0) / variance
    assert grown.numpy() == pytest.approx(np.arange(1, 9), rel=0.05)
    increments = torch.corrcoef(steps.diff(dim=1).T) - torch.eye(7)
    assert increments.abs().max() < 0.04
    wide = symbols(crossed(PhaseNoise(deviation_deg=12.0, law="walk"), ones)).angle()
    assert wide.numpy() == pytest.approx(2 * steps.numpy(), abs=1e-5)  # the same walk, twice as far


# --- ledger columns -----------------------------------------------------------------------------


def test_impulses_count_as_measured_noise_and_not_as_nominal():
    impulses = {"kind": "impulsive", "rate": 0.2, "inr_db": 3.0}
    rows = attempts(path=[{"kind": "awgn", "snr_db": 10.0}, impulses])
    assert rows["snr_db"] == pytest.approx(10.0)
    together = 10**-1.0 + 0.2 * 10**0.3
    assert mean_db(rows["snr_measured_db"]) == pytest.approx(-10 * math.log10(together), abs=0.1)


def test_rows_that_no_impulse_struck_count_in_the_summary_as_rows_without_noise(tmp_path):
    run = channelsim.run(
        {
            "seed": 1,
            "source": {"kind": "dataset", "split": "train", "count": 2000},
            "path": [{"kind": "impulsive", "rate": 0.1, "inr_db": 6.0}],
            "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 8}}},
            "metrics": ["mse"],
            "control": False,
        },
        out=tmp_path / "run",
    )
    with run.ledger() as ledger:
        noise = [value for (value,) in ledger.rows("SELECT snr_measured_db FROM attempt")]
    spared = sum(value is None for value in noise) / len(noise)
    assert spared == pytest.approx(0.9**4, abs=0.04)  # four symbols, none struck
    (point,) = run.summary().points
    assert point.snr_db is None
    expected = -10 * math.log10(0.1 * 10**0.6)
    assert point.snr_measured_db == pytest.approx(expected, abs=0.6)  # sd of the mean 0.2 dB
    console = Console(width=200, record=True, file=io.StringIO())
    print_summary(console, run.summary())  # printed although no SNR was stated
    assert f"SNR {point.snr_measured_db:.2f} dB measured; latency" in console.export_text()


def test_a_turned_codeword_has_the_measured_snr_of_its_phase():
    # Each codeword has the energy K·P, so the ratio is 1/(2 − 2·cos φ) row by row.
    rows = attempts(
        path=[{"kind": "phase_noise", "deviation_deg": 20.0}], power={"mode": "codeword"}
    )
    assert np.isnan(rows["snr_db"].astype(float)).all()
    expected = 2 * (1 - math.exp(-(math.radians(20) ** 2) / 2))
    measured = mean_db(rows["snr_measured_db"])
    assert measured == pytest.approx(-10 * math.log10(expected), abs=0.3)


def test_a_quantiser_counts_as_the_noise_of_its_steps():
    # Fine steps: the error is uniform within a step whatever the signal. Lengths are in √P.
    rows = attempts(path=[{"kind": "quantiser", "bits": 10, "range": 20.0}])
    assert np.isnan(rows["snr_db"].astype(float)).all()
    expected = (2 * 20 / 2**10) ** 2 / 12
    assert mean_db(rows["snr_measured_db"]) == pytest.approx(-10 * math.log10(expected), abs=0.1)


JAMMER = {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": -10.0}}


def ratios(*path: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    rows = attempts(path=list(path))
    return rows["psr_db"].astype(float), rows["psr_received_db"].astype(float)


@pytest.mark.parametrize(
    "stage",
    [
        {"kind": "impulsive", "rate": 0.2, "inr_db": 3.0},
        {"kind": "phase_noise", "deviation_deg": 30.0, "law": "walk"},
    ],
    ids=lambda stage: stage["kind"],
)
def test_added_impulses_and_rotations_leave_a_perturbations_power_as_it_was(stage):
    for path in ([JAMMER, stage], [stage, JAMMER]):
        injected, received = ratios(*path)
        assert injected == pytest.approx(-10.0, abs=1e-4)
        assert received == pytest.approx(injected, abs=1e-3)


def test_behind_a_quantiser_a_perturbation_arrives_as_it_is():
    injected, received = ratios({"kind": "quantiser", "bits": 3, "bit_error": 0.05}, JAMMER)
    assert injected == pytest.approx(-10.0, abs=1e-4)
    assert received == pytest.approx(injected, abs=1e-3)


def test_before_a_fine_quantiser_a_perturbation_gets_the_error_of_two_quantisations():
    # Q(z + δ) − Q(z) = δ + two independent errors of Δ²/12 each.
    quantiser = {"kind": "quantiser", "bits": 6, "range": 8.0}
    injected, received = ratios(JAMMER, quantiser)
    assert injected == pytest.approx(-10.0, abs=1e-4)
    expected = 10**-1.0 + 2 * (2 * 8 / 2**6) ** 2 / 12
    got = float(np.mean(10 ** (received / 10)))
    assert 10 * math.log10(got) == pytest.approx(10 * math.log10(expected), abs=0.1)


def test_flips_that_both_signals_meet_weigh_each_bit_in_which_they_differ():
    # At p = ½ every bit's sign is a coin, the same for both: E(Δk)² = Σ 4^i over differing bits.
    bits, rows = 4, 20_000
    stage = Quantiser(bits=bits, range=8.0, bit_error=0.5)  # the step is 1
    for left, right in ((7, 8), (5, 4), (2, 9)):
        levels = (torch.full((rows, 4), k - 7.5) for k in (left, right))
        apart = mse(*(crossed(stage, level) for level in levels))
        differing = [4**i for i in range(bits) if (left ^ right) >> i & 1]
        assert apart == pytest.approx(sum(differing), rel=0.03)


@pytest.mark.parametrize("bit_error", [0.0, 0.1])
def test_a_perturbation_that_crosses_no_threshold_does_not_arrive(bit_error):
    whisper = JAMMER | {"budget": {"norm": "psr_db", "epsilon": -90.0}}
    rows = attempts(path=[whisper, {"kind": "quantiser", "bits": 2, "bit_error": bit_error}])
    received = rows["psr_received_db"].astype(float)
    assert rows["psr_db"].astype(float) == pytest.approx(-90.0, abs=0.01)
    quiet = np.isnan(received)
    assert quiet.mean() > 0.99
    assert (rows["mse_passive"][quiet] == 0).all()
    # One value moved over a threshold arrives as a whole step, A/2 = 2√P: far above the injection.
    assert (received[~quiet] > -15).all()


# --- whole runs ----------------------------------------------------------------------------------


def test_on_the_shipped_link_bits_help_and_flips_hurt(tmp_path: Path):
    run = channelsim.run(SCENARIO, set={"source.count": 20}, out=tmp_path / "run")
    for receiver in ("kld", "pca"):
        points = [point for point in run.summary().points if point.receiver == receiver]
        snr = np.array([point.snr_measured_db for point in points]).reshape(4, 4)
        assert (np.diff(snr[:, 0]) > 5).all()  # without flips: 6 dB per bit, 12 per step
        assert (np.diff(snr, axis=1) <= 0).all()
        assert np.ptp(snr[1:, 3]) < 3  # one bit in ten flipped: more of them do not help


def test_rows_of_all_settings_share_batches_without_a_trace(tmp_path: Path):
    study = {
        "seed": 5,
        "source": {"kind": "dataset", "count": 12},
        "path": [
            {"kind": "impulsive", "rate": 0.1, "inr_db": 3},
            JAMMER,
            {"kind": "phase_noise", "deviation_deg": 5, "law": "walk"},
            {"kind": "quantiser", "bits": 8, "bit_error": 0.02, "code": "gray"},
        ],
        "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 9}}},
        "sweep": {
            "impulsive.rate": [0, 0.5],
            "quantiser.bits": [1, 5],
            "phase_noise.deviation_deg": [0, 10],
        },
        "block_rows": 16,
    }
    assert_waiting_changes_nothing(study, tmp_path)
