"""Consent to run code that a run's header names.

Running one's own scenario implies consent to the code that it names. A ledger may come from
anywhere: its code runs only after a user who was shown the files has agreed, and only if they are
those that the header lists.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channelsim.contracts.run_header import RunHeader
from channelsim.support.errors import InputError
from channelsim.support.files import sha256_of
from channelsim.support.user_files import of_the_user


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of code outside the package, with its present SHA-256 (hex)."""

    path: Path
    sha256: str

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {self.sha256})"


# Yes, no, or a function that asks a user who is shown the files.
Consent = bool | Callable[[Sequence[CodeFile]], bool]


def needs_consent(header: RunHeader) -> bool:
    """Whether recomputing some of a run would run code that does not ship with the program."""
    return next(_named(header.values.get("scenario")), None) is not None


def code_files(header: RunHeader, run: Path) -> list[CodeFile]:
    """Every file that the parts of a run were made from, as the header lists them.

    Files that are gone, or are not those of the header, are refused; so is code that it names
    without listing it.
    """
    listed = dict(_listed(header))
    named = list(dict.fromkeys(_named(header.values.get("scenario"))))
    if "parts" not in header:  # written before files were listed: their imports are code too
        named += [Path(name) for path in named for name in of_the_user((), path)]
    changed, found = [], []
    for path in dict.fromkeys((*named, *listed)):
        now, then = sha256_of(path), listed.get(path)
        if now is None:
            changed.append(f"{path} (is gone, or cannot be read)")
        elif then is not None and then != now:
            changed.append(f"{path} (SHA-256 {then[:12]}… in the header, {now[:12]}… now)")
        elif then is None and "parts" in header:
            changed.append(f"{path} (not listed in the header)")
        else:
            found.append(CodeFile(path, now))
    if changed:
        raise InputError(
            f"{run}: files of code that this run names are not those of the run any more:"
            f" {'; '.join(changed[:8])}; put them back to compute it again"
        )
    return found


def agreed(header: RunHeader, run: Path, consent: Consent) -> list[Path]:
    """The files whose code may be run to recompute some of a run; an `InputError` otherwise."""
    if not needs_consent(header):
        return []
    files = code_files(header, run)
    if not (consent(files) if callable(consent) else consent):
        raise InputError(
            f"{run}: to compute it again, code that its ledger names would run:"
            f" {', '.join(map(str, files))}; a ledger may come from anybody, so look at these files"
            " first, then add --allow-code (from Python: allow_code=True)"
        )
    return [file.path for file in files]


def _named(value: Any, key: str = "") -> Iterator[Path]:
    """Files of all ``use:`` in a resolved scenario, sweeps included."""
    if isinstance(value, Mapping):
        for inner, below in value.items():
            yield from _named(below, str(inner))
    elif isinstance(value, list):
        for below in value:
            yield from _named(below, key)
    elif isinstance(value, str) and (key == "use" or key.endswith(".use")):
        yield Path(value.rpartition(":")[0]).absolute()


def _listed(header: RunHeader) -> Iterator[tuple[Path, str]]:
    """Files of all parts with their SHA-256 from the header."""
    try:
        parts = header.parts
        for part in parts.values():
            for name, sha256 in (part.get("files") or {}).items():
                yield Path(os.path.normpath(Path(part["folder"]) / name)), str(sha256)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"the ledger is damaged: its header lists no parts ({error})") from None
