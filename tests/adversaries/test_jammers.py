"""Jammers in time: tones, duty cycles, windows, choices, and accounts of energy that are kept."""

from __future__ import annotations

import dataclasses
import functools
import math
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers.known_decoders import LinearDecoder, latents, meet
from helpers.known_ledger import assert_equal_ledgers, assert_waiting_changes_nothing
from helpers.patience import PATIENCE_S
from helpers.small_runs import injected, scenario, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

import channelsim
from channelsim.adversaries import Noise
from channelsim.contracts.access import Activity
from channelsim.contracts.adversary import Budget
from channelsim.contracts.records import AttemptsDone
from channelsim.ledger import Ledger
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.event_plane import simulate
from channelsim.support.errors import InputError

LAWS = ["gaussian", "uniform", "signs", "tone"]
NORMS = ["linf", "l2", "psr_db"]
RATE_HZ = 4.0  # symbols per second: times are exact in binary
K = 8  # four symbols: a codeword takes one second


def tone(norm: str, epsilon: float, offset: float | None, rows: int, width: int) -> np.ndarray:
    """δ of a tone, float64 [N, K]."""
    jammer = Noise(law="tone", offset=offset, budget=Budget(norm=norm, epsilon=epsilon))
    decode = LinearDecoder([1.0] * width)
    nothing = latents(rows, width)
    return jammer.attack(nothing, meet(jammer, nothing, decode)).delta.double().numpy()


def symbols(delta: np.ndarray) -> np.ndarray:
    return delta[:, 0::2] + 1j * delta[:, 1::2]


# --- a tone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [None, 0.0, 0.1, 0.37, 0.5])
def test_a_tone_turns_by_its_offset_from_symbol_to_symbol_and_never_changes_its_size(offset):
    found = symbols(tone("l2", 2.0, offset, 50, 40))
    assert np.abs(found) == pytest.approx(np.full((50, 20), 2.0 / math.sqrt(20)), rel=1e-5)
    step = found[:, 1:] / found[:, :-1]
    assert step == pytest.approx(np.full((50, 19), np.exp(2j * np.pi * (offset or 0.0))), abs=1e-4)


def test_a_tones_spectrum_is_one_line():
    found = symbols(tone("l2", 1.0, 0.25, 20, 32))
    spectrum = np.abs(np.fft.fft(found, axis=1)) ** 2
    assert (spectrum[:, 4] > 0.999999 * spectrum.sum(axis=1)).all()  # 4 of 16: a quarter


def test_the_phase_of_a_tone_is_uniform_and_anew_for_every_codeword():
    phase = np.angle(symbols(tone("l2", 1.0, 0.2, 4000, 6))[:, 0])
    share = np.sort(phase / (2 * np.pi) + 0.5)
    distance = np.abs(share - (np.arange(4000) + 0.5) / 4000).max()
    assert distance < 1.95 / 4000**0.5  # Kolmogorov–Smirnov at a level of 0.001
    assert np.abs(np.corrcoef(np.cos(phase[1:]), np.cos(phase[:-1]))[0, 1]) < 0.06


