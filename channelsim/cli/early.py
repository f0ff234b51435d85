"""Handling of Ctrl-C before a command has begun.

The program's first module, so it imports almost nothing: during every millisecond of imports Ctrl-C
shows a traceback. While Python itself starts no program can handle it; ``bin/channelsim`` holds a
Ctrl-C back until here.
"""

from __future__ import annotations

import _signal as signal  # the base of `signal`, which loads enum, types and re as well
import os


def listen() -> None:
    """Make Ctrl-C leave at once from now on, unless the parent process has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def over() -> None:
    """Make Ctrl-C raise an exception again, so that a command can clean up."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: object) -> None:  # noqa: ARG001
    """Leave at once: nothing has begun, and an import would turn an exception into another."""
    try:  # noqa: SIM105  contextlib is not loaded yet
        os.write(2, b"Interrupted.\n")
    except OSError:
        pass
    os._exit(130)
