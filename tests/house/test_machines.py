"""Ordinary machines: pipes, closed streams, odd terminals, odd names, early Ctrl-C.

A finished run must never look like a failure there, and every error is one correct sentence.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.patience import PATIENCE_S

from channelsim.cli.app import answer
from channelsim.display import streams
from channelsim.scenario import Scenario
from channelsim.support.errors import InputError
from channelsim.support.files import written_name

ROOT = Path(__file__).parents[2]

SCENARIO = """\
title: "Ä small run · ε 🦊"
seed: 3
source: {kind: dataset, name: mnist5k, split: test, count: 6, arrivals: {kind: once}}
path:
  - {kind: noise, name: mallory, budget: {norm: l2, epsilon: 0.5}}
receivers:
  plain: {codec: {kind: linear, latent_size: 8}}
metrics: [mse]
block_rows: 8
sweep:
  mallory.budget.epsilon: [0.5, 1.0]
"""
PICTURES = {"curves.png", "gallery.png"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with changes, without the terminal's size."""
    given: dict[str, str | None] = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return {key: value for key, value in {**given, **changes}.items() if value is not None}


def shell(folder: Path, line: str, **changes: str | None) -> subprocess.CompletedProcess[bytes]:
    """A line of bash with this checkout's ``channelsim``; its exit code is in the file ``code``."""
    script = f'channelsim() {{ "{sys.executable}" -P -m channelsim "$@"; echo $? >code; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def code(folder: Path) -> int:
    return int((folder / "code").read_text())


def pictures(run: Path) -> set[str]:
    return {path.name for path in run.iterdir()} & PICTURES


# --- a reader that leaves -----------------------------------------------------------------------


# The reader leaves after the first byte, or before it.
@pytest.mark.parametrize(
    "line",
    [
        "channelsim run s.yaml --out run | head -c 1",
        "channelsim run s.yaml --out run 2>&1 | true",
    ],
)
def test_a_reader_that_leaves_costs_neither_the_exit_code_nor_a_picture(
    folder: Path, line: str
) -> None:
    shell(folder, line)
    assert code(folder) == 0
    assert (folder / "run" / "ledger.sqlite").exists()
    assert pictures(folder / "run") == PICTURES


