"""The command ``channelsim population``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from channelsim.cli.inputs import consent, existing_run, warn
from channelsim.support.errors import InputError


def population(
    *,
    folder: Path,
    figure: str,
    weights: Path | None,
    data_root: Path | None,
    allow_code: bool,
) -> None:
    """Fréchet distances of every arm, as a table; a progress bar on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left
    from rich.text import Text

    from channelsim.analysis.closing import ending
    from channelsim.display.console import StandardConsole
    from channelsim.display.page import Column, Page
    from channelsim.runs.population import populations

    if figure not in ("fdd", "fid"):
        raise InputError(f"--figure {figure}: allowed are fdd and fid")
    chosen: Literal["fdd", "fid"] = "fdd" if figure == "fdd" else "fid"
    ledger = existing_run(folder)
    warn(ending(ledger).notices)
    run = ledger.parent
    console = StandardConsole(error=True)
    bar = Progress(TextColumn("arms"), BarColumn(), MofNCompleteColumn(), Left(), console=console)
    bar.disable = not console.is_terminal
    with bar:
        task = bar.add_task("", total=None)
        found = populations(
            run,
            chosen,
            weights,
            data_root=data_root,
            allow_code=consent(allow_code),
            on_progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    swept = list(found[0].swept)
    leading = [Column("receiver", [arm.receiver for arm in found], left=True)]
    leading += [Column(key, [f"{arm.swept[key]}" for arm in found]) for key in swept]
    page = Page(StandardConsole())
    page.tables(
        leading,
        [
            Column(f"{figure} received", [f"{arm.received.value:.2f}" for arm in found]),
            Column(f"{figure} clean", [f"{arm.clean.value:.2f}" for arm in found]),
            Column("images", [f"{arm.received.images}" for arm in found]),
        ],
    )
    received = found[0].received
    text = (
        f"{figure}: squared Fréchet distance to the source images on {received.feature}"
        f" ({received.normalisation}; weights {received.weights}, SHA-256 {received.sha256[:12]}…)."
    )
    page.line(Text(text), 2)
    features = {"fdd": 128, "fid": 2048}[chosen]
    if received.images < 2 * features:
        page.line(
            Text(
                f"warning: {received.images} images say little about a distribution of {features}"
                " features; the figures are biased upwards and serve to compare arms alone."
            ),
            2,
        )
