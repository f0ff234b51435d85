"""The images of a run side by side: sent, and received as the attack grows."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.names import decibel_keys, number, short_names, stated
from channelsim.contracts import records
from channelsim.contracts.keys import Keys
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger.thumbnails import picture as picture_of
from channelsim.ledger.thumbnails import signal_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from channelsim.contracts.records import ArmRecord
    from channelsim.ledger import Ledger

Picture = NDArray[np.float64]

_BLANK: Picture = np.ones((1, 1, 3))  # an empty place, unlike a missing image
_GAP = 2  # pixels between thumbnails
_MOST_MESSAGES, _MOST_POINTS = 8, 16  # more would be unreadable
_DPI = 150
_WIDE, _LONG = 16, 14  # characters that fit over a picture, and that fit in the usual size
_PER_INCH = 12.5  # characters of a title, at 10 points
# Marks of pictures that show the receiver's fallback.
_MARKS = {records.REJECTED: "refused", records.LOST: "lost"}


@dataclass(frozen=True, slots=True)
class _Block:
    """One receiver: column heads, row names, and rows of pictures (None where one is missing).

    ``marks``: a word for every picture, empty for most.
    """

    receiver: str
    heads: Sequence[str]
    names: Sequence[str]
    rows: Sequence[Sequence[Picture | None]]
    marks: Sequence[Sequence[str]]


def gallery(ledger: Ledger, path: Path) -> bool:
    """Draw the ledger's thumbnails as PNG: a block per receiver, a row per message.

    Columns: the source, the undisturbed g(z), then the received images over the sweep, at the
    transmission's last attempt; where that was lost or refused the fallback is shown and marked.
    The last rows are the worst message of every arm: its source, the image as changed by an
    adversary before the encoder, and the received one. Long sweeps are thinned evenly. Returns
    False, and writes nothing, where the ledger holds no images.
    """
    from matplotlib.figure import Figure

    blocks = _blocks(ledger)
    if not blocks:
        return False
    sheets = [_sheet(block.rows) for block in blocks]
    inches = min(16.0, max(5.0, max(sheet.shape[1] for sheet in sheets) / 42))
    heights = [sheet.shape[0] * inches / sheet.shape[1] + 0.45 for sheet in sheets]
    figure = Figure(figsize=(inches + 0.5, sum(heights) + 0.4), layout="constrained")
    panels = figure.subplots(len(blocks), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[
        :, 0
    ]
    for panel, block, sheet in zip(panels, blocks, sheets, strict=True):
        step = (sheet.shape[1] + _GAP) / len(block.heads)
        middles = [(place + 0.5) * step - _GAP / 2 - 0.5 for place in range(len(block.heads))]
        panel.imshow(sheet, interpolation="nearest", vmin=0, vmax=1)
        high = (sheet.shape[0] + _GAP) / len(block.rows)
        for row, words in enumerate(block.marks):
            for middle, word in zip(middles, words, strict=True):
                panel.text(
                    middle, (row + 1) * high - _GAP - 1, word, fontsize=6, color="white",
                    ha="center", va="bottom", bbox={"facecolor": "0.35", "edgecolor": "none",
                    "pad": 1.5} if word else None,
                )  # fmt: skip
        panel.xaxis.tick_top()
        heads = [plain_text(head) for head in block.heads]
        longest = max(len(line) for head in heads for line in head.split("\n"))
        panel.set_xticks(middles, heads, fontsize=7 if longest < _LONG else 6)
        levels = [(row + 0.5) * high - _GAP / 2 - 0.5 for row in range(len(block.rows))]
        panel.set_yticks(levels, block.names, fontsize=6)
        panel.tick_params(length=0)
        panel.set_ylabel(plain_text(block.receiver), fontsize=9)
        panel.spines[:].set_visible(False)
    entitle(figure, _title(ledger.header()), fontsize=10)
    figure.savefig(path, dpi=_DPI, format="png")
    return True


def _title(header: RunHeader) -> str:
    """The run's title; of signals, what a picture shows from left to right and top to bottom."""
    sampling, shape = header.sampling, signal_shape(header)
    if sampling is None or shape is None:
        return header.title
    low, high = min(sampling.low, 0.0), max(sampling.high, 0.0)
    unit = f" {sampling.unit}" if sampling.unit else ""
    return (
        f"{header.title} ({shape[1] / sampling.rate_hz:.3g} s, {low:.3g} to"
        f" {high:.3g}{unit}; in grey the source)"
    )


