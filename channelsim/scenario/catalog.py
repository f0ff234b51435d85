"""Every part that a scenario may name, by slot and kind: plain tables, nothing registers itself."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from channelsim.adversaries import ADVERSARIES
from channelsim.channels import CHANNELS
from channelsim.codecs import CODECS
from channelsim.contracts.parts import Codec, Detector, Metric, Stage
from channelsim.metrics import METRICS
from channelsim.receivers import DETECTORS
from channelsim.sources import (
    SOURCES,
    Source,
)
from channelsim.support.errors import did_you_mean
from channelsim.support.validation import fields_of, parts_in

TABLES: Mapping[str, Mapping[str, type]] = {
    "source": SOURCES,
    "codec": CODECS,
    "stage": {**CHANNELS, **ADVERSARIES},
    "detector": DETECTORS,
    "metric": METRICS,
}

# The contract of each slot's parts; ``use:`` may add parts.
CONTRACTS: Mapping[str, type] = {
    "source": Source,
    "codec": Codec,
    "stage": Stage,
    "detector": Detector,
    "metric": Metric,
}


def gradient_free() -> list[str]:
    """The kinds of adversaries that follow no gradient of the receiver."""
    return [kind for kind, cls in ADVERSARIES.items() if not cls.climbs]


def unknown_kind(slot: str, kind: Any) -> str:
    """The error message for a kind that is not in a slot's table."""
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
    found["description"] = summary_of(cls)
    found["additionalProperties"] = False
    for field in found.get("properties", {}).values():
        # The default of an inner part is decided by the part around it.
        own = field.get("default")
        for key, value in own.items() if isinstance(own, Mapping) else ():
            if key in field.get("properties", {}):
                field["properties"][key]["default"] = value
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


def summary_of(cls: type) -> str:
    """The docstring up to its first stop, colon or semicolon."""
    text = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())
    return re.split(r"(?<! al)(?<! eq)[.:;]( |$)", text)[0].replace("``", "")
