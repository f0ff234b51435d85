"""The command ``channelsim merge``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from channelsim.cli.running import report

if TYPE_CHECKING:
    from channelsim.runs.merge import Merged


def merge(*, runs: list[Path], out: Path) -> None:
    """Put runs together; the summary if nothing is missing, else what is."""
    from channelsim.display.console import StandardConsole
    from channelsim.runs.merge import merge
    from channelsim.runs.run import Run

    merged = merge(runs, out)
    if not merged.missing:
        report(Run.open(out))
        return
    console = StandardConsole()
    for line in _unfinished(merged):
        console.print(line, markup=False, soft_wrap=True)


def _unfinished(merged: Merged) -> Iterator[str]:
    absent = sum(merged.missing.values())
    yield (
        f"{merged.transmissions:,} of {merged.transmissions + absent:,} transmissions are there;"
        f" missing are {absent:,}, of {_arms(list(merged.missing))}"
    )
    folder = shlex.quote(str(merged.folder))
    yield "merge the other parts too, or compute the rest, with the settings that the parts had:"
    yield f"channelsim run SCENARIO --out {folder} --resume"


def _arms(numbers: list[int]) -> str:
    """``arm 3`` or ``arms 0–2, 5``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    written = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in spans)
    return f"arm {written}" if len(numbers) == 1 else f"arms {written}"
