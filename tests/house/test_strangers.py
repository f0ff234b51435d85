"""A run folder, a ledger or a file from another person is safe to open, replay, watch and export.

No foreign code runs without consent, no foreign SQL is trusted, no header's claim costs memory, and
no foreign name or title controls a terminal, a spreadsheet or a picture.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, created, started, sweep
from helpers.patience import PATIENCE_S

import channelsim
from channelsim.adversaries.image_file import read_target
from channelsim.cli.app import answer
from channelsim.contracts.records import ImageSaved, Noted
from channelsim.display.live.model import Model
from channelsim.display.live.reader import Reader
from channelsim.display.live.remembered import Details
from channelsim.ledger import Ledger
from channelsim.ledger.consent import CodeFile
from channelsim.ledger.sql import packed, unpacked
from channelsim.report.gallery import gallery
from channelsim.runs.population import populations
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario
from channelsim.support import weight_files
from channelsim.support.errors import ChannelsimError, InputError, MachineError, printable

CODE = """
from pathlib import Path

from torch import nn
from torch.nn import functional as F

with (Path(__file__).parent / "it-ran").open("a") as ran:
    ran.write("x")


class Mine(nn.Module):
    def encode(self, images):
        return F.avg_pool2d(images, 4).flatten(1)

    def decode(self, latents):
        return F.interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)
"""
SCENARIO = """
title: Somebody's run
block_rows: 8
source: {kind: dataset, name: mnist5k, count: 8}
path: [{kind: awgn, snr_db: 20}]
receivers: {mine: {codec: {use: "./code.py:Mine"}}}
metrics: [mse]
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A run folder that names code; the code leaves a trace when it runs."""
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    run = channelsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run").folder
    (tmp_path / "it-ran").unlink()
    for name in [name for name in sys.modules if name.startswith("channelsim_user_")]:
        del sys.modules[name]  # as in another process
    return run


def ran(run: Path) -> bool:
    return (run.parent / "it-ran").exists()


def change(run: Path, *statements: str, values: tuple[Any, ...] = ()) -> None:
    """Change a ledger as another person may have done."""
    connection = sqlite3.connect(run / "ledger.sqlite")
    with connection:
        for statement in statements:
            # One value may stand in several places: from Python 3.14 on only by a name.
            named = ":value" in statement
            given = {"value": values[0]} if named else values
            connection.execute(statement, given)
    connection.close()


# --- code that a ledger names -------------------------------------------------------------------


def test_replaying_a_ledger_runs_its_code_only_after_a_yes(foreign: Path) -> None:
    with pytest.raises(InputError, match=r"code\.py \(SHA-256 [0-9a-f]{64}\).*--allow-code"):
        replay(foreign, 0)
    with pytest.raises(InputError, match="allow_code=True"):
        populations(foreign)
    assert not ran(foreign)
    assert replay(foreign, 0, allow_code=True).flips == ()
    assert ran(foreign)


def test_whoever_is_asked_sees_every_file_and_may_say_no(foreign: Path) -> None:
    shown: list[CodeFile] = []

    def refuse(files: Any) -> bool:
        shown.extend(files)
        return False

    with pytest.raises(InputError, match="look at these files first"):
        replay(foreign, 0, allow_code=refuse)
    assert [file.path for file in shown] == [foreign.parent / "code.py"]
    assert not ran(foreign)


def test_code_that_is_not_the_headers_is_refused_even_with_a_yes(foreign: Path) -> None:
    (foreign.parent / "code.py").write_text(CODE + "\n# and more\n")
    with pytest.raises(InputError, match=r"code\.py \(SHA-256 .* in the header, .* now\)"):
        replay(foreign, 0, allow_code=True)
    assert not ran(foreign)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The header lists a file that is harmless, and the scenario names another one.
        ("code.py:Mine", "other.py:Mine"),
        ("code.py:Mine", "../other.py:Mine"),
    ],
)
def test_code_that_the_header_does_not_list_is_refused(foreign: Path, old: str, new: str) -> None:
    (foreign.parent / new.partition(":")[0]).write_text(CODE)
    change(foreign, f"UPDATE header SET value = replace(value, '{old}', '{new}')")
    with pytest.raises(InputError, match=r"other\.py \(not listed in the header\)"):
        replay(foreign, 0, allow_code=True)
    assert not ran(foreign)


@pytest.mark.parametrize("method", ["encode", "decode"])
@pytest.mark.parametrize(
    ("asks", "evil"),
    [
        ("import importlib; importlib.import_module('unlisted_' + 'one')", "unlisted_one.py"),
        ("__import__('unlisted_' + 'two')", "unlisted_two.py"),
        ("import importlib; importlib.import_module('pack_three.inner')", "pack_three/inner.py"),
        ("import runpy; runpy.run_path(str(Path(__file__).parent / 'four.py'))", "four.py"),
        ("exec(compile(Path(__file__).with_name('five.py').read_text(),"
         " str(Path(__file__).with_name('five.py')), 'exec'), {'__file__': __file__})", "five.py"),
    ],
)  # fmt: skip
def test_code_that_a_listed_file_reaches_unlisted_is_refused(
    asks: str, evil: str, method: str, tmp_path: Path
) -> None:
    """The file did not exist at the run; the ledger's author added it afterwards."""
    first = CODE.index("\n\n\nclass")
    line = f"if Path(__file__).with_name({evil.partition('/')[0]!r}).exists(): exec({asks!r})"
    harmless = CODE[: CODE.index("\nwith")] + CODE[first:]
    given = {"encode": "images", "decode": "latents"}[method]
    head = f"def {method}(self, {given}):\n"
    code = harmless.replace(head, f"{head}        {line}\n")
    (tmp_path / "code.py").write_text(code)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    run = channelsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run").folder
    (tmp_path / evil).parent.mkdir(exist_ok=True)
    marks = CODE[CODE.index("from pathlib") : CODE.index("\n\nfrom torch")]
    where = repr(str(tmp_path / "it-ran"))
    (tmp_path / evil).write_text(f"{marks}\nPath({where}).write_text('x')\n")
    with pytest.raises(InputError, match="is not among the files whose code may be run here"):
        replay(run, 0, allow_code=True)
    assert not ran(run)


