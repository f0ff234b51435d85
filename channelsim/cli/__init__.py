"""The command line: what a person types, and what the machine answers with."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code (0, 1, 2, 3 or 130)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, too_early)

    from channelsim.display import streams

    streams.prepare()

    from channelsim.cli.app import answer

    sys.exit(answer(list(sys.argv[1:] if arguments is None else arguments)))


def too_early(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Ctrl-C while modules load: nothing has begun, and an import must not turn it into a fault."""
    with contextlib.suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(130)
