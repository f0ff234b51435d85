"""Estimates of `check`: time and size."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from channelsim.runs import estimate as estimate_module
from channelsim.runs.estimate import Trial, estimate, proposed, row_bytes, trial
from channelsim.scenario import Scenario

ONE = {"plain": {"codec": {"kind": "linear", "latent_size": 4}}}


def small(count: int, images: int = 0, receivers: dict[str, Any] = ONE) -> Scenario:
    return Scenario.load(
        {
            "title": "small",
            "seed": 1,
            "source": {"kind": "dataset", "name": "mnist5k", "count": count},
            "path": [{"kind": "awgn", "snr_db": 10}],
            "receivers": receivers,
            "metrics": ["mse"],
            "images": images,
            "block_rows": 32,
        }
    )


def test_row_bytes_are_what_sqlite_takes(tmp_path: Path) -> None:
    n = 20_000
    columns = {
        "number": list(range(n)),
        "value": [math.sqrt(i + 2) for i in range(n)],
        "missing": [None] * n,
        "flag": [i % 2 for i in range(n)],
        "word": ["not_moved"] * n,
    }
    path = tmp_path / "rows.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE t (key INTEGER PRIMARY KEY, {', '.join(columns)})")
        rows = enumerate(zip(*columns.values(), strict=True))
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", ((key, *row) for key, row in rows)
        )
    connection.close()
    assert math.isclose(row_bytes(columns), path.stat().st_size, rel_tol=0.15)


def test_another_block_size_is_proposed_only_where_it_is_clearly_faster() -> None:
    assert proposed({64: 100.0, 128: 105.0}, own=64) == 64
    assert proposed({64: 100.0, 128: 150.0, 256: 120.0}, own=64) == 128


def test_a_trial_runs_the_real_thing_in_memory() -> None:
    tried = trial(small(50), messages=3)
    assert tried.transmissions == 3
    assert tried.header.values["count"] == 3
    assert len(tried.columns["mse_source"]) == 3
    assert all(0 < value < 1 for value in tried.columns["mse_source"])
    assert tried.run_s > 0


def test_an_estimate_scales_with_the_messages_and_tries_no_block_that_would_not_fill() -> None:
    few, many = estimate(small(40)), estimate(small(900), blocks=(32, 64))
    assert (few.transmissions, many.transmissions) == (40, 900)
    assert set(few.rates) == {32}
    assert set(many.rates) == {32, 64}
    assert many.seconds > 900 / many.rates[32]
    assert many.ledger_bytes > few.ledger_bytes


def test_a_trial_is_long_enough_for_every_receiver_to_fill_its_blocks(monkeypatch) -> None:
    """Otherwise padding counts as work, and a run with many receivers seems to take for ever."""
    tried: list[tuple[int, int]] = []
    real = estimate_module.trial

    def spy(scenario: Scenario, messages: int, block_rows: int | None = None, *rest: Any) -> Trial:
        tried.append((messages, block_rows or 0))
        return real(scenario, messages, block_rows, *rest)

    monkeypatch.setattr(estimate_module, "trial", spy)
    codec = {"kind": "linear", "latent_size": 8}
    receivers = {name: {"codec": codec} for name in ("a", "b", "c", "d")}
    estimate(small(900, receivers=receivers), blocks=(32,))
    assert tried == [(32, 32)]  # a block of 32 per receiver, each of which has one arm


def test_an_estimate_of_the_ledger_is_about_right(tmp_path: Path) -> None:
    from channelsim.runs import run as campaign

    scenario = small(1000, images=2)
    made = campaign.run(scenario, out=tmp_path / "run")
    size = (made.folder / "ledger.sqlite").stat().st_size
    assert math.isclose(estimate(scenario, blocks=()).ledger_bytes, size, rel_tol=0.3)


@pytest.mark.parametrize("of", ["source", "reconstruction"])
def test_what_needs_a_second_message_is_tried_with_two(of: str) -> None:
    attack = {
        "kind": "pgd",
        "steps": 2,
        "goal": {"kind": "image", "target": "message", "of": of},
        "budget": {"norm": "linf", "epsilon": 0.1},
    }
    study = small(8)
    assert trial(study, 1).transmissions == 1
    path = [attack, {"kind": "awgn", "snr_db": 10}]
    other = Scenario.load(study.resolved, set={"path": path})
    assert trial(other, 1).transmissions == 2
    assert estimate(other, blocks=()).transmissions == 8
