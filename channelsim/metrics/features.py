"""Distances between the features of two images, from a convolutional trunk."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from channelsim.contracts.parts import InputFile, Metric, Whole, part
from channelsim.metrics.classifier import Classifier, load_classifier
from channelsim.metrics.distinct import DistinctFeatures, distinct_features, squared_distances
from channelsim.metrics.memory import remembered
from channelsim.support import seeds
from channelsim.support.errors import InputError

_TINY = 1e-8  # added to a squared norm: a feature of length 1e-4 has half its direction left


def unit_features(layers: Sequence[Tensor]) -> Tensor:
    """One vector per image, [N, F], whose squared distances are mean feature distances.

    ``layers``: activations [N, C_l, H_l, W_l] of L layers. The channels u at one position become
    û = u/√(‖u‖² + 1e-8), weighed by 1/√(L·H_l·W_l), so that ‖φ(x) − φ(y)‖² is the mean over layers
    and positions of ‖û − v̂‖². The added 1e-8 keeps the direction of an almost vanishing feature,
    and its gradient, from jumping.
    """
    found = []
    for layer in layers:
        u = layer.permute(0, 2, 3, 1)  # the networks return channels-last: this copies nothing
        weight = (len(layers) * u.shape[1] * u.shape[2]) ** -0.5
        scale = weight * torch.rsqrt(u.square().sum(dim=-1, keepdim=True) + _TINY)
        found.append((u * scale).reshape(len(u), -1))
    return torch.cat(found, dim=1)


def check_size(metric: str, classifier: Classifier, image_shape: tuple[int, ...]) -> None:
    """Refuse images [C, H, W] of another shape than the classifier's training images."""
    wanted, found = classifier.network.image_shape, tuple(image_shape)
    if found != wanted:
        raise InputError(
            f"metric {metric}: images of shape {list(found)}, but the classifier"
            f" {classifier.path.name} was trained on {list(wanted)}; name another one in weights,"
            " trained on images of this shape (a recipe with `classifier:`), or use rfd"
        )


def classifier_card(classifier: Classifier) -> dict[str, Any]:
    """A metric's classifier in a run's header."""
    data = classifier.card.get("data") or {}
    return {
        "weights": classifier.path.name,
        "sha256": classifier.sha256,
        "architecture": classifier.architecture,
        "data": data.get("name"),
        "seed": classifier.card.get("seed"),
        "test_accuracy": classifier.card.get("test_accuracy"),
    }


