"""Images in a NumPy archive (``.npz``), read without pickles."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.sources.collection import (
    Collection,
    Held,
    SplitName,
    as_float,
    image_hashes,
    is_test,
)
from channelsim.sources.picture_file import check_size, within_rounding
from channelsim.support.errors import InputError, MachineError

Layout = Literal["nhw", "nhwc", "nchw"]
_COLOURS = (1, 3)
# Images and labels to train on, and images and labels to test with.
_LAYOUTS = (
    ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST's
    ("x_train", "y_train", "x_test", "y_test"),  # Keras'
)
_WANTED = "train_images and test_images, x_train and x_test, or images alone"
_USED = {"images", "labels", *(name for layout in _LAYOUTS for name in layout)}
# Arrays, and the arrays of their labels.
_LABELLED = {
    "train_images": "train_labels",
    "train_signals": "train_labels",
    "x_train": "y_train",
    "images": "labels",
    "test_images": "test_labels",
    "test_signals": "test_labels",
    "x_test": "y_test",
}
_MOST_PACKED = 1100  # deflate expands one byte to at most 1,032
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def npz(
    file: Path,
    layout: str | None = None,
    test_share: float = 0.2,
    name: str = "",
    pad: tuple[int, int] | None = None,
) -> Collection:
    """A data set from two splits in MedMNIST's or Keras' layout, or from ``images`` alone.

    Arrays: ``train_images`` and ``test_images`` (MedMNIST, whose ``val_images`` are not used),
    ``x_train`` and ``x_test`` (Keras), or ``images``. Images: bytes, or floats in [0, 1] up to
    rounding; [n, H, W] (nhw), [n, H, W, C] (nhwc) or [n, C, H, W] (nchw) with C = 1 or 3.
    ``layout`` is required where the shape fits two of them. ``pad`` [H, W]: black pixels around,
    up to that size. Labels (integers, [n] or [n, 1]) are optional: ``train_labels`` and
    ``test_labels``, ``y_train`` and ``y_test``, or ``labels``; of several columns (several answers
    for each image) they are not used, with a notice. ``images`` alone are split by content: about
    ``test_share`` of them are the test split.
    """
    called = name or file.name
    check_size(str(file), pad, "pad")
    held = arrays(file, _USED)
    notices = several_answers(file, held)
    for names in _LAYOUTS:
        if names[0] in held and names[2] in held:
            given = _given_splits(file, held, names, layout, pad)
            return Collection(called, given.__getitem__, whole=_joined(**given), notices=notices)
    if "images" not in held:
        there = ", ".join(sorted(held)) or "nothing"
        raise InputError(f"{file}: holds {there}; it must hold {_WANTED}")
    whole = _held(file, held, "images", "labels", layout, pad)
    tested = np.array([is_test(one, test_share) for one in image_hashes(whole.images)], dtype=bool)
    if tested.all() or not tested.any():
        raise InputError(
            f"{file}: of {len(tested)} images {int(tested.sum())} are test images at test_share"
            f" {test_share:g}; change test_share, or give train_images and test_images"
        )

    def load(split: SplitName) -> Held:
        chosen = tested if split == "test" else ~tested
        labels = None if whole.labels is None else whole.labels[chosen]
        return Held(whole.images[torch.from_numpy(chosen)], labels)

    return Collection(
        called, load, disjoint=True, whole=whole, test_share=test_share, notices=notices
    )


def _given_splits(
    file: Path,
    arrays: dict[str, Any],
    names: tuple[str, str, str, str],
    layout: str | None,
    pad: tuple[int, int] | None,
) -> dict[SplitName, Held]:
    train_images, train_labels, test_images, test_labels = names
    train = _held(file, arrays, train_images, train_labels, layout, pad)
    test = _held(file, arrays, test_images, test_labels, layout, pad)
    if train.image_shape != test.image_shape:
        raise InputError(
            f"{file}: {train_images} are of shape {list(train.image_shape)} and {test_images} of"
            f" {list(test.image_shape)}; they must be equal"
        )
    return {"train": train, "test": test}


def several_answers(file: Path, arrays: dict[str, Any]) -> tuple[str, ...]:
    """Take labels of several columns out, and name them.

    Such labels are [n, columns] of n images or signals; labels of any other shape stay, and those
    that are no class labels are refused where they are read.
    """
    wide = [
        labels
        for items, labels in _LABELLED.items()
        if arrays.get(items) is not None
        and arrays.get(labels) is not None
        and arrays[labels].ndim == 2
        and arrays[labels].shape[:1] == arrays[items].shape[:1]
        and arrays[labels].shape[1] > 1
    ]
    if not wide:
        return ()
    columns = arrays[wide[0]].shape[1]
    for name in _LABELLED.values():
        arrays.pop(name, None)
    return (
        f"source: {wide[0]} of {file.name} has {columns} columns, several answers for each image;"
        " labels are not used",
    )


def _joined(train: Held, test: Held) -> Held:
    """All images, those of the training split first; labels where both have them."""
    images = [train.images, test.images]
    if train.images.dtype != test.images.dtype:
        images = [as_float(each) for each in images]
    if train.labels is None or test.labels is None:
        return Held(torch.cat(images), None)
    return Held(torch.cat(images), np.concatenate([train.labels, test.labels]))


def arrays(file: Path, used: set[str]) -> dict[str, Any]:
    """The arrays ``used``; other members may be of any kind, and their values stay None."""
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; give the path of an .npz archive")
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            beginning = opened.read(6)
        if beginning == b"\x93NUMPY":
            raise ValueError("it is a single array")
        if not beginning.startswith(b"PK"):
            raise ValueError("it is no zip archive")
        with zipfile.ZipFile(file) as archive:
            found = dict.fromkeys(name.removesuffix(".npy") for name in archive.namelist())
            return {
                **found,
                **{name: _array(archive, name, size) for name in found if name in used},
            }
    except MemoryError:
        raise MachineError(
            f"{file}: its arrays do not fit into memory; give a file with fewer images"
        ) from None
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as reason:
        raise InputError(
            f"{file}: not a readable .npz archive of plain arrays ({reason}); write it with"
            " numpy.savez"
        ) from None


def _array(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    """One member of an archive of ``size`` bytes; ValueError if it claims more than is there."""
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise ValueError(f"its {name} is no array") from None
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its {name} is packed as numpy packs no array")
    with archive.open(member) as opened:
        shape, dtype = array_header(opened, name)
        claimed = opened.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError("an array of it is pickled, and pickles are never opened")
    # The member's size in the archive's directory may be false as well.
    if claimed != member.file_size or claimed > _MOST_PACKED * size:
        raise ValueError(f"its {name} of shape {list(shape)} is not all there")
    with archive.open(member) as opened:
        return np.lib.format.read_array(opened, allow_pickle=False)


def single_array(file: Path, most_values: int | None = None) -> np.ndarray:
    """The array of an ``.npy`` file, at most ``most_values``; `InputError` if it is damaged."""
    try:
        # Compare the header's size with the file before allocating memory.
        with file.open("rb") as opened:
            shape, dtype = array_header(opened, "array")
            claimed = opened.tell() + math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise ValueError("it is pickled, and pickles are never opened")
        if claimed != file.stat().st_size:
            raise ValueError(f"its array of shape {list(shape)} is not all there")
        if most_values is not None and math.prod(shape) > most_values:
            raise ValueError(
                f"shape {list(shape)} has more than the {most_values:,} values allowed"
            )
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{file}: not a plain .npy array ({error})") from None


def array_header(opened: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type claimed by the header of a NumPy array; ValueError if it is damaged."""
    try:
        version = np.lib.format.read_magic(opened)
        if version not in _READ_HEADER:
            raise ValueError(f"version {version}")
        shape, _, dtype = _READ_HEADER[version](opened)
    except (ValueError, SyntaxError, TypeError, RecursionError, tokenize.TokenError):
        raise ValueError(f"its {name} is no array, or its header is damaged") from None
    return shape, dtype


