"""Tables that fit: columns are packed into as many tables as the terminal's width requires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SPARKS = "▁▂▃▄▅▆▇█"  # a sparkline's characters, from lowest to highest
_GAP = 2  # characters between columns
_INDENT = 2
_ASCII = {
    "ε": "eps",
    "–": "-",
    "×": "x",
    "·": "-",
    "…": "...",
    "−": "-",
    "≤": "<=",
    "≈": "~",
    "√": "sqrt",
    "→": "->",
    **dict(zip(SPARKS, "_.,-=+*#", strict=True)),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of text: a header (lines), a cell per row, a style for all or for single cells.

    A cell may be a `Text` with styles of its own.
    """

    header: str
    cells: Sequence[str | Text]
    style: str = ""
    left: bool = False
    styles: Sequence[str] = field(default_factory=tuple)

    @property
    def width(self) -> int:
        """Characters it needs."""
        lines = [*self.header.split("\n"), *(str(cell) for cell in self.cells)]
        return max(cell_len(line) for line in lines)


def pack(
    leading: Sequence[Column], columns: Sequence[Column], width: int
) -> Iterator[list[Column]]:
    """Split columns into tables of at most ``width`` characters, each led by ``leading``.

    Nothing is dropped and nothing wrapped: a column wider than the terminal gets its own table.
    """
    room = width - sum(column.width + _GAP for column in leading)
    held: list[Column] = []
    used = 0
    for column in columns:
        if held and used + column.width > room:
            yield [*leading, *held]
            held, used = [], 0
        held.append(column)
        used += column.width + _GAP
    if held:
        yield [*leading, *held]


class Page:
    """Prints to any console: no markup, and ASCII where its encoding is limited to that."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._at_gap = False
        self._ascii = not (console.encoding or "").lower().replace("-", "").startswith("utf")

    def line(self, text: Text, indent: int = 0, *, wrap: bool = True) -> None:
        """Print a paragraph, wrapped at words to the console's width."""
        if not wrap:
            self._console.print(self._spoken(text), soft_wrap=True, highlight=False)
            self._at_gap = False
            return
        for row in self._spoken(text).wrap(self._console, self._console.width - indent):
            row.rstrip()
            self._console.print(Text(" " * indent) + row, soft_wrap=True, highlight=False)
        self._at_gap = False

    def blank(self) -> None:
        """Print an empty line, unless the last one was empty."""
        if not self._at_gap:
            self._console.print()
        self._at_gap = True

    def tables(self, leading: Sequence[Column], columns: Sequence[Column]) -> None:
        """Print columns in as few tables as fit, without rows that would be empty."""
        for chosen in pack(leading, columns, self._console.width - _INDENT):
            table = Table(
                box=box.ASCII2 if self._ascii else box.SIMPLE_HEAD,
                show_edge=False,
                pad_edge=False,
                padding=(0, 1, 0, 0),
                header_style="bold",
            )
            for column in chosen:
                table.add_column(
                    self._spoken(Text(column.header)),
                    justify="left" if column.left else "right",
                    no_wrap=True,
                    min_width=column.width,
                    vertical="bottom",
                )
            for place in range(len(chosen[0].cells)):
                if any(column.cells[place] for column in chosen[len(leading) :]):
                    table.add_row(*(self._cell(column, place) for column in chosen))
            inset = Padding(table, (0, 0, 0, _INDENT), expand=False)
            self._console.print(inset, highlight=False, crop=False, no_wrap=True)
            self._at_gap = False
            self.blank()

    def _cell(self, column: Column, place: int) -> Text:
        style, cell = column.styles[place] if column.styles else column.style, column.cells[place]
        return self._spoken(cell if isinstance(cell, Text) else Text(cell, style=style))

    def _spoken(self, text: Text) -> Text:
        if not self._ascii:
            return text
        for letter, plain in _ASCII.items():
            while letter in text.plain:
                at = text.plain.index(letter)
                text = text[:at] + Text(plain) + text[at + 1 :]
        return text