@part
class DatasetFeatureDistance(Metric):
    """Distance between the features that a trunk trained on the data set finds in two images.

    d = mean over layers and positions of ‖û − v̂‖², u and v being the channels of one layer at one
    position for image and reference, û and v̂ of unit length; in [0, 2], 0 for equal features.
    Built like LPIPS (Zhang et al. 2018) without its heads, but not LPIPS: the trunk is a small
    classifier of the data set at hand (see `SmallConv`: four layers), not of ImageNet, and nothing
    is calibrated against human judgement. Values and limit lines of LPIPS do not apply; there is no
    ``limit``. For orientation: through the shipped trunk, images of two different digits of mnist5k
    lie 0.6 to 1.0 apart (5th to 95th percentile; median 0.9).

    ``weights``: a classifier's ``.safetensors`` that train wrote; default: the shipped one of
    MNIST. Images must have the shape it was trained on.
    """

    kind: ClassVar[str] = "dfd"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = False
    perfect: ClassVar[float | None] = 0.0

    weights: InputFile | None = None

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The classifier that provides the trunk."""
        return load_classifier(self.weights)

    @property
    def card(self) -> Mapping[str, Any]:
        """The trunk: file, SHA-256, data, seed, accuracy."""
        return classifier_card(self.classifier)

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Accept only the shape that the trunk was trained on."""
        check_size(self.kind, self.classifier, image_shape)

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable. Computed in float32, even under autocast."""
        self.check_shape(images.shape[1:])
        a, b = (remembered(self, given, self._features) for given in (images, references))
        return squared_distances(a, b)

    def _features(self, images: Tensor) -> DistinctFeatures:
        return distinct_features(images, self._unit_features)

    def _unit_features(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return unit_features(self.classifier.on(images.device).stages(images.float()))


@part
class RandomFeatureDistance(Metric):
    """Distance between the features that untrained, randomly drawn trunks find in two images.

    The formula of `DatasetFeatureDistance`, averaged over ``seeds``; in [0, 2]. Each seed draws a
    trunk of three stages: convolution 4×4 of stride 2, then twice average pooling 2×2 and
    convolution 3×3, with 16, 32 and 32 channels and ReLU; weights of He's normal law (variance 2 /
    inputs; He et al. 2015), no bias; images are mapped from [0, 1] to [−1, 1]. A structural
    distance, not evidence about human perception: untrained trunks agree much less with people than
    trained ones (Zhang et al. 2018). It needs no weights, works for any number of colours and sizes
    from 8×8, and has no ``limit``.

    ``seeds``: the trunks, at least five and all different; project default 0 to 4. `per_seed` gives
    the values of each, whose spread shows how much a figure depends on the draw.
    """

    kind: ClassVar[str] = "rfd"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = False
    perfect: ClassVar[float | None] = 0.0

    seeds: tuple[Whole, ...] = Field(default=(0, 1, 2, 3, 4), min_length=5)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        twice = [seed for place, seed in enumerate(seeds) if seed in seeds[:place]]
        if twice:
            raise ValueError(
                f"{twice[0]} is in the list twice, and the same trunk again says nothing new;"
                " name different seeds"
            )
        return seeds

    @property
    def card(self) -> Mapping[str, Any]:
        """The facts that decide the values."""
        return {
            "architecture": "conv 4x4/2, pool, conv 3x3, pool, conv 3x3; 16-32-32 channels, ReLU",
            "law": "He normal, no bias",
            "seeds": list(self.seeds),
            "input_range": "[0, 1], mapped to [-1, 1]",
        }

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N]; differentiable."""
        # Sequentially: a mean over the first dimension may sum in an order that depends on a row's
        # place in the batch.
        first, *others = self.per_seed(images, references)
        return sum(others, first) / len(self.seeds)

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Require at least 8×8 pixels."""
        height, width = image_shape[-2:]
        if min(height, width) < 8:
            raise InputError(
                f"metric rfd: images of {height}×{width} pixels are too small"
                " for three halvings; use mse or psnr, or images of at least 8 pixels each way"
            )

    def per_seed(self, images: Tensor, references: Tensor) -> Tensor:
        """Values of every trunk, [seeds, N]."""
        self.check_shape(images.shape[1:])
        a, b = (remembered(self, given, self._features) for given in (images, references))
        return squared_distances(a, b)

    def _features(self, images: Tensor) -> DistinctFeatures:
        return distinct_features(images, self._unit_features)

    def _unit_features(self, images: Tensor) -> Tensor:
        """Unit features of every trunk, [seeds, N, F]."""
        with torch.autocast(images.device.type, enabled=False):
            signal = 2.0 * images.float() - 1.0
            trunks = [_random_trunk(seed, images.shape[1], images.device) for seed in self.seeds]
            return torch.stack([unit_features(_through(trunk, signal)) for trunk in trunks])


_RANDOM_CHANNELS = (16, 32, 32)


def _through(trunk: Sequence[Tensor], signal: Tensor) -> list[Tensor]:
    first, *others = trunk
    found = [functional.relu(functional.conv2d(signal, first, stride=2, padding=1))]
    for kernel in others:
        pooled = functional.avg_pool2d(found[-1], 2)
        found.append(functional.relu(functional.conv2d(pooled, kernel, padding=1)))
    return found


@functools.lru_cache(maxsize=64)
def _random_trunk(seed: int, colours: int, device: torch.device) -> tuple[Tensor, ...]:
    """Kernels of a trunk, [16, C, 4, 4], [32, 16, 3, 3], [32, 32, 3, 3]: equal on all machines."""
    kernels, inputs = [], colours
    # The first caller may be inside inference_mode; the kernels must serve gradients too.
    with torch.inference_mode(False), torch.no_grad():
        for stage, outputs in enumerate(_RANDOM_CHANNELS):
            side = 3 if stage else 4
            fan = inputs * side * side
            key = seeds.stream_key(seed, "rfd", f"stage {stage}")
            draws = seeds.normals(key, np.arange(outputs, dtype=np.int64), 0, fan)
            values = (draws * np.sqrt(2.0 / fan)).astype(np.float32)
            kernel = torch.from_numpy(values.reshape(outputs, inputs, side, side)).to(device)
            kernels.append(kernel.contiguous(memory_format=torch.channels_last))
            inputs = outputs
    return tuple(kernels)


@part
class LabelKept(Metric):
    """Whether a classifier gives image and reference the same label: 1 if so, 0 if not.

    The reference's label is the classifier's own answer for the reference, not the data set's:
    ``label_source`` is 1 where the source image gets the same label, even if the classifier is
    wrong about both. Averages are shares of messages whose label was kept. It is a step function
    without gradient: no adversary can follow it as a loss. There is no ``limit``.

    ``weights``: a classifier's ``.safetensors`` that train wrote; default: the shipped one of
    MNIST. Images must have the shape it was trained on.
    """

    kind: ClassVar[str] = "label"
    takes: ClassVar[str] = "images"
    higher_is_better: ClassVar[bool] = True
    perfect: ClassVar[float | None] = 1.0

    weights: InputFile | None = None

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The classifier in use."""
        return load_classifier(self.weights)

    @property
    def card(self) -> Mapping[str, Any]:
        """The classifier: file, SHA-256, data, seed, accuracy."""
        return classifier_card(self.classifier)

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Accept only the shape that the classifier was trained on."""
        check_size(self.kind, self.classifier, image_shape)

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N], 0 or 1; no gradient."""
        self.check_shape(images.shape[1:])
        network = self.classifier.on(images.device)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            answers = network(images.float()).argmax(dim=1)
            return (answers == network(references.float()).argmax(dim=1)).float()
