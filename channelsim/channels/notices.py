"""What the user should know about the order of a path's stages."""

from __future__ import annotations

from collections.abc import Sequence

from channelsim.channels.equaliser import Equaliser
from channelsim.parts import Stage


def notices(paths: Sequence[Sequence[Stage]]) -> tuple[str, ...]:
    """Stages of the paths of all arms that do less, or more, than one may think."""
    # What makes sense in one arm of a sweep is there for a reason.
    told = [_told(path) for path in paths]
    return tuple(text for text in told[0] if all(text in other for other in told))


def _told(path: Sequence[Stage]) -> list[str]:
    found = []
    open_since: int | None = None  # the last fading that nobody has undone
    for place, stage in enumerate(path):
        if stage.fades:
            open_since = place
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
