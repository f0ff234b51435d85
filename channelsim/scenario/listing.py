"""The content of ``channelsim list``: every part, its description, its keys with defaults."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from channelsim.adversaries import ADVERSARIES
from channelsim.channels import CHANNELS
from channelsim.channels.power import Power
from channelsim.codecs import CODECS, Zoo, zoo_names
from channelsim.link.link import Link
from channelsim.metrics import METRICS
from channelsim.receivers import DETECTORS
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.catalog import TABLES, summary_of
from channelsim.sources import OnceArrivals, PeriodicArrivals, PoissonArrivals
from channelsim.support.validation import fields_of, parts_in

# The shelves of `channelsim list`, by the word that selects each.
SHELVES: Mapping[str, Mapping[str, type]] = {
    "sources": TABLES["source"],
    "arrivals": {part.kind: part for part in (OnceArrivals, PeriodicArrivals, PoissonArrivals)},
    "codecs": CODECS,
    "channels": CHANNELS,
    "adversaries": ADVERSARIES,
    "link": {"link": Link},
    "power": {"power": Power},
    "receivers": {"receiver": Receiver},
    "detectors": DETECTORS,
    "metrics": METRICS,
}


def listing() -> dict[str, list[str]]:
    """Shelf (sources, codecs, …) → lines: each part, its description, its keys with defaults."""
    shelves = {shelf: _shelf(table) for shelf, table in SHELVES.items()}
    return shelves | {"zoo": [line for name in zoo_names() for line in _zoo_lines(name)]}


def _shelf(table: Mapping[str, type]) -> list[str]:
    """The parts of a shelf; keys that several of them share are listed once, at the end."""
    uses = Counter(
        (name, tuple(parts_in(info.annotation)))
        for cls in table.values()
        for name, info in fields_of_part(cls).items()
        if any(True for _ in parts_in(info.annotation))
    )
    shelved = {part for other in SHELVES.values() for part in other.values()}
    shared = {
        name: parts
        for (name, parts), number in uses.items()
        if number > 2 and not shelved.issuperset(parts)  # else they are on their own shelf
    }
    lines = [line for kind, cls in table.items() for line in described(kind, cls, shared)]
    for name, parts in shared.items():
        lines += [
            line
            for part in parts
            for line in described(f"{name} {getattr(part, 'kind', '')}".strip(), part)
        ]
    return lines


def described(
    kind: str, cls: type, shared: Mapping[str, tuple[type, ...]] | None = None
) -> list[str]:
    """A part under its name: its description, its keys with defaults."""
    keys = [
        f"{name}: {_brief(info) if name in (shared or {}) else written(info)}"
        for name, info in fields_of_part(cls).items()
    ]
    said = textwrap.wrap(", ".join(keys) or "takes no keys", 84, break_on_hyphens=False)
    return [f"{kind:<15} {summary_of(cls)}", *(" " * 16 + line for line in said)]


def goals() -> dict[str, type]:
    """The goals of adversaries, and the parts that several of them share, by name."""
    found: dict[str, type] = {}
    for cls in ADVERSARIES.values():
        for name, info in fields_of_part(cls).items():
            for part in parts_in(info.annotation):
                found[f"{name} {getattr(part, 'kind', '')}".strip()] = part
    return found


def fields_of_part(cls: type) -> dict[str, FieldInfo]:
    """A part's keys, but for its kind."""
    fields: dict[str, FieldInfo] = cls.__pydantic_fields__  # type: ignore[attr-defined]
    return {name: fields[name] for name in fields_of(cls) if name != "kind"}


def _brief(info: FieldInfo) -> str:
    """The part-specific facts of a shared key: that it is required, or its default."""
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "(required)"
    usual = type(default)()
    own = {
        field.name: getattr(default, field.name)
        for field in dataclasses.fields(default)
        if getattr(default, field.name) != getattr(usual, field.name)
    }
    return "{" + ", ".join(f"{key}: {value}" for key, value in own.items()) + "}"


def _zoo_lines(name: str) -> list[str]:
    card = Zoo(name=name).card
    figures = [
        f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}"
        for key, value in card.items()
        if isinstance(value, int | float | str) and len(str(value)) <= 60
    ]
    said = textwrap.wrap(", ".join(figures), 84, break_on_hyphens=False, break_long_words=False)
    title, *rest = [f"{name}", *said]
    return [title, *(" " * 16 + line for line in rest)]


def written(info: FieldInfo) -> str:
    """A default as written in a scenario file, and the words to choose from."""
    default = info.get_default(call_default_factory=True, validated_data={})
    required = default is PydanticUndefined
    if get_origin(info.annotation) is Literal:
        words = ", ".join(str(word) for word in get_args(info.annotation))
        return f"one of {words} (required)" if required else f"{default} (of {words})"
    if required:
        choices = [_braced(part) for part in parts_in(info.annotation)]
        return " or ".join(choices) or "(required)"
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return _braced(type(default))
    if default is None:
        return " or ".join(["null", *(_braced(part) for part in parts_in(info.annotation))])
    if isinstance(default, tuple):
        return str(list(default))
    return str(default).lower() if isinstance(default, bool) else str(default) or '""'


def _braced(part: type) -> str:
    kind = getattr(part, "kind", None)
    keys = [f"kind: {kind}"] if kind else []
    keys += [f"{name}: {written(info)}" for name, info in fields_of_part(part).items()]
    return "{" + ", ".join(keys) + "}"
