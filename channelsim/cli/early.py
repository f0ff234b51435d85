"""Ctrl-C before a command has begun."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType


def listen() -> None:
    """From now on Ctrl-C leaves at once, unless whoever started us has it ignored.

    ``bin/channelsim`` holds it back until here, for Python would show a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def over() -> None:
    """From now on Ctrl-C is an exception again, for a command has something to tidy."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """While modules load nothing has begun, and an import would make another fault of it."""
    with contextlib.suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(130)
