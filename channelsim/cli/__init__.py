"""The command line interface."""

from __future__ import annotations

import sys

from channelsim.cli import early


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code (0, 1, 2 or 130)."""
    early.listen()

    from channelsim.display import streams

    streams.prepare()

    from channelsim.cli.app import answer

    sys.exit(answer(list(sys.argv[1:] if arguments is None else arguments)))