@pytest.mark.parametrize("width", [1, 2, 7, 64])
@pytest.mark.parametrize("offset", [0.0, 0.123, 0.5])
def test_a_tone_uses_its_whole_budget_also_where_the_last_symbol_is_half_a_one(width, offset):
    ball = tone("l2", 0.7, offset, 300, width)
    assert np.linalg.norm(ball, axis=1) == pytest.approx(np.full(300, 0.7), rel=1e-5)
    box = tone("linf", 0.7, offset, 300, width)
    assert np.abs(box).max(axis=1) == pytest.approx(np.full(300, 0.7), rel=1e-6)
    if width == 7:  # the lone value is the real part of the tone there
        turn = 2 * np.pi * offset * 3 + np.angle(symbols(ball[:, :2])[:, 0])
        size = np.abs(symbols(ball[:, :2])[:, 0])
        assert ball[:, 6] == pytest.approx(size * np.cos(turn), abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"law": "tone", "offset": 0.51}, "less than or equal to 0.5"),
        ({"law": "tone", "offset": -0.1}, "greater than or equal to 0"),
        ({"law": "signs", "offset": 0.1}, "offset is for law: tone, but law is signs"),
    ],
)
def test_an_offset_that_means_nothing_is_refused(fields: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        Noise(budget=Budget(norm="l2", epsilon=1.0), **fields)


def test_offsets_of_a_sweep_share_their_batches_and_their_phases():
    jammer = {"kind": "noise", "law": "tone", "budget": {"norm": "l2", "epsilon": 1.0}}
    swept = scenario(path=[jammer], sweep={"noise.offset": [0, 0.25]})
    assert len(calibrate(swept).paths) == 1
    rows = table(list(simulate(swept)), AttemptsDone)
    assert rows["delta_l2"].astype(float) == pytest.approx(1.0, rel=1e-5)


# --- when: what a run injects -------------------------------------------------------------------


def jam(count: int = 20, latent_size: int = K, rate_hz: float = RATE_HZ, **fields: Any) -> Any:
    """Codewords back to back, each of ⌈K/2⌉ symbols, under one jammer."""
    base = {"kind": "noise", "name": "jammer", "budget": {"norm": "psr_db", "epsilon": 0.0}}
    changes = fields.pop("changes", {})
    return scenario(
        **{
            "source": {
                "kind": "dataset",
                "split": "train",
                "count": count,
                "arrivals": {"kind": "once"},
            },
            "link": {"latency_s": 0.5, "symbol_rate_hz": rate_hz},
            "path": [base | fields],
            "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": latent_size}}},
            "block_rows": 64,
        }
        | changes
    )


@functools.cache
def power_of(latent_size: int) -> float:
    """P on the wire."""
    paths = calibrate(jam(1, latent_size)).paths
    return float(paths[0].setting.power)


