"""Fréchet distance between two sets of images as populations.

Unlike the metrics of single images, these figures belong to a whole set and depend on its size:
compare them only at equal numbers of images, features and normalisation, which `Frechet` records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from channelsim.metrics import imagenet
from channelsim.metrics.classifier import load_classifier
from channelsim.metrics.features import check_size
from channelsim.support import weight_files
from channelsim.support.errors import InputError
from channelsim.support.torchvision_shim import ensure_torchvision

Floats = NDArray[np.float64]

_INCEPTION_SIDE = 299


@dataclass(frozen=True)
class Frechet:
    """A Fréchet distance with the facts to report beside it.

    ``value`` ≥ 0, in squared units of the features. ``name``: fdd or fid. ``feature``: the
    activations, and how many. ``normalisation``: of images in [0, 1]. ``images``, ``references``:
    how many of each. ``weights``, ``sha256``, ``trunk``: of the feature network.
    """

    value: float
    name: str
    feature: str
    normalisation: str
    images: int
    references: int
    weights: str
    sha256: str
    trunk: str


def frechet_distance(mean1: Floats, cov1: Floats, mean2: Floats, cov2: Floats) -> float:
    """Squared Fréchet distance of two Gaussians (Dowson & Landau 1982), the square of W₂.

    d² = ‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2·(C₁^½ C₂ C₁^½)^½), for means [D] and covariances [D, D], which
    may be singular. Heusel et al. 2017 call this figure on Inception features the FID.
    """
    mean1, mean2 = np.asarray(mean1, dtype=float), np.asarray(mean2, dtype=float)
    cov1, cov2 = np.asarray(cov1, dtype=float), np.asarray(cov2, dtype=float)
    root = _root(cov1)
    # The product is symmetric and positive semi-definite; a general matrix root fails on singular
    # matrices.
    product = np.linalg.eigvalsh(root @ cov2 @ root)
    cross = float(np.sqrt(product.clip(min=0)).sum())
    gap = float(np.sum((mean1 - mean2) ** 2))
    return max(0.0, gap + float(np.trace(cov1) + np.trace(cov2)) - 2.0 * cross)


def _root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def moments(features: Tensor) -> tuple[Floats, Floats]:
    """Mean [D] and covariance [D, D] (divisor N − 1) of features [N, D], N ≥ 2."""
    if len(features) < 2:
        raise InputError(
            f"a Fréchet distance of {len(features)} images: a covariance needs at least 2, and"
            " sensible figures many more than there are features"
        )
    values = features.double().cpu().numpy()
    if not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        raise InputError(
            f"a Fréchet distance of {len(values)} images: features of {broken} of them are NaN or"
            " infinite; look for NaN in the images, or for overflow in the weights"
        )
    return values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False))


@dataclass(frozen=True)
class Extractor:
    """A map from images [N, C, H, W] in [0, 1] to features [N, D], and its description.

    Fields as in `Frechet`; ``rows``: the number of images per forward pass.
    """

    apply: Callable[[Tensor], Tensor]
    rows: int
    name: str
    feature: str
    normalisation: str
    weights: str
    sha256: str
    trunk: str

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features [N, D] of any number of images."""
        return torch.cat([self.apply(batch) for batch in torch.split(images, self.rows)])

    def between(self, found: Tensor, wanted: Tensor) -> Frechet:
        """Distance of two sets of features [N, D] and [M, D]."""
        return Frechet(
            value=frechet_distance(*moments(found), *moments(wanted)),
            name=self.name,
            feature=self.feature,
            normalisation=self.normalisation,
            images=len(found),
            references=len(wanted),
            weights=self.weights,
            sha256=self.sha256,
            trunk=self.trunk,
        )


def fdd(images: Tensor, references: Tensor, weights: Path | None = None) -> Frechet:
    """Fréchet distance on data-set features: images [N, C, H, W] against references [M, C, H, W].

    The 128 features are those of a classifier trained on the data set (`SmallConv.features`),
    ``weights`` or the shipped one of MNIST. Not the FID: the network and the numbers differ. With
    fewer than some thousand images it is biased upwards.
    """
    extractor = dataset_features(weights)
    return extractor.between(extractor.features(images), extractor.features(references))


def fid(images: Tensor, references: Tensor, weights: Path | None = None) -> Frechet:
    """Fréchet inception distance: images [N, C, H, W] against references [M, C, H, W] in [0, 1].

    The 2,048 pooled features of torchvision's Inception v3, images resized to 299 × 299 (bilinear,
    antialiased) and mapped to [−1, 1]; grey is repeated as three channels. Figures of the original
    TensorFlow network and its ports (Heusel et al. 2017) differ. ``weights``: torchvision's file or
    a copy; default: the torch-hub cache. Nothing is downloaded; without the file, `fdd` is the
    substitute, under its own name.
    """
    extractor = inception_features(weights)
    return extractor.between(extractor.features(images), extractor.features(references))


def dataset_features(weights: Path | None = None) -> Extractor:
    """The feature extractor of `fdd`."""
    classifier = load_classifier(weights)
    data = (classifier.card.get("data") or {}).get("name")

    def apply(images: Tensor) -> Tensor:
        check_size("fdd", classifier, images.shape[1:])
        return classifier.on(images.device).features(images.float())

    return Extractor(
        apply,
        rows=256,
        name="fdd",
        feature="last stage averaged over positions, 128 values",
        normalisation="[0, 1] mapped to [-1, 1]",
        weights=classifier.path.name,
        sha256=classifier.sha256,
        trunk=f"{classifier.architecture}, trained on {data}",
    )


def inception_features(weights: Path | None = None) -> Extractor:
    """The feature extractor of `fid`."""
    file = imagenet.find("fid", "inception", weights, "fdd")
    network = _inception(file)

    def apply(images: Tensor) -> Tensor:
        size = (_INCEPTION_SIDE, _INCEPTION_SIDE)
        large = functional.interpolate(images.float(), size, mode="bilinear", antialias=True)
        answer: Tensor = network.to(images.device)(2.0 * large.expand(-1, 3, -1, -1) - 1.0)
        return answer

    return Extractor(
        apply,
        rows=32,
        name="fid",
        feature="Inception v3 of torchvision (not the TensorFlow original), pooled, 2048 values",
        normalisation="299 x 299 bilinear, [0, 1] mapped to [-1, 1]",
        weights=file.path.name,
        sha256=file.sha256,
        trunk=file.card["trunk"],
    )


def _inception(file: imagenet.TrunkFile) -> nn.Module:
    ensure_torchvision()
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
    wanted = network.state_dict()
    # Old files lack the counters, which are not used.
    counters = {name: wanted[name] for name in wanted if name.endswith("num_batches_tracked")}
    state = {**counters, **file.state}
    weight_files.check_tensors(file.path, wanted, state)
    network.load_state_dict(state)
    network.fc = nn.Identity()
    frozen: nn.Module = network.eval().requires_grad_(False)
    return frozen
