"""Signal paths as bytes, for the workers of a run, and back.

Only between a run and its own workers, never from or to a file.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

from channelsim.scenario import user_imports
from channelsim.signal_path import SignalPath
from channelsim.support.errors import InputError, MachineError


def pickled(paths: Sequence[SignalPath]) -> bytes:
    """Paths as bytes; `InputError` naming the part that cannot be sent."""
    packed = io.BytesIO()
    try:
        _Pickler(packed).dump(tuple(paths))
        return packed.getvalue()
    except Exception as error:
        raise _unsendable(paths, error) from error


def loaded(packed: bytes, places: Mapping[Path, Path]) -> tuple[SignalPath, ...]:
    """The paths again. ``places``: folder of the user's code there → where it lies here."""
    found: tuple[SignalPath, ...] = _Unpickler(io.BytesIO(packed), places).load()
    return found


class _Pickler(pickle.Pickler):
    """Classes of modules beside a user's file go by their folder: two may have one name."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._beside = user_imports.by_name()

    def persistent_id(self, obj: Any) -> tuple[str, str, str] | None:
        if not isinstance(obj, type | FunctionType):
            return None
        name, inside = obj.__module__, obj.__qualname__
        for folder, module in self._beside.get(name, ()):
            if user_imports.within(module, inside) is obj:
                return str(folder), name, inside
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, places: Mapping[Path, Path]) -> None:
        super().__init__(file)
        self._places = places

    def persistent_load(self, pid: tuple[str, str, str]) -> Any:
        folder, name, inside = Path(pid[0]), pid[1], pid[2]
        module = user_imports.modules(self._places.get(folder, folder)).get(name)
        found = None if module is None else user_imports.within(module, inside)
        if found is None:
            raise ImportError(f"{folder} has no {name}.{inside} any more")
        return found


def _unsendable(paths: Sequence[SignalPath], error: Exception) -> Exception:
    """The error, with the name of the part that cannot be sent."""
    for path in paths:
        named = {
            f"receiver {' and '.join(path.receivers)}: its codec": path.transmitter.codec,
            f"receiver {' and '.join(path.receivers)}: its detector": path.defence,
            **{f"path stage {one.label}": one for one in path.setting.stages},
            **{f"metric {one.kind}": one for one in path.metrics},
        }
        for name, part in named.items():
            try:
                _Pickler(io.BytesIO()).dump(part)
            except Exception as fault:
                return InputError(
                    f"{name} cannot be sent to another process ({fault}); functions without a name,"
                    " open files and locks cannot: keep it free of them, or run without --workers"
                )
    return MachineError(f"the run's parts cannot be sent to another process ({error})")
