"""The ledger's tables and the flat view, as SQL, and the values of their cells."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelsim.contracts import records
from channelsim.contracts.records import Started
from channelsim.contracts.run_header import RunHeader
from channelsim.support.errors import InputError

LEDGER_VERSION = 4  # 4: `fallback_attempt` and role "attacked", once `stand_in` and "tampered"
TRANSMISSION_COLUMNS = ("transmission", "sent_s", "done_s", "attempts", "delivered")
RUNNING, DONE = "running", "done"

_INTEGERS = {
    *("attempt", "transmission", "lost", "accepted", "attempts"),
    *("replayed", "fallback_attempt", "erased", "flipped_bits", records.CONTROL_ACCEPTED),
    records.DECODED,
}
_TEXTS = {"verdict", "delivered"}
_MOST_KEYS = 2**20  # project's choice: of a block; a run's own have a few thousand
_PLAIN_TYPES = {int, float, str, bool, type(None)}


def attempt_columns(header: RunHeader) -> tuple[str, ...]:
    """Columns of the attempt table for a run's header."""
    metrics, control = header.metrics, header.control
    quality = records.quality_columns(metrics)
    measured = records.metric_columns(metrics, control, header.judged, header.passive_columns)
    told = (records.DECODED,) if header.decodes else ()
    return (*records.ATTEMPT_COLUMNS, *quality, *measured, *told)


def flat_columns(header: RunHeader) -> tuple[str, ...]:
    """Columns of the flat view, in order, under the user's names."""
    measured = records.metric_columns(
        header.metrics, header.control, passive=header.passive_columns
    )
    told = (records.DECODED,) if header.decodes else ()
    return (*records.FLAT_HEAD, *header.swept_keys, *records.FLAT_TAIL, *measured, *told)


HEADER_TABLE = "CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT)"


def statements(header: RunHeader) -> dict[str, str]:
    """Statements that make the tables, the index and the flat view, by name."""
    count, swept = header.count, _swept_columns(header)
    arm = ["arm INTEGER PRIMARY KEY", "receiver TEXT", "swept TEXT", "status TEXT", "verdict TEXT"]
    attempt = [column_definition(name) for name in attempt_columns(header)]
    begin, end = flat_ends(header)
    tail = flat_columns(header)[len(records.FLAT_HEAD) + len(swept) :]
    shown = "".join(f", attempt.{quoted(name)} AS {quoted(name)}" for name in tail)
    return {
        "header": HEADER_TABLE,
        # Swept values are also SQL values, for queries; untyped columns keep them as given.
        "arm": f"CREATE TABLE arm ({', '.join(arm + swept)})",
        "transmission": (
            "CREATE TABLE transmission (transmission INTEGER PRIMARY KEY, sent_s REAL, done_s REAL,"
            " attempts INTEGER, delivered TEXT,"
            f" arm INTEGER GENERATED ALWAYS AS (transmission / {count}),"
            f" message INTEGER GENERATED ALWAYS AS (transmission % {count}))"
        ),
        "attempt": f"CREATE TABLE attempt ({', '.join(attempt)})",
        "image": (
            "CREATE TABLE image (transmission INTEGER, attempt INTEGER, role TEXT, png BLOB,"
            " PRIMARY KEY (transmission, attempt, role))"
        ),
        "event": (
            "CREATE TABLE event (event INTEGER PRIMARY KEY, level TEXT, text TEXT, sim_s REAL,"
            " arm INTEGER)"
        ),
        # Keys come in no order, so readers of a growing ledger need a list of new ones.
        "block": "CREATE TABLE block (block INTEGER PRIMARY KEY, kind TEXT, keys BLOB)",
        # SQLite treats all NULLs as different, and a notice about the whole run has no arm.
        "event_once": (
            "CREATE UNIQUE INDEX event_once ON event (level, text, sim_s, ifnull(arm, -1))"
        ),
        "transmissions": f"{begin}{shown}{end}",
    }


def flat_query(header: RunHeader) -> str:
    """The flat view as this program's own query, in order of transmission."""
    return statements(header)["transmissions"].partition(" AS ")[2] + " ORDER BY 1"


