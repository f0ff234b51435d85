"""An attempt becomes a row: what the ledger gets of a computed block, and of its images."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from channelsim.contracts.keys import Keys
from channelsim.contracts.records import AttemptsDone, Batch, ImageSaved, Outcome
from channelsim.ledger.waveform import signal_bytes

_SHARED_ROLES = {"source", "clean"}


def attempt_rows(batch: Batch, outcome: Outcome, keys: Keys) -> AttemptsDone:
    """The rows of a block: ids and times of its attempts beside what was measured of them.

    ``keys``: the run's numbering of attempts.
    """
    return AttemptsDone(
        {
            **batch.ledger_columns(keys),
            "accepted": [int(yes) for yes in outcome.accepted.tolist()],
            **{name: values.tolist() for name, values in outcome.columns.items()},
        }
    )


def thumbnails(
    batch: Batch, kept: Sequence[int], images: Mapping[str, Tensor], keys: Keys
) -> Iterator[ImageSaved]:
    """The images [N, C, H, W], or signals [N, C, L], by role of the ``kept`` rows of a block."""
    if not kept:
        return
    message, chosen = batch.message[kept].tolist(), batch.keys(keys)
    for role, pictures in images.items():
        coder = signal_bytes if pictures.dim() == 3 else png
        pixels = pictures[kept].cpu().numpy() if pictures.dim() == 3 else as_bytes(pictures[kept])
        # Arms of one group share messages and encoder: one source, one clean decoding.
        shared: dict[int, bytes] = {}
        for row, number, picture in zip(kept, message, pixels, strict=True):
            coded = shared.get(number) or coder(picture)
            if role in _SHARED_ROLES:
                shared[number] = coded
            yield ImageSaved(*keys.of_attempt(chosen[row]), role, coded)


def as_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Images [N, C, H, W] in [0, 1] as bytes [N, H, W, C]."""
    pixels = pictures.clamp(0, 1).mul(255).round().byte().cpu().numpy()
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """An image [H, W, C] as PNG, grey for one channel."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
