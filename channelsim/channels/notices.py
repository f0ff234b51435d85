"""What the user should know about a path's stages: their order, and how long they remember."""

from __future__ import annotations

from collections.abc import Sequence

from channelsim.channels.equaliser import Equaliser
from channelsim.parts import Stage
from channelsim.threat import Adversary


def notices(paths: Sequence[Sequence[Stage]]) -> tuple[str, ...]:
    """Stages of the paths of all arms that do less, or more, than one may think."""
    # What makes sense in one arm of a sweep is there for a reason.
    told = [_told(path) for path in paths]
    return tuple(text for text in told[0] if all(text in other for other in told))


def memory_notices(paths: Sequence[tuple[Sequence[Stage], float]], gap_s: float) -> tuple[str, ...]:
    """Stages that many messages in a row meet alike.

    ``paths``: stages, and how long a symbol takes [s], of every arm. ``gap_s``: mean time between
    messages.
    """
    longest: dict[str, float] = {}
    for stages, symbol_s in paths:
        for stage in stages:
            known = longest.get(stage.label, 0.0)
            longest[stage.label] = max(known, stage.memory_s(symbol_s))
    return tuple(
        f"{label}: about {memory_s / gap_s if gap_s else 0:.0f} messages in a row meet the same"
        f" {memory_s:g} s of it, and intervals take messages for independent, so they are too"
        " narrow; send more slowly, or for longer"
        if gap_s
        else f"{label}: all messages are there at once and meet it in the same state, so intervals"
        " are too narrow; let them arrive over time"
        for label, memory_s in longest.items()
        if memory_s >= 2 * gap_s and memory_s > 0
    )


def _told(path: Sequence[Stage]) -> list[str]:
    found = []
    open_since: int | None = None  # the last fading that nobody has undone
    own: list[str] = []  # adversaries with a path of their own, met so far
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
