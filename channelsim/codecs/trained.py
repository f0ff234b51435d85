"""Codecs with trained weights: safetensors files, and the zoo that ships with the program.

A weights file holds every tensor of the trained network; its header has the arguments that build
the network and the measurements made of it (see `weight_files`).
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import field_validator
from torch import Tensor, nn

from channelsim.codecs.lu_chen import LuChen
from channelsim.codecs.network import Network
from channelsim.codecs.pca import PCANetwork
from channelsim.contracts.parts import Codec, InputFile, part
from channelsim.support import weight_files
from channelsim.support.errors import InputError, did_you_mean
from channelsim.support.weight_files import card_path, stamp

ARCHITECTURES: Mapping[str, Callable[..., Network]] = {"lu-chen": LuChen, "pca": PCANetwork}
FORMAT = "channelsim-codec-1"
ZOO_FOLDER = Path(__file__).resolve().parent.parent / "zoo"


@dataclass(frozen=True)
class Blueprint:
    """The arguments that build a network, from the header of a weights file."""

    architecture: str
    latent_size: int
    variational: bool
    image_shape: tuple[int, int, int]

    def build(self) -> Network:
        """Build an untrained network."""
        return ARCHITECTURES[self.architecture](
            latent_size=self.latent_size,
            variational=self.variational,
            image_shape=self.image_shape,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Its entry in the header of a weights file."""
        return {
            "format": FORMAT,
            "architecture": self.architecture,
            "latent_size": self.latent_size,
            "variational": self.variational,
            "image_shape": list(self.image_shape),
        }


@dataclass(frozen=True)
class TrainedWeights:
    """A weights file, read: the network as trained (eval mode), its card, and its fingerprint.

    ``sha256`` is the file's, ``content_sha256`` that of the network's function.
    """

    path: Path
    blueprint: Blueprint
    network: Network
    sha256: str
    content_sha256: str
    card: Mapping[str, Any] = field(default_factory=dict)


def save_weights(
    path: Path,
    network: Network,
    blueprint: Blueprint,
    card: Mapping[str, Any],
    remarks: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
    exact: Collection[str] = (),
) -> TrainedWeights:
    """Write weights with their header, and the card with the file's SHA-256 beside them.

    ``remarks`` go into the card alone: facts that may differ between two equal trainings, such as
    the time taken, must not change the weights file.
    """
    tensors = _state(network)
    if half:
        tensors = {
            name: t.half() if in_half(t, exact=name in exact) else t for name, t in tensors.items()
        }
    weight_files.write(path, tensors, blueprint.facts, card, remarks)
    return load_weights(path)


def in_half(tensor: Tensor, *, exact: bool = False) -> bool:
    """Whether a tensor may be stored in half precision: weights, not biases and statistics.

    ``exact``: only if that loses nothing.
    """
    return tensor.ndim >= 2 and not (exact and not torch.equal(tensor.half().float(), tensor))


def load_weights(path: Path) -> TrainedWeights:
    """Read a weights file and its card; an unchanged file is not parsed again."""
    path = Path(path)
    try:
        versions = (stamp(path), stamp(card_path(path)))
    except OSError as reason:
        raise InputError(f"weights {path}: cannot be read ({reason.strerror})") from reason
    return _load(path, versions)


@functools.lru_cache(maxsize=32)
def _load(path: Path, _versions: tuple[object, ...]) -> TrainedWeights:
    read = weight_files.read(path, FORMAT)
    blueprint = _blueprint(path, read.facts)
    network = blueprint.build()
    weight_files.check_tensors(path, _state(network), read.tensors)
    network.load_state_dict(read.tensors, strict=False)
    frozen = network.eval().requires_grad_(False)
    content = read.content_sha256
    return TrainedWeights(path, blueprint, frozen, read.sha256, content, read.card)


def _blueprint(path: Path, facts: Mapping[str, Any]) -> Blueprint:
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
    except (KeyError, TypeError, ValueError, RuntimeError) as reason:
        raise InputError(f"weights {path}: damaged header ({reason}); train it again") from reason
    return blueprint


def _state(network: nn.Module) -> dict[str, Tensor]:
    # Batch norm's counter matters only for a running mean without momentum, which is not used.
    state = network.state_dict()
    return {name: value for name, value in state.items() if not name.endswith("batches_tracked")}


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
    """A codec with a weights file."""

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
        """The measurements of its training, and the SHA-256 of the file and of its content."""
        return {**self._read.card, "content_sha256": self._read.content_sha256}


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