def energies(loaded: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Per attempt ‖δ‖² in units of K·P, and all columns."""
    rows = table(list(simulate(loaded)), AttemptsDone)
    size = loaded.arms[0].receiver.codec.latent_size
    return rows["delta_l2"].astype(float) ** 2 / (size * power_of(size)), rows


def active(delta: Tensor) -> np.ndarray:
    """Mask of the symbols touched, bool [N, symbols]."""
    touched = (delta != 0).numpy()
    return touched[:, 0::2] | np.pad(touched[:, 1::2], ((0, 0), (0, touched.shape[1] % 2)))


def test_a_window_touches_the_symbols_that_begin_in_it_and_no_others():
    # Symbols begin every quarter of a second; a window holds its begin and not its end.
    windows = [[0.5, 1.25], [3.0, 3.25], [4.01, 4.25], [7.9, 8.1], [1e9, 2e9]]
    delta, control, _ = injected(jam(10, activity={"windows": windows}, changes={"control": True}))
    on = {2, 3, 4, 12, 32}
    expected = np.array([[4 * m + s in on for s in range(4)] for m in range(10)])
    assert (active(delta) == expected).all()
    assert (active(control) == expected).all()


@pytest.mark.parametrize("rate_hz", [10.0, 20e3, 3.0, 7e6])
@pytest.mark.parametrize("on", [1, 3, 4])
def test_edges_that_fall_on_symbols_hold_whatever_their_times_are_in_binary(rate_hz, on):
    # 5 symbols are a period and the first of them on; tenths and thirds of seconds are not exact.
    activity = {"duty_cycle": on / 5, "period_s": 5 / rate_hz}
    delta, _, _ = injected(jam(60, activity=activity, rate_hz=rate_hz))
    number = np.arange(240).reshape(60, 4)
    assert (active(delta) == (number % 5 < on)).all()
    window = Activity(windows=((0.7, 0.9),))
    assert window.on(0.1 * np.arange(12.0)).tolist() == [k in (7, 8) for k in range(12)]


def test_a_relay_decides_by_the_first_symbol_and_then_has_the_whole_codeword():
    activity = {"windows": [[1.0, 3.1], [4.1, 4.9]]}
    delta, _, _ = injected(jam(6, activity=activity, access={"place": "relay"}))
    touched = (delta != 0).numpy()
    assert touched.all(axis=1).tolist() == [False, True, True, True, False, False]
    assert (touched.all(axis=1) == touched.any(axis=1)).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("width", [8, 7])
def test_the_control_is_as_long_as_the_attack_on_the_same_symbols(law, norm, width):
    activity = {"duty_cycle": 0.4, "period_s": 1.7}
    delta, control, _ = injected(
        jam(
            60,
            width,
            law=law,
            budget={"norm": norm, "epsilon": 0.5},
            activity=activity,
            changes={"control": True},
        )
    )
    assert control.norm(dim=1).numpy() == pytest.approx(delta.norm(dim=1).numpy(), rel=1e-4)
    assert (active(control) == active(delta)).all()
    partly = active(delta).any(axis=1) & ~active(delta).all(axis=1)
    assert partly.sum() > 10
    assert not torch.allclose(control, delta)


def test_where_it_may_do_nothing_it_is_idle_and_its_control_too():
    activity = {"duty_cycle": 0.5, "period_s": 4.0}
    loaded = jam(20, activity=activity, changes={"control": True})
    energy, rows = energies(loaded)
    on = np.arange(20) % 4 < 2
    assert (np.array(rows["verdict"]) == np.where(on, "ok", "idle")).all()
    assert (energy[~on] == 0).all()
    assert energy[on] == pytest.approx(1.0, rel=1e-5)
    assert (rows["mse_passive"][~on] == 0).all()
    assert (rows["control_mse_passive"][~on] == 0).all()
    assert (rows["mse_passive"][on] > 0).all()


def test_it_takes_every_nth_message_and_classes_by_name():
    energy, rows = energies(jam(30, activity={"every": 3, "first": 1}))
    assert (energy > 0).tolist() == [m % 3 == 1 for m in range(30)]
    loaded = jam(60, activity={"classes": [1, 7]})
    labels = loaded.source.sent().labels[loaded.source.index(np.arange(60))]
    energy, rows = energies(loaded)
    assert ((energy > 0) == np.isin(labels, [1, 7])).all()
    assert 0 < (energy > 0).sum() < 60
    assert (np.array(rows["verdict"])[energy == 0] == "idle").all()


def test_it_takes_codewords_that_are_louder_than_it_asks_for():
    access = {"listen_symbols": 2}
    delta, _, wire = injected(jam(200, access=access, activity={"louder_than_db": 0.5}))
    power = float(calibrate(jam(1)).paths[0].setting.power)
    loud = wire[:, :4].double().square().mean(dim=1).numpy() / power > 10**0.05
    assert 20 < loud.sum() < 180
    # It listens to two symbols, and adds to the others.
    assert (active(delta) == (loud[:, None] & (np.arange(4) >= 2))).all()


@pytest.mark.parametrize("duty", [0.25, 0.6])
@pytest.mark.parametrize("law", LAWS)
def test_at_a_duty_cycle_of_d_the_mean_energy_is_d_times_the_budget(law: str, duty: float):
    # A period of √2 s drifts over the symbols, so that every phase of it is met equally often.
    activity = {"duty_cycle": duty, "period_s": math.sqrt(2)}
    delta, _, _ = injected(
        jam(3000, law=law, budget={"norm": "l2", "epsilon": 1.0}, activity=activity)
    )
    energy = delta.double().square().sum(dim=1).numpy()
    whole = {"uniform": K / (K + 2)}.get(law, 1.0)  # E r² in a K-ball
    # The share of symbols on is deterministic, and off by less than a period in 3,000 s.
    assert active(delta).mean() == pytest.approx(duty, abs=1e-3)
    error = energy.std() / len(energy) ** 0.5
    assert energy.mean() == pytest.approx(duty * whole, abs=3 * error + 2e-3)


@pytest.mark.parametrize("law", ["tone", "signs"])
def test_over_whole_periods_a_constant_envelope_spends_exactly_its_share(law: str):
    # Two of eight symbols: a period is two codewords.
    activity = {"duty_cycle": 0.25, "period_s": 2.0}
    energy, _ = energies(jam(40, law=law, activity=activity))
    assert energy.reshape(20, 2).sum(axis=1) == pytest.approx(np.full(20, 0.5), rel=1e-5)


# --- the account --------------------------------------------------------------------------------


def booked(loaded: Any) -> np.ndarray:
    """The account's allowance of each attempt, in units of K·P."""
    _, rows = energies(loaded)
    size = loaded.arms[0].receiver.codec.latent_size
    return rows["allowance"].astype(float) / (size * power_of(size))


@pytest.mark.parametrize("law", ["gaussian", "signs", "tone"])
@pytest.mark.parametrize("epsilon", [-10.0, 0.0, 6.0])
@pytest.mark.parametrize("energy", [0.35, 3.3, 100.0])
def test_what_is_spent_is_the_account_or_what_was_wanted_whichever_is_less(law, epsilon, energy):
    budget = {"norm": "psr_db", "epsilon": epsilon}
    spent, rows = energies(jam(20, law=law, budget=budget, activity={"energy": energy}))
    each = 10 ** (epsilon / 10)
    assert spent.sum() == pytest.approx(min(energy, 20 * each), rel=1e-6)
    whole = int(min(20, energy / each))
    assert spent[:whole] == pytest.approx(np.full(whole, each), rel=1e-5)
    if whole < 20:
        assert spent[whole] == pytest.approx(energy - whole * each, rel=1e-5)
        assert (spent[whole + 1 :] == 0).all()
        assert (np.array(rows["verdict"][whole + 1 :]) == "idle").all()
    assert set(rows["verdict"][: whole + (whole < 20)]) == {"ok"}


@pytest.mark.parametrize("law", ["signs", "tone"])
@pytest.mark.parametrize("width", [8, 6])
def test_parts_of_codewords_are_booked_by_their_symbols(law: str, width: int):
    activity = {"duty_cycle": 0.4, "period_s": 1.25, "energy": 4.0}
    loaded = jam(30, width, law=law, activity=activity)
    energy, _ = energies(loaded)
    number = np.arange(30 * width // 2).reshape(30, -1)
    wanted = (number % 5 < 2).mean(axis=1)
    before = np.concatenate([[0.0], np.cumsum(wanted)[:-1]])
    expected = np.clip(4.0 - before, 0.0, wanted)
    assert energy == pytest.approx(expected, abs=1e-5)
    assert energy.sum() == pytest.approx(4.0, rel=1e-6)


def test_of_an_odd_codeword_every_value_is_booked():
    # Three values are two symbols: of ± ε each the first holds two thirds of the energy.
    activity = {"duty_cycle": 0.5, "period_s": 0.5, "energy": 50.0}
    energy, _ = energies(jam(20, 3, law="signs", activity=activity))
    assert energy == pytest.approx(np.full(20, 2 / 3), rel=1e-5)


@settings(max_examples=150)
@given(
    law=st.sampled_from(LAWS),
    norm=st.sampled_from(NORMS),
    epsilon=st.floats(-3, 3),
    allowance=st.floats(1e-6, 1e6),
    power=st.floats(1e-3, 1e3),
    reached=st.integers(0, 5),
)
def test_an_allowance_is_kept_to_the_last_digit_and_used_where_more_was_wanted(
    law: str, norm: str, epsilon: float, allowance: float, power: float, reached: int
):
    budget = Budget(norm=norm, epsilon=10 * epsilon if norm == "psr_db" else 10**epsilon)
    free = Noise(law=law, budget=budget)
    bound = Noise(law=law, budget=budget, activity=Activity(energy=1.0))
    nothing, decode = latents(4, 5), LinearDecoder([1.0] * 5)
    reach = (torch.arange(5) < reached).expand(4, 5)
    wanted, given_ = (
        jammer.attack(nothing, rows, reach).delta.double().square().sum(dim=1).numpy()
        for jammer, rows in (
            (free, meet(free, nothing, decode, power=power)),
            (
                bound,
                dataclasses.replace(
                    meet(bound, nothing, decode, power=power), allowance=np.full(4, allowance)
                ),
            ),
        )
    )
    assert (given_ <= allowance).all()
    assert given_ == pytest.approx(np.minimum(wanted, allowance), rel=1e-6)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    law=st.sampled_from(LAWS),
    norm=st.sampled_from(NORMS),
    epsilon=st.floats(-2, 2),
    energy=st.floats(0.01, 30),
    duty=st.sampled_from([1.0, 0.5, 0.3]),
    every=st.integers(1, 3),
    place=st.sampled_from(["relay", "over_the_air"]),
    latent_size=st.sampled_from([7, 8]),
)
def test_no_law_and_no_norm_ever_spends_more_than_its_account(
    law: str,
    norm: str,
    epsilon: float,
    energy: float,
    duty: float,
    every: int,
    place: str,
    latent_size: int,
):
    budget = {"norm": norm, "epsilon": 5 * epsilon if norm == "psr_db" else 10**epsilon}
    activity = {"energy": energy, "every": every}
    activity |= {"duty_cycle": duty, "period_s": 2.7} if duty < 1 else {}
    loaded = jam(
        12, latent_size, law=law, budget=budget, activity=activity, access={"place": place}
    )
    spent, rows = energies(loaded)
    allowed = rows["allowance"].astype(float) / (latent_size * power_of(latent_size))
    assert spent.sum() <= energy * (1 + 1e-12)
    assert (spent <= allowed * (1 + 1e-12)).all()
    # The account is used up, or every request was granted.
    assert allowed.sum() <= energy * (1 + 1e-12)
    idle = np.array(rows["verdict"]) == "idle"
    assert (spent[idle] == 0).all()
    assert (spent[~idle] > 0).all()


def test_an_account_is_spent_in_the_order_of_time_not_of_messages():
    # Lost messages are repeated, later than first attempts sent meanwhile.
    link = {
        "latency_s": 0.5,
        "symbol_rate_hz": RATE_HZ,
        "loss": 0.4,
        "max_attempts": 3,
        "timeout_s": 2.0,
    }
    loaded = jam(30, activity={"energy": 9.5}, changes={"link": link})
    spent, rows = energies(loaded)
    order = np.argsort(rows["began_s"].astype(float), kind="stable")
    assert (np.diff(order) != 1).any()
    assert spent[order][:9] == pytest.approx(np.ones(9), rel=1e-5)
    assert spent[order][9] == pytest.approx(0.5, rel=1e-5)
    assert (spent[order][10:] == 0).all()


def test_what_subtraction_rounds_off_an_account_is_no_energy_to_spend():
    # An account of two, less twenty codewords of a tenth each, leaves a rounding error.
    jammer = {"budget": {"norm": "psr_db", "epsilon": -10.0}, "activity": {"energy": 2.0}}
    spent, rows = energies(jam(30, 10, **jammer))
    assert spent[:20] == pytest.approx(np.full(20, 0.1), rel=1e-5)
    assert (spent[20:] == 0).all()
    assert (np.array(rows["verdict"][20:]) == "idle").all()


def test_an_account_binds_its_owner_and_nobody_else():
    miser = {"kind": "noise", "name": "miser", "law": "signs", "activity": {"energy": 2.5}}
    other = {"kind": "noise", "name": "other", "law": "tone"}
    budgets = {"budget": {"norm": "psr_db", "epsilon": 0.0}}
    both = jam(10, changes={"path": [miser | budgets, other | budgets]})
    alone = jam(10, changes={"path": [other | budgets]})
    spent, rows = energies(both)
    _, calm = energies(alone)
    assert (np.abs(spent[:3] - 1.0) > 1e-3).all()
    assert spent[3:] == pytest.approx(np.ones(7), rel=1e-5)
    assert (rows["mse_passive"][3:] == calm["mse_passive"][3:]).all()


STUDY: dict[str, Any] = {
    "seed": 5,
    "source": {
        "kind": "dataset",
        "split": "train",
        "count": 60,
        "arrivals": {"kind": "poisson", "rate_hz": 30},
    },
    "link": {
        "latency_s": 0.05,
        "symbol_rate_hz": 200,
        "loss": 0.2,
        "max_attempts": 3,
        "timeout_s": 0.2,
    },
    "path": [
        {
            "kind": "noise",
            "name": "jammer",
            "budget": {"norm": "psr_db", "epsilon": 0.0},
            "activity": {"duty_cycle": 0.5, "period_s": 0.11, "energy": 6.5},
        },
        {"kind": "awgn", "snr_db": 20},
    ],
    "receivers": {
        "watchful": {
            "codec": {"kind": "linear", "latent_size": 9},
            "detector": {"kind": "latent-density", "false_alarm": 0.1},
        }
    },
    "metrics": ["mse"],
    "sweep": {"jammer.law": LAWS, "jammer.budget.epsilon": [-3, 3]},
    "block_rows": 16,
}


def test_the_account_is_spent_alike_whatever_waits_for_what(tmp_path: Path):
    assert_waiting_changes_nothing(STUDY, tmp_path)
    with Ledger.open(tmp_path / "1" / "ledger.sqlite") as ledger:
        header = ledger.header()
        limit = 6.5 * 9 * header.calibration.power(0)
        spent = ledger.rows(
            "SELECT TOTAL(a.delta_l2 * a.delta_l2), TOTAL(a.allowance) FROM attempt a"
            " GROUP BY a.transmission / 60"
        )
        for energy, granted in spent:
            assert 0.5 * limit < energy <= limit
            assert granted == pytest.approx(limit, rel=1e-9)


def test_an_account_survives_its_owner_being_killed(tmp_path: Path):
    study = STUDY | {"source": STUDY["source"] | {"count": 400}, "block_rows": 32}
    study["sweep"] = {"jammer.budget.epsilon": [-3, 3]}
    study["path"] = [STUDY["path"][0] | {"activity": {"energy": 120.5}}, STUDY["path"][1]]
    file, struck = tmp_path / "study.yaml", tmp_path / "struck"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    channelsim.run(file, out=tmp_path / "calm")
    start = [sys.executable, "-m", "channelsim", "run", str(file), "--quiet"]
    child = subprocess.Popen(
        [*start, "--out", str(struck)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + PATIENCE_S
    while committed(struck) <= 50 and time.monotonic() < deadline:
        assert child.poll() is None, "the run was over before it could be killed: make it longer"
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=PATIENCE_S)
    assert child.returncode == -signal.SIGKILL
    channelsim.run(file, out=struck, resume=True)
    assert_equal_ledgers(tmp_path / "calm", struck)


def committed(folder: Path) -> int:
    """Number of attempts visible to a second reader."""
    try:
        with Ledger.open(folder / "ledger.sqlite") as ledger:
            return int(next(ledger.rows("SELECT count(*) FROM attempt"))[0])
    except (channelsim.support.errors.ChannelsimError, sqlite3.Error):
        return 0


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"law": "tune"}, "Did you mean tone?"),
        ({"law": "tone", "offset": 0.6}, "offset: must be at most 0.5, was given 0.6"),
        ({"offset": 0.1}, "offset is for law: tone, but law is gaussian"),
        ({"activity": {"duty_cycle": 0.5}}, "a duty_cycle below 1 needs period_s"),
        ({"activity": {"duty_cycle": 0}}, "duty_cycle must be in (0, 1], not 0"),
        ({"activity": {"windows": [[2, 1]]}}, "window [2, 1] must end after it begins"),
        ({"activity": {"energy": 0}}, "energy: must be more than 0, was given 0"),
        ({"activity": {"every": 2, "first": 2}}, "first must be below every (2), not 2"),
        ({"activity": {"classes": [17]}}, "class 17 is not among the images that are sent"),
        ({"activity": {"louder_than_db": 3}}, "louder_than_db needs the codeword"),
        (
            {"activity": {"louder_than_db": 3, "energy": 1}, "access": {"listen_symbols": 1}},
            "energy is booked before a codeword is seen",
        ),
    ],
)
def test_a_mistake_is_told_in_a_sentence(fields: dict[str, Any], said: str):
    with pytest.raises(InputError) as error:
        jam(**fields)
    assert said in error.value.message
