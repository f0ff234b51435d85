"""What can go wrong, said in one sentence each.

Every exception takes exactly one string: simpy rebuilds the exception of a failed process from
``.args``, and a two-argument class would surface as an unrelated ``TypeError``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class ChannelsimError(Exception):
    """Something this program can explain; ``exit_code`` is what the command line answers with."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(cut(message))

    @property
    def message(self) -> str:
        """The sentence itself."""
        return str(self.args[0])


class InputError(ChannelsimError):
    """The user's input is wrong: place, value given, what is allowed, likely fix (exit code 2)."""

    exit_code = 2


class MachineError(ChannelsimError):
    """The machine's fault: a full disk, a damaged file, a bug (exit code 1)."""

    exit_code = 1


class Interrupted(ChannelsimError):  # noqa: N818  a decision, not an error
    """Stopped by the user or the system; what was committed stays (exit code 130)."""

    exit_code = 130


_LONGEST_WORD = re.compile(r"[^\s/]{121,}")  # ours: longer than the names people give


def cut(message: str) -> str:
    """The message with the middle of overlong words left out: a value may be 5,000 letters."""
    return _LONGEST_WORD.sub(lambda word: f"{word[0][:60]}…{word[0][-20:]}", message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean x?`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