def test_code_in_a_sweep_is_code_too(foreign: Path) -> None:
    (foreign.parent / "other.py").write_text(CODE)
    with Ledger.open(foreign / "ledger.sqlite", write=True) as ledger:
        scenario = ledger.raw_header().values["scenario"]
        uses = [f"{foreign.parent}/code.py:Mine", f"{foreign.parent}/other.py:Mine"]
        scenario["sweep"] = {"receivers.mine.codec.use": uses}
        ledger.set_header({"scenario": scenario})
    with pytest.raises(InputError, match=r"other\.py \(not listed in the header\)"):
        replay(foreign, 0, allow_code=True)
    assert not ran(foreign)


def test_a_ledger_of_before_files_were_listed_asks_all_the_same(foreign: Path) -> None:
    change(foreign, "DELETE FROM header WHERE key = 'parts'")
    with pytest.raises(InputError, match=r"code\.py \(SHA-256"):
        replay(foreign, 0)
    assert not ran(foreign)
    assert replay(foreign, 0, allow_code=True).notices


def test_on_the_command_line_it_takes_an_option_or_an_answer(
    foreign: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["replay", str(foreign), "--transmission", "0"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert answer(words) == 2
    assert "--allow-code" in capsys.readouterr().err
    for typed, code in (("n\n", 2), ("\n", 2), ("y\n", 0)):
        terminal = io.StringIO(typed)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", terminal)
        assert answer(words) == code, typed
        asked = capsys.readouterr().err
        assert "Run this code? [y/N]" in asked
        assert "SHA-256" in asked
        assert ran(foreign) == (code == 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert answer([*words, "--allow-code"]) == 0


def test_the_view_asks_before_it_recomputes(foreign: Path) -> None:
    change(foreign, "DELETE FROM image")
    for keys, asked, does in (("i", True, False), ("i,n", False, False), ("i,y", False, True)):
        file = foreign.parent / "view.svg"
        words = ["watch", str(foreign), "--svg", str(file), "--size", "160x50", "--press", keys]
        command = [sys.executable, "-m", "channelsim", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        text = file.read_text(encoding="utf-8").replace("&#160;", " ")
        assert ("Run this code?" in text) == asked, keys
        assert ran(foreign) == does, keys


def test_running_ones_own_scenario_says_what_code_it_runs(foreign: Path) -> None:
    told: list[str] = []

    def hear(event: Any) -> None:
        if isinstance(event, Noted):
            told.append(event.text)

    channelsim.run(foreign.parent / "scenario.yaml", out=foreign.parent / "own", on_event=hear)
    assert any("runs code from ./code.py:Mine" in text for text in told)


def test_a_ledger_without_code_of_its_own_asks_nothing(tmp_path: Path) -> None:
    text = SCENARIO.replace('{use: "./code.py:Mine"}', "kld-vae")
    (tmp_path / "scenario.yaml").write_text(text)
    run = channelsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run")
    assert replay(run.folder, 0).flips == ()


def test_a_replay_that_differs_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SCENARIO.replace('{use: "./code.py:Mine"}', "kld-vae")
    (tmp_path / "scenario.yaml").write_text(text)
    run = channelsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run").folder
    assert answer(["replay", str(run), "--transmission", "0"]) == 0
    change(run, "UPDATE attempt SET mse_source = mse_source + 0.5 WHERE attempt = 0")
    assert answer(["replay", str(run), "--transmission", "0"]) == 3
    told = capsys.readouterr()
    assert "mse_source" in told.err
    assert told.err.startswith("differs from the ledger")


@pytest.mark.parametrize(
    "parts",
    ["7", "[]", '{"a": 7}', '{"a": {"files": 7}}', '{"a": {"files": {"x": "y"}}}', '{"a": {}}'],
)
def test_a_header_that_lists_no_parts_as_one_is_written_is_refused(
    parts: str, foreign: Path
) -> None:
    change(foreign, "UPDATE header SET value = ? WHERE key = 'parts'", values=(parts,))
    with pytest.raises(ChannelsimError, match=r"damaged|not listed"):
        replay(foreign, 0, allow_code=True)
    assert not ran(foreign)
    change(foreign, "DELETE FROM header WHERE key = 'finished'")
    with pytest.raises(ChannelsimError, match=r"damaged|changed since it began"):
        channelsim.run(foreign.parent / "scenario.yaml", out=foreign, resume=True)


@pytest.mark.parametrize("scenario", ["7", "null", '"scenario.yaml"', "[]"])
def test_a_header_without_a_scenario_is_damaged(scenario: str, foreign: Path) -> None:
    change(foreign, "UPDATE header SET value = ? WHERE key = 'scenario'", values=(scenario,))
    with pytest.raises(MachineError, match="damaged"):
        replay(foreign, 0, allow_code=True)
    assert not ran(foreign)


# --- a ledger's own SQL -------------------------------------------------------------------------

ENDLESS = (
    "CREATE VIEW transmissions AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
    " SELECT i AS transmission FROM n"
)


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP VIEW transmissions", ENDLESS],
        [
            "CREATE TRIGGER silent BEFORE INSERT ON attempt BEGIN SELECT RAISE(IGNORE); END",
        ],
        ["ALTER TABLE header RENAME TO other", "CREATE VIEW header AS SELECT * FROM other"],
        ["CREATE VIEW more AS SELECT randomblob(1000000000)"],
        ["CREATE TABLE more (a, b GENERATED ALWAYS AS (a || a))"],
        ["CREATE INDEX slow ON attempt (abs(psr_db))"],
        ["ALTER TABLE attempt ADD COLUMN more"],
        ["ALTER TABLE transmission RENAME COLUMN done_s TO gone_s"],
    ],
    ids=["view", "trigger", "header", "a view more", "a table", "an index", "column", "renamed"],
)
def test_sql_that_a_file_brings_along_is_never_run(statements: list[str], tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0, 0.5]), 4) as ledger:
        add_arm(ledger, 0)
    change(tmp_path, *statements)
    for write in (False, True):
        with pytest.raises(InputError, match=r"not that of any ledger|not a channelsim ledger"):
            Ledger.open(tmp_path / "ledger.sqlite", write=write)
    with pytest.raises(InputError, match=r"not that of any ledger|not a channelsim ledger"):
        Reader(tmp_path / "ledger.sqlite")


