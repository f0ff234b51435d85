"""A small convolutional classifier: its trunk gives features, its output a label.

    image [N,C,H,W] in [0,1] ─ 2x − 1 ─ (conv 4×4, stride 2 ─ ReLU) × 4 ─ mean over positions
                                        16, 32, 64, 128 channels          [N,128] ─ linear ─ [N,10]

The architecture is the project's. There is no batch norm and no dropout: the network is the same
function in training and afterwards, and rows are independent. Inputs are mapped to [−1, 1] so that
black is not the zero vector, at which the direction of a feature would jump.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from channelsim.support import weight_files
from channelsim.support.errors import InputError, did_you_mean
from channelsim.support.row_product import RowProduct

FORMAT = "channelsim-classifier-1"
TRUNKS_FOLDER = Path(__file__).resolve().parent.parent / "zoo" / "trunks"
_CHANNELS = (16, 32, 64, 128)
_HALVINGS = 2 ** len(_CHANNELS)


class SmallConv(nn.Module):
    """The network. ``image_shape``: (C, H, W), H and W multiples of 16. ``classes``: of labels."""

    def __init__(
        self, *, image_shape: tuple[int, int, int] = (1, 32, 32), classes: int = 10
    ) -> None:
        super().__init__()
        colours, height, width = image_shape
        if height % _HALVINGS or width % _HALVINGS or min(image_shape) < 1:
            raise ValueError(f"image_shape {image_shape}: H and W must be multiples of {_HALVINGS}")
        self.image_shape = image_shape
        self.classes = classes
        steps = zip((colours, *_CHANNELS), _CHANNELS, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in steps)
        self.head = nn.Linear(_CHANNELS[-1], classes)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Activations after each ReLU, [N, 16, H/2, W/2] to [N, 128, H/16, W/16]."""
        signal, found = 2.0 * images - 1.0, []
        for conv in self.convs:
            signal = functional.relu(conv(signal))
            found.append(signal)
        return found

    def features(self, images: Tensor) -> Tensor:
        """The last stage averaged over its positions, [N, 128]: the input of the linear head."""
        return self.stages(images)[-1].mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W] in [0, 1]."""
        features = self.features(images)
        if self.head.weight.requires_grad:  # in training
            return cast(Tensor, self.head(features))
        return cast(Tensor, RowProduct(self.head.weight.T, self.head.bias)(features))


ARCHITECTURES: Mapping[str, type[SmallConv]] = {"small-conv": SmallConv}


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: network (eval mode, float32, no parameter gradients) and card."""

    path: Path
    architecture: str
    network: SmallConv
    sha256: str
    card: Mapping[str, Any] = field(default_factory=dict)

    def on(self, device: torch.device) -> SmallConv:
        """The network on a device; rows must lie on the same."""
        if self.network.head.weight.device != device:
            self.network.to(device)
        return self.network


def save_classifier(
    path: Path,
    network: SmallConv,
    architecture: str,
    card: Mapping[str, Any],
    remarks: Mapping[str, Any] | None = None,
    precision: torch.dtype = torch.float16,
) -> Classifier:
    """Write weights (in half precision by default) and the card beside them."""
    facts = {
        "format": FORMAT,
        "architecture": architecture,
        "image_shape": list(network.image_shape),
        "classes": network.classes,
    }
    tensors = {name: value.to(precision) for name, value in network.state_dict().items()}
    weight_files.write(path, tensors, facts, card, remarks)
    return load_classifier(path)


def load_classifier(path: Path | None = None) -> Classifier:
    """Read a classifier (default: the shipped one of MNIST); an unchanged file is read once."""
    path = Path(path) if path is not None else trunk_file("mnist")
    versions = (weight_files.stamp(path), weight_files.stamp(weight_files.card_path(path)))
    return _load(path, versions)


def trunk_file(name: str) -> Path:
    """Path of a classifier that ships with the program, by its training data."""
    return TRUNKS_FOLDER / f"{name}.safetensors"


@functools.lru_cache(maxsize=8)
def _load(path: Path, _versions: object) -> Classifier:
    read = weight_files.read(path, FORMAT)
    name = str(read.facts.get("architecture", ""))
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(
            f"weights {path}: unknown architecture {name!r} (known: {known})."
            + did_you_mean(name, ARCHITECTURES)
        )
    try:
        colours, height, width = (int(size) for size in read.facts["image_shape"])
        network = ARCHITECTURES[name](
            image_shape=(colours, height, width), classes=int(read.facts["classes"])
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as reason:
        raise InputError(f"weights {path}: damaged header ({reason}); train it again") from reason
    weight_files.check_tensors(path, network.state_dict(), read.tensors)
    network.load_state_dict({key: value.float() for key, value in read.tensors.items()})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(path, name, network.eval().requires_grad_(False), read.sha256, read.card)
