"""What a summary says in words: one sentence per receiver, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from math import floor, inf, isfinite, isnan, log10
from typing import Any

from channelsim import records
from channelsim.metrics.scales import damage_metric, scale_of
from channelsim.robustness import areas
from channelsim.robustness.gain import undecided
from channelsim.robustness.intervals import Interval
from channelsim.robustness.names import fixed, number, short_names
from channelsim.robustness.orders import Comparison
from channelsim.robustness.summary import Point, Summary
from channelsim.stretches import FEW

_ALARMING = (
    records.ZERO_GRADIENT,
    records.NOT_MOVED,
    records.SATURATED,
    records.NONFINITE,
)


# --- names --------------------------------------------------------------------------------------


def labels(summary: Summary) -> dict[str, str]:
    """Return short names of the swept keys."""
    return short_names(summary.swept_keys, summary.epsilon_key, summary.epsilon_in_db)


def place(summary: Summary, swept: Mapping[str, Any]) -> str:
    """Return a point of the sweep in words: ``ε = 0.5, snr_db = 10``."""
    short = labels(summary)
    return ", ".join(f"{short[key]} = {number(value)}" for key, value in swept.items())


def decimals(intervals: Iterable[Interval | None]) -> int:
    """How many decimals make half an interval one to ten units of the last; between 1 and 6."""
    widths = [(i.high - i.low) / 2 for i in intervals if i is not None]
    known = sorted(width for width in widths if isfinite(width) and width > 0)
    if not known:
        return 3
    return max(1, min(6, -floor(log10(known[len(known) // 2]))))


def spread(interval: Interval, digits: int) -> str:
    """Return ``0.81 [0.79, 0.83]``, or the value alone where there is no interval."""
    value = fixed(interval.value, digits)
    if isnan(interval.low):
        return value
    return f"{value} [{fixed(interval.low, digits)}, {fixed(interval.high, digits)}]"


# --- what happened ------------------------------------------------------------------------------


def headline_metric(metrics: Sequence[str]) -> str | None:
    """Which metric the sentence is about: SSIM where measured, else the first (our choice)."""
    return "ssim" if "ssim" in metrics else next(iter(metrics), None)


def hardest(summary: Summary, receiver: str) -> Point | None:
    """Return the receiver's point where the user got least, among the largest budgets if swept."""
    metric = headline_metric(summary.metrics)
    if metric is None:
        return None
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
    """Say in plain language what happened to one receiver."""
    point, metric = hardest(summary, receiver), headline_metric(summary.metrics)
    if point is None or metric is None:
        return f"{receiver}: nothing is settled yet."
    reading = point.metrics[metric]
    got, quality, noise = reading.source, reading.quality, reading.control_source
    assert got is not None
    digits = decimals([got, quality, noise])
    where = place(summary, point.swept)
    name = metric.upper()
    text = f"{receiver}: {'at ' + where + ', ' if where else ''}{name} against the source "
    if quality is not None:
        before, after = fixed(quality.value, digits), fixed(got.value, digits)
        verb = "falls" if got.value < quality.value else "rises"
        change = f"{verb} from {before} undisturbed to {after}"
        text += f"stays at {after}" if before == after else change
    else:
        text += f"is {fixed(got.value, digits)}"
    if point.verdict in (None, records.OFF):
        meant = any(other.verdict is not None for other in summary.points)
        return text + ("; no attack took place." if meant else ".")
    if point.verdict == records.IDLE:
        return text + "; the adversary let everything pass."
    if point.verdict in records.FAILED:
        reason = records.VERDICTS[point.verdict].partition(";")[0]
        return f"{text}, but no message was attacked: {point.verdict}, {reason}."
    if noise is not None:
        power = f" ({fixed(point.psr_db, 1)} dB PSR)" if point.psr_db is not None else ""
        same = f"matched noise of the same power{power} leaves"
        if summary.in_bits:
            same = "as many bits flipped at random leave"
        text += f"; {same} {fixed(noise.value, digits)}"
    text += "." + _gain_in_words(summary, point)
    if point.attacked_share is not None and 0 < point.attacked_share < 1:
        share = f"{100 * point.attacked_share:.1f} %"
        text += f" {share} of what was sent was attacked, and the PSR is a mean over all of it."
    if point.delivered_share is not None and point.delivered_share < 1:
        text += f" {100 * (1 - point.delivered_share):.1f} % of the messages were not delivered."
    return text


