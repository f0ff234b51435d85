"""Reads a ledger that another process may be writing, without blocking it.

Every snapshot opens a read-only connection, reads within one transaction and closes it again: a
connection held open would keep the writer from turning its ledger into one plain file at the end.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelsim.contracts import records
from channelsim.contracts.records import ArmRecord
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import damage_metric
from channelsim.display.live.info import RunInfo
from channelsim.ledger.file import connected, explained, is_written
from channelsim.ledger.genuine import damaged, read_json, shown_header, shown_swept
from channelsim.ledger.sql import quoted, unpacked
from channelsim.support.errors import InputError, printable, printable_all

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 8192  # rows read at a time; project's choice
FATES = (records.DELIVERED, records.LOST, records.REJECTED)
# Words of a row; a word not among them counts as the last, "other".
WORDS = (*(word for word in records.VERDICTS if word != records.BEATEN_BY_NOISE), "other")
FIXED = (
    "attempt", "sent_s", "done_s", "attempts", "fate", "arrived_s", "lost", "accepted",
    "delta_l2", "flipped_bits", "psr_db", "snr_measured_db", "word",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Attempts as one matrix [rows, columns] of float64; NaN is missing.

    The columns include those of the transmission (``sent_s``, ``done_s``, ``attempts``, ``fate``:
    an index into `FATES`), NaN until it is settled.
    """

    names: tuple[str, ...]
    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Floats:
        return self.values[:, self.names.index(name)]

    @property
    def keys(self) -> Ints:
        """Attempt keys [rows]."""
        return self.values[:, 0].astype(np.int64)

    def take(self, rows: Any) -> Table:
        """Return some of the rows."""
        return Table(self.names, self.values[rows])


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the ledger's `event` table."""

    number: int
    level: str
    text: str
    arm: int | None


class Reader:
    """A run's ledger, read-only: ``with reader.snapshot() as snapshot: snapshot.after(…)``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.snapshot() as snapshot:
            self.info = snapshot.info()
            self.columns = snapshot.columns()
        self.names = (*FIXED, *self._measured())
        self.identity = _identity(self.info.header)
        selected = ", ".join(self._term(name) for name in self.names)
        self.select = f"SELECT {selected}"

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One snapshot of the ledger."""
        if not self.path.is_file():
            raise InputError(
                f"{self.path}: the ledger is gone; was the run's folder deleted or moved?"
            )
        connection = connected(self.path, write=False)
        try:
            with explained(self.path):
                connection.execute("BEGIN")
                yield Snapshot(self, connection)
        finally:
            connection.close()

    def writing(self) -> bool:
        """Whether a process now holds the ledger for writing."""
        return is_written(self.path)

    def _measured(self) -> list[str]:
        """Metric columns that a view keeps sums of."""
        metrics = self.info.metrics
        names = [f"{metric}_source" for metric in metrics]
        names += [f"quality_{metric}" for metric in metrics]
        gauge = damage_metric(metrics, self.info.header.scales)
        if gauge is not None:
            names += [f"{gauge}_passive", f"control_{gauge}_passive"]
        aimed = (arm for arm, aim in enumerate(self.info.aims) if aim.kind == "image")
        for metric in dict.fromkeys(map(self.info.gauge_of, aimed)):
            if metric is not None:
                names += [f"{metric}_target", f"control_{metric}_target"]
        return names

    def _term(self, name: str) -> str:
        if name in {"sent_s", "done_s", "attempts"}:
            return f"t.{name}"
        if name in {"fate", "word"}:
            column, words = ("t.delivered", FATES) if name == "fate" else ("a.verdict", WORDS)
            cases = " ".join(f"WHEN '{word}' THEN {i}" for i, word in enumerate(words))
            other = f" WHEN {column} IS NOT NULL THEN {len(words) - 1}" if name == "word" else ""
            cases = cases.replace("WHEN '", f"WHEN {column} = '")
            return f"CASE {cases}{other} END"
        # An older or newer ledger may lack a column: its values are missing.
        return f"a.{quoted(name)}" if name in self.columns else "NULL"


def _identity(header: RunHeader) -> tuple[Any, Any]:
    return header.scenario_hash, header.created_at


