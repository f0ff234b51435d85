"""Things that happen to a run while it goes on."""

from __future__ import annotations

from collections.abc import Callable

from channelsim.contracts.records import AttemptsDone, LogEvent


def at_rows(rows: int, act: Callable[[], None]) -> Callable[[LogEvent], None]:
    """A listener that acts once so many rows have come."""
    came = [0]

    def hear(event: LogEvent) -> None:
        if isinstance(event, AttemptsDone):
            before = came[0]
            came[0] += len(event.columns["attempt"])
            if before < rows <= came[0]:
                act()

    return hear
