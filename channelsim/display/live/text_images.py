"""Images in text: two pixels to a character with colours, shades of ASCII without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from channelsim.display.live.style import DIM, fit, unstyled

Pixels = NDArray[np.uint8]

_SHADES = " .:-=+*#%@"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image [H, W, 3] with its label."""

    label: str
    pixels: Pixels
    style: str = ""


def size(pixels: Pixels, width: int, height: int) -> tuple[int, int, int]:
    """Columns and rows in text that a picture takes, and the factor by which it is shrunk."""
    for shrink in range(1, 65):
        wide, deep = ceil(pixels.shape[1] / shrink), ceil(pixels.shape[0] / shrink)
        tall = ceil(deep / 2)
        if wide <= width and tall <= height:
            return wide, tall, shrink
    return 0, 0, 0


def drawn(pixels: Pixels, shrink: int, colour: bool) -> list[Text]:
    """Lines of text; ``shrink`` pixels each way are averaged into one."""
    shown = _shrunk(pixels, shrink)
    if len(shown) % 2:
        shown = np.concatenate([shown, np.zeros_like(shown[:1])])
    rows = []
    for upper, lower in zip(shown[0::2], shown[1::2], strict=True):
        text = Text(no_wrap=True)
        if colour:
            for one, other in zip(upper, lower, strict=True):
                behind = _colour(other)
                if (one == other).all():
                    text.append(" ", Style(bgcolor=behind))
                else:
                    text.append("▀", Style(color=_colour(one), bgcolor=behind))
        else:
            grey = (upper.astype(float) + lower).mean(axis=1) / 2
            text.append("".join(_SHADES[int(value * 9.999 / 255)] for value in grey))
        rows.append(text)
    return rows


def strip(pictures: Sequence[Picture], width: int, height: int | None, colour: bool) -> list[Text]:
    """Pictures side by side, each under its label, in rows that make them as large as fits.

    Without a ``height`` they get all the rows they need, at full size if two fit in the width.
    """
    if not pictures or (height is not None and height < 3):
        return []
    across = _across(pictures, width, height)
    each = (width + 2) // across - 2
    deep = 200 if height is None else height // ceil(len(pictures) / across) - 1
    found: list[Text] = []
    for start in range(0, len(pictures), across):
        block: list[Text] = []
        for picture in pictures[start : start + across]:
            wide, _, shrink = size(picture.pixels, each, deep)
            if not wide:
                continue
            wide = max(wide, min(each, 8))
            note = f" 1:{shrink}" if shrink > 1 and wide >= 12 else ""
            label = Text(fit(picture.label, wide - len(note)), style=picture.style or "bold")
            label.append(note, DIM)
            column = [label, *drawn(picture.pixels, shrink, colour)]
            block = _beside(block, column, wide)
        found += block
    return found if height is None else found[:height]


def _across(pictures: Sequence[Picture], width: int, height: int | None) -> int:
    """The number per row at which pictures are largest."""
    if height is None:
        widest = max(picture.pixels.shape[1] for picture in pictures)
        return min(len(pictures), max(2, (width + 2) // (widest + 2)))
    best, most = 1, 0.0
    for across in range(1, len(pictures) + 1):
        deep = height // ceil(len(pictures) / across) - 1
        wide, tall, shrink = size(pictures[0].pixels, (width + 2) // across - 2, deep)
        if wide and wide * tall / shrink > most * 1.001:
            best, most = across, wide * tall / shrink
    return best


def _beside(left: list[Text], right: list[Text], width: int) -> list[Text]:
    if not left:
        return [_padded(row, width) for row in right]
    blank = Text(" " * left[0].cell_len)
    rows = []
    for place in range(max(len(left), len(right))):
        row = unstyled(left[place] if place < len(left) else blank)
        row.append("  ")
        row.append_text(_padded(right[place] if place < len(right) else Text(), width))
        rows.append(row)
    return rows


def _padded(row: Text, width: int) -> Text:
    row = unstyled(row)
    row.pad_right(max(0, width - row.cell_len))
    return row


def _shrunk(pixels: Pixels, shrink: int) -> Pixels:
    if shrink == 1:
        return pixels
    down, across = ceil(pixels.shape[0] / shrink), ceil(pixels.shape[1] / shrink)
    found = np.empty((down, across, 3), dtype=np.uint8)
    for row in range(down):
        for column in range(across):
            cut = pixels[row * shrink : (row + 1) * shrink, column * shrink : (column + 1) * shrink]
            found[row, column] = cut.reshape(-1, 3).mean(axis=0).round()
    return found


def _colour(pixel: Pixels) -> Color:
    red, green, blue = (int(value) for value in pixel)
    return Color.from_rgb(red, green, blue)
