"""Modules beside a user's file: importable by that file's code at any time, and by no other code.

The folder is never in ``sys.path``. Code that `use:` loaded, and modules that it loaded from beside
it, import through a function that knows the folder; so two folders may each have a ``helper.py``.
Other ways of importing for such code (``importlib``, unpickling of a whole module) search the
folder last, while that code is on the stack.

A module that is already loaded is not opened again, and Python reports no import of it. So while
a part is built such modules are set aside (`aside`), and handed back to code that imports them.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from channelsim.contracts.own_code import USER_MARK
from channelsim.support import user_files
from channelsim.support.files import sha256_of

_FOLDERS: dict[Path, dict[str, ModuleType]] = {}  # including modules replaced by another folder's
_CONTENT: dict[str, str] = {}  # file of a module → SHA-256 when it was first seen
_NEEDS: dict[str, set[str]] = {}  # file of a module → the files that running it opened
PREFIX = "channelsim_user_"  # of the names of modules that `use:` loads


def namespace(folder: Path) -> dict[str, Any]:
    """Builtins for code of a folder: its imports find the modules beside it."""
    _FOLDERS.setdefault(folder, {})
    if not any(isinstance(one, _OnTheStack) for one in sys.meta_path):
        sys.meta_path.append(_OnTheStack())
    return {**vars(builtins), "__import__": _importer(folder), USER_MARK: True}


def modules(folder: Path) -> dict[str, ModuleType]:
    """The loaded modules from a folder, by name."""
    there = {name: one for name, one in list(sys.modules.items()) if _home(one) == folder}
    return _FOLDERS.get(folder, {}) | there


def by_name() -> dict[str, list[tuple[Path, ModuleType]]]:
    """The loaded modules beside users' files, by name: two folders may each have one."""
    found: dict[str, list[tuple[Path, ModuleType]]] = {}
    for name, module in list(sys.modules.items()):
        home = _home(module)
        if home is not None and not name.startswith(PREFIX):
            found.setdefault(name, []).append((home, module))
    for folder, kept in _FOLDERS.items():
        for name, module in kept.items():
            found.setdefault(name, []).append((folder, module))
    return found


def within(module: ModuleType, name: str) -> Any:
    """What a dotted name means in a module; None if nothing."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def note(folder: Path) -> None:
    """Remember the content of the modules imported from a folder."""
    for module in modules(folder).values():
        _CONTENT.setdefault(str(module.__file__), _content(str(module.__file__)))


def changed(folder: Path) -> bool:
    """Whether a file that was imported from a folder has other content now."""
    files = [str(module.__file__) for module in modules(folder).values()]
    return any(file in _CONTENT and _CONTENT[file] != _content(file) for file in files)


def forget(folder: Path) -> None:
    """Let the next import read the files of a folder anew."""
    for name, module in modules(folder).items():
        sys.modules.pop(name, None)
        _CONTENT.pop(str(module.__file__), None)
    _FOLDERS.get(folder, {}).clear()


@contextmanager
def aside(folder: Path) -> Iterator[None]:
    """Inside, imports of a folder's modules by its code are recorded, loaded before or not."""
    _FOLDERS.setdefault(folder, {})
    away = [
        (home, name, module)
        for name, module in list(sys.modules.items())
        if (home := _home(module)) is not None and not name.startswith(PREFIX)
    ]
    for home, name, module in away:
        _FOLDERS[home][name] = module
        del sys.modules[name]
    finder = _Aside()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for home, name, module in away:
            if _FOLDERS[home].get(name) is module and name not in sys.modules:
                sys.modules[name] = _FOLDERS[home].pop(name)


def back(files: Collection[str]) -> None:
    """Hand back the modules set aside that are of these files: they are in use."""
    for kept in _FOLDERS.values():
        for name, module in list(kept.items()):
            if module.__file__ in files and name not in sys.modules:
                sys.modules[name] = kept.pop(name)


def _importer(folder: Path) -> Callable[..., ModuleType]:
    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0:
            _put_in_place(folder, name.partition(".")[0])
        return builtins.__import__(name, globals, locals, fromlist, level)

    return import_


