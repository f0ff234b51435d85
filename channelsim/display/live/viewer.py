"""The terminal application: panels, keys, and the clock that updates them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from channelsim.display.live import overview, text_tables
from channelsim.display.live.frames import PANELS, Frames, arranged, narrow
from channelsim.display.live.model import FINISHED, NEWEST, WORST, Filter, Model
from channelsim.display.live.recomputer import Recomputer
from channelsim.display.live.remembered import Recomputed
from channelsim.display.live.screens import (
    ConsentScreen,
    FilterScreen,
    command_screen,
    help_screen,
)
from channelsim.display.live.style import SHEET, Theme
from channelsim.display.live.widgets import Panel, TablePanel
from channelsim.ledger.examination import examined
from channelsim.support.errors import ChannelsimError

FRAME_S = 0.25  # 4 frames a second
_BUDGET_S, _READ_S = 0.06, 0.05  # read time within a frame; pause between reads of a backlog
LEAVE, STOP = "leave", "stop"


class LiveApp(App[str]):
    """The view of one run; `run` returns `LEAVE` or `STOP`.

    ``opened`` is called in every frame until it returns a `Model` (a run that is only just starting
    has no ledger yet); ``ended`` says whether the run's process is gone, and is called only while
    there is no model. ``owned``: the view started the run, so Ctrl-C stops it.
    """

    TITLE = "channelsim"
    ENABLE_COMMAND_PALETTE = False
    CSS = SHEET
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+q", "leave", "leave", priority=True),
        Binding("ctrl+c", "stop", show=False, priority=True),
        Binding("question_mark,f1", "help", "help"),
        Binding("w", "list('worst')", "worst"),
        Binding("n", "list('newest')", "newest"),
        Binding("i", "recompute", "images"),
        Binding("r", "replay", "replay"),
        Binding("f", "filter", "filter"),
        Binding("x,escape", "clear", show=False),
        Binding("s", "sort", "sort"),
        Binding("m", "metric", "metric"),
        Binding("space", "pause", "pause"),
        Binding("full_stop", "step", "step"),
        Binding("p", "play", "play"),
        Binding("plus,equals_sign", "speed(1)", show=False),
        Binding("minus", "speed(-1)", show=False),
        *[Binding(str(n + 1), f"only({n})", show=False) for n in range(len(PANELS))],
        Binding("0", "only(-1)", show=False),
    ]

    def __init__(
        self,
        opened: Callable[[], Model | None],
        *,
        ended: Callable[[], bool] = lambda: False,
        owned: bool = False,
        colour: bool = True,
    ) -> None:
        super().__init__(ansi_color=not colour)
        self.frames = Frames(Theme(colour), owned)
        self.recomputer: Recomputer | None = None
        self.failure: ChannelsimError | None = None
        self._opened, self._ended, self._owned = opened, ended, owned
        self._behind, self._panels = False, 0

    # --- putting it together --------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """All panels; `_arrange` selects the visible ones."""
        frames = self.frames
        yield Panel(frames.status, id="status")
        yield Panel(frames.tabs, id="tabs")
        with Horizontal(id="top"):
            yield Panel(frames.path, id="path")
            yield Panel(frames.times, id="aside")
        with Horizontal(id="middle"):
            yield TablePanel(frames.arms, id="arms")
            with Vertical(id="charts"):
                yield Panel(frames.curves, id="curves", focusable=True, headed=True)
                yield Panel(frames.times, id="times")
        with Horizontal(id="bottom"):
            yield TablePanel(frames.transmissions, id="list")
            yield Panel(frames.detail, id="detail", focusable=True, headed=True)
        yield Panel(frames.warnings, id="warnings", focusable=True)
        yield Panel(frames.keys, id="keys")

    def on_mount(self) -> None:
        """Start reading the run; handle termination signals."""
        self._panels = len(self.query(Panel))
        self._arrange()
        self.query_one("#list").focus()
        self._frame()
        self.set_interval(FRAME_S, self._frame)
        self.set_interval(_READ_S, self._catch_up)
        if not self.is_headless:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    asyncio.get_running_loop().add_signal_handler(number, self.action_stop)

    def on_unmount(self) -> None:
        """Stop the child process."""
        if self.recomputer is not None:
            self.recomputer.close()

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the panels that fit."""
        self._arrange(event.size.width, event.size.height)

    @property
    def model(self) -> Model | None:
        """The model of the watched run, once it exists."""
        return self.frames.model

    def _arrange(self, width: int = 0, height: int = 0) -> None:
        width, height = width or self.size.width, height or self.size.height
        frames, model = self.frames, self.model
        frames.small = narrow(width, height)
        found = arranged(width, height, frames.tab, frames.only)
        for name, seen in found.seen.items():
            self.query_one(f"#{name}").display = seen
        for name in PANELS:
            self.query_one(f"#{name}").set_class(found.bare, "bare")
        aside = found.seen["aside"]
        tall = overview.path_height(model, width - 4 - 54 * aside, aside) if model else 4
        self.query_one("#top").styles.height = "1fr" if found.single else tall + 2
        self.query_one("#warnings").styles.height = "1fr" if found.single else 4 + 2 * (height > 50)
        both = found.seen["list"] and found.seen["detail"]
        needed = text_tables.list_width(model) + 4 if model else 40
        self.query_one("#list").styles.width = min(needed, width // 2) if both else "1fr"
        receivers = len(model.info.receivers) if model else 1
        each = receivers if frames.theme.colour else 2 * receivers
        self.query_one("#times").styles.height = min(each + 3, height // 2 if frames.small else 8)
        self.call_after_refresh(self._draw)

    # --- the clock ------------------------------------------------------------------------------

    def _leaving(self) -> bool:
        """Whether panels are being taken down; a timer may fire even then."""
        return len(self.query(Panel)) < self._panels

    def _frame(self) -> None:
        if self._leaving():
            return
        try:
            if self.model is None:
                self._open()
            if self.model is not None:
                self._behind = self.model.tick(_BUDGET_S)
                self._collect()
                if not self.query_one("#list", TablePanel).led:
                    self.model.select_first()
            elif self._ended():
                self.exit(LEAVE)
            self._draw()
        except ChannelsimError as error:
            self._fail(error)

    def _catch_up(self) -> None:
        if self._behind and self.model is not None:
            try:
                self._behind = self.model.tick(_BUDGET_S / 2)
            except ChannelsimError as error:
                self._fail(error)

    def _open(self) -> None:
        model = self._opened()
        if model is not None:
            self.frames.show(model)
            allowed = model.allow_code or self._owned
            self.recomputer = Recomputer(model.reader.path.parent, model.data_root, allowed)
            self._arrange()

    def _fail(self, error: ChannelsimError) -> None:
        self.failure = error
        self.exit(LEAVE)

    def _collect(self) -> None:
        assert self.recomputer is not None
        assert self.frames.details is not None
        for transmission, answer in self.recomputer.answers():
            self.frames.details.remember(transmission, answer)

    def _draw(self) -> None:
        if self._leaving():
            return
        try:
            with examined(self.model.reader.path) if self.model else nullcontext():
                for panel in self.query(Panel):
                    if panel.display and panel.is_on_screen:
                        panel.redraw()
                self._titles()
        except ChannelsimError as error:
            self._fail(error)

    def _titles(self) -> None:
        for name, title in self.frames.titles().items():
            self.query_one(f"#{name}", Panel).titled(title)

    # --- what keys do ---------------------------------------------------------------------------

    def on_table_panel_moved(self, message: TablePanel.Moved) -> None:
        """Show the transmission under the list's cursor beside the list."""
        if message.panel.id == "list" and self.model is not None:
            self.model.selected = message.key
            panel = self.query_one("#detail", Panel)
            panel.top = 0
            panel.redraw()
            self._titles()

    def on_table_panel_chosen(self, message: TablePanel.Chosen) -> None:
        """Enter on an arm shows its transmissions; on a transmission, its details."""
        if self.model is None:
            return
        if message.panel.id == "arms":
            arm = self.model.info.arms[message.key]
            self.model.filter.receiver = arm.receiver
            self.model.filter.swept = dict(arm.swept)
            self.say(f"only {self.model.filter.said(self.model.info)}; x shows everything")
            self.query_one("#list", TablePanel).follow()
            self._show(3)
        else:
            self._show(4, alone=True)

    def action_only(self, place: int) -> None:
        """Give one panel the screen; all of them again with 0."""
        if place < 0:
            self.frames.only = -1
            self._arrange()
        else:
            self._show(place, alone=True)

    def _show(self, place: int, alone: bool = False) -> None:
        """Bring a panel to the front and give it the keys."""
        self.frames.tab = place
        if not self.frames.small:
            self.frames.only = place if alone else -1
        self._arrange()
        panel = self.query_one(f"#{PANELS[place]}", Widget)
        if panel.can_focus:
            panel.focus()

    def action_list(self, which: str) -> None:
        """Worst or newest transmissions."""
        if self.model is not None:
            self.model.list = WORST if which == "worst" else NEWEST
            self.query_one("#list", TablePanel).follow()
            self._show(3)

    def action_sort(self) -> None:
        """Sort the table by the next column."""
        if self.model is not None:
            self.model.next_sort()
            self.query_one("#arms", TablePanel).follow()
            self._draw()

    def action_metric(self) -> None:
        """Draw the next metric."""
        if self.model is not None:
            self.model.next_metric()
            self._draw()

    def action_filter(self) -> None:
        """Choose what is shown."""
        if self.model is not None:
            self.push_screen(FilterScreen(self.model.info, self.model.filter, self._other_rows))

    def action_clear(self) -> None:
        """Show everything again; in a panel that has the screen, first all panels."""
        if self.frames.only >= 0:
            self.action_only(-1)
        elif self.model is not None:
            self.model.filter = Filter()
            self._other_rows()

    def action_pause(self) -> None:
        """Freeze or resume the view; the run is not affected."""
        if self.model is not None:
            self.model.paused = not self.model.paused
            self._draw()

    def action_step(self) -> None:
        """Pause, and show the next block (or moment)."""
        if self.model is not None:
            with suppress(ChannelsimError):
                self.model.step()
            self._draw()

    def action_play(self) -> None:
        """Play a finished run from its beginning, or stop playing."""
        if self.model is None:
            return
        if self.model.playback is not None:
            self.model.stop_playing()
        elif not self.model.play():
            self.say("playback is for runs that are not being written")
        self._other_rows()

    def action_speed(self, by: int) -> None:
        """Play faster or slower."""
        if self.model is not None and self.model.playback is not None:
            self.model.faster(by)
            self._draw()
        else:
            self.say("speed is for playback: press p")

    def action_recompute(self) -> None:
        """Replay the selected transmission, and its message at the other receivers."""
        model, details = self.model, self.frames.details
        if model is None or details is None or model.selected is None or self.recomputer is None:
            return
        if files := self.recomputer.unasked(model.info.header):
            self.push_screen(ConsentScreen(files, self._allow_code))
            return
        selected = model.selected
        self.query_one("#list", TablePanel).hold()
        self.query_one("#detail", Panel).top = 0  # where the progress note stands
        if not self.frames.small:
            self.query_one("#detail").focus()
        else:
            self._show(4)
        for transmission in [selected, *details.siblings(selected)]:
            known = details.replays.get(transmission)
            wanted = transmission == selected or "received" not in details.images(transmission)
            if wanted and model.figures.has(transmission) and (known is None or known.error):
                details.remember(transmission, Recomputed(pending=True))
                self.recomputer.ask(transmission)
        self._draw()

    def _allow_code(self) -> None:
        assert self.recomputer is not None
        self.recomputer.allow_code = True
        self.action_recompute()

    def action_replay(self) -> None:
        """Show (and copy, where the terminal lets us) the command that replays it."""
        if self.model is not None and self.model.selected is not None:
            command = self.model.replay_command(self.model.selected)
            self.copy_to_clipboard(command)
            self.push_screen(command_screen(command))

    def action_help(self) -> None:
        """Explain the keys and the figures."""
        self.push_screen(help_screen(self._owned, self.frames.noun))

    def action_leave(self) -> None:
        """Close the view; in a window above it, close that."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self.exit(LEAVE)

    def action_stop(self) -> None:
        """Ctrl-C: stop the run if this view started it, else just leave."""
        ours = self._owned and (self.model is None or self.model.state != FINISHED)
        self.exit(STOP if ours else LEAVE)

    def say(self, text: str) -> None:
        """Show a message at the top for a few seconds."""
        self.frames.said = text

        def forget() -> None:
            if self.frames.said == text:
                self.frames.said = ""

        self.set_timer(4.0, forget)
        self._draw()

    def _other_rows(self) -> None:
        """Scroll to the first row after the set of rows has changed."""
        for panel in self.query(TablePanel):
            panel.follow()
        self._draw()
