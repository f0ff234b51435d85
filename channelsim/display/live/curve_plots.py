"""Curves over the sweep, and fidelity over simulated time with attacks shaded behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from rich.color import Color
from rich.style import Style
from rich.text import Text

from channelsim.analysis.names import following, number
from channelsim.display.live.model import Model
from channelsim.display.live.plot import Series, plot
from channelsim.display.live.style import ATTACKED, DIM, Theme, clock, figure, fit, letter

_BLOCKS = "▁▂▃▄▅▆▇█"
_SHADES = " ░▒▓█"
_ATTACKED = "attacked"


def curve_lines(model: Model, width: int, height: int, theme: Theme) -> list[Text]:
    """Mean of a metric along the sweep, one curve per receiver (and per other swept values)."""
    key = model.info.curve_key
    if key is None:
        return [Text("nothing numeric is swept, so there is no curve to draw", style=DIM)]
    series = list(_series(model, key, theme))
    legend = _legend(series, width)
    return legend + plot(series, width, height - len(legend), model.info.short[key])


def curves_title(model: Model) -> str:
    """Title of the curves."""
    unit = " [dB]" if _decibels(model) else ""
    key = model.info.curve_key
    over = f" over {model.info.short[key]}" if key is not None else ""
    return f"{model.metric}{unit} against source{over} · m: next metric"


def _decibels(model: Model) -> bool:
    return model.figures.scales[model.info.metrics.index(model.metric)].decibels


def _series(model: Model, key: str, theme: Theme) -> Iterator[Series]:
    info = model.info
    value = model.figures.estimates(f"{model.metric}_source").value
    # The curve's own key, and those that change with it, stay unfiltered: one point is no curve.
    along = following([arm.swept for arm in info.arms], key) | {key}
    free = {k: v for k, v in model.filter.swept.items() if k not in along}
    groups: dict[str, list[int]] = {}
    for arm in info.arms:
        hidden = model.filter.receiver not in (None, arm.receiver)
        hidden = hidden or any(arm.swept.get(k) != v for k, v in free.items())
        if hidden or not np.isfinite(value[arm.arm]) or not np.isfinite(arm.swept[key]):
            continue
        others = {k: v for k, v in arm.swept.items() if k not in along}
        name = json.dumps([arm.receiver, others], sort_keys=True, default=str)
        groups.setdefault(name, []).append(arm.arm)
    places = {name: place for place, name in enumerate(info.receivers)}
    several = len(groups) > len(info.receivers)
    for place, arms in enumerate(groups.values()):
        arms.sort(key=lambda arm: float(info.arms[arm].swept[key]))
        first = info.arms[arms[0]]
        label = first.receiver
        if several and len(info.swept_keys) > 1:
            fixed = [
                f"{info.short[k]} {number(v)}" for k, v in first.swept.items() if k not in along
            ]
            label = f"{fit(label, 12)} {', '.join(fixed)}"
        if not several:
            place = places[first.receiver]
        yield Series(
            label,
            letter(place),
            theme.receiver(place),
            [float(info.arms[arm].swept[key]) for arm in arms],
            [float(value[arm]) for arm in arms],
        )


def _legend(series: list[Series], width: int) -> list[Text]:
    """Names of the curves, as many as fit in two lines."""
    rows = [Text()]
    for place, one in enumerate(series):
        entry = Text.assemble((one.mark, f"bold {one.style}"), " ", (fit(one.label, 30), one.style))
        gap = 2 if rows[-1].cell_len else 0
        more = len(series) - place
        if rows[-1].cell_len + gap + entry.cell_len > width - (8 if len(rows) == 2 else 0):
            if len(rows) == 2:
                rows[-1].append(f"  +{more}", DIM)
                break
            rows.append(Text())
            gap = 0
        rows[-1].append(" " * gap)
        rows[-1].append_text(entry)
    return rows


def time_lines(model: Model, width: int, height: int, theme: Theme) -> list[Text]:
    """One line per receiver: fidelity over simulated time, on red where it was attacked.

    Without colours the attacked share has a line of its own, from blank to full.
    """
    info, timeline = model.info, model.figures.timeline
    metric = info.metrics.index(model.metric)
    scale = model.figures.scales[metric]
    shown = model.arms()
    receivers = [
        (place, name)
        for place, name in enumerate(info.receivers)
        if any(shown[arm.arm] for arm in info.arms if arm.receiver == name)
    ]
    names = min(14, max((len(name) for _, name in receivers), default=0))
    names = names if theme.colour else max(names, len(_ATTACKED))
    room = width - names - 14
    if room < 8 or not receivers:
        return [Text("no row yet", style=DIM)]
    # Without colours each receiver has its own share below; one for all where there is no room.
    shared = not theme.colour and 2 * len(receivers) + 1 > height
    fitting = max(1, height - 1 - shared) if theme.colour or shared else len(receivers)
    rows: list[Text] = []
    for place, name in receivers[:fitting]:
        arms = shown & np.array([arm.receiver == name for arm in info.arms])
        additive, attacked = timeline.shown(metric, arms, room)
        values = scale.from_additive(additive)
        # High is good, whatever the metric.
        tall = -values if scale.higher_is_better is False else values
        label = Text(f"{fit(name, names):<{names}}", style=theme.receiver(place))
        rows.append(_line(label, values, tall, attacked, theme))
        if not theme.colour and not shared:
            rows.append(_share(attacked, names))
    _, attacked = timeline.shown(metric, shown, room)
    used = len(attacked)
    if shared:
        rows.append(_share(attacked, names))
    axis = Text(" " * (names + 1) + "0", style=DIM)
    end = clock(timeline.end_s)
    axis.append(end.rjust(used - 1))
    if len(receivers) > fitting:
        axis.append(f" and {len(receivers) - fitting} more")
    rows = rows[: height - 1]
    return [*rows, axis]


def time_title(model: Model) -> str:
    """Title of the lines over time."""
    return f"{model.metric} over simulated time · shaded where attacked"


def _line(
    label: Text, values: np.ndarray, tall: np.ndarray, attacked: np.ndarray, theme: Theme
) -> Text:
    """Blocks of height ``tall`` and their range; with colours, the attacked share behind them."""
    known, heights = values[np.isfinite(values)], tall[np.isfinite(values)]
    row = Text.assemble(label, " ")
    low, span = (heights.min(), float(np.ptp(heights))) if len(known) else (0.0, 0.0)
    for value, share in zip(tall, attacked, strict=True):
        part = (value - low) / span if span > 0 else 0.5
        here = _BLOCKS[int(part * 7.999)] if np.isfinite(value) else " "
        behind = None
        if theme.colour and share > 0:
            behind = Color.from_rgb(*(20 + (light - 20) * share for light in ATTACKED))
        row.append(here, Style.parse(str(label.style)) + Style(bgcolor=behind))
    if len(known):
        digits = 1 if known.max() >= 10 else 3
        row.append(f" {figure(known.min(), digits)}–{figure(known.max(), digits)}", DIM)
    return row


def _share(attacked: np.ndarray, names: int) -> Text:
    """The attacked share, from blank to full."""
    marks = "".join(_SHADES[int(np.ceil(share * 4))] for share in attacked)
    return Text(f"{_ATTACKED:<{names}} {marks}", style=DIM)
