"""Files that somebody names: regular ones, told from pipes and devices before they are opened."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(file: Path) -> str | None:
    """SHA-256 (hex) of a regular file; None where there is none, or none that may be read."""
    try:
        if not file.is_file():  # a pipe would be waited for, a device has no end
            return None
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
