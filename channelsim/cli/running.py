"""``channelsim run``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from channelsim.cli.inputs import settings_of

if TYPE_CHECKING:
    from channelsim.campaign import Run
    from channelsim.display.plain import Display
    from channelsim.robustness.summary import Summary


def run(
    *,
    scenario: str,
    settings: list[str],
    seed: int | None,
    out: Path | None,
    data_root: Path | None,
    quiet: bool,
    resume: bool,
    mixed: bool,
) -> None:
    """Simulate, show progress on standard error, and what was found on standard output."""
    from rich.console import Console

    from channelsim import campaign
    from channelsim.display.plain import PlainDisplay, QuietDisplay, print_summary

    progress = Console(stderr=True, highlight=False)
    display: Display = QuietDisplay(progress) if quiet else PlainDisplay(progress)
    try:
        done = campaign.run(
            scenario,
            set=settings_of(settings),
            seed=seed,
            out=out,
            resume=resume,
            data_root=data_root,
            on_event=display.show,
            mixed=mixed,
        )
    finally:
        display.close()
    console = Console(highlight=False)
    if quiet:  # for scripts: they will ask for what they want
        console.print(str(done.folder), markup=False, soft_wrap=True)
        return
    summary = done.summary()
    print_summary(console, summary)
    console.print()
    for line in _what_next(done, _pictures(done, summary)):
        console.print(line, markup=False, soft_wrap=True)


def _pictures(done: Run, summary: Summary) -> list[Path]:
    from channelsim.report.coverage import coverage
    from channelsim.report.gallery import gallery
    from channelsim.report.pictures import curves
    from channelsim.report.timeline import timeline

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
    folder = shlex.quote(str(done.folder))
    return [
        f"ledger    {done.folder / 'ledger.sqlite'}",
        "pictures  " + ", ".join(str(path) for path in pictures),
        f"export    channelsim export {folder} --format csv --out table.csv",
        f"replay    channelsim replay {folder} --transmission 0 --out 0.png",
    ]
