"""``channelsim summary``, and the same as files in a run's folder."""

from __future__ import annotations

import io
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from channelsim.cli.inputs import existing_run
from channelsim.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from channelsim.robustness.summary import Summary

_WIDTH = 100  # columns of summary.txt


def summary(*, folder: Path, metric: str | None, against: str, full: bool) -> None:
    """Tell what a run found, from its ledger alone, finished or not."""
    from rich.text import Text

    from channelsim.campaign import Run
    from channelsim.display.console import StandardConsole
    from channelsim.display.plain import print_summary
    from channelsim.display.tables import Page
    from channelsim.robustness.short import AGAINST, short_lines

    run = Run.open(existing_run(folder).parent)
    if against not in AGAINST:
        hint = did_you_mean(against, AGAINST)
        raise InputError(f"--against {against}: must be one of {', '.join(AGAINST)}.{hint}")
    found = run.summary()
    if metric is not None and metric not in found.metrics:
        known = ", ".join(found.metrics)
        hint = did_you_mean(metric, found.metrics)
        raise InputError(f"--metric {metric}: this run measured {known}.{hint}")
    write_summary(run.folder, found)
    console = StandardConsole()
    if full:
        print_summary(console, found)
        return
    more = f"channelsim summary {shlex.quote(str(run.folder))} --full"
    page = Page(console)
    chosen = next(one for one in AGAINST if one == against)
    for line in short_lines(found, metric=metric, against=chosen, more=more):
        page.line(Text(line), wrap=False)


def write_summary(folder: Path, found: Summary) -> None:
    """Write ``summary.txt`` (everything) and ``summary.csv`` beside the ledger, where that can be.

    A folder that may only be read is no reason not to tell what is in it.
    """
    from rich.console import Console

    from channelsim.display.plain import print_summary
    from channelsim.robustness.summary_rows import as_csv

    text = io.StringIO()
    print_summary(Console(file=text, width=_WIDTH, color_system=None), found)
    for name, content in (("summary.txt", text.getvalue()), ("summary.csv", as_csv(found))):
        part = folder / f".{name}.{os.getpid()}"
        try:
            part.write_text(content, encoding="utf-8", errors="backslashreplace")
            part.replace(folder / name)
        except OSError:
            return
