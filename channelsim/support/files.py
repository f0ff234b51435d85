"""Files given by name: only regular ones are read, so pipes and devices are never opened."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from channelsim.support.errors import InputError

_LONGEST = 255  # bytes per path component on common file systems


def sha256_of(file: Path) -> str | None:
    """SHA-256 (hex) of a regular file; None where it is absent or unreadable."""
    try:
        if not file.is_file():  # reading a pipe would block, and a device has no end
            return None
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def written_name(name: str | Path) -> Path:
    """The file with ``~`` expanded; `InputError` where no file can have this name."""
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


def read_text(file: Path, most: int, called: str, sort: str = "file") -> str:
    """The text of a regular file of at most ``most`` bytes.

    ``called``: its name in errors. ``sort``: the kind of file expected.
    """
    try:
        if file.is_dir():
            raise InputError(f"{called}: is a folder; name a {sort} (.yaml)")
        if file.exists() and not file.is_file():
            raise InputError(f"{called}: is a pipe or a device; name a file that lies on a disk")
        with file.open("rb") as opened:
            data = opened.read(most + 1)
        if len(data) > most:
            raise InputError(f"{called}: has more than {most:,} bytes, and is no {sort}")
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{called}: not a text file in UTF-8") from None
    except FileNotFoundError:
        raise InputError(f"{called}: there is no such {sort}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{called}: cannot be read ({reason})") from None
