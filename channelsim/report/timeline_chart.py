"""The picture of a run over simulated time: goodput, latency and refusals, attacks shaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from channelsim.analysis.places import place
from channelsim.analysis.summary import Summary
from channelsim.analysis.timeline import Timeline, Traffic
from channelsim.report.curve_charts import colour, saved, tidy
from channelsim.report.gallery import entitle, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 5  # of panels: of a longer sweep evenly chosen points, its ends among them
_SHADE = "0.5"

Read = Callable[[Traffic], float | None]


def timeline(summary: Summary, path: Path) -> bool:
    """Draw traffic over simulated time as PNG; False, and nothing drawn, without such data.

    A column per sweep point, one line per receiver. Rows: goodput; latency of delivered messages,
    mean and dotted the 95th percentile; share of attempts refused, and dotted of messages lost.
    Shaded: the share of attempts under attack.
    """
    return saved(figure_of(summary), path)


def figure_of(summary: Summary) -> Figure | None:
    """The figure that `timeline` writes."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    lines = summary.timelines
    if not lines or len(lines[0].bins) < 2:
        return None
    if not (summary.coverages or any(one.telling for one in lines)):
        return None
    points = _points(lines)
    rows: list[tuple[str, float, list[tuple[str, Read]]]] = [
        ("goodput [messages/s]", 1.0, [("-", lambda one: one.goodput_hz)]),
        ("latency [ms]", 1e3,
         [("-", lambda one: one.latency_s), (":", lambda one: one.latency_p95_s)]),
    ]  # fmt: skip
    if any(one.whole.refused_share or one.whole.lost_share for one in lines):
        shares: list[tuple[str, Read]] = [
            ("-", lambda one: one.refused_share),
            (":", lambda one: one.lost_share),
        ]
        rows.append(("refused, lost [%]", 100.0, shares))
    wide, high = len(points), len(rows)
    figure = Figure(figsize=(1.4 + 2.8 * wide, 1.3 + 1.9 * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False, sharex=True, sharey="row")
    for column, own in enumerate(points):
        for row, (name, factor, reads) in enumerate(rows):
            panel = panels[row, column]
            _shade(panel, own)
            for one in own:
                ink = colour(summary.receivers.index(one.receiver))
                for style, read in reads:
                    _line(panel, one, read, factor, ink, style)
            tidy(panel)
            if column == 0:
                panel.set_ylabel(name, fontsize=8)
            if row == 0 and own[0].swept:
                where = plain_text(place(summary, own[0].swept))
                panel.set_title(where, loc="left", fontsize=8, color="0.3")
            if row == high - 1:
                panel.set_xlabel("simulated time [s]", fontsize=9)
    for row in range(high):
        panels[row, 0].set_ylim(bottom=0)  # shared, so set after everything is drawn
    keys: list[Any] = [
        Line2D([], [], color=colour(rank), linewidth=2, label=plain_text(receiver))
        for rank, receiver in enumerate(summary.receivers)
    ]
    keys.append(Line2D([], [], color="0.3", linestyle=":", label="95th percentile; lost"))
    if any(one.whole.attacked_share for own in points for one in own):
        keys.append(Line2D([], [], color=_SHADE, alpha=0.22, linewidth=8, label="under attack"))
    figure.legend(
        handles=keys, loc="outside lower center", ncols=min(len(keys), 2 * wide + 1),
        frameon=False, fontsize=8,
    )  # fmt: skip
    entitle(figure, f"{summary.title}: over simulated time", fontsize=11)
    return figure


def _points(lines: Sequence[Timeline]) -> list[list[Timeline]]:
    """Arms by sweep point, at most `MOST_COLUMNS` of them, evenly, with both ends."""
    found: dict[str, list[Timeline]] = {}
    for one in lines:
        found.setdefault(json.dumps(dict(one.swept), sort_keys=True, default=str), []).append(one)
    groups = list(found.values())
    if len(groups) <= MOST_COLUMNS:
        return groups
    chosen = np.unique(np.linspace(0, len(groups) - 1, MOST_COLUMNS).round().astype(int))
    return [groups[index] for index in chosen]


def _line(panel: Axes, line: Timeline, read: Read, factor: float, ink: str, style: str) -> None:
    """A step over every bin; gaps where nothing was measured."""
    found = [read(one) for one in line.bins]
    values = [np.nan if value is None else factor * value for value in found]
    edges = [*(one.start_s for one in line.bins), line.bins[-1].end_s]
    panel.stairs(values, edges, baseline=None, color=ink, linestyle=style, linewidth=1.4)


def _shade(panel: Axes, own: Sequence[Timeline]) -> None:
    """The largest share under attack of any receiver, bin by bin."""
    for bins in zip(*(one.bins for one in own), strict=True):
        share = max((one.attacked_share or 0.0) for one in bins)
        if share > 0:
            panel.axvspan(
                bins[0].start_s, bins[0].end_s, color=_SHADE, alpha=0.22 * share, linewidth=0,
                zorder=0,
            )  # fmt: skip