def entitle(figure: Figure, title: str, fontsize: int) -> None:
    """Put a title over a figure, wrapped to its width."""
    width = max(20, int(figure.get_figwidth() * _PER_INCH * 10 / fontsize))
    figure.suptitle(plain_text(textwrap.fill(title, width)), fontsize=fontsize)


def plain_text(text: str) -> str:
    """Keep matplotlib from reading a user's text as mathematics; ``□`` for what its font lacks."""
    known = _letters()
    shown = "".join(x if x == "\n" or ord(x) in known else "□" for x in text)
    return shown.replace("$", r"\$")


@functools.cache
def _letters() -> frozenset[int]:
    """The characters of the font that pictures are drawn with."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return frozenset(font.get_charmap())


def _blocks(ledger: Ledger) -> list[_Block]:
    header, arms = ledger.header(), ledger.arms()
    count = header.count
    decibels = decibel_keys(header.described_scenario, header.swept_keys)
    short = short_names(header.swept_keys, decibels)
    # Other messages have pictures only in arms where they are the worst or the newest.
    sample = header.scenario.get("images", count)
    query = (
        "SELECT DISTINCT transmission % :count AS message FROM image"
        " WHERE message < :sample ORDER BY 1 LIMIT :most"
    )
    given = {"count": count, "sample": sample, "most": _MOST_MESSAGES}
    chosen = ledger.rows(query, given)
    messages = [int(message) for (message,) in chosen]
    worst = _worst(ledger, header) if len(messages) < count else {}
    found = []
    for receiver in dict.fromkeys(arm.receiver for arm in arms):
        own = _thinned([arm for arm in arms if arm.receiver == receiver])
        rows = [_row(ledger, own, message, header.keys) for message in messages]
        if any(picture is not None for row in rows for picture in row):
            heads = ["source", "clean", *(_head(arm.swept, short) for arm in own)]
            marks = [["", "", *_marks(ledger, own, message, header.keys)] for message in messages]
            names = [f"message {message}" for message in messages]
            if any(arm.arm in worst for arm in own):
                fates = [_fate(ledger, worst.get(arm.arm)) for arm in own]
                for role in ("source", "attacked", "received"):
                    pictures = _pictures(ledger, own, worst, role)
                    if role == "attacked":
                        pictures = [_BLANK if one is None else one for one in pictures]
                    if any(one is not None and one is not _BLANK for one in pictures):
                        names.append("the worst:\nsource" if role == "source" else role)
                        rows.append([_BLANK, _BLANK, *pictures])
                        marks.append(["", "", *(fates if role == "received" else [""] * len(own))])
            found.append(_Block(receiver, heads, names, rows, marks))
    return found


def _worst(ledger: Ledger, header: RunHeader) -> dict[int, int]:
    """Per arm, the transmission with the most damage among those with pictures."""
    gauge = header.damage_metric
    if gauge is None:
        return {}
    query = (
        f'SELECT t.transmission, a."{gauge}_source" FROM transmission t CROSS JOIN attempt a'
        f" ON a.attempt = {header.keys.last_attempt('t.transmission', 't.attempts')}"
        " WHERE t.transmission IN (SELECT transmission FROM image) ORDER BY 1"
    )
    sign = -1.0 if header.scale(gauge).higher_is_better else 1.0
    found: dict[int, tuple[float, int]] = {}
    for transmission, value in ledger.rows(query):
        arm = header.keys.of_transmission(transmission)[0]
        if value is not None and (arm not in found or sign * value > found[arm][0]):
            found[arm] = (sign * value, transmission)
    return {arm: transmission for arm, (_, transmission) in found.items()}


def _pictures(
    ledger: Ledger, arms: Sequence[ArmRecord], of: Mapping[int, int], role: str
) -> list[Picture | None]:
    """One role of a transmission of each arm, under the arms' heads."""
    query = "SELECT png FROM image WHERE transmission = ? AND role = ? ORDER BY attempt DESC"

    def kept(arm: ArmRecord, role: str) -> bytes | None:
        found: bytes | None = next(ledger.rows(query, (of.get(arm.arm), role)), (None,))[0]
        return found

    return [
        _picture(ledger, kept(arm, role), None if role == "source" else kept(arm, "source"))
        for arm in arms
    ]