def test_ledgers_with_other_known_columns_open(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0, 0.5]), 4) as ledger:
        add_arm(ledger, 0)
    # Older ledgers had fewer columns in the flat view and in attempts.
    change(tmp_path, "DROP VIEW transmissions", "ALTER TABLE attempt DROP COLUMN fallback_attempt")
    with Ledger.open(shorter_view(tmp_path)) as ledger:
        assert [row[0] for row in ledger.flat()] == [0, 1, 2, 3]


def shorter_view(folder: Path) -> Path:
    from channelsim.ledger.sql import flat_ends

    header = started(sweep(["a"], [0.0, 0.5]), 4).header
    begin, end = flat_ends(header)
    change(folder, f'{begin}, attempt."verdict" AS "verdict"{end}')
    return folder / "ledger.sqlite"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", "-5"),
        ("count", '"many"'),
        ("count", "1" + "0" * 40),
        ("max_attempts", "null"),
        ("metrics", '"mse"'),
        ("swept_keys", "[1, 2]"),
        ("swept_keys", "{"),
        ("swept_keys", "[" * 100_000),
        ("control", "7"),
        ("swept_keys", '["\\u001b[2Jgone"]'),
    ],
)
def test_a_damaged_header_is_called_damaged(key: str, value: str, tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0, 0.5]), 4):
        pass
    change(tmp_path, f"UPDATE header SET value = ? WHERE key = '{key}'", values=(value,))
    with pytest.raises(MachineError, match="the ledger is damaged") as error:
        Ledger.open(tmp_path / "ledger.sqlite")
    assert error.value.message == printable(error.value.message)
    assert len(error.value.message) < 600


