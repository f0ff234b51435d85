"""A ledger that an earlier channelsim wrote is read, replayed and gone on with under its own names.

Version 3 called a column of attempts ``stand_in`` and the attacked encoder's input ``tampered``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import channelsim
from channelsim.contracts.records import AttemptsDone, LogEvent
from channelsim.ledger import Ledger, differences, ledger
from channelsim.runs.replay import replay
from channelsim.support.errors import InputError

SCENARIO: dict[str, Any] = {
    "title": "An attack on the encoder's input, and a receiver that shows the last image again",
    "seed": 5,
    "source": {"kind": "dataset", "count": 16, "arrivals": {"kind": "poisson", "rate_hz": 100}},
    "link": {"latency_s": 0.01, "loss": 0.3, "max_attempts": 2},
    "path": [
        {
            "kind": "noise",
            "name": "mallory",
            "budget": {"norm": "l2", "epsilon": 2.0},
            "access": {"place": "before_encoder"},
        },
        {"kind": "awgn", "snr_db": 20},
    ],
    "receivers": {"keeps": {"codec": {"kind": "linear", "latent_size": 8}, "fallback": "last"}},
    "metrics": ["mse"],
    "block_rows": 4,
    "images": 3,
}


class StoppedError(Exception):
    """Somebody stopped the run."""


def to_version_3(folder: Path) -> Path:
    """Rewrite a run's ledger as version 3 would have it; returns the file."""
    file = folder / "ledger.sqlite"
    connection = sqlite3.connect(file, isolation_level=None)
    (view,) = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name = 'transmissions'"
    ).fetchone()
    connection.execute("DROP VIEW transmissions")
    connection.execute('ALTER TABLE attempt RENAME COLUMN "fallback_attempt" TO "stand_in"')
    connection.execute(view)
    connection.execute("UPDATE image SET role = 'tampered' WHERE role = 'attacked'")
    connection.execute("UPDATE header SET value = '3' WHERE key = 'ledger_version'")
    connection.close()
    return file


def stop_after(blocks: int) -> Callable[[LogEvent], None]:
    seen = 0

    def on_event(event: LogEvent) -> None:
        nonlocal seen
        seen += isinstance(event, AttemptsDone)
        if seen > blocks:
            raise StoppedError

    return on_event


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> channelsim.Run:
    return channelsim.run(SCENARIO, out=tmp_path_factory.mktemp("today") / "run")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> channelsim.Run:
    run = channelsim.run(SCENARIO, out=tmp_path_factory.mktemp("earlier") / "run")
    to_version_3(run.folder)
    return run


def test_it_reads_as_if_written_today(today: channelsim.Run, earlier: channelsim.Run) -> None:
    with today.ledger() as new, earlier.ledger() as old:
        assert differences(new, old) == []
        roles = {role for (role,) in old.rows("SELECT DISTINCT role FROM image")}
        shown = list(old.rows("SELECT attempt FROM attempt WHERE fallback_attempt IS NOT NULL"))
    assert "attacked" in roles
    assert shown, "a fallback was shown"
    assert str(earlier.summary()) == str(today.summary())
    assert earlier.frame().equals(today.frame())


def test_reading_leaves_the_file_as_it_is(earlier: channelsim.Run) -> None:
    file = earlier.folder / "ledger.sqlite"
    before = file.read_bytes()
    with Ledger.open(file) as old:
        assert old.computed() > 0
    assert file.read_bytes() == before


def test_it_is_replayed_bit_for_bit_with_its_fallbacks(earlier: channelsim.Run) -> None:
    with earlier.ledger() as old:
        query = "SELECT transmission FROM attempt WHERE fallback_attempt IS NOT NULL"
        (transmission,) = next(old.rows(query))
    again = replay(earlier.folder, transmission)
    assert again.exact
    assert again.flips == ()
    assert "attacked" in again.images


def test_an_unfinished_one_is_completed_under_its_own_names(
    today: channelsim.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "COMMIT_SECONDS", 0.0)
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        channelsim.run(SCENARIO, out=out, on_event=stop_after(2), set={"max_pending": 4})
    file = to_version_3(out)
    with Ledger.open(file) as begun:
        there = begun.computed()
    assert 0 < there < 16
    run = channelsim.run(SCENARIO, out=out, resume=True)
    with today.ledger() as new, run.ledger() as old:
        assert differences(new, old) == []
        assert old.header().ledger_version == 3
    connection = sqlite3.connect(file)
    try:
        names = {row[1] for row in connection.execute("PRAGMA table_info(attempt)")}
        roles = {role for (role,) in connection.execute("SELECT DISTINCT role FROM image")}
    finally:
        connection.close()
    assert {"stand_in", "fallback_attempt"} & names == {"stand_in"}
    assert {"tampered", "attacked"} & roles == {"tampered"}


def test_names_of_two_versions_in_one_file_are_refused(tmp_path: Path) -> None:
    run = channelsim.run(SCENARIO, out=tmp_path / "run")
    file = to_version_3(run.folder)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("UPDATE header SET value = '4' WHERE key = 'ledger_version'")
    connection.close()
    with pytest.raises(InputError, match="not that of any ledger this channelsim knows"):
        Ledger.open(file)
