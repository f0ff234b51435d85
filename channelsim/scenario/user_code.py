"""The user's own code, run because a scenario asks for it: ``use: "./mine.py:MyCodec"``."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from channelsim.contracts.own_code import raised
from channelsim.scenario import user_imports
from channelsim.support import user_files
from channelsim.support.errors import InputError, did_you_mean
from channelsim.support.files import written_name


def split_use(use: Any, folder: Path | None) -> tuple[Path, str]:
    """``"./mine.py:MyCodec"`` → the file (relative to ``folder``) and the name in it."""
    if not isinstance(use, str) or not use.strip():
        raise InputError(f'must be a text such as "./mine.py:MyCodec", was given {use!r}')
    name, colon, wanted = use.rpartition(":")
    if not colon or wanted.endswith(".py"):
        raise InputError(f'{use!r} names no class; write "{use.rstrip(":")}:MyClass"')
    file = (folder or Path()) / written_name(name)
    return file.absolute(), wanted.strip()


def load_class(file: Path, wanted: str) -> type:
    """Run the user's file and return one of its classes."""
    module = load_module(file)
    found: Any = getattr(module, wanted, None)
    if isinstance(found, type):
        return found
    there = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    listed = f"it has {', '.join(there)}" if there else "it has no class of its own"
    if inspect.isfunction(found):
        raise InputError(
            f"{wanted} in {file.name} is a function; to make it a metric, write above it: from"
            " channelsim import metric; @metric(higher_is_better=False). For a stage: from"
            " channelsim import stage; @stage(random=False)"
        )
    if found is not None:
        raise InputError(f"{wanted} in {file.name} is not a class ({listed})")
    raise InputError(f"{file.name} has no class {wanted} ({listed}).{did_you_mean(wanted, there)}")


def construct(cls: type, arguments: dict[str, Any], beside: Sequence[str] = ()) -> Any:
    """Call the constructor of a user's class with the scenario's keys.

    ``beside``: keys that are none of its arguments, for errors.
    """
    signature = _signature(cls)
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise InputError(_mismatch(cls, signature, arguments, beside, error)) from None
    try:
        return cls(**arguments)
    except user_files.NotAllowedError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{cls.__name__}(…) raised {raised(error)}") from None


def takes(cls: type, argument: str) -> bool:
    """Whether a class's constructor takes an argument of this name, or any."""
    signature = _signature(cls)
    if signature is None:
        return False
    parameters, any_name = signature.parameters, inspect.Parameter.VAR_KEYWORD
    return argument in parameters or any(one.kind == any_name for one in parameters.values())


def _signature(cls: type) -> inspect.Signature | None:
    """A constructor's arguments; None where they are unknown."""
    if cls.__init__ is nn.Module.__init__:  # type: ignore[misc]  # takes any, and refuses all
        return inspect.Signature()
    try:
        return inspect.signature(cls)
    except (TypeError, ValueError):
        return None


def module_name(file: Path) -> str:
    """The name of a file's module, which depends on its place and content."""
    return _name(file, file.read_bytes())


def _name(file: Path, code: bytes) -> str:
    return user_imports.PREFIX + hashlib.sha256(str(file).encode() + b"\0" + code).hexdigest()[:16]


def load_module(file: Path, named: str | None = None) -> ModuleType:
    """Run the user's file, once as long as it and what it reads are unchanged.

    ``named``: the module's name, where the file is a copy of another.
    """
    user_files.require_allowed(str(file))
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{file} is no regular file; name a file of Python code")
        code = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no such file: {file}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    # The name depends on the content: an edited file is a new module, an unchanged one runs once.
    name = named or _name(file, code)
    again = name in sys.modules
    if again and user_files.unchanged(name) and not user_imports.changed(file.parent):
        user_imports.back(user_files.remembered(name))
        return sys.modules[name]
    if again or user_imports.changed(file.parent):
        user_imports.forget(file.parent)
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(file))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses look their module up there
    module.__dict__["__builtins__"] = user_imports.namespace(file.parent)
    try:
        with user_files.recorded() as heard:
            exec(compile(code, str(file), "exec"), module.__dict__)
        user_files.remember(name, user_files.of_the_user(heard, file))
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, user_files.NotAllowedError):
            raise
        if isinstance(error, Exception | SystemExit):
            raise InputError(f"running {file.name} raised {raised(error)}") from None
        raise
    user_imports.note(file.parent)
    return module


def _mismatch(
    cls: type,
    signature: inspect.Signature,
    arguments: dict[str, Any],
    beside: Sequence[str],
    error: TypeError,
) -> str:
    known = [name for name in signature.parameters if name != "self"]
    takes = f"takes {', '.join(known)}" if known else "takes no arguments"
    more = [name for name in beside if name not in known]
    takes += f"; beside them {', '.join(more)}" if more else ""
    unknown = [name for name in arguments if name not in known]
    if unknown:
        near = did_you_mean(unknown[0], [*known, *more])
        return f"{cls.__name__} has no argument {unknown[0]} ({takes}).{near}"
    return f"{cls.__name__}: {error} ({takes})"
