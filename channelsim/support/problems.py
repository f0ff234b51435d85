"""All errors of a scenario, collected and reported together in the order of the lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from channelsim.support.errors import InputError

Where = tuple[str | int, ...]

_SHOWN = 40  # errors printed; the rest is counted


class Fault(NamedTuple):
    """One error: where (a path of keys and positions) and a sentence."""

    where: Where
    text: str

    def inside(self, outer: Where) -> Fault:
        """The same fault with its path prefixed by ``outer``."""
        return Fault((*outer, *self.where), self.text)


def dotted(where: Where) -> str:
    """``("path", 1, "snr_db")`` → ``path[1].snr_db``."""
    said = ""
    for step in where:
        if isinstance(step, int):
            said += f"[{step}]"
        else:
            said += f".{step}" if said else step
    return said


def shown(value: Any) -> str:
    """A value as an error message quotes it: short, and on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except Exception:  # a user's object may raise in its repr
        text = type(value).__name__
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


class Origins:
    """The origin of each value of a scenario: a line of the file, or ``--set``."""

    def __init__(self, name: str, lines: Mapping[Where, int]) -> None:
        self._name = name
        self._lines = {where: (name, line) for where, line in lines.items()}
        self._set: dict[Where, tuple[int, str]] = {}

    def replaced(self, where: Where, option: str) -> None:
        """Record that an option such as ``--set key`` gave everything at and below ``where``."""
        depth = len(where)
        for table in (self._lines, self._set):
            for known in [known for known in table if known[:depth] == where]:
                del table[known]
        self._set[where] = (len(self._set), option)

    def covered(self, where: Where, other: Origins) -> None:
        """Record that another file gave everything at and below ``where``."""
        depth = len(where)
        kept = {known: line for known, line in self._lines.items() if known[:depth] != where}
        given = {known: line for known, line in other._lines.items() if known[:depth] == where}
        self._lines = {**kept, **given}

    def place(self, where: Where) -> tuple[tuple[int, int], str]:
        """Sort key and prefix of an error about ``where``."""
        for depth in range(len(where), -1, -1):
            known = where[:depth]
            if known in self._set:
                order, option = self._set[known]
                return (1, order), option if known == where else f"{option}  {dotted(where)}"
            if known in self._lines:
                name, line = self._lines[known]
                # Without a line the message is about the file as a whole.
                return (0, line), f"{name}:{line}  {dotted(where)}".rstrip()
        return (0, 0), dotted(where) or self._name


class Problems:
    """Collects faults; `raise_if_any` raises them as one `InputError`, one per line."""

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, where: Where, text: str) -> None:
        """Add a fault; repeated ones are kept once."""
        order, place = self.origins.place(where)
        self._found.setdefault(f"{place}: {text}", order)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise an error if any fault was added."""
        if not self._found:
            return
        said = sorted(self._found, key=lambda text: self._found[text])
        rest = len(said) - _SHOWN
        more = [f"… and {rest} more"] if rest > 0 else []
        raise InputError("\n".join(said[:_SHOWN] + more))
