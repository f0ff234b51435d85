"""Pictures of a run: curves with their intervals (the images are in `gallery`).

Where a budget is swept, the damage against clean g(z) is drawn twice: over ε, and over the relative
amplitude of the injection, the abscissa of the reading at equal PSR (`equal_psr`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import following, number
from channelsim.analysis.places import place
from channelsim.analysis.points import Point, Reading
from channelsim.analysis.summary import Summary
from channelsim.contracts.scales import Scale, scale_of
from channelsim.report.gallery import entitle, gallery, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves", "gallery"]

# Okabe and Ito's colours, distinguishable with colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MOST_ROWS = 9  # of panels: more would be unreadable
DPI = 150

_CHANGE = "clean g(z), secondary"  # a poor codec changes little; clean quality is beside it
_KINDS = ("source", "clean")
_OVER_PSR = "over psr"
_MARKERS = {"-": "o", "--": "x", ":": "_"}  # received, matched noise, clean quality
_ROOM = 40  # characters below a panel
_SIZES = {"-": 3, "--": 7, ":": 7}

Read = Callable[[Reading], Interval | None]


# --- curves -------------------------------------------------------------------------------------


def curves(summary: Summary, path: Path) -> None:
    """Draw every metric over the sweep as PNG: against the source, and against clean g(z).

    One line per receiver with its 95 % band, the matched noise dashed, clean quality dotted; a
    receiver that serves the user worse than another at every point is marked in the legend. The
    curves against g(z) are repeated over the PSR, linear in amplitude and labelled in dB; a grey
    line ends the range that all receivers share. With further swept keys the panels repeat for
    each of their values (at most nine rows).
    """
    saved(figure_of(summary), path)


def saved(figure: Figure | None, path: Path) -> bool:
    """Write a figure as PNG; whether there was any."""
    if figure is None:
        return False
    figure.savefig(path, dpi=DPI, format="png")
    return True


def figure_of(summary: Summary) -> Figure:
    """The figure that `curves` writes."""
    from matplotlib.figure import Figure

    key, groups = _axis(summary), _groups(summary)
    kinds = (*_KINDS, _OVER_PSR) if summary.comparisons else _KINDS
    if len(summary.metrics) == 1:  # all readings side by side
        grid = [[(fixed, summary.metrics[0], kind) for kind in kinds] for fixed in groups]
    else:
        pairs = [(fixed, kind) for fixed in groups for kind in kinds]
        grid = [[(fixed, metric, kind) for metric in summary.metrics] for fixed, kind in pairs]
    grid = grid[:_MOST_ROWS]
    wide, high = len(grid[0]), len(grid)
    figure = Figure(figsize=(1.2 + 3.6 * wide, 1.1 + 2.7 * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False)
    for row, columns in enumerate(grid):
        for column, (fixed, metric, kind) in enumerate(columns):
            panel = panels[row, column]
            if kind == _OVER_PSR:
                end = {_fixed(one.fixed): one.end for one in summary.comparisons}.get(fixed)
                _psr_panel(panel, summary, groups[fixed], metric, end)
            else:
                _panel(panel, summary, groups[fixed], key, metric, kind)
                below = row == high - 1 or (kind == "clean" and _OVER_PSR in kinds)
                panel.set_xlabel(_axis_label(summary, key) if below else "", fontsize=9)
            if column == 0 and fixed != "{}":
                where = plain_text(place(summary, json.loads(fixed)))
                panel.set_title(where, loc="left", fontsize=8, color="0.3")
    keys = _legend(summary)
    figure.legend(
        handles=keys, loc="outside lower center", ncols=min(len(keys), 2 * wide), frameon=False,
        fontsize=8,
    )  # fmt: skip
    entitle(figure, summary.title, fontsize=11)
    return figure


def _legend(summary: Summary) -> list[Any]:
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=colour(rank), linewidth=2, label=plain_text(_named(summary, receiver)))
        for rank, receiver in enumerate(summary.receivers)
    ]
    key = _axis(summary)
    alone = not _numeric(list(dict.fromkeys(_value(point, key) for point in summary.points)))
    lines = [
        ("-", "received, 95 %"),
        ("--", "random flips" if summary.in_bits else "matched noise"),
        (":", "clean quality"),
    ]
    for style, name in lines:
        if style == "--" and not summary.control:
            continue
        marker = _MARKERS[style] if alone or style == "-" else ""
        line: Any = "" if alone else style
        keys.append(Line2D([], [], color="0.3", linestyle=line, marker=marker, label=name,
                           markersize=_SIZES[style]))  # fmt: skip
    return keys


def _named(summary: Summary, receiver: str) -> str:
    """A receiver's name, with a note where a mean image or another receiver is better."""
    if (family := summary.primary) is None:
        return receiver
    if receiver in family.hopeless():
        return f"{receiver} (no better than a mean {summary.noun})"
    other = family.worse_everywhere().get(receiver)
    return receiver if other is None else f"{receiver} (serves the user worse than {other})"


