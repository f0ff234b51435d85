"""The console of the command line, on standard output or standard error."""

from __future__ import annotations

import errno
import os
import sys

from rich.console import Console

from channelsim.display import streams


class StandardConsole(Console):
    """Rich's console, except that a reader that leaves (``| head``) does not end the process.

    On standard error the rest of the output is dropped and the work goes on; on standard output
    `BrokenPipeError` is raised.
    """

    def __init__(self, *, error: bool = False, wrapped: bool = True) -> None:
        super().__init__(stderr=error, highlight=False, soft_wrap=not wrapped)

    def on_broken_pipe(self) -> None:
        """Replaces Rich's handler, which would exit with 1."""
        if not self.stderr:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self.quiet = True
        streams.forget(sys.stderr)
