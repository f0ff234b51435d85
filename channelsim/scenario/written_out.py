"""A described scenario written out: as values that load again, and as the hash of equal runs."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

_SCHEDULING = ("max_pending",)


class Use:
    """A class in a user's file."""

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.name = file, name


class Known:
    """A file or folder whose content is hashed elsewhere, by the code that reads it."""

    def __init__(self, file: Path) -> None:
        self.file = file


def loadable(value: Any) -> Any:
    """Plain JSON-able values from which the scenario can be loaded again."""
    return _plain(value, str, lambda use: f"{use.file}:{use.name}", hashing=False)


def digest(resolved: Any) -> str:
    """SHA-256 of everything that decides results: all but the scheduling keys, files by content."""
    kept = {key: value for key, value in resolved.items() if key not in _SCHEDULING}
    plain = _plain(kept, _content, lambda use: f"{_content(use.file)}:{use.name}", hashing=True)
    text = json.dumps(plain, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(
    value: Any, file: Callable[[Path], str], use: Callable[[Use], str], hashing: bool
) -> Any:
    again = functools.partial(_plain, file=file, use=use, hashing=hashing)
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return file(value)
        case Known():
            return None if hashing else str(value.file)
        case Use():
            return use(value)
        case Mapping():
            return {
                str(key): again(inner)
                for key, inner in value.items()
                if hashing or not str(key).startswith("\0")
            }
        case list() | tuple() | set() | frozenset():
            return [again(inner) for inner in value]
        case np.generic() | np.ndarray():
            return value.tolist()
        case nn.Module():
            return _module(value)
        case _:
            return repr(value)


@functools.lru_cache(maxsize=64)
def _content_at(file: Path, _stamp: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _content(file: Path) -> str:
    try:
        return _content_at(file, file.stat().st_mtime_ns)
    except OSError:
        return str(file)


def _module(module: nn.Module) -> str:
    """A module passed as a Python object: its structure and weights."""
    found = hashlib.sha256(repr(module).encode())
    for name, tensor in module.state_dict().items():
        found.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return f"{type(module).__name__} {found.hexdigest()}"
