"""The command ``channelsim zoo``."""

from __future__ import annotations

from pathlib import Path

from channelsim.support.errors import InputError


def zoo(
    *,
    remake: bool,
    only: list[str],
    install: bool,
    jobs: int,
    out: Path,
    data_root: Path | None,
) -> None:
    """Print the table of the zoo; with ``remake``, after training all of it again."""
    if remake:
        _remake(only, install, jobs, out, data_root)
    elif only or install:
        raise InputError("zoo: --only and --install are for --remake; add it, or leave them out")
    _table()


def _remake(only: list[str], install: bool, jobs: int, out: Path, data_root: Path | None) -> None:
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from channelsim.display.console import StandardConsole
    from channelsim.support.durations import duration
    from channelsim.training import zoo as making

    console = StandardConsole(error=True)
    total = len(only) or sum(len(wave) for wave in making.waves())
    begun = time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"logs in {out}", total=total)
        for number, done in enumerate(
            making.remake(out, data_root, jobs=jobs, only=only, install=install), 1
        ):
            verdict = "the zoo's bits" if done.same else "not the zoo's bits"
            left = duration((time.monotonic() - begun) / number * (total - number))
            bar.update(task, advance=1, description=f"about {left} left")
            console.print(f"{done.name}: {verdict}  {done.weights}", markup=False, soft_wrap=True)


def _table() -> None:
    from channelsim.display.console import StandardConsole
    from channelsim.display.page import Column, Page
    from channelsim.training import zoo as making

    rows = making.rows()
    if not rows:
        raise InputError("zoo: there is no trained codec yet; make them with --remake --install")
    figures = [row.figures for row in rows]
    columns = [Column(name, [each[name] for each in figures]) for name in figures[0]]
    columns += [
        Column("trained to minimise", [row.objective for row in rows], left=True),
        Column("defence", [row.defence for row in rows], left=True),
    ]
    names = Column("codec", [row.name for row in rows], left=True)
    Page(StandardConsole()).tables([names], columns)
