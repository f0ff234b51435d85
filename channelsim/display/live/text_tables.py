"""The tables: estimates per arm, and the lists of the worst and the newest transmissions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

from channelsim.analysis.names import number
from channelsim.contracts import records
from channelsim.display.live.model import BY_ARM, FINISHED, INTERRUPTED, WORST, Model
from channelsim.display.live.reader import FATES, WORDS
from channelsim.display.live.style import (
    BAD,
    BOLD,
    CAUTION,
    DIM,
    Theme,
    clock,
    digits_of,
    figure,
    fit,
    word_style,
)
from channelsim.display.live.warning import beaten_arms

_WORST_MARK = "◀"
_LEAST = 6  # columns below which a cut word is unreadable; project's choice


@dataclass(frozen=True, slots=True)
class TextTable:
    """A formatted table: a head, and one line of text per row; ``keys`` name the rows."""

    head: Text
    rows: Sequence[Text]
    keys: Sequence[int]


class _Column:
    """Cells under a title; the width is computed once."""

    def __init__(self, title: str, cells: list[Text], left: bool = False) -> None:
        self.title, self.cells, self.left = title, cells, left
        self.width = max([len(title), *(cell.cell_len for cell in cells)])

    def cut(self, width: int) -> None:
        """Make it narrower; an ellipsis marks the cut."""
        self.title, self.width = fit(self.title, width), width
        for cell in self.cells:
            cell.truncate(width, overflow="ellipsis")


def arms_table(model: Model, width: int, theme: Theme) -> TextTable:
    """Estimates with intervals, one row per arm; the worst cell of a metric is marked."""
    arms = model.ordered_arms()
    columns, settled = [_receivers(model, arms, theme), *_swept(model, arms)], _settled(model, arms)
    threat = any(model.info.adversary_on(arm) for arm in arms)
    tail = [_verdicts(model, arms)] if threat else []
    psr = [_decibels("psr [dB]", model.figures.psr_db()[arms])] if threat else []
    metrics = [_estimates(model, arms, metric) for metric in model.info.metrics]
    needed = [*columns, settled, *metrics[:1]]
    # The count is dropped before the first estimate.
    if sum(column.width + 2 for column in needed) - 2 <= width:
        columns.append(settled)
    metrics[1:1] = _delivered(model, arms)
    return _assembled([*columns, *metrics, *psr, *tail], len(columns) + 1, len(tail), width, arms)


def _assembled(
    columns: list[_Column], first: int, last: int, width: int, keys: Sequence[int]
) -> TextTable:
    """Leave out columns between the first and the last ones until the rest fits.

    Where even that is too wide, the last one is cut, or left out if little of it would remain.
    """

    def over() -> int:
        return sum(column.width + 2 for column in columns) - 2 - width

    while len(columns) > first + last and over() > 0:
        del columns[-last - 1]
    while len(columns) > 2 and over() > 0:
        if columns[-1].width - over() >= _LEAST:
            columns[-1].cut(columns[-1].width - over())
        else:
            del columns[-1]
    head, rows = Text(style=DIM), [Text(no_wrap=True) for _ in keys]
    for place, column in enumerate(columns):
        gap = "  " if place else ""
        pad = column.title.ljust if column.left else column.title.rjust
        head.append(gap + pad(column.width))
        for row, cell in zip(rows, column.cells, strict=True):
            space = " " * (column.width - cell.cell_len)
            row.append(gap)
            if column.left:
                row.append_text(cell)
                row.append(space)
            else:
                row.append(space)
                row.append_text(cell)
    return TextTable(head, rows, keys)


def _receivers(model: Model, arms: Sequence[int], theme: Theme) -> _Column:
    places = {name: place for place, name in enumerate(model.info.receivers)}
    cells = []
    for arm in arms:
        name = model.info.arms[arm].receiver
        mark = "●" if model.active(arm) else " "
        style = theme.receiver(places[name])
        cells.append(Text.assemble((mark, style), (fit(name, 20), style)))
    return _Column(" receiver", cells, left=True)


def _swept(model: Model, arms: Sequence[int]) -> list[_Column]:
    info = model.info
    return [
        _Column(
            info.short[key], [Text(fit(number(info.arms[arm].swept.get(key)), 14)) for arm in arms]
        )
        for key in info.swept_keys
    ]


def _settled(model: Model, arms: Sequence[int]) -> _Column:
    n, count = model.figures.settled_of, model.info.count
    cells = [
        Text(f"{n[arm]:,}") if n[arm] == count else Text(f"{n[arm]:,}/{count:,}", style=DIM)
        for arm in arms
    ]
    return _Column("n", cells)


def _delivered(model: Model, arms: Sequence[int]) -> list[_Column]:
    """Share of transmissions that were delivered; no column where none failed."""
    fates = model.figures.fates
    delivered, all_of_them = fates[FATES.index(records.DELIVERED)], fates.sum(axis=0)
    if (delivered == all_of_them).all():
        return []
    with np.errstate(invalid="ignore"):
        share = 100 * delivered / all_of_them
    cells = [Text(f"{share[arm]:.1f} %" if all_of_them[arm] else "–") for arm in arms]
    return [_Column("delivered", cells)]


def _estimates(model: Model, arms: Sequence[int], metric: str) -> _Column:
    found, worst = model.figures.estimates(f"{metric}_source"), model.worst_arm(metric)
    half = (found.high - found.low) / 2
    known = half[arms][np.isfinite(half[arms])] if len(arms) else half[:0]
    typical = float(np.median(known)) if len(known) else np.nan
    largest = float(np.nanmax(np.abs(found.value[arms]))) if found.n[arms].any() else 0.0
    digits = digits_of(largest, typical)
    cells = []
    for arm in arms:
        cell = Text(figure(found.value[arm], digits))
        if np.isfinite(half[arm]):
            sign = "±>" if model.figures.tied else "±"  # a lower bound of the half-width
            cell.append(f" {sign}{figure(half[arm], digits)}", DIM)
        if arm == worst:
            cell.stylize(f"bold {BAD}")
        cell.append(_WORST_MARK if arm == worst else " ", f"bold {BAD}")
        cells.append(cell)
    unit = " [dB]" if model.figures.scales[model.info.metrics.index(metric)].decibels else ""
    sorted_by = "▼" if model.sort == metric else " "
    return _Column(f"{metric}{unit}{sorted_by}", cells)


def _decibels(title: str, values: np.ndarray) -> _Column:
    return _Column(title, [Text(figure(value, 1)) for value in values])


def _verdicts(model: Model, arms: Sequence[int]) -> _Column:
    """The arm's verdict where the run has one, else that of its rows so far."""
    beaten = beaten_arms(model.figures)
    cells = []
    for arm in arms:
        word = model.verdicts.get(arm) if model.playback is None else None
        if word is None and beaten[arm]:
            word = records.BEATEN_BY_NOISE
        if word is None:
            counts = model.figures.words[:, arm]
            word = WORDS[int(np.argmax(counts))] if counts.any() else ""
        cells.append(Text(word, style=word_style(word)))
    return _Column("verdict", cells, left=True)


