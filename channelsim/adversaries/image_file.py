"""A picture or an array from a file: pixels in [0, 1], or a signal in its unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from channelsim.sources.npz import single_array
from channelsim.sources.picture_file import (
    LARGEST_SIDE,
    opened_picture,
    readable,
    within_rounding,
)
from channelsim.support.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_MOST_VALUES = 3 * LARGEST_SIDE**2
_ALLOWED = f"allowed: .npy, {', '.join(PICTURES)}"


def read_target(path: Path) -> np.ndarray:
    """The file as it is, for `as_image` or `as_signal`: who sees it knows what it must be.

    ``.npy``: numbers; pickled objects are refused. Pictures: grey of 8 or 16 bits, or RGB, the
    first frame, as [H, W] or [C, H, W]; transparency is refused.
    """
    suffix = path.suffix.lower()
    if suffix != ".npy" and suffix not in PICTURES:
        raise InputError(f"{path}: a target image cannot be read from this type; {_ALLOWED}")
    try:
        there = path.is_file()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not there:
        raise InputError(f"{path}: no such file; give the path of a target image, {_ALLOWED}")
    return single_array(path, _MOST_VALUES) if suffix == ".npy" else _read_picture(path)


def may_be_signal(array: np.ndarray) -> bool:
    """Whether an array could be a signal: floats [L] or [C, L]."""
    return array.dtype.kind == "f" and array.ndim in (1, 2) and array.size > 0


def as_image(path: Path, array: np.ndarray) -> NDArray[np.float32]:
    """Pixels in [0, 1], float32, of shape [H, W] (grey) or [C, H, W].

    ``array``: of `read_target`, floats in [0, 1], or bytes (divided by 255).
    """
    if array.dtype == np.uint8:
        array = array / np.float32(255)
    elif array.dtype == np.uint16:
        array = array / np.float32(65535)
    elif array.dtype.kind not in "fb":
        raise InputError(
            f"{path}: values are of type {array.dtype}; allowed: floats in [0, 1], or uint8"
        )
    pixels = within_rounding(array.astype(np.float32))
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise InputError(
            f"{path}: shape {list(pixels.shape)} is no image; allowed: [H, W] or [C, H, W]"
        )
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise InputError(
            f"{path}: values run from {pixels.min():g} to {pixels.max():g};"
            " allowed: 0 to 1 (divide by the largest value an image may have)"
        )
    return pixels


def as_signal(path: Path, array: np.ndarray) -> NDArray[np.float32]:
    """A signal in its unit, float32, of shape [L] or [C, L].

    ``array``: of `read_target`, floats of any finite value.
    """
    if not may_be_signal(array):
        raise InputError(
            f"{path}: {array.dtype} of shape {list(array.shape)} is no signal; allowed: a .npy file"
            " with floats in the signal's unit, [L] or [C, L]"
        )
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: has values that are NaN or infinite; replace them in the file")
    return values


def _read_picture(path: Path) -> np.ndarray:
    with readable(str(path)), opened_picture(path, _FORMATS) as picture:
        if max(picture.size) > LARGEST_SIDE:
            width, height = picture.size
            raise ValueError(
                f"it has {height} × {width} pixels; allowed: at most {LARGEST_SIDE} a side"
            )
        mode = picture.mode
        if mode in ("1", "P"):
            grey = mode == "1" or _grey_palette(picture.getpalette())
            array = np.asarray(picture.convert("L" if grey else "RGB"))
        else:
            array = np.asarray(picture)
    if mode not in ("1", "L", "P", "RGB", "I;16"):
        raise InputError(
            f"{path}: colour mode {mode}; allowed: grey or RGB without transparency"
            " (save it again as such)"
        )
    return np.moveaxis(array, -1, 0) if array.ndim == 3 else array


def _grey_palette(palette: list[int] | None) -> bool:
    return palette is not None and all(
        palette[i] == palette[i + 1] == palette[i + 2] for i in range(0, len(palette) - 2, 3)
    )
