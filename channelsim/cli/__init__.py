"""The command line: what a person types, and what the machine answers with."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code (0, 1, 2 or 130)."""
    if sys.stdout is None:  # closed by whoever started us (`>&-`)
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")

    from channelsim.cli.app import answer

    sys.exit(answer(list(sys.argv[1:] if arguments is None else arguments)))
