"""Calls to the user's code: protected arguments, and errors that name the code.

An author of a part writes one method, and the program calls it through `asked`. A class outside the
package gets copies of its arguments, so that writing into one affects no other part; within
`watched` such writes are recorded with the argument's name. The answer is copied too, so a buffer
that the code reuses at its next call is never shared. Exceptions are reported with the user's file
and line.
"""

from __future__ import annotations

import dataclasses
import functools
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.support.errors import ChannelsimError, InputError

_WATCHED: ContextVar[Writes | None] = ContextVar("_WATCHED", default=None)
_TRYING: ContextVar[bool] = ContextVar("_TRYING", default=False)
USER_MARK = "__channelsim_user__"  # a builtin of modules that `use:` loads or that lie beside them
_DEEPEST = 4  # levels of an argument that are searched
_PACKAGE = Path(__file__).parents[1]


class RowsError(InputError):
    """Something is wrong with some rows of a batch.

    ``rows``: their places; ``of``: how many rows the batch had.
    """

    rows: tuple[int, ...] = ()
    of: int = 0

    @classmethod
    def about(cls, sentence: str, rows: Sequence[int], of: int) -> RowsError:
        """The error with its rows (simpy rebuilds exceptions from one string)."""
        error = cls(sentence)
        error.rows, error.of = tuple(rows), of
        return error

    def moved(self, rows: Sequence[int], of: int) -> RowsError:
        """The same error about a batch of ``of`` rows, of which these were given to the code.

        Itself if it is about others. A row given twice counts once.
        """
        if not self.rows or self.of != len(rows):
            return self
        places = dict.fromkeys(rows[row] for row in self.rows)
        return self.about(self.message, [one for one in places if one < of], of)


class OwnCodeError(RowsError):
    """Code of the user's raised."""


class Writes:
    """The arguments that watched methods wrote into, by the class of the method."""

    def __init__(self) -> None:
        self._found: dict[tuple[type, str], dict[str, None]] = {}  # each place once, in order

    def note(self, label: str, owner: object, where: str) -> None:
        """``where``: the argument, or part of it, by its name in the method."""
        self._found.setdefault((type(owner), label), {})[where] = None

    def of(self, owner: object) -> list[str]:
        """Notices about a part's methods, one sentence each."""
        return [
            f"{label} writes into {'its argument' if len(places) == 1 else 'its arguments'}"
            f" {', '.join(places)}: it is lent a copy of its own, so no number of any other part"
            " changes, but elsewhere others would read what it wrote; work on a copy (.clone()), or"
            " use operations that make a new tensor (x.clamp(…), not x.clamp_(…); no inplace=True"
            " at its beginning)"
            for (cls, label), places in self._found.items()
            if cls is type(owner)
        ]


def is_foreign(cls: type) -> bool:
    """Whether a class is not of this package."""
    return cls.__module__.partition(".")[0] != "channelsim"


def asked(label: str, owner: object, function: Callable[..., Any], **given: Any) -> Any:
    """Call a part's method with named arguments, passed by position.

    ``label``: the method's name in errors. ``owner``: its class decides whether the code is
    foreign.
    """
    if not is_foreign(type(owner)):
        return function(*given.values())
    lent = {name: _lent(value) for name, value in given.items()}
    try:
        answer = function(*lent.values())
    except ChannelsimError:
        raise
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        sentence = f"{label} raised {raised(error)}; that is code of your own"
        rows = _length(given)
        raise OwnCodeError.about(sentence, range(rows), rows) from error
    if (writes := _WATCHED.get()) is not None:
        for key, value in given.items():
            for where in _written(key, value, lent[key]):
                writes.note(label, owner, where)
    return _owned(answer)


@contextmanager
def watched() -> Iterator[Writes]:
    """Inside, record which arguments are written into."""
    found = Writes()
    token = _WATCHED.set(found)
    try:
        yield found
    finally:
        _WATCHED.reset(token)


def _written(name: str, value: Any, lent: Any) -> Iterator[str]:
    """The parts of an argument that have changed since they were lent."""
    after = dict(_numbers(name, lent))
    for where, old in _numbers(name, value):
        if where in after and not _same(after[where], old):
            yield where


@contextmanager
def trying() -> Iterator[None]:
    """Inside, no answer is an error for not being finite: an attack may try any point."""
    token = _TRYING.set(True)
    try:
        yield
    finally:
        _TRYING.reset(token)


def require_finite(label: str, values: Tensor) -> None:
    """Raise a `RowsError` that names the rows with NaN or infinity."""
    if _TRYING.get():
        return
    # A NaN or infinity survives in the sum, which is the cheap test; a sum that overflowed without
    # one is ruled out by the exact test.
    if bool(torch.isfinite(values.sum())):
        return
    finite = torch.isfinite(values).reshape(len(values), -1).all(dim=1)
    rows = (~finite).nonzero().flatten().tolist()
    if rows:
        raise RowsError.about(f"{label} returned NaN or infinity", rows, len(values))


