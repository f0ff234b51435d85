"""Sentences about an attack by its own goal, and about the channel before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from channelsim.analysis.approach import Approach
from channelsim.analysis.gain import undecided
from channelsim.analysis.larger_budgets import Envelope, Reversal
from channelsim.analysis.names import fixed, number
from channelsim.analysis.points import Point
from channelsim.analysis.success import SideBySide, Success
from channelsim.analysis.written import decimals, spread
from channelsim.contracts import records
from channelsim.contracts.scales import scale_of

NOT_TOLD = "the channel's part is not in this ledger"


def stages(point: Point, metric: str, in_bits: bool) -> str:
    """The user's image against the source, after each step of the path.

    Undisturbed, after the channel alone, with the attack, with equal noise in its place. The first
    and the third are never given without the second: their difference is not the attack's alone.
    """
    reading = point.metrics[metric]
    got, quality, alone, noise = (
        *(reading.source, reading.quality),
        *(reading.alone_source, reading.control_source),
    )
    assert got is not None
    digits = decimals([got, quality, alone, noise])
    before = [] if quality is None else [f"{fixed(quality.value, digits)} undisturbed"]
    if not attacked(point):
        return ", ".join([*before, f"{fixed(got.value, digits)} after the channel"])
    whose = "the jamming" if point.aim.kind == "noise" else "the attack"
    after = [f"{fixed(got.value, digits)} with {whose}"]
    if noise is not None and point.aim.kind != "noise":
        power = f" ({fixed(point.psr_db, 1)} dB PSR)" if point.psr_db is not None else ""
        same = "as many random bit flips" if in_bits else f"equal noise{power}"
        after.append(f"{fixed(noise.value, digits)} with {same}")
    if alone is None:
        return "; ".join([", ".join(after) + f" ({NOT_TOLD})", *before])
    return ", ".join([*before, f"{fixed(alone.value, digits)} after the channel alone", *after])


def attacked(point: Point) -> bool:
    """Whether an attack took place in an arm."""
    return point.verdict not in (None, *records.SPARED, *records.FAILED)


def gain_in_words(point: Point, gauge: str | None, in_bits: bool) -> str:
    """A sentence about damage against matched noise; a side result if damage is not the goal."""
    if point.gain_db is None or gauge is None or point.aim.kind == "noise":
        return ""
    figure, unit = spread(point.gain_db, 1), gauge.upper()
    noise = "those random flips" if in_bits else "that noise"
    if point.aim.kind == "image":
        return (
            f" Its mean {unit} damage, which is not its goal, is {figure} dB against that of"
            f" {'the random flips' if in_bits else 'equal noise'}."
        )
    if point.verdict == records.BEATEN_BY_NOISE:
        return f" The attack is no better than {noise}: {figure} dB in mean {unit} damage."
    doubt = ", which may still be chance" if undecided(point.gain_db) else ""
    return f" The attack does {figure} dB more mean {unit} damage than {noise}{doubt}."


# --- an image as the goal -----------------------------------------------------------------------


def approach_in_words(
    point: Point, in_bits: bool, scales: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """How near the shown image came to the target; None without a target.

    ``scales``: see `scale_of`.
    """
    found = point.approach
    if found is None:
        return None
    digits = decimals([found.attack, found.passive, found.noise])
    name = scale_of(found.metric, scales).damage_name.upper()
    phrases = []
    if found.passive is not None:
        phrases.append(f"{spread(found.passive, digits)} after the channel alone")
    if found.noise is not None:
        same = "as many random bit flips" if in_bits else "equal noise"
        phrases.append(f"{spread(found.noise, digits)} with {same}")
    phrases.append(f"{spread(found.attack, digits)} with the attack")
    text = f"{point.aim.who} wants {found.target}: mean {name} to it {', '.join(phrases)}"
    text += f"; {_judged(found, point.aim.noun)}.{_way(found)}"
    if point.rejected_share:
        text += (
            f" {fixed(100 * point.rejected_share, 1)} % of the messages were refused; what stood in"
            " for them counts here as what was shown."
        )
    return text + _met(point.success)


def _judged(found: Approach, noun: str) -> str:
    gone = ""
    if found.approach_db is not None:
        beside = "" if found.noise_db is None else f", noise {fixed(found.noise_db.value, 1)} dB"
        gone = f" (approach {spread(found.approach_db, 1)} dB{beside})"
    if found.passive is None:
        known = {
            True: "nearer than noise would",
            False: "noise comes nearer",
            None: "whether nearer than noise would may be chance",
        }
        return known[found.knew] if found.noise is not None else NOT_TOLD
    if found.got_nearer is None:
        return f"whether it got nearer may be chance{gone}"
    if not found.got_nearer:
        return f"it drove the {noun} away from its target{gone}"
    if found.noise is None:
        return f"it got nearer{gone}; there is no control"
    by = {
        True: "and nearer than noise would",
        False: "but noise got nearer still",
        None: "but not significantly nearer than noise",
    }
    return f"it got nearer{gone}, {by[found.knew]}"


def _way(found: Approach) -> str:
    if found.share is None or found.least is None:
        return ""
    share = found.share.map(lambda value: 100 * value)
    mean = ""
    if found.sought_for is not None:
        some, whole = found.sought_for
        mean = f" on average (sought for {some} of {whole} messages)"
    return (
        f" That is {spread(share, decimals([share]))} % of the way to the least that this decoder"
        f" shows, {found.least:.3g}{mean}."
    )


def _met(found: Success | None) -> str:
    if found is None:
        return ""
    text = f" Success, {found.criterion}: "
    if found.attack is None:
        return f"{text}none of {found.messages} messages misses it without the attack."
    attack = found.attack.map(lambda value: 100 * value)
    text += f"of the {found.missing} of {found.messages} messages that miss it without the attack,"
    text += f" {spread(attack, 1)} % meet it with the attack"
    if found.noise is not None and found.p is not None:
        noise = found.noise.map(lambda value: 100 * value)
        text += f", {spread(noise, 1)} % with equal noise (McNemar, exact: p = {found.p:.2g})"
    return f"{text}."


def success_side_by_side(found: SideBySide, where: str) -> str:
    """The success rates of receivers, on the messages that miss the criterion at all of them."""
    text = f"Success{where}, {found.criterion}, on the {found.missing} messages that miss it at all"
    text += f" receivers without the attack ({found.excluded} left out): "
    shares = {name: one for name, one in found.shares.items() if one is not None}
    if not shares:
        return f"{text}nothing to compare."
    phrases = [
        f"{name} {spread(one.map(lambda value: 100 * value), 1)} %" for name, one in shares.items()
    ]
    return f"{text}{', '.join(phrases)}."


# --- doubts -------------------------------------------------------------------------------------


def doubts(points: Sequence[Point], in_bits: bool, noun: str) -> Iterator[tuple[list[Point], str]]:
    """Points of one receiver, with a reason to doubt the apparent effect of their attacks."""
    noise = "as many random flips" if in_bits else "matched noise"
    damaging = [point for point in points if point.aim.kind not in ("noise", "image")]
    yield (
        [point for point in damaging if point.verdict == records.BEATEN_BY_NOISE],
        f"beaten by noise; {noise} did on average at least as much damage to what the channel alone"
        " leaves",
    )
    yield (
        [p for p in damaging if undecided(p.gain_db) and p.verdict != records.BEATEN_BY_NOISE],
        "the gain over noise may be chance (its interval holds 0 dB)",
    )
    aimed = [(point, point.approach) for point in points if point.approach is not None]
    yield (
        [point for point, near in aimed if near.got_nearer is False],
        f"the attack drove the {noun} away from its target",
    )
    yield (
        [p for p, near in aimed if near.got_nearer is None and _bounded(near)],
        "whether the attack got nearer to its target may be chance (the interval of the distance"
        " gained holds 0)",
    )
    yield (
        [point for point, _ in aimed if point.verdict == records.BEATEN_BY_NOISE],
        f"beaten by noise; {noise} came at least as near to the target",
    )
    yield (
        [
            point
            for point, near in aimed
            if near.knew is None
            and (near.got_nearer or near.nearer is None)
            and near.noise is not None
            and point.verdict != records.BEATEN_BY_NOISE
        ],
        f"whether it got nearer than {noise} would may be chance",
    )


def _bounded(found: Approach) -> bool:
    return found.nearer is not None and found.nearer.low == found.nearer.low  # not NaN


def about_larger_budgets(
    turned: Sequence[Reversal], envelopes: Sequence[Envelope], metric: str | None
) -> list[str]:
    """Warn of attacks that did less with more, one sentence per curve, with the envelope."""
    curves: dict[tuple[str, str], list[Reversal]] = {}
    for one in turned:
        curves.setdefault((one.receiver, _fixed(one.fixed)), []).append(one)
    found = []
    for (receiver, others), own in curves.items():
        steps = ", ".join(f"{one.smaller:g} → {one.larger:g}" for one in own)
        objective, _, reference = own[0].objective.rpartition("_")
        to = {"clean": "g(z)", "source": "the source", "target": "its target"}[reference]
        what = f"{objective.upper()} against {to}"
        text = (
            f"{receiver}{others}: at ε {steps} the larger budget does less for the attack's own"
            f" objective, {what} (paired, Holm, p ≤ {max(one.p for one in own):.2g}):"
            " a failing attack, not a robust receiver."
        )
        most = [e for e in envelopes if (e.receiver, _fixed(e.fixed)) == (receiver, others)]
        if most and metric is not None:
            last = most[-1]
            got = last.metrics[metric]
            text += (
                f" Where every message meets its worst budget up to ε = {last.epsilon:g},"
                f" {metric.upper()} against the source is {spread(got, decimals([got]))}."
            )
        found.append(text)
    return found


def _fixed(fixed: Mapping[str, Any]) -> str:
    return "".join(f" at {key} = {number(value)}" for key, value in fixed.items())
