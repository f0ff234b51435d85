"""Screenshots of the live view as SVG."""

from __future__ import annotations

import re
from pathlib import Path

from textual.pilot import Pilot

from channelsim.display.live.viewer import LiveApp
from channelsim.support.errors import InputError

_NAME = re.compile(r"terminal-\d+-")
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML
_FONT = re.compile(r"@font-face\s*{[^}]*}\s*")


def svg_of(app: LiveApp, size: tuple[int, int], press: list[str]) -> str:
    """The screen at this size, after everything is read and some keys are pressed and handled."""
    picture = ""

    async def take(pilot: Pilot[object]) -> None:
        nonlocal picture
        await _settled(app, pilot)
        for key in press:
            await pilot.press(key)
            await _settled(app, pilot)
        if app.model is not None:
            picture = app.export_screenshot(
                title=f"channelsim watch · {app.model.info.title}", simplify=True
            )
        app.exit()

    app.run(headless=True, size=size, auto_pilot=take)
    if app.failure is not None:
        raise app.failure
    # Without references to fonts the picture is one file; its thousands of long class names would
    # be a sixth of it.
    return _NAME.sub("t", _FONT.sub("", _ILLEGAL.sub("", picture)))


async def _settled(app: LiveApp, pilot: Pilot[object]) -> None:
    while app.failure is None:
        await pilot.pause(0.3)
        model = app.model
        reading = model is None or model.following.progress is not None
        busy = app.recomputer is not None and app.recomputer.busy
        if not reading and not busy:
            break
    await pilot.pause(0.3)


def save(picture: str, file: Path) -> None:
    """Write the picture where the user wants it."""
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--svg {file}: cannot write there ({error.strerror})") from error


def parsed_size(text: str) -> tuple[int, int]:
    """``160x50`` → (160, 50)."""
    found = re.fullmatch(r"(\d{2,3})x(\d{2,3})", text.strip())
    if found is None or int(found[1]) < 40 or int(found[2]) < 12:
        raise InputError(f"--size {text}: expected COLUMNSxROWS of at least 40x12, e.g. 160x50")
    return int(found[1]), int(found[2])
