"""The loop of every training: steps, reports, checkpoints, and an interruption at any time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from channelsim.support.errors import InputError, Interrupted
from channelsim.training.checkpoint import TrainingState
from channelsim.training.progress import Meter, OnProgress


class Job(Protocol):
    """Interface of a training to the loop. ``standing`` counts the steps of `advance`."""

    standing: TrainingState
    steps_total: int
    meter: Meter
    folder: Path

    @property
    def done(self) -> bool:
        """Whether no step is left to take."""
        ...

    def advance(self) -> Mapping[str, float]:
        """Take one step; return its losses, the minimised one as ``loss``."""
        ...

    def save(self) -> None:
        """Write a checkpoint."""
        ...

    def diverged(self, what: str, value: float) -> InputError:
        """The error for a loss that is not finite."""
        ...


def run(
    job: Job, stop: threading.Event, on_progress: OnProgress | None, checkpoint_s: float
) -> None:
    """Take all remaining steps."""
    saved = begun = time.monotonic()
    before = job.standing.seconds
    while not job.done:
        job.meter.add(job.advance())
        now = time.monotonic()
        job.standing.seconds = before + now - begun
        if job.meter.due(now) or job.done:
            seen = job.standing.validation
            progress = job.meter.read(job.standing.step, now, seen[-1] if seen else None)
            if not math.isfinite(progress.losses["loss"]):
                raise job.diverged("loss", progress.losses["loss"])
            if on_progress is not None:
                on_progress(progress)
        if stop.is_set():
            job.save()
            raise Interrupted(
                f"training stopped at step {job.standing.step:,} of {job.steps_total:,} and kept in"
                f" {job.folder}; the same command goes on from there"
            )
        if now - saved >= checkpoint_s:
            job.save()
            saved = now
    job.save()  # the final measurements take time, too
