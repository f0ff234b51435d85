"""The typed reader of a run's header, also of older ledgers."""

from __future__ import annotations

import pytest

from channelsim.contracts.run_header import RunHeader
from channelsim.support.errors import InputError

LEAST = {
    "seed": 7,
    "count": 10,
    "max_attempts": 2,
    "metrics": ["mse", "ssim"],
    "control": True,
    "swept_keys": ["mallory.budget.epsilon"],
}


def test_what_an_older_ledger_does_not_say_has_the_value_that_it_had() -> None:
    header = RunHeader(LEAST)
    assert (header.judged, header.passive_columns, header.contended) == (False, False, False)
    assert header.memory_s == ()
    assert header.image_shape is None
    assert header.scenario == {}
    assert header.primary == "mse"
    assert header.damage_metric == "mse"
    assert header.reach(0) == {}
    assert header.finished_s is None
    assert header.calibration.power(0) is None
    assert header.calibration.threshold(0) is None


@pytest.mark.parametrize("odd", [3, "text", [1]])
def test_a_section_of_another_kind_is_no_section(odd: object) -> None:
    header = RunHeader(LEAST | dict.fromkeys(("scenario", "calibration", "reach"), odd))
    for read in ("calibration", "scenario", "primary"):
        with pytest.raises(TypeError, match="a section of its header is"):
            getattr(header, read)
    with pytest.raises(TypeError):
        header.reach(0)
    with pytest.raises(TypeError):
        RunHeader(LEAST | {"calibration": {"power": odd}}).calibration.power(0)


def test_a_primary_metric_that_was_not_measured_is_damage() -> None:
    with pytest.raises(InputError, match="'lpips' as its primary metric, which was not measured"):
        _ = RunHeader(LEAST | {"scenario": {"primary": "lpips"}}).primary


def test_stages_of_the_users_own_are_read_with_what_they_declare() -> None:
    path = [{"use": "./mine.py:Mine"}, {"kind": "awgn"}]
    own = {"0": {"name": "mine", "budget": {"norm": "l2", "epsilon": 1.0}}}
    header = RunHeader(LEAST | {"scenario": {"path": path}, "own_stages": own})
    assert header.described_scenario["path"] == [path[0] | own["0"], path[1]]
    assert header.scenario["path"] == path
