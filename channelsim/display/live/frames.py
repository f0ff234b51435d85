"""The content of every panel, as text of a given size; and which panels a terminal can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.text import Text

from channelsim.display.live import curve_plots, detail, overview, text_tables
from channelsim.display.live.model import RUNNING, Model
from channelsim.display.live.remembered import Details
from channelsim.display.live.style import ACCENT, BAD, BOLD, DIM, Theme

WIDE = (120, 36)  # from this size on all panels stand side by side; project's choice
BESIDE = 150  # columns from which the lines over time stand beside the path; project's choice
ROOMY = 46  # lines from which curves and lines over time fit beside the table; project's choice
TALL = 44  # lines from which a narrow terminal adds path and transmission; project's choice
BARE = 30  # lines below which panels that take turns have no frames; project's choice

PANELS = ("path", "arms", "curves", "list", "detail", "warnings")
TABS = ("Path", "Table", "Curves", "List", "Detail", "Warnings")
DETAIL = PANELS.index("detail")


Drawn = TypeVar("Drawn")


def narrow(width: int, height: int) -> bool:
    """Whether panels take turns."""
    return width < WIDE[0] or height < WIDE[1]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The visible parts of the screen; ``single``: one panel has all of it."""

    seen: Mapping[str, bool]
    single: bool
    bare: bool


def arranged(width: int, height: int, tab: int, only: int) -> Arrangement:
    """Arrange panels: ``tab`` fills a narrow screen, ``only`` (if it is not -1) any screen."""
    small = narrow(width, height)
    if small or only >= 0:
        seen = {PANELS[only if only >= 0 else tab]}
        if small and height >= TALL:
            seen |= {"path", "list" if tab == DETAIL else "detail"}
            seen |= {"arms"} if tab == 0 else set()
    else:
        seen = set(PANELS)
    single = len(seen) == 1
    aside = width >= BESIDE and not single and not small
    found = {panel: panel in seen for panel in PANELS}
    found["aside"] = aside
    found["times"] = "curves" in seen and not aside and (small or height >= ROOMY)
    found["top"] = "path" in seen
    found["tabs"] = small or only >= 0
    found["middle"] = bool(seen & {"arms", "curves"})
    found["charts"] = "curves" in seen
    found["bottom"] = bool(seen & {"list", "detail"})
    return Arrangement(found, single, small and height < BARE)


