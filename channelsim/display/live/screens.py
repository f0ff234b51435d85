"""Windows above the view: help, a command to copy, consent, the filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from channelsim.analysis.names import number
from channelsim.display.live.info import RunInfo
from channelsim.display.live.model import Filter
from channelsim.display.live.reader import WORDS
from channelsim.display.live.style import DIM, fit
from channelsim.ledger.consent import CodeFile
from channelsim.support.errors import printable

HELP = """\
[b]Find out why[/b]
  w  worst transmissions     n  newest transmissions
  ↑ ↓  choose one            enter  look at it closely (in the table: its arm)
  i  recompute its {noun}s and its change in the latent
  r  the command that replays it outside of this view

[b]Arrange[/b]
  s  sort the table          m  next metric for the curves
  f  filter by receiver, sweep and verdict      x  show everything again
  1 to 6  one panel (0: all of them)            tab  next panel

[b]Time[/b]
  space  pause the view, never the run          .  one step
  p  play a finished run from its beginning, or stop that
  + −  speed of the playback

  ?  this help   q  leave

[b]What is shown[/b]
Estimates are means against the source {noun}, ± half of a 95 % t-interval
over messages (the summary of a finished run resamples {noun}s instead, or
time blocks: a channel that remembers makes ± too narrow, shown as ±>);
PSNR is averaged as MSE. ◀ marks the worst cell of a column. Of a
transmission: what the codec did without any wire, channel and adversary
together, the adversary alone, and what noise of the same size would have
done instead. Pictures come from the ledger or are recomputed by replay;
1:2 says that they are shown at half their size. A filled dot marks who is
active just now. Over time, red behind a line tells which share of the
attempts was attacked.
{quit}"""
LEAVING = "Leaving never touches the run."
LEAVING_OWN = """\
Leaving closes the view; the run goes on here with plain lines. Ctrl-C
stops the run, with everything recorded, and says how to go on."""


_ALL = object()  # a criterion that lets everything through; None may be a swept value


class Window(ModalScreen[None]):
    """A window above the view."""

    def action_close(self) -> None:
        """Close it. Keys typed before that may arrive after it is closed."""
        if self.is_current:
            self.dismiss()


class TextScreen(Window):
    """A text in a frame; any key closes it, arrows scroll."""

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """The frame and its text."""
        with VerticalScroll() as box:
            box.border_title = self._title
            yield Static(self._text)

    def on_key(self, event: events.Key) -> None:
        """Close it on any key but those that scroll."""
        if event.key not in {"up", "down", "pageup", "pagedown", "home", "end"}:
            event.stop()
            event.prevent_default()
            self.action_close()

    def on_click(self) -> None:
        """Close it."""
        self.action_close()


class ConsentScreen(Window):
    """Asks whether code that the ledger names may run: ``y`` is yes, any other key no."""

    def __init__(self, files: Sequence[CodeFile], agreed: Callable[[], None]) -> None:
        super().__init__()
        self._files, self._agreed = files, agreed

    def compose(self) -> ComposeResult:
        """The files, and the question."""
        text = Text("To compute this again, code that the ledger names would run:\n\n")
        for file in self._files:
            text.append(f"{printable(str(file.path))}\n")
            text.append(f"  SHA-256 {file.sha256}\n", DIM)
        text.append("\nA ledger may come from anybody. Run this code?  y yes   any other key no")
        with VerticalScroll() as box:
            box.border_title = "Code"
            yield Static(text)

    def on_key(self, event: events.Key) -> None:
        """Agree on ``y``, refuse on any other key."""
        event.stop()
        event.prevent_default()
        if event.key not in {"up", "down", "pageup", "pagedown"}:
            self.action_close()
        if event.key == "y":
            self._agreed()


class FilterScreen(Window):
    """One line per criterion; the arrows cycle its value, which takes effect at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "line(-1)", show=False),
        Binding("down,j,tab", "line(1)", show=False),
        Binding("left,h", "value(-1)", show=False),
        Binding("right,l,space", "value(1)", show=False),
        Binding("x", "clear", show=False),
        Binding("enter,escape,f,q", "close", show=False),
    ]

    def __init__(self, info: RunInfo, chosen: Filter, changed: Callable[[], None]) -> None:
        super().__init__()
        self._info, self._filter, self._changed = info, chosen, changed
        self._line = 0
        self._options: list[tuple[str, str, list[Any]]] = [
            ("receiver", "", [_ALL, *info.receivers])
        ]
        self._options += [
            (info.short[key], key, [_ALL, *info.values(key)]) for key in info.swept_keys
        ]
        self._options.append(("verdict", "", [_ALL, *WORDS[:-1]]))

    def compose(self) -> ComposeResult:
        """The frame and its lines."""
        with VerticalScroll() as box:
            box.border_title = "Filter"
            yield Static(self._text(), id="lines")

    def action_line(self, by: int) -> None:
        """Go to another criterion."""
        self._line = (self._line + by) % len(self._options)
        self.query_one("#lines", Static).update(self._text())

    def action_value(self, by: int) -> None:
        """Take its next value."""
        label, key, values = self._options[self._line]
        now = self._value(label, key)
        place = next((i for i, value in enumerate(values) if value == now), 0)
        value = values[(place + by) % len(values)]
        if key:
            self._filter.swept.pop(key, None)
            if value is not _ALL:
                self._filter.swept[key] = value
        elif label == "receiver":
            self._filter.receiver = None if value is _ALL else value
        else:
            self._filter.word = None if value is _ALL else value
        self._describe()

    def action_clear(self) -> None:
        """Let everything through."""
        self._filter.receiver = self._filter.word = None
        self._filter.swept.clear()
        self._describe()

    def _describe(self) -> None:
        self._changed()
        self.query_one("#lines", Static).update(self._text())

    def _value(self, label: str, key: str) -> Any:
        if key:
            return self._filter.swept.get(key, _ALL)
        chosen = self._filter.receiver if label == "receiver" else self._filter.word
        return _ALL if chosen is None else chosen

    def _text(self) -> Text:
        wide = max(len(label) for label, _, _ in self._options)
        text = Text()
        for place, (label, key, _) in enumerate(self._options):
            value = self._value(label, key)
            here = place == self._line
            said = "all" if value is _ALL else fit(number(value), 20)
            text.append(f"{'›' if here else ' '} {label:<{wide}}  ◂ ", "bold" if here else "")
            text.append(
                f"{said:^20}", "reverse" if here else "bold" if value is not _ALL else "dim"
            )
            text.append(" ▸\n", "bold" if here else "")
        text.append("\n↑ ↓ criterion   ← → value   x all   enter done", "dim")
        return text


def help_screen(owned: bool, noun: str) -> TextScreen:
    """The keys and the figures; ``owned``: the view started the run. ``noun``: of its messages."""
    text = HELP.replace("{noun}", noun).replace("{quit}", LEAVING_OWN if owned else LEAVING)
    return TextScreen("Help", Text.from_markup(text))


def command_screen(command: str) -> TextScreen:
    """A command to type elsewhere."""
    text = Text(command + "\n\n")
    text.append("In the clipboard, if this terminal allows it. Any key closes.", DIM)
    return TextScreen("Replay it outside of this view", text)
