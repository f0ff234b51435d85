"""Writes what the pages say of the code: docs/reference/, and README's scenarios (see bin/docs)."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

import channelsim
from channelsim.scenario.listing import SHELVES, fields_of_part, goals, written
from channelsim.scenario.skeleton import Skeleton

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
README = ROOT / "README.md"
_TABLE = re.compile(r"(<!-- written by bin/docs -->\n).*?(<!-- -->\n)", re.DOTALL)
_NOTE = "Written by `bin/docs` from the code; change it there.\n"


def parts() -> str:
    """Every part that a scenario may name: what it does, and its keys."""
    lines = ["# Parts", "", _NOTE]
    shelves: Mapping[str, Mapping[str, type]] = {**SHELVES, "goals and budgets": goals()}
    for shelf, table in shelves.items():
        lines += [f"## {shelf.capitalize()}", ""]
        for kind, cls in table.items():
            lines += [f"### {kind}", "", *described(cls), *_keys(cls), ""]
    return "\n".join(lines).rstrip() + "\n"


def scenario() -> str:
    """The keys of a scenario file."""
    lines = ["# Scenario files", "", _NOTE, "| key | default | |", "|---|---|---|"]
    for name, field in Skeleton.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if default is PydanticUndefined else f"`{_yaml(default)}`"
        lines.append(f"| `{name}` | {shown} | {field.description or ''} |")
    lines += [
        "| `extends` | | A scenario file in the same folder; this one says what differs from it. |",
        "| `x-…` | | A place for YAML anchors; means nothing. |",
        "",
        "Parts, their keys and defaults: [parts](parts.md). For completion and checks in an",
        "editor: `channelsim schema > scenario.schema.json`.",
    ]
    return "\n".join(lines) + "\n"


def shipped() -> str:
    """The scenarios that come with the program: what each asks, and of what it is made."""
    lines = ["# Shipped scenarios", "", _NOTE]
    for file in scenario_files():
        name = file.relative_to(ROOT).as_posix()
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
        stages = [stage.get("kind", stage.get("use")) for stage in read.get("path", ())]
        lines += [f"## {read.get('title', name)}", "", comment(file), ""]
        lines.append(f"* file: [{name}](../../{name})")
        for key, found in (
            ("extends", [read["extends"]] if "extends" in read else []),
            ("path", stages),
            ("receivers", read.get("receivers", ())),
            ("sweep", read.get("sweep", ())),
        ):
            if found:
                lines.append(f"* {key}: {', '.join(f'`{one}`' for one in found)}")
        lines.append("")
    return "\n".join(lines)


def readme() -> str:
    """README, with its table of scenarios as the files are."""
    rows = [
        f"| [`{file.relative_to(ROOT / 'scenarios').as_posix()}`]"
        f"({file.relative_to(ROOT).as_posix()}) | {question(file)} |\n"
        for file in scenario_files()
    ]
    table = "".join(["| scenario | asks |\n", "|---|---|\n", *rows])
    text, count = _TABLE.subn(rf"\1{table}\2", README.read_text(encoding="utf-8"))
    assert count == 1, "README has no place for the table of scenarios"
    return text


def scenario_files() -> list[Path]:
    """The scenarios that come with the program, those with parts of one's own last."""
    folder = ROOT / "scenarios"
    files = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("own/*.yaml"))]
    return [file for file in files if not file.stem.endswith(".card")]


def comment(file: Path) -> str:
    """The comment at the head of a scenario."""
    head = re.match(r"(#.*\n)+", file.read_text(encoding="utf-8"))
    assert head, f"{file.name} does not begin with a comment that says what it asks"
    return " ".join(line.lstrip("# ") for line in head[0].splitlines())


def question(file: Path) -> str:
    """The comment at the head of a scenario, to its first question mark."""
    text, mark, _ = comment(file).partition("?")
    assert mark, f"{file.name} asks no question in its first comment"
    return text + mark


def python(names: Mapping[str, Any]) -> str:
    """What ``import channelsim`` offers: signatures and descriptions."""
    lines = ["# Python", "", _NOTE]
    for name, found in names.items():
        if isinstance(found, str) or not (inspect.isclass(found) or inspect.isfunction(found)):
            continue
        lines += [f"## {name}", ""]
        if inspect.isfunction(found):
            lines += ["```", f"{name}{_signature(found)}", "```", ""]
        lines += described(found)
        for inner, member in sorted(vars(found).items() if inspect.isclass(found) else ()):
            if not inner.startswith("_") and inspect.isfunction(member) and member.__doc__:
                lines += [f"**{inner}**{_signature(member)}:", *described(member)]
    return "\n".join(lines).rstrip() + "\n"


def described(found: Any) -> list[str]:
    """A docstring as Markdown."""
    text = inspect.cleandoc(found.__doc__ or "")
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    return [*text.splitlines(), ""]


def _keys(cls: type) -> Iterator[str]:
    fields = fields_of_part(cls)
    if fields:
        yield "| key | default |"
        yield "|---|---|"
    for name, info in fields.items():
        yield f"| `{name}` | `{written(info).replace('|', '&#124;')}` |"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    bare = [
        one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def _yaml(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if not isinstance(value, str) else value or '""'


def pages() -> dict[Path, str]:
    """The pages and their text."""
    names = {name: getattr(channelsim, name) for name in channelsim.__all__}
    return {
        FOLDER / "parts.md": parts(),
        FOLDER / "scenario.md": scenario(),
        FOLDER / "python.md": python(names),
        FOLDER / "shipped.md": shipped(),
        README: readme(),
    }


def stale() -> list[Path]:
    """Pages that are not as the code is."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(f"not as the code is: {', '.join(map(str, stale()))}" if stale() else 0)
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
