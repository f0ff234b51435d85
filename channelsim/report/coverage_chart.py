"""The picture of detectors' benefit: risk against coverage, one panel per receiver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from channelsim.analysis.coverage import GRID, Coverage
from channelsim.analysis.places import place
from channelsim.analysis.summary import Summary
from channelsim.contracts.scales import damage_metric, scale_of
from channelsim.report.curve_charts import saved, tidy
from channelsim.report.gallery import entitle, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 6  # in a panel: of a longer sweep evenly chosen points, its ends among them
_MOST_ROWS = 6  # receivers; more would be unreadable


def coverage(summary: Summary, path: Path) -> bool:
    """Draw risk against coverage as PNG; False, and nothing drawn, where no detector was judged.

    A row per receiver with a detector, a panel per kind of damage. One line per sweep point with
    its 95 % band, a dot at the operating threshold, dashed the oracle's line; a random score
    stays level at the risk of accepting all, where the line ends. PSNR counts as its MSE.
    """
    return saved(figure_of(summary), path)


def figure_of(summary: Summary) -> Figure | None:
    """The figure that `coverage` writes."""
    from matplotlib.figure import Figure

    metrics = _metrics(summary)
    judged = [one for one in summary.coverages if one.risks]
    receivers = list(dict.fromkeys(one.receiver for one in judged))[:_MOST_ROWS]
    if not receivers or not metrics:
        return None
    wide, high = len(metrics), len(receivers)
    figure = Figure(figsize=(2.2 + 3.8 * wide, 0.9 + 3.0 * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False, sharex=True, sharey="col")
    for row, receiver in enumerate(receivers):
        own = thinned([one for one in judged if one.receiver == receiver])
        for column, metric in enumerate(metrics):
            panel = panels[row, column]
            _panel(panel, summary, own, metric)
            if row == high - 1:
                panel.set_xlabel("coverage: share accepted", fontsize=9)
            if column == 0:
                panel.set_title(plain_text(receiver), loc="left", fontsize=9)
        panels[row, -1].legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=7
        )
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    entitle(figure, f"{summary.title}: risk against coverage", fontsize=11)
    return figure


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color="0.3", linewidth=1.6, label="by the detector's score, 95 %"),
        Line2D([], [], color="0.3", linewidth=1.0, linestyle="--", label="by the damage itself"),
        Line2D([], [], color="0.3", linestyle="", marker="o", label="at the threshold"),
    ]


def thinned(rows: Sequence[Coverage]) -> list[Coverage]:
    """At most `MOST_LINES` of them, evenly, with both ends."""
    if len(rows) <= MOST_LINES:
        return list(rows)
    chosen = np.unique(np.linspace(0, len(rows) - 1, MOST_LINES).round().astype(int))
    return [rows[index] for index in chosen]


def _metrics(summary: Summary) -> list[str]:
    """The metrics, that of the gains first; PSNR only where the MSE is missing."""
    first = damage_metric(summary.metrics, summary.scales)
    known = [
        name for name in summary.metrics if any(name in one.risks for one in summary.coverages)
    ]
    known.sort(key=lambda name: name != first)
    return [name for name in known if name != "psnr" or "mse" not in known]


def _panel(panel: Axes, summary: Summary, own: Sequence[Coverage], metric: str) -> None:
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.0, 0.85, max(2, len(own))))
    grid = np.array(GRID)
    for one, shade in zip(own, shades, strict=False):
        risk = one.risks.get(metric)
        if risk is None:
            continue
        name = place(summary, one.swept) or "received"
        if one.auroc is not None:
            name += f", AUROC {one.auroc.value:.2f}"
        value, low, high = np.array([(p.value, p.low, p.high) for p in risk.curve]).T
        panel.plot(grid, value, color=shade, linewidth=1.6, label=plain_text(name))
        panel.fill_between(
            grid, low, high, where=np.isfinite(low), color=shade, alpha=0.18, linewidth=0
        )
        panel.plot(grid, risk.oracle_curve, color=shade, linewidth=1.0, linestyle="--")
        if risk.accepted is not None:
            panel.plot([one.coverage.value], [risk.accepted.value], "o", color=shade, markersize=5)
    panel.set_xlim(0, 1.02)
    unit = scale_of(metric, summary.scales).damage_name.upper()
    panel.set_ylabel(f"mean {unit} of the accepted", fontsize=8)
    tidy(panel)
