"""Notices about the data that a user's own codec was trained on, where its card tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from channelsim.analysis.foreign_data import same_kind
from channelsim.contracts.parts import Codec
from channelsim.sources import ImageSource, Source

_WHOLE = "all"


def training_data_notices(codec: Codec, name: str, source: Source | None) -> list[str]:
    """Sentences where a codec was trained on the images that are sent, or on another data set."""
    data, split = _told(codec.card.get("data"))
    if not data or not isinstance(source, ImageSource):
        return []
    sent = source.collection.name
    if not same_kind(data, sent):
        return [
            f"{name} was trained on {data} (its card), and images of {sent} are sent: its quality"
            " and its power may be other than on its own"
        ]
    if split and (split == source.split or _WHOLE in (split, source.split)):
        return [
            f"{name} was trained on images that are sent ({data}, {split}; sent: {source.split}):"
            " its quality on them says little about others; source.split names another split"
        ]
    return []


def _told(data: Any) -> tuple[str, str]:
    """Name and split in a card: ``{name: mnist, split: train}``, ``mnist (train)``, ``mnist``."""
    if isinstance(data, Mapping):
        name, split = data.get("name"), data.get("split")
        return (name if isinstance(name, str) else "", split if isinstance(split, str) else "")
    if not isinstance(data, str):
        return "", ""
    named = re.fullmatch(r"(.+?)(?: \((\w+)\))?", data.strip())
    return (named[1], named[2] or "") if named else ("", "")
