"""Panels of the terminal application: lines of text in a frame, and tables with a cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from channelsim.display.live.style import fit
from channelsim.display.live.text_tables import TextTable

Lines = Callable[[int, int], list[Text]]  # (width, height) → lines


class Panel(Widget):
    """Shows lines drawn for its size; scrolls where they do not fit."""

    DEFAULT_CSS = """
    Panel { border: round $surface-lighten-2; border-title-color: $text; padding: 0 1; }
    Panel:focus { border: round $accent; }
    Panel.bare { border: none; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "end(-1)", show=False),
        Binding("end", "end(1)", show=False),
    ]

    def __init__(
        self, draw: Lines, *, id: str, focusable: bool = False, headed: bool = False
    ) -> None:
        super().__init__(id=id)
        self._headed = headed
        self.can_focus = focusable
        self._draw = draw
        self._lines: list[Text] = []
        self._title = self._subtitle = ""
        self.top = 0

    @property
    def room(self) -> tuple[int, int]:
        """Width and height inside the frame."""
        return self.content_size.width, self.content_size.height - self._head

    @property
    def _head(self) -> int:
        """Number of lines above the others: without a frame, a title longer than the tab's."""
        return int(self._headed and self.has_class("bare"))

    def redraw(self) -> None:
        """Draw again; the screen is updated only where something changed."""
        width, height = self.room
        if width <= 0 or height <= 0:
            return
        lines = self._visible(width, height)
        if self._head:
            lines = [self._heading(width), *lines]
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def _heading(self, width: int) -> Text:
        head = Text(fit(self._title, width - len(self._subtitle) - 2), "bold", no_wrap=True)
        head.pad_right(width - head.cell_len - len(self._subtitle))
        head.append(self._subtitle, "not bold dim")
        return head

    def titled(self, title: str) -> None:
        """Name the frame."""
        if self._title != title:
            self._title = title
            self.border_title = Text(title)  # a Text, since brackets in a str would be markup

    def noted(self, subtitle: str) -> None:
        """Write a subtitle, such as how much more there is, in the frame's lower edge."""
        if self._subtitle != subtitle:
            self._subtitle = subtitle
            self.border_subtitle = Text(subtitle) if subtitle else None

    def _visible(self, width: int, height: int) -> list[Text]:
        lines = self._draw(width, height)
        self.top = max(0, min(self.top, len(lines) - height))
        more = len(lines) - self.top - height
        self.noted(f"{more} more line{'s' if more > 1 else ''} ↓" if more > 0 else "")
        return lines[self.top : self.top + height]

    def render_line(self, y: int) -> Strip:
        """One line of text, on the panel's background."""
        width = self.content_size.width
        base = self.rich_style
        if y >= len(self._lines):
            return Strip.blank(width, base)
        segments = list(self._lines[y].render(self.app.console))
        return Strip(segments).apply_style(base).adjust_cell_length(width, base)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.redraw()

    def action_move(self, by: int) -> None:
        """Scroll by lines."""
        self.top = max(0, self.top + by)
        self.redraw()

    def action_page(self, by: int) -> None:
        """Scroll by a panel's height."""
        self.action_move(by * max(1, self.room[1] - 2))

    def action_end(self, to: int) -> None:
        """Go to the beginning or the end."""
        self.top = 0 if to < 0 else 10**6
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll by the wheel."""
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll by the wheel."""
        event.stop()
        self.action_move(-3)


class TablePanel(Panel):
    """A table with a cursor. The cursor stays on its row's key while rows come and go.

    Until the user moves it, it stays on the first row. A chosen key stays chosen when its row drops
    out of the table.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", show=False)]

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, panel: TablePanel, key: int) -> None:
            super().__init__()
            self.panel, self.key = panel, key

    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        def __init__(self, panel: TablePanel, key: int) -> None:
            super().__init__()
            self.panel, self.key = panel, key

    def __init__(self, table: Callable[[int], TextTable], *, id: str) -> None:
        super().__init__(lambda _width, _height: [], id=id, focusable=True, headed=True)
        self._table = table
        self._shown: TextTable | None = None
        self.key: int | None = None
        self.led = False  # whether the user moved the cursor

    @property
    def cursor(self) -> int:
        """The row of the cursor; the first where its key is not among the rows."""
        keys = [] if self._shown is None else list(self._shown.keys)
        return keys.index(self.key) if self.key is not None and self.key in keys else 0

    def hold(self) -> None:
        """Stay on this row's key from now on."""
        self.led = self.key is not None

    def follow(self) -> None:
        """Put the cursor back on the first row."""
        self.led, self.top = False, 0
        self.redraw()

    def _visible(self, width: int, height: int) -> list[Text]:
        found = self._shown = self._table(width)
        if not found.rows:
            return [found.head, Text("nothing yet", style="dim")]
        if not self.led:
            self._set(found.keys[0])
        cursor, room = self.cursor, max(1, height - 1)
        self.top = max(0, min(self.top, len(found.rows) - room, cursor))
        self.top = max(self.top, cursor - room + 1)
        last = min(len(found.rows), self.top + room)
        all_there = len(found.rows) <= room
        self.noted("" if all_there else f"{self.top + 1}–{last} of {len(found.rows)}")
        lines = [found.head]
        for place in range(self.top, last):
            row = found.rows[place]
            if found.keys[place] == self.key:
                row = row.copy()
                row.pad_right(max(0, width - row.cell_len))
                row.stylize("reverse" if self.has_focus else "bold underline")
            lines.append(row)
        return lines

    def _set(self, key: int) -> None:
        if key != self.key:
            self.key = key
            self.post_message(self.Moved(self, key))

    def _go(self, place: int) -> None:
        if self._shown is None or not self._shown.rows:
            return
        self.led = True
        self._set(self._shown.keys[max(0, min(len(self._shown.rows) - 1, place))])
        self.redraw()

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + by)

    def action_end(self, to: int) -> None:
        """Go to the first or the last row; the first is followed as rows come."""
        self._go(0 if to < 0 else 10**9)
        self.led = to > 0

    def action_choose(self) -> None:
        """Take the row under the cursor."""
        if self.key is not None:
            self.hold()
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row; a second click takes it."""
        if self._shown is None or not self._shown.rows:
            return
        offset = event.get_content_offset(self)
        if offset is None or offset.y <= self._head:
            return
        place = self.top + offset.y - 1 - self._head
        again = self.led and place == self.cursor
        self._go(place)
        if again:
            self.action_choose()

    def on_focus(self) -> None:
        """Redraw: the cursor's style depends on the focus."""
        self.redraw()

    def on_blur(self) -> None:
        """Redraw: the cursor's style depends on the focus."""
        self.redraw()