@pytest.mark.parametrize("words", ["run --help", "list"])
def test_whoever_reads_only_the_beginning_has_seen_a_success(folder: Path, words: str) -> None:
    done = shell(folder, f"channelsim {words} | true")
    assert code(folder) == 0
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_a_full_disk_under_the_text_costs_no_picture(folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = shell(folder, "channelsim run s.yaml --out run >/dev/full")
    assert code(folder) == 1
    assert b"The disk is full" in done.stderr
    assert pictures(folder / "run") == PICTURES


# --- closed and plain streams -------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_hinder_no_run(folder: Path, closed: str) -> None:
    shell(folder, f"channelsim run s.yaml --out run {closed}")
    assert code(folder) == 0
    assert pictures(folder / "run") == PICTURES


def test_a_wrong_name_is_exit_two_though_nobody_can_read_why(folder: Path) -> None:
    shell(folder, "channelsim run nosuch.yaml >&- 2>&-")
    assert code(folder) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_a_stream_without_unicode_gets_the_nearest_letters(
    folder: Path, changes: dict[str, str]
) -> None:
    done = shell(folder, "channelsim run s.yaml --out run", **changes)
    assert code(folder) == 0, done.stderr
    title = done.stdout.decode("latin-1").splitlines()[0]
    assert re.fullmatch(r".{1,2} small run .*", title)
    assert pictures(folder / "run") == PICTURES


def test_letters_are_written_as_near_as_an_encoding_can() -> None:
    assert "Äé".encode("ascii", "channelsim-plainly") == b"Ae"
    assert "ε🦊".encode("ascii", "channelsim-plainly") == b"??"
    assert "\udcff \ud800".encode("utf-8", "channelsim-plainly") == b"\xff ?"


def test_a_terminal_of_no_width_shows_everything(folder: Path) -> None:
    done = shell(folder, "channelsim run s.yaml --out run", COLUMNS="0")
    assert code(folder) == 0, done.stderr[-500:]
    assert b"small run" in done.stdout


@pytest.mark.parametrize("columns", ["0", "000", "-3", "²", "9" * 5000, "", "a", "1e3"])
def test_sizes_that_are_none_are_forgotten(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", "40")
    streams.prepare()
    assert "COLUMNS" not in os.environ
    assert os.environ["LINES"] == "40"


# --- no home, odd names -------------------------------------------------------------------------


def test_a_user_without_home_or_name_can_run(folder: Path) -> None:
    unknown = "import os, pwd; pwd.getpwuid = pwd.getpwnam = lambda x: {}['uid not found']\n"
    (folder / "sitecustomize.py").write_text(unknown)
    changes = {"HOME": None, "USER": None, "LOGNAME": None, "PYTHONPATH": f"{folder}:{ROOT}"}
    done = shell(folder, "channelsim run s.yaml --out run", **changes)
    assert code(folder) == 0, done.stderr
    assert pictures(folder / "run") == PICTURES
    changes |= {"XDG_CACHE_HOME": None, "CHANNELSIM_DATA": None}
    done = shell(folder, "channelsim check s.yaml --set source.name=mnist", **changes)
    assert code(folder) == 2
    assert b"nobody knows your home folder" in done.stderr
    assert b"--data-root" in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 256, "longer than the 255 bytes"),
        ("a/" + "é" * 128 + "/b", "longer than the 255 bytes"),
        ("~nosuch-user/x", "nobody knows whose home ~nosuch-user is"),
        ("a\0b", "zero byte"),
        ("\ud800", "half a character"),
    ],
)
def test_what_can_be_no_file_s_name_is_said(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        written_name(name)


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        f"run s.yaml --out {LONG}",
        f"run {LONG}.yaml",
        f"check s.yaml --set source.name=mnist --data-root {LONG}",
        f"check s.yaml --set 'source={{kind: npz, path: {LONG}}}'",
        f"check s.yaml --set 'source={{kind: images, path: a/{LONG}}}'",
        f"check s.yaml --set 'receivers.plain.codec={{kind: trained, weights: {LONG}}}'",
        f"check s.yaml --set 'receivers.plain.codec={{use: {LONG}:A}}'",
        "check s.yaml --set 'source={kind: npz, path: ~nosuch-user/x}'",
        f"watch {LONG}",
        f"export {LONG}",
        f"train {LONG}",
        f"run s.yaml --{LONG}",
        f"run s.yaml --set {LONG}=1",
        f"run s.yaml --set seed={LONG}",
        f"{LONG}",
        f"list {LONG}",
    ],
    ids=lambda words: words.replace(LONG, "LONG"),
)
def test_an_overlong_name_gets_one_short_sentence(
    folder: Path, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert answer(shlex.split(words)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "bug" not in said
    assert LONG not in said, "a value is cut to what a line holds"
    assert len(said.strip().splitlines()) == 1


def test_a_name_that_is_no_utf8_is_written_and_shown_as_it_is(folder: Path) -> None:
    done = shell(folder, "channelsim run s.yaml --out $'r\\xff' && channelsim export $'r\\xff'")
    assert code(folder) == 0, done.stderr
    assert b"r\xff" in done.stdout
    assert pictures(folder / os.fsdecode(b"r\xff")) == PICTURES


def test_half_a_character_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert answer(["run", "s.yaml", "--set", 'title="\\ud800"']) == 2
    assert "--set title: holds half a character (U+D800)" in capsys.readouterr().err
    assert answer(["run", "s.yaml", "--set", "title=\udcff"]) == 2, "an odd byte of a terminal"
    assert "--set title: not a YAML text file: it holds '\\udcff'" in capsys.readouterr().err
    with pytest.raises(InputError, match="half a character"):
        Scenario.load({"title": "a\udfff"})


# --- Ctrl-C before anything has begun -----------------------------------------------------------

_AT_IMPORT = """\
import os, signal, sys

class Finger:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finger())
sys.argv = ["channelsim", "run", "s.yaml", "--out", "run"]
from channelsim.cli import main
main()
"""


@pytest.mark.parametrize(
    "module",
    [
        "channelsim.display.streams",
        "typer",
        "channelsim.cli.running",
        "pydantic",
        "numpy.linalg",
        "torch.nn",
    ],
)
def test_ctrl_c_while_modules_load_is_one_word_and_130(folder: Path, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _AT_IMPORT.format(name=module)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == b"Interrupted.\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_was_held_back_while_python_started_is_answered(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _HELD_BACK],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, b"Interrupted.\n")


# Strikes at the package's first import besides these, which load almost nothing.
_AT_ONCE = """\
import os, signal, sys

LIGHT = {"channelsim", "channelsim.cli", "channelsim.cli.early", "__future__"}

class Finger:
    def find_spec(self, name, path=None, target=None):
        if "channelsim" in sys.modules and name not in LIGHT:
            sys.meta_path.remove(self)
            os.write(1, name.encode())
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finger())
"""


@pytest.mark.parametrize("way", ["-m", "the script"])
def test_ctrl_c_is_answered_from_the_first_line_of_the_package_on(folder: Path, way: str) -> None:
    # Imports of Python itself before that are not tested.
    (folder / "sitecustomize.py").write_text(_AT_ONCE)
    script = folder / "channelsim"
    script.write_text("import sys\nfrom channelsim.cli import main\nsys.exit(main())\n")
    command = ["-m", "channelsim"] if way == "-m" else [str(script)]
    done = subprocess.run(
        [sys.executable, "-P", *command, "list"],
        cwd=folder,
        env=environment(PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)])),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, b"Interrupted.\n"), done.stdout


def test_whoever_imports_the_package_keeps_his_own_ctrl_c(folder: Path) -> None:
    text = "import signal, {0}; print(signal.getsignal(signal.SIGINT) is {1})"
    for name in ("channelsim", "channelsim.cli"):
        code = text.format(name, "signal.default_int_handler")
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, "-m", "channelsim"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.stdout.strip() == b"True", done.stderr


_HELD_BACK = """\
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["channelsim", "list"]
from channelsim.cli import main
main()
"""
