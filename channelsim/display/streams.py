"""Standard streams in any state: closed, in any encoding, abandoned by their reader."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
import unicodedata
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

_PLAINLY = "channelsim-plainly"  # the name of the error handler below
_SIZE = re.compile("0*[1-9][0-9]{0,3}")  # columns or lines; a choice of this project


def prepare() -> None:
    """Prepare standard output and error for any text, and correct the terminal's size.

    A closed one (``>&-``) is opened to the null device. Characters that an encoding lacks are
    replaced by near ones, so that a title never ends a run. ``COLUMNS=0`` means unknown.
    """
    _fill_closed()
    sys.stdout = _ready(sys.stdout)
    sys.stderr = _ready(sys.stderr)
    for name in ("COLUMNS", "LINES"):
        if name in os.environ and not _SIZE.fullmatch(os.environ[name]):
            del os.environ[name]


def forget(stream: TextIO) -> None:
    """Discard all further output to a stream without a reader, also at the exit."""
    with contextlib.suppress(OSError, ValueError):  # a stream of a test has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _fill_closed() -> None:
    """Open free descriptors 0 to 2 on the null device, or a ledger could become number 1."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _ready(stream: TextIO | None) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors=_PLAINLY)
    return stream


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """``ä`` → ``a``, ``ε`` → ``?``; a file name's odd byte stays that byte."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    nearest = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii")
    return nearest or "?", error.start + 1


codecs.register_error(_PLAINLY, _plainly)
