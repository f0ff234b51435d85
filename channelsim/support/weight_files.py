"""Weights on disk: a safetensors file with a descriptive header, and a card beside it.

A file's header is one JSON object under the key ``channelsim``: ``format``, the arguments that
build the network, and ``card``, its measurements. A readable copy of the card lies beside the file
as YAML. Pickles are never opened, because opening one runs its code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from channelsim.support.errors import InputError
from channelsim.support.files import read_text

_ENDINGS = (".safetensors", ".pt", ".pth", ".onnx")
_LONGEST_CARD = 1_000_000  # bytes; a card is about a page


class _CardLoader(yaml.SafeLoader):
    """Without aliases, of which a few lines stand for billions of values."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, if it is written out."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias; write the value out",
                problem_mark=self.peek_event().start_mark,
            )
        return super().compose_node(parent, index)


class _CardDumper(yaml.SafeDumper):
    """Writes what `_CardLoader` reads."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  PyYAML's signature
        """A value that comes twice is written twice."""
        return True


@dataclass(frozen=True)
class WeightFile:
    """A weights file as read: header facts without the card, tensors, card, SHA-256 (hex)."""

    path: Path
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]
    sha256: str

    @property
    def content_sha256(self) -> str:
        """See the function of the same name."""
        return content_sha256(self.facts, self.tensors)


def content_sha256(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of the network's function: its facts and every number, and nothing else.

    The file's own hash also covers its card, and so changes with a title or a figure.
    """
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"|{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.ndim else b"")
    return digest.hexdigest()


def card_path(weights: Path) -> Path:
    """The path of a weights file's card: net.pt → net.card.yaml."""
    ending = next((one for one in _ENDINGS if weights.name.endswith(one)), "")
    return weights.with_name(f"{weights.name.removesuffix(ending)}.card.yaml")


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    card: Mapping[str, Any],
    remarks: Mapping[str, Any] | None = None,
) -> str:
    """Write a weights file and its card; return the file's SHA-256.

    ``facts``: ``format`` and the arguments that build the network. ``remarks`` go into the card
    alone: facts that may differ between two equal trainings, such as the time taken, must not
    change the weights file.
    """
    from safetensors.torch import save

    # One entry, because safetensors writes several in no fixed order, and equal trainings must give
    # equal files.
    header = {"channelsim": json.dumps({**facts, "card": card})}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = save(plain, metadata=header)
    sha256 = hashlib.sha256(data).hexdigest()
    # The weights come last: their presence means that all is there.
    _write_card(path, {**card, "sha256": sha256, **(remarks or {})})
    _replace(path, data)
    return sha256


def add_remarks(path: Path, remarks: Mapping[str, Any]) -> None:
    """Add later findings to the card beside a weights file."""
    _write_card(path, {**read_card(path, read(path).sha256), **remarks})


def _write_card(path: Path, facts: Mapping[str, Any]) -> None:
    text = yaml.dump(
        dict(facts),
        Dumper=_CardDumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )
    _replace(card_path(path), text.encode())


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically: complete or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def stamp(path: Path) -> tuple[int, int] | None:
    """Modification time [ns] and size [bytes], which show that a cached reading is stale."""
    try:
        if not path.is_file():
            return None
        stat = path.stat()
    except OSError:  # deleted meanwhile, or not a valid name
        return None
    return stat.st_mtime_ns, stat.st_size


def read(path: Path, wanted_format: str | None = None) -> WeightFile:
    """Read a weights file (of one format), and its card where there is one."""
    data = read_bytes(path)
    tensors = parse(path, data)
    facts = _header(path, data)
    if wanted_format is not None and facts.get("format") != wanted_format:
        raise InputError(
            f"weights {path}: the header says format {facts.get('format')!r}, wanted is"
            f" {wanted_format!r}; this file holds something else, so check its name"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    own = facts.pop("card", {})
    if not isinstance(own, dict):
        raise InputError(f"weights {path}: damaged header (card is no mapping); train it again")
    card = {**read_card(path, sha256), **own, "sha256": sha256}
    return WeightFile(path, facts, tensors, card, sha256)


def read_bytes(path: Path) -> bytes:
    """The file's bytes, or an error of one sentence."""
    try:
        if not path.is_file():
            raise InputError(
                f"weights {path}: there is no such file; check the name and the folder"
            )
        return path.read_bytes()
    except OSError as reason:
        raise InputError(f"weights {path}: cannot be read ({reason.strerror})") from reason
    except MemoryError:
        raise InputError(f"weights {path}: does not fit into memory; is this the file?") from None


def parse(path: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file; a pickle is refused with its own message."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as reason:
        if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05"):
            raise InputError(
                f"weights {path}: this is a pickle (torch.save), which is refused because opening"
                " one runs whatever code it holds; write the tensors with"
                " safetensors.torch.save_file instead"
            ) from reason
        raise InputError(
            f"weights {path}: not a complete safetensors file ({reason}); it is truncated or"
            " damaged, so copy or train it again"
        ) from reason


def _header(path: Path, data: bytes) -> dict[str, Any]:
    try:
        # A safetensors file begins with the length of its JSON header; `parse` has checked it.
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        return dict(json.loads(metadata.get("channelsim", "{}")))
    except (AttributeError, TypeError, ValueError, RecursionError) as reason:
        raise InputError(f"weights {path}: damaged header ({reason}); train it again") from reason


def read_card(path: Path, sha256: str) -> dict[str, Any]:
    """The card beside a weights file with this SHA-256 (hex); empty where there is none."""
    file = card_path(path)
    if not file.is_file():
        return {}
    try:
        loader = _CardLoader(read_text(file, _LONGEST_CARD, f"card {file}"))
        try:
            facts = loader.get_single_data() or {}
        finally:
            loader.dispose()
    except (ValueError, RecursionError, yaml.YAMLError) as reason:
        said = " ".join(str(reason).split())[:200]
        raise InputError(f"card {file}: not readable YAML ({said})") from reason
    if not isinstance(facts, dict):
        raise InputError(f"card {file}: must be a mapping of facts, is {type(facts).__name__}")
    if facts.get("sha256", sha256) != sha256:
        raise InputError(
            f"card {file}: belongs to other weights (sha256 {str(facts['sha256'])[:12]}…, the file"
            f" beside it has {sha256[:12]}…); take both from one training"
        )
    return facts


def check_tensors(path: Path, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose names, shapes or values do not fit the network."""
    problems = [f"{name} is missing" for name in wanted.keys() - given.keys()]
    problems += [f"{name} is unknown" for name in given.keys() - wanted.keys()]
    for name in wanted.keys() & given.keys():
        if wanted[name].shape != given[name].shape:
            shapes = f"{list(given[name].shape)}, not {list(wanted[name].shape)}"
            problems.append(f"{name} has shape {shapes}")
        elif not bool(torch.isfinite(given[name]).all()):
            problems.append(f"{name} holds NaN or infinity")
    if problems:
        shown = "; ".join(sorted(problems)[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"weights {path}: {shown}{more}; they do not fit what the header says")
