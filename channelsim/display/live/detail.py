"""The panel of one transmission: its story beside (or around) its images."""

from __future__ import annotations

from rich.text import Text

from channelsim.display.live.model import Model
from channelsim.display.live.remembered import Details
from channelsim.display.live.story import UNSEEN, story
from channelsim.display.live.style import (
    ACCENT,
    BAD,
    DIM,
    Theme,
    columns,
    fit,
    wrapped,
)
from channelsim.display.live.text_images import Picture, strip


def detail_lines(
    model: Model, details: Details, width: int, height: int, theme: Theme
) -> list[Text]:
    """Everything about the selected transmission, arranged for a panel of this size."""
    if model.selected is None:
        return [Text("Select a transmission: arrows, then enter.", style=DIM)]
    row = details.row(model.selected)
    if row is None:
        return [Text(f"transmission {model.selected} has no row yet", style=DIM)]
    pictures = _pictures(model, details, theme)
    wide = width >= 96
    story_width = (40 if width < 130 else 54) if wide else width
    text = story(model, details, row, story_width)
    if wide:
        # A whole screen scrolls, so that pictures are large.
        tall = None if width >= 130 and height >= 36 else height
        shown = strip(pictures, width - story_width - 2, tall, theme.colour)
        shown = shown or _no_pictures(model, details, width - story_width - 2)
        return columns(text, shown, story_width)
    # Narrow: the reasons, then pictures at full size, then the rest; the panel scrolls.
    head = next((n for n, line in enumerate(text) if line.plain.startswith("against")), 8)
    shown = strip(pictures, width, None, theme.colour) or _no_pictures(model, details, width)
    return [*text[:head], *shown, *text[head:]]


def detail_title(model: Model) -> str:
    """Title of the panel."""
    if model.selected is None:
        return "Transmission"
    arm, message = model.info.keys.of_transmission(model.selected)
    place = model.info.place(arm)
    receiver = fit(model.info.arms[arm].receiver, 20)
    said = f"Transmission {model.selected} · message {message} · {receiver}"
    return f"{said} · {place}" if place else said


# --- the pictures -------------------------------------------------------------------------------


def _pictures(model: Model, details: Details, theme: Theme) -> list[Picture]:
    """Source to received of the selected transmission, then the other receivers' images."""
    selected = model.selected
    if selected is None:
        return []
    images = details.images(selected)
    own = model.info.arms[model.info.keys.of_transmission(selected)[0]].receiver
    places = {name: place for place, name in enumerate(model.info.receivers)}
    found = []
    for role in ("source", "attacked", "clean", "received"):
        if role in images:
            label = _seen(details, selected, own) if role == "received" else role
            style = theme.receiver(places[own]) if role == "received" else ""
            found.append(Picture(label, images[role], f"bold {style}".strip()))
    for other in details.siblings(selected) if found else ():
        seen = details.images(other) if other != selected else {}
        if "received" in seen:
            name = model.info.arms[model.info.keys.of_transmission(other)[0]].receiver
            label = _seen(details, other, name)
            found.append(Picture(label, seen["received"], theme.receiver(places[name])))
    if "passive" in images:
        found.append(Picture("passive", images["passive"]))
    return found


def _seen(details: Details, transmission: int, receiver: str) -> str:
    """The label of the image shown to a receiver's user."""
    row = details.row(transmission) or {}
    return f"{receiver} (fallback)" if row.get("delivered") in UNSEEN else receiver


def _no_pictures(model: Model, details: Details, width: int) -> list[Text]:
    noun = model.info.header.noun
    replay = details.replays.get(model.selected) if model.selected is not None else None
    if replay is not None and replay.pending:
        text, style = f"recomputing its {noun}s …", ACCENT
    elif replay is not None and replay.error:
        text, style = f"cannot be recomputed: {replay.error}", BAD
    else:
        text, style = f"press i to recompute its {noun}s (no thumbnail in the ledger)", DIM
    return wrapped(text, width, style)


def replay_note(details: Details, selected: int | None) -> str:
    """The replay's agreement with the ledger, in words; empty without a replay."""
    replay = details.replays.get(selected) if selected is not None else None
    return replay.agrees if replay is not None else ""
