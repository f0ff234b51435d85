"""Ledgers of earlier versions: read, and gone on with, under the names of this one.

Version 4 renamed a column and a role of images. An earlier ledger keeps its names in the file; its
readers see temporary views under the new names, and a resumed run writes under the old.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from channelsim.ledger.sql import LEDGER_VERSION, quoted

_V3_COLUMNS = {"fallback_attempt": "stand_in"}  # this version's name → that of version 3
_V3_ROLES = {"attacked": "tampered"}
_COLUMNS: Mapping[int, Mapping[str, str]] = {3: _V3_COLUMNS, LEDGER_VERSION: {}}
_ROLES: Mapping[int, Mapping[str, str]] = {3: _V3_ROLES, LEDGER_VERSION: {}}

READABLE = tuple(sorted(_COLUMNS))  # versions


def column(version: int, name: str) -> str:
    """The name that a ledger of this version has for a column of attempts."""
    return _COLUMNS[version].get(name, name)


def role(version: int, name: str) -> str:
    """The name that a ledger of this version has for a role of images."""
    return _ROLES[version].get(name, name)


def present(connection: sqlite3.Connection, version: int) -> None:
    """Let all queries find columns of attempts and roles of images under this version's names.

    Temporary views go before tables of the same name; the file is not touched.
    """
    if version == LEDGER_VERSION:
        return
    now = {old: new for new, old in _COLUMNS[version].items()}
    stored = [str(row[1]) for row in connection.execute("PRAGMA main.table_info(attempt)")]
    shown = ", ".join(f"{quoted(name)} AS {quoted(now.get(name, name))}" for name in stored)
    cases = " ".join(f"WHEN '{old}' THEN '{new}'" for new, old in _ROLES[version].items())
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"CREATE TEMP VIEW attempt AS SELECT {shown} FROM main.attempt")
    connection.execute(
        "CREATE TEMP VIEW image AS SELECT transmission, attempt,"
        f" CASE role {cases} ELSE role END AS role, png FROM main.image"
    )
