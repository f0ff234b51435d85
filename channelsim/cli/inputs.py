"""Parsing of command-line inputs, and notices to the user."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelsim.support.errors import InputError, printable
from channelsim.support.files import written_name

if TYPE_CHECKING:
    from channelsim.ledger.consent import CodeFile, Consent


def settings_of(written: list[str]) -> dict[str, Any]:
    """``["a.b=1", …]`` → ``{"a.b": 1, …}``; values are read as a scenario file's are."""
    from channelsim.scenario import parse_value

    settings = {}
    for text in written:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"--set {text}: expected KEY=VALUE, for example --set source.count=100"
            )
        settings[key.strip()] = parse_value(value, f"--set {key.strip()}")
    return settings


def existing_run(folder: Path) -> Path:
    """The ledger of a run folder, or of the ledger file itself."""
    folder = written_name(folder)
    ledger = folder if folder.name == "ledger.sqlite" else folder / "ledger.sqlite"
    if not ledger.is_file():
        raise InputError(
            f"{folder}: there is no run here (a run's folder holds ledger.sqlite; `channelsim run`"
            " says where it writes)"
        )
    return ledger


def warn(sentences: Iterable[str]) -> None:
    """Print notices to the user on standard error."""
    for sentence in sentences:
        sys.stderr.write(f"warning: {printable(sentence)}\n")


def consent(allow_code: bool) -> Consent:
    """Whether code that a ledger names may run: by the option, else by asking the user."""
    return allow_code or (_asked if sys.stdin and sys.stdin.isatty() else False)


def _asked(files: Sequence[CodeFile]) -> bool:
    """Show the files, and ask."""
    sys.stderr.write("To compute this again, code that its ledger names would run:\n")
    sys.stderr.writelines(f"  {printable(str(file))}\n" for file in files)
    sys.stderr.write("A ledger may come from anybody. Run this code? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def size(count: float) -> str:
    """Bytes as text with units (powers of ten)."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"
    return f"{count / 1000:.1f} TB"
