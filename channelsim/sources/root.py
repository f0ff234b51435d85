"""The data root: where the user's data lie, and how their files are found and read.

Nothing here opens a pickle, and nothing is unpacked to disk: archives are read member by member, by
the names in their formats.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from channelsim.support.errors import InputError
from channelsim.support.files import written_name

_PIECE = 2**20  # bytes read at a time


def data_root(given: Path | None = None) -> Path:
    """The folder with the user's data: as given, else CHANNELSIM_DATA, else the cache folder."""
    if given is not None:
        return written_name(given)
    named = os.environ.get("CHANNELSIM_DATA")
    if named:
        return written_name(named)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return written_name(cache) / "channelsim"
    except InputError:
        raise InputError(
            "nobody knows your home folder, where data sets are looked for; name another with"
            " --data-root or CHANNELSIM_DATA"
        ) from None


def found(folders: Sequence[Path], name: str) -> Path | None:
    """The first of ``folders`` that holds ``name``, plain or with ``.gz``."""
    for folder in folders:
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file
    return None


def missing(data_set: str, root: Path, name: str, otherwise: str) -> InputError:
    """The error for a data set that is not under the data root."""
    return InputError(
        f"data set {data_set}: {name} is not under the data root {root}; name the folder that"
        f" holds it with --data-root or CHANNELSIM_DATA, or {otherwise}"
    )


def content(file: Path, most: int) -> bytearray:
    """A file's content, unpacked where its name ends in ``.gz``; refused beyond ``most`` bytes.

    No more than that is unpacked: a small .gz may expand beyond the memory.
    """
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            # Piece by piece into one buffer: unpacked in one read, all of it would be there twice.
            data, filled = bytearray(most + 1), 0
            while got := opened.readinto(memoryview(data)[filled : filled + _PIECE]):
                filled += got
    except (OSError, EOFError, zlib.error) as reason:
        raise InputError(f"{file}: cannot be read ({reason}); fetch it again") from reason
    del data[filled:]
    if len(data) > most:
        raise InputError(
            f"{file}: holds more than the {most:,} bytes of the official file; fetch it again"
        )
    return data
