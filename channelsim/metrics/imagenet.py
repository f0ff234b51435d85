"""torchvision's published ImageNet weights: found on this machine, checked, never downloaded."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from channelsim.support import weight_files
from channelsim.support.errors import InputError

# File names of torchvision: the last part begins their SHA-256.
FILES: Mapping[str, str] = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
    "inception": "inception_v3_google-0cc3c7bd.pth",
}
URL = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class TrunkFile:
    """A file of weights. ``verified``: its SHA-256 is that of torchvision's published file."""

    path: Path
    sha256: str
    verified: bool
    state: Mapping[str, Tensor]

    @property
    def card(self) -> dict[str, str]:
        """The file's entry in a run's header."""
        origin = "torchvision, ImageNet, SHA-256 as published"
        return {
            "weights": self.path.name,
            "sha256": self.sha256,
            "trunk": origin if self.verified else "as given by path; nobody checked its origin",
        }


def find(metric: str, net: str, given: Path | None, substitute: str) -> TrunkFile:
    """Weights of ``net`` from the path given, else from the torch-hub cache.

    A cached file must have the SHA-256 in its name. A file given by path is used as it is, and the
    record has whether it is torchvision's. ``substitute``: the metric to suggest where there is no
    file.
    """
    name = FILES[net]
    path = given if given is not None else Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise InputError(
            f"metric {metric}: no ImageNet weights of {net}: {path} does not exist and nothing is"
            f" downloaded by itself; fetch {URL}{name} to that place, name a copy in weights:, or"
            f" measure {substitute} instead, which goes by another name since it is another figure"
        )
    data = weight_files.read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    published = name.removesuffix(".pth").rpartition("-")[2]
    verified = sha256.startswith(published)
    if given is None and not verified:
        raise InputError(
            f"metric {metric}: {path} has SHA-256 {sha256[:8]}…, its name says {published}…: the"
            " download is damaged or the file is another; remove it and fetch it again, or name it"
            " in weights: if it is what you want"
        )
    return TrunkFile(path, sha256, verified, _state(path, data))


def _state(path: Path, data: bytes) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return weight_files.parse(path, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the format of an untrusted file
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as reason:  # a damaged file may break the reader anywhere
        text = " ".join(str(reason).split())[:80]
        raise InputError(
            f"weights {path}: not a plain file of tensors ({text}…); it is damaged, or holds code,"
            " which is never run; fetch it again or convert it to safetensors"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(
            f"weights {path}: holds {type(state).__name__}, wanted is a mapping of names to"
            " tensors (a state dict)"
        )
    return dict(state)
