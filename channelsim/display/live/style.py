"""Colours, number formats and text layout shared by all panels.

Everything that a colour shows is also shown by a letter, a mark or a place: the view must be
readable without colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from channelsim.contracts import records

# Distinguished by hue and lightness, also with most colour vision deficiencies (after Okabe & Ito).
PALETTE = ("#56b4e9", "#e69f00", "#00c795", "#f0e442", "#cc79a7", "#7a9cff", "#ff7f50", "#b0b0b0")
DIM, BOLD = "dim", "bold"
GOOD, BAD, CAUTION, ACCENT = "#4fc985", "#ff5f5f", "#ffb454", "#56b4e9"
ATTACKED = (150, 30, 45)  # behind a bin in which something was injected

_STYLES = {
    records.OK: "",
    records.OFF: DIM,
    records.LOST: CAUTION,
    records.REJECTED: CAUTION,
    records.BEATEN_BY_NOISE: CAUTION,
    records.ZERO_GRADIENT: BAD,
    records.NOT_MOVED: BAD,
    records.NONFINITE: BAD,
    records.SATURATED: CAUTION,
}


@dataclass(frozen=True, slots=True)
class Theme:
    """The style of drawing: with colours or without."""

    colour: bool = True

    def receiver(self, place: int) -> str:
        """The colour of a receiver, by its place in the scenario."""
        return PALETTE[place % len(PALETTE)]


def word_style(word: str) -> str:
    """The style of a verdict."""
    return _STYLES.get(word, "")


def letter(place: int) -> str:
    """A receiver's letter: a, b, c …"""
    return chr(ord("a") + place % 26)


def fit(text: str, width: int) -> str:
    """Cut a text at a word, or if need be within it, and mark the cut by an ellipsis."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    cut = text[: width - 1]
    at_word = cut.rsplit(" ", 1)[0]
    return (at_word if len(at_word) > width // 2 else cut).rstrip(" ,;:") + "…"


def figure(value: float, digits: int) -> str:
    """A number with fixed decimals; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:z.{digits}f}"


def digits_of(value: float, half: float) -> int:
    """Decimals that show half an interval with one figure or two; 1 to 4."""
    if not half > 0 or math.isinf(half):
        return 3 if abs(value) < 10 else 1
    return max(1, min(4, 1 - math.floor(math.log10(half))))


def clock(seconds: float) -> str:
    """Simulated seconds."""
    digits = 3 if seconds < 10 else 2 if seconds < 100 else 1
    return f"{seconds:,.{digits}f} s"


def lines(rows: list[Text], height: int) -> Text:
    """Join at most ``height`` lines."""
    return Text("\n", no_wrap=True).join(rows[:height])


def unstyled(text: Text) -> Text:
    """A copy whose style does not spread to what is appended to it."""
    found = Text(no_wrap=True)
    found.append_text(text)
    return found


def columns(left: list[Text], right: list[Text], width: int, gap: int = 2) -> list[Text]:
    """Two blocks of lines side by side, the left ``width`` wide."""
    rows = []
    for place in range(max(len(left), len(right))):
        one = unstyled(left[place]) if place < len(left) else Text()
        one.pad_right(max(0, width - one.cell_len))
        if place < len(right):
            one.append(" " * gap)
            one.append_text(right[place])
        rows.append(one)
    return rows


def wrapped(text: str, width: int, style: str = "", indent: str = "") -> list[Text]:
    """A text in lines of at most ``width`` columns, broken at words."""
    import textwrap

    found = textwrap.wrap(text, max(8, width), subsequent_indent=indent)
    return [Text(line, style=style) for line in found]


# Layout of the view's panels.
SHEET = """\
Screen { layout: vertical; }
#status { height: 2; border: none; }
#tabs, #keys { height: 1; border: none; padding: 0 1; }
#keys { background: $surface; }
#top { height: auto; }
#path { width: 1fr; height: 100%; }
#aside { width: 54; height: 100%; }
#middle { height: 3fr; }
#bottom { height: 4fr; }
#arms { width: 3fr; height: 1fr; }
#charts { width: 2fr; height: 1fr; }
#curves { height: 1fr; }
#list { width: 40; height: 1fr; }
#detail { width: 1fr; height: 1fr; }
TextScreen, FilterScreen, ConsentScreen { align: center middle; }
ModalScreen > VerticalScroll {
    width: auto; max-width: 96%; height: auto; max-height: 96%;
    border: round $accent; padding: 0 1; background: $surface;
}
ModalScreen Static { width: auto; max-width: 100%; }
"""
