"""What a view reads when: all that is there in order of keys, then what is new, block by block."""

from __future__ import annotations

import time
from typing import Protocol

from channelsim.display.live.figures import Figures
from channelsim.display.live.reader import Reader, Snapshot

_BLOCKS = 16  # blocks read at a time; ours


class Feed(Protocol):
    """Where a view's rows come from."""

    @property
    def progress(self) -> float | None:
        """How much of what was there is read, 0 to 1; None when all of it is."""

    def read(self, figures: Figures, budget_s: float) -> bool:
        """Fold rows for about so long [s of wall time]; return whether more is waiting."""

    def step(self, figures: Figures) -> None:
        """Fold the least that can be folded."""


class Following:
    """First what is there, then what comes.

    The number of the newest block is remembered before the first row is read. A row that is stored
    while older ones are being read may then be met twice, which `Figures` forgives, but none is
    missed.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cursor = -1
        with reader.snapshot() as snapshot:
            self._block = snapshot.last_block()
            self._last = snapshot.last_key()

    @property
    def progress(self) -> float | None:
        """How far the rows that were there are read."""
        if self._cursor >= self._last:
            return None
        return (self._cursor + 1) / (self._last + 1)

    def read(self, figures: Figures, budget_s: float) -> bool:
        """Fold rows for about so long; at least one chunk, if there is one."""
        end = time.perf_counter() + budget_s
        with self._reader.snapshot() as snapshot:
            while self._fold(snapshot, figures, _BLOCKS):
                if time.perf_counter() >= end:
                    return True
        return False

    def step(self, figures: Figures) -> None:
        """Fold the next block (or chunk)."""
        with self._reader.snapshot() as snapshot:
            self._fold(snapshot, figures, 1)

    def _fold(self, snapshot: Snapshot, figures: Figures, most: int) -> bool:
        """Fold a chunk of what was there, or the next blocks; return whether there were any."""
        if self._cursor < self._last:
            table = snapshot.after(self._cursor)
            self._cursor = int(table.keys[-1]) if len(table) else self._last
            figures.fold(table)
            return True
        blocks = snapshot.blocks(self._block, most)
        for number, kind, keys in blocks:
            figures.fold(snapshot.attempts(keys) if kind == "attempt" else snapshot.settled(keys))
            self._block = number
        return bool(blocks)
