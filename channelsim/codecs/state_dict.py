"""Weights for a user's own torch module: a state dict in a .pt or a .safetensors file."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from channelsim.contracts.own_code import raised
from channelsim.support import weight_files
from channelsim.support.errors import InputError

_ZIP = b"PK\x03\x04"
_WRAPPERS = {"module.": "DataParallel", "_orig_mod.": "torch.compile"}
_NESTED = ("state_dict", "model_state_dict", "model")
_COUNTER = "num_batches_tracked"  # of batch norm; eval mode has no use for it
_SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class StateDict:
    """A file's tensors by name.

    ``card``: the facts of the card beside it (NAME.card.yaml), if any, and the file's ``sha256``
    (hex). ``notices``: what was undone.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]
    notices: tuple[str, ...] = ()

    def load_into(self, module: nn.Module, name: str) -> None:
        """Set all parameters and buffers of a module; `InputError` where any does not fit."""
        wanted = module.state_dict()
        missing = [
            key for key in wanted if key not in self.tensors and key.rpartition(".")[2] != _COUNTER
        ]
        shared = [key for key in wanted if key in self.tensors]
        other = [
            f"{key} {list(self.tensors[key].shape)}, not {list(wanted[key].shape)}"
            for key in shared
            if self.tensors[key].shape != wanted[key].shape
        ]
        phrases = [
            _counted("missing", missing),
            _counted("unknown to it", [key for key in self.tensors if key not in wanted]),
            _counted("of another shape", other),
        ]
        if found := "; ".join(filter(None, phrases)):
            raise InputError(
                f"weights {self.path}: do not fit {name}: {found}; construct it with the arguments"
                " that it was trained with, or name its own weights"
            )
        wrong = [key for key in shared if not _finite(self.tensors[key])]
        if wrong:
            raise InputError(
                f"weights {self.path}: {_counted('with NaN or infinity', wrong)}; training blew up,"
                " so take an earlier checkpoint"
            )
        try:
            module.load_state_dict({**wanted, **self.tensors})
        except Exception as error:  # a module may have its own idea of loading
            raise InputError(
                f"weights {self.path}: {name}.load_state_dict raised {raised(error)}"
            ) from None


def read(path: Path) -> StateDict:
    """A state dict, from a file of `torch.save` or of safetensors; it runs no code."""
    data = weight_files.read_bytes(path)
    content = _unpickled(path, data) if _is_pickle(data) else weight_files.parse(path, data)
    tensors, notices = _found(path, content)
    if odd := [key for key, value in tensors.items() if not _is_plain(value)]:
        raise InputError(
            f"weights {path}: {_counted('sparse, quantised or without values', odd)}; only dense"
            " tensors can be loaded"
        )
    for prefix, whose in _WRAPPERS.items():
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            notices.append(f"weights {path.name}: took {prefix} ({whose}) off all names")
    sha256 = hashlib.sha256(data).hexdigest()
    card = {**weight_files.read_card(path, sha256), "sha256": sha256}
    return StateDict(path, tensors, card, tuple(notices))


def _is_pickle(data: bytes) -> bool:
    return data[:4] == _ZIP or (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05")


def _unpickled(path: Path, data: bytes) -> Any:
    """The content of a file of `torch.save`, by an unpickler that calls nothing of the file's."""
    if data[:4] != _ZIP:
        raise InputError(
            f"weights {path}: is a pickle, or of a torch before 1.6; write it again there with"
            f' torch.save(model.state_dict(), "{path.name}")'
        )
    # Records of torch.save are not compressed, so what they declare is no more than is there.
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as reason:
        raise _damaged(path, reason) from reason
    if declared > len(data):
        raise InputError(
            f"weights {path}: declares {declared:,} bytes, but has {len(data):,}; torch.save does"
            " not compress, so this is no file of its"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of its own workings; what is odd is told
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as reason:
        raise InputError(
            f"weights {path}: holds more than tensors{_objects(data)}, and opening that would run"
            f' code of the file; write torch.save(model.state_dict(), "{path.name}") where it was'
            " trained"
        ) from reason
    except MemoryError:
        raise InputError(f"weights {path}: does not fit into memory; is this the file?") from None
    except Exception as reason:  # torch raises almost anything on a damaged file
        raise _damaged(path, reason) from reason


def _damaged(path: Path, reason: Exception) -> InputError:
    said = " ".join(str(reason).split())[:200]
    return InputError(f"weights {path}: damaged or cut off ({said}); copy or write it again")


def _objects(data: bytes) -> str:
    """The classes that a pickle names beside tensors, in brackets; empty where none is found."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except Exception:  # an unreadable one is refused all the same
        return ""
    return f" ({_listed(sorted(names))})" if names else ""


def _found(path: Path, content: Any) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in a file's content, and notices."""
    if _is_state(content):
        return dict(content), []
    inner = {}
    if isinstance(content, Mapping):
        inner = {key: content[key] for key in _NESTED if _is_state(content.get(key))}
    if len(inner) == 1:
        ((key, state),) = inner.items()
        others = [str(other) for other in content if other != key]
        beside = f", and not {_listed(others)}" if others else ""
        return dict(state), [f"weights {path.name}: took its {key}{beside}"]
    holds = f"a {type(content).__name__}"
    if isinstance(content, Mapping):
        holds = f"{_listed(map(str, content))}" if content else "nothing"
    raise InputError(
        f"weights {path}: holds {holds}; wanted is one mapping from names to tensors, as"
        f' torch.save(model.state_dict(), "{path.name}") writes it (also under'
        f" {', '.join(_NESTED[:-1])} or {_NESTED[-1]})"
    )


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and isinstance(one, Tensor) for key, one in value.items())
    )


def _is_plain(tensor: Tensor) -> bool:
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and not tensor.is_quantized


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _counted(what: str, names: Collection[str]) -> str:
    return f"{len(names)} {what} ({_listed(names)})" if names else ""


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f", … {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
