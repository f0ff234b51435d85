"""Pydantic's validation errors as sentences: value given, what is allowed, likely fix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from channelsim.support.errors import did_you_mean
from channelsim.support.problems import Fault, Where, shown

_TYPES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "dataclass_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "path_type": "the name of a file",
    "finite_number": "a finite number",
}
_LIMITS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
}


def faults_of(error: ValidationError, cls: Any, kind: str = "") -> list[Fault]:
    """Every error of a validation of ``cls`` as a sentence; several about one value become one."""
    grouped: dict[Where, list[str]] = {}
    missing: list[Where] = []
    for details in error.errors(include_url=False):
        where, owners = _walk(cls, details["loc"])
        said = grouped.setdefault(where, [])
        name = kind if kind and owners == [cls] else called(owners[0])
        text = _sentence(details, owners, name)
        if details["type"] == "missing":
            missing.append(where)
        if text not in said:
            said.append(text)
    # `snr` instead of `snr_db` is one mistake, not an unknown field and a missing one.
    for where in missing:
        meant = f" Did you mean {where[-1]}?"
        if any(w[:-1] == where[:-1] and said[0].endswith(meant) for w, said in grouped.items()):
            del grouped[where]
    return [Fault(where, _joined(said)) for where, said in grouped.items()]


def fields_of(cls: Any) -> dict[str, Any]:
    """Field name → annotation of a part; ``name`` last, its least important key."""
    found = getattr(cls, "__pydantic_fields__", {})
    names = sorted(found, key=lambda name: name == "name")
    return {name: found[name].annotation for name in names}


def parts_in(annotation: Any) -> Iterator[type]:
    """The configuration classes that a field's annotation mentions."""
    if hasattr(annotation, "__pydantic_fields__"):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_in(inner)


def called(cls: Any) -> str:
    """A class's name in error messages: its kind, else its name."""
    kind = getattr(cls, "kind", "")
    return kind if isinstance(kind, str) and kind else str(cls.__name__).lower()


def _walk(cls: Any, loc: tuple[int | str, ...]) -> tuple[Where, list[Any]]:
    """The key path of an error in the mapping, and the classes that own its last key.

    A location names the members of unions too; those are not keys of the file.
    """
    where: list[str | int] = []
    owners: list[Any] = [cls]
    inside: list[Any] = [cls]
    for position, step in enumerate(loc):
        having = [owner for owner in inside if step in fields_of(owner)]
        if isinstance(step, int):
            where.append(step)
        elif having:
            where.append(step)
            owners = having
            inside = [part for owner in having for part in parts_in(fields_of(owner)[step])]
        elif chosen := [part for part in inside if step in (called(part), part.__name__)]:
            inside = chosen
        elif position == len(loc) - 1 and inside:
            where.append(step)
            owners = inside
    return tuple(where), owners


def _sentence(details: ErrorDetails, owners: list[Any], owner: str) -> str:
    problem, given = details["type"], details["input"]
    if details["loc"][-1:] == ("[key]",):
        return f"a name must be text, was given {shown(given)}; write it in quotes"
    context: Mapping[str, Any] = details.get("ctx", {})
    if problem in ("extra_forbidden", "unexpected_keyword_argument"):
        known = [name for part in owners for name in fields_of(part)]
        key = str(details["loc"][-1])
        return (
            f"unknown field for {owner} (known: {', '.join(known)}).{did_you_mean(key, known)}"
            if known
            else f"unknown field: {owner} takes none"
        )
    if problem == "missing":
        return f"missing; {owner} needs it"
    if problem in _LIMITS:
        name, words = _LIMITS[problem]
        limit = words.format(format(context[name], "g"))
        return f"must be {limit}, was given {shown(given)}"
    if problem in _TYPES:
        hint = ""
        if isinstance(given, str) and re.fullmatch(r"[-+]?inf(inity)?", given.lower()):
            hint = " (infinity is written .inf in YAML)"
        return f"must be {_TYPES[problem]}, was given {shown(given)}{hint}"
    if problem in ("literal_error", "enum"):
        allowed = _quoted(str(context["expected"]))
        near = did_you_mean(str(given), allowed)
        return f"must be {_or(allowed)}, was given {shown(given)}.{near}".rstrip(".")
    if problem == "union_tag_invalid":
        allowed = _quoted(str(context["expected_tags"]))
        tag = str(context["tag"])
        return (
            f"unknown kind {shown(tag)} (known: {', '.join(allowed)}).{did_you_mean(tag, allowed)}"
        )
    if problem == "union_tag_not_found":
        return f"kind is missing (known: {_kinds(details, owners)})"
    if problem in ("model_attributes_type", "dataclass_exact_type"):
        return f"must be {{kind: …}} (known: {_kinds(details, owners)}), was given {shown(given)}"
    if problem == "value_error":
        return str(context["error"])
    message = details["msg"][:1].lower() + details["msg"][1:]
    return f"{message}, was given {shown(given)}"


def _kinds(details: ErrorDetails, owners: list[Any]) -> str:
    """The kinds that a field allows."""
    name = details["loc"][-1]
    fields = [fields_of(owner)[str(name)] for owner in owners if name in fields_of(owner)]
    return ", ".join(called(part) for annotation in fields for part in parts_in(annotation))


def _quoted(expected: str) -> list[str]:
    """``"'a', 'b' or 'c'"`` → the words."""
    return re.findall(r"'([^']*)'", expected) or [expected]


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _joined(said: list[str]) -> str:
    """Alternatives of a union, none of which fitted, as one sentence."""
    if len(said) == 1:
        return said[0]
    starts = [text.split(", was given ")[0].removeprefix("must be ") for text in said]
    if all(text.startswith("must be ") and ", was given " in text for text in said):
        return f"must be {_or(starts)}, was given {said[-1].split(', was given ', 1)[1]}"
    return "; or ".join(said)
