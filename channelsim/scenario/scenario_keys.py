"""Dotted keys: the names that ``sweep`` and ``--set`` accept, and their places in the file.

A key begins with a stage's label (``mallory.budget.epsilon``), a receiver's name
(``kld.latency_s``) or a top-level key (``link.latency_s``, ``path.0.snr_db``,
``receivers.kld.detector.false_alarm``); ``receivers.*.latency_s`` means every receiver. A whole
stage is named by its place alone (``path.0``), since its replacement may have another label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from channelsim.channels.power import Power
from channelsim.link.link import Link
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.assembly import expand
from channelsim.scenario.catalog import TABLES, dotted_fields
from channelsim.scenario.user_code import load_class, split_use
from channelsim.support.errors import InputError, did_you_mean
from channelsim.support.problems import Where
from channelsim.support.validation import fields_of

# Why these are the same in all arms: arms are compared message by message.
_SHARED = {
    "seed": "all arms share their random numbers; use --seed",
    "source": "all arms share their messages; use --set",
    "metrics": "every metric is measured in every arm; list them all",
    "primary": "receivers are compared by one metric, fixed before the run",
    "title": "it names the whole run",
    "control": "it belongs to the whole run",
    "block_rows": "it is the compute shape of the whole run",
    "max_pending": "it changes no result",
    "images": "it belongs to the whole run",
    "device": "it belongs to the whole run",
    "sweep": "a sweep cannot be swept",
    "zip": "it belongs to the sweep",
    "path": "name a value in it, for example path.0.snr_db",
    "receivers": "receivers are compared anyway; name a value in one, for example NAME.latency_s",
}
TOP_LEVEL = (
    "title", "seed", "source", "transmit", "power", "link", "path", "receivers", "metrics",
    "primary", "control", "sweep", "zip", "block_rows", "max_pending", "images", "device",
)  # fmt: skip
# Names with a meaning of their own in dotted keys or among the streams of random numbers.
# (These hold no keys, and were free as names before they were keys.)
_LATER = frozenset(("primary", "zip", "device"))
RESERVED = frozenset((*TOP_LEVEL, "transmitter", "calibration")) - _LATER
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def name_fault(name: str, what: str) -> str:
    """The reason why a word cannot name a stage or a receiver, or an empty text."""
    if not _NAME.fullmatch(name):
        return f"{name!r} cannot name a {what}: use letters, digits, _ and -"
    if name in RESERVED:
        return f"{name!r} cannot name a {what}: the word has a meaning of its own"
    return ""


def labels_of(path: Any, folder: Path | None) -> list[str | None]:
    """Each stage's label: its name, else its kind; None where neither is known."""
    return [_label(stage, folder) for stage in path] if isinstance(path, list) else []


def _label(stage: Any, folder: Path | None) -> str | None:
    if not isinstance(stage, Mapping):
        found = getattr(stage, "label", stage)
    elif "use" in stage and not stage.get("name"):
        try:
            found = getattr(load_class(*split_use(stage["use"], folder)), "kind", None)
        except InputError:  # reported where the stage is built
            found = None
    else:
        found = stage.get("name") or stage.get("kind")
    return found if isinstance(found, str) and found else None


