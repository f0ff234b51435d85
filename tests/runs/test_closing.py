"""A run killed between its last row and its closing is closed when it is next opened."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from helpers.known_ledger import add_arm, add_attempts, created, sweep
from helpers.patience import PATIENCE_S

import channelsim
from channelsim.analysis.closing import ending
from channelsim.cli.app import answer
from channelsim.contracts.records import ArmRecord, Finished, TransmissionsDone
from channelsim.ledger import Ledger, differences, ledger
from channelsim.runs.population import populations
from channelsim.runs.replay import replay
from channelsim.simulation import batcher
from channelsim.support.errors import InputError, MachineError

STUDY: dict[str, Any] = {
    "title": "Killed as it ended",
    "seed": 5,
    "source": {"kind": "dataset", "count": 6},
    "path": [
        {
            **{"kind": "pgd", "name": "mallory", "goal": {"kind": "damage"}, "steps": 2},
            "budget": {"norm": "l2", "epsilon": 0.5},
        },
        {"kind": "awgn", "snr_db": 10},
    ],
    "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 8}}},
    "metrics": ["mse"],
    "sweep": {"mallory.budget.epsilon": [0.0, 1.0]},
}


# --- a real child process, killed with its last row -----------------------------------------------


def die(record: Ledger, *_: Any) -> None:
    """Replaces the closing of arms: the process ends after its last row."""
    record.commit()
    os.kill(os.getpid(), signal.SIGKILL)


def main(out: str) -> None:
    """The child's program."""
    from channelsim.runs import run as campaign

    campaign._close_arms = die
    channelsim.run(STUDY, out=out)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed after its last row, as left on the disk."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    child = subprocess.run(
        [sys.executable, "-c", f"from test_closing import main; main({str(folder)!r})"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert (folder / "ledger.sqlite-wal").exists()
    return folder


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, undisturbed."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    channelsim.run(STUDY, out=folder)
    return folder


@pytest.fixture
def left(killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the killed run's folder; computing rows again fails."""

    def compute(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a run that has all its rows is not computed again")

    monkeypatch.setattr(batcher.Batcher, "submit", compute)
    return Path(shutil.copytree(killed, tmp_path / "left"))


def typed(*words: str) -> Callable[[Path], None]:
    def open_it(folder: Path) -> None:
        assert answer([words[0], str(folder), *words[1:]]) == 0

    return open_it


OPENERS: dict[str, Callable[[Path], Any]] = {
    "summary": typed("summary"),
    "watch": typed("watch"),
    "export": typed("export"),
    "replay": typed("replay", "--transmission", "3"),
    "population": typed("population"),
    "Run.open": channelsim.Run.open,
    "Run.finished": lambda folder: channelsim.Run(folder).finished,
    "replay from Python": lambda folder: replay(folder, 3),
    "populations": populations,
}


@pytest.mark.parametrize("name", OPENERS)
def test_whoever_opens_it_next_closes_it_without_computing_a_row(
    left: Path, calm: Path, name: str
) -> None:
    OPENERS[name](left)
    assert not (left / "ledger.sqlite-wal").exists(), "one plain file again"
    with Ledger.open(left / "ledger.sqlite") as mine, Ledger.open(calm / "ledger.sqlite") as other:
        assert mine.finished
        assert mine.arm_verdicts == other.arm_verdicts
        assert mine.arm_verdicts[0] == "off"
        # The end is that of the last decision: no row records how long the simulation went on.
        unlike = [text for text in differences(mine, other) if not text.startswith("header finish")]
        assert unlike == []
        header = mine.header().values
        assert header["closed_later"] is True
        assert header["finished"] == mine.last_decision_s() > 0
        assert "finished_at" in header
        assert "closed_later" not in other.header()


def test_closed_by_a_reader_it_is_finished_for_everybody(left: Path) -> None:
    summary = channelsim.Run.open(left).summary()
    assert summary.complete
    assert channelsim.run(STUDY, out=left, resume=True).was_finished
    assert ending(left / "ledger.sqlite").notices == ()


def test_a_view_tells_of_it_as_finished(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["watch", str(left)]) == 0
    told = capsys.readouterr().out
    assert "12/12 (100 %)" in told
    assert "finished" in told
    assert "interrupted" not in told


# --- read-only folders ----------------------------------------------------------------------------


@pytest.fixture
def read_only(left: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as a read-only folder: every write is refused."""

    def refuse(path: Path) -> NoReturn:
        raise InputError(f"{path}: cannot be written; may you write in this folder?")

    monkeypatch.setattr(ledger, "locked", refuse)
    return left


@pytest.mark.parametrize("name", ["summary", "watch", "export", "replay", "population"])
def test_where_it_may_not_be_written_it_counts_as_finished_and_says_so(
    read_only: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    OPENERS[name](read_only)
    told = capsys.readouterr()
    assert told.err.count("it is taken for finished") == 1
    assert told.err.startswith("warning: every row of this run is there")
    assert "interrupted" not in told.out
    with Ledger.open(read_only / "ledger.sqlite") as record:
        assert not record.finished


def test_from_python_too(read_only: Path) -> None:
    run = channelsim.Run.open(read_only)
    assert run.finished
    (notice,) = run.notices
    assert "its folder may not be written" in notice
    assert run.summary().complete
    assert notice in replay(read_only, 3).notices
    assert len(populations(read_only)) == 2


# --- unfinished runs are left alone ---------------------------------------------------------------


def unclosed(folder: Path, arms: int = 2) -> Ledger:
    record = created(folder, sweep(["a"], [0.0, 0.5]), 4, max_attempts=2)
    for arm in range(arms):
        add_arm(record, arm, attempts=2)
        # The first of two attempts.
        keys = [8 * arm + 2 * message for message in range(4)]
        add_attempts(record, keys, accepted=0)
    return record


def test_as_long_as_somebody_writes_it_is_left_alone(tmp_path: Path) -> None:
    with unclosed(tmp_path) as record:
        record.commit()
        assert ending(tmp_path / "ledger.sqlite").finished_s is None
        assert ending(tmp_path / "ledger.sqlite").notices == ()
        assert not channelsim.Run.open(tmp_path).finished
        assert not record.finished
    assert channelsim.Run.open(tmp_path).finished


@pytest.mark.parametrize("missing", ["an arm", "a transmission", "an attempt", "a first attempt"])
def test_where_a_row_is_missing_it_is_interrupted(tmp_path: Path, missing: str) -> None:
    unclosed(tmp_path, arms=1 if missing == "an arm" else 2).close()
    lacks = {
        "a transmission": "DELETE FROM transmission WHERE transmission = 5",
        "an attempt": "DELETE FROM attempt WHERE attempt = 11",
        "a first attempt": "DELETE FROM attempt WHERE attempt = 10",
    }
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        file.execute(lacks.get(missing, "SELECT 1"))
    file.close()
    run = channelsim.Run.open(tmp_path)
    assert not run.finished
    assert run.notices == ()
    assert "finished" not in run.header()
    with run.ledger() as record:
        assert record.arm_verdicts == {}


def test_rows_that_were_decided_before_they_were_computed_are_waited_for(tmp_path: Path) -> None:
    """Where no decision depends on content, a transmission is recorded before its attempt."""
    with created(tmp_path, [ArmRecord(0, "a", {})], 2) as record:
        decided = {"transmission": [0, 1], "sent_s": [0.0, 0.1], "done_s": [0.2, 0.3]}
        record.write(TransmissionsDone(decided | {"attempts": [1, 1], "delivered": ["yes", "yes"]}))
    assert not channelsim.Run.open(tmp_path).finished


def test_a_finished_run_is_not_touched(tmp_path: Path) -> None:
    with unclosed(tmp_path) as record:
        record.write(Finished(7.0))
    before = (tmp_path / "ledger.sqlite").read_bytes()
    assert ending(tmp_path / "ledger.sqlite").finished_s == 7.0
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


# --- a damaged ledger is called damaged, from Python as from the command line ---------------------

DAMAGE = {
    "word": "UPDATE attempt SET mse_source = 'seven' WHERE attempt = 3",
    "header": "UPDATE header SET value = '[1, 2]' WHERE key = 'calibration'",
    "arm": "UPDATE arm SET swept = '{}'",
    "end": "INSERT OR REPLACE INTO header VALUES ('finished', '\"soon\"')",
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("harm", DAMAGE)
def test_a_damaged_ledger_is_called_damaged_in_one_sentence(
    tmp_path: Path, harm: str, finished: bool
) -> None:
    with unclosed(tmp_path) as record:
        if finished:
            record.write(Finished(7.0))
    run = channelsim.Run(tmp_path)
    run.summary()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        file.execute(DAMAGE[harm])
    file.close()
    with pytest.raises(MachineError, match="ledger is damaged") as told:
        channelsim.Run.open(tmp_path).summary()
    assert "\n" not in told.value.message
    if harm != "end":  # which a summary alone does not read
        with pytest.raises(MachineError, match="ledger is damaged"):
            run.summary()