def _gain_in_words(summary: Summary, point: Point) -> str:
    if point.gain_db is None or summary.gain_metric is None:
        return ""
    figure = spread(point.gain_db, 1)
    unit = summary.gain_metric.upper()
    noise = "those random flips" if summary.in_bits else "that noise"
    if point.verdict == records.BEATEN_BY_NOISE:
        return f" The attack is no better than {noise}: {figure} dB in mean {unit} damage."
    doubt = ", which may still be chance" if undecided(point.gain_db) else ""
    return f" The attack does {figure} dB more mean {unit} damage than {noise}{doubt}."


def towards_target(summary: Summary, receiver: str) -> str | None:
    """Say how close the receiver came to showing what the adversary wants; None without a target.

    In the metric that the gain is read from (MSE where measured), at the largest budget.
    """
    metric = damage_metric(summary.metrics, summary.scales)
    point = hardest(summary, receiver)
    if metric is None or point is None or (last := point.metrics[metric].target) is None:
        return None
    others = {key: value for key, value in point.swept.items() if key != summary.epsilon_key}
    off = None
    if (key := summary.epsilon_key) is not None:
        lowest = -inf if summary.epsilon_in_db else 0.0
        off = next((p for p in summary.of(receiver) if p.swept == {**others, key: lowest}), None)
    first = off.metrics[metric].target if off is not None else None
    noise = point.metrics[metric].control_target
    digits = decimals([first, last, noise])
    name = metric.upper()
    where = f" at {place(summary, point.swept)}" if point.swept else ""
    if off is not None and first is not None and off is not point:
        assert key is not None
        before = f"{spread(first, digits)} at {labels(summary)[key]} = {number(off.swept[key])}, "
    else:
        before = ""
    text = f"{receiver}: towards the target: {name} to it {before}{spread(last, digits)}{where}"
    if noise is not None and point.verdict not in (None, *records.SPARED):
        text += f"; matched noise {fixed(noise.value, digits)}"
    return text + "."


# --- the two readings ---------------------------------------------------------------------------


def contradictions(summary: Summary) -> list[str]:
    """Say where the receivers' order at equal ε and at equal PSR differs, or that it does not.

    Only what is told apart counts (`orders.Pair.decided`). Empty where there is but one reading.
    """
    found = []
    for one in summary.comparisons:
        where = f"At {place(summary, one.fixed)}: " if one.fixed else ""
        said = [where + text for text in _contradictions(one)]
        found += [text[:1].upper() + text[1:] for text in said]
    return found


def _contradictions(one: Comparison) -> list[str]:
    turned: dict[str, list[str]] = {}
    alone: dict[str, dict[str, list[str]]] = {"ε": {}, "PSR": {}}
    both = told = 0
    for metric in dict.fromkeys(order.metric for order in one.orders):
        epsilon, psr = one.order(metric, "epsilon"), one.order(metric, "psr")
        if epsilon is None or psr is None:
            continue
        both += 1
        by = f"{metric} {'nAADDC' if psr.normalised else 'AADDC'}"
        for a, b in permutations(one.receivers, 2):
            told += epsilon.beats(a, b) or psr.beats(a, b)
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
            found.append(f"told apart at equal {at} only: {listed}.")
    if not found and told:
        return ["both readings tell the same receivers apart, the same way round."]
    return found or ["neither reading tells any two receivers apart."]


# --- what to beware of --------------------------------------------------------------------------


