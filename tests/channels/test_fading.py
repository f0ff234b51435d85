"""Fading: laws of the gain, equalisers, and the value of channel knowledge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.fading import APART, EQUALISER, FADING, NOISE, rows_of, spread
from helpers.small_runs import attempts, scenario
from scipy import special, stats
from torch import Tensor

from channelsim.channels import AWGN, CHANNELS, Equaliser, Fading
from channelsim.contracts.access import OwnPath
from channelsim.contracts.parts import Stage
from channelsim.contracts.rows import Channel, View
from channelsim.signal_path.calibration import calibrate
from channelsim.support.errors import InputError


def gains(k_factor: float, blocks: int = 200_000) -> np.ndarray:
    """Gains of ``blocks`` blocks, one symbol in each."""
    stage = Fading(k_factor=k_factor, coherence_s=0.5)
    rows = rows_of(stage, [7.0], 0.5, 2 * blocks)
    return stage.gains(rows, blocks).numpy()[0].astype(complex)


def gaussian(rows: int, width: int, power: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, width, generator=generator) * power**0.5


def symbols(values: Tensor) -> Tensor:
    return torch.view_as_complex(values.double().unflatten(1, (-1, 2)).contiguous())


def mean_power(values: Tensor) -> Tensor:
    """Mean square per row."""
    return values.double().square().mean(dim=1)


# --- the law of the gain ------------------------------------------------------------------------


def test_rayleigh_outage_is_one_minus_e_to_the_minus_g() -> None:
    power = np.abs(gains(0.0)) ** 2
    for g in (0.001, 0.01, 0.1, 0.5, 1.0, 3.0):
        outage = 1 - math.exp(-g)
        error = math.sqrt(outage * (1 - outage) / len(power))
        assert np.mean(power < g) == pytest.approx(outage, abs=3 * error)
    assert stats.kstest(power, "expon").pvalue > 0.01


@pytest.mark.parametrize("k_factor", [0.0, 0.5, 3.0, 30.0])
def test_rician_gains_have_mean_power_one_and_the_textbooks_spread(k_factor: float) -> None:
    h = gains(k_factor)
    power = np.abs(h) ** 2
    variance = (1 + 2 * k_factor) / (1 + k_factor) ** 2
    assert power.mean() == pytest.approx(1.0, abs=3 * math.sqrt(variance / len(h)))
    assert power.var() == pytest.approx(variance, rel=0.03)
    # The law as scipy has it: |h|/σ is Rice with b = √(2κ), σ² = 1/(2(κ + 1)) per quadrature.
    rice = stats.rice(math.sqrt(2 * k_factor), scale=math.sqrt(0.5 / (k_factor + 1)))
    assert stats.kstest(np.abs(h), rice.cdf).pvalue > 0.01
    # The phase is uniform: without channel knowledge the mean signal is 0.
    assert stats.kstest(np.angle(h) / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01


def test_arms_of_different_k_share_their_draws() -> None:
    few, many = gains(0.0, 5000), gains(0.1, 5000)
    assert np.abs(np.corrcoef(few, many)[0, 1]) > 0.9


# --- gains belong to the time -------------------------------------------------------------------


def test_a_gain_holds_for_a_block_of_time_and_the_next_is_independent() -> None:
    stage = Fading(coherence_s=0.5)
    h = stage.gains(rows_of(stage, np.arange(4000.0), 0.125, 16), 8).numpy()
    assert (h[:, :4] == h[:, :1]).all()  # four symbols of an eighth of a second
    assert (h[:, 4:] == h[:, 4:5]).all()
    assert (h[:, 0] != h[:, 4]).all()
    for one, other in ((h[:, 0], h[:, 4]), (h[:-1, 0], h[1:, 0]), (h[:-1, 4], h[1:, 0])):
        assert abs(np.mean(one * other.conj())) < 3 / math.sqrt(len(one))
    assert abs(np.mean(h[:, 0].real * h[:, 0].imag)) < 1.5 / math.sqrt(len(h))


def test_whoever_is_on_the_air_meets_the_same_gain_also_a_repetition() -> None:
    stage = Fading(coherence_s=1.0)
    signal = gaussian(1, 12).expand(4, 12)
    rows = rows_of(stage, [5.0, 5.3, 5.6, 6.1], 1e-3, 12)
    rows.message = np.array([1, 2, 1, 1])
    rows.attempt = np.array([0, 0, 1, 2])
    out = stage.apply(signal, rows)
    assert torch.equal(out[0], out[1])  # another message, the same block
    assert torch.equal(out[0], out[2])  # a repetition within the coherence time
    assert not torch.isclose(out[0], out[3]).any()  # and one that waited


def test_a_row_is_faded_alike_wherever_it_stands_and_whoever_stands_beside_it() -> None:
    stage = Fading(k_factor=0.7, coherence_s=0.3)
    signal, began = gaussian(16, 11), np.random.default_rng(0).uniform(0, 50, 16)
    home = stage.apply(signal, rows_of(stage, began, 0.05, 11))
    order = np.random.default_rng(1).permutation(16)
    again = stage.apply(signal[order], rows_of(stage, began[order], 0.05, 11, message=order))
    assert torch.equal(again, home[order])
    alone = stage.apply(signal[3:4], rows_of(stage, began[3:4], 0.05, 11))
    assert torch.equal(alone, home[3:4])
    half = torch.arange(16) % 2 == 0
    for column, other in (("k_factor", 9.0), ("coherence_s", 0.01)):
        value = stage.column_values()[column]
        mixed = {column: torch.where(half, value, other)}
        got = stage.apply(signal, rows_of(stage, began, 0.05, 11, **mixed))
        whole = stage.apply(signal, rows_of(stage, began, 0.05, 11, **{column: other}))
        assert torch.equal(got, torch.where(half[:, None], home, whole))


@pytest.mark.parametrize("coherence_s", [1e-9, 1e4])
def test_extreme_times_are_countable(coherence_s: float) -> None:
    stage = Fading(coherence_s=coherence_s, k_factor=1e6)
    rows = rows_of(stage, [0.0, 5e7], 1e-7, 20)
    stale = View("mallory", "stale", 1e300)
    for view in (None, stale):
        rows.view = view
        h = stage.gains(rows, 10)
        assert h.abs().numpy() == pytest.approx(1.0, abs=0.01)


# --- complex symbols ----------------------------------------------------------------------------


def test_a_gain_turns_and_scales_pairs_of_values_as_a_complex_number() -> None:
    # Two independent real gains for the two halves would stretch the symbol, not turn it.
    stage = Fading(coherence_s=100.0)
    signal = gaussian(1, 400)
    rows = rows_of(stage, [0.0], 1e-3, 400)
    h = symbols(stage.apply(signal, rows)) / symbols(signal)
    assert h[0].numpy() == pytest.approx(np.full(200, h[0, 0]), rel=1e-5)
    assert h[0, 0].numpy() == pytest.approx(stage.gains(rows, 200)[0, 0].numpy(), rel=1e-5)
    assert abs(h[0, 0].imag) > 0.01
    leaves = stage.leaves(rows)
    assert leaves.gain is not None
    assert leaves.faded is not None
    assert float(leaves.faded[0]) == pytest.approx(abs(h[0, 0].item()) ** 2, rel=1e-5)


def test_the_value_without_a_partner_is_received_in_phase() -> None:
    stage = Fading(coherence_s=1.0)
    signal = gaussian(50, 7)
    rows = rows_of(stage, np.arange(50.0), 1e-3, 7)
    h = stage.gains(rows, 4)
    out = stage.apply(signal, rows)
    assert (out[:, 6] / signal[:, 6]).numpy() == pytest.approx(h[:, 3].abs().numpy(), rel=1e-5)
    shorter = stage.apply(signal[:, :6], rows_of(stage, np.arange(50.0), 1e-3, 6))
    assert torch.equal(out[:, :6], shorter)


def test_two_fadings_multiply() -> None:
    first, second = Fading(coherence_s=1.0, name="a"), Fading(coherence_s=0.3, name="b")
    rows = rows_of(first, [2.0], 0.1, 20)
    met = first.leaves(rows)
    both = second.leaves(rows_of(second, [2.0], 0.1, 20, channel=met))
    assert both.gain is not None
    assert met.gain is not None
    expected = met.gain * second.gains(rows_of(second, [2.0], 0.1, 20), 10)
    assert torch.equal(both.gain, expected)
    assert both.faded is not None
    assert float(both.faded) == pytest.approx(float(expected.abs().square().mean()), rel=1e-5)


# --- equalisers ---------------------------------------------------------------------------------


def received(
    k_factor: float, snr_db: float | None, width: int, rows: int = 4000, power: float = 2.5
) -> tuple[Tensor, Tensor, Channel]:
    """Codewords, the same faded (a block each) and in noise, and the channel they leave."""
    fading = Fading(k_factor=k_factor, coherence_s=1.0)
    signal = gaussian(rows, width, power)
    began = np.arange(float(rows))
    met = rows_of(fading, began, 1e-5, width, power=power)
    out, channel = fading.apply(signal, met), fading.leaves(met)
    if snr_db is not None:
        noise = AWGN(snr_db=snr_db)
        met = rows_of(noise, began, 1e-5, width, power=power, channel=channel)
        out, channel = noise.apply(out, met), noise.leaves(met)
    return signal, out, channel


def equalised(stage: Equaliser, signal: Tensor, channel: Channel, **columns: Any) -> Tensor:
    began = np.arange(float(len(signal)))
    return stage.apply(
        signal, rows_of(stage, began, 1e-5, signal.shape[1], channel=channel, **columns)
    )


@pytest.mark.parametrize("mode", ["zf", "mmse"])
@pytest.mark.parametrize("width", [1, 8, 11])
def test_without_noise_an_equaliser_gives_back_what_was_sent(mode: Any, width: int) -> None:
    signal, out, channel = received(0.0, None, width)
    stage = Equaliser(mode=mode)
    got = equalised(stage, out, channel)
    assert got.numpy() == pytest.approx(signal.numpy(), rel=1e-5, abs=1e-5)
    assert float(mean_power(out - signal).mean()) > 0.2  # it had something to do
    rows = rows_of(stage, np.arange(float(len(out))), 1e-5, width, channel=channel)
    assert stage.leaves(rows).gain is None  # and it is not undone twice


@pytest.mark.parametrize("width", [60, 61])
def test_the_error_of_either_equaliser_is_the_textbooks_in_every_fade(width: int) -> None:
    power, snr_db = 2.5, 7.0
    signal, out, channel = received(0.3, snr_db, width, power=power)
    assert channel.gain is not None
    gain, ratio = channel.gain[:, 0].abs().double().square(), 10 ** (-snr_db / 10)
    found = {
        mode: mean_power(equalised(Equaliser(mode=mode), out, channel) - signal)
        for mode in ("zf", "mmse")
    }
    expected = {"zf": power * ratio / gain, "mmse": power * ratio / (gain + ratio)}
    for mode, error in found.items():
        relative = error / expected[mode]
        assert float(relative.mean()) == pytest.approx(1.0, abs=0.01)  # sd 0.003
        # Not only on average: in deep fades and on peaks alike.
        for part in (gain < gain.quantile(0.05), gain > gain.quantile(0.95)):
            assert float(relative[part].mean()) == pytest.approx(1.0, abs=0.05)
    deep = gain < gain.quantile(0.2)
    assert (found["mmse"][deep] < found["zf"][deep]).double().mean() > 0.95
    assert float(found["mmse"].max()) < 3 * power  # never much above sending nothing
    assert float(found["zf"].max()) > 30 * power  # noise follows the transmit power


@pytest.mark.parametrize("snr_db", [0.0, 15.0])
def test_over_all_fades_mmse_is_off_by_an_exponential_integral(snr_db: float) -> None:
    signal, out, channel = received(0.0, snr_db, 40, rows=20_000, power=1.0)
    c = 10 ** (-snr_db / 10)
    expected = c * math.exp(c) * special.exp1(c)  # E c/(g + c) for g ~ Exp(1)
    got = mean_power(equalised(Equaliser(mode="mmse"), out, channel) - signal)
    assert float(got.mean()) == pytest.approx(expected, rel=0.03)


def test_an_equaliser_of_least_error_knows_all_noise_before_it() -> None:
    _, out, channel = received(0.0, 10.0, 8, rows=10)
    second = AWGN(snr_db=10.0, name="more")
    rows = rows_of(second, np.arange(10.0), 1e-5, 8, channel=channel)
    assert second.leaves(rows).noise is not None
    assert second.leaves(rows).noise.numpy() == pytest.approx(0.2)
    assert channel.gain is not None
    h = channel.gain.to(torch.complex128)
    expected = symbols(out) * h.conj() / (h.abs() ** 2 + 0.2)
    got = symbols(equalised(Equaliser(mode="mmse"), out, second.leaves(rows)))
    assert got.numpy() == pytest.approx(expected.numpy(), rel=1e-5)


def test_in_the_deepest_fade_zero_forcing_stays_finite_and_clips_nothing() -> None:
    channel = Channel(gain=torch.full((1, 2), 1e-16 + 1e-16j, dtype=torch.complex64))
    got = equalised(Equaliser(), torch.ones(1, 4), channel)
    assert torch.isfinite(got).all()
    assert got[0, 0].item() == pytest.approx(1e16, rel=1e-5)


# --- estimates ----------------------------------------------------------------------------------


def estimate_errors(variance: float, **columns: Any) -> tuple[Tensor, Tensor]:
    """e = ĥ − h of each symbol, from zero forcing of known symbols, and h."""
    signal, out, channel = received(0.0, None, 6, rows=20_000)
    assert channel.gain is not None
    h = channel.gain.to(torch.complex128)
    got = equalised(Equaliser(estimate_error=variance), out, channel, **columns)
    return symbols(signal) * h / symbols(got) - h, h


def test_an_estimate_is_off_by_a_complex_normal_of_the_stated_variance() -> None:
    e, h = estimate_errors(0.04)
    assert e[:, 1].numpy() == pytest.approx(e[:, 0].numpy(), abs=1e-4)  # one per codeword
    one = e[:, 0]
    assert float(one.abs().square().mean()) == pytest.approx(0.04, rel=0.03)
    for half in (one.real, one.imag):
        assert stats.kstest(half.numpy() / math.sqrt(0.02), "norm").pvalue > 0.01
    assert float((one.real * one.imag).mean() / 0.02) == pytest.approx(0, abs=0.03)
    assert abs((one * h[:, 0].conj()).mean().item()) < 0.2 * 3 / math.sqrt(len(one))
    less, _ = estimate_errors(0.01)
    assert less[:, 0].numpy() == pytest.approx(one.numpy() / 2, abs=1e-4)  # arms share draws


def test_a_wrong_estimate_costs_its_share_of_the_signal_and_a_right_one_nothing() -> None:
    # |h| = 1 but for a thousandth, so the error is σ²·(1 + O(σ²)) of the signal's power.
    signal, out, channel = received(1e6, None, 8, rows=20_000)
    for variance in (0.0, 1e-4, 2e-3):
        got = equalised(Equaliser(estimate_error=variance), out, channel)
        error = float(mean_power(got - signal).mean()) / 2.5
        assert error == pytest.approx(variance, rel=0.03, abs=1e-9)
    # And the noise comes on top: N₀/P + σ².
    signal, out, channel = received(1e6, 30.0, 8, rows=20_000)
    got = equalised(Equaliser(estimate_error=2e-3), out, channel)
    assert float(mean_power(got - signal).mean()) / 2.5 == pytest.approx(3e-3, rel=0.03)


# --- order of the two ---------------------------------------------------------------------------

OWN = {
    "kind": "noise",
    "name": "eve",
    "budget": {"norm": "psr_db", "epsilon": -10.0},
    "access": {"own_path": {"gain_db": -6.0}},
}


@pytest.mark.parametrize(
    ("path", "place", "said"),
    [
        ([EQUALISER], 0, "no fading stands before it; put a fading stage in front of it"),
        ([EQUALISER, FADING], 0, "equaliser has no gain to undo: no fading stands before it; put"),
        ([NOISE, EQUALISER], 1, "equaliser has no gain to undo"),
        (
            [FADING, NOISE, EQUALISER, EQUALISER | {"name": "again"}],
            3,
            "again has no gain to undo: no fading stands before it that another equaliser has not"
            " undone; put a fading stage in front of it, or remove it",
        ),
    ],
)
def test_an_equaliser_with_nothing_to_undo_is_refused(path: Any, place: int, said: str) -> None:
    with pytest.raises(InputError) as error:
        scenario(path=path)
    assert said in error.value.message
    assert f"path[{place}]" in error.value.message
    assert error.value.message.count("no gain to undo") == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([FADING], "fading: no equaliser stands behind it, so receivers decode symbols turned"),
        ([FADING, NOISE, EQUALISER, FADING | {"name": "hop"}], "hop: no equaliser stands behind"),
        ([FADING, EQUALISER, NOISE], "equaliser: nothing stands between it and fading, which"),
        ([FADING, NOISE, EQUALISER], None),
        ([FADING, EQUALISER | {"estimate_error": 0.1}, NOISE], None),
        ([NOISE, FADING, FADING | {"name": "more"}, NOISE | {"name": "n"}, EQUALISER], None),
        ([OWN, FADING, NOISE, EQUALISER], "eve: fading stands behind it, so what it injects cross"),
        ([FADING, OWN, NOISE, EQUALISER], None),
    ],
)
def test_an_order_that_does_less_than_one_may_think_is_noticed(path: Any, said: str | None) -> None:
    assert [said in notice for notice in ordered(scenario(path=path))] == (
        [] if said is None else [True]
    )


def ordered(study: Any) -> list[str]:
    """The notices about the order of stages."""
    return [notice for notice in study.notices if "intervals" not in notice]


def test_messages_that_share_a_fade_are_no_independent_observations() -> None:
    path = [FADING | {"coherence_s": 3.0}, NOISE, EQUALISER]
    source = {"kind": "dataset", "name": "mnist5k", "count": 20}
    for arrivals, said in (
        (
            {"kind": "periodic", "rate_hz": 2.0},
            "fading: about 6 messages in a row meet the same 3 s of it, so intervals resample about"
            " 4 time blocks of 3 s; that is few",
        ),
        ({"kind": "once"}, "fading: all messages meet the same 3 s of it, which is a single"),
        ({"kind": "periodic", "rate_hz": 0.5}, None),
    ):
        link = {"symbol_rate_hz": 1e4}
        notices = scenario(path=path, source=source | {"arrivals": arrivals}, link=link).notices
        assert [said in notice for notice in notices] == ([] if said is None else [True])


def test_what_makes_sense_in_one_arm_of_a_sweep_is_not_noticed() -> None:
    path = [FADING, EQUALISER, NOISE]
    assert ordered(scenario(path=path, sweep={"equaliser.estimate_error": [0, 0.1]})) == []


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"kind": "fading"}, "coherence_s: missing; fading needs it"),
        (FADING | {"coherence_s": 0}, "coherence_s: must be at least 1e-09, was given 0"),
        (FADING | {"k_factor": -1}, "k_factor: must be at least 0, was given -1"),
        (FADING | {"k_factor": 1e9}, "k_factor: must be at most 1e+06, was given 1000000000"),
        (EQUALISER | {"mode": "zff"}, "Did you mean zf?"),
        (EQUALISER | {"estimate_error": -0.1}, "estimate_error: must be at least 0, was given"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_in_a_sentence(stage: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        scenario(path=[stage])
    assert said in error.value.message


def test_each_kind_can_be_named_in_a_scenario_and_its_knobs_swept() -> None:
    assert {"fading", "equaliser"} <= set(CHANNELS)
    sweep = {
        "fading.k_factor": [0, 3],
        "fading.coherence_s": [0.1, 1],
        "equaliser.estimate_error": [0, 0.01],
        "equaliser.mode": ["zf", "mmse"],
    }
    assert len(scenario(path=[FADING, NOISE, EQUALISER], sweep=sweep).arms) == 16


# --- ledger columns -----------------------------------------------------------------------------


def test_behind_the_equaliser_the_snr_is_that_of_the_fade() -> None:
    rows = spread(path=[FADING, {"kind": "awgn", "snr_db": 10.0}, EQUALISER])
    assert rows["snr_db"] == pytest.approx(10.0)  # nominal: of the transmit power
    gain = 10 ** (rows["gain_db"] / 10)
    assert stats.kstest(gain, "expon").pvalue > 0.01
    # K·P over the noise is |h|²·SNR: 64 values, 2,000 rows.
    relative = gain * 10 ** ((10 - rows["snr_measured_db"]) / 10)
    assert relative.mean() == pytest.approx(1.0, abs=0.01)
    # A deep fade really hurts: ten times less gain, ten times more damage.
    deep = gain < 0.1
    harm = rows["mse_clean"].astype(float)
    assert harm[deep].mean() > 10 * harm[~deep].mean()


@pytest.mark.parametrize("coherence_s", [0.001, 0.1, 0.7])
def test_a_codeword_that_begins_with_a_block_meets_that_block_only(coherence_s: float) -> None:
    # A periodic transmitter often begins on an edge: a coherence time that float32 rounds, or a
    # period that double precision rounds, must not put symbols into the block before.
    source = {"kind": "dataset", "split": "train", "count": 500}
    source["arrivals"] = {"kind": "periodic", "rate_hz": 1 / coherence_s}
    rows = attempts(
        path=[FADING | {"coherence_s": coherence_s}, JAMMER, EQUALISER],
        source=source,
        link={"symbol_rate_hz": 33 / coherence_s},  # 32 symbols fill a block
    )
    # Of a jammer behind the fading, zero forcing makes ‖δ‖²/|h|², if all symbols have one h.
    weaker = rows["psr_db"] - rows["psr_received_db"]
    assert weaker.astype(float) == pytest.approx(rows["gain_db"].astype(float), abs=1e-4)
    assert len(np.unique(rows["gain_db"])) == 500


def test_a_detectors_threshold_is_that_of_its_own_symbol_rate_whoever_runs_beside_it() -> None:
    # A slow codeword meets several gains: its noise differs, and so do the thresholds.
    def thresholds(*rates_hz: float) -> list[float]:
        study = scenario(
            source={"kind": "dataset", "count": 10},
            path=[FADING, NOISE, EQUALISER],
            receivers={"wary": {"codec": "pca", "detector": {"kind": "norm"}}},
            sweep={"link.symbol_rate_hz": list(rates_hz)},
        )
        return list(calibrate(study).report["threshold"].values())

    together = thresholds(1e6, 1.0)
    assert together[0] != together[1]
    assert together == thresholds(1e6) + thresholds(1.0)


def test_without_an_equaliser_a_codeword_is_turned_by_its_gain() -> None:
    rows = spread(path=[FADING], power={"mode": "codeword"})
    # ‖z − h·z‖² = |1 − h|²·K·P, on average E|1 − h|² = 2.
    noise = 10 ** (-rows["snr_measured_db"] / 10)
    assert noise.mean() == pytest.approx(2.0, rel=0.1)


def test_a_codeword_longer_than_the_coherence_time_sees_an_average_fade() -> None:
    rows = spread(path=[FADING | {"coherence_s": 1e-7}, EQUALISER | {"estimate_error": 0.01}])
    gain = 10 ** (rows["gain_db"] / 10)  # of 32 symbols with a gain each
    assert gain.mean() == pytest.approx(1.0, abs=0.02)
    assert gain.var() == pytest.approx(1 / 32, rel=0.15)


JAMMER = {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": -10.0}}


def test_through_a_known_gain_a_perturbation_arrives_that_much_weaker() -> None:
    far = JAMMER | {"access": {"place": "over_the_air", "own_path": {"gain_db": -6.0}}}
    rows = spread(path=[far, NOISE])
    assert rows["psr_db"] == pytest.approx(-10.0, abs=1e-4)
    assert rows["psr_received_db"] - rows["psr_db"] == pytest.approx(-6.0, abs=1e-4)


def test_zero_forcing_makes_of_it_the_ratio_of_the_two_gains() -> None:
    far = JAMMER | {"access": {"place": "over_the_air", "own_path": {"gain_db": -6.0}}}
    rows = spread(path=[FADING, NOISE, far, EQUALISER])
    assert rows["psr_db"] == pytest.approx(-10.0, abs=1e-4)
    assert rows["psr_received_db"] == pytest.approx(-16.0 - rows["gain_db"], abs=1e-3)
    # In front of the fading it crosses the same gain as the codeword: the two cancel.
    rows = spread(path=[JAMMER, FADING, NOISE, EQUALISER])
    assert rows["psr_received_db"] == pytest.approx(rows["psr_db"], abs=1e-3)
    # And without an equaliser it arrives as faded as all the rest.
    rows = spread(path=[JAMMER, FADING])
    assert rows["psr_received_db"] == pytest.approx(-10.0 + rows["gain_db"], abs=1e-3)


def test_an_own_path_fades_independently_of_the_transmitters() -> None:
    own = {"gain_db": -3.0, "k_factor": 0.0, "coherence_s": 1.0}
    path = [FADING, NOISE, JAMMER | {"access": {"place": "over_the_air", "own_path": own}}]
    rows = spread(path=path)
    arrived = 10 ** ((rows["psr_received_db"] - rows["psr_db"] + 3.0) / 10)
    assert stats.kstest(arrived, "expon").pvalue > 0.01
    assert abs(np.corrcoef(arrived, rows["gain_db"])[0, 1]) < 0.07


def test_an_own_path_is_as_the_formula_has_it() -> None:
    own = OwnPath(gain_db=-6.0, k_factor=2.0, coherence_s=0.25)
    rows = rows_of(JamStage(), np.arange(30_000.0), 1e-3, 4)
    power = own.gains(rows, 2)[:, 0].abs().double().square().numpy()
    mean = 10**-0.6
    assert power.mean() == pytest.approx(mean, rel=0.02)
    assert power.var() == pytest.approx(mean**2 * 5 / 9, rel=0.05)


class JamStage:
    """A minimal adversary for a path of its own."""

    label = "jammer"

    @staticmethod
    def column_values() -> dict[str, float]:
        return {}


# --- channel knowledge --------------------------------------------------------------------------


def attacked(
    path: list[dict[str, Any]], access: dict[str, Any], **attack: Any
) -> tuple[float, float, dict[str, np.ndarray]]:
    """Mean damage of an attack and of its control, and the attempts."""
    mallory = {
        "kind": "pgd",
        "name": "mallory",
        "goal": {"kind": "damage"},
        "budget": {"norm": "psr_db", "epsilon": -10.0},
        "start": "sphere",
        "access": access,
        **attack,
    }
    stages = [mallory if stage is MALLORY else stage for stage in path]
    rows = attempts(path=stages, source=APART | {"count": 400}, control=True)
    damage, control = (
        rows[name].astype(float).mean() for name in ("mse_passive", "control_mse_passive")
    )
    return damage, control, rows


MALLORY: dict[str, Any] = {}
# Gains hold for two symbols, so that wrong gains rotate every pair differently.
FLICKER = FADING | {"coherence_s": 2e-7, "k_factor": 3.0}
BEHIND = [FLICKER, {"kind": "awgn", "snr_db": 30.0}, MALLORY, EQUALISER | {"mode": "mmse"}]


def test_behind_the_fading_knowledge_of_the_channel_is_what_an_attack_lives_on() -> None:
    gain = {}
    for name, access in {
        "exact": {"channel": "exact"},
        "stale": {"channel": "stale", "stale_s": 1e-7},
        "older": {"channel": "stale", "stale_s": 1e-3},
        "none": {"channel": "none"},
    }.items():
        damage, control, rows = attacked(BEHIND, access)
        gain[name] = 10 * math.log10(damage / control)
        assert rows["psr_db"].astype(float) == pytest.approx(-10.0, abs=0.01)
    assert gain["exact"] > gain["stale"] + 0.5  # half of the gains are still the same
    assert gain["stale"] > gain["older"] + 0.5
    assert gain["older"] == pytest.approx(gain["none"], abs=1.0)
    assert gain["exact"] > gain["none"] + 3
    assert abs(gain["none"]) < 1.5  # a direction turned at random is about noise


def test_while_the_channel_holds_stale_knowledge_is_exact() -> None:
    calm = [FADING | {"coherence_s": 1000.0}, *BEHIND[1:]]
    exact = attacked(calm, {"channel": "exact"})[2]
    stale = attacked(calm, {"channel": "stale", "stale_s": 0.5})[2]
    for name in ("delta_l2", "mse_source", "mse_passive"):
        assert stale[name][1:].tolist() == exact[name][1:].tolist()
    # But for the message at time 0: half a second earlier was another block, so the attack points
    # another way (here all ways do the same damage to the passive image).
    assert stale["mse_source"][0] != pytest.approx(exact["mse_source"][0], rel=1e-3)


def test_in_front_of_the_fading_exact_knowledge_is_the_attack_without_fading() -> None:
    plain = attacked([MALLORY], {})[2]
    through = attacked([MALLORY, FLICKER, EQUALISER], {"channel": "exact"})[2]
    for name in ("mse_source", "mse_clean", "mse_passive"):
        assert through[name] == pytest.approx(plain[name], rel=1e-3)
    # An adversary that ignores the gains, or foresees others, meets the equaliser: it undoes both.
    ignorant = attacked([MALLORY, FLICKER, EQUALISER], {"channel": "none"})[2]
    assert ignorant["mse_passive"] == pytest.approx(plain["mse_passive"], rel=1e-3)
    # Without one, an attack that knows the fading aims at what the receiver will see.
    exact = attacked([MALLORY, FLICKER], {"channel": "exact"})[0]
    none = attacked([MALLORY, FLICKER], {"channel": "none"})[0]
    assert exact > 1.2 * none


def test_imagined_channels_are_never_the_real_one_and_the_same_at_every_step() -> None:
    stage = Fading(coherence_s=1.0)
    real = rows_of(stage, np.arange(2000.0), 1e-3, 2)
    view = View("mallory", "none", draw=0)
    seen = rows_of(stage, np.arange(2000.0), 1e-3, 2, view=view)
    other = rows_of(stage, np.arange(2000.0), 1e-3, 2, view=View("mallory", "none", draw=1))
    h, imagined, again = (stage.gains(rows, 1)[:, 0].numpy() for rows in (real, seen, other))
    assert abs(np.mean(h * imagined.conj())) < 3 / math.sqrt(2000)
    assert abs(np.mean(imagined * again.conj())) < 3 / math.sqrt(2000)
    assert np.mean(np.abs(imagined) ** 2) == pytest.approx(1.0, abs=0.1)
    signal = gaussian(2000, 2)
    assert torch.equal(stage.foresee(signal, seen), stage.foresee(signal, seen))
    # Without imagination an unknown gain is taken as 1.
    blind = rows_of(stage, np.arange(2000.0), 1e-3, 2, view=View("mallory", "none"))
    assert torch.equal(stage.foresee(signal, blind), signal)


def test_who_knows_the_fading_may_still_have_to_imagine_the_receivers_estimate() -> None:
    signal, out, channel = received(0.0, None, 8, rows=500)
    stage: Stage = Equaliser(estimate_error=0.04)
    began = np.arange(500.0)
    met = rows_of(stage, began, 1e-5, 8, channel=channel)
    plain = rows_of(stage, began, 1e-5, 8, channel=channel, view=View("mallory"))
    draws = rows_of(stage, began, 1e-5, 8, channel=channel, view=View("mallory", draw=0))
    assert stage.foresee(out, plain).numpy() == pytest.approx(signal.numpy(), rel=1e-4, abs=1e-4)
    imagined, real = stage.foresee(out, draws), stage.apply(out, met)
    assert not torch.isclose(imagined, real).all(dim=1).any()
    assert float(mean_power(imagined - signal).median()) > 0.001