def require_numbers(label: str, values: Tensor) -> None:
    """Raise a `RowsError` that names the rows with NaN; infinities may mean something."""
    require_finite(label, torch.where(values.isinf(), torch.zeros_like(values), values))


def described(value: Any) -> str:
    """``shape [8, 64]`` of a tensor or an array, else the type."""
    if isinstance(value, Tensor | np.ndarray):
        return f"shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def require_shape(label: str, given: Any, shape: tuple[int, ...]) -> None:
    """Refuse an answer that is no tensor of this shape."""
    if isinstance(given, np.ndarray):
        raise InputError(
            f"{label} must return a torch tensor of shape {list(shape)}, returned a NumPy array of"
            f" {described(given)}"
        )
    if not isinstance(given, Tensor) or tuple(given.shape) != shape:
        raise InputError(f"{label} must return shape {list(shape)}, returned {described(given)}")


def raised(error: BaseException) -> str:
    """An exception in one sentence: its message, and the line of the user's file that raised it."""
    text = " ".join(str(error).split())[:300]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} (line {error.lineno} of {Path(error.filename).name})"
    own = [(file, line) for file, line, loaded in _frames(error) if loaded or _theirs(file)]
    if not own:
        return said
    file, line = own[-1]
    return f"{said} (line {line} of {Path(file).name})"


@contextmanager
def naming_own_code() -> Iterator[None]:
    """Inside, an error that passes through code loaded by `use:` is reported as that code's."""
    try:
        yield
    except (ChannelsimError, MemoryError):
        raise
    except Exception as error:
        if not any(loaded for _, _, loaded in _frames(error)):
            raise
        raise OwnCodeError(f"code of your own raised {raised(error)}") from error


# --- what is lent, and what came back -----------------------------------------------------------


def _lent(value: Any) -> Any:
    """The same with copies of all tensors (through which gradients flow) and arrays.

    A record with a flag ``lends`` gets it set, so that it gives out copies too, and a function
    returns copies: its result may be cached for later callers.
    """
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {key: _lent(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_lent, value))
    if isinstance(value, FunctionType | MethodType | functools.partial):
        return lambda *given: _lent(value(*given))
    if not _is_record(value):
        return value
    fields = [field.name for field in dataclasses.fields(value)]
    copies = {name: _lent(getattr(value, name)) for name in fields if not name.startswith("_")}
    return dataclasses.replace(value, **copies | ({"lends": True} if "lends" in fields else {}))


def _is_record(value: Any) -> bool:
    """Whether a value is one of this package's plain dataclasses."""
    plain = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return plain and not is_foreign(type(value)) and not hasattr(value, "__pydantic_fields__")


def _owned(answer: Any) -> Any:
    if isinstance(answer, Tensor):
        return answer.clone()
    if isinstance(answer, tuple) and type(answer) is tuple:
        return tuple(_owned(one) for one in answer)
    if isinstance(answer, dict):
        return {key: _owned(one) for key, one in answer.items()}
    return answer


def _numbers(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Tensor | np.ndarray]]:
    """Every tensor and array in an argument, each with its name in the method."""
    if isinstance(value, Tensor | np.ndarray):
        yield name, value
    elif depth == _DEEPEST:
        return
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{name}[{key!r}]", inner, depth + 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _numbers(f"{name}[{place}]", inner, depth + 1)
    elif _is_record(value):
        for field in dataclasses.fields(value):
            if not field.name.startswith("_"):
                inner = getattr(value, field.name)
                yield from _numbers(f"{name}.{field.name}", inner, depth + 1)


def _same(value: Tensor | np.ndarray, old: Tensor | np.ndarray) -> bool:
    """Whether nothing changed: values, shape and kind; NaN equals NaN."""
    if isinstance(value, np.ndarray):
        assert isinstance(old, np.ndarray)
        return value.shape == old.shape and bool(np.array_equal(value, old, equal_nan=_real(old)))
    assert isinstance(old, Tensor)
    value, old = value.detach(), old.detach()
    if value.shape != old.shape or value.dtype != old.dtype:
        return False
    return torch.equal(value, old) or bool(((value == old) | (value.isnan() & old.isnan())).all())


def _real(values: np.ndarray) -> bool:
    return values.dtype.kind in "fc"


def _length(given: Mapping[str, Any]) -> int:
    """The number of rows of the call."""
    first = next(iter(given.values()), None)
    return len(first) if isinstance(first, Tensor) and first.dim() else 0


# --- where an exception came from ---------------------------------------------------------------


def _frames(error: BaseException) -> Iterator[tuple[str, int, bool]]:
    """File, line and whether `use:` loaded it, of all frames, the causes' first."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and cause is not error:
        yield from _frames(cause)
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield frame.f_code.co_filename, line, USER_MARK in frame.f_builtins


@functools.cache
def _theirs(file: str) -> bool:
    """Whether a file is outside this package, Python and the installed libraries."""
    if file.startswith("<"):
        return False
    paths = sysconfig.get_paths()
    homes = (_PACKAGE, *(Path(paths[name]) for name in ("stdlib", "purelib", "platlib")))
    return not any(Path(file).is_relative_to(home) for home in homes)