class Frames:
    """Draws panels: every method takes a width and a height, and returns lines that fit.

    Without a model (a run that is only just starting) little is drawn.
    """

    def __init__(self, theme: Theme, owned: bool = False) -> None:
        self.theme, self.owned = theme, owned
        self.model: Model | None = None
        self.details: Details | None = None
        self.tab, self.only = 0, -1
        self.small = False
        self.said = ""  # a temporary message to the user
        self._drawn: dict[str, tuple[object, Any]] = {}

    def show(self, model: Model) -> None:
        """Draw this model from now on."""
        self.model, self.details = model, Details(model)

    def _once(self, name: str, size: tuple[int, ...], draw: Callable[[], Drawn]) -> Drawn:
        """Draw again only what changed: most panels stay the same from frame to frame."""
        assert self.model is not None
        assert self.details is not None
        now = size, self.model.revision, self.details.version
        before, drawn = self._drawn.get(name, (None, None))
        if before != now:
            drawn = draw()
            self._drawn[name] = now, drawn
        found: Drawn = drawn
        return found

    def titles(self) -> dict[str, str]:
        """Names of the frames."""
        if self.model is None:
            return {}
        return {
            "path": "Path",
            "arms": text_tables.arms_title(self.model),
            "curves": curve_plots.curves_title(self.model),
            "times": curve_plots.time_title(self.model),
            "aside": curve_plots.time_title(self.model),
            "list": text_tables.list_title(self.model),
            "detail": detail.detail_title(self.model),
            "warnings": "Warnings",
        }

    def status(self, width: int, _height: int) -> list[Text]:
        """State, clocks and progress."""
        if self.model is None:
            wait = "The run is being prepared: loading, calibrating, first block …"
            return [Text("channelsim", style=BOLD), Text(wait, style=ACCENT)]
        found = overview.status(self.model, width)
        if self.said:
            found[0] = Text.assemble((f" {self.said} ", f"reverse {ACCENT}"), " ", found[0])
            found[0].truncate(width)
        return found

    def tabs(self, width: int, _height: int) -> list[Text]:
        """The panels that take turns."""
        shown = self.only if self.only >= 0 else self.tab
        text = Text()
        roomy = sum(len(tab) + 5 for tab in TABS) <= width
        for place, tab in enumerate(TABS):
            count = len(self.model.warned) if self.model and place == 5 else 0
            name = f"{place + 1} {tab}" if roomy or place == shown else f"{place + 1}"
            name += f" {count}" if count and roomy else ""
            text.append(f" {name} ", "reverse" if place == shown else BAD if count else DIM)
        if self.only >= 0 and not self.small:
            text.append("  0 all panels", DIM)
        return [text]

    def path(self, width: int, height: int) -> list[Text]:
        """The diagram."""
        model = self.model
        if model is None:
            return []
        return self._once(
            "path",
            (width, height),
            lambda: overview.path_lines(model, width, height, self.theme),
        )

    def arms(self, width: int) -> text_tables.TextTable:
        """The estimates."""
        return self._rows("arms", text_tables.arms_table, width)

    def transmissions(self, width: int) -> text_tables.TextTable:
        """The transmissions."""
        return self._rows("list", text_tables.transmissions_table, width)

    def _rows(
        self, name: str, draw: Callable[[Model, int, Theme], text_tables.TextTable], width: int
    ) -> text_tables.TextTable:
        model = self.model
        if model is None:
            return text_tables.TextTable(Text(), [], [])
        return self._once(name, (width,), lambda: draw(model, width, self.theme))

    def curves(self, width: int, height: int) -> list[Text]:
        """Curves along the sweep."""
        model = self.model
        if model is None:
            return []
        return self._once(
            "curves",
            (width, height),
            lambda: curve_plots.curve_lines(model, width, height, self.theme),
        )

    def times(self, width: int, height: int) -> list[Text]:
        """Lines over simulated time."""
        model = self.model
        if model is None:
            return []
        return self._once(
            "times",
            (width, height),
            lambda: curve_plots.time_lines(model, width, height, self.theme),
        )

    def detail(self, width: int, height: int) -> list[Text]:
        """The selected transmission."""
        model, details = self.model, self.details
        if model is None or details is None:
            return []
        found = self._once(
            "detail",
            (width, height),
            lambda: detail.detail_lines(model, details, width, height, self.theme),
        )
        said = detail.replay_note(details, model.selected)
        return [*found, Text(f"replay: {said}", style=DIM)] if said else found

    def warnings(self, width: int, height: int) -> list[Text]:
        """The warnings."""
        return text_tables.warning_lines(self.model, width, height) if self.model else []

    @property
    def noun(self) -> str:
        """What a message of the run carries; while there is no run, ``image``."""
        return "image" if self.model is None else self.model.info.header.noun

    def keys(self, width: int, _height: int) -> list[Text]:
        """The most useful keys, as many as fit."""
        state = self.model.state if self.model else RUNNING
        carried = f"{self.noun}s"
        keys = [("q", "leave"), ("?", "help"), ("w", "worst"), ("n", "newest"), ("i", carried)]
        if self.owned and state == RUNNING:
            keys.insert(1, ("ctrl+c", "stop the run"))
        more = [("f", "filter"), ("s", "sort"), ("m", "metric"), ("r", "replay")]
        if self.model is not None and self.model.playback is not None:
            play = [("p", "end playback"), ("space", "pause"), (".", "step"), ("+ −", "speed")]
            keys += [*play, *more]
        elif state == RUNNING:
            keys += [*more, ("space", "pause"), (".", "step")]
        else:
            keys += [*more, ("p", "play")]
        keys.append(("tab", "next panel"))
        keys += [("1–6", "one panel")] if not self.small and self.only < 0 else []
        text = Text(no_wrap=True)
        for key, name in keys:
            entry = Text.assemble((f" {key} ", "bold reverse"), f" {name} ")
            if text.cell_len + entry.cell_len > width:
                break
            text.append_text(entry)
        return [text]
