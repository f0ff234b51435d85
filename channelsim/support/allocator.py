"""The C library's memory allocator, told to keep what a block of rows frees for the next one.

By default glibc hands large freed blocks back to the system, which fills fresh ones with zeros page
by page: up to a quarter of a gradient's time (`tests/bench/README.md`).
"""

from __future__ import annotations

import ctypes
import functools

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's numbers of these settings
_FROM_HEAP = 2**25  # bytes: glibc's most; larger allocations are the system's own
_KEPT = 2**29  # bytes of freed memory at most; project's choice


@functools.cache
def keep_freed_memory() -> bool:
    """Keep up to half a gigabyte of freed memory; whether the allocator could be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _FROM_HEAP) and mallopt(_TRIM_THRESHOLD, _KEPT))
