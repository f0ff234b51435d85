"""Guarantees of every shipped scenario: equal ledgers for all schedules, replay, resumption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.known_ledger import assert_equal_ledgers, assert_waiting_changes_nothing
from helpers.patience import PATIENCE_S

import channelsim
from channelsim.analysis.findings import sentence
from channelsim.ledger import Ledger
from channelsim.runs.replay import replay

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
SMALL: dict[str, Any] = {"source.count": 3, "block_rows": 8}


def ledger_of(folder: Path) -> Ledger:
    return Ledger.open(folder / "ledger.sqlite")


def test_there_are_scenarios_to_hold_to_the_promises() -> None:
    names = {path.stem for path in SCENARIOS}
    assert {"black_target", "untargeted", "noise_only", "detector_arq", "your_codec"} <= names


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_how_much_may_wait_changes_no_bit(path: Path, tmp_path: Path) -> None:
    assert_waiting_changes_nothing(path, tmp_path, SMALL)


@pytest.mark.parametrize("name", ["detector_arq", "impersonation", "shared_medium"])
def test_nor_does_it_over_more_messages_than_have_pictures(name: str, tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == name)
    more = {"source.count": 20, "block_rows": 8, "images": 1}
    assert_waiting_changes_nothing(path, tmp_path, more)


@pytest.mark.slow
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_how_much_may_wait_changes_no_bit_at_the_shipped_block_size(
    path: Path, tmp_path: Path
) -> None:
    assert_waiting_changes_nothing(path, tmp_path, {"source.count": 3})


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_any_transmission_is_replayed_bit_for_bit(path: Path, tmp_path: Path) -> None:
    run = channelsim.run(path, set=SMALL, out=tmp_path / "run")
    for transmission in (0, len(run.frame()) - 1):
        again = replay(run.folder, transmission, allow_code=True)
        assert again.exact
        assert again.flips == ()
        assert len(again.columns) > 10


def test_rows_of_a_mixed_run_are_not_promised_bit_for_bit(tmp_path: Path) -> None:
    run = channelsim.run(SCENARIOS[0], set=SMALL, out=tmp_path / "run")
    assert replay(run.folder, 0).exact
    with Ledger.open(run.folder / "ledger.sqlite", write=True) as ledger:
        ledger.set_header({"mixed": [{"fingerprint": {"device": "another"}}]})
    assert not replay(run.folder, 0).exact


@pytest.mark.parametrize("block_rows", [8, 32])
def test_one_thread_and_two_give_the_same_bits(block_rows: int, tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == "black_target")
    for threads in (1, 2):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "channelsim", "run", str(path), "--quiet"]
        command += ["--set", "source.count=6", "--set", f"block_rows={block_rows}"]
        command += ["--out", str(tmp_path / str(threads))]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert_equal_ledgers(tmp_path / "1", tmp_path / "2")


def test_an_attack_that_did_nothing_gives_its_arm_no_ok(tmp_path: Path) -> None:
    # The untargeted attack as the paper prints it: it starts where its gradient is zero.
    path = next(path for path in SCENARIOS if path.stem == "untargeted")
    literal = {"mallory.literal": True, "mallory.goal": {"kind": "damage"}}
    fields = {"mallory.start": "zero", "mallory.restarts": 1, "mallory.steps": 10}
    sweep = {"mallory.budget.epsilon": 0.5, "mallory.budget.norm": "linf"}
    run = channelsim.run(path, set=SMALL | literal | fields | sweep, out=tmp_path / "run")
    assert set(run.frame()["verdict"]) == {"zero_gradient"}
    assert (run.frame()["delta_linf"] == 0).all()
    with run.ledger() as ledger:
        assert set(ledger.arm_verdicts.values()) == {"zero_gradient"}
    summary = run.summary()
    assert {point.verdict for point in summary.points} == {"zero_gradient"}
    assert "no message was attacked" in sentence(summary, "kld")


# --- interruption -------------------------------------------------------------------------------

# Long enough to be interrupted in the middle, short enough to wait for.
LONG = ["--set", "source.count=40", "--set", "block_rows=16"]


def command(path: Path, out: Path, *extra: str) -> list[str]:
    return [
        *(sys.executable, "-m", "channelsim", "run", str(path), "--quiet", "--out", str(out)),
        *LONG,
        *extra,
    ]


def attempts_in(folder: Path) -> int:
    """Committed attempts, as a reader beside the running writer sees them."""
    try:
        with ledger_of(folder) as ledger:
            return int(next(ledger.rows("SELECT count(*) FROM attempt"))[0])
    except channelsim.support.errors.ChannelsimError:
        return 0


def strike(path: Path, out: Path, after: int, how: signal.Signals, *extra: str) -> tuple[int, int]:
    """Start a run, send a signal once more than ``after`` attempts are committed."""
    child = subprocess.Popen(
        command(path, out, *extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while attempts_in(out) <= after and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(how)
    child.communicate(timeout=PATIENCE_S)
    return child.returncode, attempts_in(out)


@pytest.mark.parametrize("stem", ["untargeted", "detector_arq"])
def test_killed_again_and_again_it_ends_with_the_same_ledger(stem: str, tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == stem)
    subprocess.run(command(path, tmp_path / "calm"), check=True, capture_output=True)
    struck = tmp_path / "struck"
    code, survived = strike(path, struck, 0, signal.SIGKILL)
    assert code == -signal.SIGKILL, "the run was over before it could be killed: make it longer"
    assert survived > 0
    for _ in range(2):
        code, more = strike(path, struck, survived, signal.SIGKILL, "--resume")
        assert more >= survived, "a committed row was lost"
        survived = more
    subprocess.run(command(path, struck, "--resume"), check=True, capture_output=True)
    assert_equal_ledgers(tmp_path / "calm", struck)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_polite_interruption_says_how_to_resume(how: signal.Signals, tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == "untargeted")
    out = tmp_path / "run"
    child = subprocess.Popen(
        command(path, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while attempts_in(out) == 0 and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(how)
    _, complaint = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 130
    assert "--resume" in complaint
    assert "Traceback" not in complaint
    before = attempts_in(out)
    assert before > 0
    subprocess.run(command(path, out, "--resume"), check=True, capture_output=True)
    with ledger_of(out) as ledger:
        assert ledger.finished
    again = subprocess.run(command(path, out, "--resume"), capture_output=True, text=True)
    assert again.returncode == 0
