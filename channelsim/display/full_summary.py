"""Printed summary: tables per receiver, areas side by side, and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from channelsim.analysis.best_receiver import SECONDARY, who_serves_best
from channelsim.analysis.caveats import warnings
from channelsim.analysis.findings import sentence, successes_compared, towards_target
from channelsim.analysis.foreign_data import whose_trunks
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import acting_together, number
from channelsim.analysis.places import labels
from channelsim.analysis.points import Point, Reading
from channelsim.analysis.refusals import detection
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import decimals
from channelsim.contracts import records
from channelsim.display.columns import (
    NONE,
    decimal_cell,
    percent_cell,
    range_cell,
    spread_cell,
    value_cell,
)
from channelsim.display.detectors import print_detectors
from channelsim.display.page import Column, Page
from channelsim.display.readings import print_readings
from channelsim.display.timeline_table import print_timelines

_APART_DB = 0.05  # PSRs closer than this are printed alike; project's choice
_VERDICT_STYLES = {
    records.BEATEN_BY_NOISE: "yellow",
    records.OFF: "dim",
    **dict.fromkeys(records.FAILED, "red"),
}


def print_summary(console: Console, summary: Summary) -> None:
    """Print tables per receiver, areas side by side, one sentence each, and the warnings."""
    page = Page(console)
    page.line(Text(summary.title, style="bold"))
    page.line(Text(_scope(summary), style="dim"))
    for note in _of_power(summary):
        page.line(Text(note, style="dim"))
    if said := who_serves_best(summary):
        page.blank()
        for answer in said:
            page.line(Text(answer))
        page.line(Text(f"All that follows is {SECONDARY}.", style="dim"))
    for receiver in summary.receivers:
        _receiver(page, summary, receiver)
    print_detectors(page, summary)
    print_timelines(page, summary)
    print_readings(page, summary)
    if summary.constant_image:
        page.line(Text(_constant(summary), style="dim"))
    if classifiers := whose_trunks(summary.trunks):
        page.line(Text(classifiers, style="dim"))
    if summary.constant_image or classifiers:
        page.blank()
    for receiver in summary.receivers:
        page.line(Text(sentence(summary, receiver)))
    for receiver in summary.receivers:
        for text in (detection(summary, receiver), towards_target(summary, receiver)):
            if text is not None:
                page.line(Text(text))
    for text in successes_compared(summary):
        page.line(Text(text))
    found = warnings(summary)
    if found:
        page.blank()
    for warning in found:
        page.line(Text.assemble(("warning: ", "bold yellow"), warning))


def _scope(summary: Summary) -> str:
    arms = len(summary.points)
    text = f"{summary.count} message{'' if summary.count == 1 else 's'}"
    images = max((point.images for point in summary.points), default=0)
    if 0 < images < max(point.n for point in summary.points):
        text += f" of {images} different {summary.noun}s"
    text += f" × {arms} arm{'' if arms == 1 else 's'}, seed {summary.seed}"
    cells = max((point.cells for point in summary.points), default=0)
    if summary.resampled.in_time and cells:
        text += f"; intervals resample {summary.resampled.named(cells)}"
    named = [f"{short} is {key}" for key, short in labels(summary).items() if short != key]
    return "; ".join([text, *named])


def _of_power(summary: Summary) -> list[str]:
    """Notes on the power columns that could be misread."""
    found = []
    if _weakened(summary):
        found.append(
            "PSR dB: as injected, against the codeword or, before the encoder, against the"
            f" {summary.noun};"
            " readings at equal PSR go by it. At receiver: what of it arrives, against the"
            " codeword, through own paths, fading and equaliser; of lost attempts nothing does."
        )
    if summary.shared_paths:
        found.append(
            f"{acting_together(summary.shared_paths)}: where more than one is on, PSR, gain and"
            " verdict are of all together; of their verdicts the worst is shown."
        )
    return found


def _weakened(summary: Summary) -> bool:
    """Whether in any arm the power at the receiver differs from the injected one."""

    def differ(sent_db: float | None, arrived_db: float | None) -> bool:
        if sent_db is None or arrived_db is None:
            return sent_db is not arrived_db
        return abs(sent_db - arrived_db) > _APART_DB

    return any(differ(point.psr_db, point.psr_received_db) for point in summary.points)


def _constant(summary: Summary) -> str:
    scores = ", ".join(
        f"{metric}{summary.column_unit_of(metric)} {value:.4g}"
        for metric, value in summary.constant_image.items()
    )
    return (
        f"sanity: a receiver that always shows the data set's mean {summary.noun} scores {scores}"
    )


# --- one receiver -------------------------------------------------------------------------------


def _receiver(page: Page, summary: Summary, receiver: str) -> None:
    points = summary.of(receiver)
    steady = _steady(summary, points)
    page.blank()
    page.line(
        Text.assemble(
            (receiver, "bold cyan"),
            ": what the user gets, against the source; quality is without any wire",
        )
    )
    page.tables(
        _swept(summary, points, above="quality" if steady else None),
        _primary(summary, points, steady) + _adversary(summary, points, steady),
    )
    page.line(Text.assemble((receiver, "bold cyan"), f": {_others_title(summary)}"))
    page.tables(_swept(summary, points, above=None), _others(summary, points))
    if remark := _remark(points):
        page.line(Text(remark, style="dim"), indent=2)
        page.blank()


def _swept(summary: Summary, points: Sequence[Point], above: str | None) -> list[Column]:
    """The swept values, which lead every table; ``above`` names a row over all points."""
    short = labels(summary)
    columns = []
    for first, key in enumerate(summary.swept_keys):
        head = [above if not first else ""] if above is not None else []
        columns.append(Column(short[key], [*head, *(number(p.swept[key]) for p in points)]))
    if not columns:
        columns = [Column("", [above, "received"] if above is not None else ["received"])]
    return columns


def _steady(summary: Summary, points: Sequence[Point]) -> bool:
    """Whether clean quality is the same at every point: then one row above all shows it."""

    def same(metric: str) -> bool:
        found = [point.metrics[metric].quality for point in points]
        values = [quality.value for quality in found if quality is not None]
        return len(values) == len(found) and max(values) - min(values) <= 1e-9 * max(
            map(abs, values)
        )

    return bool(points) and all(same(metric) for metric in summary.metrics)


def _primary(summary: Summary, points: Sequence[Point], steady: bool) -> list[Column]:
    settled = [str(point.n) for point in points]
    columns = [Column("n", ["", *settled] if steady else settled, "dim")]
    for metric in summary.metrics:
        source = [point.metrics[metric].source for point in points]
        quality = [point.metrics[metric].quality for point in points]
        digits = decimals([*source, *quality])
        cells = [spread_cell(interval, digits) for interval in source]
        name = f"{metric}{summary.column_unit_of(metric)}"
        if steady:
            styles = ["dim", *([""] * len(cells))]
            cells = [spread_cell(quality[0], digits), *cells]
            columns.append(Column(name, cells, styles=styles))
        else:
            columns.append(Column(name, cells))
            columns.append(Column("quality", [value_cell(q, digits) for q in quality], "dim"))
    return columns


def _adversary(summary: Summary, points: Sequence[Point], steady: bool) -> list[Column]:
    """Power, gain, delivery and verdict; empty columns are left out."""
    columns = []

    def add(header: str, cells: list[str], styles: Sequence[str] = (), left: bool = False) -> None:
        above = [""] if steady else []
        columns.append(
            Column(header, [*above, *cells], left=left, styles=[*above, *styles] if styles else ())
        )

    if any(point.psr_db is not None for point in points):
        add("PSR dB", [decimal_cell(point.psr_db, 1) for point in points])
        if _weakened(summary):
            cells = [decimal_cell(point.psr_received_db, 1) for point in points]
            add("PSR dB\nat receiver", cells)
    if any(point.attacked_share and point.attacked_share < 1 for point in points):
        add("attacked", [percent_cell(point.attacked_share) for point in points])
    if summary.gain_metric is not None and any(point.gain_db for point in points):
        digits = min(2, decimals([point.gain_db for point in points]))
        cells = [spread_cell(point.gain_db, digits) for point in points]
        add("gain dB", cells, [_VERDICT_STYLES.get(p.verdict or "", "") for p in points])
    if any(point.approach is not None and point.approach.approach_db for point in points):
        gone = [None if p.approach is None else p.approach.approach_db for p in points]
        digits = min(2, decimals(gone))
        add("approach dB", [spread_cell(one, digits) for one in gone])
    add("delivered", [percent_cell(point.delivered_share) for point in points])
    if any(point.attempts_rejected_share for point in points):
        add("refused", [percent_cell(point.attempts_rejected_share) for point in points])
    if any(point.false_alarm_share for point in points):
        add("false\nalarms", [percent_cell(point.false_alarm_share) for point in points])
    if any(point.attempts is not None and point.attempts > 1 for point in points):
        add("attempts", [decimal_cell(point.attempts, 2) for point in points])
    if any(point.verdict is not None for point in points):
        words = [point.verdict or NONE for point in points]
        add("verdict", words, [_VERDICT_STYLES.get(w, "green") for w in words], left=True)
    return columns


def _others_title(summary: Summary) -> str:
    aimed = any(
        reading.target is not None for point in summary.points for reading in point.metrics.values()
    )
    text = "against clean g(z) and passive g(y)" + (", and against the target" if aimed else "")
    return text + ("; matched noise against the source" if summary.control else "")


def _others(summary: Summary, points: Sequence[Point]) -> list[Column]:
    readers: list[tuple[str, Callable[[Reading], Interval | None]]] = [
        ("clean", lambda reading: reading.clean),
        ("passive", lambda reading: reading.passive),
    ]
    if any(r.target is not None for point in points for r in point.metrics.values()):
        readers.append(("target", lambda reading: reading.target))
    if summary.control:
        readers.append(("noise", lambda reading: reading.control_source))
    columns = []
    for metric in summary.metrics:
        damage = [read(point.metrics[metric]) for _, read in readers[:2] for point in points]
        for name, read in readers:
            found = [read(point.metrics[metric]) for point in points]
            digits = decimals(damage if name in ("clean", "passive") else found)
            cells = [value_cell(interval, digits) for interval in found]
            columns.append(Column(f"{metric}\n{name}", cells))
    return columns


def _remark(points: Sequence[Point]) -> str:
    """One line on what hardly varies over the points: power, noise, latency."""
    parts = []
    power = [point.power for point in points if point.power is not None]
    sizes = sorted({point.latent_size for point in points if point.latent_size is not None})
    if power and sizes:
        norm = [math.sqrt(k * p.power) for p in points if p.power and (k := p.latent_size)]
        low, high = f"{min(power):.3g}", f"{max(power):.3g}"
        parts.append(
            f"P {low if low == high else f'{low} to {high}'} in each of"
            f" {' or '.join(map(str, sizes))} values, amplitude √(K·P) {range_cell(norm, 2)}"
        )
    measured = [point.snr_measured_db for point in points if point.snr_measured_db is not None]
    nominal = [point.snr_db for point in points if point.snr_db is not None]
    if measured:
        # Only Gaussian noise states an SNR; impulses, quantisers and the like show as measured.
        stated = f", {range_cell(nominal, 2)} dB nominal" if nominal else ""
        parts.append(f"SNR {range_cell(measured, 2)} dB measured{stated}")
    latency = [1e3 * point.latency_s for point in points if point.latency_s is not None]
    if latency:
        parts.append(f"latency {range_cell(latency, 1)} ms on average")
    return "; ".join(parts)
