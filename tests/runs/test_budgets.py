"""Budgets hold in the records, and a ledger that breaks one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.small_runs import scenario

import channelsim
from channelsim.ledger import Ledger
from channelsim.runs.budgets import assert_budgets
from channelsim.support.errors import MachineError


@pytest.mark.parametrize(
    ("norm", "epsilon", "column"),
    [("linf", 0.5, "delta_linf"), ("l2", 0.5, "delta_l2"), ("psr_db", -10.0, "delta_l2")],
)
def test_a_perturbation_over_its_budget_is_found_in_the_ledger(
    norm: str, epsilon: float, column: str, tmp_path: Path
) -> None:
    attack = {
        "kind": "pgd",
        "goal": {"kind": "image", "target": "black"},
        "budget": {"norm": norm, "epsilon": epsilon},
    }
    loaded = scenario(
        path=[attack, {"kind": "noise", "budget": {"norm": norm, "epsilon": epsilon}}]
    )
    run = channelsim.run(loaded, out=tmp_path / "run")  # asserts the budgets when it ends
    with Ledger.open(run.folder / "ledger.sqlite", write=True) as ledger:
        calibration = ledger.header().calibration
        assert_budgets(ledger, loaded.arms, calibration)
        largest = next(ledger.rows(f"SELECT MAX({column}) FROM attempt"))[0]
        assert largest > 0
        # Two adversaries at most double what one may do.
        ledger.connection.execute(f"UPDATE attempt SET {column} = 2.1 * {column}")
        with pytest.raises(MachineError, match=r"over its budget of .*: a bug"):
            assert_budgets(ledger, loaded.arms, calibration)
