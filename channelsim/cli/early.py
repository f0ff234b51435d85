"""Ctrl-C before a command has begun.

The first that the program loads, so it loads next to nothing: what takes milliseconds to import is
milliseconds in which Ctrl-C shows a traceback. Before it runs, Python itself starts, and no program
can answer for that; ``bin/channelsim`` holds a Ctrl-C back until here.
"""

from __future__ import annotations

import _signal as signal  # what `signal` is made of; that one loads enum, types and re as well
import os


def listen() -> None:
    """From now on Ctrl-C leaves at once, unless whoever started us has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def over() -> None:
    """From now on Ctrl-C is an exception again, for a command has something to tidy."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: object) -> None:  # noqa: ARG001
    """While modules load nothing has begun, and an import would make another fault of it."""
    try:  # noqa: SIM105  contextlib is not loaded yet
        os.write(2, b"Interrupted.\n")
    except OSError:
        pass
    os._exit(130)
