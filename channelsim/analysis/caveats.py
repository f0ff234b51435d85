"""The warnings of a summary: everything that weakens its conclusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from channelsim.analysis import areas
from channelsim.analysis.foreign_data import about_powers, about_trunks
from channelsim.analysis.goal_words import about_larger_budgets, doubts
from channelsim.analysis.names import number
from channelsim.analysis.places import places
from channelsim.analysis.points import Point
from channelsim.analysis.summary import Summary
from channelsim.analysis.undecoded import about_undecoded
from channelsim.analysis.written import spread
from channelsim.contracts import records
from channelsim.contracts.scales import ROUNDING, scale_of
from channelsim.support.time_blocks import FEW

_Said = tuple[str, str]  # where, and what
_ALARMING = (
    records.ZERO_GRADIENT,
    records.NOT_MOVED,
    records.SATURATED,
    records.NONFINITE,
)


@dataclass(frozen=True, slots=True)
class Caveat:
    """What weakens the conclusions, in a sentence; ``where``: the receivers and points it is about.

    Empty ``where``: it is about the run.
    """

    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def warnings(summary: Summary) -> list[str]:
    """Everything that weakens the conclusions of the tables, worst first."""
    return [str(caveat) for caveat in caveats(summary)]


def caveats(summary: Summary) -> list[Caveat]:
    """The warnings, worst first."""
    found = []
    if not summary.complete:
        done = sum(point.n for point in summary.points)
        total = sum(point.expected for point in summary.points)
        found.append(Caveat(f"The run is unfinished: {done} of {total} transmissions are settled."))
    found += map(Caveat, _about_resampling(summary))  # it weakens every sentence
    found += _about_mean_image(summary)
    about: dict[tuple[str, str], list[str]] = {}
    for receiver in summary.receivers:
        points = summary.of(receiver)
        texts = _about_idling(summary, points) + _about_noise(summary, points)
        for word in _ALARMING:
            texts += _about_verdict(summary, points, word)
        texts += _about_alarms(summary, receiver)
        texts += [("", f"{text}.") for text in about_undecoded(summary.undecoded, receiver)]
        for text in texts:
            about.setdefault(text, []).append(receiver)
    found += [Caveat(what, f"{', '.join(names)}{at}") for (at, what), names in about.items()]
    turned = about_larger_budgets(summary.reversals, summary.envelopes, summary.primary_metric)
    found += [Caveat(text) for text in turned]
    found += map(Caveat, about_powers(summary.powers) + about_trunks(summary.trunks))
    found += [Caveat(f"{text[0].upper()}{text[1:]}.") for text in summary.weakened]
    for area in summary.areas:
        if areas.WRONG_SIDE in area.flags:
            what = (
                f"{area.metric} without an attack is already on the wrong side of its line"
                f" {number(area.line)}, so its areas say little."
            )
            found.append(Caveat(what, area.receiver))
    return found


def _about_mean_image(summary: Summary) -> list[Caveat]:
    """Receivers that a mean image would have equalled, and where."""
    metric, found = summary.primary_metric, dict[str, list[str]]()
    blank, scale = summary.constant_image.get(metric), scale_of(metric, summary.scales)
    if blank is None or scale.higher_is_better is None:
        return []
    for receiver in summary.receivers:
        points, useless = summary.of(receiver), []
        for point in points:
            got = point.metrics[metric].source
            if got is not None and abs(got.value - blank) > ROUNDING * abs(blank):
                useless += [point] if (got.value < blank) == scale.higher_is_better else []
        if useless:
            where = (
                " at every point" if len(useless) == len(points) > 1 else places(summary, useless)
            )
            found.setdefault(where, []).append(receiver)
    what = (
        f"worse for the user than always showing the data set's mean {summary.noun} ({metric}"
        f" {blank:.4g})."
    )
    return [Caveat(what, f"{', '.join(names)}{where}") for where, names in found.items()]


def _about_resampling(summary: Summary) -> list[str]:
    unit, noun = summary.resampled, summary.noun
    short = {point.cells for point in summary.points if 0 < point.cells < FEW}
    repeated = any(point.n > point.images for point in summary.points)
    if not unit.in_time:
        if not short:
            return []
        few = f"{max(short)} {noun if repeated else 'message'}" + "s" * (max(short) > 1)
        return [f"With only {few} the intervals are too narrow to lean on; use {FEW} or more."]
    found = []
    if max(short, default=0) == 1:
        time = f"the {unit.length_s:g} s" if unit.kind == "time block" else "the time"
        found.append(
            f"All messages met the channel within {time} that it remembers, which is a single"
            " observation: there are no intervals. Send for longer, or let it change faster."
        )
        if len(summary.points) > 1:
            found.append(
                "The arm whose channel remembers longest decides about the intervals of all, since"
                " they are compared; run that arm by itself to have intervals in the others."
            )
    elif short:
        found.append(
            f"Intervals rest on only {unit.named(max(short))}, between which the channel changes,"
            f" and take their means for normal (Student's t); send for longer: {FEW} or more."
        )
    if unit.given_images and repeated:
        found.append(
            f"{noun.capitalize()}s are sent repeatedly, and resampling time takes them as given:"
            f" intervals speak of these {noun}s, not of others."
        )
    return found


def _about_idling(summary: Summary, points: Sequence[Point]) -> list[_Said]:
    if not (spared := [point for point in points if point.verdict == records.IDLE]):
        return []
    what = "nothing was attacked; see the adversary's activity, and when messages came."
    return [(places(summary, spared), what)]


def _about_noise(summary: Summary, points: Sequence[Point]) -> list[_Said]:
    found = []
    for doubtful, text in doubts(points, summary.in_bits, summary.noun):
        if doubtful:
            found.append((places(summary, doubtful), f"{text}."))
    spoiling = [point for point in points if point.aim.kind not in ("image", "noise")]
    bare = [point for point in spoiling if point.gain_db is not None and isnan(point.gain_db.low)]
    if bare and min(point.cells for point in bare) >= FEW:
        what = "too few messages were attacked for an interval of the gain."
        found.append((places(summary, bare), what))
    return found


def _about_alarms(summary: Summary, receiver: str) -> list[_Said]:
    points = {point.arm: point for point in summary.of(receiver)}
    found = []
    for one in summary.coverages:
        alarms = one.false_alarms
        if one.receiver != receiver or alarms is None or one.stated is None:
            continue
        if alarms.low > one.stated:
            share = alarms.map(lambda value: 100 * value)
            where = places(summary, [points[one.arm]])
            what = (
                f"the detector rejects {spread(share, 1)} % of the codewords in which nothing was"
                f" injected, more than the stated {100 * one.stated:g} %."
            )
            found.append((where, what))
    return found


def _about_verdict(summary: Summary, points: Sequence[Point], word: str) -> list[_Said]:
    hit = [point for point in points if point.verdicts.get(word)]
    if not hit:
        return []
    attacks = sum(
        number
        for point in hit
        for verdict, number in point.verdicts.items()
        if verdict not in records.SPARED
    )
    share = 100 * sum(point.verdicts[word] for point in hit) / attacks
    amount = f"{share:.1f} %" if share >= 0.1 else "under 0.1 %"
    what = records.VERDICTS[word]
    return [(places(summary, hit), f"{word} in {amount} of the attacks: {what}.")]