class Snapshot:
    """Queries within one snapshot."""

    def __init__(self, reader: Reader, connection: sqlite3.Connection) -> None:
        self._reader, self._connection = reader, connection

    def _json(self, text: Any) -> Any:
        return read_json(self._reader.path, text)

    # --- the run as a whole ---------------------------------------------------------------------

    def header(self) -> RunHeader:
        """The current header."""
        rows = self._connection.execute("SELECT key, value FROM header")
        return shown_header({key: self._json(value) for key, value in rows})

    def info(self) -> RunInfo:
        """Header and arms."""
        rows = self._connection.execute("SELECT arm, receiver, swept FROM arm ORDER BY arm")
        arms = tuple(
            ArmRecord(arm, printable(str(receiver)), shown_swept(self._reader.path, swept))
            for arm, receiver, swept in rows
        )
        return RunInfo(self.header(), arms)

    def finished(self) -> tuple[float | None, str | None]:
        """Return the simulated end [s] and its wall time; None while the run is not finished.

        Also detects another run in the same folder.
        """
        query = (
            "SELECT key, value FROM header"
            " WHERE key IN ('finished', 'finished_at', 'scenario_hash', 'created_at')"
        )
        found = {key: self._json(value) for key, value in self._connection.execute(query)}
        if _identity(RunHeader(found)) != self._reader.identity:
            raise InputError(
                f"{self._reader.path}: another run has taken the place of the one that was watched;"
                " start watch again"
            )
        return found.get("finished"), found.get("finished_at")

    def columns(self) -> tuple[str, ...]:
        """Names of the attempt columns."""
        return tuple(row[1] for row in self._connection.execute("PRAGMA table_info(attempt)"))

    def arm_verdicts(self) -> dict[int, str]:
        """Verdicts of the arms that are complete."""
        query = "SELECT arm, verdict FROM arm WHERE verdict IS NOT NULL"
        rows = self._connection.execute(query)
        return {arm: printable(str(verdict)) for arm, verdict in rows}

    def notes(self, after: int) -> list[Note]:
        """Notes with a number above ``after``."""
        query = "SELECT event, level, text, arm FROM event WHERE event > ? ORDER BY event LIMIT 200"
        rows = self._connection.execute(query, (after,))
        return [Note(n, level, printable(str(text)), arm) for n, level, text, arm in rows]

    # --- rows -----------------------------------------------------------------------------------

    def last_block(self) -> int:
        """Number of the newest block; 0 before the first."""
        return int(
            self._connection.execute("SELECT ifnull(max(block), 0) FROM block").fetchone()[0]
        )

    def blocks(self, after: int, most: int) -> list[tuple[int, str, Ints]]:
        """Blocks stored after one: number, table (``attempt``, ``transmission``), keys."""
        query = "SELECT block, kind, keys FROM block WHERE block > ? ORDER BY block LIMIT ?"
        rows = self._connection.execute(query, (after, most))
        try:
            return [(block, kind, unpacked(keys)) for block, kind, keys in rows]
        except ValueError as error:
            raise damaged(self._reader.path, error) from None

    def last_key(self) -> int:
        """The largest attempt key; -1 in an empty ledger."""
        query = "SELECT ifnull(max(attempt), -1) FROM attempt"
        return int(self._connection.execute(query).fetchone()[0])

    def after(self, key: int, most: int = CHUNK) -> Table:
        """Attempts with keys above one, ascending."""
        query = (
            " FROM attempt a LEFT JOIN transmission t ON t.transmission = a.transmission"
            " WHERE a.attempt > ? ORDER BY a.attempt LIMIT ?"
        )
        return self._table(query, (key, most))

    def attempts(self, keys: Ints) -> Table:
        """These attempts."""
        query = (
            " FROM json_each(?) CROSS JOIN attempt a ON a.attempt = json_each.value"
            " LEFT JOIN transmission t ON t.transmission = a.transmission"
        )
        return self._table(query, (json.dumps(np.unique(keys).tolist()),))

    def settled(self, transmissions: Ints) -> Table:
        """The last attempts of these transmissions, where computed."""
        last = self._reader.info.keys.last_attempt("t.transmission", "t.attempts")
        query = (
            " FROM json_each(?) CROSS JOIN transmission t ON t.transmission = json_each.value"
            f" CROSS JOIN attempt a ON a.attempt = {last}"
        )
        return self._table(query, (json.dumps(np.unique(transmissions).tolist()),))

    def messages(self, start: int, end: int) -> Table:
        """All attempts of the messages ``start`` ≤ m < ``end``, of every arm."""
        info = self._reader.info
        first = f"(arm.arm * {info.count}"
        query = (
            f" FROM arm CROSS JOIN attempt a ON a.attempt >= {first} + ?) * {info.max_attempts}"
            f" AND a.attempt < {first} + ?) * {info.max_attempts}"
            " LEFT JOIN transmission t ON t.transmission = a.transmission"
        )
        return self._table(query, (start, end))

    def _table(self, query: str, values: Sequence[Any]) -> Table:
        names = self._reader.names
        rows = self._connection.execute(self._reader.select + query, values).fetchall()
        try:
            filled = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
        except (TypeError, ValueError) as error:  # text where a number was written
            raise damaged(self._reader.path, error) from None
        return Table(names, filled)

    # --- one transmission -----------------------------------------------------------------------

    def transmission(self, number: int) -> dict[str, Any] | None:
        """All columns of a transmission and of its last attempt by name; None if there is none."""
        keys = self._reader.info.keys
        query = (
            "SELECT * FROM attempt a LEFT JOIN (SELECT transmission, sent_s, done_s, attempts,"
            " delivered FROM transmission) t ON t.transmission = a.transmission"
            " WHERE a.attempt >= ? AND a.attempt < ? ORDER BY a.attempt DESC LIMIT 1"
        )
        found = self._connection.execute(
            query, (keys.attempt(number, 0), keys.attempt(number + 1, 0))
        )
        names = [column[0] for column in found.description]
        row = found.fetchone()
        if row is None:
            return None
        # The attempt's columns come first; the join's own `transmission` may be NULL.
        return dict(reversed(list(zip(names, map(printable_all, row), strict=True))))

    def images(self, number: int) -> dict[str, bytes]:
        """Thumbnails (PNG) of a transmission's newest attempt that has any, by role."""
        query = (
            "SELECT role, png FROM image WHERE transmission = :number AND attempt ="
            " (SELECT max(attempt) FROM image WHERE transmission = :number)"
        )
        return dict(self._connection.execute(query, {"number": number}).fetchall())
