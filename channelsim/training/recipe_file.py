"""Recipe files: reading, full checks, and a hash of the content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from channelsim.support.files import read_text
from channelsim.support.problems import Origins, Problems
from channelsim.support.validation import faults_of
from channelsim.support.yaml_lines import read_yaml

T = TypeVar("T")
_LONGEST = 2_000_000  # bytes; a recipe is a page
_ALWAYS = ("kind", "algorithm", "architecture", "name")  # written even where they are the default


def said(recipe: Any) -> dict[str, Any]:
    """A recipe's fields as written, JSON-able: fields at their defaults are left out."""
    found: dict[str, Any] = _said(recipe)
    return found


def _said(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return list(value)
    if not is_dataclass(value):
        return value
    return {
        f.name: _said(getattr(value, f.name))
        for f in fields(value)
        if f.name in _ALWAYS or f.default is MISSING or getattr(value, f.name) != f.default
    }


def read_document(path: Path) -> tuple[Mapping[str, Any], Problems]:
    """A recipe file's content, unchecked, and a collector of its faults."""
    text = read_text(path, _LONGEST, f"recipe {path}")
    document = read_yaml(text, path.name)
    problems = Problems(Origins(path.name, document.lines))
    if not isinstance(document.data, Mapping):
        problems.add((), "a recipe is a mapping with codec (or classifier), data and epochs")
        problems.raise_if_any()
    return document.data, problems


def validated(sort: type[T], data: Mapping[str, Any], path: Path, problems: Problems) -> T:
    """The recipe; one `InputError` lists all faults."""
    try:
        return TypeAdapter(sort).validate_python(data, context={"folder": path.parent})
    except ValidationError as error:
        for fault in faults_of(error, sort):
            problems.add(fault.where, fault.text)
        problems.raise_if_any()
        raise


def hash_of(resolved: Mapping[str, Any], *others: str | None) -> str:
    """SHA-256 (hex) of everything that decides a training's result."""
    decisive = {key: value for key, value in resolved.items() if key not in ("title", "init")}
    return hashlib.sha256(json.dumps([decisive, *others], sort_keys=True).encode()).hexdigest()