def colour(rank: int) -> str:
    """A receiver's colour: the palette's, then the same ones darker, then lighter."""
    from matplotlib.colors import to_hex, to_rgb

    turn, place = divmod(rank, len(COLOURS))
    if turn == 0:
        return COLOURS[place]
    red, green, blue = to_rgb(COLOURS[place])
    if turn % 2 == 1:
        return to_hex((0.5 * red, 0.5 * green, 0.5 * blue))
    return to_hex((0.45 + 0.55 * red, 0.45 + 0.55 * green, 0.45 + 0.55 * blue))


def _axis(summary: Summary) -> str | None:
    """The swept key along the abscissa: the budget if there is one, else the first."""
    return summary.epsilon_key or next(iter(summary.swept_keys), None)


def _axis_label(summary: Summary, key: str | None) -> str:
    if key is None:
        return ""
    along = "".join(f", with {other}" for other in sorted(_along(summary, key)))
    if key != summary.epsilon_key:
        return key + along
    unit = " [dB]" if summary.epsilon_in_db else " [bits]" if summary.in_bits else ""
    return f"budget ε{unit} of {key.split('.')[0]}{along}"


def _along(summary: Summary, key: str) -> frozenset[str]:
    """Keys that the sweep changes together with the abscissa's."""
    return following([point.swept for point in summary.points], key)


def _groups(summary: Summary) -> dict[str, list[Point]]:
    """Points by the values of all swept keys but the abscissa's, and those that go with it."""
    key, found = _axis(summary), dict[str, list[Point]]()
    free = frozenset() if key is None else _along(summary, key) | {key}
    for point in summary.points:
        fixed = {name: value for name, value in point.swept.items() if name not in free}
        found.setdefault(_fixed(fixed), []).append(point)
    return found


def _fixed(swept: Mapping[str, Any]) -> str:
    return json.dumps(dict(swept), sort_keys=True, default=str)


def _panel(
    panel: Axes, summary: Summary, points: Sequence[Point], key: str | None, metric: str, kind: str
) -> None:
    readers: dict[str, Read] = {
        "source": lambda reading: reading.source,
        "clean": lambda reading: reading.clean,
        "control_source": lambda reading: reading.control_source,
        "control_clean": lambda reading: reading.control_clean,
    }
    every = list(dict.fromkeys(_value(point, key) for point in points))
    numeric = _numeric(every)
    for rank, receiver in enumerate(summary.receivers):
        own = [point for point in points if point.receiver == receiver]
        if numeric:
            own.sort(key=lambda point: float(_value(point, key)))
            where = np.array([float(_value(point, key)) for point in own])
        else:  # side by side around each value
            shift = 0.5 * ((rank + 0.5) / len(summary.receivers) - 0.5)
            where = np.array([every.index(_value(point, key)) + shift for point in own])
        readings = [point.metrics[metric] for point in own]
        draw = functools.partial(_line, panel, where, colour=colour(rank), joined=numeric)
        draw([readers[kind](reading) for reading in readings], style="-")
        draw([readers[f"control_{kind}"](reading) for reading in readings], style="--")
        draw([reading.quality for reading in readings], style=":")
    if not numeric:
        words = [plain_text(number(value)) for value in every]
        long = sum(map(len, words)) > _ROOM
        panel.set_xticks(range(len(every)), words, rotation=20 if long else 0)
        panel.set_xlim(-0.5, len(every) - 0.5)
    reference = "the source" if kind == "source" else _CHANGE
    unit = summary.column_unit_of(metric)
    panel.set_ylabel(f"{metric.upper()} against {reference}{unit}", fontsize=8)
    if kind == "clean" and summary.epsilon_key is not None:
        _limit_line(panel, scale_of(metric, summary.scales))
    tidy(panel)


