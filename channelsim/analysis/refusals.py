"""A detector's performance in one sentence per receiver."""

from __future__ import annotations

from channelsim.analysis.names import fixed
from channelsim.analysis.places import hardest, place
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import decimals
from channelsim.contracts.scales import damage_metric, scale_of


def detection(summary: Summary, receiver: str) -> str | None:
    """The receiver's detector: its rejections and their benefit; None without a detector.

    At the point of `sentence`, in the metric of the gain.
    """
    point, known = hardest(summary, receiver), {one.arm: one for one in summary.coverages}
    if point is None or (found := known.get(point.arm)) is None:
        return None
    clean = found.false_alarms
    if clean is None and found.against is not None:
        clean = known[found.against].false_alarms
    where = f" at {place(summary, point.swept)}" if point.swept else ""
    rejected = []
    if clean is not None:
        stated = "" if found.stated is None else f" (stated {100 * found.stated:g} %)"
        rejected.append(f"{100 * clean.value:.1f} % of clean codewords{stated}")
    if found.detected is not None:
        rejected.append(f"{100 * found.detected.value:.1f} % of attacked ones{where}")
    text = f"{receiver}: rejects {', '.join(rejected)}"
    metric = damage_metric(summary.metrics, summary.scales)
    risk = found.risks.get(metric) if metric is not None else None
    if metric is None or risk is None:
        return text + "."
    unit = scale_of(metric, summary.scales).damage_name.upper()
    digits = decimals([risk.all, risk.accepted])
    everything = fixed(risk.all.value, digits)
    if risk.accepted is None or risk.spared is None:
        return f"{text}; it accepted none there, where the mean {unit} decoded was {everything}."
    some = fixed(risk.accepted.value, digits)
    if some == everything:
        return f"{text}; accepting all would leave the mean {unit} of what it decodes at {some}."
    verb = "raise" if risk.spared.value > 0 else "lower"
    change = f"from {some} to {everything}"
    text += f"; accepting all would {verb} the mean {unit} of what it decodes {change}"
    if not (risk.spared.low > 0 or risk.spared.high < 0):
        text += ", which may be chance"
    return text + "."
