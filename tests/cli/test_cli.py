"""The command line: its messages, their streams, and its exit codes.

Tests of pipes, signals or imports run in a child process.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.patience import PATIENCE_S
from typer.main import get_command

from channelsim import __version__
from channelsim.cli import faults, usage
from channelsim.cli.app import KINDS, answer, app
from channelsim.cli.inputs import settings_of, size
from channelsim.ledger.ledger import Ledger
from channelsim.support.durations import duration
from channelsim.support.errors import InputError, Interrupted

ROOT = Path(__file__).parents[2]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]

# A linear codec: no trained weights, a few milliseconds per block.
SCENARIO = """\
title: A small run
seed: 3
source: {kind: dataset, name: mnist5k, split: test, count: 20, arrivals: {kind: once}}
path:
  - {kind: noise, name: mallory, budget: {norm: l2, epsilon: 0.5}}
  - {kind: awgn, snr_db: 10}
receivers:
  plain: {codec: {kind: linear, latent_size: 8}}
metrics: [mse]
block_rows: 16
sweep:
  mallory.budget.epsilon: [0.5, 1.0]
"""


def begin(
    *words: str | Path, cwd: Path | None = None, options: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """A child process."""
    return subprocess.Popen(
        [sys.executable, "-P", *options, "-m", "channelsim", *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def child(*words: str | Path, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    process = begin(*words, options=options)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


class Prompt:
    """Runs command lines in this process, in a separate folder."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self, *words: str | Path) -> tuple[int, str, str]:
        code = answer([str(word) for word in words])
        out, err = self._captured.readouterr()
        return code, out, err


@pytest.fixture
def channelsim(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own_signals: None,
) -> Prompt:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Prompt(capfd)


@pytest.fixture
def own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenarios") / "small.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def folder(written: Path) -> Path:
    """A finished run, made from the command line."""
    out = written.parent / "made"
    assert child("run", written, "--out", out, "--quiet") == (0, f"{out}\n", "")
    return out


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "allowed"),
    [((), set()), (("run",), {"pydantic"}), (("train",), {"pydantic"})],  # typer's own use of it
)
def test_help_loads_nothing_heavy(words: tuple[str, ...], allowed: set[str]) -> None:
    code, out, err = child(*words, "--help", options=("-X", "importtime"))
    assert code == 0
    assert "Usage: channelsim" in out
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in err.splitlines()}
    assert "typer" in loaded
    heavy = {"torch", "pydantic", "pandas", "numpy", "scipy", "matplotlib", "yaml"}
    assert not loaded & heavy - allowed


def test_no_command_shows_the_help(channelsim: Prompt) -> None:
    code, out, _ = channelsim()
    assert code == 0
    for name in COMMANDS:
        assert name in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_it_would_take(name: str) -> None:
    example = re.search(r"Example:\[/\] channelsim (.+)", COMMANDS[name].help)
    assert example, name
    words = example[1].split(" > ")[0].split()
    assert words[0] == name
    with COMMANDS[name].make_context(name, usage.spread_set(words[1:])):
        pass  # parsed without complaint


def test_the_version_is_the_packages(channelsim: Prompt) -> None:
    assert channelsim("--version") == (0, f"channelsim {__version__}\n", "")


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rn x.yaml", "there is no command 'rn' (known: check, demo, download, export, list,"),
        ("rn x.yaml", "Did you mean run?"),
        ("run x.yaml --sed 3", "channelsim run: there is no option --sed. Did you mean --seed?"),
        ("run", "missing argument"),
        ("run x.yaml --seed three", "'--seed'"),
        ("run x.yaml --plain --quiet", "--plain and --quiet exclude each other"),
        ("replay x", "missing option '--transmission'"),
        ("replay x --transmission -1", "greater than or equal to 0"),
        ("export a b", "unexpected extra argument"),
        ("run x.yaml --set", "--set"),
        ("run x.yaml --set count", "--set count: expected KEY=VALUE"),
        ("run nowhere.yaml", "nowhere.yaml"),
        ("check nowhere.yaml", "nowhere.yaml"),
        ("train nowhere.yaml", "nowhere.yaml"),
        ("list adversarys", "Did you mean adversaries?"),
        ("export nowhere", "nowhere: there is no run here"),
        ("replay nowhere --transmission 0", "nowhere: there is no run here"),
    ],
)
def test_a_wrong_command_line_is_one_clear_sentence(
    words: str, expected: str, channelsim: Prompt, tmp_path: Path
) -> None:
    code, out, err = channelsim(*words.split())
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_set_takes_one_or_several() -> None:
    spread = ["run", "x", "--set", "a=1", "--set", "b.c=[2,", "--seed", "3"]
    assert usage.spread_set(["run", "x", "--set", "a=1", "b.c=[2,", "--seed", "3"]) == spread
    assert usage.spread_set(["--set", "a=1", "x.yaml"]) == ["--set", "a=1", "x.yaml"]
    assert usage.spread_set(["--set", "a=1", "x.yaml", "b=2"])[-1] == "b=2"
    assert usage.spread_set(["--set", "--set", "a=1"]) == ["--set", "--set", "a=1"]


