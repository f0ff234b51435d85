"""The package's exceptions: each message is one sentence.

Every exception takes exactly one string: simpy rebuilds the exception of a failed process from
``.args``, and a two-argument class would surface as an unrelated ``TypeError``.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_JOINERS = "\u200c\u200d"  # needed by some scripts and many emoji


class ChannelsimError(Exception):
    """An error with an explanation; ``exit_code`` is the exit status of the command line."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(cut(message))

    @property
    def message(self) -> str:
        """The message."""
        return str(self.args[0])


class InputError(ChannelsimError):
    """The user's input is wrong: place, value given, what is allowed, likely fix (exit code 2)."""

    exit_code = 2


class MachineError(ChannelsimError):
    """A fault of the machine: a full disk, a damaged file, a bug (exit code 1)."""

    exit_code = 1


class Differs(ChannelsimError):  # noqa: N818  an answer, not an error
    """A result computed again differs from the ledger (exit code 3)."""

    exit_code = 3


class Interrupted(ChannelsimError):  # noqa: N818  a decision, not an error
    """Stopped by the user or the system; committed rows stay (exit code 130)."""

    exit_code = 130


_LONGEST_WORD = re.compile(r"[^\s/]{121,}")  # project's choice: longer than usual names


def cut(message: str) -> str:
    """The message with the middle of overlong words left out: a value may have 5,000 characters."""
    return _LONGEST_WORD.sub(lambda word: f"{word[0][:60]}…{word[0][-20:]}", message)


def printable(text: str) -> str:
    """Any text on one line: control characters and ones that reorder text are escaped."""
    if text.isprintable():
        return text
    return "".join(
        " " if one in "\t\n" else one if _harmless(one) else one.encode("unicode_escape").decode()
        for one in text
    )


def printable_all(value: Any) -> Any:
    """`printable` applied to every text in mappings and lists, keys included."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable_all(key): printable_all(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable_all(inner) for inner in value]
    return value


def _harmless(character: str) -> bool:
    # Controls, formats (such as right-to-left marks), lone surrogates, line separators.
    category = unicodedata.category(character)
    return category not in {"Cc", "Cs", "Zl", "Zp"} and (category != "Cf" or character in _JOINERS)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean x?`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
