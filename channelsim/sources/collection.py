"""A data set in the form its reader returns: two splits without a common image, read on request.

Images are kept as bytes [n, C, H, W] where the files hold bytes (a quarter of float32), and
converted to float32 in [0, 1] block by block with `as_float`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.support.errors import InputError

CALIBRATION_IMAGES = 10_000  # project's choice

SplitName = Literal["train", "test"]
Sent = Literal["train", "test", "all"]  # the images that messages may carry
Pixels = NDArray[np.uint8]


def as_float(images: Tensor) -> Tensor:
    """Bytes 0 to 255 → float32 in [0, 1]; float32 stays as it is."""
    return images.float() / 255.0 if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class Images:
    """``images``: [n, C, H, W], bytes or float32 in [0, 1], or signals [n, C, L], float32.

    ``labels``: int64 [n] or None.
    """

    images: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of type, shape and values of images and labels."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels):
            if tensor is not None:
                digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


def spread(size: int, count: int) -> Ints:
    """``count`` rows (all of them if there are fewer) evenly spaced over 0 … size − 1."""
    return np.arange(min(size, count), dtype=np.int64) * size // min(size, count)


class Split(Protocol):
    """One split. ``labels``: int64 [n], None where the data set has none."""

    labels: Ints | None
    image_shape: tuple[int, ...]

    def __len__(self) -> int:
        """The number of images."""

    def read(self, rows: Ints) -> Tensor:
        """The images of some rows, [len(rows), C, H, W], bytes or float32 in [0, 1]."""


class Held:
    """A split in memory: images [n, C, H, W], bytes or float32 in [0, 1], or signals [n, C, L]."""

    def __init__(self, images: Tensor, labels: Ints | None) -> None:
        self.images, self.labels = images, labels
        self.image_shape: tuple[int, ...] = tuple(images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: Ints) -> Tensor:
        """Rows of the tensor; all of them in order are the tensor itself."""
        if len(rows) == len(self) and bool((rows == np.arange(len(self))).all()):
            return self.images
        return self.images[torch.from_numpy(rows)]


def taking_turns(split: Split) -> Split:
    """The same images, one of every class after another, each class in its own order."""
    if not isinstance(split, Held) or split.labels is None:
        return split
    turn = np.empty(len(split), dtype=np.int64)
    for label in np.unique(split.labels):
        own = np.flatnonzero(split.labels == label)
        turn[own] = np.arange(len(own))
    rows = np.lexsort((split.labels, turn))
    return Held(split.images[torch.from_numpy(rows)], split.labels[rows])


class Lazy:
    """A split whose images are decoded on request: ``decode(row)`` → bytes [C, H, W]."""

    def __init__(
        self,
        count: int,
        image_shape: tuple[int, ...],
        labels: Ints | None,
        decode: Callable[[int], Pixels],
    ) -> None:
        self.count, self.image_shape, self.labels = count, image_shape, labels
        self._decode = decode

    def __len__(self) -> int:
        return self.count

    def read(self, rows: Ints) -> Tensor:
        """Decode some rows."""
        images = np.empty((len(rows), *self.image_shape), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            images[place] = self._decode(row)
        return torch.from_numpy(images)


def image_hashes(images: Tensor) -> list[str]:
    """SHA-256 of every image's values, [n, C, H, W]; equal images of one type have equal hashes."""
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images]


def is_test(digest: str, test_share: float) -> bool:
    """Whether an image of this content hash is a test image where a data set has no split.

    A function of the content alone: copies fall on one side, and added images move no others.
    """
    return int(digest[:16], 16) < test_share * 2.0**64


@dataclass(frozen=True)
class Collection:
    """A data set. ``load``: reads a split as stored in the files.

    ``disjoint``: the splits are known to have no image in common; otherwise training images whose
    content is also in the test split are left out when training images are first asked for.
    ``whole``: all images in the order of the files, where they may be read at once. ``test_share``:
    the share of them chosen as the test split, where the files have none. ``notices``: notices to
    the user about the files. ``copies``: how many such training images the reader has left out.
    """

    name: str
    load: Callable[[SplitName], Split]
    disjoint: bool = False
    whole: Split | None = None
    test_share: float | None = None
    notices: tuple[str, ...] = ()
    copies: int = 0
    _known: dict[Sent, Images] = field(default_factory=dict, repr=False, compare=False)

    @functools.cached_property
    def test(self) -> Split:
        """The test split, as it is."""
        return self._filled(self.load("test"), "test")

    @functools.cached_property
    def _apart(self) -> tuple[Split, int]:
        raw = self.load("train")
        if self.disjoint or not isinstance(raw, Held):
            return self._filled(raw, "train"), 0
        test = self.test.read(np.arange(len(self.test)))
        if test.dtype != raw.images.dtype:
            test, images = as_float(test), as_float(raw.images)
        else:
            images = raw.images
        known = set(image_hashes(test))
        kept = np.array([one not in known for one in image_hashes(images)], dtype=bool)
        labels = None if raw.labels is None else raw.labels[kept]
        split = raw if kept.all() else Held(raw.images[torch.from_numpy(kept)], labels)
        return self._filled(split, "train"), int((~kept).sum())

    @property
    def train(self) -> Split:
        """The training split without images of the test split."""
        return self._apart[0]

    @property
    def left_out(self) -> int:
        """The number of training images left out because they are test images too."""
        return self._apart[1] + self.copies

    def split(self, name: Sent) -> Split:
        """The split of that name, or all images."""
        if name == "all":
            assert self.whole is not None, "only who has it offers it"
            return self.whole
        return self.train if name == "train" else self.test

    @functools.cached_property
    def calibration(self) -> Images:
        """The training images that a run calibrates on: at most 10,000, evenly spaced."""
        return _read(self.train, spread(len(self.train), CALIBRATION_IMAGES))

    def first(self, name: Sent, count: int) -> Images:
        """The first images of a split; images already read are not read again."""
        known = self._known.get(name)
        if known is None or len(known) < count:
            known = self._known[name] = _read(self.split(name), np.arange(count))
        if len(known) == count:
            return known
        return Images(known.images[:count], None if known.labels is None else known.labels[:count])

    def _filled(self, split: Split, name: SplitName) -> Split:
        if not len(split):
            raise InputError(f"data set {self.name}: its {name} split holds no image")
        return split


def _read(split: Split, rows: Ints) -> Images:
    labels = None if split.labels is None else torch.from_numpy(split.labels[rows])
    return Images(split.read(rows), labels)