def test_set_reads_values_as_a_scenario_file_does() -> None:
    assert settings_of(["a.b=20e3", "c=[0, 0.5]", "d=off", "e=", "f=x=y"]) == {
        "a.b": 20000.0,
        "c": [0, 0.5],
        "d": "off",
        "e": None,
        "f": "x=y",
    }


# --- errors -------------------------------------------------------------------------------------


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("a.yaml:3  no"), 2, "a.yaml:3  no\n"),
        (Interrupted("Interrupted; 3 of 5."), 130, "Interrupted; 3 of 5.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (OSError(errno.ENOSPC, "No space left"), 1, "The disk is full"),
        (sqlite3.OperationalError("database or disk is full"), 1, "The disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 2, "a/b: Permission denied.\n"),
        (MemoryError(), 1, "Out of memory"),
    ],
)
def test_known_faults_have_their_sentence_and_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert faults.guarded(lambda: fail(error)) == code
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert "Traceback" not in err


@pytest.mark.usefixtures("own_signals")
def test_a_bug_is_one_sentence_and_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = faults.guarded(lambda: fail(ZeroDivisionError("division by zero")), tmp_path)
    err = capsys.readouterr().err
    log = tmp_path / "channelsim-error.log"
    assert code == 1
    assert err == (
        f"A bug in channelsim (ZeroDivisionError: division by zero); the full log is in {log}\n"
    )
    assert "Traceback (most recent call last)" in log.read_text()


@pytest.mark.usefixtures("own_signals")
def test_without_a_run_folder_the_log_goes_to_the_temp_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert faults.guarded(lambda: fail(KeyError("x")), tmp_path / "absent") == 1
    (log,) = tmp_path.iterdir()
    assert str(log) in capsys.readouterr().err
    assert "KeyError: 'x'" in log.read_text()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("kind: nois", "Did you mean noise?"), ("kind: noise, epsilonn: 1", "epsilonn: unknown")],
)
def test_a_wrong_scenario_is_refused_before_anything_is_written(
    wrong: str, hint: str, channelsim: Prompt, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(SCENARIO.replace("kind: noise", wrong))
    code, out, err = channelsim("run", path)
    assert (code, out) == (2, "")
    assert "wrong.yaml:5" in err
    assert hint in err
    assert [item.name for item in tmp_path.iterdir()] == ["wrong.yaml"]


def test_a_folder_that_cannot_be_written_is_the_users_input(
    channelsim: Prompt, written: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, err = channelsim("run", written, "--out", tmp_path / "file" / "run")
    assert code == 2, err
    assert str(tmp_path / "file") in err
    assert err.count("\n") == 1


# --- a run and its queries ----------------------------------------------------------------------


def test_run_says_what_it_found_and_where_it_is(
    channelsim: Prompt, written: Path, tmp_path: Path
) -> None:
    code, out, err = channelsim("run", written, "--set", "source.count=10")
    assert code == 0, err
    made = tmp_path / "runs" / "small-3-1"
    assert (made / "ledger.sqlite").exists()
    assert "plain" in out  # the receiver's table
    assert "in runs/small-3-1: ledger.sqlite, summary.txt, .csv, curves.png" in out
    assert len(out.splitlines()) <= 25
    assert "channelsim summary runs/small-3-1 --full" in out
    assert "Traceback" not in err


def test_a_quiet_run_says_only_where_it_is(
    channelsim: Prompt, written: Path, tmp_path: Path
) -> None:
    code, out, err = channelsim("run", written, "--quiet", "--out", "here")
    assert (code, out, err) == (0, "here\n", "")


def test_a_finished_run_says_so_when_it_is_resumed(
    channelsim: Prompt, written: Path, folder: Path
) -> None:
    code, out, err = channelsim("run", written, "--out", folder, "--resume")
    assert code == 0
    assert "finished already" in out + err


def test_an_existing_run_is_never_overwritten(
    channelsim: Prompt, written: Path, folder: Path
) -> None:
    before = (folder / "ledger.sqlite").read_bytes()
    code, _, err = channelsim("run", written, "--out", folder)
    assert code == 2
    assert "--resume" in err
    assert (folder / "ledger.sqlite").read_bytes() == before


def test_export_writes_the_table(channelsim: Prompt, folder: Path) -> None:
    code, out, err = channelsim("export", folder)
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.startswith("transmission,arm,receiver,message,attempts,sent_s,done_s,delivered,")
    assert len(rows) == 40


def test_export_into_a_closed_pipe_ends_quietly(folder: Path) -> None:
    with begin("export", folder, "--format", "jsonl") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=PATIENCE_S) == 0


def test_closed_standard_output_is_no_fault(folder: Path) -> None:
    script = f'"{sys.executable}" -m channelsim export "{folder}" >&-'
    process = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S
    )
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_export_to_a_full_disk_is_one_sentence(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "channelsim", "export", str(folder)],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
    assert process.returncode == 1
    assert "No space left" in process.stderr
    assert process.stderr.count("\n") == 1


