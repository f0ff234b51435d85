"""Reports of a training's progress and result, and requests to stop it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from channelsim.support.errors import InputError

REPORT_S = 0.2  # how often progress is reported


@dataclass(frozen=True)
class Progress:
    """Progress of a training; ``losses`` are means since the last report; ``epoch`` counts from 1.

    ``validation``: the loss on the held-out images after the last whole epoch, None without.
    """

    epoch: int
    epochs: int
    step: int
    steps_total: int
    losses: Mapping[str, float]
    samples_per_s: float
    validation: float | None = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class TrainedResult:
    """A finished training: the weights file, its card, and the share done in this session."""

    weights: Path
    card: Mapping[str, Any]
    resumed_at_step: int
    already_done: bool = False


def finished(weights: Path, card: Mapping[str, Any], recipe_hash: str) -> TrainedResult:
    """A training that was finished earlier; refuses the result of another recipe."""
    if card.get("recipe_hash") != recipe_hash:
        raise InputError(
            f"{weights.parent}: holds the result of another recipe (or of an earlier version of"
            " this one); choose another folder with --out"
        )
    return TrainedResult(weights, card, int(card["steps"]), already_done=True)


class Meter:
    """Mean losses and speed since the last report. ``rows``: images per step."""

    def __init__(self, epochs: int, epoch_steps: int, rows: int) -> None:
        self._epochs, self._epoch_steps, self._rows = epochs, epoch_steps, rows
        self._sums: dict[str, float] = {}
        self._count = 0
        self._last = time.monotonic()

    def add(self, losses: Mapping[str, float]) -> None:
        """Add one step's losses."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1

    def due(self, now: float) -> bool:
        """Whether it is time for a report."""
        return now - self._last >= REPORT_S

    def read(self, step: int, now: float, validation: float | None = None) -> Progress:
        """The report after ``step`` steps; resets the means."""
        count = self._count
        progress = Progress(
            epoch=1 + (step - 1) // self._epoch_steps,
            epochs=self._epochs,
            step=step,
            steps_total=self._epochs * self._epoch_steps,
            losses={name: value / count for name, value in self._sums.items()},
            samples_per_s=count * self._rows / max(now - self._last, 1e-9),
            validation=validation,
        )
        self._sums, self._count, self._last = {}, 0, now
        return progress


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event, so that the current step can be finished."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def make_folder(folder: Path) -> None:
    """Make the folder of a training; an obstacle is an error for the user to resolve."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as reason:
        raise InputError(
            f"{folder}: a file is in the way of this folder; choose another with --out"
        ) from reason
