"""A larger budget with less effect is a failing attack: detected by its objective, and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, created, sweep

import channelsim
from channelsim.analysis.caveats import warnings
from channelsim.analysis.summary import Summary, summarise
from channelsim.contracts.records import ArmRecord

N = 60
NOISE = np.random.default_rng(3).normal(0, 0.02, N)
FAILING = "a failing attack, not a robust receiver"


def path(**stage: Any) -> dict[str, Any]:
    mallory = {"kind": "pgd", "name": "mallory", "budget": {"norm": "linf"}} | stage
    return {"scenario": {"path": [mallory]}}


def run_of(
    folder: Path, objective: dict[float, Any], column: str = "mse_clean", **more: Any
) -> Summary:
    """A run whose attack reaches these values of its objective; SSIM falls with every budget."""
    settings: dict[str, Any] = {"metrics": ["mse", "ssim"]} | path() | more
    with created(folder, sweep(["kld"], list(objective)), N, **settings) as ledger:
        for arm, (epsilon, value) in enumerate(objective.items()):
            off = {"verdict": "off", "delta_l2": 0.0, "psr_db": None, "psr_received_db": None}
            columns = {column: value + NOISE, "ssim_source": 0.9 - 0.1 * arm}
            add_arm(ledger, arm, **(columns | ({} if epsilon else off)))
        return summarise(ledger)


def test_an_attack_that_does_less_with_more_is_called_failing(tmp_path: Path):
    found = run_of(tmp_path, {0.0: 0.0, 0.5: 0.4, 1.0: 0.2, 2.0: 0.6})
    (one,) = found.reversals
    assert (one.smaller, one.larger) == (0.5, 1.0)
    assert one.less.value == pytest.approx(0.2)
    (said,) = [text for text in warnings(found) if FAILING in text]
    assert said.startswith("kld: at ε 0.5 → 1 the larger budget does less")
    assert "MSE against g(z)" in said


def test_the_envelope_takes_each_messages_worst_budget_up_to_this_one(tmp_path: Path):
    # Half of the messages are worst at 0.5, the others at 1; SSIM there is 0.8 and 0.7.
    half = np.where(np.arange(N) % 2, 0.9, 0.1)
    found = run_of(tmp_path, {0.0: 0.0, 0.5: half, 1.0: 0.3})
    at = {one.epsilon: one for one in found.envelopes}
    assert at[0.0].metrics["ssim"].value == pytest.approx(0.9)
    assert at[0.5].metrics["ssim"].value == pytest.approx(0.8)
    assert at[1.0].metrics["ssim"].value == pytest.approx(0.75)
    assert at[1.0].share == pytest.approx(0.5)
    rows = found.envelope_rows()
    assert rows[-1]["envelope_ssim_source"] == pytest.approx(0.75)


def test_only_the_objective_counts_and_an_mse_attack_may_raise_ssim(tmp_path: Path):
    settings: dict[str, Any] = {"metrics": ["mse", "ssim"]} | path()
    with created(tmp_path, sweep(["kld"], [0.5, 1.0]), N, **settings) as ledger:
        add_arm(ledger, 0, mse_clean=0.2 + NOISE, ssim_clean=0.3, ssim_source=0.3)
        add_arm(ledger, 1, mse_clean=0.4 + NOISE, ssim_clean=0.7, ssim_source=0.7)
        assert summarise(ledger).reversals == ()


def test_a_difference_that_may_be_chance_is_not_called_a_failure(tmp_path: Path):
    other = np.random.default_rng(4).normal(0, 0.5, N)
    found = run_of(tmp_path, {0.5: 0.40, 1.0: 0.39 + other - other.mean()})
    assert found.reversals == ()
    assert found.envelopes == ()


def test_an_attack_towards_an_image_fails_where_more_budget_ends_farther_from_it(tmp_path: Path):
    goal = {"goal": {"kind": "image", "target": "black", "loss": "mse"}}
    near = run_of(tmp_path, {0.5: 0.10, 1.0: 0.05}, column="mse_target", **path(**goal))
    assert near.reversals == ()
    (tmp_path / "far").mkdir()
    far = run_of(tmp_path / "far", {0.5: 0.05, 1.0: 0.10}, column="mse_target", **path(**goal))
    (one,) = far.reversals
    assert one.towards
    assert any("MSE against its target" in text for text in warnings(far))


def test_a_loss_that_is_not_measured_is_not_guessed_at(tmp_path: Path):
    goal = {"goal": {"kind": "damage", "loss": "rfd"}}
    assert run_of(tmp_path, {0.5: 0.4, 1.0: 0.2}, **path(**goal)).reversals == ()


@pytest.mark.parametrize(
    "closed", [{"max_attempts": 2}, {"judged": True}], ids=["retransmissions", "a detector"]
)
def test_where_receivers_ask_again_or_refuse_more_power_may_do_less(
    tmp_path: Path, closed: dict[str, Any]
):
    settings: dict[str, Any] = {"metrics": ["mse"]} | path() | closed
    with created(tmp_path, sweep(["kld"], [0.5, 1.0]), N, **settings) as ledger:
        add_arm(ledger, 0, mse_clean=0.4 + NOISE)
        add_arm(ledger, 1, mse_clean=0.2 + NOISE)
        assert summarise(ledger).reversals == ()


def test_noise_has_no_objective_to_fail(tmp_path: Path):
    found = run_of(tmp_path, {0.5: 0.4, 1.0: 0.2}, **path(kind="noise"))
    assert found.reversals == ()


def test_a_codecs_own_loss_is_not_measured_and_so_not_judged(tmp_path: Path):
    def turned(raised: dict[str, Any]) -> int:
        folder = tmp_path / next(iter(raised))
        folder.mkdir()
        return len(run_of(folder, {0.5: 0.4, 1.0: 0.2}, attack_losses=raised).reversals)

    assert turned({"kld": ["mallory"]}) == 0
    assert turned({"other": ["mallory"]}) == 1


def test_an_unfinished_run_is_not_judged_by_what_is_missing(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5, 1.0]), N, ["mse"], **path()) as ledger:
        add_arm(ledger, 0, mse_clean=0.4 + NOISE)
        add_arm(ledger, 1, messages=range(10), mse_clean=0.2)
        assert summarise(ledger).reversals == ()


def test_curves_at_other_swept_values_are_judged_each_for_itself(tmp_path: Path):
    arms = [
        ArmRecord(2 * i + j, "kld", {"snr_db": snr, EPSILON: epsilon})
        for i, snr in enumerate((0, 10))
        for j, epsilon in enumerate((0.5, 1.0))
    ]
    with created(tmp_path, arms, N, ["mse"], **path()) as ledger:
        for arm, value in enumerate((0.2, 0.4, 0.4, 0.2)):
            add_arm(ledger, arm, mse_clean=value + NOISE)
        found = summarise(ledger)
    (one,) = found.reversals
    assert one.fixed == {"snr_db": 10}
    assert {e.fixed["snr_db"] for e in found.envelopes} == {10}


def test_an_attack_whose_step_is_too_long_for_its_steps_is_found_in_a_real_run(tmp_path: Path):
    # One sign step of full length leaves the region where the gradient is valid.
    study = {
        "seed": 3,
        "source": {"kind": "dataset", "count": 40},
        "path": [
            {
                "kind": "pgd",
                "name": "mallory",
                "steps": 1,
                "step_size": 1.0,
                "goal": {"kind": "image", "target": "black"},
                "budget": {"norm": "linf", "epsilon": 0.5},
            }
        ],
        "receivers": {"kld": {"codec": "kld-vae"}},
        "metrics": ["mse"],
        "sweep": {"mallory.budget.epsilon": [0.0, 0.5, 8.0]},
    }
    found = channelsim.run(study, out=tmp_path / "run").summary()
    assert [(one.smaller, one.larger) for one in found.reversals] == [(0.5, 8.0)]
    by_budget = [point.metrics["mse"].target for point in found.points]
    assert by_budget[2] is not None
    assert by_budget[1] is not None
    assert by_budget[2].value > by_budget[1].value
