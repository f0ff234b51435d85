"""The plain display: one progress line on a terminal, lines at intervals elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.text import Text

from channelsim.contracts.records import Finished, LogEvent, Noted, Preparing, Started, Ticked
from channelsim.display.decisions import decisions
from channelsim.display.full_summary import print_summary
from channelsim.support.errors import printable

__all__ = ["Display", "PlainDisplay", "QuietDisplay", "print_summary"]

EVERY_S = 5.0  # interval of the lines without a terminal; project's choice
PATIENCE_S = 2.0  # shorter preparations get no line; project's choice
_WORTH_A_BAR = 72  # columns


class Display(Protocol):
    """A display of a run while it goes on."""

    def show(self, event: LogEvent) -> None:
        """Show an event; must return quickly."""

    def close(self) -> None:
        """Restore the terminal; may be called twice, and after an error."""


class QuietDisplay:
    """Shows only warnings (none where no console is given)."""

    def __init__(self, console: Console | None = None) -> None:
        self._notes = _Notes(console) if console is not None else None

    def show(self, event: LogEvent) -> None:
        """Print warnings only."""
        if self._notes is not None and isinstance(event, Noted) and event.level == "warning":
            self._notes.show(event)

    def close(self) -> None:
        """Do nothing: nothing is open."""


class PlainDisplay:
    """Progress with simulated time, transmissions done, rate and time left; warnings above it.

    On a terminal it is one line that rewrites itself; otherwise plain lines, at most one every
    ``every_s`` seconds of wall time, and never a control code. ``clock`` [s] is for tests.
    ``verbose``: first say what was decided before the first message.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
        verbose: bool = False,
    ) -> None:
        self._console = console
        self._verbose = verbose
        self._notes = _Notes(console)
        self._clock, self._every_s = clock, every_s
        self._view: _Line | _Lines | None = None
        self._prepared_at: float | None = None  # when a line about preparations is due

    def show(self, event: LogEvent) -> None:
        """Show one event of a run."""
        match event:
            case Preparing():
                self._prepare(event)
            case Started():
                self._start(event)
            case Ticked() if self._view is not None:
                self._view.tick(event)
            case Noted():
                self._notes.show(event)
            case Finished() if self._view is not None:
                self._view.finish(event.sim_s)
                self._view = None
            case _:
                pass

    def close(self) -> None:
        """Stop the progress line; where the run did not finish, print how far it came."""
        if self._view is not None:
            self._view.stop()
            self._view = None

    def _prepare(self, event: Preparing) -> None:
        """Print which preparation before the first message takes long; nothing if none does."""
        now = self._clock()
        if self._prepared_at is None:
            self._prepared_at = now + min(PATIENCE_S, self._every_s)
        elif now >= self._prepared_at:
            self._prepared_at = now + self._every_s
            _say(self._console, Text(f"{printable(event.text)} …", style="dim"))

    def _start(self, event: Started) -> None:
        header, arms = event.header, len(event.arms)
        count = header.count
        size = f"{_many(count, 'message')} × {_many(arms, 'arm')}, seed {header.seed}"
        _say(self._console, Text(printable(header.title), style="bold"))
        _say(self._console, Text(size, style="dim"))
        for word, sentence in decisions(header, event.arms) if self._verbose else ():
            _say(self._console, Text(f"  {word:<10} {printable(sentence)}", style="dim"))
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._view = _Line(self._console, event.total, self._clock)
        else:
            self._view = _Lines(self._console, event.total, self._clock, self._every_s)


