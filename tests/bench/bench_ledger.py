"""The ledger against bare SQLite: its cost per row, in one run."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelsim.contracts.records import ArmRecord, AttemptsDone, Started, TransmissionsDone
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger

ROWS, BLOCK = 200_000, 256
HEADER: dict[str, Any] = {
    "scenario_hash": "", "count": ROWS, "max_attempts": 1, "metrics": ["mse", "psnr"],
    "control": False, "swept_keys": [],
}  # fmt: skip


def new(folder: Path) -> Ledger:
    started = Started(RunHeader(HEADER), [ArmRecord(0, "plain", {})], ROWS)
    return Ledger.create(folder / "ledger.sqlite", started)


def block(ledger: Ledger, start: int) -> dict[str, Any]:
    """Attempts as the signal plane hands them over."""
    keys = np.arange(start, min(start + BLOCK, ROWS))
    values = np.random.default_rng(start).random(len(keys), dtype=np.float32)
    columns: dict[str, Any] = dict.fromkeys(ledger.attempt_columns, values)
    whole = {"attempt": keys, "transmission": keys, "lost": keys % 2, "accepted": keys % 2}
    return columns | whole | {"verdict": ["ok"] * len(keys)}


@pytest.fixture
def full(tmp_path: Path) -> tuple[Ledger, float]:
    """A full ledger, and the seconds an attempt took to write."""
    ledger = new(tmp_path)
    spent = 0.0
    for start in range(0, ROWS, BLOCK):
        event = AttemptsDone(block(ledger, start))
        begin = time.perf_counter()
        ledger.write(event)
        spent += time.perf_counter() - begin
    begin = time.perf_counter()
    ledger.commit()
    return ledger, (spent + time.perf_counter() - begin) / ROWS


def bare_row_s(path: Path, ledger: Ledger) -> float:
    """Seconds per row of the same width in plain SQLite, from ready tuples."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    names = ", ".join(f"c{i} REAL" for i in range(len(ledger.attempt_columns) - 1))
    connection.execute(f"CREATE TABLE bare (key INTEGER PRIMARY KEY, {names})")
    values = (0.123456789,) * (len(ledger.attempt_columns) - 1)
    rows = [(key, *values) for key in range(ROWS)]
    statement = f"INSERT INTO bare VALUES ({', '.join('?' * len(ledger.attempt_columns))})"
    begin = time.perf_counter()
    connection.execute("BEGIN")
    connection.executemany(statement, rows)
    connection.execute("COMMIT")
    spent = time.perf_counter() - begin
    connection.close()
    return spent / ROWS


def bench_writing_and_asking(full: tuple[Ledger, float], tmp_path: Path) -> None:
    ledger, attempt = full
    bare = bare_row_s(tmp_path / "bare.sqlite", ledger)
    begin = time.perf_counter()
    for start in range(0, ROWS, BLOCK):
        numbers = list(range(start, min(start + BLOCK, ROWS)))
        times = [0.25 * number for number in numbers]
        ledger.write(
            TransmissionsDone(
                {
                    "transmission": numbers,
                    "sent_s": times,
                    "done_s": times,
                    "attempts": [1] * len(numbers),
                    "delivered": ["yes"] * len(numbers),
                }
            )
        )
    ledger.commit()
    transmission = (time.perf_counter() - begin) / ROWS
    asked = np.random.default_rng(0).choice(2 * ROWS, 100_000, replace=False)
    begin = time.perf_counter()
    for part in np.split(asked, 50):
        ledger.known(part)
    scattered = (time.perf_counter() - begin) / len(asked)
    begin = time.perf_counter()
    for start in range(0, ROWS, BLOCK):
        ledger.known(range(start, start + BLOCK))
    dense = (time.perf_counter() - begin) / ROWS
    print(
        f"\nledger: attempt {attempt * 1e6:.1f} us, transmission {transmission * 1e6:.1f} us"
        f" (a bare row of {len(ledger.attempt_columns)} columns {bare * 1e6:.1f} us);"
        f" memo {dense * 1e6:.2f} us a key in a row, {scattered * 1e6:.2f} us scattered"
    )
    ledger.close()
    assert attempt <= 3 * bare
    assert transmission <= 1.5 * bare
    assert scattered <= 2 * bare
    assert dense <= bare
