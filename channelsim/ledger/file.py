"""The ledger's file: opening it, one writer at a time, and faults told in one sentence each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from channelsim.errors import ChannelsimError, InputError, MachineError
from channelsim.ledger.tables import LEDGER_VERSION


def connected(path: Path, write: bool) -> sqlite3.Connection:
    """Open a ledger of our version; it is changed, if at all, only after it was checked."""
    uri = f"{path.resolve().as_uri()}?mode={'rw' if write else 'ro'}"
    with explained(path):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
        try:
            _check_version(path, connection)
            if write:
                connection.execute("PRAGMA journal_mode = WAL")
                # About one commit a second: we can afford that a power cut loses none either.
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def locked(path: Path) -> sqlite3.Connection:
    """One writer at a time: a lock the system lifts even from a killed process.

    The lock is SQLite's own, on an empty file beside the ledger, so readers never notice it.
    """
    beside = path.with_name(path.name + ".lock")
    with explained(path):
        # A view that asks whether somebody writes holds the lock for a moment, hence the patience.
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


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file that is no ledger, or one of another version."""
    query = "SELECT key, value FROM header WHERE key IN ('ledger_version', 'versions')"
    found = {key: json.loads(value) for key, value in connection.execute(query)}
    version = found.get("ledger_version")
    if version is None:
        raise InputError(f"{path}: not a channelsim ledger")
    if version != LEDGER_VERSION:
        writer = f"channelsim {(found.get('versions') or {}).get('channelsim', '(unknown)')}"
        raise InputError(
            f"{path}: written by {writer} as ledger version {version}, and this channelsim reads"
            f" version {LEDGER_VERSION}; read it with {writer}, or run its scenario again"
        )


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
    """Turn what SQLite reports into one sentence; what it does not explain is a bug and passes."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if "no such table" in str(error):
            code = sqlite3.SQLITE_NOTADB
        if code not in _SENTENCES:
            raise
        kind, sentence = _SENTENCES[code]
        raise kind(f"{path}: {sentence.format(error=error)}") from error
