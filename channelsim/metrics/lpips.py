"""LPIPS, through the package of its authors and real ImageNet weights."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from channelsim.contracts.parts import InputFile, Metric, part
from channelsim.metrics import imagenet
from channelsim.support import weight_files
from channelsim.support.errors import InputError
from channelsim.support.torchvision_shim import ensure_torchvision

# The smallest sides at which the last layer still has a pixel.
_LEAST = {"alex": 31, "vgg": 16, "squeeze": 17}


@part
class LPIPS(Metric):
    """Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1; a distance.

    LPIPS = Σ_layers mean over positions of Σ_channels w_c·(û_c − v̂_c)²: û, v̂ are the activations of
    an ImageNet classifier, of unit length at each position, w its published heads, fitted to human
    judgements. Images are mapped from [0, 1] to [−1, 1]; grey ones are repeated as three channels.
    ``limit``: 0.15 (Lu & Chen 2023, Tables 1 and 2; they do not name the network).

    ``net``: ``alex`` (default; from 31×31 pixels), ``vgg`` (from 16×16) or ``squeeze`` (from
    17×17). ``weights``: torchvision's file of that network's ImageNet weights, or a safetensors
    copy of it; default: the torch-hub cache, where the SHA-256 must be the one in the file's name.
    Nothing is downloaded. Without weights, `dfd` is the substitute, under its own name.
    """

    kind: ClassVar[str] = "lpips"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = False
    perfect: ClassVar[float | None] = 0.0
    limit: ClassVar[float | None] = 0.15

    net: Literal["alex", "vgg", "squeeze"] = "alex"
    weights: InputFile | None = None

    @functools.cached_property
    def _file(self) -> imagenet.TrunkFile:
        return imagenet.find(self.kind, self.net, self.weights, "dfd")

    @functools.cached_property
    def network(self) -> nn.Module:
        """The network of the package lpips with these weights in its trunk, in eval mode."""
        return _assembled(self.net, self._file)

    @property
    def card(self) -> Mapping[str, Any]:
        """The network, weights and versions."""
        _ = self.network
        return {
            **self._file.card,
            "net": self.net,
            "lpips": version("lpips"),
            "input_range": "[0, 1], mapped to [-1, 1]",
        }

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Large enough for the trunk; one colour or three."""
        least = _LEAST[self.net]
        colours, height, width = image_shape
        if colours not in (1, 3):
            raise InputError(f"metric lpips: images have {colours} channels; allowed are 1 and 3")
        if min(height, width) < least:
            others = [net for net, size in _LEAST.items() if min(height, width) >= size]
            fix = f"net: {' or '.join(others)}, or " if others else ""
            raise InputError(
                f"metric lpips: net {self.net} needs images of at least {least} pixels each way,"
                f" these have {height}×{width}; use {fix}dfd or rfd, or pad the images"
            )

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable. Computed in float32, even under autocast."""
        self.check_shape(images.shape[1:])
        network = self.network.to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            distance: Tensor = network(_prepared(images), _prepared(references))
            return distance.flatten(1).mean(dim=1)


def _prepared(images: Tensor) -> Tensor:
    return 2.0 * images.float().expand(-1, 3, -1, -1) - 1.0


def _assembled(net: str, file: imagenet.TrunkFile) -> nn.Module:
    ensure_torchvision()
    with warnings.catch_warnings():
        # The package calls torchvision in a deprecated way.
        warnings.simplefilter("ignore")
        import lpips

        # An untrained trunk, since the package's other option is a download.
        network: nn.Module = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    trunk: Any = network.net
    # slice2.3.weight is torchvision's features.3.weight.
    names = {name: "features." + name.split(".", 1)[1] for name in trunk.state_dict()}
    wanted = {names[name]: value for name, value in trunk.state_dict().items()}
    given = {name: value for name, value in file.state.items() if name.startswith("features.")}
    weight_files.check_tensors(file.path, wanted, given)
    trunk.load_state_dict({name: given[theirs].float() for name, theirs in names.items()})
    return network.eval().requires_grad_(False)
