"""Exports of the flat view as a file or a table: one row per transmission, its last attempt.

Everything streams: a row is in memory only while it is written (`frame` alone builds a table).
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

from channelsim.ledger import Ledger
from channelsim.ledger.genuine import damaged
from channelsim.support.errors import InputError, MachineError, did_you_mean, printable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Format = Literal["csv", "jsonl", "parquet"]
_FORMULAS = ("=", "+", "-", "@")
_CHUNK = 10_000  # rows at a time; project's choice
_INTEGERS = {"transmission", "arm", "message", "attempts"}
_TEXTS = {"receiver", "delivered", "verdict"}


def export(ledger: Ledger, format: str, out: Path | None = None) -> None:
    """Write the flat view, to standard output if no file is given.

    ``csv``: a head line, empty cells for NULL, ``inf`` for infinities, an apostrophe before texts
    that a spreadsheet would take for formulas; ``jsonl``: one object per line, null, and 1e999 for
    infinities, which is valid JSON and read back as infinity; ``parquet``: needs pyarrow. Numbers
    have all digits needed to read back the same bits. A file gets its name only when it is
    complete.
    """
    if format not in get_args(Format):
        known = ", ".join(get_args(Format))
        hint = did_you_mean(format, get_args(Format))
        raise InputError(f"export: unknown format {format!r} (known: {known}).{hint}")
    if format == "parquet":
        _pyarrow()
    if out is None:
        _to_stdout(ledger, format)
        return
    out = Path(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as sink:
            _WRITERS[format](ledger, sink)
        part.replace(out)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"export: {out} cannot be written ({error.strerror})") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise InputError(f"export: no file can have this name ({error.strerror})") from error
        raise MachineError(
            f"export: writing {out} failed ({error.strerror}); nothing was left behind"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _to_stdout(ledger: Ledger, format: str) -> None:
    if format == "parquet" and sys.stdout.isatty():
        raise InputError("export: parquet is binary; name a file with --out FILE.parquet")
    try:
        sys.stdout.flush()
        _WRITERS[format](ledger, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`). Python would flush again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise MachineError(f"export: writing failed ({error.strerror})") from error


def chunks(ledger: Ledger, rows: int | None = None) -> Iterator[list[tuple]]:
    """The flat view in order of transmission, as of the first read."""
    view = ledger.flat()
    while chunk := list(islice(view, rows or _CHUNK)):
        yield chunk


def _write_csv(ledger: Ledger, sink: IO[bytes]) -> None:
    with _text(sink) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(_no_formula, ledger.flat_columns))
        for chunk in chunks(ledger):
            writer.writerows([_no_formula(cell) for cell in row] for row in chunk)


def _no_formula(cell: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe before it; numbers never do.

    Control characters are escaped in every line of a text.
    """
    if not isinstance(cell, str):
        return cell
    text = "\n".join(map(printable, cell.split("\n")))
    return "'" + text if text.lstrip().startswith(_FORMULAS) else text


def _write_jsonl(ledger: Ledger, sink: IO[bytes]) -> None:
    names = ledger.flat_columns
    with _text(sink) as text:
        for chunk in chunks(ledger):
            for row in chunk:
                text.write(_json_line(dict(zip(names, row, strict=True))))


def _json_line(row: dict[str, Any]) -> str:
    try:
        return json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError:
        cells = (
            f"{json.dumps(key, ensure_ascii=False)}: {_json(cell)}" for key, cell in row.items()
        )
        return "{" + ", ".join(cells) + "}\n"


def _json(cell: Any) -> str:
    if isinstance(cell, float) and math.isinf(cell):
        return "1e999" if cell > 0 else "-1e999"
    return json.dumps(cell, ensure_ascii=False)


@contextlib.contextmanager
def _text(sink: IO[bytes]) -> Iterator[io.TextIOWrapper]:
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="")
    try:
        yield text
        text.flush()
    finally:
        with contextlib.suppress(OSError):
            text.detach()  # the caller closes the sink


def _write_parquet(ledger: Ledger, sink: IO[bytes]) -> None:
    arrow, parquet = _pyarrow()
    kinds = _kinds(ledger)
    types = {"integer": arrow.int64(), "real": arrow.float64(), "text": arrow.string()}
    schema = arrow.schema([(name, types[kind]) for name, kind in kinds.items()])
    # The writer puts the footer at the end and needs a sink that knows its position.
    with tempfile.TemporaryFile() as seekable:
        with parquet.ParquetWriter(seekable, schema) as writer:
            for chunk in chunks(ledger):
                columns = zip(*chunk, strict=True)
                writer.write_table(
                    arrow.Table.from_arrays(
                        [
                            arrow.array(_texts(cells) if kind == "text" else cells, types[kind])
                            for cells, kind in zip(columns, kinds.values(), strict=True)
                        ],
                        schema=schema,
                    )
                )
        seekable.seek(0)
        shutil.copyfileobj(seekable, sink)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "export: parquet needs pyarrow, which is not installed; install it with"
            " pip install 'channelsim[parquet]', or choose csv or jsonl"
        ) from error
    return pyarrow, pyarrow.parquet


_WRITERS = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}


# --- as a table ---------------------------------------------------------------------------------


def frame(ledger: Ledger) -> pd.DataFrame:
    """The flat view as a pandas table: whole numbers, float64 (NULL is NaN), or text.

    A swept key whose values are all numbers gives a numeric column, any other one a column of text.
    """
    import numpy as np
    import pandas as pd

    kinds = _kinds(ledger)
    types = {"integer": np.int64, "real": np.float64, "text": object}
    parts: list[list[np.ndarray]] = [[np.empty(0, types[kind])] for kind in kinds.values()]
    words: dict[str, str] = {}
    for chunk in chunks(ledger):
        for part, column, kind in zip(parts, zip(*chunk, strict=True), kinds.values(), strict=True):
            cells: Sequence[Any] = column
            if kind == "text":  # one object per word: a table repeats it a million times
                cells = [c if c is None else words.setdefault(c, c) for c in _texts(column)]
            try:
                part.append(np.array(cells, dtype=types[kind]))
            except (TypeError, ValueError, OverflowError) as error:
                raise damaged(ledger.path, error) from None
    columns = [np.concatenate(part) for part in parts]
    return pd.DataFrame(dict(enumerate(columns))).set_axis(list(kinds), axis=1)


def _kinds(ledger: Ledger) -> Mapping[str, str]:
    """The type of each column of the flat view: integer, real or text."""
    kinds = {}
    for name in ledger.flat_columns:
        kinds[name] = "integer" if name in _INTEGERS else "text" if name in _TEXTS else "real"
    for key in ledger.swept_keys:
        types = {type(arm.swept.get(key)) for arm in ledger.arms()}
        kinds[key] = "integer" if types == {int} else "real" if types <= {int, float} else "text"
    return kinds


def _texts(cells: Sequence[Any]) -> list[str | None]:
    return [cell if cell is None or isinstance(cell, str) else json.dumps(cell) for cell in cells]