def test_replay_equals_the_ledger_and_shows_its_pictures(
    channelsim: Prompt, folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "again.png"
    code, out, err = channelsim("replay", folder, "--transmission", "21", "--out", picture)
    assert code == 0, err
    assert "message 1, receiver plain, mallory.budget.epsilon 1.0" in out
    assert "equals the ledger, bit for bit" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_replay_of_a_number_too_high_names_the_range(channelsim: Prompt, folder: Path) -> None:
    code, _, err = channelsim("replay", folder, "--transmission", "40")
    assert code == 2
    assert "0 to 39" in err


def test_check_tries_and_estimates_without_leaving_anything(
    channelsim: Prompt, written: Path, tmp_path: Path
) -> None:
    code, out, err = channelsim("check", written)
    assert code == 0, err
    for word in ("A small run", "mse_source", "40 transmissions", "block_rows", "mallory"):
        assert word in out
    assert not list(tmp_path.iterdir())


def test_list_and_schema_name_the_parts(channelsim: Prompt) -> None:
    code, out, _ = channelsim("list", "adversary")
    assert code == 0
    assert "pgd" in out
    assert "linear" not in out
    code, _, err = channelsim("list", "replay")
    assert code == 2
    assert "replay: is one of the adversaries; try channelsim list adversaries" in err
    code, out, _ = channelsim("schema")
    assert code == 0
    assert "path" in json.loads(out)["properties"]


def test_sigterm_ends_a_run_like_ctrl_c_and_says_how_to_go_on(
    written: Path, tmp_path: Path
) -> None:
    words = ("run", written, "--set", "source.count=20000", "source.repeat=true", "--out", "run")
    process = begin(*words, cwd=tmp_path)
    end = time.monotonic() + PATIENCE_S
    while not (tmp_path / "run" / "ledger.sqlite").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err


RECIPE = """\
title: A tiny codec
codec: {architecture: lu-chen, latent_size: 2}
objective: {kind: kld}
data: {name: mnist5k}
epochs: 1
batch_size: 500
learning_rate: 1e-3
seed: 5
"""


@pytest.mark.slow
def test_train_shows_its_losses_and_says_where_the_codec_is(
    channelsim: Prompt, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    code, out, err = channelsim("train", "tiny.yaml")
    assert code == 0, err
    assert re.search(r"step 8/8 .*: loss [0-9.]+", err)
    assert "weights   runs/train-tiny/tiny.safetensors" in out
    assert (tmp_path / "runs/train-tiny/tiny.safetensors").exists()
    code, out, err = channelsim("train", "tiny.yaml")
    assert (code, err) == (0, "")
    assert "trained already" in out


# --- number formats -----------------------------------------------------------------------------


def test_times_and_sizes_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (0.04, 9.96, 59.4, 61, 3599, 7260)] == [
        "0.0 s", "10.0 s", "59 s", "1 min 1 s", "59 min 59 s", "2 h 1 min",
    ]  # fmt: skip
    assert [size(n) for n in (0, 999, 1000, 12_345, 3.2e9, 5e12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "12 kB", "3.2 GB", "5.0 TB",
    ]  # fmt: skip


def test_verbose_says_what_is_decided_before_the_first_message(channelsim: Prompt) -> None:
    Path("study.yaml").write_text(SCENARIO)
    code, _, err = channelsim("run", "study.yaml", "--out", "run", "-v")
    assert code == 0
    with Ledger.open(Path("run/ledger.sqlite")) as ledger:
        header = ledger.header()
    for word, sentence in (
        ("power", f"P = {header.calibration.power(0):.6g} per real value"),
        ("bits", "do not depend on its place"),
        ("scenario", header.scenario_hash[:16]),
    ):
        assert any(word in line and sentence in line for line in err.splitlines()), word


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("su", {"summary"}),
        ("list ad", {"adversaries"}),
        ("export r --format ", {"csv", "jsonl", "parquet"}),
    ],
)
def test_a_shell_may_complete_commands_options_and_fixed_values(
    words: str, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_CHANNELSIM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"channelsim {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    code, out, _ = child()
    assert code == 0
    assert set(out.split()) == expected


def test_the_kinds_that_a_shell_completes_are_those_of_the_list(channelsim: Prompt) -> None:
    _, out, _ = channelsim("list")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == list(KINDS)
