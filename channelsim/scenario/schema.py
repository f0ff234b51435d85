"""The JSON Schema of a scenario file, for editors with completion and checks."""

from __future__ import annotations

from typing import Any

from channelsim.channels.power import Power
from channelsim.link.link import Link
from channelsim.receivers.receiver import Receiver
from channelsim.scenario import catalog
from channelsim.scenario.skeleton import Skeleton


def schema() -> dict[str, Any]:
    """Skeleton, parts by ``kind`` and ``use``; draft 2020-12."""
    parts = catalog.schema()
    found = Skeleton.model_json_schema()
    keys = found["properties"]
    definitions = {f"{slot}": described for slot, described in parts.items()}
    keys["source"] = _refers("source", keys["source"])
    keys["path"]["items"] = {"$ref": "#/$defs/stage"}
    keys["metrics"]["items"] = {"$ref": "#/$defs/metric"}
    keys["receivers"]["additionalProperties"] = {"$ref": "#/$defs/receiver"}
    keys["sweep"]["additionalProperties"] = {"type": "array", "minItems": 1}
    power = catalog.part_schema(Power)
    modes = power["properties"]["mode"]["enum"]
    keys["power"] = {"anyOf": [power, {"enum": modes}], "description": power["description"]}
    keys["link"] = catalog.part_schema(Link)
    definitions["receiver"] = _receiver()
    keys["extends"] = {
        "type": "string",
        "description": "A scenario file in the same folder; this one says what differs from it.",
    }
    found["patternProperties"] = {"^x-": {"description": "A place for anchors; means nothing."}}
    # Of a scenario that extends another, the base may have the rest.
    found["anyOf"] = [{"required": found.pop("required")}, {"required": ["extends"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "$defs": definitions,
    }


def _refers(slot: str, like: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{slot}", "description": like.get("description", "")}


def _receiver() -> dict[str, Any]:
    fields = Receiver.__pydantic_fields__  # type: ignore[attr-defined]
    return {
        "type": "object",
        "description": "A decoder with its defences.",
        "properties": {
            "codec": {"$ref": "#/$defs/codec"},
            "detector": {"anyOf": [{"$ref": "#/$defs/detector"}, {"type": "null"}]},
            "latency_s": {"type": "number", "minimum": 0, "default": fields["latency_s"].default},
            "fallback": {"enum": ["mean", "black", "last"], "default": fields["fallback"].default},
            "assumed_snr_db": {"type": ["number", "null"], "minimum": -300, "maximum": 300},
        },
        "required": ["codec"],
        "additionalProperties": False,
    }
