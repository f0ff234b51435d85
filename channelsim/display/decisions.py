"""What a run decided before its first message, for ``run --verbose`` and ``check``.

All of it is in the header, so the same lines can be had of any ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from channelsim.analysis.names import number
from channelsim.contracts.promises import kept, of_header
from channelsim.contracts.records import ArmRecord
from channelsim.contracts.run_header import RunHeader

Line = tuple[str, str]  # a word for the margin, and a sentence


def decisions(header: RunHeader, arms: Sequence[ArmRecord]) -> Iterator[Line]:
    """Measured powers, thresholds, fits, what adversaries may do, and where it is computed."""
    yield from powers(header, arms)
    limits = {arm.arm: header.calibration.threshold(arm.arm) for arm in arms}
    rejects = {
        arm: f"rejects scores above {at:.6g}" for arm, at in limits.items() if at is not None
    }
    for sentence in _by_receiver(arms, rejects):
        yield "detector", sentence
    if fitted := header.calibration.fitted:
        names = ", ".join(map(str, fitted)) if isinstance(fitted, Mapping) else str(fitted)
        yield "fitted", f"before the first message, on the training split: {names}"
    yield from threats(header)
    yield "primary", f"receivers are compared by {header.primary}"
    if memory := ", ".join(f"{one:g} s" for one in header.memory_s):
        yield "memory", f"the channel remembers for {memory}, so intervals resample time blocks"
    yield "blocks", f"{header.block_rows} rows are computed at once"
    yield from bits(header)
    facts = header.fingerprint
    where = ", ".join(str(facts[key]) for key in ("device", "instruction_set") if key in facts)
    yield "machine", f"{where}, torch {facts.get('torch', '?')}"
    yield "scenario", f"hash {str(header.scenario_hash)[:16]}, seed {header.seed}"


def powers(header: RunHeader, arms: Sequence[ArmRecord]) -> Iterator[Line]:
    """P of every receiver: one line, or one per value where it differs between its arms."""
    known = header.calibration
    measured = {arm.arm: (known.power(arm.arm), known.latent_size(arm.arm)) for arm in arms}
    sentences = {
        arm: f"P = {power:.6g} per real value, K = {size}"
        for arm, (power, size) in measured.items()
        if power is not None
    }
    for sentence in _by_receiver(arms, sentences):
        yield "power", sentence


def threats(header: RunHeader) -> Iterator[Line]:
    """What every adversary knows and may do."""
    for name, threat in header.threats.items():
        yield "threat", f"{name}: {'; '.join(f'{key}: {_phrase(threat[key])}' for key in threat)}"
    for receiver, names in header.attack_losses.items():
        who = f"{_phrase(names)} raise{'s' if len(names) == 1 else ''}"
        yield "threat", f"{who} the attack_loss of {receiver}'s codec, and not the goal's own loss"


def bits(header: RunHeader) -> Iterator[Line]:
    """What the self-test found of the promise about bits."""
    if (found := of_header(header)) is not None:
        yield "bits", kept(found)


def _by_receiver(arms: Sequence[ArmRecord], sentences: Mapping[int, str]) -> Iterator[str]:
    """What is so in every arm of a receiver once, otherwise with a place in the sweep."""
    found: dict[tuple[str, str], list[ArmRecord]] = {}
    for arm in arms:
        if arm.arm in sentences:
            found.setdefault((arm.receiver, sentences[arm.arm]), []).append(arm)
    receivers = [receiver for receiver, _ in found]
    for (receiver, sentence), own in found.items():
        yield f"{receiver if receivers.count(receiver) == 1 else _named(*own)}: {sentence}"


def _named(*arms: ArmRecord) -> str:
    """A receiver, and where its arms are in the sweep; only the first of many."""
    first, more = arms[0], len(arms) - 1
    where = ", ".join(f"{key} {number(value)}" for key, value in first.swept.items())
    others = f" and {more} more" if more else ""
    return f"{first.receiver} ({where}{others})" if where else first.receiver


def _phrase(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{item} {key}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
