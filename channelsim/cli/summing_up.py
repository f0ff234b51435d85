"""The command ``channelsim summary``."""

from __future__ import annotations

import shlex
from pathlib import Path

from channelsim.cli.inputs import existing_run, warn
from channelsim.support.errors import InputError, did_you_mean


def summary(*, folder: Path, metric: str | None, against: str, full: bool) -> None:
    """Print a run's findings, from its ledger alone, finished or not."""
    from rich.text import Text

    from channelsim.analysis.short_summary import AGAINST, short_lines
    from channelsim.display.console import StandardConsole
    from channelsim.display.page import Page
    from channelsim.display.progress_line import print_summary
    from channelsim.runs.run import Run
    from channelsim.runs.summary_files import write_summary

    run = Run.open(existing_run(folder).parent)
    warn(run.notices)
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
