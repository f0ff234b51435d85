"""Exports are the flat view, digit for digit, and complete or absent."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.patience import PATIENCE_S

from channelsim.contracts.records import (
    ATTEMPT_COLUMNS,
    ArmRecord,
    AttemptsDone,
    Started,
    TransmissionsDone,
    metric_columns,
    quality_columns,
)
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger
from channelsim.ledger import export as export_module
from channelsim.ledger.export import export, frame
from channelsim.support.errors import InputError, MachineError

COUNT = 50
SWEPT = {"mallory.budget.epsilon": [0, 0.5], 'odd "name", with comma': ["black", "white"]}


def ledger_in(folder: Path, rows: int = 2 * COUNT) -> Ledger:
    """A run of two arms with numbers of every kind: fractions, infinities, missing ones."""
    arms = [
        ArmRecord(arm, receiver, {key: values[arm] for key, values in SWEPT.items()})
        for arm, receiver in enumerate(["plain", "härdened"])
    ]
    header = {
        "count": COUNT, "max_attempts": 2, "metrics": ["mse", "psnr"], "control": False,
        "swept_keys": list(SWEPT), "scenario_hash": "abc",
    }  # fmt: skip
    ledger = Ledger.create(folder / "ledger.sqlite", Started(RunHeader(header), arms, 2 * COUNT))
    names = [
        *ATTEMPT_COLUMNS,
        *quality_columns(["mse", "psnr"]),
        *metric_columns(["mse", "psnr"], False),
    ]
    transmission = np.arange(rows)
    columns: dict[str, Any] = {
        name: np.random.default_rng(place).normal(size=rows) for place, name in enumerate(names)
    }
    columns |= {
        "attempt": transmission * 2 + transmission % 2,
        "transmission": transmission,
        "lost": transmission % 7 == 0,
        "accepted": transmission % 7 != 0,
        "snr_db": np.where(transmission % 3 == 0, np.nan, 30.0),
        "psnr_source": np.where(transmission % 5 == 0, np.inf, 20.25),
        "psr_db": np.where(transmission % 5 == 0, -np.inf, columns["psr_db"]),
        "verdict": np.where(transmission % 4 == 0, "off", "ok"),
    }
    ledger.write(AttemptsDone(columns))
    ledger.write(
        TransmissionsDone(
            {
                "transmission": transmission,
                "sent_s": transmission * 0.1,
                "done_s": transmission * 0.1 + 0.02,
                "attempts": transmission % 2 + 1,
                "delivered": np.where(transmission % 7 == 0, "lost", "yes"),
            }
        )
    )
    ledger.commit()
    return ledger


def view(ledger: Ledger) -> list[tuple]:
    return list(ledger.rows("SELECT * FROM transmissions ORDER BY transmission"))


@pytest.fixture(params=[7, 10_000], ids=["small-chunks", "one-chunk"])
def any_chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "_CHUNK", request.param)


@pytest.mark.usefixtures("any_chunk")
def test_csv_reads_back_as_the_view(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        export(ledger, "csv", tmp_path / "out.csv")
        with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as text:
            head, *rows = csv.reader(text)
        assert tuple(head) == ledger.flat_columns
        expected = view(ledger)
        assert len(rows) == len(expected) == 2 * COUNT
        for row, stored in zip(rows, expected, strict=True):
            for cell, value in zip(row, stored, strict=True):
                assert cell == "" if value is None else type(value)(cell) == value


@pytest.mark.usefixtures("any_chunk")
def test_jsonl_reads_back_as_the_view(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        export(ledger, "jsonl", tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line, parse_constant=_no_constant) for line in lines]
        assert [tuple(row.values()) for row in rows] == view(ledger)
        assert all(tuple(row) == ledger.flat_columns for row in rows)
        assert math.inf in rows[0].values()


def _no_constant(word: str) -> float:
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.usefixtures("any_chunk")
def test_parquet_reads_back_as_the_view(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with ledger_in(tmp_path) as ledger:
        export(ledger, "parquet", tmp_path / "out.parquet")
        table = parquet.read_table(tmp_path / "out.parquet")
        assert tuple(table.column_names) == ledger.flat_columns
        columns = [column.to_pylist() for column in table.columns]
        assert list(zip(*columns, strict=True)) == view(ledger)


@pytest.mark.usefixtures("any_chunk")
def test_the_frame_is_the_view_with_sensible_types(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        table = frame(ledger)
        assert tuple(table.columns) == ledger.flat_columns
        for name, *stored in zip(ledger.flat_columns, *view(ledger), strict=True):
            for cell, value in zip(table[name].tolist(), stored, strict=True):
                assert (cell != cell) if value is None else cell == value
        kinds = {name: table[name].dtype.kind for name in table.columns}
        for name in ("transmission", "arm", "message", "attempts"):
            assert kinds[name] == "i"
        for name in ("sent_s", "snr_db", "psnr_source", "mallory.budget.epsilon"):
            assert kinds[name] == "f"
        means = table.groupby("receiver")["mse_source"].mean()
        assert set(means.index) == {"plain", "härdened"}


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_an_empty_run_exports_as_no_rows(format: str, tmp_path: Path) -> None:
    with ledger_in(tmp_path, rows=0) as ledger:
        export(ledger, format, tmp_path / "out")
        assert len((tmp_path / "out").read_text().splitlines()) == (format == "csv")
        assert len(frame(ledger)) == 0
        assert tuple(frame(ledger).columns) == ledger.flat_columns


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_standard_output_gets_the_same_bytes_as_a_file(
    format: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with ledger_in(tmp_path) as ledger:
        export(ledger, format, tmp_path / "out")
        with io.TextIOWrapper(io.FileIO(os.dup(1), "w")) as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            export(ledger, format)
    assert capfdbinary.readouterr().out == (tmp_path / "out").read_bytes()


def test_a_run_is_exported_while_it_grows(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as writer, Ledger.open(writer.path) as reader:
        seen = export_module.chunks(reader, rows=10)
        first = next(seen)
        writer.set_header({"finished": 1.0})
        writer.commit()
        assert [len(first), *(len(chunk) for chunk in seen)] == [10] * 10


# --- failures -----------------------------------------------------------------------------------


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        with pytest.raises(InputError, match=r"'parket' \(known: csv, jsonl, parquet\). Did you"):
            export(ledger, "parket", tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with ledger_in(tmp_path) as ledger:
        with pytest.raises(InputError, match=r"pip install 'channelsim\[parquet\]'"):
            export(ledger, "parquet", tmp_path / "out.parquet")
        assert not (tmp_path / "out.parquet").exists()


def test_a_failed_export_leaves_neither_half_a_file_nor_touches_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "exports" / "out.csv"
    out.parent.mkdir()
    out.write_text("the old one")

    def full(ledger: Ledger, sink: Any) -> None:
        sink.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export_module._WRITERS, "csv", full)
    with (
        ledger_in(tmp_path) as ledger,
        pytest.raises(MachineError, match="No space left on device"),
    ):
        export(ledger, "csv", out)
    assert out.read_text() == "the old one"
    assert list(out.parent.iterdir()) == [out]


def test_a_missing_folder_is_the_users_to_make(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger, pytest.raises(InputError, match=r"nowhere.out\.csv"):
        export(ledger, "csv", tmp_path / "nowhere" / "out.csv")


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_reader_that_has_seen_enough_is_no_error(format: str, tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        path = ledger.path
    story = f"""
from pathlib import Path
from channelsim.ledger import export
from channelsim.ledger import Ledger
with Ledger.open(Path({str(path)!r})) as ledger:
    once = list(export.chunks(ledger))
    export.chunks = lambda ledger: once * 1000   # far more than a pipe holds
    export.export(ledger, {format!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen(
        [sys.executable, "-c", story], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdout is not None
    assert writer.stderr is not None
    assert writer.stdout.readline()
    writer.stdout.close()
    complaint = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(timeout=PATIENCE_S) == 0, complaint
    assert complaint == b""
