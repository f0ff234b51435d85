"""Curves in text: dots of braille (2 × 4 to a character), marks at points, axes with figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from rich.text import Text

from channelsim.display.live.style import DIM

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: points with finite x and y, in order; ``mark`` is one character."""

    label: str
    mark: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def plot(series: Sequence[Series], width: int, height: int, x_label: str = "") -> list[Text]:
    """Lines of ``width`` × ``height`` characters; axis labels are left of and below the curves.

    The horizontal axis is logarithmic (and says so) where x spans two decades or more.
    """
    drawn = [one for one in series if len(one.x)]
    if not drawn or height < 4 or width < 20:
        return [Text("no point yet", style=DIM)]
    xs = np.concatenate([one.x for one in drawn])
    ends = float(xs.min()), float(xs.max())
    if decades := ends[0] > 0 and ends[1] >= 100 * ends[0]:
        drawn = [replace(one, x=np.log10(one.x).tolist()) for one in drawn]
        xs, x_label = np.log10(xs), f"{x_label} (log)".strip()
    ys = np.concatenate([one.y for one in drawn])
    x0, x1 = _range(xs)
    y0, y1 = _range(ys)
    ticks = [_tick(value, y1 - y0) for value in (y1, (y0 + y1) / 2, y0)]
    gutter = max(len(tick) for tick in ticks) + 1
    across, down = width - gutter - 1, height - 2
    canvas = _Canvas(across, down)
    for one in drawn:
        places = [
            ((x - x0) / (x1 - x0) * (2 * across - 1), (y1 - y) / (y1 - y0) * (4 * down - 1))
            for x, y in zip(one.x, one.y, strict=True)
        ]
        for start, end in pairwise(places):
            canvas.line(start, end, one.style)
    for one in drawn:
        for x, y in zip(one.x, one.y, strict=True):
            column = round((x - x0) / (x1 - x0) * (across - 1))
            line = round((y1 - y) / (y1 - y0) * (down - 1))
            canvas.mark(column, line, one.mark, one.style)
    rows = []
    beside = {0: ticks[0], (down - 1) // 2: ticks[1], down - 1: ticks[2]}
    for place, row in enumerate(canvas.rows()):
        axis = Text(no_wrap=True)
        axis.append(f"{beside.get(place, ''):>{gutter}}" + ("┤" if place in beside else "│"), DIM)
        axis.append_text(row)
        rows.append(axis)
    rows.append(Text(" " * gutter + "└" + "─" * across, style=DIM))
    left, right = (f"{end:g}" for end in (ends if decades else (x0, x1)))
    middle = x_label.center(max(0, across - len(left) - len(right)))
    rows.append(Text(" " * (gutter + 1) + left + middle + right, style=DIM))
    return rows


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-12 * max(1.0, abs(high)):
        spread = max(abs(high) * 0.05, 1e-3)
        return low - spread, high + spread
    return low, high


def _tick(value: float, span: float) -> str:
    digits = max(0, min(5, 1 - math.floor(math.log10(span))))
    return f"{value:z.{digits}f}"


class _Canvas:
    def __init__(self, across: int, down: int) -> None:
        self._across, self._down = across, down
        self._dots = np.zeros((down, across), dtype=int)
        self._marks: dict[tuple[int, int], str] = {}
        self._styles: dict[tuple[int, int], str] = {}

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        steps = max(1, math.ceil(max(abs(end[0] - start[0]), abs(end[1] - start[1]))))
        for step in range(steps + 1):
            x = round(start[0] + (end[0] - start[0]) * step / steps)
            y = round(start[1] + (end[1] - start[1]) * step / steps)
            row, column = y // 4, x // 2
            self._dots[row, column] |= _DOTS[y % 4][x % 2]
            self._styles[row, column] = style

    def mark(self, column: int, row: int, mark: str, style: str) -> None:
        self._marks[row, column] = mark
        self._styles[row, column] = style

    def rows(self) -> list[Text]:
        found = []
        for row in range(self._down):
            text = Text()
            for column in range(self._across):
                dots = self._dots[row, column]
                here = self._marks.get((row, column)) or (chr(0x2800 + dots) if dots else " ")
                text.append(here, self._styles.get((row, column), ""))
            found.append(text)
        return found
