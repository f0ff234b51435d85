"""Keys of what arms have in common, so that equal questions are answered once."""

from __future__ import annotations

import dataclasses
from typing import Any

from channelsim.scenario import Arm


def benign_key(arm: Arm) -> tuple[Any, ...]:
    """Equal for arms whose undisturbed channel is the same, columns included.

    The symbol duration counts too: a slow codeword meets several gains of a fading channel.
    """
    stages = tuple(
        (type(stage), stage.label, frozen(stage, set())) for stage in arm.path.impairments
    )
    return (arm.link.symbol_rate_hz, *stages)


def frozen(value: Any, without: set[str], path: str = "") -> Any:
    """A part as nested tuples of its fields, leaving out the dotted fields in ``without``."""
    if not dataclasses.is_dataclass(value):
        return repr(value)
    fields = []
    for field in dataclasses.fields(value):
        dotted = f"{path}.{field.name}" if path else field.name
        if dotted not in without:
            fields.append((field.name, frozen(getattr(value, field.name), without, dotted)))
    return (type(value).__name__, *fields)
