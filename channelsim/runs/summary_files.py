"""The summary files in a run's folder, written however the run was started."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from channelsim.analysis.summary import Summary

NAMES = ("summary.txt", "summary.csv")
_WIDTH = 100  # columns of summary.txt


def write_summary(folder: Path, found: Summary) -> None:
    """Write ``summary.txt`` (everything) and ``summary.csv`` beside the ledger, where possible.

    A read-only folder is no error: it can still be summarised.
    """
    from rich.console import Console

    from channelsim.analysis.summary_rows import as_csv
    from channelsim.display.full_summary import print_summary

    text = io.StringIO()
    print_summary(Console(file=text, width=_WIDTH, color_system=None), found)
    for name, content in zip(NAMES, (text.getvalue(), as_csv(found)), strict=True):
        part = folder / f".{name}.{os.getpid()}"
        try:
            part.write_text(content, encoding="utf-8", errors="backslashreplace")
            part.replace(folder / name)
        except OSError:
            with suppress(OSError):
                part.unlink()
            return