def _thinned(arms: Sequence[ArmRecord]) -> list[ArmRecord]:
    if len(arms) <= _MOST_POINTS:
        return list(arms)
    chosen = np.unique(np.linspace(0, len(arms) - 1, _MOST_POINTS).round().astype(int))
    return [arms[place] for place in chosen]


def _head(swept: Mapping[str, Any], short: Mapping[str, str]) -> str:
    if not swept:
        return "received"
    lines = []
    for key, value in swept.items():
        part = isinstance(value, Mapping)  # its name suffices
        line = number(value) if part else stated(short[key], number(value))
        lines.append(line if len(line) <= _WIDE else line.replace(" = ", " =\n"))
    return "\n".join(lines)


def _row(
    ledger: Ledger, arms: Sequence[ArmRecord], message: int, keys: Keys
) -> list[Picture | None]:
    """Source, clean, and every arm's received image of one message."""
    stored: dict[tuple[int, str], bytes] = {}
    query = "SELECT role, png FROM image WHERE transmission = ? ORDER BY attempt"
    for arm in arms:
        for role, png in ledger.rows(query, (keys.transmission(arm.arm, message),)):
            stored[arm.arm, role] = png  # the last attempt stays
    # Source and clean image are the same in all arms that have them.
    anywhere = {role: png for (_, role), png in reversed(list(stored.items()))}
    source = anywhere.get("source")
    others = [anywhere.get("clean"), *(stored.get((arm.arm, "received")) for arm in arms)]
    return [_picture(ledger, source), *(_picture(ledger, png, source) for png in others)]


def _marks(ledger: Ledger, arms: Sequence[ArmRecord], message: int, keys: Keys) -> list[str]:
    """Per arm, a word where this message was not delivered."""
    return [_fate(ledger, keys.transmission(arm.arm, message)) for arm in arms]


def _fate(ledger: Ledger, transmission: int | None) -> str:
    query = "SELECT delivered FROM transmission WHERE transmission = ?"
    return _MARKS.get(next(ledger.rows(query, (transmission,)), ("",))[0], "")


def _picture(ledger: Ledger, png: bytes | None, source: bytes | None = None) -> Picture | None:
    """What was kept → RGB in [0, 1], [H, W, 3]; None (a grey field) for a damaged one.

    A signal is drawn over its ``source``.
    """
    shown = None if png is None else picture_of(png, ledger.header(), source)
    return None if shown is None else shown / 255.0


def _sheet(rows: Sequence[Sequence[Picture | None]]) -> Picture:
    """Pictures on one white sheet; a missing one leaves a grey field."""
    size = max(p.shape for row in rows for p in row if p is not None)
    high, wide = size[0] + _GAP, size[1] + _GAP
    sheet = np.ones((len(rows) * high - _GAP, len(rows[0]) * wide - _GAP, 3))
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            field = np.full(size, 0.85) if picture is None else picture
            top, left = i * high, j * wide
            sheet[top : top + field.shape[0], left : left + field.shape[1]] = field
    return sheet
