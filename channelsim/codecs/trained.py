"""Codecs with trained weights: safetensors files, and the zoo that ships with the program.

A weights file holds every tensor of the network as it was trained, and in its header what is
needed to build it again and what was measured of it. Beside it lies a card, the same facts for
people to read. Pickles are never opened, because opening one runs whatever code it holds.
"""

from __future__ import annotations

import functools
import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from pydantic import field_validator
from torch import Tensor, nn

from channelsim.codecs.lu_chen import LuChen
from channelsim.errors import InputError, did_you_mean
from channelsim.parts import Codec, InputFile, part

ARCHITECTURES: Mapping[str, type[LuChen]] = {"lu-chen": LuChen}
FORMAT = "channelsim-codec-1"
ZOO_FOLDER = Path(__file__).resolve().parent.parent / "zoo"


@dataclass(frozen=True)
class Blueprint:
    """What it takes to build a network: the header of a weights file says so."""

    architecture: str
    latent_size: int
    variational: bool
    image_shape: tuple[int, int, int]

    def build(self) -> LuChen:
        """Build an untrained network."""
        return ARCHITECTURES[self.architecture](
            latent_size=self.latent_size,
            variational=self.variational,
            image_shape=self.image_shape,
        )

    def header(self, card: Mapping[str, Any]) -> dict[str, str]:
        """Return the metadata of a weights file.

        One entry, because safetensors writes several in no fixed order and equal trainings are to
        give equal files.
        """
        facts = {
            "format": FORMAT,
            "architecture": self.architecture,
            "latent_size": self.latent_size,
            "variational": self.variational,
            "image_shape": list(self.image_shape),
            "card": card,
        }
        return {"channelsim": json.dumps(facts)}


@dataclass(frozen=True)
class TrainedWeights:
    """A weights file, read: the network as trained (eval mode), its card, and its fingerprint."""

    path: Path
    blueprint: Blueprint
    network: LuChen
    sha256: str
    card: Mapping[str, Any] = field(default_factory=dict)


