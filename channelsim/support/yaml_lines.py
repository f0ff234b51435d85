"""YAML as plain values, with the line number of each.

The scalars are those of YAML 1.2 (``20e3`` is a number, ``off`` is a word, ``010`` is ten), keys
may not repeat, and no tag creates objects: a file is data, never code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from channelsim.support.errors import InputError

Where = tuple[str | int, ...]

_LARGEST = 100_000  # values in one file; nested aliases would make billions
_DEEPEST = 50
_TAG = "tag:yaml.org,2002:"
_HALF = re.compile("[\ud800-\udfff]")  # half of a surrogate pair, as an escape may leave it


def half_character(text: str) -> str:
    """The complaint about a text that holds half a character; else an empty text."""
    half = _HALF.search(text)
    if half is None:
        return ""
    return (
        f"holds half a character (U+{ord(half[0]):X}), which no text can; write the whole one, or"
        " leave it out"
    )


@dataclass(frozen=True)
class Document:
    """``data``: the values. ``lines``: path of keys and positions → line, counted from 1."""

    data: Any
    lines: dict[Where, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    # A separate table: the inherited one reads 1e-3 as text, `no` as false, 1:30 as 90.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse early what would exhaust Python's stack or take minutes to refuse."""
        self.depth += 1
        if self.depth > _DEEPEST:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), _first)


def read_yaml(text: str, name: str) -> Document:
    """Parse one YAML document; ``name`` begins its error messages."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        if root is None:
            return Document(None)
        reader = _Reader(name)
        return Document(reader.value(root, ()), reader.lines)
    except yaml.YAMLError as error:
        raise InputError(_sentence(error, text, name)) from None


def read_scalar(text: str, name: str) -> Any:
    """Parse the value after ``=`` on the command line: a number, a word, a [list], a {mapping}."""
    try:
        return read_yaml(text, name).data
    except InputError as error:  # one line has no line number
        raise InputError(error.message.replace(f"{name}:1  ", f"{name}: ", 1)) from None


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Where, int] = {}
        self._count = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node, where: Where) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        self._count += 1
        if self._count > _LARGEST:
            raise InputError(f"{self.name}:{line}  more than {_LARGEST:,} values; repeat less")
        if id(node) in self._open:
            raise InputError(f"{self.name}:{line}  an alias contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, where)
            if isinstance(node, yaml.SequenceNode):
                self._plain_tag(node, "seq")
                return [self.value(item, (*where, i)) for i, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[Any, Any]:
        self._plain_tag(node, "map")
        found: dict[Any, Any] = {}
        first: dict[Any, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(f"{self.name}:{line}  a key must be a word, not a collection")
            key = self._scalar(key_node)
            if key in found:
                raise InputError(
                    f"{self.name}:{line}  {key_node.value}: given twice (first on line"
                    f" {first[key]}); remove one"
                )
            first[key] = line
            inside = (*where, key if isinstance(key, str | int) else str(key))
            self.lines[inside] = line
            found[key] = self.value(value_node, inside)
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        text, tag = str(node.value), node.tag.removeprefix(_TAG)
        if fault := half_character(text):
            raise InputError(f"{self.name}:{node.start_mark.line + 1}  {fault}")
        try:
            match tag:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    based = text[:2] in ("0o", "0x")
                    return int(text, 0) if based else int(text)
                case "float":
                    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            line = node.start_mark.line + 1
            raise InputError(f"{self.name}:{line}  {text[:40]!r} cannot be read as {tag}") from None
        self._plain_tag(node, "str")
        return text

    def _plain_tag(self, node: yaml.Node, expected: str) -> None:
        if node.tag != _TAG + expected:
            tag = node.tag.replace(_TAG, "!!")
            raise InputError(
                f"{self.name}:{node.start_mark.line + 1}  tag {tag} is not allowed: a scenario is"
                " data (for code of your own see `use:`)"
            )


def _sentence(error: yaml.YAMLError, text: str, name: str) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"{name}: not a YAML text file: it holds {chr(error.character)!a}"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        reason = " ".join(str(error).split())
        return f"{name}: not a YAML text file ({reason[:120]})"
    mark = error.problem_mark
    problem = error.problem or "unreadable"
    lines = text.splitlines()
    if mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        problem = "a tab character; use spaces"
    said = f"{name}:{mark.line + 1}  not valid YAML: {problem}"
    if error.context and error.context_mark and error.context_mark.line != mark.line:
        said += f" ({error.context} on line {error.context_mark.line + 1})"
    return said
