"""Notices to the user about a path's stages: their order and their memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from channelsim.channels.equaliser import Equaliser
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.parts import Stage
from channelsim.contracts.records import Floats
from channelsim.support.errors import InputError
from channelsim.support.time_blocks import FEW, numbered, plan


def notices(paths: Sequence[Sequence[Stage]]) -> tuple[str, ...]:
    """Notices about stages of all arms' paths with less, or more, effect than expected."""
    # A stage that makes sense in some arm of a sweep needs no notice.
    facts = [_facts(path) for path in paths]
    return tuple(text for text in facts[0] if all(text in other for other in facts))


def memories_s(paths: Iterable[tuple[Sequence[Stage], float]]) -> tuple[float, ...]:
    """Memories of stages [s], each value once, ascending; empty without any.

    ``paths``: stages and the duration of a symbol [s], of every arm.
    """
    found = {memory_s for _, memory_s in _remembering(paths)}
    return tuple(sorted(found))


def memory_notices(
    paths: Sequence[tuple[Sequence[Stage], float]],
    airtimes_s: Sequence[float],
    times_s: Floats,
    images: int,
    contended: bool = False,
) -> tuple[str, ...]:
    """The resampled unit of intervals, where many consecutive messages meet the same channel state.

    ``paths``: as in `memories_s`. ``airtimes_s``: least time between two messages on the channel,
    of every arm. ``times_s``: when messages arrive, ascending. ``images``: their number of
    different images. ``contended``: whether they may destroy each other.
    """
    remembering = _remembering(paths)
    if not remembering or len(times_s) < 2:
        return ()
    count = len(times_s)
    begun = [_begun(times_s, airtime_s) for airtime_s in airtimes_s]
    gap_s = min(float(np.ptp(one)) for one in begun) / (count - 1)
    wait_s = max(float((one - times_s).mean()) for one in begun) + max(airtimes_s) / 2
    memory_s = [memory for _, memory in remembering]
    chosen = plan(
        memory_s,
        gap_s=gap_s,
        wait_s=wait_s,
        reach_s=max(airtimes_s),
        count=count,
        images=images,
        contended=contended,
    )
    label, longest = max(remembering, key=lambda one: one[1])
    if chosen is None:
        return ()
    if chosen.kind == "time block":
        number = len(np.unique(numbered(times_s, longest) // chosen.many))
        units = f"time blocks of {chosen.many * longest:g} s"
    else:
        of_images = chosen.kind == "images"
        number = math.ceil((images if of_images else count) / chosen.many)
        units = f"runs of {chosen.many:,} {chosen.kind}"
    alike = longest / gap_s if gap_s else math.inf
    if alike < 2 and (number >= FEW or count < FEW):  # hardly fewer than there are messages
        return ()
    if number == 1:
        return (
            f"{label}: all messages meet the same {longest:g} s of it, which is a single"
            " observation, so there will be no intervals; send for longer, or let it change faster",
        )
    same = f"about {alike:.0f} messages in a row meet the same {longest:g} s of it"
    text = f"{label}: {same}, so intervals resample about {number:,} {units}"
    return (text + (f"; that is few, send for longer ({FEW} or more)" if number < FEW else ""),)


def _remembering(paths: Iterable[tuple[Sequence[Stage], float]]) -> list[tuple[str, float]]:
    """Label and memory [s] of every stage with memory; equal ones once."""
    found: dict[tuple[str, float], None] = {}
    for stages, symbol_s in paths:
        for stage in stages:
            memory_s = float(stage.memory_s(symbol_s))
            if not 0.0 <= memory_s < math.inf:
                raise InputError(
                    f"stage {stage.label}: memory_s must be 0 or a finite number of seconds above,"
                    f" returned {memory_s:g}"
                )
            if memory_s > 0.0:
                found[stage.label, memory_s] = None
    return list(found)


def _begun(times_s: Floats, airtime_s: float) -> Floats:
    """Beginnings of messages of equal airtime, sent one after the other in order of arrival."""
    busy = airtime_s * np.arange(len(times_s))
    found: Floats = np.maximum.accumulate(times_s - busy) + busy
    return found


def _facts(path: Sequence[Stage]) -> list[str]:
    found = []
    open_since: int | None = None  # the last fading not yet undone
    own: list[str] = []  # adversaries with their own path, so far
    for place, stage in enumerate(path):
        if isinstance(stage, Adversary) and stage.access.own_path is not None:
            own.append(stage.label)
        if stage.fades:
            open_since = place
            found += [
                f"{name}: {stage.label} stands behind it, so what it injects crosses its own path"
                f" and then the transmitter's fading too; put it behind {stage.label}"
                for name in own
            ]
        elif isinstance(stage, Equaliser):
            if open_since == place - 1 and not stage.estimate_error:
                found.append(
                    f"{stage.label}: nothing stands between it and {path[place - 1].label}, which"
                    " it undoes as if it had never been; noise belongs between the two"
                )
            open_since = None
    if open_since is not None:
        found.append(
            f"{path[open_since].label}: no equaliser stands behind it, so receivers decode symbols"
            " turned and scaled by its gain"
        )
    return found
