"""Receivers side by side: areas at equal ε and at equal PSR, their order, and a table of PSRs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from channelsim.analysis import areas
from channelsim.analysis.areas import Area
from channelsim.analysis.best_receiver import SECONDARY
from channelsim.analysis.equal_psr import AtPsr
from channelsim.analysis.findings import contradictions
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import number
from channelsim.analysis.orders import Comparison
from channelsim.analysis.places import place
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import decimals
from channelsim.contracts.scales import scale_of
from channelsim.display.columns import NONE, spread_cell, value_cell
from channelsim.display.page import Column, Page
from channelsim.support import units

_NEAR_DB = 2.0  # below the weakest attack: range of a straight line; project's choice


def print_readings(page: Page, summary: Summary) -> None:
    """Print the areas of every receiver under both readings, and their order."""
    compared = {_key(one.fixed): one for one in summary.comparisons}
    fixed = dict.fromkeys([*(_key(area.fixed) for area in summary.areas), *compared])
    if summary.areas:
        title = f" ({SECONDARY}): areas under the curves against g(z){_lines(summary)}"
        page.line(Text.assemble(("Lu & Chen's reading", "bold cyan"), title))
    for key in fixed:
        own = [area for area in summary.areas if _key(area.fixed) == key]
        one = compared.get(key)
        if own:
            _areas(page, summary, own, one)
    for note in _notes(summary):
        page.line(Text(note, style="dim"), indent=2)
    for one in summary.comparisons:
        _orders(page, summary, one)
    for text in contradictions(summary):
        page.line(Text(text), indent=2)
    if summary.areas:
        page.blank()
    for one in summary.comparisons:
        if one.table and not (one.same_power and summary.epsilon_in_db):
            _table(page, summary, one)


def _key(fixed: Mapping[str, Any]) -> str:
    return json.dumps(dict(fixed), sort_keys=True, default=str)


def _where(summary: Summary, fixed: Mapping[str, Any]) -> str:
    return f" at {place(summary, fixed)}" if fixed else ""


def _twice(summary: Summary, one: Comparison | None) -> bool:
    """Whether the reading at equal PSR adds anything to the one at equal ε."""
    return one is not None and (not one.same_power or summary.epsilon_in_db)


# --- areas --------------------------------------------------------------------------------------


def _areas(page: Page, summary: Summary, own: Sequence[Area], one: Comparison | None) -> None:
    receivers = [r for r in summary.receivers if any(area.receiver == r for area in own)]
    psr = one.areas if one is not None and _twice(summary, one) else ()
    columns: list[Column] = []

    def add(
        name: str,
        reading: str,
        found: Mapping[str, Interval | None],
        beside: Mapping[str, Interval | None] | None = None,  # the values to compare with
    ) -> None:
        if not any(found.values()):
            return
        digits = decimals([*found.values(), *(beside or {}).values()])
        cells = [spread_cell(found.get(receiver), digits) for receiver in receivers]
        columns.append(Column(f"{name}\n{reading}" if psr else name, cells))

    # Metrics with a normalised area first: their columns are the ones to compare.
    metrics = dict.fromkeys(area.metric for area in own)
    for metric in sorted(metrics, key=lambda name: scale_of(name, summary.scales).perfect is None):
        here = {area.receiver: area for area in own if area.metric == metric}
        there = {area.receiver: area for area in psr if area.metric == metric}
        shares = {r: a.normalised for r, a in here.items()}
        again = {r: a.normalised for r, a in there.items()}
        columns.append(_quality(summary, own[0].fixed, metric, receivers, bool(psr)))
        add(f"{metric} nAADDC", "equal ε", shares, again)
        add(f"{metric} nAADDC", "equal PSR", again, shares)
        if not any(again.values()):  # a metric that is infinite without damage
            add(f"{metric} AADDC", "equal PSR", {r: a.raw for r, a in there.items()})
        add(f"{metric} AADDC", "equal ε", {r: a.raw for r, a in here.items()})
    if where := _where(summary, own[0].fixed):
        page.line(Text(where.strip()), indent=2)
    page.tables([Column("", receivers, left=True)], columns)


def _quality(
    summary: Summary, fixed: Mapping[str, Any], metric: str, receivers: Sequence[str], tall: bool
) -> Column:
    """Quality of the undisturbed image, needed to interpret areas against g(z)."""
    found = {
        point.receiver: point.metrics[metric].quality
        for point in reversed(summary.points)
        if all(point.swept.get(key) == value for key, value in fixed.items())
    }
    digits = decimals(found.values())
    cells = [value_cell(found.get(receiver), digits) for receiver in receivers]
    return Column(f"{metric}\nquality" if tall else f"{metric} quality", cells, "dim")


def _lines(summary: Summary) -> str:
    lines = {area.metric: scale_of(area.metric, summary.scales).limit for area in summary.areas}
    listed = ", ".join(f"{metric} {line:g}" for metric, line in lines.items())
    return (
        f", beyond the lines {listed}; the larger, the less an attack changes; nAADDC is at most 1"
    )


def _notes(summary: Summary) -> list[str]:
    notes: dict[tuple[str, str], list[str]] = {}
    for area in summary.areas:
        for flag in area.flags:
            if flag != areas.WRONG_SIDE:  # has its own warning
                receivers = notes.setdefault((area.metric, flag), [])
                if area.receiver not in receivers:
                    receivers.append(area.receiver)
    found = []
    for (metric, flag), receivers in notes.items():
        whose = "" if len(receivers) == len(summary.receivers) else f" ({', '.join(receivers)})"
        found.append(f"{metric}{whose}: {flag}.")
    return found


# --- orders -------------------------------------------------------------------------------------


def _orders(page: Page, summary: Summary, one: Comparison) -> None:
    where = _where(summary, one.fixed)
    if one.same_power and len(one.receivers) > 1:
        text = f"All receivers were hit with the same PSR at every ε{where}: the readings are one."
        page.line(Text(text, style="dim"), indent=2)
    elif not one.same_power:
        text = f"Equal PSR{where}: over the relative amplitude 10^(PSR/20) {_range(one)},"
        text += " which all receivers were hit with (their P and K stand above)."
        page.line(Text(text, style="dim"), indent=2)
    if not one.orders:
        return
    twice = False
    for metric in dict.fromkeys(order.metric for order in one.orders):
        orders = [order for order in one.orders if order.metric == metric]
        by = f"{metric} {'nAADDC' if orders[-1].normalised else 'AADDC'}{where}: "
        if len(orders) == 1:
            page.line(Text(by + str(orders[0])), indent=2)
        else:
            twice = True
            names = {"epsilon": "at equal ε ", "psr": "at equal PSR "}
            page.line(Text(by + "; ".join(names[o.at] + str(o) for o in orders)), indent=2)
    legend = "> is significant, ≈ is not: paired 95 % intervals, Holm's correction over the pairs"
    legend += "; at equal PSR also by more than interpolation may miss." if twice else "."
    if any(order.unranked for order in one.orders):
        legend += (
            " Unranked is who would stand before a receiver that serves the user surely better:"
            " what says little loses little."
        )
    page.line(Text(legend, style="dim"), indent=2)


def _range(one: Comparison) -> str:
    end = f"{one.end:.3g} ({2 * units.db(one.end):.1f} dB)"
    if one.start == 0.0:
        return f"up to {end}"
    return f"from {one.start:.3g} ({2 * units.db(one.start):.1f} dB) to {end}"


# --- quality at a few PSRs ----------------------------------------------------------------------


def _table(page: Page, summary: Summary, one: Comparison) -> None:
    found: dict[tuple[str, float], dict[str, AtPsr]] = {}
    for cell in one.table:
        found.setdefault((cell.metric, cell.psr_db), {})[cell.receiver] = cell
    title = " against the source, interpolated between arms"
    page.line(Text.assemble(("at equal PSR", "bold cyan"), f"{_where(summary, one.fixed)}:{title}"))
    metrics, cells = [], {receiver: list[str]() for receiver in one.receivers}
    for metric, psr in found:
        digits = decimals([c.source for c in one.table if c.metric == metric])
        name = f"{metric}{summary.column_unit_of(metric)}"
        metrics.append("" if name in metrics else name)
        for receiver in one.receivers:
            read = found[metric, psr].get(receiver)
            cells[receiver].append(NONE if read is None else value_cell(read.source, digits))
    page.tables(
        [
            Column("", metrics, left=True),
            Column("PSR dB", [number(psr) for _, psr in found]),
        ],
        [Column(receiver, cells[receiver]) for receiver in one.receivers],
    )
    weakest = _weakest_db(summary, one)
    if weakest is not None and any(psr < weakest - _NEAR_DB for _, psr in found):
        page.line(
            Text(
                f"Nobody attacked so weakly: below {weakest:.1f} dB these are straight lines from"
                " the arm without an attack.",
                style="dim",
            ),
            indent=2,
        )
        page.blank()


def _weakest_db(summary: Summary, one: Comparison) -> float | None:
    """The PSR from which on every receiver's curve lies between measured attacks."""
    lowest: dict[str, float] = {}
    for point in summary.points:
        if point.receiver not in one.receivers or point.psr_db is None:
            continue
        if all(point.swept.get(key) == value for key, value in one.fixed.items()):
            lowest[point.receiver] = min(point.psr_db, lowest.get(point.receiver, point.psr_db))
    return max(lowest.values(), default=None)
