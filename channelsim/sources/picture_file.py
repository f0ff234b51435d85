"""One picture file as bytes [C, H, W]."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from channelsim.sources.collection import Pixels
from channelsim.support.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".pbm", ".bmp", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP")
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_ROUNDING = 1e-6  # project's choice: a few units in the last place of float32 at 1
LARGEST_SIDE = 1024  # project's choice, in pixels: 12 MB an image as float32


def check_size(place: str, size: tuple[int, int] | None, key: str = "size") -> None:
    """Refuse to make images of more than 1024 pixels a side."""
    if size is not None and not all(0 < side <= LARGEST_SIDE for side in size):
        raise InputError(
            f"{place}: {key} {list(size)}; allowed: [H, W] of 1 to {LARGEST_SIDE} pixels a side"
        )


def within_rounding(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values that rounding moved out of [0, 1], by at most 1e-6, clipped; others unchanged."""
    beyond = (values < 0) | (values > 1)
    if not beyond.any() or values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        return values
    return values.clip(0, 1)


def frames(file: Path) -> int:
    """The number of frames of a readable picture; `read_picture` takes the first."""
    with opened_picture(file) as opened:
        return int(getattr(opened, "n_frames", 1))


def read_picture(
    file: Path | IO[bytes],
    place: str,
    *,
    size: tuple[int, int] | None,
    grey: bool,
    crop: int | None = None,
) -> Pixels:
    """Pixels [C, H, W], C = 1 (``grey``) or 3.

    The camera's orientation tag is applied. ``crop``: first cut the centred square of so many
    pixels. ``size`` [H, W]: then cut the largest centred rectangle of that aspect ratio and resize
    it (bilinear, antialiased). Colour becomes grey by the ITU-R 601 luma that Pillow uses; 16-bit
    grey is divided by 257. Refused: transparency, grey values that are floats or of 32 bits (their
    white level is unknown), and more pixels than Pillow's ``MAX_IMAGE_PIXELS``. ``place``: the
    file's name in errors.
    """
    from PIL import Image, ImageOps

    with readable(place), opened_picture(file) as opened:
        picture: Any = ImageOps.exif_transpose(opened)
        if picture.mode in _TRANSPARENT or "transparency" in picture.info:
            raise InputError(
                f"{place}: has transparency (colour mode {picture.mode}); allowed: grey or"
                " colour without it (save it again as such)"
            )
        # PNM and PNG have at most 16 bits; Pillow's mode for them is I too.
        wide_grey = picture.mode == "I" and opened.format not in ("PPM", "PNG")
        if picture.mode == "F" or wide_grey:
            raise InputError(
                f"{place}: has grey values of 32 bits (mode {picture.mode}); allowed: 8 or 16"
                " bits (save it again as such), or floats in [0, 1] in an .npz archive"
            )
        if picture.mode.startswith("I"):
            wide = np.asarray(picture).astype(np.int64).clip(0, 65535)
            picture = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
        picture = picture.convert("L" if grey else "RGB")
    if crop is not None:
        left, top = (picture.width - crop) // 2, (picture.height - crop) // 2
        if left < 0 or top < 0:
            raise InputError(
                f"{place}: is {picture.height} × {picture.width} pixels, smaller than the centre of"
                f" {crop} × {crop} that is cut out"
            )
        picture = picture.crop((left, top, left + crop, top + crop))
    if size is not None:
        # Cut first: a resize by box would mix in pixels beside the box.
        picture = picture.crop(_centre(picture.height, picture.width, size))
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextmanager
def readable(place: str) -> Iterator[None]:
    """Inside, Pillow's errors about a picture become `InputError`s about ``place``."""
    from PIL import Image

    try:
        yield
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: not a readable picture ({reason})") from None


@contextmanager
def opened_picture(file: Path | IO[bytes], formats: tuple[str, ...] = _FORMATS) -> Iterator[Any]:
    """The picture, its size checked before any pixel is decoded."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        opened = Image.open(file, formats=formats)
    with opened:
        yield opened


def _centre(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest centred rectangle with the aspect of ``size``."""
    tall = min(height, max(1, round(width * size[0] / size[1])))
    wide = min(width, max(1, round(height * size[1] / size[0])))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall
