"""The command ``channelsim demo``: a small study that ends in a picture and one sentence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelsim.runs.run import Run

STUDY: Mapping[str, Any] = {
    "title": "Digits sent as ten numbers, and an adversary who wants them black",
    "seed": 7,
    "source": {"kind": "dataset", "count": 60},
    "path": [
        {
            "kind": "pgd",
            "name": "mallory",
            "goal": {"kind": "image", "target": "black"},
            "budget": {"norm": "linf", "epsilon": 1.0},
        },
        {"kind": "awgn", "snr_db": 20.0},
    ],
    "receivers": {"plain": {"codec": "kld-vae"}, "hardened": {"codec": "kld-vae-adversarial"}},
    "metrics": ["mse", "ssim"],
    "sweep": {"mallory.budget.epsilon": [0.0, 0.5, 1.0]},
}
_RUNS = Path("runs")


def demo(*, out: Path | None) -> None:
    """Run the study, draw its pictures, and say what was found and what to try next."""
    from channelsim.cli.running import pictures
    from channelsim.display.console import StandardConsole
    from channelsim.display.progress_line import PlainDisplay
    from channelsim.runs.run import run

    display = PlainDisplay(StandardConsole(error=True))
    try:
        done = run(STUDY, out=out or _free(), on_event=display.show)
    finally:
        display.close()
    made = {path.name: path for path in pictures(done, done.summary())}
    folder = shlex.quote(str(done.folder))
    console = StandardConsole()
    for line in (
        _sentence(done),
        f"what was sent and what was seen: {made['gallery.png']}",
        f"all of it: channelsim summary {folder}; again as it happened: channelsim watch {folder}",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _sentence(done: Run) -> str:
    table = done.frame()
    hardest = table[table["mallory.budget.epsilon"] == 1.0]
    means = hardest.groupby("receiver").mean(numeric_only=True)
    plain, hardened = means.loc["plain"], means.loc["hardened"]
    return (
        "Allowed to change each of the ten numbers by at most 1, the adversary brings what the"
        f" receiver shows to a mean squared error of {plain['mse_target']:.3f} from black (noise of"
        f" the same power {plain['control_mse_target']:.3f}, nobody"
        f" {plain['passive_mse_target']:.3f}); with a receiver trained against such attacks to"
        f" {hardened['mse_target']:.3f}."
    )


def _free() -> Path:
    number = 1
    while (_RUNS / f"demo-{number}").exists():
        number += 1
    return _RUNS / f"demo-{number}"