class ScenarioKeys:
    """The dotted keys of one scenario. ``data``: its top-level keys, not yet validated."""

    def __init__(self, data: Mapping[str, Any], folder: Path | None) -> None:
        self._known: dict[str, tuple[Where, ...]] = {}
        self._open: dict[str, Where] = {}
        path = data.get("path")
        receivers = data.get("receivers")
        stages = path if isinstance(path, list) else []
        for index, (stage, label) in enumerate(zip(stages, labels_of(path, folder), strict=True)):
            names = [f"path.{index}"] + ([label] if label else [])
            keys = self._of_part("stage", stage)
            for name in names:
                self._take(name, ("path", index), keys)
            self._known.setdefault(f"path.{index}", (("path", index),))
        named = receivers if isinstance(receivers, Mapping) else {}
        for name, receiver in named.items():
            keys = list(_of_receiver(receiver, self._of_part))
            for prefix in (f"receivers.{name}", str(name)):
                self._take(prefix, ("receivers", name), keys)
            for key in keys:
                if key is not None:
                    where = ("receivers", name, *key.split("."))
                    every = f"receivers.*.{key}"
                    self._known[every] = (*self._known.get(every, ()), where)
        self._known["transmit"] = (("transmit",),)
        for top, cls in (("power", Power), ("link", Link)):
            self._known[top] = ((top,),)
            self._take(top, (top,), dotted_fields(cls))
        self._sweepable = list(self._known)
        for top in TOP_LEVEL:
            self._known.setdefault(top, ((top,),))
        source = data.get("source")
        kind = source.get("kind") if isinstance(source, Mapping) else None
        described = TABLES["source"].get(str(kind), TABLES["source"]["dataset"])
        self._take("source", ("source",), dotted_fields(described))

    @staticmethod
    def _of_part(slot: str, given: Any) -> list[str | None]:
        """Keys below a part; None where they are unknown."""
        mapping = expand(slot, given)
        if not isinstance(mapping, Mapping) or "use" in mapping:
            cls: Any = None
        else:
            kind = mapping.get("kind")
            cls = TABLES[slot].get(kind) if isinstance(kind, str) else None
        if cls is None:
            return [None]
        return [key for key in dotted_fields(cls) if slot != "stage" or key != "name"]

    def _take(self, prefix: str, where: Where, keys: Iterable[str | None]) -> None:
        for key in keys:
            if key is None:
                self._open[prefix + "."] = where
            elif key.endswith(".*"):
                inner = key.removesuffix(".*")
                self._open[f"{prefix}.{inner}."] = (*where, *inner.split("."))
            else:
                # A label comes first: a receiver of that name is refused elsewhere.
                self._known.setdefault(f"{prefix}.{key}", ((*where, *key.split(".")),))

    def targets(self, key: Any) -> tuple[Where, ...]:
        """The places in the scenario that a key points to; none if it is unknown."""
        if not isinstance(key, str):
            return ()
        if key in self._known:
            return self._known[key]
        for prefix, where in self._open.items():
            rest = key.removeprefix(prefix)
            if rest != key and rest and not rest.endswith(".") and ".." not in rest:
                return ((*where, *rest.split(".")),)
        return ()

    def unknown(self, key: Any, sweep: bool) -> str:
        """The error message for an unknown key."""
        near = did_you_mean(str(key), self._sweepable if sweep else self._known)
        example = f" Keys look like {self._sweepable[0]}." if not near else ""
        return f"unknown key {key!r}.{near}{example}"

    @staticmethod
    def not_sweepable(key: Any) -> str:
        """The reason why a known key may not be swept, or an empty text."""
        top, _, inside = str(key).partition(".")
        if top not in _SHARED or (inside and top in {"path", "receivers", *_LATER}):
            return ""
        return f"cannot be swept: {_SHARED[top]}"


def _of_receiver(given: Any, of_part: Any) -> Iterator[str | None]:
    mapping = given if isinstance(given, Mapping) else {}
    for name in fields_of(Receiver):
        yield name
        if name in ("codec", "detector") and mapping.get(name) is not None:
            for key in of_part(name, mapping[name]):
                yield f"{name}.*" if key is None else f"{name}.{key}"


def put(data: Any, where: Where, value: Any, at: Where = ()) -> Any:
    """A copy of ``data`` with ``value`` at a place; shorthands on the way are spelled out."""
    if not where:
        return value
    step, rest = where[0], where[1:]
    if isinstance(step, int):
        items = list(data)
        items[step] = put(items[step], rest, value, (*at, step))
        return items
    mapping = {} if data is None else _spelled(data, at)
    if not isinstance(mapping, Mapping):
        return data  # nothing can be put into it, and validation will report it
    return {**mapping, step: put(mapping.get(step), rest, value, (*at, step))}


def _spelled(given: Any, at: Where) -> Any:
    """A word as the mapping that it abbreviates, where there is one."""
    if not isinstance(given, str):
        return given
    if at == ("power",):
        return {"mode": given}
    slot = "stage" if at[:1] == ("path",) and len(at) == 2 else str(at[-1]) if len(at) == 3 else ""
    return expand(slot, given) if slot in TABLES else given
