"""``channelsim run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from channelsim.cli.inputs import settings_of

if TYPE_CHECKING:
    from channelsim.campaign import Run


def run(
    *,
    scenario: str,
    settings: list[str],
    seed: int | None,
    out: Path | None,
    data_root: Path | None,
    quiet: bool,
    resume: bool,
) -> None:
    """Simulate, show progress on standard error, and what was found on standard output."""
    from rich.console import Console

    from channelsim import campaign
    from channelsim.display.plain import PlainDisplay, QuietDisplay, print_summary

    display = QuietDisplay() if quiet else PlainDisplay(Console(stderr=True, highlight=False))
    done = campaign.run(
        scenario,
        set=settings_of(settings),
        seed=seed,
        out=out,
        resume=resume,
        data_root=data_root,
        on_event=display.show,
    )
    pictures = _pictures(done)
    console = Console(highlight=False, soft_wrap=True)
    if quiet:
        console.print(str(done.folder), markup=False)
        return
    print_summary(console, done.summary())
    for line in _what_next(done, pictures):
        console.print(line, markup=False)


def _pictures(done: Run) -> list[Path]:
    from channelsim.report import pictures

    with done.ledger() as ledger:
        return [
            *pictures.curves(ledger, done.folder),
            *pictures.gallery(ledger, done.folder),
        ]


def _what_next(done: Run, pictures: list[Path]) -> list[str]:
    folder = done.folder
    lines = [f"ledger    {folder / 'ledger.sqlite'}"]
    if pictures:
        lines.append("pictures  " + ", ".join(str(path) for path in pictures))
    return [
        *lines,
        f"table     channelsim export {folder} --out {folder / 'transmissions.csv'}",
        f"replay    channelsim replay {folder} --transmission 0",
    ]
