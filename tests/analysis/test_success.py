"""Success is counted by the goal's criterion, message by message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, created, sweep
from scipy.stats import binom, binomtest

import channelsim
from channelsim.analysis.findings import successes_compared, towards_target
from channelsim.analysis.success import mcnemar
from channelsim.analysis.summary import Summary, summarise
from channelsim.contracts.records import ArmRecord
from channelsim.scenario import Scenario
from channelsim.support.errors import InputError

N = 40
NEAR, FAR = 0.01, 0.05  # on either side of the criterion


def study(success: Any = None, **more: Any) -> dict[str, Any]:
    goal = {"kind": "image", "target": "black"} | ({} if success is None else {"success": success})
    mallory = {"kind": "pgd", "name": "mallory", "goal": goal}
    return {
        "seed": 7,
        "source": {"kind": "dataset", "count": 60},
        "path": [mallory | {"budget": {"norm": "linf", "epsilon": 0.6}}],
        "receivers": {"kld": {"codec": "kld-vae"}, "mixup": {"codec": "kld-vae-mixup"}},
        "metrics": ["mse"],
        "images": 0,
    } | more


def recorded(folder: Path, *arms: dict[str, Any], **more: Any) -> Summary:
    """A run whose goal is met at a distance of 0.02; one receiver per arm."""
    goal = {"kind": "image", "target": "black", "success": {"distance": 0.02, "label": False}}
    path = [{"kind": "pgd", "name": "mallory", "goal": goal, "budget": {"norm": "linf"}}]
    names = [f"r{number}" for number in range(len(arms))]
    settings: dict[str, Any] = {"scenario": {"path": path}, "passive_columns": True} | more
    with created(folder, sweep(names, [0.5]), N, **settings) as ledger:
        for number, columns in enumerate(arms):
            usual = {"passive_mse_target": FAR, "control_mse_target": FAR, "mse_target": FAR}
            add_arm(ledger, number, **(usual | columns))
        return summarise(ledger)


def first(k: int) -> np.ndarray:
    """Near for the first k messages, far for the others."""
    return np.where(np.arange(N) < k, NEAR, FAR)


def test_only_messages_that_missed_without_the_attack_are_counted(tmp_path: Path):
    summary = recorded(tmp_path, {"passive_mse_target": first(10), "mse_target": first(25)})
    found = summary.points[0].success
    assert found is not None
    assert (found.messages, found.missing) == (40, 30)
    assert found.attack is not None
    exact = binomtest(15, 30).proportion_ci(method="exact")
    assert found.attack.value == pytest.approx(0.5)
    assert (found.attack.low, found.attack.high) == pytest.approx((exact.low, exact.high))
    assert found.noise is not None
    assert found.noise.value == 0.0
    said = towards_target(summary, "r0") or ""
    assert "Success, MSE to the target at most 0.02: of the 30 of 40 messages" in said
    assert summary.rows()[0]["success"] == pytest.approx(0.5)


def test_attack_and_noise_are_compared_by_messages_that_meet_it_with_one_alone(tmp_path: Path):
    both = {"mse_target": first(20), "control_mse_target": np.roll(first(8), 15)}
    found = recorded(tmp_path, both).points[0].success
    assert found is not None
    assert (found.only_attack, found.only_noise) == (15, 3)
    assert found.p == pytest.approx(2 * binom.cdf(3, 18, 0.5))


@pytest.mark.parametrize(
    ("one", "other", "p"), [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 22 / 1024), (0, 6, 2 / 64)]
)
def test_mcnemar_is_exact(one: int, other: int, p: float):
    assert mcnemar(one, other) == pytest.approx(p)


@pytest.mark.parametrize("fate", ["lost", "rejected"])
def test_a_message_that_did_not_arrive_has_not_been_met(tmp_path: Path, fate: str):
    # The fallback is black like the target: that is no success.
    delivered = np.where(np.arange(N) < 12, fate, "yes")
    found = (
        recorded(
            tmp_path,
            {"mse_target": NEAR, "delivered": delivered},
            judged=True,
        )
        .points[0]
        .success
    )
    assert found is not None
    assert found.attack is not None
    assert found.missing == 40
    assert found.attack.value == pytest.approx(28 / 40)


def test_noise_that_the_detector_refused_has_not_met_it_either(tmp_path: Path):
    refused = {"control_mse_target": NEAR, "control_accepted": (np.arange(N) >= 30).astype(int)}
    found = recorded(tmp_path, refused, judged=True).points[0].success
    assert found is not None
    assert found.noise is not None
    assert found.noise.value == pytest.approx(10 / 40)


def test_receivers_are_compared_on_messages_that_miss_at_all_of_them(tmp_path: Path):
    summary = recorded(
        tmp_path,
        {"passive_mse_target": first(10), "mse_target": first(20)},
        {"passive_mse_target": np.roll(first(5), 20), "mse_target": first(30)},
    )
    (one,) = summary.successes
    assert (one.missing, one.excluded) == (25, 15)
    r0, r1 = one.shares["r0"], one.shares["r1"]
    assert r0 is not None
    assert r1 is not None
    assert r0.value == pytest.approx(10 / 25)  # messages 10 to 19
    assert r1.value == pytest.approx(15 / 25)  # 10 to 19 and 25 to 29
    (said,) = successes_compared(summary)
    assert "on the 25 messages that miss it at all receivers" in said
    assert "(15 left out)" in said


def test_where_nothing_misses_nothing_is_a_success(tmp_path: Path):
    summary = recorded(tmp_path, {"passive_mse_target": NEAR, "mse_target": NEAR})
    found = summary.points[0].success
    assert found is not None
    assert found.attack is None
    assert "none of 40 messages misses it" in (towards_target(summary, "r0") or "")


def test_messages_of_one_image_do_not_count_as_so_many(tmp_path: Path):
    met = {"mse_target": np.where(np.arange(N) % 8 < 4, NEAR, FAR)}
    alone = recorded(tmp_path, met).points[0].success
    (tmp_path / "again").mkdir()
    tied = recorded(tmp_path / "again", met, calibration={"images": 8}).points[0].success
    assert alone is not None
    assert tied is not None
    assert alone.attack is not None
    assert tied.attack is not None
    assert tied.attack.value == alone.attack.value
    assert tied.attack.high - tied.attack.low > alone.attack.high - alone.attack.low


def test_a_ledger_without_the_passive_distance_claims_no_success(tmp_path: Path):
    goal = {"kind": "image", "target": "black", "success": {"distance": 0.02}}
    path = [{"kind": "pgd", "name": "mallory", "goal": goal, "budget": {"norm": "linf"}}]
    arms = [ArmRecord(0, "kld", {})]
    with created(tmp_path, arms, N, scenario={"path": path}) as ledger:
        add_arm(ledger, 0, mse_target=NEAR, control_mse_target=FAR)
        assert summarise(ledger).points[0].success is None


# --- in real runs ---------------------------------------------------------------------------------


def test_a_real_run_counts_what_its_ledger_holds(tmp_path: Path):
    run = channelsim.run(study({"distance": 0.03}), out=tmp_path / "run")
    table, summary = run.frame(), run.summary()
    for point in summary.points:
        own = table[table.arm == point.arm]
        missing = own[own.passive_mse_target > 0.03]
        assert point.success is not None
        assert point.success.missing == len(missing)
        assert point.success.attack is not None
        assert point.success.attack.value == pytest.approx((missing.mse_target <= 0.03).mean())
    assert len(summary.successes) == 1
    assert successes_compared(summary)


def test_the_label_of_the_target_may_be_the_criterion(tmp_path: Path):
    wanted = study({"label": True}, metrics=["mse", "label"])
    wanted["path"][0]["goal"]["target"] = "message"
    run = channelsim.run(wanted, out=tmp_path / "run")
    table, point = run.frame(), run.summary().points[0]
    own = table[(table.arm == 0) & (table.passive_label_target == 0)]
    assert point.success is not None
    assert point.success.criterion == "the target's label"
    assert point.success.missing == len(own)
    assert point.success.attack is not None
    assert point.success.attack.value == pytest.approx(own.label_target.mean())


def test_without_a_criterion_the_scenario_is_what_it_was_before_there_were_any():
    plain, stated = Scenario.load(study()), Scenario.load(study({"distance": 0.03}))
    assert "success" not in plain.resolved["path"][0]["goal"]
    assert stated.resolved["path"][0]["goal"]["success"] == {"distance": 0.03, "label": False}
    assert plain.hash != stated.hash
    assert Scenario.load(study()).hash == plain.hash
    assert Scenario.load(stated.resolved).hash == stated.hash


@pytest.mark.parametrize(
    ("success", "said"),
    [
        ({}, "success needs one criterion"),
        ({"distance": 0.1, "label": True}, "not both"),
        ({"distance": -1.0}, "success.distance"),
        ({"near": 0.1}, "near"),
        ({"label": True}, "add label to metrics"),
    ],
)
def test_a_criterion_that_cannot_be_told_is_refused(success: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        Scenario.load(study(success))


def test_a_distance_needs_the_loss_among_the_metrics():
    with pytest.raises(InputError, match="add mse to metrics"):
        Scenario.load(study({"distance": 0.1}, metrics=["ssim"]))