def transmissions_table(model: Model, width: int, theme: Theme) -> TextTable:
    """The worst or the newest transmissions that pass the filter."""
    rows = model.listed()
    info = model.info
    keys = [int(key) for key in rows[:, 0]]
    arms = [info.keys.of_transmission(key)[0] for key in keys]
    places = {name: place for place, name in enumerate(info.receivers)}
    names = [info.arms[arm].receiver for arm in arms]
    columns = [
        _Column("number", [Text(str(key)) for key in keys]),
        _Column(
            "receiver",
            [Text(fit(name, 16), style=theme.receiver(places[name])) for name in names],
            left=True,
        ),
    ]
    columns += _swept(model, arms)
    words = [WORDS[int(word)] if word == word else "" for word in rows[:, 4]]
    fates = [FATES[int(fate)] if fate == fate else "" for fate in rows[:, 3]]
    verdicts = _Column("verdict", [_fate(w, f) for w, f in zip(words, fates, strict=True)], True)
    optional = []
    order = [model.figures.gauge, model.metric, *info.metrics]
    for metric in dict.fromkeys(name for name in order if name):
        at = info.metrics.index(metric)
        values = rows[:, 7 + at]
        digits = 1 if model.figures.scales[at].decibels else 3
        optional.append(_Column(metric, [Text(figure(value, digits)) for value in values]))
    optional.append(
        _Column("message", [Text(str(info.keys.of_transmission(key)[1])) for key in keys])
    )
    optional.append(_Column("done", [Text(clock(time), style=DIM) for time in rows[:, 2]]))
    if info.max_attempts > 1:
        tried = [Text(f"{tries:.0f}") for tries in rows[:, 5]]
        optional.insert(1, _Column("tries", tried))
    return _assembled([*columns, *optional, verdicts], len(columns) + 1, 1, width, keys)


