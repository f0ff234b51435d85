"""Which files of the user's a part of his own was made from: those his code imported or read.

Python tells of every file that it opens (`sys.addaudithook`); what belongs to Python, to installed
packages and to this program is left out. A library that opens files by itself is not heard, so a
file named in a part's keys counts as read, and what came of it is seen in its parameters.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from channelsim.files import sha256_of

_HEARD: list[set[str]] = []  # one per recording under way
_BY_MODULE: dict[str, Mapping[str, str]] = {}  # a module's name → its files with their SHA-256
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64")


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Inside, collect the files that are opened for reading (absolute names, of anybody's)."""
    _listen()
    heard: set[str] = set()
    _HEARD.append(heard)
    try:
        yield heard
    finally:
        _HEARD.pop()
        if _HEARD:
            _HEARD[-1].update(heard)


def of_the_user(heard: Iterable[str], file: Path) -> dict[str, str]:
    """Those of the user's among some files, and ``file`` itself: absolute name → SHA-256 (hex)."""
    names = {str(file), *map(_source, heard), *_imports(file)}
    kept = sorted(name for name in names if _is_the_users(name, file.parent))
    return {name: digest for name in kept if (digest := sha256_of(Path(name))) is not None}


def remember(module: str, files: Mapping[str, str]) -> None:
    """Keep what running a module of the user's has read."""
    _BY_MODULE[module] = dict(files)


def unchanged(module: str) -> bool:
    """Whether what a module read is as it was then; where not, all of it is forgotten.

    Where it is, a recording under way hears of these files: running the module again would.
    """
    files = _BY_MODULE.get(module, {})
    if all(sha256_of(Path(name)) == digest for name, digest in files.items()):
        for heard in _HEARD:
            heard.update(files)
        return True
    for name, other in list(sys.modules.items()):
        if getattr(other, "__file__", None) in files:
            del sys.modules[name]
    del _BY_MODULE[module]
    return False


@cache
def _listen() -> None:
    """Have Python tell, once and for the life of the process: such a hook cannot be removed."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _HEARD:
        return
    path, _, flags = arguments
    if isinstance(path, str | bytes) and isinstance(flags, int):
        writes = flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_TRUNC
        if not writes:
            _HEARD[-1].add(os.path.normpath(Path.cwd() / os.fsdecode(path)))


def _source(name: str) -> str:
    """The source that a compiled file stands for."""
    if name.endswith(".pyc"):
        try:
            source = importlib.util.source_from_cache(name)
        except ValueError:
            return name
        return source if Path(source).is_file() else name
    return name


def _is_the_users(name: str, folder: Path) -> bool:
    path = Path(name)
    if path.is_relative_to(folder):
        return True
    return not any(path.is_relative_to(place) for place in _elsewhere())


@cache
def _elsewhere() -> tuple[str, ...]:
    """Folders of Python, of installed packages, of the system and of this program."""
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = {sysconfig.get_path(kind) for kind in kinds}
    installed |= {str(Path(place).resolve()) for place in installed}
    return (*installed, str(Path(__file__).parents[1]), *_SYSTEM)


def _imports(file: Path) -> set[str]:
    """Files of loaded modules that a file imports, and those of theirs: none is read twice."""
    found: set[str] = set()
    waiting = [str(file)]
    while waiting:
        for name in _named(Path(waiting.pop())):
            origin = getattr(sys.modules.get(name), "__file__", None)
            if not origin or origin in found or not _is_the_users(origin, file.parent):
                continue
            found.add(origin)
            waiting.append(origin)
    return found


def _named(file: Path) -> set[str]:
    """Names of the modules that a file of Python imports anywhere in its text."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    # `import a.b` runs a as well.
    return names | {name.rpartition(".")[0] for name in names if "." in name}
