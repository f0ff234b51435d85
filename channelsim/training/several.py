"""Several trainings at a time, each in a process of its own with one thread.

A training's bits depend on its number of threads, so they depend on neither the number of processes
nor that of cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from channelsim.support.errors import InputError, Interrupted, MachineError
from channelsim.training.progress import make_folder

_POLL_S = 0.1
_TAIL = 4_000  # bytes of a log in which its last line is looked for


@dataclass(frozen=True)
class Task:
    """One training: its recipe, the folder of its result, and a seed in place of the recipe's."""

    recipe: Path
    folder: Path
    seed: int | None = None

    @property
    def name(self) -> str:
        """The recipe's name, with the seed where it is another."""
        return self.recipe.stem + ("" if self.seed is None else f", seed {self.seed}")

    @property
    def weights(self) -> Path:
        """The result."""
        return self.folder / f"{self.recipe.stem}.safetensors"

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.folder / "train.log"

    def command(self, data_root: Path | None) -> list[str]:
        """The command line of its process."""
        root = [] if data_root is None else ["--data-root", str(data_root.resolve())]
        seed = [] if self.seed is None else ["--seed", str(self.seed)]
        program = [sys.executable, "-P", "-m", "channelsim", "train"]
        return [*program, str(self.recipe), "--out", str(self.folder), *seed, *root]


Under = Mapping[Task, str]  # trainings under way, with the last line that each has said


def train_all(
    tasks: Sequence[Task],
    data_root: Path | None,
    workers: int,
    stop: threading.Event,
    on_progress: Callable[[Under], None] | None = None,
) -> Iterator[Task]:
    """Train, ``workers`` at a time; yield each as it is done.

    Once ``stop`` is set, those under way keep what they have and the rest is left: `Interrupted`.
    The first that fails stops the others too.
    """
    _check_apart(tasks)
    waiting, under = deque(tasks), dict[Task, subprocess.Popen]()
    try:
        while waiting or under:
            while waiting and len(under) < workers and not stop.is_set():
                task = waiting.popleft()
                under[task] = _begin(task, data_root)
            for task in [one for one, process in under.items() if process.poll() is not None]:
                code = under.pop(task).returncode
                if code:
                    raise _fault(task, code)
                yield task
            if stop.is_set():
                raise Interrupted(
                    f"training stopped with {len(under) + len(waiting)} of {len(tasks)} left; the"
                    " same command goes on from there"
                )
            if on_progress is not None:
                on_progress({task: _last_line(task.log) for task in under})
            time.sleep(_POLL_S)
    finally:
        for process in under.values():  # each finishes its step and keeps it
            process.terminate()
        for process in under.values():
            process.wait()


def _check_apart(tasks: Sequence[Task]) -> None:
    taken: dict[Path, Task] = {}
    for task in tasks:
        other = taken.setdefault(task.folder, task)
        if other is not task:
            raise InputError(
                f"{task.recipe} and {other.recipe} would both be kept in {task.folder}; rename one"
                " of the recipes"
            )


def _begin(task: Task, data_root: Path | None) -> subprocess.Popen:
    make_folder(task.log.parent)
    with task.log.open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            task.command(data_root),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
        )


def _fault(task: Task, code: int) -> Exception:
    said = _last_line(task.log)
    if code == Interrupted.exit_code:
        return Interrupted(said)
    sort = InputError if code == InputError.exit_code else MachineError
    return sort(f"training {task.name} ended with code {code}: {said}")


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