def save_weights(
    path: Path,
    network: LuChen,
    blueprint: Blueprint,
    card: Mapping[str, Any],
    remarks: Mapping[str, Any] | None = None,
) -> TrainedWeights:
    """Write weights with their header, and the card with the file's SHA-256 beside them.

    ``remarks`` go into the card alone: what may differ between two equal trainings, such as the
    time taken, must not change the weights file.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in _state(network).items()}
    data = save(tensors, metadata=blueprint.header(card))
    facts = {**card, "sha256": hashlib.sha256(data).hexdigest(), **(remarks or {})}
    text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=100)
    # The weights last: once they are there, all is there.
    _replace(card_path(path), text.encode())
    _replace(path, data)
    return load_weights(path)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there in full or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def card_path(weights: Path) -> Path:
    """Return where the card of a weights file lies."""
    return weights.with_name(f"{weights.name.removesuffix('.safetensors')}.card.yaml")


def load_weights(path: Path) -> TrainedWeights:
    """Read a weights file and its card; a file that is read again unchanged is not parsed again."""
    path = Path(path)
    try:
        versions = [_stamp(path), _stamp(card_path(path))]
    except OSError as reason:
        raise InputError(f"weights {path}: cannot be read ({reason.strerror})") from reason
    if versions[0] is None:
        raise InputError(f"weights {path}: there is no such file; check the name and the folder")
    return _load(path, tuple(versions))


def _stamp(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=32)
def _load(path: Path, _versions: tuple[object, ...]) -> TrainedWeights:
    try:
        data = path.read_bytes()
    except OSError as reason:
        raise InputError(f"weights {path}: cannot be read ({reason.strerror})") from reason
    tensors, metadata = _parse(path, data)
    blueprint, card = _read_header(path, metadata)
    network = blueprint.build()
    _check_tensors(path, _state(network), tensors)
    network.load_state_dict(tensors, strict=False)
    sha256 = hashlib.sha256(data).hexdigest()
    facts = {**_read_card(path, sha256), **card, "sha256": sha256}
    frozen = network.eval().requires_grad_(False)
    return TrainedWeights(path, blueprint, frozen, sha256, facts)


def _parse(path: Path, data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    try:
        tensors = load(data)
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
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
    return tensors, metadata


def _read_header(path: Path, metadata: Mapping[str, str]) -> tuple[Blueprint, dict[str, Any]]:
    try:
        facts = json.loads(metadata.get("channelsim", "{}"))
        given = facts.get("format")
    except (AttributeError, ValueError) as reason:
        raise InputError(f"weights {path}: damaged header ({reason}); train it again") from reason
    if given != FORMAT:
        raise InputError(
            f"weights {path}: the header says format {given!r}, allowed is {FORMAT!r}; weights are"
            " written by `channelsim train`, other networks come in through use:"
        )
    name = str(facts.get("architecture", ""))
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(
            f"weights {path}: unknown architecture {name!r} (known: {known})."
            + did_you_mean(name, ARCHITECTURES)
        )
    try:
        colours, height, width = (int(size) for size in facts["image_shape"])
        blueprint = Blueprint(
            architecture=name,
            latent_size=int(facts["latent_size"]),
            variational=bool(facts["variational"]),
            image_shape=(colours, height, width),
        )
        blueprint.build()
        card = dict(facts["card"])
    except (KeyError, TypeError, ValueError, RuntimeError) as reason:
        raise InputError(f"weights {path}: damaged header ({reason}); train it again") from reason
    return blueprint, card


def _state(network: nn.Module) -> dict[str, Tensor]:
    # Batch norm counts its batches only for a running mean without momentum, which is not used.
    state = network.state_dict()
    return {name: value for name, value in state.items() if not name.endswith("batches_tracked")}


def _check_tensors(path: Path, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
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


def _read_card(path: Path, sha256: str) -> dict[str, Any]:
    file = card_path(path)
    if not file.is_file():
        return {}
    try:
        facts = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as reason:
        raise InputError(f"card {file}: not readable YAML ({reason})") from reason
    if not isinstance(facts, dict):
        raise InputError(f"card {file}: must be a mapping of facts, is {type(facts).__name__}")
    if facts.get("sha256", sha256) != sha256:
        raise InputError(
            f"card {file}: belongs to other weights (sha256 {str(facts['sha256'])[:12]}…, the file"
            f" beside it has {sha256[:12]}…); take both from one training"
        )
    return facts


# --- the zoo ------------------------------------------------------------------------------------


def zoo_names() -> list[str]:
    """Names of the trained codecs that ship with the program."""
    return sorted(file.stem for file in ZOO_FOLDER.glob("*.safetensors"))


def zoo_file(name: str) -> Path:
    """Path of a zoo codec's weights."""
    problem = _unknown(name)
    if problem:
        raise InputError(problem)
    return ZOO_FOLDER / f"{name}.safetensors"


def _unknown(name: str) -> str:
    names = zoo_names()
    if name in names:
        return ""
    known = ", ".join(names) or "none yet"
    return f"codec {name!r} is not in the zoo (known: {known}).{did_you_mean(name, names)}"


# --- the parts ----------------------------------------------------------------------------------


class _FromFile(Codec):
    """What a codec can say once it has a weights file."""

    @property
    @abstractmethod
    def weights_file(self) -> Path:
        """The safetensors file."""

    @functools.cached_property
    def _read(self) -> TrainedWeights:
        return load_weights(self.weights_file)

    @functools.cached_property
    def network(self) -> nn.Module:
        """The network with batch norm folded in."""
        return self._read.network.folded()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self._read.blueprint.image_shape

    @property
    def latent_size(self) -> int:
        """K."""
        return self._read.blueprint.latent_size

    @property
    def card(self) -> Mapping[str, Any]:
        """What was measured when it was trained, and the SHA-256 of the weights file."""
        return self._read.card


@part
class Trained(_FromFile):
    """A codec from a weights file; ``weights``: path of a ``.safetensors`` that train wrote."""

    kind: ClassVar[str] = "trained"

    weights: InputFile

    @property
    def weights_file(self) -> Path:
        """The file as given."""
        return self.weights


@part
class Zoo(_FromFile):
    """A trained codec that ships with the program; ``name``: as `zoo_names` lists them."""

    kind: ClassVar[str] = "zoo"

    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        problem = _unknown(name)
        if problem:
            raise ValueError(problem)
        return name

    @property
    def weights_file(self) -> Path:
        """The file in the program's own folder."""
        return zoo_file(self.name)
