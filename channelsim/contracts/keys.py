"""The keys of a ledger's rows: (arm, message, try) ↔ integer keys.

    transmission = arm · messages + message
    attempt      = transmission · max_attempts + number        (number: 0 for the first try)

Keys are computed, never assigned in sequence: an attempt has the same key in every schedule,
process and resumed run. Every method takes numbers or arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one run. ``messages``: per arm; ``max_attempts``: tries per message, at most."""

    messages: int
    max_attempts: int

    def transmission(self, arm: Any, message: Any) -> Any:
        """The key of a message in an arm."""
        return arm * self.messages + message

    def attempt(self, transmission: Any, number: Any) -> Any:
        """The key of a transmission's try; ``number`` counts from 0."""
        return transmission * self.max_attempts + number

    def of_transmission(self, transmission: Any) -> tuple[Any, Any]:
        """Arm and message of a transmission."""
        return transmission // self.messages, transmission % self.messages

    def of_attempt(self, attempt: Any) -> tuple[Any, Any]:
        """Transmission of an attempt, and the number of its try, from 0."""
        return attempt // self.max_attempts, attempt % self.max_attempts

    def transmissions(self, arm: int, first: int = 0, end: int | None = None) -> range:
        """The transmissions of an arm's messages from ``first`` to before ``end``."""
        start = arm * self.messages
        return range(start + first, start + (self.messages if end is None else end))

    def attempts(self, arm: int) -> range:
        """All attempts that an arm can have."""
        of = self.transmissions(arm)
        return range(of.start * self.max_attempts, of.stop * self.max_attempts)

    def last_attempt(self, transmission: str = "transmission", attempts: str = "attempts") -> str:
        """SQL expression of a transmission's last attempt, from the names of the two columns."""
        return f"({transmission} * {int(self.max_attempts)} + {attempts} - 1)"
