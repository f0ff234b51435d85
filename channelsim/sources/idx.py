"""MNIST and Fashion-MNIST: IDX files, 28 × 28 grey, padded to 32 × 32.

The format (LeCun, Cortes, Burges): big-endian int32 numbers (a magic number: 2051 for images, 2049
for labels; the count; for images rows and columns), then one byte per value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from channelsim.contracts.records import Ints
from channelsim.sources.collection import Collection, Held, Pixels, SplitName
from channelsim.sources.mnist5k import content_hashes, mnist5k_test_hashes, padded_bytes
from channelsim.sources.root import content, data_root, found, missing
from channelsim.support.errors import InputError

_SIDE = 28
_STEM: dict[SplitName, str] = {"train": "train", "test": "t10k"}
_MOST_IMAGES = 60_000


@dataclass(frozen=True)
class Digits:
    """Files of one split: ``pixels`` uint8 [n, 28, 28], ``labels`` int64 [n] or None."""

    pixels: Pixels
    labels: Ints | None


def mnist(root: Path | None = None) -> Collection:
    """MNIST: 60,000 training images less mnist5k's test split, and the official 10,000 for tests.

    Found as ``<root>/mnist/MNIST/raw/train-images-idx3-ubyte`` or ``<root>/MNIST/raw/…``, with or
    without ``.gz``: the layout of torchvision's ``MNIST(root=…)``.
    """

    def load(split: SplitName) -> Held:
        digits = read_digits("mnist", root, split)
        if split == "test":
            return Held(padded_bytes(digits.pixels), digits.labels)
        known = mnist5k_test_hashes()
        kept = np.array([one not in known for one in content_hashes(digits.pixels)], dtype=bool)
        labels = None if digits.labels is None else digits.labels[kept]
        return Held(padded_bytes(digits.pixels[kept]), labels)

    return Collection("mnist", load)


def fashion_mnist(root: Path | None = None) -> Collection:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 training and 10,000 test images.

    Found as ``<root>/fashion-mnist/FashionMNIST/raw/…`` or ``<root>/FashionMNIST/raw/…``.
    """

    def load(split: SplitName) -> Held:
        digits = read_digits("fashion-mnist", root, split)
        return Held(padded_bytes(digits.pixels), digits.labels)

    return Collection("fashion-mnist", load)


def folders(name: str, root: Path) -> list[Path]:
    """Folders searched for the files of a data set; downloads go to the first."""
    torchvision = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name]
    return [root / name / torchvision / "raw", root / torchvision / "raw", root / name]


def read_digits(name: str, root: Path | None, split: SplitName) -> Digits:
    """One split from its files; labels are None where their file is missing."""
    base = data_root(root)
    wanted = f"{_STEM[split]}-images-idx3-ubyte"
    images = found(folders(name, base), wanted)
    if images is None:
        place = folders(name, base)[0].relative_to(base) / wanted
        raise missing(
            name,
            base,
            f"{place}(.gz)",
            f"fetch it with: channelsim download {name} (mnist5k needs no data root)",
        )
    pixels = _read_images(images)
    labels = found([images.parent], f"{_STEM[split]}-labels-idx1-ubyte")
    return Digits(pixels, None if labels is None else _read_labels(labels, len(pixels)))


def _read_images(file: Path) -> Pixels:
    data = content(file, 16 + _MOST_IMAGES * _SIDE**2)
    header = np.frombuffer(data[:16], dtype=">i4") if len(data) >= 16 else np.zeros(0)
    count = (len(data) - 16) // _SIDE**2
    if header.tolist() != [2051, count, _SIDE, _SIDE] or len(data) != 16 + count * _SIDE**2:
        raise InputError(f"{file}: not a complete IDX file of 28 × 28 images; fetch it again")
    return np.frombuffer(data, dtype=np.uint8, offset=16).reshape(count, _SIDE, _SIDE)


def _read_labels(file: Path, count: int) -> Ints:
    data = content(file, 8 + _MOST_IMAGES)
    header = np.frombuffer(data[:8], dtype=">i4") if len(data) >= 8 else np.zeros(0)
    if header.tolist() != [2049, count] or len(data) != 8 + count:
        raise InputError(f"{file}: not a complete IDX file of {count:,} labels; fetch it again")
    return np.frombuffer(data, dtype=np.uint8, offset=8).astype(np.int64)
