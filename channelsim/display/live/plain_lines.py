"""The view without a terminal: plain progress lines at intervals, until the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console

from channelsim.display.live.model import FINISHED, RUNNING, Model
from channelsim.display.live.style import clock
from channelsim.support.durations import duration

EVERY_S = 5.0  # as in the plain display of a run
_LOOK_S = 0.5


def watch_plainly(
    model: Model, console: Console, wait: Callable[[float], None] = time.sleep
) -> None:
    """Print progress until the run is no longer being written, then its final state."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(model.info.title)
    warned: set[str] = set()
    said_at = -EVERY_S
    while True:
        while model.tick(0.5):
            pass
        for note in model.notes:
            if note.level == "warning" and note.text not in warned:
                warned.add(note.text)
                say(f"warning: {note.text}")
        if model.state != RUNNING:
            break
        if time.monotonic() - said_at >= EVERY_S:
            said_at = time.monotonic()
            say(progress(model))
        wait(_LOOK_S)
    say(progress(model))
    for warning in model.warned:
        say(f"warning: {warning.text}")
    rows = model.listed()[:3]
    if len(rows):
        say(f"worst by {model.figures.gauge}:")
    for row in rows:
        arm, message = model.info.keys.of_transmission(int(row[0]))
        place = model.info.place(arm)
        at = f" at {place}" if place else ""
        receiver = model.info.arms[arm].receiver
        say(
            f"  transmission {int(row[0])} (message {message}, {receiver}{at}): {row[1]:.4g};"
            f" {model.replay_command(int(row[0]))}"
        )


def progress(model: Model) -> str:
    """One line: progress, rate and time left; or how the run ended."""
    settled, total = model.figures.settled, model.info.total
    share = 100 * settled / total if total else 100.0
    text = f"{settled}/{total} ({share:.0f} %), simulated {clock(model.sim_s)}"
    if model.state == RUNNING:
        if (rate := model.rate) is not None:
            text += f", {rate:.0f}/s"
        if (left := model.left_s) is not None:
            text += f", {duration(left)} left"
        return text
    return f"{text}, {'finished' if model.state == FINISHED else 'interrupted'}"
