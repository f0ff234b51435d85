"""Keys under ``zip`` take their values together instead of in all combinations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import channelsim
from channelsim.analysis.names import following
from channelsim.scenario import Scenario
from channelsim.support.errors import InputError

BASE: dict[str, Any] = {
    "source": {"kind": "dataset", "count": 4},
    "path": [
        {"kind": "noise", "name": "mallory", "budget": {"norm": "linf", "epsilon": 1.0}},
        {"kind": "awgn", "snr_db": 10.0},
    ],
    "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 8}}},
    "sweep": {
        "mallory.budget.epsilon": [0.0, 0.5],
        "awgn.snr_db": [0, 10, 20],
        "plain.codec.latent_size": [4, 8, 8],
    },
    "zip": ["awgn.snr_db", "plain.codec.latent_size"],
}


def points(scenario: Scenario) -> list[tuple[Any, ...]]:
    return [tuple(arm.swept.values()) for arm in scenario.arms]


def refusal(**changes: Any) -> str:
    with pytest.raises(InputError) as error:
        Scenario.load({**BASE, **changes})
    return error.value.message


def test_linked_keys_move_together_and_the_others_are_combined_with_them() -> None:
    assert points(Scenario.load(BASE)) == [
        (epsilon, snr, size) for epsilon in (0.0, 0.5) for snr, size in ((0, 4), (10, 8), (20, 8))
    ]


def test_several_groups_are_combined_with_each_other() -> None:
    sweep = {**BASE["sweep"], "plain.latency_s": [0.0, 0.1]}
    groups = [BASE["zip"], ["plain.latency_s", "mallory.budget.epsilon"]]
    found = points(Scenario.load({**BASE, "sweep": sweep, "zip": groups}))
    assert len(found) == 6
    assert {(one[0], one[3]) for one in found} == {(0.0, 0.0), (0.5, 0.1)}


def test_the_resolved_scenario_is_the_same_one_and_without_zip_nothing_changes() -> None:
    linked = Scenario.load(BASE)
    again = Scenario.load(linked.resolved)
    assert (again.hash, points(again)) == (linked.hash, points(linked))
    plain = {key: value for key, value in BASE.items() if key != "zip"}
    plain["sweep"] = {**BASE["sweep"], "plain.codec.latent_size": [4, 8]}
    assert "zip" not in Scenario.load(plain).resolved
    assert Scenario.load(plain).hash == Scenario.load({**plain, "zip": []}).hash


def test_every_arm_is_what_a_run_of_its_values_alone_records(tmp_path: Path) -> None:
    frame = channelsim.run(BASE, out=tmp_path / "all").frame()
    own = frame[(frame["mallory.budget.epsilon"] == 0.5) & (frame["awgn.snr_db"] == 10)]
    values = {"mallory.budget.epsilon": 0.5, "awgn.snr_db": 10, "plain.codec.latent_size": 8}
    alone = channelsim.run(BASE, out=tmp_path / "one", set=values).frame()
    assert len(own) == len(alone) == 4
    assert own["mse_source"].tolist() == alone["mse_source"].tolist()


def test_setting_a_linked_key_pins_it_and_frees_the_other() -> None:
    pinned = Scenario.load(BASE, set={"awgn.snr_db": 5.0, "sweep.plain.codec.latent_size": [4, 8]})
    assert {arm.swept["plain.codec.latent_size"] for arm in pinned.arms} == {4, 8}
    assert "zip" not in pinned.resolved


def test_values_that_were_told_apart_by_a_pinned_key_are_one_point() -> None:
    pinned = Scenario.load(BASE, set={"awgn.snr_db": 5.0})
    assert points(pinned) == [(0.0, 4), (0.0, 8), (0.5, 4), (0.5, 8)]


def test_mistakes_get_one_sentence() -> None:
    assert "zip[1]: 'awgn.snr' is not swept" in refusal(zip=["mallory.budget.epsilon", "awgn.snr"])
    assert "awgn.snr_db has 3, mallory.budget.epsilon has 2" in refusal(
        zip=["awgn.snr_db", "mallory.budget.epsilon"]
    )
    assert "two or more keys" in refusal(zip=["awgn.snr_db"])
    assert "is in zip twice" in refusal(zip=["awgn.snr_db", "awgn.snr_db"])
    assert "occurs twice" in refusal(
        sweep={"awgn.snr_db": [0, 0], "plain.codec.latent_size": [4, 4]}
    )


def test_what_changes_together_is_found_in_the_points_alone() -> None:
    linked = [{"a": a, "b": 10 * a, "c": c, "d": 1} for a in (0, 1) for c in (0, 1)]
    assert following(linked, "a") == {"b"}
    assert following(linked, "c") == frozenset()
