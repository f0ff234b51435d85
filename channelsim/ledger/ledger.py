"""The ledger: the append-only record of a run, from which every table, plot and replay is made.

One SQLite file in WAL mode: one writer, readable while it grows. Only images that newer or worse
ones displace are ever removed from it. Rows are keyed by numbers computed from arm, message and
attempt, so writing a row twice changes nothing, and a resumed run looks up finished rows in the
ledger. Nothing here keeps rows in memory. The table `block` records the keys of each event, so that
a view can follow a run by reading only new rows; it describes the schedule only (a resumed run
lists existing transmissions again), and is never compared.

A commit falls only *between* computed blocks (before an `AttemptsDone`, or at a `Ticked`,
`ArmDone` or `Finished`), about once a second: an attempt and its thumbnails enter together or not
at all, since a resumed run never recomputes an attempt that is in the ledger.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from channelsim.contracts import records
from channelsim.contracts.records import ArmRecord, LogEvent, Started
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import earlier
from channelsim.ledger.file import connected, explained, locked
from channelsim.ledger.genuine import read_json, shown_header, shown_swept
from channelsim.ledger.sql import (
    DONE,
    TRANSMISSION_COLUMNS,
    attempt_columns,
    fill,
    flat_columns,
    flat_query,
    insert,
    json_items,
    now,
    packed,
    plain,
    quoted,
    statements,
)
from channelsim.support.errors import ChannelsimError, InputError, printable

COMMIT_SECONDS = 1.0  # project's choice: about as much work as a killed process may lose
_LEAVE_TRIES, _LEAVE_WAIT_S = 10, 0.03  # project's choice: wait for readers when closing


class Ledger:
    """A run's record: `create` or `open` one, `write` events, read through `rows`.

    Use as a context manager: leaving it commits; leaving it by an exception drops the rows since
    the last commit, which a resumed run computes again.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None
    ) -> None:
        self.path = path
        self.connection = connection
        self._lock = lock
        self._closed = False
        self._committed_at = -math.inf  # the first block is committed at once
        self._unsaved = False  # whether attempts or transmissions wait for a commit
        header = self.header()
        self.count: int = header.count
        self.max_attempts: int = header.max_attempts
        self.swept_keys: tuple[str, ...] = header.swept_keys
        self.attempt_columns = attempt_columns(header)
        # A resumed run of an older version omits columns that its ledger lacks.
        newer = {*records.passive_columns(header.metrics), records.CONTROL_ACCEPTED}
        self._no_place = newer - {*self.attempt_columns}
        self.flat_columns = flat_columns(header)
        self._version = header.ledger_version
        stored = [earlier.column(self._version, name) for name in self.attempt_columns]
        self._add_attempts = insert("main.attempt", stored)
        self._add_transmissions = insert("transmission", TRANSMISSION_COLUMNS)

    # --- opening and closing --------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, started: Started) -> Ledger:
        """Create a ledger with the header and the arms of a run, ready for writing."""
        path = Path(path)
        lock = locked(path)
        try:
            if path.exists():
                raise InputError(
                    f"{path}: there is a ledger already; add --resume to continue it, or choose"
                    " another folder with --out"
                )
            # The file gets its name only when it has header and tables.
            unborn = path.with_name(path.name + ".part")
            for leftover in (unborn, unborn.with_name(unborn.name + "-journal")):
                leftover.unlink(missing_ok=True)
            with explained(path):
                connection = sqlite3.connect(unborn, isolation_level=None)
                try:
                    connection.execute("BEGIN")
                    for statement in statements(started.header).values():
                        connection.execute(statement)
                    fill(connection, started)
                    connection.execute("COMMIT")
                finally:
                    connection.close()
            unborn.rename(path)
            return cls(path, connected(path, write=True), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: Path, write: bool = False) -> Ledger:
        """Open an existing ledger; any number of readers beside one writer.

        A finished run whose writer was killed before it could close the file is closed here.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: there is no ledger here")
        if not write and path.with_name(path.name + "-wal").exists():
            cls._tidy(path)
        lock = locked(path) if write else None
        try:
            return cls(path, connected(path, write), lock)
        except BaseException:
            if lock is not None:
                lock.close()
            raise

    @classmethod
    def _tidy(cls, path: Path) -> None:
        """Merge the log that a finished run left beside its ledger into one plain file."""
        with suppress(ChannelsimError, sqlite3.Error, OSError):  # otherwise it is read as it is
            with cls(path, connected(path, write=False), None) as ledger:
                finished = ledger.finished
            if finished:
                cls.open(path, write=True).close()

    def commit(self) -> None:
        """Make all rows so far permanent, even if the process is killed."""
        if self.connection.in_transaction:
            with explained(self.path):
                self.connection.execute("COMMIT")
        self._committed_at, self._unsaved = time.monotonic(), False

    def rollback(self) -> None:
        """Drop the rows since the last commit."""
        if self.connection.in_transaction:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Commit and close the file, which becomes one plain, portable file."""
        if self._closed:
            return
        try:
            self.commit()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.rollback()
        if self._lock is not None:
            # Without WAL a ledger is one file that also opens on read-only media. While another
            # process reads, SQLite refuses; a view reads only briefly, so a short wait suffices;
            # after that the ledger stays as it is, equally valid.
            self._leave_wal()
        self.connection.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _leave_wal(self) -> None:
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA busy_timeout = 0")
        for _ in range(_LEAVE_TRIES):
            with suppress(sqlite3.Error):
                mode = self.connection.execute("PRAGMA journal_mode = DELETE").fetchone()
                if mode is None or mode[0] != "wal":
                    return
            time.sleep(_LEAVE_WAIT_S)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._let_go()

    # --- writing --------------------------------------------------------------------------------

    def write(self, event: LogEvent) -> None:
        """Store one event of a run; `Started` is checked against the header, not stored again."""
        with explained(self.path):
            self._write(event)

    def _write(self, event: LogEvent) -> None:
        match event:
            case records.AttemptsDone(columns=columns):
                self._commit_if_due()
                kept = {name: columns[name] for name in columns if name not in self._no_place}
                self._add(self._add_attempts, self.attempt_columns, kept)
            case records.TransmissionsDone(columns=columns):
                self._add(self._add_transmissions, TRANSMISSION_COLUMNS, columns)
            case records.ImageSaved():
                role = earlier.role(self._version, event.role)
                values = (int(event.transmission), int(event.attempt), role, event.png)
                self._begin().execute(
                    "INSERT OR IGNORE INTO main.image VALUES (?, ?, ?, ?)", values
                )
            case records.ImagesDropped(attempts=attempts):
                self._begin().executemany(
                    "DELETE FROM main.image WHERE transmission = ? AND attempt = ?", attempts
                )
            case records.Noted():
                self._begin().execute(
                    "INSERT OR IGNORE INTO event (level, text, sim_s, arm) VALUES (?, ?, ?, ?)",
                    (event.level, event.text, float(event.sim_s), event.arm),
                )
            case records.ArmDone():
                self._begin().execute(
                    "UPDATE arm SET status = ?, verdict = ? WHERE arm = ?",
                    (DONE, event.verdict, int(event.arm)),
                )
                self._commit_if_due()
            case records.Ticked():
                self._commit_if_due()
            case records.Finished():
                self.set_header({"finished": float(event.sim_s), "finished_at": now()})
                self.commit()
            case records.Started():
                given = event.header.scenario_hash
                if given != self.header().scenario_hash:
                    raise InputError(f"{self.path}: this ledger is of another scenario")

    def set_header(self, values: Mapping[str, Any]) -> None:
        """Add to the header, or replace in it, JSON-able values (committed with the next rows)."""
        self._begin().executemany("INSERT OR REPLACE INTO header VALUES (?, ?)", json_items(values))

    def _begin(self) -> sqlite3.Connection:
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        return self.connection

    def _commit_if_due(self) -> None:
        if self._unsaved and time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self.commit()

    def _add(
        self, statement: str, names: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        if columns.keys() != set(names):
            odd = ", ".join(sorted(columns.keys() ^ set(names)))
            raise ValueError(
                f"ledger: rows come with exactly the declared columns; differing: {odd}"
            )
        rows = zip(*(plain(columns[name]) for name in names), strict=True)
        connection = self._begin()
        before = connection.total_changes
        connection.executemany(statement, rows)
        if connection.total_changes > before:
            self._note_block(connection, names[0], columns[names[0]])
        self._unsaved = True

    def _note_block(self, connection: sqlite3.Connection, kind: str, keys: Sequence[int]) -> None:
        connection.execute("INSERT INTO block (kind, keys) VALUES (?, ?)", (kind, packed(keys)))

    # --- reading --------------------------------------------------------------------------------

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[tuple]:
        """Stream the rows of a query; a damaged file is reported in one sentence."""
        with explained(self.path):
            # `yield from` would close the cursor of a partly read answer, perhaps after the ledger
            # is closed.
            for row in self.connection.execute(query, values):  # noqa: UP028
                yield row

    def known(self, keys: Sequence[int]) -> dict[int, bool]:
        """The attempts among these that are in the ledger, with whether each was accepted."""
        wanted: list[int] = plain(keys)
        if not wanted:
            return {}
        low, high = min(wanted), max(wanted)
        if high - low < 3 * len(wanted):  # mostly consecutive: one scan beats single look-ups
            query = "SELECT attempt, accepted FROM attempt WHERE attempt BETWEEN ? AND ?"
            found = dict(self.rows(query, (low, high)))
            return {key: bool(found[key]) for key in wanted if key in found}
        query = (
            "SELECT attempt, accepted FROM json_each(?) CROSS JOIN attempt"
            " ON attempt = json_each.value"
        )
        return {
            key: bool(accepted) for key, accepted in self.rows(query, (json.dumps(sorted(wanted)),))
        }

    def pictured(self, column: str | None) -> Iterator[tuple[int, int, float, float | None]]:
        """Attempts with stored images: key, accepted, arrived_s, value of ``column``."""
        value = "NULL" if column is None else quoted(column)
        return self.rows(
            f"SELECT a.attempt, a.accepted, a.arrived_s, {value} FROM"
            " (SELECT DISTINCT transmission * ? + attempt AS number FROM image)"
            " CROSS JOIN attempt a ON a.attempt = number",
            (self.max_attempts,),
        )

    def raw_header(self) -> RunHeader:
        """The header as stored, for comparing and computing; never for display."""
        rows = self.rows("SELECT * FROM header")
        return RunHeader({key: read_json(self.path, value) for key, value in rows})

    def header(self) -> RunHeader:
        """The current header, for display; it contains `finished` if the run is complete."""
        return shown_header(self.raw_header().values)

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices to readers of this ledger."""
        if "parts" in self.raw_header():
            return ()
        return (
            "this run does not say what its parts compute (an earlier channelsim made it): whether"
            " files of code and weights are still the same is not known, and it cannot be resumed",
        )

    @property
    def finished(self) -> bool:
        """Whether the run has finished."""
        return "finished" in self.raw_header()

    @property
    def complete(self) -> bool:
        """Whether every row of the run is there, finished or not."""
        query = "SELECT count(*), total(attempts) FROM transmission"
        settled, attempts = next(self.rows(query))
        arms = int(next(self.rows("SELECT count(*) FROM arm"))[0])
        return bool(settled == arms * self.count and attempts == self.computed())

    def last_decision_s(self) -> float:
        """Simulated time [s] of the last decision about a message."""
        query = "SELECT ifnull(max(done_s), 0.0) FROM transmission"
        return float(next(self.rows(query))[0])

    def arms(self) -> list[ArmRecord]:
        """All arms in order, with their swept values as in the scenario."""
        query = "SELECT arm, receiver, swept FROM arm ORDER BY arm"
        return [
            ArmRecord(arm, printable(str(receiver)), shown_swept(self.path, swept))
            for arm, receiver, swept in self.rows(query)
        ]

    def flat(self) -> Iterator[tuple]:
        """The flat view in order of transmission, by this program's own query."""
        return self.rows(flat_query(self.header()))

    @property
    def arm_verdicts(self) -> dict[int, str]:
        """Verdicts of the arms that are complete."""
        query = "SELECT arm, verdict FROM arm WHERE status = ? ORDER BY arm"
        return {arm: printable(str(verdict)) for arm, verdict in self.rows(query, [DONE])}

    def settled(self) -> int:
        """The number of transmissions recorded."""
        return int(next(self.rows("SELECT count(*) FROM transmission"))[0])

    def computed(self) -> int:
        """The number of attempts recorded, those of unfinished transmissions included."""
        return int(next(self.rows("SELECT count(*) FROM attempt"))[0])
