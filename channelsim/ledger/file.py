"""The ledger's file: opening, locking for one writer, and errors in one sentence each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from channelsim.ledger import earlier, genuine
from channelsim.support.errors import ChannelsimError, InputError, MachineError


def connected(path: Path, write: bool) -> sqlite3.Connection:
    """Open a ledger of a readable version; it is changed, if at all, only after the checks."""
    uri = f"{path.resolve().as_uri()}?mode={'rw' if write else 'ro'}"
    with explained(path):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
        try:
            # Functions called by the file's own SQL may only compute; text may be invalid UTF-8.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.text_factory = _text
            earlier.present(connection, genuine.check(path, connection))
            if write:
                connection.execute("PRAGMA journal_mode = WAL")
                # With about one commit a second, durability against power cuts is affordable.
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "replace")


def locked(path: Path) -> sqlite3.Connection:
    """Lock a ledger for one writer; the system releases the lock even if the process is killed.

    The lock is SQLite's own, on an empty file beside the ledger, so it does not affect readers.
    """
    beside = path.with_name(path.name + ".lock")
    with explained(path):
        # A view that tests for a writer holds the lock for a moment, hence the timeout.
        lock = sqlite3.connect(beside, isolation_level=None, timeout=0.25)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            lock.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InputError(
                    f"{path}: another process is writing this run; wait for it, or stop it and add"
                    " --resume"
                ) from error
            raise
        return lock


def is_written(path: Path) -> bool:
    """Whether a process holds a ledger's write lock now."""
    beside = path.with_name(path.name + ".lock")
    if not beside.exists():
        return False
    try:
        lock = sqlite3.connect(f"{beside.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
        try:
            lock.execute("SELECT 1 FROM sqlite_master").fetchone()
        finally:
            lock.close()
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return False


_SENTENCES: Mapping[int, tuple[type[ChannelsimError], str]] = {
    sqlite3.SQLITE_FULL: (
        MachineError,
        "the disk is full; every committed row is kept; free some space, then add --resume",
    ),
    sqlite3.SQLITE_IOERR: (
        MachineError,
        "the disk could not be read or written ({error}); every committed row is kept; when the"
        " disk is well again, add --resume",
    ),
    sqlite3.SQLITE_CORRUPT: (
        MachineError,
        "the file is damaged ({error}); restore it from a copy, or run the scenario again",
    ),
    sqlite3.SQLITE_NOTADB: (InputError, "not a channelsim ledger"),
    sqlite3.SQLITE_BUSY: (
        InputError,
        "another process holds this ledger just now; try again when it has done",
    ),
    sqlite3.SQLITE_LOCKED: (InputError, "another part of this process is writing this run"),
    sqlite3.SQLITE_CANTOPEN: (InputError, "cannot be opened; does the folder exist, and may you?"),
    sqlite3.SQLITE_READONLY: (InputError, "cannot be written; may you write in this folder?"),
    sqlite3.SQLITE_PERM: (InputError, "cannot be written; may you write in this folder?"),
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one sentence; unexplained ones are bugs and pass."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if "no such table" in str(error):
            code = sqlite3.SQLITE_NOTADB
        if "no such column" in str(error):
            raise InputError(
                f"{path}: an earlier channelsim wrote this ledger, which does not have all that is"
                f" asked for here ({error}); run its scenario again"
            ) from error
        if code == sqlite3.SQLITE_CANTOPEN and path.is_file():
            raise InputError(
                f"{path}: cannot be opened for reading, because whoever wrote it was killed and"
                " left a log beside it, which needs a folder that may be written; copy the folder"
                " to where you may write, and open it there"
            ) from error
        if code not in _SENTENCES:
            raise
        kind, sentence = _SENTENCES[code]
        raise kind(f"{path}: {sentence.format(error=error)}") from error