@pytest.mark.parametrize("cell", ["'word'", "x'00ff'", "'\ufffd'"])
def test_a_word_where_a_number_belongs_is_damage_and_no_bug(cell: str, tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0]), 4) as ledger:
        add_arm(ledger, 0)
    change(tmp_path, f"UPDATE attempt SET psr_db = {cell} WHERE attempt = 1")
    with pytest.raises(MachineError, match="damaged"):
        channelsim.Run(tmp_path).frame()
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    with pytest.raises(MachineError, match="damaged"):
        model.tick(60.0)


def test_bytes_that_are_no_text_are_read_as_far_as_they_are(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0]), 4) as ledger:
        add_arm(ledger, 0)
    change(tmp_path, "UPDATE arm SET receiver = CAST(x'ff41' AS TEXT)")
    assert answer(["export", str(tmp_path), "--out", str(tmp_path / "t.csv")]) == 0


@pytest.mark.parametrize("size", [2**27, 2**30])
def test_a_compressed_cell_has_a_limit(size: int) -> None:
    keys = np.arange(5000)
    assert (unpacked(packed(keys.tolist())) == keys).all()
    bomb = zlib.compressobj(9)
    cell = b"".join(bomb.compress(bytes(2**24)) for _ in range(size // 2**24)) + bomb.flush()
    with pytest.raises(ValueError, match="more than 1,048,576 keys"):
        unpacked(cell)
    with pytest.raises(ValueError, match="cut off"):
        unpacked(packed(keys.tolist())[:-20])
    with pytest.raises(ValueError, match="cannot be read"):
        unpacked(b"no deflate")


# --- pictures in a ledger -----------------------------------------------------------------------


def png(width: int, height: int, colour: int = 0, rows: bytes = b"") -> bytes:
    """A PNG that claims a size, and holds these rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


GOOD = png(4, 4, rows=(b"\0" + b"\x40" * 4) * 4)


@pytest.mark.parametrize(
    "picture",
    [
        png(30_000, 30_000, rows=bytes(1000)),
        png(12_000, 12_000, 2, rows=bytes(164_000)),
        png(4, 5, rows=(b"\0" + b"\x40" * 4) * 5),
        png(4, 4, 2, rows=(b"\0" + b"\x40" * 12) * 4),
        png(4, 4, rows=b""),
        GOOD[:40],
        GOOD + bytes(10_000),
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a" + bytes(40),
        "a text",
        7,
    ],
)
def test_a_picture_that_is_not_the_runs_is_a_grey_tile(picture: Any, tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0]), 4, image_shape=[1, 4, 4]) as ledger:
        add_arm(ledger, 0)
        ledger.write(ImageSaved(0, 0, "source", GOOD))
        ledger.write(ImageSaved(0, 0, "received", picture))
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    shown = Details(model).images(0)
    assert shown["received"].shape == (4, 4, 3)
    assert (shown["received"] == 217).all()
    assert (shown["source"] == 0x40).all()
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert gallery(ledger, tmp_path / "gallery.png")


# --- control characters -------------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\x1b[2J=1+1 <b>&\u202e\x00\x9b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Ünïcode ☃ 😀", "plain Ünïcode ☃ 😀"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("right\u202eleft", r"right\u202eleft"),
        ("half \ud800", r"half \ud800"),
        ("c1 \x9b", r"c1 \x9b"),
    ],
)
def test_what_would_steer_a_terminal_is_spelt_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def evil_run(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    arms = sweep(["a", "b"], [0.0, 0.5])
    with created(folder, arms, 6, title=EVIL) as ledger:
        for arm in arms:
            add_arm(ledger, arm.arm)
        ledger.write(Noted("warning", f"beware {EVIL}", 0.0))
    change(
        folder,
        "UPDATE arm SET receiver = :value, verdict = :value, status = 'done'",
        values=(EVIL,),
    )
    change(folder, "UPDATE attempt SET verdict = :value", values=(EVIL,))
    return folder


@pytest.mark.parametrize("how", ["watch", "export", "svg"])
def test_no_text_of_a_ledger_steers_anything(how: str, tmp_path: Path) -> None:
    run = evil_run(tmp_path / "run")
    words = {
        "watch": ["watch", str(run)],
        "svg": ["watch", str(run), "--svg", str(tmp_path / "view.svg")],
        "export": ["export", str(run), "--out", str(tmp_path / "table.csv")],
    }[how]
    command = [sys.executable, "-m", "channelsim", *words]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    for stream in (done.stdout, done.stderr):
        assert not set(stream) & (set(range(32)) - {10})
        assert "\u202e".encode() not in stream
    if how == "svg":
        picture = (tmp_path / "view.svg").read_text(encoding="utf-8")
        ET.fromstring(picture)
        assert "\x1b" not in picture


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-1+2", "'-1+2"),
        ("@sum", "'@sum"),
        ("\t=x", "' =x"),
        ("\n=x", "'\n=x"),
        ("a\r=x", r"a\r=x"),
        ("a=b", "a=b"),
    ],
)
def test_a_table_holds_no_formulas(text: str, shown: str, tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0]), 3) as ledger:
        add_arm(ledger, 0)
    change(tmp_path, "UPDATE arm SET receiver = :value", values=(text,))
    change(tmp_path, "UPDATE attempt SET verdict = :value", values=(text,))
    assert answer(["export", str(tmp_path), "--out", str(tmp_path / "t.csv")]) == 0
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    assert len(rows) == 3
    for row in rows:
        found = dict(zip(head, row, strict=True))
        assert found["receiver"] == found["verdict"] == shown
        assert float(found["psr_db"]) == -10.0, "a negative number is no formula"


@pytest.mark.parametrize("title", ["\x1b[2Jcleared", "a\u202eb", "bell\x07"])
def test_titles_of_ones_own_scenario_are_spelt_out_too(title: str, tmp_path: Path) -> None:
    text = SCENARIO.replace('{use: "./code.py:Mine"}', "kld-vae")
    written = title.encode("unicode_escape").decode()
    (tmp_path / "scenario.yaml").write_text(text.replace("Somebody's run", f'"{written}"'))
    words = ["run", str(tmp_path / "scenario.yaml"), "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "channelsim", *words]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    assert title.encode() not in done.stdout + done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert channelsim.Run.open(tmp_path / "run").header()["title"] == printable(title)
    assert replay(tmp_path / "run", 0).flips == (), "the title itself is kept as it was"


# --- false and missing files --------------------------------------------------------------------


def npy(shape: str, data: bytes = b"", kind: str = "<f4") -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data


@pytest.mark.parametrize(
    "data",
    [
        npy("(1000000, 1000000)", bytes(64)),
        npy("(4, 4)", bytes(60)),
        npy("(4, 4)", bytes(200)),
        npy("(-4, 4)", bytes(64)),
        npy("(" * 3000 + "4" + ",)" * 3000, bytes(64)),
        npy("(4, 4)", bytes(128), "|O"),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"",
    ],
)
def test_an_array_that_lies_about_itself_costs_no_memory(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "target.npy").write_bytes(data)
    with pytest.raises(InputError, match=r"target\.npy: not a plain \.npy array"):
        read_target(tmp_path / "target.npy")


@pytest.mark.parametrize("size", [(1025, 4), (20_000, 20_000), (60_000, 60_000)])
def test_an_enormous_target_is_refused_before_it_is_decoded(
    size: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "target.png").write_bytes(png(*size, rows=bytes(100)))
    with pytest.raises(InputError, match="not a readable picture"):
        read_target(tmp_path / "target.png")


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2**63 - 1) + b"{",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 62) + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}',
        b"\0" * 7,
    ],
)
def test_weights_that_lie_about_themselves_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(InputError, match=r"w\.safetensors: .*(not a complete|damaged)"):
        weight_files.read(tmp_path / "w.safetensors")


@pytest.mark.parametrize("text", ["[" * 20_000, "{a: " * 20_000, "- " * 20_000])
def test_deep_nesting_is_refused_in_every_file_of_yaml(text: str, tmp_path: Path) -> None:
    weight_files.write(tmp_path / "w.safetensors", {}, {"format": "none"}, {})
    (tmp_path / "w.card.yaml").write_text(text)
    with pytest.raises(InputError, match="not readable YAML"):
        weight_files.read(tmp_path / "w.safetensors")
    (tmp_path / "scenario.yaml").write_text(text)
    with pytest.raises(InputError, match="nested too deeply"):
        Scenario.load(tmp_path / "scenario.yaml")


def scenario_with(**places: Any) -> dict[str, Any]:
    return {
        "source": {"kind": "dataset", "name": "mnist5k", "count": 4},
        "receivers": {"kld": {"codec": "kld-vae"}},
        "metrics": ["mse"],
        **places,
    }


PIPES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "weights": lambda pipe: {
        "receivers": {"a": {"codec": {"kind": "trained", "weights": str(pipe)}}}
    },
    "code": lambda pipe: {"receivers": {"a": {"codec": {"use": f"{pipe}:Mine"}}}},
    "pictures": lambda pipe: {"source": {"kind": "images", "path": str(pipe.parent)}},
    "arrays": lambda pipe: {"source": {"kind": "npz", "path": str(pipe)}},
    "target": lambda pipe: {
        "path": [
            {
                "kind": "pgd",
                "goal": {"kind": "image", "target": "file", "file": str(pipe)},
                "budget": {"norm": "linf", "epsilon": 0.1},
            }
        ]
    },
}


@pytest.mark.parametrize("place", PIPES)
@pytest.mark.parametrize("sort", ["pipe", "device"])
def test_pipes_and_devices_are_refused_at_once(place: str, sort: str, tmp_path: Path) -> None:
    suffix = {"weights": ".safetensors", "code": ".py", "arrays": ".npz"}.get(place, ".png")
    pipe = tmp_path / f"x{suffix}"
    if sort == "pipe":
        os.mkfifo(pipe)
    else:
        pipe.symlink_to("/dev/zero")
    with pytest.raises(InputError) as error:
        Scenario.load(scenario_with(**PIPES[place](pipe)))
    assert "\n" not in error.value.message


def test_a_picture_that_vanished_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"gone\.png: is a pipe, a device or a link to nothing"):
        Scenario.load(scenario_with(source={"kind": "images", "path": str(tmp_path)}))


@pytest.mark.parametrize("command", ["run", "check", "train"])
def test_a_scenario_or_recipe_that_is_a_pipe_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    assert answer([command, str(tmp_path / "x.yaml")]) == 2
    assert "is a pipe or a device" in capsys.readouterr().err
    assert answer([command, "/dev/zero"]) == 2


# --- only the program's own mistakes are bugs ---------------------------------------------------

LONG = "n" * 5_000
HUGE = "1" + "0" * 30


@pytest.mark.parametrize(
    "words",
    [
        ["run", "~nosuchuser/x.yaml"],
        ["run", LONG],
        ["run", f"{LONG}.yaml"],
        ["run", "SCENARIO", "--out", LONG],
        ["run", "SCENARIO", "--out", f"/nowhere/{LONG}/x"],
        ["run", "SCENARIO", "--data-root", LONG, "--set", "source.name=mnist"],
        ["run", "SCENARIO", "--data-root", "~nosuchuser/data", "--set", "source.name=mnist"],
        ["run", "SCENARIO", "--set", f"title={LONG}", f"source.count={HUGE}"],
        ["run", "SCENARIO", "--set", f"seed={HUGE}", f"source.count={HUGE}"],
        ["run", "SCENARIO", "--set", f"block_rows={HUGE}"],
        ["run", "SCENARIO", "--set", f"max_pending={HUGE}", f"images={HUGE}", "source.count=0"],
        ["run", "SCENARIO", "--set", f"kld.codec={LONG}"],
        ["run", "SCENARIO", "--set", f"kld.codec={{use: './{LONG}.py:X'}}"],
        ["run", "SCENARIO", "--set", "kld.codec={use: '~nosuchuser/x.py:X'}"],
        ["run", "SCENARIO", "--set", "kld.codec={kind: trained, weights: ~nosuchuser/w}"],
        ["run", "SCENARIO", "--set", f"kld.codec={{kind: trained, weights: {LONG}}}"],
        ["run", "SCENARIO", "--set", f"{LONG}=1"],
        ["run", "SCENARIO", "--set", f"awgn.snr_db={HUGE}"],
        ["run", "SCENARIO", "--set", f"source={{kind: images, path: {LONG}}}"],
        ["run", "SCENARIO", "--set", f"source={{kind: npz, path: {LONG}}}"],
        ["run", "SCENARIO", "--set", "source={kind: npz, path: ~nosuchuser/a.npz}"],
        ["check", LONG],
        ["watch", LONG],
        ["watch", "RUN", "--svg", f"/nowhere/{LONG}"],
        ["export", LONG],
        ["export", "RUN", "--out", f"{LONG}.csv"],
        ["replay", "RUN", "--transmission", HUGE],
        ["replay", "RUN", "--transmission", "0", "--attempt", HUGE],
        ["replay", LONG, "--transmission", "0"],
        ["population", LONG],
        ["population", "RUN", "--weights", LONG],
        ["train", LONG],
        ["train", "~nosuchuser/recipe.yaml"],
    ],
    ids=lambda words: " ".join(word[:24] for word in words),
)
def test_what_somebody_typed_is_never_a_bug(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = SCENARIO.replace('{use: "./code.py:Mine"}', "kld-vae").replace("mine:", "kld:")
    (tmp_path / "scenario.yaml").write_text(text)
    with created(tmp_path, sweep(["a"], [0.0]), 4) as ledger:
        add_arm(ledger, 0)
    known = {"SCENARIO": str(tmp_path / "scenario.yaml"), "RUN": str(tmp_path)}
    code = answer([known.get(word, word) for word in words])
    told = capsys.readouterr().err
    assert code == 2, told
    assert "bug" not in told
    assert "Traceback" not in told
    assert told.strip()


# --- any working folder ---------------


@pytest.mark.parametrize("given", ["a file", "a mapping"])
def test_relative_names_mean_beside_the_scenario_from_any_working_folder(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    np.save(study / "target.npy", np.zeros((32, 32), dtype=np.float32))
    text = SCENARIO.replace('{use: "./code.py:Mine"}', "kld-vae").replace(
        "path: [", "path: [{kind: pgd, steps: 2, goal: {kind: image, target: file,"
        " file: target.npy}, budget: {norm: linf, epsilon: 0.3}}, "
    )  # fmt: skip
    (study / "scenario.yaml").write_text(text)
    monkeypatch.chdir(study if given == "a mapping" else tmp_path)
    scenario: Any = study / "scenario.yaml"
    if given == "a mapping":
        import yaml

        scenario = yaml.safe_load(text)
    run = channelsim.run(scenario, out=tmp_path / "run").folder
    monkeypatch.chdir("/")
    assert replay(run, 0).flips == ()


@pytest.mark.parametrize("name", ["weights.npy", "./weights.npy", "deep/weights.npy"])
def test_a_file_named_to_ones_own_code_means_beside_the_scenario(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = CODE.replace(
        "    def encode",
        "    def __init__(self, weights):\n        super().__init__()\n"
        "        self.gain = float(np.load(weights))\n\n    def encode",
        1,
    ).replace("from torch import nn", "import numpy as np\nfrom torch import nn")
    (tmp_path / "code.py").write_text(code)
    (tmp_path / "deep").mkdir()
    np.save(tmp_path / name, np.float32(1.0))
    use = f'{{use: "./code.py:Mine", weights: {name}}}'
    (tmp_path / "scenario.yaml").write_text(SCENARIO.replace('{use: "./code.py:Mine"}', use))
    monkeypatch.chdir("/")
    run = channelsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run").folder
    assert replay(run, 0, allow_code=True).flips == ()
    listed = channelsim.Run.open(run).header()["parts"]["receiver mine"]["files"]
    assert set(listed) == {"code.py", name.removeprefix("./")}


# --- a run that was killed as it ended ----------------------------------------------------------


def test_a_run_that_ended_without_being_closed_is_tidied_by_whoever_opens_it(
    tmp_path: Path,
) -> None:
    live, dead = tmp_path / "live", tmp_path / "dead"
    live.mkdir()
    dead.mkdir()
    ledger = created(live, sweep(["a"], [0.0]), 4)
    add_arm(ledger, 0)
    ledger.write(channelsim.contracts.records.Finished(1.0))
    ledger.commit()
    for file in live.iterdir():  # its state on disk if the process were killed now
        shutil.copy(file, dead)
    ledger.close()
    assert (dead / "ledger.sqlite-wal").exists()
    with Ledger.open(dead / "ledger.sqlite") as again:
        assert again.finished
        assert again.settled() == 4
    assert not (dead / "ledger.sqlite-wal").exists()


def test_a_run_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0]), 4) as ledger:
        add_arm(ledger, 0)
        ledger.commit()
        with Ledger.open(tmp_path / "ledger.sqlite") as again:
            assert not again.finished
        assert (tmp_path / "ledger.sqlite-wal").exists()


def test_a_ledger_that_is_cut_off_is_called_damaged(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a"], [0.0]), 400) as ledger:
        add_arm(ledger, 0)
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(file.read_bytes()[:-40_000])
    with pytest.raises(ChannelsimError, match="damaged"):
        channelsim.Run(tmp_path).frame()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE header SET value = '7' WHERE key = 'scenario'",
        "UPDATE header SET value = '[1, 2]' WHERE key = 'calibration'",
        "DELETE FROM header WHERE key = 'receivers'",
        "DELETE FROM arm WHERE arm = 0",
        "UPDATE arm SET swept = '[]'",
        "UPDATE arm SET swept = '{}'",
        "UPDATE attempt SET transmission = 1000000000 WHERE attempt = 1",
        "UPDATE attempt SET attempt = -7 WHERE attempt = 1",
        "UPDATE transmission SET attempts = 99 WHERE transmission = 1",
        "UPDATE transmission SET delivered = 'perhaps' WHERE transmission = 1",
        "UPDATE block SET keys = x'00'",
        "UPDATE image SET png = 7",
    ],
)
def test_whatever_a_ledger_holds_nobody_calls_it_a_bug(
    statement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with created(tmp_path, sweep(["a"], [0.0, 0.5]), 4) as ledger:
        add_arm(ledger, 0)
        add_arm(ledger, 1)
        ledger.write(ImageSaved(0, 0, "received", GOOD))
    change(tmp_path, statement)
    for words in (
        ["export", str(tmp_path), "--out", str(tmp_path / "t.csv")],
        ["watch", str(tmp_path)],
        ["summary", str(tmp_path)],
    ):
        code = answer(words)
        told = capsys.readouterr().err
        assert "bug" not in told
        assert "Traceback" not in told
        assert code == 0 or "damaged" in told
    for ask in (channelsim.Run.summary, channelsim.Run.frame, channelsim.Run.header):
        with suppress(MachineError):  # the error of a damaged ledger, and no other
            ask(channelsim.Run(tmp_path))


def test_a_ledger_that_cannot_be_opened_read_only_says_what_to_do(tmp_path: Path) -> None:
    from channelsim.ledger.file import explained

    (tmp_path / "ledger.sqlite").write_bytes(b"")
    refused = sqlite3.OperationalError("unable to open database file")
    refused.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    with (
        pytest.raises(InputError, match="copy the folder to where you may write"),
        explained(tmp_path / "ledger.sqlite"),
    ):
        raise refused
