"""A summary in words: one sentence per receiver, and the warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isnan
from typing import Any

from channelsim.analysis import areas
from channelsim.analysis.foreign_data import about_powers, about_trunks
from channelsim.analysis.goal_words import (
    about_larger_budgets,
    approach_in_words,
    doubts,
    gain_in_words,
    stages,
    success_side_by_side,
)
from channelsim.analysis.names import number, short_names, stated
from channelsim.analysis.orders import Comparison
from channelsim.analysis.points import Point
from channelsim.analysis.summary import Summary
from channelsim.analysis.written import spread
from channelsim.contracts import records
from channelsim.contracts.scales import ROUNDING, scale_of
from channelsim.support.time_blocks import FEW

_Said = tuple[str, str]  # where, and what
_MOST_PLACES = 4  # project's choice: phrases for points of the sweep in one sentence
_ALARMING = (
    records.ZERO_GRADIENT,
    records.NOT_MOVED,
    records.SATURATED,
    records.NONFINITE,
)


# --- names --------------------------------------------------------------------------------------


def labels(summary: Summary) -> dict[str, str]:
    """Short names of the swept keys."""
    return short_names(summary.swept_keys, summary.decibel_keys)


def place(summary: Summary, swept: Mapping[str, Any]) -> str:
    """A point of the sweep in words: ``ε = 0.5, snr_db = 10``."""
    short = labels(summary)
    return ", ".join(stated(short[key], number(value)) for key, value in swept.items())


# --- results ------------------------------------------------------------------------------------


def hardest(summary: Summary, receiver: str) -> Point | None:
    """The receiver's point of lowest quality, among the largest budgets if swept.

    By the primary metric, as every sentence about quality for the user.
    """
    metric = summary.primary_metric
    points = [point for point in summary.of(receiver) if point.metrics[metric].source is not None]
    if not points:
        return None
    if (key := summary.epsilon_key) is not None:
        most = max(float(point.swept[key]) for point in points)
        points = [point for point in points if float(point.swept[key]) == most]
    better = scale_of(metric, summary.scales).higher_is_better

    def quality(point: Point) -> float:
        source = point.metrics[metric].source
        assert source is not None
        return source.value if better or better is None else -source.value

    return min(points, key=quality)


def sentence(summary: Summary, receiver: str) -> str:
    """One receiver's results in plain language."""
    point, metric = hardest(summary, receiver), summary.primary_metric
    if point is None:
        return f"{receiver}: nothing is settled yet."
    where = place(summary, point.swept)
    text = (
        f"{receiver}: {'at ' + where + ', ' if where else ''}{metric.upper()} against the source: "
    )
    text += stages(point, metric, summary.in_bits)
    if point.verdict in (None, records.OFF):
        meant = any(other.verdict is not None for other in summary.points)
        return text + ("; no attack took place." if meant else ".")
    if point.verdict == records.IDLE:
        return text + "; the adversary let everything pass."
    if point.verdict in records.FAILED:
        reason = records.VERDICTS[point.verdict].partition(";")[0]
        return f"{text}, but no message was attacked: {point.verdict}, {reason}."
    text += "." + gain_in_words(point, summary.gain_metric, summary.in_bits)
    if point.attacked_share is not None and 0 < point.attacked_share < 1:
        share = f"{100 * point.attacked_share:.1f} %"
        text += f" {share} of what was sent was attacked, and the PSR is a mean over all of it."
    if point.delivered_share is not None and point.delivered_share < 1:
        text += f" {100 * (1 - point.delivered_share):.1f} % of the messages were not delivered."
    return text


def towards_target(summary: Summary, receiver: str) -> str | None:
    """How near the receiver came to the adversary's target; None without a target."""
    point = hardest(summary, receiver)
    text = None if point is None else approach_in_words(point, summary.in_bits, summary.scales)
    if point is None or text is None:
        return None
    where = f", at {place(summary, point.swept)}" if point.swept else ""
    return f"{receiver}{where}: {text}"


def successes_compared(summary: Summary) -> list[str]:
    """Receivers compared by the goal's criterion, at the point of the sentences."""
    points = [hardest(summary, receiver) for receiver in summary.receivers]
    at = [dict(point.swept) for point in points if point is not None]
    return [
        success_side_by_side(one, f" at {place(summary, one.swept)}" if one.swept else "")
        for one in summary.successes
        if dict(one.swept) in at
    ]


# --- the two readings ---------------------------------------------------------------------------


def contradictions(summary: Summary) -> list[str]:
    """Sentences on whether Lu & Chen's orders at equal ε and at equal PSR agree.

    It is secondary: about the change by an attack, not the quality for the user. Only decided pairs
    count (`orders.Pair.decided`). Empty if there is but one reading.
    """
    found = []
    for one in summary.comparisons:
        where = f" at {place(summary, one.fixed)}" if one.fixed else ""
        found += [f"Lu & Chen's areas{where}: {text}" for text in _contradictions(one)]
    return found


