"""Names of files as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from channelsim.errors import InputError

_LONGEST = 255  # bytes between two slashes; what common file systems take


def written_name(name: str | Path) -> Path:
    """The file that is meant, ``~`` spelled out; `InputError` where no file can be called so."""
    text = str(name)
    try:
        parts = os.fsencode(text).split(b"/")
    except UnicodeEncodeError:
        raise InputError(f"{text!r} holds half a character, which no file's name can") from None
    if "\0" in text:
        raise InputError(f"{text!r} holds a zero byte, which no file's name can")
    if max(len(part) for part in parts) > _LONGEST:
        raise InputError(f"{text}: longer than the {_LONGEST} bytes that a file's name may have")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(
            f"{text}: nobody knows whose home {parts[0].decode(errors='replace')} is; write the"
            " folder's full name"
        ) from None