def _put_in_place(folder: Path, name: str) -> None:
    """Make ``sys.modules`` hold this folder's module of a name, where it has one."""
    known = sys.modules.get(name)
    home = None if known is None else _home(known)
    if home == folder:
        if known is not None and known.__file__ is not None:
            user_files.require_allowed(known.__file__)
        return
    if known is not None and home is None:
        return  # in place; or an already loaded module of Python or a library
    spec = PathFinder.find_spec(name, [str(folder)])
    if spec is None or spec.loader is None:
        return
    _admitted(spec)
    if home is not None:
        away = [one for one in sys.modules if one == name or one.startswith(f"{name}.")]
        _FOLDERS[home].update({one: sys.modules.pop(one) for one in away})
    kept = _FOLDERS[folder]
    if name in kept:
        _heard(kept[name])
        sys.modules[name] = kept.pop(name)
        if not any(isinstance(one, _Aside) for one in sys.meta_path):  # it provides the others
            inner = [one for one in kept if one.startswith(f"{name}.")]
            sys.modules.update({one: kept.pop(one) for one in inner})
        return
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__builtins__"] = namespace(folder)
    sys.modules[name] = module
    try:
        _listening(spec).exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def _heard(module: ModuleType) -> None:
    """Record the files of a loaded module that is imported again."""
    if module.__file__ is not None:
        user_files.require_allowed(module.__file__)
        user_files.hear({module.__file__, *_NEEDS.get(module.__file__, ())})


def _listening(spec: ModuleSpec) -> Loader:
    """The loader of a module, changed to record the files that running the module opens."""
    loader = spec.loader
    assert loader is not None
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with user_files.recorded() as heard:
            run(module)
        if isinstance(module.__file__, str):
            _NEEDS[module.__file__] = set(heard)

    setattr(loader, "exec_module", exec_module)  # noqa: B010  mypy forbids the plain assignment
    return loader


class _HandsBack(Loader):
    """Loads a module that exists already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
        _heard(module)


class _Aside:
    """The first finder while a part is built: modules set aside."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None:
            homes = _on_the_stack()
        else:
            home = _home(sys.modules.get(name.partition(".")[0]))
            homes = iter(() if home is None else (home,))
        for folder in homes:
            if (module := _FOLDERS[folder].pop(name, None)) is not None:
                return ModuleSpec(name, _HandsBack(module), is_package=hasattr(module, "__path__"))
            if path is not None and (spec := PathFinder.find_spec(name, path, target)) is not None:
                return _taken(spec)
        return None


class _OnTheStack:
    """The last finder: modules beside the user's code that is being executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or not _FOLDERS:
            return None
        for folder in _on_the_stack():
            if (spec := PathFinder.find_spec(name, [str(folder)], target)) is not None:
                return _taken(spec)
        return None


def _on_the_stack() -> Iterator[Path]:
    """Folders of the user's code that is being executed, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    seen: set[Path] = set()
    while frame is not None:
        folder = _above(frame.f_code.co_filename)
        if folder is not None and folder not in seen:
            seen.add(folder)
            yield folder
        frame = frame.f_back


def _taken(spec: ModuleSpec) -> ModuleSpec:
    """The spec of a user's module that is about to run."""
    _admitted(spec)
    if spec.loader is not None:
        _listening(spec)
    return spec


def _admitted(spec: ModuleSpec) -> None:
    """Refuse a file whose code may not run now; record the content of others."""
    if spec.has_location and spec.origin is not None:
        user_files.require_allowed(spec.origin)
        _CONTENT.setdefault(spec.origin, _content(spec.origin))


def _above(file: str) -> Path | None:
    """The user's folder that a file lies in, or below."""
    if file.startswith("<"):
        return None
    return next((one for one in Path(file).parents if one in _FOLDERS), None)


def _home(module: ModuleType | None) -> Path | None:
    """The user's folder from which a module, or its package, was imported."""
    file, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
    if not isinstance(file, str) or not isinstance(name, str) or name == "__main__":
        return None
    path = Path(file)
    up = name.count(".") + (1 if path.name.startswith("__init__.") else 0)
    folder = path.parents[up] if up < len(path.parents) else None
    return folder if folder in _FOLDERS and name.isidentifier() | ("." in name) else None


def _content(file: str) -> str:
    with user_files.unheard():
        return sha256_of(Path(file)) or ""
