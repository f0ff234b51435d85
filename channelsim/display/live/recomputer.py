"""Images and latents that the ledger does not hold, replayed by a child process on request.

Only the child imports torch; it lives as long as the view and does not touch the run.
One line of JSON per request and per answer; pictures travel as raw bytes in base64.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from channelsim.contracts.run_header import RunHeader
from channelsim.display.live.remembered import Recomputed
from channelsim.ledger.consent import CodeFile, code_files, needs_consent
from channelsim.support.errors import ChannelsimError

_CHILD = "channelsim.runs.replay_server"  # a separate program


class Recomputer:
    """Sends requests to the child; `answers` collects the results.

    ``allow_code``: whether code that the ledger names may run; read when the child starts.
    """

    def __init__(self, folder: Path, data_root: Path | None, allow_code: bool = False) -> None:
        self._folder, self._data_root = folder, data_root
        self.allow_code = allow_code
        self._child: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[tuple[int, Recomputed]] = queue.Queue()
        self._listener: threading.Thread | None = None
        self._asked: list[int] = []

    @property
    def busy(self) -> bool:
        """Whether an answer is outstanding."""
        return bool(self._asked)

    def ask(self, transmission: int) -> None:
        """Have a transmission replayed (its last attempt)."""
        if transmission in self._asked:
            return
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._start()
        assert self._child is not None
        assert self._child.stdin is not None
        self._asked.append(transmission)
        try:
            self._child.stdin.write(json.dumps(transmission) + "\n")
            self._child.stdin.flush()
        except OSError:
            self._answers.put((transmission, Recomputed(error="the replay did not start")))

    def unasked(self, header: RunHeader) -> list[CodeFile]:
        """Files of code that a replay would run and that the user has not yet agreed to."""
        if self.allow_code or not needs_consent(header):
            return []
        try:
            return code_files(header, self._folder)
        except ChannelsimError:  # the child refuses and says why
            return []

    def answers(self) -> list[tuple[int, Recomputed]]:
        """Answers received since the last call."""
        found = []
        while not self._answers.empty():
            transmission, answer = self._answers.get()
            if transmission in self._asked:
                self._asked.remove(transmission)
            found.append((transmission, answer))
        return found

    def close(self) -> None:
        """End the child."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        if self._listener is not None:
            self._listener.join(timeout=5.0)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._child = None

    def _start(self) -> None:
        words = [sys.executable, "-P", "-m", _CHILD, str(self._folder)]
        words += ["--allow-code"] if self.allow_code else []
        words += [] if self._data_root is None else [str(self._data_root)]
        # One thread, where bits do not depend on it: a run may be using the machine.
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._child,), daemon=True)
        self._listener.start()

    def _listen(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            answer = json.loads(line)
            self._answers.put((answer["transmission"], _read(answer)))
        for transmission in list(self._asked):
            self._answers.put((transmission, Recomputed(error="the replay ended unexpectedly")))


def _read(answer: Mapping[str, Any]) -> Recomputed:
    if answer.get("error"):
        return Recomputed(error=answer["error"])
    images = {
        role: np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(shape)
        for role, (shape, text) in answer["images"].items()
    }
    latents = {role: np.array(values) for role, values in answer["latents"].items()}
    return Recomputed(images=images, latents=latents, agrees=answer["agrees"])