def warnings(summary: Summary) -> list[str]:
    """Everything that weakens what the tables seem to say, worst first."""
    found = []
    if not summary.complete:
        done = sum(point.n for point in summary.points)
        total = sum(point.expected for point in summary.points)
        found.append(f"The run is unfinished: {done} of {total} transmissions are settled.")
    about: dict[str, list[str]] = {}
    for receiver in summary.receivers:
        points = summary.of(receiver)
        texts = _about_idling(summary, points) + _about_noise(summary, points)
        for word in _ALARMING:
            texts += _about_verdict(summary, points, word)
        texts += _about_alarms(summary, receiver)
        for text in texts:
            about.setdefault(text, []).append(receiver)
    found += [f"{', '.join(receivers)}{text}" for text, receivers in about.items()]
    found += _about_resampling(summary)
    found += [f"{text[0].upper()}{text[1:]}." for text in summary.weakened]
    for area in summary.areas:
        if areas.WRONG_SIDE in area.flags:
            found.append(
                f"{area.receiver}: {area.metric} without an attack is already on the wrong side"
                f" of its line {number(area.line)}, so its areas say little."
            )
    return found


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
        time = f"the {unit.length_s:g} s" if unit.kind == "stretch" else "the time"
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


def _about_idling(summary: Summary, points: Sequence[Point]) -> list[str]:
    if not (spared := [point for point in points if point.verdict == records.IDLE]):
        return []
    where = _places(summary, spared)
    return [f"{where}: nothing was attacked; see the adversary's activity, and when messages came."]


def _about_noise(summary: Summary, points: Sequence[Point]) -> list[str]:
    found = []
    if losing := [point for point in points if point.verdict == records.BEATEN_BY_NOISE]:
        where = _places(summary, losing)
        noise = "as many random flips" if summary.in_bits else "matched noise"
        found.append(f"{where}: beaten by noise; {noise} did at least as much damage.")
    bare = [point for point in points if point.gain_db is not None and isnan(point.gain_db.low)]
    if bare and min(point.cells for point in bare) >= FEW:
        where = _places(summary, bare)
        found.append(f"{where}: too few messages were attacked for an interval of the gain.")
    bounded = [point for point in points if point.gain_db and not isnan(point.gain_db.low)]
    if unsure := [point for point in bounded if undecided(point.gain_db)]:
        where = _places(summary, unsure)
        found.append(f"{where}: the gain over noise may be chance (its interval holds 0 dB).")
    return found


def _about_alarms(summary: Summary, receiver: str) -> list[str]:
    points = {point.arm: point for point in summary.of(receiver)}
    found = []
    for one in summary.coverages:
        alarms = one.false_alarms
        if one.receiver != receiver or alarms is None or one.stated is None:
            continue
        if alarms.low > one.stated:
            share = alarms.map(lambda value: 100 * value)
            where = _places(summary, [points[one.arm]])
            found.append(
                f"{where}: the detector rejects {spread(share, 1)} % of the codewords in which"
                f" nothing was injected, more than the stated {100 * one.stated:g} %."
            )
    return found


def _about_verdict(summary: Summary, points: Sequence[Point], word: str) -> list[str]:
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
    return [f"{_places(summary, hit)}: {word} in {amount} of the attacks: {what}."]


def _places(summary: Summary, points: Sequence[Point]) -> str:
    """Return `` at ε = 0.1, 0.3 … 0.6``; the dots stand for every point between, and no other."""
    if not summary.swept_keys:
        return ""
    if len(summary.swept_keys) > 1:
        listed = [f"({place(summary, point.swept)})" for point in points]
        if len(listed) > 4:
            return f" at {len(listed)} points, among them {', '.join(listed[:3])}"
        return f" at {', '.join(listed)}"
    own = [point.arm for point in summary.points if point.receiver == points[0].receiver]
    runs: list[list[Point]] = []
    for point in points:
        if runs and own.index(point.arm) == own.index(runs[-1][-1].arm) + 1:
            runs[-1].append(point)
        else:
            runs.append([point])
    listed = []
    for run in runs:
        values = [number(next(iter(point.swept.values()))) for point in run]
        listed += values if len(run) < 3 else [f"{values[0]} … {values[-1]}"]
    return f" at {labels(summary)[summary.swept_keys[0]]} = {', '.join(listed)}"
