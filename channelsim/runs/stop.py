"""Ctrl-C and SIGTERM: once to stop at the next block, twice to stop at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def until_asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Handle both signals; yields a function that returns whether one has come.

    Only the main thread receives signals; elsewhere it always returns False.
    """
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        heard.append(number)
        if len(heard) > 1:
            raise KeyboardInterrupt

    def asked() -> bool:
        return bool(heard)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