def _contradictions(one: Comparison) -> list[str]:
    turned: dict[str, list[str]] = {}
    alone: dict[str, dict[str, list[str]]] = {"ε": {}, "PSR": {}}
    both = apart = 0
    for metric in dict.fromkeys(order.metric for order in one.orders):
        epsilon, psr = one.order(metric, "epsilon"), one.order(metric, "psr")
        if epsilon is None or psr is None:
            continue
        both += 1
        by = f"{metric} {'nAADDC' if psr.normalised else 'AADDC'}"
        for a, b in permutations(one.receivers, 2):
            apart += epsilon.beats(a, b) or psr.beats(a, b)
            if epsilon.beats(a, b) and psr.beats(b, a):
                text = f"at equal ε {a} beats {b}, at equal PSR {b} beats {a}"
                turned.setdefault(text, []).append(by)
            elif epsilon.beats(a, b) and not psr.beats(a, b):
                alone["ε"].setdefault(by, []).append(f"{a} beats {b}")
            elif psr.beats(a, b) and not epsilon.beats(a, b) and not epsilon.beats(b, a):
                alone["PSR"].setdefault(by, []).append(f"{a} beats {b}")
    if not both:
        return []
    found = [f"{text} ({', '.join(by)})." for text, by in turned.items()]
    for at, pairs in alone.items():
        if pairs:
            listed = "; ".join(f"{', '.join(texts)} ({by})" for by, texts in pairs.items())
            found.append(f"a significant difference at equal {at} only: {listed}.")
    if not found and apart:
        return ["both readings find the same significant differences, in the same direction."]
    return found or ["neither reading finds a significant difference between any two receivers."]


# --- warnings -----------------------------------------------------------------------------------


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
    found += _about_mean_image(summary)
    about: dict[tuple[str, str], list[str]] = {}
    for receiver in summary.receivers:
        points = summary.of(receiver)
        texts = _about_idling(summary, points) + _about_noise(summary, points)
        for word in _ALARMING:
            texts += _about_verdict(summary, points, word)
        texts += _about_alarms(summary, receiver)
        for text in texts:
            about.setdefault(text, []).append(receiver)
    found += [Caveat(what, f"{', '.join(names)}{at}") for (at, what), names in about.items()]
    turned = about_larger_budgets(summary.reversals, summary.envelopes, summary.primary_metric)
    found += [Caveat(text) for text in turned]
    found += map(Caveat, about_powers(summary.powers) + about_trunks(summary.trunks))
    found += map(Caveat, _about_resampling(summary))
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
        f"worse for the user than always showing the data set's mean image ({metric} {blank:.4g})."
    )
    return [Caveat(what, f"{', '.join(names)}{where}") for where, names in found.items()]


def _about_resampling(summary: Summary) -> list[str]:
    unit = summary.resampled
    short = {point.cells for point in summary.points if 0 < point.cells < FEW}
    repeated = any(point.n > point.images for point in summary.points)
    if not unit.in_time:
        if not short:
            return []
        few = f"{max(short)} {'image' if repeated else 'message'}" + "s" * (max(short) > 1)
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
            "Images are sent repeatedly, and resampling time takes them as given: intervals speak"
            " of these images, not of others."
        )
    return found


def _about_idling(summary: Summary, points: Sequence[Point]) -> list[_Said]:
    if not (spared := [point for point in points if point.verdict == records.IDLE]):
        return []
    what = "nothing was attacked; see the adversary's activity, and when messages came."
    return [(places(summary, spared), what)]


def _about_noise(summary: Summary, points: Sequence[Point]) -> list[_Said]:
    found = []
    for doubtful, text in doubts(points, summary.in_bits):
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


def places(summary: Summary, points: Sequence[Point]) -> str:
    """`` at ε = 0.1, 0.3 … 0.6``; the dots stand for all points between and no other.

    Of several swept keys, points that differ in one only are one phrase: `` at q = 0.2, any
    filling``.
    """
    if not summary.swept_keys:
        return ""
    wanted = list({repr(point.swept): point.swept for point in points}.values())
    several = len(summary.swept_keys) > 1
    if several and len(wanted) == len({repr(point.swept) for point in summary.points}):
        return " at every point"
    phrases = min((_along(summary, key, wanted) for key in summary.swept_keys[::-1]), key=len)
    listed = [f"({phrase})" if several and len(phrases) > 1 else phrase for phrase in phrases]
    if len(listed) > _MOST_PLACES:
        return f" at {len(wanted)} points, among them {', '.join(listed[: _MOST_PLACES - 1])}"
    return f" at {', '.join(listed)}"


def _along(summary: Summary, key: str, wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Phrases for points of the sweep, each for those that differ in ``key`` only."""
    all_values = _by_others(key, [point.swept for point in summary.points])
    phrases = []
    for group, (others, values) in _by_others(key, wanted).items():
        every = all_values[group][1]
        named = [place(summary, others)] if others else []
        if len(values) < len(every) or not others:
            named.append(stated(labels(summary)[key], *_runs(values, every)))
        else:
            named.append(f"any {labels(summary)[key].removesuffix(' dB')}")
        phrases.append(", ".join(named))
    return phrases


def _by_others(
    key: str, points: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Mapping[str, Any], list[Any]]]:
    """Points grouped by the values of all keys but one: those values, and the one's."""
    groups: dict[str, tuple[Mapping[str, Any], list[Any]]] = {}
    for swept in points:
        others = {name: value for name, value in swept.items() if name != key}
        values = groups.setdefault(repr(others), (others, []))[1]
        if swept[key] not in values:
            values.append(swept[key])
    return groups


def _runs(values: Sequence[Any], every: Sequence[Any]) -> list[str]:
    """Values in words; three or more numbers that follow each other as ``0.3 … 0.6``."""
    runs: list[list[Any]] = []
    for value in values:
        if runs and every.index(value) == every.index(runs[-1][-1]) + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    listed = []
    for run in runs:
        numbers = all(isinstance(value, int | float) for value in run)
        said = [number(value) for value in run]
        listed += [f"{said[0]} … {said[-1]}"] if numbers and len(run) > 2 else said
    return listed