def _held(
    file: Path,
    arrays: dict[str, Any],
    images: str,
    labels: str,
    layout: str | None,
    pad: tuple[int, int] | None,
) -> Held:
    pixels = _padded(f"{file}: {images}", _pixels(file, images, arrays[images], layout), pad)
    given = arrays.get(labels)
    if given is None:
        return Held(pixels, None)
    return Held(pixels, _labels(file, labels, given, len(pixels)))


def _labels(file: Path, name: str, given: np.ndarray, count: int) -> Ints:
    if given.shape not in ((count,), (count, 1)) or given.dtype.kind not in "iu":
        raise InputError(
            f"{file}: {name} is {given.dtype} of shape {list(given.shape)}; allowed: integers of"
            f" shape [{count}] or [{count}, 1], one per image"
        )
    return given.reshape(count).astype(np.int64)


def _pixels(file: Path, name: str, given: np.ndarray, layout: str | None) -> Tensor:
    """Bytes or float32, [n, C, H, W]."""
    place = f"{file}: {name}"
    array = _as_nchw(place, given, layout)
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise InputError(
                f"{place} is of type {given.dtype}; allowed: uint8, or floats in [0, 1]"
            )
        with np.errstate(over="ignore"):  # a float64 beyond float32 is refused as infinite
            array = within_rounding(array.astype(np.float32))
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError(
                f"{place} has values from {array.min():g} to {array.max():g}; floats must lie in"
                " [0, 1] (divide by the largest value an image may have)"
            )
    return torch.from_numpy(np.ascontiguousarray(array))


def _padded(place: str, images: Tensor, pad: tuple[int, int] | None) -> Tensor:
    """Images in the middle of black ones of ``pad`` [H, W]."""
    if pad is None:
        return images
    height, width = images.shape[2:]
    below, beside = pad[0] - height, pad[1] - width
    if below < 0 or beside < 0:
        raise InputError(
            f"{place} are {height} × {width} pixels, more than pad {list(pad)}; pad adds pixels"
            " and takes none away (leave it out, or resize the images in the file)"
        )
    around = (beside // 2, beside - beside // 2, below // 2, below - below // 2)
    return torch.nn.functional.pad(images, around)


def _as_nchw(place: str, array: np.ndarray, layout: str | None) -> np.ndarray:
    shape = list(array.shape)
    if 0 in shape:
        raise InputError(f"{place} is of shape {shape} and holds no image")
    fits = {
        "nhw": array.ndim == 3,
        "nhwc": array.ndim == 4 and shape[3] in _COLOURS,
        "nchw": array.ndim == 4 and shape[1] in _COLOURS,
    }
    possible = [word for word, fit in fits.items() if fit]
    if not possible or (layout is not None and layout not in possible):
        asked = f" at layout {layout}" if layout is not None else ""
        raise InputError(
            f"{place} is of shape {shape}, which is no set of images{asked}; allowed: [n, H, W]"
            " (nhw), [n, H, W, C] (nhwc) or [n, C, H, W] (nchw) with C = 1 or 3"
        )
    if layout is None and len(possible) > 1:
        raise InputError(
            f"{place} is of shape {shape}, which may be {' or '.join(possible)}; say which with"
            " layout"
        )
    match layout or possible[0]:
        case "nhw":
            return array[:, None]
        case "nhwc":
            return array.transpose(0, 3, 1, 2)
    return array
