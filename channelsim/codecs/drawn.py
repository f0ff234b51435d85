"""Draws in the place of codewords, for a decoder alone: an image stands for one draw.

A run encodes training images to calibrate detectors and to fit adversaries. For a generator these
codewords are standard normal draws, keyed by the image's content: the same image has the same one
wherever and whenever it is asked for, and no message of a run has any of them.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from channelsim.support import seeds

_KEY = seeds.stream_key(0, "decoder alone", "codeword")
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def drawn_for(images: Tensor, size: int) -> Tensor:
    """Standard normal draws [N, ``size``] for images [N, C, H, W]."""
    pixels = images.detach().cpu().contiguous().numpy()
    digests = [hashlib.blake2b(one.tobytes(), digest_size=8).digest() for one in pixels]
    words = np.array([int.from_bytes(one, "little") for one in digests], dtype=np.uint64)
    drawn = seeds.normals(_KEY, words & _LOW, words >> _HALF, size)  # type: ignore[arg-type]
    return torch.from_numpy(drawn.astype(np.float32)).to(images.device)
