"""Training sets of codecs, with the images that their cards are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.sources.celeba import celeba
from channelsim.sources.cifar import cifar10, cifar10_subset
from channelsim.sources.collection import Collection, Split, as_float, spread
from channelsim.sources.idx import fashion_mnist, read_digits
from channelsim.sources.image_folder import image_folder
from channelsim.sources.mnist5k import content_hashes, mnist5k, mnist5k_test_hashes, padded
from channelsim.sources.npz import npz
from channelsim.support.errors import InputError, did_you_mean

FLOAT_BYTES = 2**30  # project's choice: a split that would be larger as float32 stays bytes


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on, and separate images that a card is measured on.

    ``images``: [n, C, H, W]; float32 in [0, 1], or bytes (uint8) where the set is large: read rows
    by `batch`, which always returns float32. ``left_out``: how many images were removed because
    they are test images. ``labels``: int64 [n], None where the set has none. ``test_images`` [m, C,
    H, W] (as ``images``), ``test_labels`` [m] and ``test_name``: the images for the card, for mnist
    and mnist5k the test split of mnist5k.
    """

    name: str
    images: Tensor
    left_out: int
    labels: Tensor | None = None
    test_images: Tensor = field(default_factory=lambda: torch.empty(0, 1, 32, 32))
    test_labels: Tensor | None = None
    test_name: str = ""

    @property
    def content_sha256(self) -> str:
        """SHA-256 (hex) of all images and labels."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels, self.test_images, self.test_labels):
            if tensor is not None:
                digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def batch(self, rows: Tensor | slice) -> Tensor:
        """Some training images as float32 [n, C, H, W] in [0, 1]."""
        return as_float(self.images[rows])

    def test_batch(self, rows: Tensor | slice) -> Tensor:
        """Some test images as float32 [n, C, H, W] in [0, 1]."""
        return as_float(self.test_images[rows])


def training_set(
    name: str,
    root: Path | None = None,
    *,
    path: Path | None = None,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    test_share: float = 0.2,
    layout: str | None = None,
    pad: tuple[int, int] | None = None,
    count: int | None = None,
) -> TrainingSet:
    """The training split of a data set together with its test split.

    ``name``: mnist5k, mnist, fashion-mnist, cifar10, cifar10-subset, celeba (under ``root``, see
    `data_root`), ``images`` (a folder ``path``) or ``npz`` (a file ``path``). ``size`` [H, W]: of
    celeba (default 64 × 64) and of an image folder. ``grey``: of an image folder. ``test_share``:
    of an image folder, or an npz file, without test images. ``layout`` (nhw, nhwc, nchw), ``pad``
    [H, W]: of an npz file. ``count``: at most so many training images, evenly spaced.
    """
    known = [*TRAINING_SETS, "images", "npz"]
    if name not in known:
        raise InputError(
            f"data set {name!r}: not known (known: {', '.join(known)}).{did_you_mean(name, known)}"
        )
    if (path is None) == (name in ("images", "npz")):
        raise InputError(
            f"data set {name}: " + ("needs a path" if path is None else "takes no path")
        )
    if size is not None and name not in ("images", "celeba"):
        raise InputError(f"data set {name}: takes no size; its images have their own")
    if path is not None:
        collection = (
            npz(Path(path), layout, test_share, pad=pad)
            if name == "npz"
            else image_folder(Path(path), size, grey, test_share)
        )
        return of_collection(collection, count)
    if name == "celeba":  # decoded on request: unused images are not read
        return of_collection(celeba(root, size), count)
    found = TRAINING_SETS[name](root)
    if count is None or count >= len(found.images):
        return found
    rows = torch.from_numpy(spread(len(found.images), count))
    labels = None if found.labels is None else found.labels[rows]
    return replace(found, images=found.images[rows], labels=labels)


def of_collection(collection: Collection, count: int | None = None) -> TrainingSet:
    """A data set for training; float32 where that is small enough."""
    train, test = collection.train, collection.test
    rows = spread(len(train), len(train) if count is None else count)
    whole = np.arange(len(test))
    return TrainingSet(
        collection.name,
        _affordable(train.read(rows)),
        collection.left_out,
        labels=_labels(train, rows),
        test_images=_affordable(test.read(whole)),
        test_labels=_labels(test, whole),
        test_name=f"{collection.name}, test split ({len(test):,} images)",
    )


def _affordable(images: Tensor) -> Tensor:
    return images if 4 * images.numel() > FLOAT_BYTES else as_float(images)


def _labels(split: Split, rows: Ints) -> Tensor | None:
    return None if split.labels is None else torch.from_numpy(split.labels[rows])


def mnist_train(root: Path | None = None) -> TrainingSet:
    """MNIST's 60,000 training images without every image of mnist5k's test split, padded.

    Found as described in `idx.mnist`. Labels are None where ``train-labels-idx1-ubyte`` is missing.
    """
    digits = read_digits("mnist", root, "train")
    test = mnist5k_test_hashes()
    kept = np.array([one not in test for one in content_hashes(digits.pixels)], dtype=bool)
    labels = None if digits.labels is None else digits.labels[kept]
    return _with_mnist5k_test("mnist", padded(digits.pixels[kept]), int((~kept).sum()), labels)


def mnist5k_train(_root: Path | None = None) -> TrainingSet:
    """The embedded training split; needs no data root."""
    train = mnist5k("train")
    return _with_mnist5k_test("mnist5k", train.images, 0, train.labels.numpy())


def _with_mnist5k_test(
    name: str, images: Tensor, left_out: int, labels: Ints | None
) -> TrainingSet:
    test = mnist5k("test")
    return TrainingSet(
        name,
        images,
        left_out,
        labels=None if labels is None else torch.from_numpy(labels),
        test_images=test.images,
        test_labels=test.labels,
        test_name=f"mnist5k, test split ({len(test):,} images)",
    )


def _of(read: Callable[[Path | None], Collection]) -> Callable[[Path | None], TrainingSet]:
    return lambda root: of_collection(read(root))


TRAINING_SETS: dict[str, Callable[[Path | None], TrainingSet]] = {
    "mnist": mnist_train,
    "mnist5k": mnist5k_train,
    "fashion-mnist": _of(fashion_mnist),
    "cifar10": _of(cifar10),
    "cifar10-subset": _of(cifar10_subset),
    "celeba": _of(celeba),
}
