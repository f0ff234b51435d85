"""A summary in words: one sentence per receiver, and the warnings."""

from __future__ import annotations

from itertools import permutations

from channelsim.analysis.goal_words import (
    approach_in_words,
    gain_in_words,
    stages,
    success_side_by_side,
)
from channelsim.analysis.orders import Comparison
from channelsim.analysis.places import hardest, place
from channelsim.analysis.summary import Summary
from channelsim.contracts import records

# --- results ------------------------------------------------------------------------------------


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
