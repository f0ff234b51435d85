"""The real program in a real terminal (tmux), with real keys; the screen is read back."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.live_runs import known, whole
from helpers.patience import PATIENCE_S

from channelsim.ledger import Ledger, differences

ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count()
_AGAIN_S = 20.0  # between two presses of a key
COMMAND = [sys.executable, "-P", "-m", "channelsim"]


pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="needs tmux, to have a terminal to look at"
)


class Terminal:
    """A terminal of a given size in which a shell waits."""

    def __init__(self, name: str, width: int, height: int, environment: str = "") -> None:
        self._socket = f"channelsim-{os.getpid()}-{name}"
        size = ["-x", str(width), "-y", str(height)]
        # Readline, which pytest loads, sets a terminal of 80 × 24 for children.
        clean = "env -u COLUMNS -u LINES PS1='ready> ' OMP_NUM_THREADS=1 LC_ALL=C.UTF-8"
        shell = f"{clean} PYTHONPATH={shlex.quote(str(ROOT))} {environment} sh"
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", str(ROOT), shell)
        self.until("ready>")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-L", self._socket, *words]
        done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
        return done.stdout

    def program(self, *words: object, then: str = "") -> None:
        """Type a command of the program, and a shell command after it."""
        self.type(shlex.join([*COMMAND, *map(str, words)]) + then)

    def type(self, text: str) -> None:
        """Type a line."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys by their names."""
        self._tmux("send-keys", *keys)

    def press_until(self, key: str, pattern: str) -> str:
        """Press a key, again if nothing comes of it, until a pattern appears.

        A terminal's answers to a program that starts come among the keys, and on a busy machine a
        key in the middle of an answer is read as part of it.
        """
        for _ in range(int(PATIENCE_S / _AGAIN_S)):
            self.press(key)
            with contextlib.suppress(AssertionError):
                return self.until(pattern, patience_s=_AGAIN_S)
        return self.until(pattern)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the terminal."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, codes: bool = False, unwrapped: bool = False) -> str:
        """The current screen; ``unwrapped``: lines as they were written.

        A terminal wraps a line that holds a path wherever the path happens to end.
        """
        how = ["-e"] * codes + ["-J"] * unwrapped
        return self._tmux("capture-pane", "-p", *how)

    def until(
        self, pattern: str, *, unwrapped: bool = False, patience_s: float = PATIENCE_S
    ) -> str:
        """Wait until a pattern appears, and return the screen; ``unwrapped``: see `screen`."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            screen = self.screen(unwrapped=unwrapped)
            if re.search(pattern, screen):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} did not come; the screen:\n{self.screen()}")

    def close(self) -> None:
        """End the terminal and its programs."""
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], capture_output=True)


@pytest.fixture
def terminals(request: pytest.FixtureRequest) -> Iterator[type[Terminal]]:
    opened: list[Terminal] = []

    class Kept(Terminal):
        def __init__(self, width: int, height: int, environment: str = "") -> None:
            opened.append(self)
            super().__init__(str(next(_NUMBERS)), width, height, environment)

    yield Kept  # type: ignore[misc]
    for terminal in opened:
        terminal.close()


def test_a_newcomer_finds_the_worst_and_why_at_80x24(tmp_path: Path, terminals) -> None:
    known(tmp_path)
    terminal = terminals(80, 24)
    terminal.program("watch", tmp_path)
    first = terminal.until("⚔ mallory")
    assert "✓ finished" in first
    assert "w  worst" in first, "the keys stand below"
    listed = terminal.press_until("w", "number  receiver")
    assert re.search(r"149  plain +1  0\.051", listed)
    terminal.press("Enter")
    why = terminal.until("adversary alone")
    assert "mallory: max |δ| 1 of 1" in why
    assert len(why.rstrip("\n").splitlines()) <= 24
    terminal.press("r")
    terminal.until(r"149\.png")  # the path before it decides where the line breaks
    terminal.press("Escape")
    terminal.until("mallory: max")
    terminal.press("q")
    after = terminal.until(r"300/300 .100 %., simulated 0.540 s, finished", unwrapped=True)
    assert "Worst" not in after, "the terminal is as it was"


def test_everything_at_once_at_160x50_and_less_after_resizing(tmp_path: Path, terminals) -> None:
    known(tmp_path)
    terminal = terminals(160, 50)
    terminal.program("watch", tmp_path)
    screen = terminal.until("Worst transmissions by mse")
    for title in ("Path", "Estimates", "over ε", "over simulated time", "Transmission 149", "Warn"):
        assert title in screen
    terminal.press_until("m", "mse against source over ε")
    terminal.press("s")
    terminal.until("worst mse first")
    terminal.press("p")
    terminal.until("speed ×")
    terminal.press("p")
    terminal.until("✓ finished")
    terminal.resize(80, 24)
    terminal.until("1 Path  2 Table")
    terminal.resize(160, 50)
    terminal.until("Worst transmissions by mse")
    terminal.press("C-c")
    terminal.until("finished\nready>")


def test_no_color_means_no_colour(tmp_path: Path, terminals) -> None:
    known(tmp_path)
    terminal = terminals(80, 24, "NO_COLOR=1")
    terminal.program("watch", tmp_path)
    terminal.until("⚔ mallory")
    terminal.press_until("3", "attacked")
    codes = re.findall(r"\x1b\[([\d;]*)m", terminal.screen(codes=True))
    colours = [c for c in codes if re.search(r"(^|;)(3[0-7]|38|4[0-7]|48|9\d|10\d)(;|$)", c)]
    assert not colours
    assert codes, "bold and reverse remain"
    coloured = terminals(80, 24)
    coloured.program("watch", tmp_path)
    coloured.until("⚔ mallory")
    assert re.search(r"\x1b\[[\d;]*38;", coloured.screen(codes=True))


def test_without_a_terminal_lines_come_out_and_no_codes(tmp_path: Path) -> None:
    whole(tmp_path)
    done = subprocess.run(
        [*COMMAND, "watch", str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "72/72 (100 %), simulated 2.000 s, finished" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("watch {run}/nothing", "there is no run here"),
        ("watch {run} --size 9", None),
        ("watch {run} --svg x.svg --size 9", "--size 9: expected COLUMNSxROWS"),
        ("watch {run} --press w", "--press: only for the picture of --svg"),
        ("run x.yaml --live --quiet", "--live and --quiet exclude each other"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(
    tmp_path: Path, words: str, sentence: str | None
) -> None:
    whole(tmp_path)
    command = [*COMMAND, *(word.format(run=tmp_path) for word in words.split())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    if sentence is None:
        assert done.returncode == 0
        return
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


SCENARIO = """
title: Digits through a linear codec
seed: 1
source: {{kind: dataset, count: {count}, repeat: true, arrivals: {{kind: poisson, rate_hz: 500}}}}
path: [{{kind: awgn, snr_db: 10}}]
receivers: {{linear: {{codec: {{kind: linear, latent_size: 16}}}}}}
metrics: [mse, psnr]
sweep: {{awgn.snr_db: [0, 10, 20]}}
"""


def start(folder: Path, scenario: Path, threads: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "run", str(scenario), "--quiet", "--out", str(folder)],
        cwd=ROOT, stdout=subprocess.DEVNULL, text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip


@pytest.mark.slow
def test_a_view_that_is_killed_leaves_the_run_untouched(tmp_path: Path, terminals) -> None:
    scenario = tmp_path / "linear.yaml"
    scenario.write_text(SCENARIO.format(count=30_000))
    assert start(tmp_path / "alone", scenario).wait() == 0
    terminal = terminals(160, 50)
    run = start(tmp_path / "seen", scenario)
    while not (tmp_path / "seen" / "ledger.sqlite").exists():
        assert run.poll() is None
        time.sleep(0.02)
    pid, view = shlex.quote(f"{tmp_path}/pid"), shlex.join([*COMMAND, "watch", f"{tmp_path}/seen"])
    terminal.type(shlex.join(["sh", "-c", f"echo $$ > {pid}; exec {view}"]))
    terminal.until("● running")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert run.wait() == 0
    with Ledger.open(tmp_path / "alone" / "ledger.sqlite") as one:  # noqa: SIM117
        with Ledger.open(tmp_path / "seen" / "ledger.sqlite") as other:
            assert differences(one, other) == []


@pytest.mark.slow
def test_run_live_is_stopped_resumed_and_left_alone(tmp_path: Path, terminals) -> None:
    scenario = tmp_path / "linear.yaml"
    scenario.write_text(SCENARIO.format(count=40_000))
    terminal = terminals(160, 50)
    live = ("run", scenario, "--out", tmp_path / "run", "--live")
    terminal.program(*live, then="; echo code $?")
    terminal.until(r"● running.*\n.*/s")
    assert "ctrl+c  stop the run" in terminal.screen()
    terminal.press("C-c")
    stopped = terminal.until(r"code 130", unwrapped=True)
    assert "transmissions are recorded" in stopped
    assert f"--out {shlex.quote(f'{tmp_path}/run')} --resume" in stopped
    terminal.type("clear")
    terminal.program(*live, "--resume", then="; echo code $?")
    terminal.until(r"● running.*\n.*/s")
    terminal.press("q")
    terminal.until("the run goes on; Ctrl-C stops it, with everything recorded")
    terminal.until("code 0")
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert ledger.finished
        assert ledger.settled() == 120_000


@pytest.mark.slow
def test_a_replay_brings_the_images_that_the_ledger_does_not_hold(tmp_path: Path) -> None:
    import numpy as np

    from channelsim.display.live.model import Model
    from channelsim.display.live.reader import Reader
    from channelsim.display.live.recomputer import Recomputer
    from channelsim.display.live.remembered import Details

    scenario = tmp_path / "linear.yaml"
    scenario.write_text(SCENARIO.format(count=40))
    assert start(tmp_path / "run", scenario).wait() == 0
    model = Model(Reader(tmp_path / "run" / "ledger.sqlite"))
    bare = next(number for number in range(40) if not Details(model).images(number))
    asked = Recomputer(tmp_path / "run", None)
    try:
        for transmission in (0, bare, 10**6):
            asked.ask(transmission)
        answers = {}
        end = time.monotonic() + PATIENCE_S
        while asked.busy and time.monotonic() < end:
            answers |= dict(asked.answers())
            time.sleep(0.1)
        answers |= dict(asked.answers())
    finally:
        asked.close()
    stored = Details(model).images(0)
    assert stored, "the first messages have thumbnails"
    for role, pixels in stored.items():
        np.testing.assert_array_equal(answers[0].images[role], pixels)
    assert set(answers[bare].images) >= {"source", "clean", "received"}
    assert answers[bare].agrees == "equals the ledger bit for bit"
    assert len(answers[bare].latents["received"]) == 16
    assert "not in this ledger" in answers[10**6].error