def _psr_panel(
    panel: Axes, summary: Summary, points: Sequence[Point], metric: str, end: float | None
) -> None:
    """The damage against g(z) over the relative amplitude √(‖δ‖²/(K·P)), with its PSR in dB."""
    for rank, receiver in enumerate(summary.receivers):
        own = [point for point in points if point.receiver == receiver and point.n]
        own.sort(key=_amplitude)
        where = np.array([_amplitude(point) for point in own])
        readings = [point.metrics[metric] for point in own]
        draw = functools.partial(_line, panel, where, colour=colour(rank))
        draw([reading.clean for reading in readings], style="-")
        draw([reading.control_clean for reading in readings], style="--")
        draw([reading.quality for reading in readings], style=":")
    if end is not None:
        panel.axvline(end, color="0.6", linewidth=0.8, zorder=1)
    most = max((_amplitude(point) for point in points), default=1.0)
    top = 5 * int(np.floor((20 * np.log10(most or 1.0) + 0.01) / 5))
    shown = [top - 20, top - 15, top - 10, top - 5, top]
    panel.set_xticks([0.0, *(10 ** (db / 20) for db in shown)], ["off", *map(str, shown)])
    panel.set_xlabel("PSR [dB], linear in amplitude", fontsize=9)
    unit = summary.column_unit_of(metric)
    panel.set_ylabel(f"{metric.upper()} against {_CHANGE}{unit}", fontsize=8)
    _limit_line(panel, scale_of(metric, summary.scales))
    tidy(panel)


def _amplitude(point: Point) -> float:
    return 0.0 if point.psr_db is None else float(10 ** (point.psr_db / 20))


def _limit_line(panel: Axes, scale: Scale) -> None:
    limit = scale.limit
    if limit is not None:
        panel.axhline(limit, color="0.6", linewidth=0.8, zorder=1)
        panel.annotate(
            f"line {limit:g}", (1, limit), xycoords=("axes fraction", "data"), fontsize=7,
            color="0.5", ha="right", va="bottom",
        )  # fmt: skip


def tidy(panel: Axes) -> None:
    """The style of every panel: a light grid, small labels, no frame."""
    panel.grid(color="0.92")
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def _value(point: Point, key: str | None) -> Any:
    value = point.swept.get(key) if key is not None else ""
    return number(value) if isinstance(value, Mapping) else value


def _numeric(every: Sequence[Any]) -> bool:
    """Whether points lie on a numeric scale, and are not categories."""
    return len(every) > 1 and all(
        isinstance(value, int | float) and np.isfinite(value) for value in every
    )


def _line(
    panel: Axes,
    where: NDArray[np.float64],
    found: Sequence[Interval | None],
    *,
    colour: str,
    style: str,
    joined: bool = True,
) -> None:
    """One line; the solid one with markers and its intervals. Not ``joined``: only the points."""
    triples = [(i.value, i.low, i.high) if i is not None else (np.nan,) * 3 for i in found]
    value, low, high = np.array(triples, dtype=float).reshape(-1, 3).T
    value = np.where(np.isfinite(value), value, np.nan)  # PSNR without damage
    if np.isnan(value).all():
        return
    alone = len(where) == 1 or not joined  # categories are not joined
    marker = _MARKERS[style] if alone or style == "-" else ""
    line = "" if alone else style
    panel.plot(
        where, value, linestyle=line, marker=marker, markersize=_SIZES[style], color=colour,
        linewidth=1.6 if style == "-" else 1.2,
    )  # fmt: skip
    sure = np.isfinite(low) & np.isfinite(high) & np.isfinite(value)
    if style != "-" or not sure.any():
        return
    if alone:
        ends = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
        panel.errorbar(where, value, ends, color=colour, capsize=3, linewidth=1, linestyle="")
    else:
        panel.fill_between(where, low, high, where=sure, color=colour, alpha=0.18, linewidth=0)
