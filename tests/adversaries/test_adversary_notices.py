"""Notices before a run: keys of an adversary without effect, and adversaries that never act."""

from __future__ import annotations

from typing import Any

import pytest

from channelsim.scenario import Scenario

AWGN = {"kind": "awgn", "snr_db": 10}
FADING = [{"kind": "fading", "coherence_s": 1e-3}, AWGN, {"kind": "equaliser"}]
BUDGET = {"norm": "l2", "epsilon": 0.5}


def notices(*path: dict[str, Any], **changed: Any) -> tuple[str, ...]:
    arrivals = {"kind": "periodic", "rate_hz": 10}  # the last of 20 messages comes at 1.9 s
    study = {
        "source": {"kind": "dataset", "count": 20, "arrivals": arrivals},
        "path": list(path),
        "receivers": {"linear": {"codec": {"kind": "linear"}}},
        "metrics": ["mse"],
        "control": False,
    }
    return Scenario.load(study | changed).notices


def pgd(**access: Any) -> dict[str, Any]:
    return {"kind": "pgd", "goal": {"kind": "damage"}, "budget": BUDGET, "access": access}


def jammer(**activity: Any) -> dict[str, Any]:
    return {"kind": "noise", "budget": BUDGET, "activity": activity}


OWN = {"k_factor": 0}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([pgd(channel="stale", stale_s=0.1), AWGN], "pgd: channel: stale changes nothing"),
        ([pgd(channel="none"), AWGN], "pgd: channel: none changes nothing"),
        ([pgd(channel="none", own_path=OWN), AWGN], None),
        ([pgd(channel="none"), *FADING], None),
        ([pgd(expectation=4)], "pgd: expectation: 4 costs as many times the gradients"),
        ([pgd(expectation=4), AWGN], None),
        ([jammer(period_s=0.1), AWGN], "noise: period_s changes nothing"),
        ([jammer(period_s=0.1, duty_cycle=0.5), AWGN], None),
        ([jammer(windows=[[2, 3]]), AWGN], "begin at 2 s, and the last message arrives at 1.9 s"),
        ([jammer(windows=[[1.8, 3]]), AWGN], None),
        ([jammer(windows=[[-2, -1]]), AWGN], "end at -1 s, and the first message arrives at 0 s"),
    ],
)
def test_what_changes_nothing_is_said_before_the_run(path: list[dict[str, Any]], said: str | None):
    found = notices(*path)
    assert [said in notice for notice in found] == ([] if said is None else [True])


def test_what_acts_in_one_arm_of_a_sweep_is_there_for_a_reason():
    late = jammer(windows=[[2, 3]])
    swept = {"sweep": {"noise.activity.windows": [[[2, 3]], [[1, 2]]]}}
    assert notices(late, AWGN)
    assert notices(late, AWGN, **swept) == ()


def test_noise_beside_noise_of_the_same_law_is_said_to_tell_nothing():
    (notice,) = notices(jammer(), AWGN, control=True)
    assert "noise sends Gaussian noise" in notice
    assert "control: false" in notice
    assert notices(jammer() | {"law": "tone"}, AWGN, control=True) == ()
    # The control of an L∞ budget is random signs, which Gaussian noise is not.
    assert notices({**jammer(), "budget": {"norm": "linf", "epsilon": 1}}, control=True) == ()
    (notice,) = notices(jammer(), pgd(), AWGN, control=True)
    assert "noise and pgd act on one path" in notice
