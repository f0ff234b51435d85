"""Pictures of a ledger: decoded only if they have the shape of the run's images.

A PNG of a few kilobytes may claim to be a gigabyte of pixels. A run writes pictures of its own
image's shape, so others are not decoded at all; they and damaged ones are shown grey.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.sampling import MOST_CHANNELS, MOST_VALUES
from channelsim.ledger.waveform import drawn, signal_of

_GREY = 217  # project's choice: nearly white, as a picture never is
_LARGEST_SIDE = 1024  # of a source's images, if the header lacks their size
_BEGIN = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_COLOURS = {0: 1, 2: 3}  # PNG's colour type → channels


def image_shape(header: RunHeader) -> tuple[int, int, int] | None:
    """(C, H, W) of a run's images; None where its header lacks it."""
    given = header.values.get("image_shape")
    if not isinstance(given, list) or len(given) != 3:
        return None
    channels, height, width = given
    sides = all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in (height, width))
    return (channels, height, width) if sides and channels in (1, 3) else None


def signal_shape(header: RunHeader) -> tuple[int, int] | None:
    """(C, L) of a run's signals; None where it sends images, or its header lacks it."""
    given = header.values.get("image_shape")
    if not isinstance(given, list) or len(given) != 2 or header.sampling is None:
        return None
    channels, length = given
    if not all(type(size) is int and size > 0 for size in given):
        return None
    # Each channel is drawn by itself, so a header of many would keep a reader waiting.
    fits = channels <= MOST_CHANNELS and channels * length <= MOST_VALUES
    return (channels, length) if fits else None


def picture(stored: Any, header: RunHeader, source: Any = None) -> NDArray[np.uint8] | None:
    """RGB [H, W, 3] of an image or signal as kept; None where it is damaged or another's.

    ``source``: as kept; a signal is drawn over it.
    """
    sampling = header.sampling
    if sampling is None:
        return pixels(stored, image_shape(header))
    shape = signal_shape(header)
    signal = signal_of(stored, shape)
    return None if signal is None else drawn(signal, sampling, signal_of(source, shape))


def shown(stored: Any, header: RunHeader, source: Any = None) -> NDArray[np.uint8]:
    """The same, and a grey tile for what cannot be shown."""
    found = picture(stored, header, source)
    return grey_tile(image_shape(header)) if found is None else found


def pixels(png: Any, shape: tuple[int, int, int] | None) -> NDArray[np.uint8] | None:
    """RGB [H, W, 3] of a stored picture; None where it is damaged or not of the run's shape."""
    claimed = _claimed(png)
    if claimed is None or claimed != (shape or claimed) or max(claimed[1:]) > _LARGEST_SIDE:
        return None
    channels, height, width = claimed
    if len(png) > 2 * channels * height * width + 4096:
        return None
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def grey_tile(shape: tuple[int, int, int] | None) -> NDArray[np.uint8]:
    """The tile shown for a picture that cannot be shown, [H, W, 3]."""
    _, height, width = shape or (1, 8, 8)
    return np.full((height, width, 3), _GREY, dtype=np.uint8)


def _claimed(png: Any) -> tuple[int, int, int] | None:
    """(C, H, W) from a picture's first bytes; None for pictures that no run writes."""
    if not isinstance(png, bytes) or len(png) < 33 or not png.startswith(_BEGIN):
        return None
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    if depth != 8 or colour not in _COLOURS or not width or not height:
        return None
    return _COLOURS[colour], height, width
