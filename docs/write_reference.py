"""Writes the pages of docs/reference/ from the code (see bin/docs)."""

from __future__ import annotations

import sys
from pathlib import Path

import channelsim
from channelsim.scenario import reference

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[Path, str]:
    """The pages and their text."""
    names = {name: getattr(channelsim, name) for name in channelsim.__all__}
    return {
        FOLDER / "parts.md": reference.parts(),
        FOLDER / "scenario.md": reference.scenario(),
        FOLDER / "python.md": reference.python(names),
    }


def stale() -> list[Path]:
    """Pages that are not as the code is."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(f"not as the code is: {', '.join(map(str, stale()))}" if stale() else 0)
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
