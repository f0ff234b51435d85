"""Counter-based random numbers, keyed by message instead of drawn in sequence.

Every draw is a pure function of (seed, part name, draw, message, attempt): Philox4x32-10, the
counter-based generator of Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3",
Random123), computed for whole columns of messages at once. So results do not depend on batches,
arms, order, a part's position in the file, the number of workers, or interruptions.

Normals are inverse-CDF transforms of 53-bit uniforms: one draw per value and no rejection, so the
k-th value of a row never depends on how many values are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox4x32-10: four 32-bit words out for four in.

    ``counter``: [4, n], each below 2³². ``key``: two 32-bit numbers. Returns [4, n].
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        left, right = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (right >> _SHIFT) ^ c1 ^ np.uint64(k0),
            right & _LOW,
            (left >> _SHIFT) ^ c3 ^ np.uint64(k1),
            left & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def stream_key(seed: int, name: str, draw: str = "") -> tuple[int, int]:
    """Return the 64-bit key of a stream: a hash of the run's seed, a part's name, and a draw."""
    digest = hashlib.blake2b(f"{seed}|{name}|{draw}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def uniforms(
    key: tuple[int, int], message: Ints, attempt: Ints | int, width: int, index: int = 0
) -> Floats:
    """Uniform draws in the open interval (0, 1), shape [N, width].

    ``message``: [N]. ``attempt``: [N] or one number. ``index``: a further counter (a restart, …).
    """
    blocks = (width + 1) // 2  # two 53-bit uniforms per call of four 32-bit words
    n = len(message)
    counter = np.empty((4, n, blocks), dtype=np.uint64)
    counter[0] = np.arange(blocks, dtype=np.uint64)
    counter[1] = np.asarray(message, dtype=np.uint64)[:, None]
    counter[2] = np.uint64(index)
    counter[3] = np.broadcast_to(np.asarray(attempt, dtype=np.uint64), (n,))[:, None]
    words = philox(counter.reshape(4, -1), key)
    high = (words[0::2] >> np.uint64(5)).astype(np.float64)  # 27 bits
    low = (words[1::2] >> np.uint64(6)).astype(np.float64)  # 26 bits
    unit = (high * 67108864.0 + low + 0.5) / 9007199254740992.0
    return unit.T.reshape(n, 2 * blocks)[:, :width]


def normals(
    key: tuple[int, int], message: Ints, attempt: Ints | int, width: int, index: int = 0
) -> Floats:
    """Standard normal draws, shape [N, width]; arguments as for `uniforms`."""
    from scipy.special import ndtri

    return ndtri(uniforms(key, message, attempt, width, index))


def exponentials(key: tuple[int, int], message: Ints) -> Floats:
    """Exponential draws of mean 1, shape [N] (gaps between Poisson arrivals)."""
    return -np.log(uniforms(key, message, 0, 1)[:, 0])


def at_slots(
    sample: Callable[..., Floats], key: tuple[int, int], slots: Ints, width: int
) -> Floats:
    """Draws of `uniforms` or `normals` that belong to slots of time, [*slots.shape, width].

    A slot is any whole number, also a negative one (before the run began), below 2⁶³ in size. Each
    is drawn once, however often it occurs.
    """
    known, where = np.unique(slots, return_inverse=True)
    words = known.astype(np.int64).view(np.uint64)
    drawn = sample(key, words & _LOW, words >> _SHIFT, width)
    return drawn[where.reshape(slots.shape)]
