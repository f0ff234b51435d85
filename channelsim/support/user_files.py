"""The files behind a user's own part: those that its code imported or read.

Python reports every file that it opens (`sys.addaudithook`); files of Python, of installed packages
and of this program are left out. A module that a file beside the part imports anywhere in its text
counts before it is imported, since a method may import it during the run. Files opened by compiled
libraries are not reported, so a file named in a part's keys counts as read, and its effect shows in
the part's parameters.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from channelsim.support.errors import InputError
from channelsim.support.files import sha256_of

_HEARD: list[set[str]] = []  # one per active recording
_BY_NAME: dict[str, Mapping[str, str]] = {}  # a module, or a part's description → its files
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64")


# The only files whose code may be run now; None: any, for runs of the user's own scenario.
_ONLY: ContextVar[frozenset[Path] | None] = ContextVar("only", default=None)


class NotAllowedError(InputError):
    """Code of a file was to be run without permission."""


@contextmanager
def only_from(files: Collection[Path]) -> Iterator[None]:
    """Inside, run users' code only from these files (absolute names)."""
    _listen()
    token = _ONLY.set(frozenset(files))
    try:
        yield
    finally:
        _ONLY.reset(token)


def require_allowed(file: str) -> None:
    """Refuse a user's file whose code may not be run now."""
    allowed = _ONLY.get()
    if allowed is not None and Path(file) not in allowed:
        raise NotAllowedError(f"{file} is not among the files whose code may be run here")


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Inside, collect all files that are opened for reading (absolute names)."""
    _listen()
    heard: set[str] = set()
    _HEARD.append(heard)
    try:
        yield heard
    finally:
        _HEARD.pop()
        if _HEARD:
            _HEARD[-1].update(heard)


@contextmanager
def unheard() -> Iterator[None]:
    """Inside, opened files are not recorded: this program reads for itself."""
    _HEARD.append(set())
    try:
        yield
    finally:
        _HEARD.pop()


def of_the_user(heard: Iterable[str], file: Path) -> dict[str, str]:
    """The user's files among some files, and ``file`` itself: absolute name → SHA-256 (hex)."""
    names = {str(file), *map(_source, heard), *_imports(file)}
    kept = sorted(name for name in names if _is_the_users(name, file.parent))
    return {name: digest for name in kept if (digest := sha256_of(Path(name))) is not None}


def hear(files: Iterable[str]) -> None:
    """Record some files as opened."""
    if _HEARD:
        _HEARD[-1].update(files)


def remembered(made: str) -> Mapping[str, str]:
    """The files read to make it, with SHA-256."""
    return _BY_NAME.get(made, {})


def remember(made: str, files: Mapping[str, str]) -> None:
    """Keep the files that running a user's module, or making a user's part, has read."""
    _BY_NAME[made] = dict(files)


def unchanged(made: str) -> bool:
    """Whether the files read to make it are unchanged; if not, its record is forgotten.

    If they are, an active recording is given these files: making it again would read them.
    """
    files = _BY_NAME.get(made, {})
    if all(sha256_of(Path(name)) == digest for name, digest in files.items()):
        for heard in _HEARD:
            heard.update(files)
        return True
    for name, other in list(sys.modules.items()):
        if getattr(other, "__file__", None) in files:
            del sys.modules[name]
    del _BY_NAME[made]
    return False


@cache
def _listen() -> None:
    """Install the audit hook, once per process: it cannot be removed."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("exec", "import") and _ONLY.get() is not None:
        _require_code_allowed(event, arguments)
    if event != "open" or not _HEARD:
        return
    path, _, flags = arguments
    if isinstance(path, str | bytes) and isinstance(flags, int):
        writes = flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_TRUNC
        if not writes:
            _HEARD[-1].add(os.path.normpath(Path.cwd() / os.fsdecode(path)))


def _require_code_allowed(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse code by any route: a module of a package, `importlib`, a compiled file."""
    if event == "exec":
        file = getattr(arguments[0], "co_filename", "")
    else:  # a compiled module has a file here
        file = arguments[1]
    if not isinstance(file, str) or not Path(file).is_absolute():
        return
    if _is_the_users(file, None):
        require_allowed(file)


def _source(name: str) -> str:
    """The source file of a compiled file."""
    if name.endswith(".pyc"):
        try:
            source = importlib.util.source_from_cache(name)
        except ValueError:
            return name
        return source if Path(source).is_file() else name
    return name


def _is_the_users(name: str, folder: Path | None) -> bool:
    path = Path(name)
    if folder is not None and path.is_relative_to(folder):
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
    """Files of modules that a file imports, and those of theirs: none is read twice.

    Modules beside it count whether they are loaded yet or not.
    """
    found: set[str] = set()
    waiting = [str(file)]
    while waiting:
        for origin in _named(Path(waiting.pop()), file.parent):
            if origin not in found and _is_the_users(origin, file.parent):
                found.add(origin)
                waiting.append(origin)
    return found


def _named(file: Path, folder: Path) -> Iterator[str]:
    """Files of the modules that a Python file imports anywhere in its text."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _found(alias.name, folder)
        elif isinstance(node, ast.ImportFrom):
            home = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else None
            for alias in node.names:
                name = f"{node.module}.{alias.name}" if node.module else alias.name
                yield from _found(name, folder if home is None else home, absolute=home is None)


def _found(name: str, folder: Path, absolute: bool = True) -> Iterator[str]:
    """Files of a module and of the packages around it (`import a.b` runs a as well)."""
    parts = name.split(".")
    if not absolute:
        yield from _there(folder / "__init__.py")
    for length in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:length])
        beside = [*_there(place.with_name(f"{place.name}.py")), *_there(place / "__init__.py")]
        yield from beside
        loaded = sys.modules.get(".".join(parts[:length])) if absolute and not beside else None
        if origin := getattr(loaded, "__file__", None):
            yield origin


def _there(file: Path) -> Iterator[str]:
    if file.is_file():
        yield str(file)
