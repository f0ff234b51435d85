"""``extends: base.yaml``: a scenario that says only what differs from another.

Mappings are merged key by key, everything else replaces what the base has; a key that is ``null``
is removed. The base lies in the same folder, so that relative names mean the same in both. Keys
that begin with ``x-`` are places for YAML anchors and mean nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from channelsim.support.errors import InputError
from channelsim.support.files import read_text, written_name
from channelsim.support.problems import Origins, Where
from channelsim.support.yaml_lines import read_yaml

_LONGEST = 2_000_000  # bytes; a scenario is a page
_DEEPEST = 8  # scenarios that extend one another; project's choice


def read_scenario(path: Path) -> tuple[Any, Origins, str]:
    """The values of a scenario file, merged with those it extends; their origins; its text."""
    return _read(path, ())


def without_anchors(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that mean something."""
    return {key: value for key, value in data.items() if not str(key).startswith("x-")}


def _read(path: Path, around: tuple[Path, ...]) -> tuple[Any, Origins, str]:
    name = str(path)
    text = read_text(path, _LONGEST, name, "scenario file")
    document = read_yaml(text, name)
    data, origins = document.data, Origins(name, document.lines)
    if not isinstance(data, Mapping):
        return data, origins, text
    data = without_anchors(data)
    if "extends" not in data:
        return data, origins, text
    place = f"{origins.place(('extends',))[1]}: "
    base = _base(data.pop("extends"), path, place, around)
    below, lower, _ = _read(base, (*around, path))
    if not isinstance(below, Mapping):
        raise InputError(f"{place}{base.name} holds no scenario (a mapping)")
    return _merged(below, data, lower, origins, ()), lower, text


def _base(given: Any, path: Path, place: str, around: tuple[Path, ...]) -> Path:
    if not isinstance(given, str) or not given.strip():
        raise InputError(
            f"{place}must name a scenario file in the same folder, was given {given!r}"
        )
    try:
        base = path.parent / written_name(given)
    except InputError as error:
        raise InputError(f"{place}{error.message}") from None
    if os.path.normpath(base.absolute().parent) != os.path.normpath(path.absolute().parent):
        raise InputError(
            f"{place}{given} is in another folder, where relative file names mean something else;"
            " name a file in the same folder"
        )
    if any(base.resolve() == one.resolve() for one in (*around, path)):
        raise InputError(f"{place}{given} extends this file in turn; one of them must stand alone")
    if len(around) >= _DEEPEST:
        raise InputError(f"{place}more than {_DEEPEST} scenarios extend one another")
    return base


def _merged(
    below: Mapping[str, Any], above: Mapping[str, Any], lower: Origins, upper: Origins, at: Where
) -> dict[str, Any]:
    """``above`` over ``below``; ``lower`` becomes the origins of the result."""
    found = dict(below)
    for key, value in above.items():
        where = (*at, key)
        if isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            found[key] = _merged(found[key], value, lower, upper, where)
            continue
        lower.covered(where, upper)
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found
