"""The check that a file's SQL schema is a ledger's, so that it runs no other SQL.

A database brings views that answer queries, triggers that act on writing, and expressions in its
tables. A file of unknown origin could so keep a reader busy for ever, or give a writer false rows.
So its schema is compared, word for word, with the one this program would write for such a header,
before anything else of it is queried.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import earlier
from channelsim.ledger.sql import (
    HEADER_TABLE,
    column_definition,
    flat_ends,
    readable_attempt_columns,
    statements,
)
from channelsim.support.errors import InputError, MachineError, printable, printable_all

_TABLE, _VIEW = "attempt", "transmissions"
_ASKED = (
    *("ledger_version", "versions"),
    *("count", "max_attempts", "metrics", "control", "judged", "decodes", "swept_keys"),
)
_NAMES = {"metrics", "swept_keys", "parts"}  # `check` lets no control characters into these
_MOST_WORDS = 10_000  # project's choice: metrics or swept keys, far more than any run has


def check(path: Path, connection: sqlite3.Connection) -> int:
    """Refuse a file that is no ledger, is damaged, is of an unknown version, or has other SQL.

    Returns its version.
    """
    found = {
        str(name): (str(kind), sql)
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master")
    }
    if found.get("header") != ("table", HEADER_TABLE):
        raise InputError(f"{path}: not a channelsim ledger")
    values = _header(path, connection)
    version = _version(path, values)
    header = RunHeader(_checked(path, values))
    wanted = statements(header)
    for name, (kind, sql) in found.items():
        if name.startswith("sqlite_autoindex_") and sql is None:
            continue  # SQLite's own, for a primary key
        if name == _TABLE and kind == "table" and _is_attempts(str(sql), header, version):
            continue
        if name == _VIEW and kind == "view" and _is_flat_view(str(sql), header):
            continue
        if wanted.get(name) != sql:
            raise InputError(
                f"{path}: its {kind} {printable(name)[:60]!r} is not that of any ledger this"
                " channelsim knows, so it is not opened: SQL that a file brings along is never run;"
                " ask who made it for the ledger as it was written"
            )
    missing = ", ".join(sorted(wanted.keys() - found.keys()))
    if missing:
        raise damaged(path, f"without {missing}")
    return version


def damaged(path: Path, what: object) -> MachineError:
    """The error for a ledger whose content no run can have written."""
    return MachineError(
        f"{path}: the ledger is damaged ({printable(str(what))[:120]}); restore it from a copy, or"
        " run the scenario again"
    )


def read_json(path: Path, text: Any) -> Any:
    """The value of a JSON cell."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def shown_header(values: Mapping[str, Any]) -> RunHeader:
    """A header for display: its texts printable, except names of columns and files."""
    shown = {key: v if key in _NAMES else printable_all(v) for key, v in values.items()}
    return RunHeader(shown)


def shown_swept(path: Path, text: Any) -> dict[str, Any]:
    """An arm's swept values for display, under their keys as written."""
    swept = read_json(path, text)
    if not isinstance(swept, dict):
        raise damaged(path, "an arm is at no point of the sweep")
    return {key: printable_all(value) for key, value in swept.items()}


def _header(path: Path, connection: sqlite3.Connection) -> dict[str, Any]:
    query = f"SELECT key, value FROM header WHERE key IN ({', '.join('?' * len(_ASKED))})"
    return {key: read_json(path, value) for key, value in connection.execute(query, _ASKED)}


def _version(path: Path, header: Mapping[str, Any]) -> int:
    version = header.get("ledger_version")
    if version is None:
        raise InputError(f"{path}: not a channelsim ledger")
    if version not in earlier.READABLE or type(version) is not int:
        versions = header.get("versions")
        named = versions.get("channelsim") if isinstance(versions, Mapping) else None
        writer = f"channelsim {printable(str(named or '(unknown)'))[:40]}"
        raise InputError(
            f"{path}: written by {writer} as ledger version {printable(str(version))[:20]}, and"
            f" this channelsim reads versions {earlier.READABLE[0]} to {earlier.READABLE[-1]}; read"
            f" it with {writer}, or run its scenario again"
        )
    return version


def _checked(path: Path, header: Mapping[str, Any]) -> Mapping[str, Any]:
    """The header, if the keys that decide about tables have the required types."""
    for key in ("count", "max_attempts"):
        value = header.get(key)
        if type(value) is not int or not 0 < value < 2**53:
            raise damaged(path, f"{key} is {value!r}")
    if type(header.get("control")) is not bool:
        raise damaged(path, f"control is {header.get('control')!r}")
    for key in ("metrics", "swept_keys"):
        value = header.get(key)
        words = [word for word in value if isinstance(word, str)] if type(value) is list else []
        if words != value or len(words) > _MOST_WORDS:
            raise damaged(path, f"{key} is {value!r}")
        if any(printable(word) != " ".join(re.split("[\n\t]", word)) for word in words):
            raise damaged(path, f"a name among its {key} has characters that none has")
    return header


def _is_attempts(sql: str, header: RunHeader, version: int) -> bool:
    """Whether a table of attempts has known columns only: earlier ledgers have fewer."""
    begin = f"CREATE TABLE {_TABLE} ("
    if not (sql.startswith(begin) and sql.endswith(")")):
        return False
    known = {
        column_definition(name, earlier.column(version, name))
        for name in readable_attempt_columns(header)
    }
    given = sql[len(begin) : -1].split(", ")
    return set(given) <= known and len(set(given)) == len(given)


def _is_flat_view(sql: str, header: RunHeader) -> bool:
    """Whether a flat view has known columns only: they have changed, and no query uses it."""
    begin, end = flat_ends(header)
    if not (sql.startswith(begin) and sql.endswith(end)):
        return False
    shown = re.findall(r', attempt\."([^"]*)" AS "([^"]*)"', sql[len(begin) : -len(end)])
    again = "".join(f', attempt."{name}" AS "{name}"' for name, _ in shown)
    known = set(readable_attempt_columns(header))
    return again == sql[len(begin) : -len(end)] and {name for name, _ in shown} <= known
