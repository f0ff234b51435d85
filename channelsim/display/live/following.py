"""The order of reading: all existing rows by key, then new ones block by block."""

from __future__ import annotations

import time
from typing import Protocol

from channelsim.display.live.figures import Figures
from channelsim.display.live.reader import Reader, Snapshot

_BLOCKS = 16  # blocks read at a time; project's choice


class Feed(Protocol):
    """Source of a view's rows."""

    @property
    def progress(self) -> float | None:
        """Share of the existing rows that is read, 0 to 1; None when all are."""

    def read(self, figures: Figures, budget_s: float) -> bool:
        """Fold rows for about ``budget_s`` of wall time; return whether more are waiting."""

    def step(self, figures: Figures) -> None:
        """Fold the smallest unit of rows."""


class Following:
    """First the existing rows, then new ones.

    The number of the newest block is remembered before the first row is read. A row that is stored
    while older ones are being read may then be read twice, which `Figures` allows, but none is
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
        """Share of the existing rows that is read."""
        if self._cursor >= self._last:
            return None
        return (self._cursor + 1) / (self._last + 1)

    def read(self, figures: Figures, budget_s: float) -> bool:
        """Fold rows for about ``budget_s``; at least one chunk, if there is one."""
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
        """Fold a chunk of the existing rows, or the next blocks; return whether there were any."""
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
