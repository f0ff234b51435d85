"""The command ``channelsim run``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from channelsim.cli.inputs import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from channelsim.analysis.summary import Summary
    from channelsim.display.progress_line import Display
    from channelsim.runs.run import Run


def run(
    *,
    scenario: str,
    settings: list[str],
    seed: int | None,
    out: Path | None,
    data_root: Path | None,
    quiet: bool,
    verbose: bool,
    resume: bool,
    mixed: bool,
    workers: int,
    part: str | None,
    dask: str | None,
    folder_file: Path | None,
) -> None:
    """Simulate, show progress on standard error, and the findings on standard output.

    ``folder_file``: file for the name of the run's folder, for a process that watches it.
    """
    from channelsim.display.console import StandardConsole
    from channelsim.display.progress_line import PlainDisplay, QuietDisplay
    from channelsim.runs.run import run

    progress = StandardConsole(error=True)
    display: Display = QuietDisplay(progress) if quiet else PlainDisplay(progress, verbose=verbose)
    try:
        done = run(
            scenario,
            set=settings_of(settings),
            seed=seed,
            out=out,
            resume=resume,
            data_root=data_root,
            on_event=display.show,
            mixed=mixed,
            workers=workers,
            part=part,
            dask=dask,
            on_folder=None if folder_file is None else _telling(folder_file),
        )
    finally:
        display.close()
    if quiet:  # for scripts, which query the results themselves
        console = StandardConsole()
        console.print(str(done.folder), markup=False, soft_wrap=True)
        return
    if part is not None:
        _say_recorded(done, part)
        return
    report(done)


def run_live(
    *,
    scenario: str,
    settings: list[str],
    seed: int | None,
    out: Path | None,
    data_root: Path | None,
    resume: bool,
    mixed: bool,
    workers: int,
    part: str | None,
    dask: str | None,
) -> None:
    """The same with the live view, where there is a terminal: the run is a child process."""
    from channelsim.cli import watching

    if not watching.on_a_terminal():
        return run(
            scenario=scenario, settings=settings, seed=seed, out=out, data_root=data_root,
            quiet=False, verbose=False, resume=resume, mixed=mixed, workers=workers, part=part,
            dask=dask, folder_file=None,
        )  # fmt: skip
    words = [scenario]
    for setting in settings:
        words += ["--set", setting]
    for option, value in (("--seed", seed), ("--out", out), ("--data-root", data_root)):
        words += [] if value is None else [option, str(value)]
    words += ["--resume"] if resume else []
    words += ["--mixed"] if mixed else []
    words += ["--workers", str(workers)] if workers else []
    words += ["--part", part] if part else []
    words += ["--dask", dask] if dask else []
    folder = watching.run_live(words, data_root)

    from channelsim.runs.run import Run

    done = Run.open(folder)
    return report(done) if part is None else _say_recorded(done, part)


def _telling(file: Path) -> Callable[[Path], None]:
    """A function that writes a folder's name into a file atomically."""

    def tell(folder: Path) -> None:
        part = file.with_name(file.name + ".part")
        part.write_text(str(folder), encoding="utf-8")
        part.replace(file)

    return tell


def _say_recorded(done: Run, part: str) -> None:
    from channelsim.display.console import StandardConsole

    folder = shlex.quote(str(done.folder))
    StandardConsole().print(
        f"part {part} is recorded in {folder}; with all parts: channelsim merge {folder} … --out"
        " DIR",
        markup=False,
        soft_wrap=True,
    )


def report(done: Run) -> None:
    """The findings of a run, its pictures, and what one may do next."""
    from rich.text import Text

    from channelsim.analysis.short_summary import LINES, short_lines
    from channelsim.display.console import StandardConsole
    from channelsim.display.page import Page

    summary = done.summary()
    made = pictures(done, summary)  # before the text, whose reader may leave
    last = _what_next(done, made)
    page = Page(StandardConsole())
    folder = shlex.quote(str(done.folder))
    more = f"channelsim summary {folder} --full"
    for line in [*short_lines(summary, more=more, lines=LINES - len(last)), *last]:
        page.line(Text(line), wrap=False)


def pictures(done: Run, summary: Summary) -> list[Path]:
    """Draw a run's pictures into its folder; their files."""
    from channelsim.report.coverage_chart import coverage
    from channelsim.report.curve_charts import curves
    from channelsim.report.gallery import gallery
    from channelsim.report.timeline_chart import timeline

    made = [done.folder / "curves.png"]
    curves(summary, made[0])
    for name, draw in (("coverage.png", coverage), ("timeline.png", timeline)):
        path = done.folder / name
        if draw(summary, path):
            made.append(path)
    images = done.folder / "gallery.png"
    with done.ledger() as ledger:
        return [*made, images] if gallery(ledger, images) else made


def _what_next(done: Run, pictures: list[Path]) -> list[str]:
    from channelsim.analysis.short_summary import wrapped

    folder = shlex.quote(str(done.folder))
    names = ", ".join(path.name for path in pictures)
    return [
        *wrapped(f"in {folder}: ledger.sqlite, summary.txt, .csv, {names}"),
        f"look closer: channelsim replay {folder} --transmission 0 --out 0.png",
    ]
