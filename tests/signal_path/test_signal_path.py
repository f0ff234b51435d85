"""The signal plane as a whole: powers, budgets and verdicts as recorded in the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.small_runs import MANY, attempts, mean_db, scenario


def test_ten_decibels_are_ten_decibels_for_quiet_and_for_loud_rows() -> None:
    rows = attempts(path=[{"kind": "awgn", "snr_db": 10.0}])
    # 2,000 rows of 64 values: the standard deviation of the mean noise power is 0.017 dB.
    assert mean_db(rows["snr_measured_db"]) == pytest.approx(10.0, abs=0.05)
    # Digits differ widely in power. A quiet row gets as much noise as a loud one ...
    own = rows["snr_row_db"].astype(float)
    loud = own > np.median(own)
    assert own[loud].mean() - own[~loud].mean() > 3
    measured = rows["snr_measured_db"]
    assert mean_db(measured[loud]) == pytest.approx(mean_db(measured[~loud]), abs=0.1)
    # ... so its own SNR is lower; over the training split, the average is the nominal SNR.
    assert 10 * np.log10(np.mean(10 ** (own / 10))) == pytest.approx(10.0, abs=0.1)


def test_two_noises_add_their_powers() -> None:
    path = [{"kind": "awgn", "name": name, "snr_db": 10.0} for name in ("first", "second")]
    rows = attempts(path=path)
    assert rows["snr_db"] == pytest.approx(10 - 10 * np.log10(2))
    assert mean_db(rows["snr_measured_db"]) == pytest.approx(10 - 10 * np.log10(2), abs=0.05)


@pytest.mark.parametrize("level", ["native", "unit"])
@pytest.mark.parametrize("mode", ["average", "codeword"])
def test_a_power_ratio_is_kept_in_every_power_mode(level: str, mode: str) -> None:
    budget = {"norm": "psr_db", "epsilon": -7.0}
    path = [
        {"kind": "pgd", "goal": {"kind": "damage"}, "budget": budget, "step": "l2", "steps": 2},
        {"kind": "awgn", "snr_db": 10.0},
    ]
    rows = attempts(path=path, power={"level": level, "mode": mode})
    assert rows["psr_db"].astype(float) == pytest.approx(-7.0, abs=0.05)
    assert rows["psr_received_db"].astype(float) == pytest.approx(-7.0, abs=0.05)
    assert mean_db(rows["snr_measured_db"]) == pytest.approx(10.0, abs=0.05)
    if mode == "codeword":  # every row has the same power: its own ratios are the nominal ones
        assert rows["snr_row_db"].astype(float) == pytest.approx(10.0, abs=1e-3)
        assert rows["psr_row_db"].astype(float) == pytest.approx(-7.0, abs=0.05)


def test_a_lost_amplitude_costs_quality_and_a_known_one_does_not() -> None:
    known = attempts(power={"mode": "codeword", "amplitude": "known"})
    lost = attempts(power={"mode": "codeword", "amplitude": "lost"})
    plain = attempts()
    assert known["mse_source"] == pytest.approx(plain["mse_source"], rel=1e-4)
    assert lost["mse_source"].mean() > 1.05 * plain["mse_source"].mean()


def test_nothing_injected_is_the_clean_run_bit_for_bit() -> None:
    noise = {"kind": "awgn", "snr_db": 10.0}
    budget = {"norm": "l2", "epsilon": 0.0}
    off = {"kind": "pgd", "goal": {"kind": "damage"}, "budget": budget}
    # The literal untargeted attack computes all its steps and never moves.
    literal = off | {"budget": {"norm": "l2", "epsilon": 1.0}, "literal": True}
    clean = attempts(path=[noise])
    for adversary in (off, literal):
        rows = attempts(path=[adversary, noise])
        for column in ("mse_source", "mse_clean", "quality_mse", "snr_measured_db"):
            assert (rows[column] == clean[column]).all(), column
        assert (rows["delta_l2"] == 0).all()
        assert all(np.isnan(np.array(rows["psr_db"], dtype=float)))
    assert set(attempts(path=[off, noise])["verdict"]) == {"off"}
    assert set(attempts(path=[literal, noise])["verdict"]) == {"zero_gradient"}


def test_the_best_l2_attack_on_a_linear_decoder_does_damage_epsilon_squared_lambda_1() -> None:
    gains = [3.0, 2.0, *([1.0] * 6)]
    receivers = {"plain": {"codec": {"kind": "linear", "latent_size": 8, "gains": gains}}}
    goal = {"kind": "damage", "reference": "clean"}
    attack = {"kind": "pgd", "goal": goal, "budget": {"norm": "l2", "epsilon": 0.7}}
    # Steepest ascent of a quadratic is power iteration: (2/3)² per step between the two largest.
    strong = attack | {"step": "l2", "step_size": 10.0, "steps": 40, "start": "sphere"}
    rows = attempts(path=[strong], receivers=receivers, control=True)
    largest = 0.7**2 * 3.0**2 / 1024  # mean over the pixels
    assert rows["mse_passive"] == pytest.approx(largest, rel=1e-4)
    # Noise of the same norm meets the average eigenvalue instead: gain 10·log10(λ1·d / tr M).
    gain = rows["mse_passive"].mean() / rows["control_mse_passive"].mean()
    assert 10 * np.log10(gain) == pytest.approx(10 * np.log10(9 * 8 / (9 + 4 + 6)), abs=0.15)


def test_the_control_has_the_norm_of_the_attack() -> None:
    # An isometric decoder turns equal norms into equal damage, row by row.
    for norm in ("l2", "linf"):
        path = [
            {
                "kind": "pgd",
                "goal": {"kind": "image", "target": "black"},
                "budget": {"norm": norm, "epsilon": 0.5},
                "step_size": 0.2,
            }
        ]
        rows = attempts(path=path, control=True)
        assert rows["control_mse_passive"] == pytest.approx(rows["mse_passive"], rel=1e-4)
        assert rows["mse_passive"] * 1024 == pytest.approx(rows["delta_l2"] ** 2, rel=1e-4)


def test_of_two_adversaries_both_are_felt_and_the_worse_verdict_is_told() -> None:
    first = {"kind": "noise", "name": "first", "budget": {"norm": "l2", "epsilon": 0.3}}
    second = {"kind": "noise", "name": "second", "budget": {"norm": "l2", "epsilon": 0.4}}
    rows = attempts(path=[first, second])
    # Independent directions: energies add on average.
    assert (rows["delta_l2"] ** 2).mean() == pytest.approx(0.25, rel=0.02)
    still = {
        "kind": "pgd",
        "goal": {"kind": "damage"},
        "budget": {"norm": "l2", "epsilon": 1.0},
        "literal": True,
    }
    assert set(attempts(path=[still, first])["verdict"]) == {"zero_gradient"}


# --- distance to the target ----------------------------------------------------------------------


def aiming(target: str, **more: Any) -> dict[str, Any]:
    goal = {"kind": "image", "target": target} | more
    return {"kind": "pgd", "goal": goal, "budget": {"norm": "l2", "epsilon": 0.5}, "steps": 3}


def test_the_distance_to_a_black_target_is_the_energy_of_what_is_seen() -> None:
    # For any picture p: mse(p, black) = mean p², and mse(p, white) − mse(p, black) = 1 − 2·mean p.
    black = attempts(path=[aiming("black")], source=MANY | {"count": 40}, control=True)
    white = attempts(path=[aiming("white")], source=MANY | {"count": 40}, control=True)
    off = {"budget": {"norm": "l2", "epsilon": 0.0}}
    still_black = attempts(path=[aiming("black") | off], source=MANY | {"count": 40})
    still_white = attempts(path=[aiming("white") | off], source=MANY | {"count": 40})
    # Without an attack the target is measured all the same, and both show one picture.
    assert (still_black["mse_source"] == still_white["mse_source"]).all()
    apart = still_white["mse_target"] - still_black["mse_target"]
    images = scenario(source=MANY | {"count": 40}).source.load().images[:40]
    assert apart.mean() == pytest.approx(1 - 2 * float(images.mean()), abs=0.05)
    # Each attack comes closer to its target; noise of the same norm does not.
    for attacked, still in ((black, still_black), (white, still_white)):
        assert (attacked["mse_target"] < still["mse_target"]).all()
        assert attacked["control_mse_target"].mean() > attacked["mse_target"].mean()


def test_an_isometric_decoder_comes_as_close_to_its_own_reversal_as_the_budget_allows() -> None:
    # The target 1 − g(z) lies on the line through g(z) and the grey of 0.5; in latent space an
    # unbounded attack can only reach its projection. With no budget: mean (1 − 2·g(z))².
    off = aiming("inverse") | {"budget": {"norm": "l2", "epsilon": 0.0}}
    rows = attempts(path=[off], source=MANY | {"count": 40}, metrics=["mse", "psnr"])
    assert rows["psnr_target"] == pytest.approx(-10 * np.log10(rows["mse_target"]), abs=1e-4)
    reached = attempts(path=[aiming("inverse")], source=MANY | {"count": 40})
    assert (reached["mse_target"] < rows["mse_target"]).all()


def test_a_target_drawn_per_message_stays_the_same_for_every_budget() -> None:
    # The target is keyed by adversary and message: g(z) is held against the same picture.
    off = {"budget": {"norm": "l2", "epsilon": 0.0}}
    once, again = (
        attempts(path=[aiming(target) | off], source=MANY | {"count": 30}, block_rows=rows)
        for target, rows in (("random", 8), ("random", 32))
    )
    assert once["mse_target"] == pytest.approx(again["mse_target"], rel=1e-6)
    # Uniform pixels are 1/12 around 1/2: E (p − u)² = 1/12 + (p − 1/2)², for 1,024 pixels each.
    black = attempts(path=[aiming("black") | off], source=MANY | {"count": 30})
    white = attempts(path=[aiming("white") | off], source=MANY | {"count": 30})
    around_half = (black["mse_target"] + white["mse_target"]) / 2 - 1 / 4
    assert once["mse_target"].mean() == pytest.approx(around_half.mean() + 1 / 12, abs=0.005)


def test_damage_and_plain_noise_have_no_target() -> None:
    damage = {"kind": "pgd", "goal": {"kind": "damage"}, "budget": {"norm": "l2", "epsilon": 0.5}}
    for path in ([damage], [{"kind": "awgn", "snr_db": 10.0}]):
        rows = attempts(path=path, source=MANY | {"count": 5}, control=True)
        for column in ("mse_target", "control_mse_target"):
            assert np.isnan(rows[column].astype(float)).all()


def test_of_two_adversaries_the_target_is_the_first_ones_that_has_one() -> None:
    damage = {"kind": "noise", "name": "noise", "budget": {"norm": "l2", "epsilon": 0.5}}
    off = {"budget": {"norm": "l2", "epsilon": 0.0}}
    alone = attempts(path=[aiming("black") | off], source=MANY | {"count": 5})
    both = attempts(
        path=[
            damage | off,
            aiming("black") | off | {"name": "first"},
            aiming("white") | off | {"name": "second"},
        ],
        source=MANY | {"count": 5},
    )
    assert (both["mse_target"] == alone["mse_target"]).all()
