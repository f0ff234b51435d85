"""Files that somebody names: regular ones, told from pipes and devices before they are opened."""

from __future__ import annotations

import hashlib
from pathlib import Path

from channelsim.errors import InputError, printable


def sha256_of(file: Path) -> str | None:
    """SHA-256 (hex) of a regular file; None where there is none, or none that may be read."""
    try:
        if not file.is_file():  # a pipe would be waited for, a device has no end
            return None
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def expanded(name: str | Path) -> Path:
    """A name with ``~`` and ``~user`` replaced by the home folder."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        start = Path(name).parts[0]
        raise InputError(
            f"{printable(str(name))[:80]}: there is no home folder for {printable(start)[:40]};"
            " write the path in full"
        ) from None


def read_text(file: Path, most: int, called: str, sort: str = "file") -> str:
    """The text of a regular file of at most ``most`` bytes.

    ``called``: what errors call it. ``sort``: of what it should be.
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