def flat_ends(header: RunHeader) -> tuple[str, str]:
    """The flat view's statement up to the columns of attempts, and after them."""
    origin = {"receiver": "arm.receiver"}
    origin |= {name: f"transmission.{name}" for name in records.FLAT_HEAD if name != "receiver"}
    sources = [origin[name] for name in records.FLAT_HEAD]
    sources += [f"arm.{column}" for column in _swept_columns(header)]
    chosen = ", ".join(
        f"{source} AS {quoted(name)}"
        for source, name in zip(sources, flat_columns(header), strict=False)
    )
    # Unchanged since the first ledger: a file's statement is compared with it word for word.
    last = f"transmission.transmission * {header.max_attempts} + transmission.attempts - 1"
    # CROSS JOIN fixes the order of the loops: rows stream in order of transmission.
    return (
        f"CREATE VIEW transmissions AS SELECT {chosen}",
        f" FROM transmission CROSS JOIN attempt ON attempt.attempt = {last}"
        " CROSS JOIN arm ON arm.arm = transmission.arm",
    )


def readable_attempt_columns(header: RunHeader) -> tuple[str, ...]:
    """Columns that an attempt of such a run may have, a detector's among them."""
    return attempt_columns(header.with_values(judged=True, passive_columns=True, decodes=True))


def column_definition(name: str, stored: str | None = None) -> str:
    """A column of the attempt table, as its statement defines it, by the name it is stored under.

    ``stored``: None where it is the column's own.
    """
    return f"{quoted(stored or name)} {_sql_type(name)}"


def _swept_columns(header: RunHeader) -> list[str]:
    return [f"swept_{i}" for i in range(len(header.swept_keys))]


def fill(connection: sqlite3.Connection, started: Started) -> None:
    """Write header and arms."""
    added = {"ledger_version": LEDGER_VERSION, "total": started.total, "created_at": now()}
    header = started.header.with_values(**added)
    connection.executemany("INSERT INTO header VALUES (?, ?)", json_items(header.values))
    keys = header.swept_keys
    marks = ", ".join("?" * (5 + len(keys)))
    for arm in started.arms:
        swept = [_cell(arm.swept.get(key)) for key in keys]
        values = [int(arm.arm), arm.receiver, dumps(dict(arm.swept)), RUNNING, None, *swept]
        connection.execute(f"INSERT INTO arm VALUES ({marks})", values)


def packed(keys: Sequence[int]) -> bytes:
    """Keys of a block as a cell: little-endian int64, deflated to about a fifth."""
    return zlib.compress(np.asarray(keys, dtype="<i8").tobytes(), 1)


def unpacked(cell: bytes) -> NDArray[np.int64]:
    """The keys in a cell written by `packed`; ValueError for any other content."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(cell, 8 * _MOST_KEYS)
    except (TypeError, zlib.error) as error:
        raise ValueError(f"a block's keys cannot be read: {error}") from None
    if inflater.unconsumed_tail or not inflater.eof or len(data) % 8:
        raise ValueError(f"a block has more than {_MOST_KEYS:,} keys, or is cut off")
    return np.frombuffer(data, dtype="<i8").astype(np.int64)


def insert(table: str, columns: Sequence[str]) -> str:
    """Statement that adds a row if its key is new."""
    names = ", ".join(quoted(name) for name in columns)
    return f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"


def quoted(name: str) -> str:
    """A name as an SQL identifier, with any characters."""
    if "\0" in name:
        raise InputError(f"ledger: a column cannot be called {name!r}: it contains a NUL character")
    return '"' + name.replace('"', '""') + '"'


def _sql_type(column: str) -> str:
    if column == "attempt":
        return "INTEGER PRIMARY KEY"
    return "INTEGER" if column in _INTEGERS else "TEXT" if column in _TEXTS else "REAL"


# --- values -------------------------------------------------------------------------------------


def plain(column: Any) -> Any:
    """Python's own numbers: SQLite would store a numpy scalar as raw bytes."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        return column.tolist()
    if _PLAIN_TYPES.issuperset(map(type, column)):
        return column
    return [value.item() if hasattr(value, "item") else value for value in column]


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("name"):
        return str(value["name"])  # the arm's JSON has all of it
    value = value.item() if hasattr(value, "item") else value
    return value if value is None or type(value) in {int, float, str} else dumps(value)


def json_items(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of the header table."""
    return [(key, dumps(value)) for key, value in values.items()]


def dumps(value: Any) -> str:
    """JSON, numpy values included."""
    return json.dumps(value, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v))


def now() -> str:
    """Wall time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
