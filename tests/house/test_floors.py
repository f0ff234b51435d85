"""The layering of the package: the floor of every room, allowed imports, and banned constructs.

The floors, read from the imports themselves (also those inside functions): a module imports
only from lower floors and from its own room. `docs/architecture.md` draws the same table.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "channelsim"

# From the ground up: the rooms of each floor. A new module goes into one of them.
FLOORS = [
    {"support"},
    {"contracts"},
    {"sources", "codecs", "zoo", "channels", "metrics", "receivers", "link", "ledger"},
    {"adversaries", "analysis"},
    {"scenario", "training", "report", "display"},
    {"signal_path"},
    {"simulation"},
    {"runs", "tensors"},
    {"cli"},
]
PLACE = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
DOORS = {"", "__main__"}  # the package itself and `python -m`: above all, imported for its version


def name_of(path: Path) -> str:
    """``channelsim/codecs/linear.py`` → ``codecs.linear``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Modules of this package that a module imports, anywhere in its text, with the line."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "channelsim":
                yield existing(name.removeprefix("channelsim").lstrip(".")), node.lineno


def existing(name: str) -> str:
    """The module that holds a dotted name: ``units.db`` → ``units``."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def place(module: str) -> tuple[int, str]:
    room = module.split(".")[0]
    assert room in PLACE, f"{module} has no place in the table of floors at the top of this file"
    return PLACE[room], room


INSIDE = [module for module in MODULES if module not in DOORS]


@pytest.mark.parametrize("module", INSIDE)
def test_a_module_imports_only_from_lower_floors_or_its_own_room(module: str) -> None:
    floor, room = place(module)
    for other, line in imports(module):
        if other in DOORS or other == module:
            continue
        their_floor, their_room = place(other)
        assert their_floor < floor or their_room == room, (
            f"{module}:{line} (floor {floor + 1}, {room}) imports {other}"
            f" (floor {their_floor + 1}, {their_room})"
        )


def test_no_modules_import_each_other_in_a_circle() -> None:
    state: dict[str, str] = {}

    def visit(module: str, way: tuple[str, ...]) -> None:
        if module in DOORS or state.get(module) == "done":
            return
        assert state.get(module) != "open", f"a circle: {' → '.join([*way, module])}"
        state[module] = "open"
        for other, _ in imports(module):
            # A package's own table imports its modules; they may not import it back.
            if other != module:
                visit(other, (*way, module))
        state[module] = "done"

    for module in MODULES:
        visit(module, ())


def test_the_floor_table_would_notice_an_upward_import() -> None:
    assert place("support.errors")[0] < place("contracts.parts")[0] < place("cli")[0]
    assert place("codecs")[1] != place("adversaries")[1]
    assert ("contracts.parts", 0) not in list(imports("support.errors"))
    assert "contracts.rows" in {name for name, _ in imports("contracts.parts")}


def test_the_house_has_no_rooms_outside_the_plan() -> None:
    inside = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert inside == set(PLACE)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("room", ["analysis", "ledger", "display", "report"])
def test_what_reads_a_ledger_needs_no_torch(room: str) -> None:
    modules = [name for name in MODULES if name.split(".")[0] == room]
    lines = [f"import channelsim.{name}" for name in modules]
    code = "\n".join([*lines, "import sys", "assert 'torch' not in sys.modules"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("module", INSIDE)
def test_only_the_display_and_the_command_line_print(module: str) -> None:
    if place(module)[1] in {"display", "cli"}:
        return
    printed = [call.lineno for name, call in calls(module) if name == "print"]
    assert not printed, f"{module}:{printed}"


PICKLES = {"cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
YAML_LOADERS = {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}


@pytest.mark.parametrize("module", list(MODULES))
def test_no_file_can_bring_code_along(module: str) -> None:
    for node in ast.walk(tree(module)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            # Of pickle itself only its errors may be known.
            assert names != ["pickle"] or all(a.name.endswith("Error") for a in node.names), module
        for name in names:
            assert name.split(".")[0] not in PICKLES, f"{module} imports {name}"
    for name, call in calls(module):
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        if name.endswith("torch.load"):
            assert given.get("weights_only") == "True", f"{module}:{call.lineno}"
        if name.endswith(("np.load", "numpy.load")):
            assert given.get("allow_pickle", "False") == "False", f"{module}:{call.lineno}"
        if name.startswith("pickle."):
            # Between a run and its own workers, never from or to a file.
            own = {"simulation.worker", "simulation.sent_paths"}
            assert module in own, f"{module}:{call.lineno}: {name}"
            assert name in {"pickle.loads", "pickle.dumps"}, f"{module}:{call.lineno}: {name}"
        assert name not in YAML_LOADERS, f"{module}:{call.lineno}: {name}; use a safe loader"


def test_every_module_says_what_it_is() -> None:
    assert not [name for name in MODULES if not ast.get_docstring(tree(name))]


# --- the README ---------------------------------------------------------------------------------

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_picture_of_the_house_has_the_floors_that_hold() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("```")[1]
    drawn: dict[str, int] = {}
    floor = 0
    for line in picture.strip().splitlines():
        number = re.match(r"(\d)", line)
        floor = int(number[1]) if number else floor
        words = line[1:].split()
        drawn |= {word: floor - 1 for word in words if word in PLACE and word not in drawn}
    assert drawn == PLACE


def test_commands_on_the_pages_exist() -> None:
    from typer.main import get_command

    from channelsim.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    command = re.compile(r"^(?:\$ )?((?:bin/)?channelsim (?:.*\\\n)*.*)$", re.MULTILINE)
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in command.findall(block)]
    assert len(lines) >= 15
    for line in lines:
        words = line.split("#")[0].split()
        if words[1].startswith("-"):
            continue
        assert words[1] in commands, line
        known = {option for parameter in commands[words[1]].params for option in parameter.opts}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.split("=")[0] in known | {"--help"}, line
            if word.startswith("scenarios/"):
                assert (ROOT / word).exists(), line


def test_scripts_named_in_the_readme_are_there_and_executable() -> None:
    named = set(re.findall(r"(?<!/)\bbin/\w+", README.read_text()))
    assert {"bin/channelsim", "bin/test"} <= named
    for script in named:
        assert (ROOT / script).stat().st_mode & 0o111, script


# --- the lock -----------------------------------------------------------------------------------


def pins(lock: str) -> dict[str, str]:
    found = {}
    for line in (ROOT / lock).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, equals, version = line.partition("==")
            assert equals, f"{lock}: {line} is not pinned"
            found[name.lower().replace("_", "-")] = version
    return found


def test_the_locks_pin_every_declared_dependency_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    docs = pins("requirements-docs.lock")
    assert not set(run) & set(dev)
    assert not set(run) & set(docs)
    # All three share one environment.
    assert {name: docs[name] for name in set(dev) & set(docs)}.items() <= dev.items()

    def names(declared: list[str]) -> set[str]:
        return {re.split(r"[<>=!~\[; ]", item)[0].lower().replace("_", "-") for item in declared}

    assert names(project["dependencies"]) <= set(run)
    assert names(project["optional-dependencies"]["dev"]) <= set(dev)
    # A torchvision of another release does not load beside this torch.
    assert (run["torch"], run["torchvision"]) == ("2.13.0", "0.28.0")


def test_every_file_that_the_choice_of_tests_names_is_there() -> None:
    """A file that was renamed would silently leave `--quick`, or the second pass of `.ci/run`."""
    conftest = ast.parse((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    named = {
        str(one.value)
        for node in conftest.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Set)
        for one in node.value.elts
        if isinstance(one, ast.Constant)
    }
    files = {file.stem.removeprefix("test_") for file in (ROOT / "tests").rglob("test_*.py")}
    assert named
    assert not named - files