def list_width(model: Model) -> int:
    """Width of the list with all columns but the metrics after the first."""
    info = model.info
    names = min(16, max(8, *(len(name) for name in info.receivers)))
    swept = [
        max(len(info.short[k]), *(min(14, len(number(v))) for v in info.values(k)))
        for k in info.swept_keys
    ]
    judged = info.header.judged
    verdict = len(f"{records.REJECTED}, {records.OK}" if judged else "no attack")
    first = max(6, len(str(info.total))) + 2 + names + sum(w + 2 for w in swept)
    return first + 2 + 5 + 2 + verdict


def _fate(word: str, fate: str) -> Text:
    if fate in {records.LOST, records.REJECTED}:
        text = Text(fate, style=CAUTION)
        if word:
            text.append(f", {word}", DIM)
        return text
    return Text(word or "no attack", style=word_style(word) if word else DIM)


def arms_title(model: Model) -> str:
    """Title of the table of estimates."""
    said = model.filter.said(model.info)
    parts = ["against source, mean ±95 %"]
    if model.sort != BY_ARM:
        parts.append(f"worst {model.sort} first")
    return "Estimates · " + " · ".join([*parts, said] if said else parts)


def list_title(model: Model) -> str:
    """Title of the list of transmissions."""
    said = model.filter.said(model.info)
    what = "Worst" if model.list == WORST else "Newest"
    gauge = f" by {model.figures.gauge}" if model.list == WORST and model.figures.gauge else ""
    return f"{what} transmissions{gauge}" + (f" · {said}" if said else "")


def warning_lines(model: Model, width: int, height: int) -> list[Text]:
    """Warnings: those of the run, then those from the sums so far."""
    from channelsim.display.live.style import wrapped

    texts = list(dict.fromkeys(note.text for note in model.notes if note.level == "warning"))
    texts += [warned.text for warned in model.warned]
    if model.state == INTERRUPTED and model.playback is None:
        folder = shlex.quote(str(model.reader.path.parent))
        texts.append(
            f"the run was interrupted; to go on, start it as before with --out {folder} --resume"
        )
    notes = [note.text for note in model.notes if note.level != "warning"]
    rows: list[Text] = []
    for text in texts:
        rows += _marked("!", CAUTION, wrapped(text, width - 2))
    for text in dict.fromkeys(notes):
        rows += _marked("·", DIM, wrapped(text, width - 2, DIM))
    if not rows:
        return [Text("none" if model.state == FINISHED else "none so far", style=DIM)]
    if len(rows) > height:
        rest = len(rows) - height + 1
        rows = [*rows[: height - 1], Text(f"and {rest} more lines (key 6)", style=DIM)]
    return rows


def _marked(mark: str, style: str, rows: list[Text]) -> list[Text]:
    found = []
    for place, row in enumerate(rows):
        found.append(Text.assemble((f"{mark} " if place == 0 else "  ", f"{BOLD} {style}"), row))
    return found
