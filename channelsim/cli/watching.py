"""``channelsim watch``, and ``run --live``: a live view of a run in another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelsim.cli.inputs import existing_run, warn
from channelsim.support.errors import ChannelsimError, InputError, Interrupted

if TYPE_CHECKING:
    from channelsim.display.live.model import Model
    from channelsim.display.live.viewer import LiveApp


def watch(
    *,
    folder: Path,
    data_root: Path | None,
    svg: Path | None,
    size: str,
    press: str,
    allow_code: bool,
) -> None:
    """Show a run of any process, ended or not; plain lines where there is no terminal."""
    from channelsim.analysis.closing import ending
    from channelsim.display.live.model import Model
    from channelsim.display.live.reader import Reader
    from channelsim.ledger import Ledger
    from channelsim.ledger.examination import examined

    path = existing_run(folder)
    how = ending(path)
    warn(how.notices)
    with examined(path):
        model = Model(Reader(path), data_root)
    model.finished_s = how.finished_s
    with Ledger.open(path) as ledger:
        warn(ledger.notices)
    model.allow_code = allow_code
    if svg is not None:
        from channelsim.display.live.screenshot import parsed_size, save, svg_of

        keys = [key.strip() for key in press.split(",") if key.strip()]
        save(svg_of(_app(lambda: model), parsed_size(size), keys), svg)
        sys.stdout.write(f"picture: {svg}\n")
        return
    if press:
        raise InputError("--press: only for the picture of --svg; add it, or press the keys")
    if not on_a_terminal():
        from channelsim.display.console import StandardConsole
        from channelsim.display.live.plain_lines import watch_plainly

        with examined(path):
            watch_plainly(model, StandardConsole())
        return
    _step_back()
    app = _app(lambda: model)
    app.run()
    _raise_failure(app)
    sys.stdout.write(f"{_parting(model, folder)}\n")


def on_a_terminal() -> bool:
    """Whether there is a terminal for input and output that can show more than lines."""
    both = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    return both and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}


def _step_back() -> None:
    """Lower this process's priority: the run comes first."""
    with suppress(OSError, AttributeError):
        os.nice(10)


def _app(opened: Callable[[], Model | None], **options: Any) -> LiveApp:
    from channelsim.display.live.viewer import LiveApp

    return LiveApp(opened, colour=not os.environ.get("NO_COLOR"), **options)


def _raise_failure(app: LiveApp) -> None:
    if app.failure is not None:
        raise app.failure


def _parting(model: Model, folder: Path) -> str:
    """One sentence for the shell: the state of the run when the view is left."""
    from channelsim.display.live.plain_lines import progress

    return f"{folder}: {progress(model)}"


# --- run --live ---------------------------------------------------------------------------------


class LiveRun:
    """A run in its own process and session, so that a terminal's Ctrl-C does not reach it.

    ``arguments``: of ``channelsim run``. Its standard error is kept.
    """

    def __init__(self, arguments: list[str]) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="channelsim-live-")
        self._folder_file = Path(self._files.name) / "folder"
        self._errors = Path(self._files.name) / "stderr"
        words = [sys.executable, "-P", "-m", "channelsim", "run", *arguments, "--quiet"]
        words += ["--folder-file", str(self._folder_file)]
        with self._errors.open("w", encoding="utf-8") as errors:
            self.child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def folder(self) -> Path | None:
        """The run's folder, as soon as its ledger exists."""
        if not self._folder_file.is_file():
            return None
        return Path(self._folder_file.read_text(encoding="utf-8"))

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self.child.poll() is not None

    def stop(self) -> None:
        """Request a stop with everything recorded."""
        if not self.over:
            self.child.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for its end; a Ctrl-C meanwhile is passed on as a request to stop."""
        while True:
            try:
                return self.child.wait()
            except KeyboardInterrupt:
                self.stop()

    def said(self) -> str:
        """Its standard error so far."""
        return self._errors.read_text(encoding="utf-8").strip()

    def close(self) -> None:
        """Remove the kept output."""
        self._files.cleanup()


def run_live(arguments: list[str], data_root: Path | None) -> Path:
    """Run and show; return the folder of the finished run.

    Leaving the view lets the run go on, with plain lines; Ctrl-C stops it, and raises
    `Interrupted` with the command that resumes it.
    """
    from channelsim.display.live.viewer import STOP

    live = LiveRun(arguments)
    try:
        _step_back()  # after the start of the run, which keeps its priority
        app = _app(lambda: _opened(live, data_root), ended=lambda: live.over, owned=True)
        if app.run() == STOP:
            sys.stderr.write("stopping, once everything computed is recorded …\n")
            live.stop()
        elif not live.over and app.failure is None:
            _go_on(live, app.model)
        code = live.wait()
        if code == 0 and live.folder is not None:
            if warnings := live.said():
                sys.stderr.write(warnings + "\n")
            return live.folder
        if code == 0:
            raise InputError("the run ended without saying where it is (a bug)")
        raise _fault(code, live.said())
    except BaseException:
        live.stop()
        live.wait()
        raise
    finally:
        live.close()


def _opened(live: LiveRun, data_root: Path | None) -> Model | None:
    from channelsim.display.live.model import Model
    from channelsim.display.live.reader import Reader

    if live.folder is None or not (live.folder / "ledger.sqlite").is_file():
        return None
    return Model(Reader(live.folder / "ledger.sqlite"), data_root)


def _go_on(live: LiveRun, model: Model | None) -> None:
    """Plain lines on standard error until the run's process ends."""
    from channelsim.display.live.plain_lines import EVERY_S, progress

    sys.stderr.write("the run goes on; Ctrl-C stops it, with everything recorded\n")
    said_at = 0.0
    try:
        while not live.over:
            if model is not None and time.monotonic() - said_at >= EVERY_S:
                model.paused = False
                model.stop_playing()
                while model.tick(0.5):
                    pass
                sys.stderr.write(progress(model) + "\n")
                said_at = time.monotonic()
            elif model is None:
                model = _opened(live, None)
            time.sleep(0.1)
    except KeyboardInterrupt:
        live.stop()


def _fault(code: int, said: str) -> ChannelsimError:
    """The child's own sentence with its own exit code."""
    if code == Interrupted.exit_code:
        return Interrupted(said)
    fault = ChannelsimError(said or f"the run's process ended with exit code {code}")
    fault.exit_code = code if code > 0 else 1
    return fault
