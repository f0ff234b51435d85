"""Fallback images shown for messages that were lost or rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import channelsim
from channelsim.contracts.records import AttemptsDone, LogEvent
from channelsim.ledger import Ledger, differences
from channelsim.runs.recompute import Recomputation
from channelsim.runs.replay import replay

SCENARIO: dict[str, Any] = {
    "title": "A receiver that keeps showing the last image it accepted",
    "seed": 3,
    "source": {
        "kind": "dataset",
        "name": "mnist5k",
        "count": 30,
        "arrivals": {"kind": "poisson", "rate_hz": 100},
    },
    "link": {"latency_s": 0.01, "loss": 0.2, "max_attempts": 2},
    "path": [
        {
            "kind": "noise",
            "name": "jammer",
            "budget": {"norm": "psr_db", "epsilon": 0},
            "activity": {"every": 3},
        },
        {"kind": "awgn", "snr_db": 20},
    ],
    "receivers": {
        "keeps": {
            "codec": "pca",
            "detector": {"kind": "latent-density", "false_alarm": 0.2},
            "fallback": "last",
        },
        "trusts": {"codec": "pca", "fallback": "last"},
    },
    "metrics": ["mse"],
    "block_rows": 8,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> channelsim.Run:
    return channelsim.run(SCENARIO, out=tmp_path_factory.mktemp("last") / "run")


def attempts(run: channelsim.Run) -> list[tuple[int, int, float, int, int, int | None]]:
    query = (
        "SELECT attempt, transmission, arrived_s, lost, accepted, fallback_attempt FROM attempt"
        " ORDER BY transmission / 30, arrived_s, attempt"
    )
    with run.ledger() as ledger:
        return list(ledger.rows(query))


def test_the_last_accepted_image_stands_in_and_no_other(run: channelsim.Run) -> None:
    last: dict[int, int] = {}
    stood_in = 0
    for key, transmission, _, _, accepted, shown in attempts(run):
        arm = transmission // 30
        if accepted:
            assert shown in (None, last.get(arm)), "of its control, where that was rejected"
            last[arm] = key
        else:
            assert shown == last.get(arm)
            stood_in += shown is not None
    assert stood_in > 10
    assert {row[1] // 30 for row in attempts(run) if row[3]} == {0, 1}, "both lose some"


def test_what_is_measured_is_the_image_that_stands_in(run: channelsim.Run) -> None:
    again = Recomputation(run.folder)
    rows = [row for row in attempts(run) if row[5] is not None and row[1] < 30 and not row[4]]
    rejected = rows[0]
    _, images, _ = again.transmit(0, [rejected[0]])
    _, shown, _ = again.transmit(0, [int(rejected[5] or 0)])
    assert torch.equal(images["received"], shown["received"])
    expected = (shown["received"] - images["source"]).square().mean()
    with run.ledger() as ledger:
        query = "SELECT mse_source, decoded_mse_source FROM attempt WHERE attempt = ?"
        measured, decoded = next(ledger.rows(query, (rejected[0],)))
    assert measured == pytest.approx(float(expected), rel=1e-6)
    assert decoded != measured


def test_where_only_the_control_is_rejected_it_shows_the_last_image_too(tmp_path: Path) -> None:
    # Else noise would look weaker or stronger than the attack by the mean image's quality.
    path = [{"kind": "noise", "name": "jammer", "budget": {"norm": "psr_db", "epsilon": -3}}]
    study = SCENARIO | {"path": path, "source": SCENARIO["source"] | {"count": 60}}
    run = channelsim.run(study, out=tmp_path / "run")
    again = Recomputation(run.folder)
    with run.ledger() as ledger:
        parted = list(
            ledger.rows(
                "SELECT attempt, fallback_attempt, control_mse_source FROM attempt"
                " WHERE accepted = 1 AND fallback_attempt IS NOT NULL"
            )
        )
    assert len(parted) > 3
    for key, fallback, measured in parted:
        _, images, _ = again.transmit(0, [key])
        _, shown, _ = again.transmit(0, [fallback])
        expected = (shown["received"] - images["source"]).square().mean()
        assert measured == pytest.approx(float(expected), rel=1e-6)
        assert replay(run.folder, key // 2, key % 2).flips == ()


def test_until_something_was_accepted_the_mean_image_stands_in(run: channelsim.Run) -> None:
    first = {**SCENARIO, "link": {"loss": 1.0}}
    nothing = channelsim.run(first, out=run.folder.parent / "nothing")
    with nothing.ledger() as ledger:
        assert set(ledger.rows("SELECT fallback_attempt, lost FROM attempt")) == {(None, 1)}
        constant = ledger.header().values["calibration"]["constant_image"]["mse"]
    values = nothing.frame()["mse_source"]
    assert np.mean(values) == pytest.approx(constant, rel=1e-5)


@pytest.mark.parametrize("pending", [1, 5])
def test_how_much_may_wait_changes_no_bit(run: channelsim.Run, pending: int) -> None:
    other = channelsim.run(
        SCENARIO, set={"max_pending": pending}, out=run.folder.parent / f"pending-{pending}"
    )
    with run.ledger() as one, other.ledger() as two:
        assert differences(one, two) == []


def test_a_rejected_transmission_is_replayed_bit_for_bit(run: channelsim.Run) -> None:
    rejected = [row[1] for row in attempts(run) if not row[4]]
    for transmission in (rejected[0], rejected[-1]):
        again = replay(run.folder, transmission)
        assert again.exact
        assert again.flips == ()


@pytest.mark.parametrize("blocks", [1, 4])
def test_an_interrupted_receiver_remembers_what_it_had_accepted(
    run: channelsim.Run, tmp_path: Path, blocks: int
) -> None:
    seen: list[LogEvent] = []

    def crash(event: LogEvent) -> None:
        seen.append(event)
        if sum(isinstance(one, AttemptsDone) for one in seen) > blocks:
            raise RuntimeError("the machine fell over")

    with pytest.raises(RuntimeError):
        channelsim.run(SCENARIO, out=tmp_path / "run", on_event=crash, set={"max_pending": 4})
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert 0 < ledger.computed() < len(attempts(run))
    resumed = channelsim.run(SCENARIO, out=tmp_path / "run", resume=True)
    with run.ledger() as one, resumed.ledger() as two:
        assert differences(one, two) == []
