"""Goodput, latency and refusals: one table of the whole run, one line of sparks per receiver."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from channelsim.analysis.places import hardest, place
from channelsim.analysis.summary import Summary
from channelsim.analysis.timeline import Timeline, Traffic
from channelsim.display.columns import decimal_cell, percent_cell, places
from channelsim.display.page import SPARKS, Column, Page

Read = Callable[[Traffic], float | None]

_WINDOW = 0.1  # shares under attack that differ by more than this are drawn; project's choice


def print_timelines(page: Page, summary: Summary) -> None:
    """Print traffic over the run and over simulated time, where messages were lost or waited."""
    found = summary.timelines
    if not (summary.coverages or any(one.telling for one in found)):
        return
    if not found:
        return
    title = ": messages offered and delivered per second; latency of those delivered"
    page.line(Text.assemble(("traffic", "bold cyan"), title))
    page.tables(places(summary, found), _totals(found))
    _sparks(page, summary)


def _totals(found: Sequence[Timeline]) -> list[Column]:
    whole = [one.whole for one in found]

    def milliseconds(seconds: float | None) -> str:
        return decimal_cell(None if seconds is None else 1e3 * seconds, 1)

    columns = [
        Column("offered\n/s", [decimal_cell(one.offered_hz, 1) for one in found]),
        Column("goodput\n/s", [decimal_cell(one.goodput_hz, 1) for one in whole]),
    ]
    if any(one.goodput_values_hz is not None for one in whole):
        cells = [decimal_cell(one.goodput_values_hz, 0) for one in whole]
        columns.append(Column("values\n/s", cells))
    columns += [
        Column("latency\nms", [milliseconds(one.latency_s) for one in whole]),
        Column("95 %\nms", [milliseconds(one.latency_p95_s) for one in whole]),
    ]
    if any(one.collided_share for one in whole):
        columns.append(Column("collided", [percent_cell(one.collided_share) for one in whole]))
    if any(one.lost_share for one in whole):
        columns.append(Column("lost", [percent_cell(one.lost_share) for one in whole]))
    if any(one.rejected_share for one in whole):
        columns.append(Column("rejected", [percent_cell(one.rejected_share) for one in whole]))
    return columns


# --- over simulated time ------------------------------------------------------------------------


def _sparks(page: Page, summary: Summary) -> None:
    """One row per receiver, at its `hardest` point; all on the same scales."""
    chosen = []
    for receiver in summary.receivers:
        own = [one for one in summary.timelines if one.receiver == receiver]
        point = hardest(summary, receiver)
        chosen += [one for one in own if point is None or one.arm == point.arm][:1]
    bins = len(chosen[0].bins) if chosen else 0
    if bins < 2:
        return
    windows = any(_window(one) for one in chosen)
    readings: list[tuple[str, str, float, Read]] = [
        ("goodput", "/s", 1.0, lambda one: one.goodput_hz),
        ("latency", "ms", 1e3, lambda one: one.latency_s),
    ]
    if any(one.whole.refused_share for one in chosen):
        readings.append(("refused", "%", 100.0, lambda one: one.refused_share))
    if windows:
        readings.append(("attacked", "%", 100.0, lambda one: one.attacked_share))
    columns = []
    for name, unit, factor, read in readings:
        values = [[_times(read(one), factor) for one in line.bins] for line in chosen]
        most = max((v for line in values for v in line if v is not None), default=0.0)
        most = 100.0 if unit == "%" else most
        cells = [
            _spark(line, most, one if windows else None)
            for line, one in zip(values, chosen, strict=True)
        ]
        columns.append(Column(f"{name}\n0 to {most:.3g} {unit}", cells, left=True))
    end = chosen[0].bins[-1].end_s
    same = all(one.swept == chosen[0].swept for one in chosen)
    where = f" at {place(summary, chosen[0].swept)}" if same and chosen[0].swept else ""
    title = f"{where}: from 0 to {end:.3g} s, in {bins} bins of {end / bins:.3g} s"
    page.line(Text.assemble(("over simulated time", "bold cyan"), title))
    leading = places(summary, chosen)
    page.tables(leading[:1] if same else leading, columns)


def _window(line: Timeline) -> bool:
    """Whether the adversary was active at some times and not at others."""
    shares = [one.attacked_share for one in line.bins if one.attacked_share is not None]
    return bool(shares) and max(shares) - min(shares) > _WINDOW


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _spark(values: Sequence[float | None], most: float, attacked: Timeline | None) -> Text:
    """A character per bin: blank without data, red where most attempts were attacked."""
    text = Text()
    for place_, value in enumerate(values):
        share = attacked.bins[place_].attacked_share if attacked is not None else None
        level = 0 if value is None or not most else round((len(SPARKS) - 1) * value / most)
        letter = " " if value is None else SPARKS[level]
        text.append(letter, style="red" if (share or 0.0) > 0.5 else "")
    return text
