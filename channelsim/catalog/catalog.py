"""Every part that a scenario may name, by slot and kind: plain tables, nothing registers itself."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from channelsim.adversaries import ADVERSARIES
from channelsim.catalog.part_errors import fields_of, parts_in
from channelsim.channels import CHANNELS
from channelsim.codecs import CODECS, Zoo, zoo_names
from channelsim.defences import DETECTORS
from channelsim.errors import did_you_mean
from channelsim.metrics import METRICS
from channelsim.parts import Codec, Detector, Metric, Stage
from channelsim.sources import (
    SOURCES,
    OnceArrivals,
    PeriodicArrivals,
    PoissonArrivals,
    Source,
)

TABLES: Mapping[str, Mapping[str, type]] = {
    "source": SOURCES,
    "codec": CODECS,
    "stage": {**CHANNELS, **ADVERSARIES},
    "detector": DETECTORS,
    "metric": METRICS,
}

# What a part for each slot is; ``use:`` may bring others.
CONTRACTS: Mapping[str, type] = {
    "source": Source,
    "codec": Codec,
    "stage": Stage,
    "detector": Detector,
    "metric": Metric,
}

# What `channelsim list` shows, by the word that selects it.
_SHELVES: Mapping[str, Mapping[str, type]] = {
    "sources": TABLES["source"],
    "arrivals": {part.kind: part for part in (OnceArrivals, PeriodicArrivals, PoissonArrivals)},
    "codecs": CODECS,
    "channels": CHANNELS,
    "adversaries": ADVERSARIES,
    "detectors": DETECTORS,
    "metrics": METRICS,
}


def unknown_kind(slot: str, kind: Any) -> str:
    """The sentence for a kind that is not in a slot's table."""
    if slot == "codec" and kind == "module":
        return (
            "a module that was given from Python cannot be loaded from a file; bring it by `use:`"
        )
    known = list(TABLES[slot])
    near = did_you_mean(kind, known) if isinstance(kind, str) else ""
    return f"unknown kind {kind!r} (known: {', '.join(known)}, or `use:` your own).{near}"


@functools.cache
def dotted_fields(cls: Any) -> tuple[str, ...]:
    """The keys below a part: ``budget``, ``budget.norm``, …"""
    found: list[str] = []
    for name, annotation in fields_of(cls).items():
        found.append(name)
        inner = {key for part in parts_in(annotation) for key in dotted_fields(part)}
        found += [f"{name}.{key}" for key in sorted(inner)]
    return tuple(found)


# --- for people ---------------------------------------------------------------------------------


def listing() -> dict[str, list[str]]:
    """Shelf (sources, codecs, …) → lines: each part, what it is, its keys with their defaults."""
    shelves = {
        shelf: [line for kind, cls in table.items() for line in described(kind, cls)]
        for shelf, table in _SHELVES.items()
    }
    return shelves | {"zoo": [line for name in zoo_names() for line in _zoo_lines(name)]}


def described(kind: str, cls: type) -> list[str]:
    """A part under its name: what it is, its keys with their defaults."""
    keys = [f"{name}: {default}" for name, default in _defaults(cls).items()]
    said = textwrap.wrap(", ".join(keys) or "takes no keys", 84, break_on_hyphens=False)
    return [f"{kind:<16}{_summary(cls)}", *(" " * 16 + line for line in said)]


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


def _summary(cls: type) -> str:
    """What the docstring says before its first stop, colon or semicolon."""
    text = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())
    return re.split(r"(?<! al)[.:;]( |$)", text)[0].replace("``", "")


def _defaults(cls: type) -> dict[str, str]:
    fields: dict[str, FieldInfo] = cls.__pydantic_fields__  # type: ignore[attr-defined]
    return {name: _written(fields[name]) for name in fields_of(cls) if name != "kind"}


def _written(info: FieldInfo) -> str:
    """A default as a scenario file would state it, and the words to choose from."""
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
        return "null"
    if isinstance(default, tuple):
        return str(list(default))
    return str(default).lower() if isinstance(default, bool) else str(default) or '""'


def _braced(part: type) -> str:
    kind = getattr(part, "kind", None)
    keys = [f"kind: {kind}"] if kind else []
    keys += [f"{name}: {default}" for name, default in _defaults(part).items()]
    return "{" + ", ".join(keys) + "}"


# --- for editors --------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """JSON Schema of the parts of every slot: slot → a schema that allows each kind and `use`."""
    return {slot: _slot_schema(slot) for slot in TABLES}


def _slot_schema(slot: str) -> dict[str, Any]:
    choices = [part_schema(cls, kind) for kind, cls in TABLES[slot].items()]
    own = {
        "type": "object",
        "description": f'A {slot} of your own: use: "./mine.py:MyClass", and its arguments.',
        "properties": {"use": {"type": "string", "pattern": r"\.py:\w+$"}},
        "required": ["use"],
    }
    word = {"type": "string", "description": "The kind alone, where nothing else is needed."}
    if slot == "codec":
        word["description"] = "The name of a codec of the zoo, e.g. kld-vae."
    return {"anyOf": [*choices, own, word]}


def part_schema(cls: type, kind: str | None = None) -> dict[str, Any]:
    """JSON Schema of one part, without references; ``kind`` becomes a constant key."""
    raw = TypeAdapter(cls).json_schema()
    found = _inlined(raw, raw.get("$defs", {}))
    found.pop("$defs", None)
    found["description"] = _summary(cls)
    found["additionalProperties"] = False
    if kind is not None:
        found["properties"] = {"kind": {"const": kind}, **found.get("properties", {})}
        found["required"] = ["kind", *found.get("required", [])]
    return found


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        if "$ref" in node:
            name = str(node["$ref"]).rsplit("/", 1)[-1]
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**_inlined(definitions[name], definitions), **rest}
        return {
            key: _inlined(value, definitions)
            for key, value in node.items()
            if key not in ("$defs", "discriminator")
        }
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    return node