class _Notes:
    """Prints each distinct note once, above the progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: set[tuple[str, str]] = set()

    def show(self, event: Noted) -> None:
        if (event.level, event.text) in self._seen:
            return
        self._seen.add((event.level, event.text))
        if event.level == "warning":
            _say(self._console, Text.assemble(("warning: ", "bold yellow"), printable(event.text)))
        else:
            _say(self._console, Text(f"note: {printable(event.text)}", style="dim"))


class _Line:
    """The progress line of a terminal."""

    def __init__(self, console: Console, total: int, clock: Callable[[], float]) -> None:
        self._console, self._total, self._clock = console, total, clock
        self._began, self._done, self._sim_s = clock(), 0, 0.0
        plain = TextColumn("{task.completed:.0f}/{task.total:.0f}")
        columns: list[ProgressColumn | str]
        columns = [plain, TextColumn("{task.percentage:3.0f} %", style="bold"), _Rate(), _Left()]
        if console.width >= _WORTH_A_BAR:
            simulated = TextColumn("simulated {task.fields[sim_s]:.2f} s", style="dim")
            columns = [BarColumn(bar_width=min(40, console.width - 60)), *columns, simulated]
        self._progress = Progress(
            *columns, console=console, speed_estimate_period=20.0, get_time=clock
        )
        self._task: TaskID = self._progress.add_task("", total=total, sim_s=0.0)
        self._progress.start()

    def tick(self, event: Ticked) -> None:
        self._done, self._total, self._sim_s = event.done, event.total, event.sim_s
        self._progress.update(
            self._task, completed=event.done, total=event.total, sim_s=event.sim_s
        )

    def finish(self, sim_s: float) -> None:
        self._progress.update(self._task, completed=self._total, sim_s=sim_s)
        self._progress.stop()
        _say(self._console, _ended(self._total, sim_s, self._clock() - self._began))

    def stop(self) -> None:
        if self._done == self._total > 0:  # a part of a run ends so
            return self.finish(self._sim_s)
        self._progress.stop()
        return _say(self._console, _stopped(self._done, self._total))


class _Lines:
    """Plain lines for a file, a pipe or a log."""

    def __init__(
        self, console: Console, total: int, clock: Callable[[], float], every_s: float
    ) -> None:
        self._console, self._total, self._clock, self._every_s = console, total, clock, every_s
        self._began = self._last_at = clock()
        self._done = self._last_done = 0
        self._sim_s = 0.0

    def tick(self, event: Ticked) -> None:
        now = self._clock()
        self._done, self._total, self._sim_s = event.done, event.total, event.sim_s
        if now - self._last_at < self._every_s:
            return
        # The rate since the last line: on a resumed run the rows already known come fast at first.
        rate = (event.done - self._last_done) / (now - self._last_at)
        self._last_at, self._last_done = now, event.done
        left = f", {_time((self._total - event.done) / rate)} left" if rate > 0 else ""
        share = 100 * event.done / self._total if self._total else 100
        _say(
            self._console,
            Text(
                f"{event.done}/{self._total} ({share:.0f} %), simulated {event.sim_s:.2f} s,"
                f" {_rate(rate)}{left}"
            ),
        )

    def finish(self, sim_s: float) -> None:
        _say(self._console, _ended(self._total, sim_s, self._clock() - self._began))

    def stop(self) -> None:
        if self._done == self._total > 0:
            return self.finish(self._sim_s)
        return _say(self._console, _stopped(self._done, self._total))


class _Rate(ProgressColumn):
    def render(self, task: object) -> Text:
        speed = getattr(task, "finished_speed", None) or getattr(task, "speed", None)
        return Text(_rate(speed) if speed else "", style="cyan")


class _Left(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: object) -> Text:
        seconds = getattr(task, "time_remaining", None)
        finished = getattr(task, "finished", False)
        return Text("" if seconds is None or finished else f"{_time(seconds)} left", style="cyan")


def _ended(total: int, sim_s: float, wall_s: float) -> Text:
    rate = f" ({_rate(total / wall_s)})" if wall_s > 0 else ""
    return Text(
        f"Done: {_many(total, 'transmission')}, {sim_s:.2f} s simulated, in {_time(wall_s)}{rate}"
    )


def _stopped(done: int, total: int) -> Text:
    return Text(f"Stopped after {done} of {_many(total, 'transmission')}.")


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _say(console: Console, text: Text) -> None:
    """Print a line as it is: no markup, and no wrapping without a terminal."""
    console.print(text, soft_wrap=not console.is_terminal, highlight=False)
