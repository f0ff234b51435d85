"""Playback of a finished run: its rows in order of simulated time, at a chosen speed.

Messages arrive in one order in every arm, so rows are read a few messages ahead of the clock and
held until their time; only rows in transit are held, however long the run was.
"""

from __future__ import annotations

import time

import numpy as np

from channelsim.display.live.figures import Figures
from channelsim.display.live.reader import Reader, Table

SPEEDS = tuple(2.0**power for power in range(-12, 17))
_ABOUT_S = 30.0  # wall time of a playback at its first speed; project's choice
_AHEAD = 16  # messages read at a time


def first_speed(simulated_s: float) -> float:
    """The speed (simulated over wall seconds) at which a run plays in about half a minute."""
    return min(SPEEDS, key=lambda speed: abs(np.log2(max(simulated_s, 1e-9) / _ABOUT_S / speed)))


class Playback:
    """Rows by simulated time up to ``clock_s``, which the caller advances."""

    def __init__(self, reader: Reader, end_s: float) -> None:
        self._reader = reader
        self.end_s = end_s
        self.clock_s = 0.0
        self._next = 0  # the first message that is not read
        self._read_to_s = -np.inf  # every row of earlier messages arrives at the earliest then
        self._waiting: Table | None = None

    @property
    def progress(self) -> float | None:
        """Always None: a playback is never behind."""
        return None

    @property
    def over(self) -> bool:
        """Whether everything was shown."""
        more = self._waiting is not None and len(self._waiting) > 0
        return self._next >= self._reader.info.count and not more

    def advance(self, seconds: float) -> None:
        """Move the clock on [s of simulated time]."""
        self.clock_s = min(self.end_s, self.clock_s + seconds)

    def read(self, figures: Figures, budget_s: float) -> bool:
        """Fold the rows up to ``clock_s``; where that takes too long, the clock waits."""
        end = time.perf_counter() + budget_s
        while not self._ready():
            self._read_ahead()
            if time.perf_counter() >= end:
                # Unread messages may lie before the clock: hold it here.
                self.clock_s = min(self.clock_s, self._read_to_s)
                break
        self._release(figures)
        return False

    def step(self, figures: Figures) -> None:
        """Advance to the next time at which a transmission is settled, and show it."""
        while not self.over:
            if self._waiting is None or not len(self._waiting):
                self._read_ahead()
                continue
            times = self._waiting["done_s"]
            times = times[times > self.clock_s]
            if not len(times):
                self.clock_s = max(self.clock_s, float(np.nanmax(self._waiting["arrived_s"])))
                break
            moment = float(times.min())
            if moment <= self._read_to_s or self._next >= self._reader.info.count:
                self.clock_s = max(self.clock_s, moment)
                break
            self._read_ahead()
        self._release(figures)

    def _ready(self) -> bool:
        return self._next >= self._reader.info.count or self.clock_s < self._read_to_s

    def _read_ahead(self) -> None:
        info = self._reader.info
        until = min(info.count, self._next + max(1, min(_AHEAD, 4096 // len(info.arms))))
        with self._reader.snapshot() as snapshot:
            table = snapshot.messages(self._next, until)
        self._next = until
        sent = table["sent_s"]
        if len(table) and not np.isnan(sent).all():
            self._read_to_s = max(self._read_to_s, float(np.nanmax(sent)))
        if self._waiting is not None:
            table = Table(table.names, np.concatenate([self._waiting.values, table.values]))
        self._waiting = table

    def _release(self, figures: Figures) -> None:
        if self._waiting is None or not len(self._waiting):
            return
        rows = self._waiting
        over = self._next >= self._reader.info.count and self.clock_s >= self.end_s
        arrived, done = rows["arrived_s"], rows["done_s"]
        now = (arrived <= self.clock_s) | np.isnan(arrived) | over
        settled = (done <= self.clock_s) | over
        shown = rows.take(now)
        hidden = ~settled[now]
        values = shown.values.copy()
        for name in ("done_s", "attempts", "fate"):
            values[hidden, rows.names.index(name)] = np.nan
        figures.fold(Table(rows.names, values))
        # A transmission without an end (an interrupted run) is shown when it arrives.
        gone = now & (settled | np.isnan(done))
        self._waiting = rows.take(~gone)
