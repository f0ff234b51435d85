"""Cost and benefit of detectors, as one table over receivers and sweep points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from channelsim.analysis.coverage import Coverage, Risk
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import fixed
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import decimals, spread
from channelsim.contracts.scales import damage_metric, scale_of
from channelsim.display.columns import NONE, places, spread_cell, value_cell
from channelsim.display.page import Column, Page


def print_detectors(page: Page, summary: Summary) -> None:
    """Print every detector's rejection rates and their benefit; nothing without a detector."""
    found = summary.coverages
    if not found:
        return
    metric = damage_metric(summary.metrics, summary.scales)
    measured = metric is not None and any(metric in one.risks for one in found)
    title = ": first attempts that arrived (further ones are of the detector's own choosing)"
    if measured and metric is not None:
        unit = scale_of(metric, summary.scales).damage_name
        title += f"; risk is the mean {unit} of what was decoded, against the source"
    page.line(Text.assemble(("detectors", "bold cyan"), title))
    columns = [_share("accepted", [one.coverage for one in found])]
    if any(one.false_alarms for one in found):
        cells = [_alarms(one) for one in found]
        columns.append(Column("false alarms\nstated → found", cells))
    if any(one.detected for one in found):
        columns.append(_share("attacks\nrejected", [one.detected for one in found]))
    if any(one.auroc for one in found):
        columns.append(Column("AUROC", _spreads([one.auroc for one in found])))
    if measured and metric is not None:
        columns += _risks(found, metric)
    page.tables(places(summary, found), columns)
    if measured:
        note = (
            "AURC is the mean risk over all thresholds; least is what sorting by the risk itself"
            " would reach, and a random score reaches the risk of accepting all."
        )
        page.line(Text(note, style="dim"), indent=2)
        page.blank()


def _risks(found: Sequence[Coverage], metric: str) -> list[Column]:
    risks = [one.risks.get(metric) for one in found]

    def read(of: Callable[[Risk], Interval | None]) -> list[Interval | None]:
        return [None if risk is None else of(risk) for risk in risks]

    areas, accepted, everything = (
        read(lambda risk: risk.aurc),
        read(lambda risk: risk.accepted),
        read(lambda risk: risk.all),
    )
    digits = decimals([*areas, *everything])
    least = [NONE if risk is None else fixed(risk.oracle, digits) for risk in risks]
    return [
        Column("AURC", [spread_cell(one, digits) for one in areas]),
        Column("least", least, "dim"),
        Column("risk of\naccepted", [value_cell(one, digits) for one in accepted]),
        Column("risk\nof all", [value_cell(one, digits) for one in everything]),
    ]


def _spreads(found: Sequence[Interval | None]) -> list[str]:
    digits = max(2, min(3, decimals(found)))
    return [spread_cell(one, digits) for one in found]


def _share(header: str, found: Sequence[Interval | None]) -> Column:
    cells = [NONE if one is None else f"{100 * one.value:.1f} %" for one in found]
    return Column(header, cells)


def _alarms(one: Coverage) -> str:
    if one.false_alarms is None:
        return NONE
    stated = "" if one.stated is None else f"{100 * one.stated:g} → "
    found = one.false_alarms.map(lambda share: 100 * share)
    return f"{stated}{spread(found, 1)} %"
