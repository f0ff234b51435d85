"""The command ``channelsim download``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from channelsim.sources.download import Transfer


def download(*, name: str, data_root: Path | None, quiet: bool) -> None:
    """Fetch a data set with a progress bar on standard error; its files on standard output."""
    from channelsim.display.console import StandardConsole
    from channelsim.sources.download import download as fetch

    with _progress(StandardConsole(error=True), quiet) as show:
        files = fetch(name, data_root, show)
    console = StandardConsole()
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)
    if not quiet:
        console.print(f"use it    source: {{kind: dataset, name: {name}}}", markup=False)


@contextmanager
def _progress(console: Console, quiet: bool) -> Iterator[Callable[[Transfer], None] | None]:
    """One line per file that rewrites itself: bytes, speed, time left; plain lines in a log."""
    if quiet:
        yield None
        return
    if not console.is_terminal:
        yield _lines(console)
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def show(now: Transfer) -> None:
            if now.name not in tasks:
                tasks[now.name] = bar.add_task(now.name, total=now.total)
            bar.update(tasks[now.name], completed=now.done, total=now.total)

        yield show


def _lines(console: Console) -> Callable[[Transfer], None]:
    """A line when a file begins and when it is complete, for a file or a log."""
    begun: set[str] = set()

    def show(now: Transfer) -> None:
        if now.done == now.total:
            console.print(f"{now.name}: {now.done:,} bytes", markup=False, soft_wrap=True)
        elif now.name not in begun:
            size = "" if now.total is None else f" ({now.total:,} bytes)"
            console.print(f"{now.name}: fetching{size}", markup=False, soft_wrap=True)
        begun.add(now.name)

    return show
