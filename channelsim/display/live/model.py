"""The state of a view and the operations on it; nothing here draws."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.names import number
from channelsim.display.live.figures import Figures
from channelsim.display.live.following import Following
from channelsim.display.live.info import RunInfo
from channelsim.display.live.playback import SPEEDS, Playback, first_speed
from channelsim.display.live.reader import Note, Reader
from channelsim.display.live.warning import Warned, live_warnings
from channelsim.ledger.examination import examined

RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"
WORST, NEWEST = "worst", "newest"
BY_ARM = "arm"  # the order of the table when not by a metric
_RATE_OVER_S = 20.0
_RATE_AFTER_S = 1.0  # shorter times are too noisy; project's choice
_RATE_FROM = 3  # arrivals of rows, which come in blocks: fewer are too noisy; project's choice
SILENT_S = 15.0  # wall time without a row after which a run is said to be silent; project's choice
_QUIET_S = 2.0  # without a row for so long, check whether a process is writing; project's choice
LISTED = 100  # rows of the lists; project's choice


@dataclass
class Filter:
    """Criteria of the rows shown; None lets everything through."""

    receiver: str | None = None
    swept: dict[str, Any] = field(default_factory=dict)
    word: str | None = None

    def arms(self, info: RunInfo) -> NDArray[np.bool_]:
        """Mask of the arms that pass, [arms]."""
        return np.array(
            [
                (self.receiver is None or arm.receiver == self.receiver)
                and all(arm.swept.get(key) == value for key, value in self.swept.items())
                for arm in info.arms
            ]
        )

    def said(self, info: RunInfo) -> str:
        """The filter in words; empty where it lets everything through."""
        parts = [self.receiver] if self.receiver else []
        parts += [f"{info.short[key]} {number(value)}" for key, value in self.swept.items()]
        parts += [self.word] if self.word else []
        return ", ".join(parts)


class Model:
    """A run being watched.

    ``clock``: wall seconds, monotonic (tests pass their own). ``data_root`` is passed on to
    replays. `tick` reads new rows; everything else returns at once.
    """

    def __init__(
        self,
        reader: Reader,
        data_root: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reader, self.info, self.data_root = reader, reader.info, data_root
        self.allow_code = False  # whether code that the ledger names may run without asking
        self.figures = Figures(self.info)
        self.following = Following(reader)
        self.playback: Playback | None = None
        self.paused = False
        self.speed = 1.0
        self.filter = Filter()
        self.sort = BY_ARM
        self.list = WORST
        self.metric = self.info.primary_metric
        self.selected: int | None = None
        self.notes: list[Note] = []
        self.verdicts: Mapping[int, str] = {}
        self.finished_s: float | None = None
        self.finished_at: str | None = None
        self.warned: list[Warned] = []
        self._clock = clock
        self._writing: bool | None = None
        self._heard_at = self._asked_at = self._ticked_at = clock()
        self._counts: deque[tuple[float, int]] = deque()
        self._active = np.zeros(len(self.info.arms), dtype=np.bool_)
        self._attacking = False

    # --- time -----------------------------------------------------------------------------------

    def tick(self, budget_s: float) -> bool:
        """Read for about ``budget_s``; return whether more is waiting to be read."""
        with examined(self.reader.path):
            return self._tick(budget_s)

    def _tick(self, budget_s: float) -> bool:
        now = self._clock()
        passed, self._ticked_at = now - self._ticked_at, now
        settled, attempts = self.figures.settled, self._attempts()
        # The reading speed of old rows is not the run's rate.
        live = self.playback is None and self.following.progress is None
        self.figures.forget_activity()
        more = False
        if self.playback is not None:
            if not self.paused:
                self.playback.advance(passed * self.speed)
                more = self.playback.read(self.figures, budget_s)
                self.paused = self.playback.over
        else:
            self._look_around(now)
            if not self.paused:
                more = self.following.read(self.figures, budget_s)
        if self._attempts() > attempts or self.figures.settled > settled:
            self._heard(now)
            if live:
                self._counts.append((now, self.figures.settled))
                counts = self._counts
                while len(counts) > _RATE_FROM and now - counts[0][0] > _RATE_OVER_S:
                    counts.popleft()
        self.warned = list(live_warnings(self.figures))
        return more

    def step(self) -> None:
        """Pause, and advance by the smallest step."""
        self.paused = True
        before = self._attempts() + self.figures.settled
        self.figures.forget_activity()
        (self.playback or self.following).step(self.figures)
        if self._attempts() + self.figures.settled > before:
            self._heard(self._clock())

    def _attempts(self) -> int:
        return int(self.figures.tally["attempts"].sum())

    def _heard(self, now: float) -> None:
        self._heard_at = now
        self._active, self._attacking = self.figures.active.copy(), self.figures.active_attack

    def _look_around(self, now: float) -> None:
        with self.reader.snapshot() as snapshot:
            if self.finished_s is None:
                self.finished_s, self.finished_at = snapshot.finished()
            self.notes += snapshot.notes(self.notes[-1].number if self.notes else 0)
            self.verdicts = snapshot.arm_verdicts()
        # Rows show that a run goes on, but not that an interrupted one was resumed.
        sure_at = max(self._heard_at, self._asked_at) if self._writing else self._asked_at
        if self.finished_s is None and (self._writing is None or now - sure_at > _QUIET_S):
            self._writing, self._asked_at = self.reader.writing(), now

    @property
    def state(self) -> str:
        """`RUNNING`, `FINISHED` or `INTERRUPTED`."""
        if self.finished_s is not None:
            return FINISHED
        return RUNNING if self._writing else INTERRUPTED

    @property
    def quiet_s(self) -> float:
        """Wall seconds since the last row of a running run."""
        return self._clock() - self._heard_at

    @property
    def sim_s(self) -> float:
        """The simulated clock: of the playback, or the latest time of any row."""
        if self.playback is not None:
            return self.playback.clock_s
        whole = self.finished_s is not None and self.following.progress is None
        return max(self.figures.clock_s, self.finished_s or 0.0) if whole else self.figures.clock_s

    @property
    def rate(self) -> float | None:
        """Transmissions per wall second, over `_RATE_OVER_S` or three blocks; None while unknown.

        Measured between arrivals of rows, since the first rows may have waited for long.
        """
        if self.state != RUNNING or len(self._counts) < _RATE_FROM:
            return None
        (begun, before), (_, after) = self._counts[0], self._counts[-1]
        passed = self._clock() - begun
        return (after - before) / passed if passed >= _RATE_AFTER_S else None

    @property
    def left_s(self) -> float | None:
        """Wall seconds to the end at this rate."""
        rate = self.rate
        return (self.info.total - self.figures.settled) / rate if rate else None

    @property
    def wall_s(self) -> float | None:
        """Wall seconds from the beginning of the run to its end, or to now while it runs."""
        begun = _time(self.info.header.created_at)
        if begun is None or self.state == INTERRUPTED:
            return None
        ended = _time(self.finished_at) if self.state == FINISHED else datetime.now(UTC)
        return None if ended is None else max(0.0, (ended - begun).total_seconds())

    def active(self, arm: int) -> bool:
        """Whether an arm is among the newest rows, and they are recent."""
        return self._moving and bool(self._active[arm])

    @property
    def attacking(self) -> bool:
        """Whether something was injected into the newest rows."""
        return self._moving and self._attacking

    @property
    def _moving(self) -> bool:
        if self.playback is not None:
            return not self.playback.over
        return self.state == RUNNING and self.quiet_s < SILENT_S

    # --- playback -------------------------------------------------------------------------------

    def play(self) -> bool:
        """Play the run from its beginning; return False where it is still being written."""
        if self.state == RUNNING:
            return False
        end_s = max(self.finished_s or 0.0, self.figures.clock_s)
        self.playback = Playback(self.reader, end_s)
        self.figures = Figures(self.info)
        self.speed, self.paused = first_speed(end_s), False
        self._ticked_at = self._clock()
        self._counts.clear()
        return True

    def stop_playing(self) -> None:
        """Leave the playback: show all rows again."""
        if self.playback is not None:
            self.playback, self.paused = None, False
            self.figures, self.following = Figures(self.info), Following(self.reader)

    def faster(self, steps: int) -> None:
        """Double (or halve) the speed of the playback."""
        place = SPEEDS.index(self.speed) + steps
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, place))]

    @property
    def revision(self) -> tuple[Any, ...]:
        """A value that changes whenever panels change, clocks aside."""
        chosen = self.filter.receiver, repr(self.filter.swept), self.filter.word
        active = tuple(self.active(arm.arm) for arm in self.info.arms), self.attacking
        shown = self.sort, self.list, self.metric, self.selected
        counted = self._attempts(), self.figures.settled, len(self.notes), len(self.verdicts)
        return id(self.figures), counted, shown, chosen, active, self.state

    # --- what is shown --------------------------------------------------------------------------

    def arms(self) -> NDArray[np.bool_]:
        """Arms that pass the filter."""
        return self.filter.arms(self.info)

    def ordered_arms(self) -> list[int]:
        """Arms that pass the filter, in the chosen order: worst first where it is a metric."""
        arms = np.flatnonzero(self.arms())
        if self.sort != BY_ARM:
            damage = np.nan_to_num(self.damage(self.sort)[arms], nan=-np.inf)
            arms = arms[np.argsort(-damage, kind="stable")]
        return [int(arm) for arm in arms]

    def damage(self, metric: str) -> NDArray[np.float64]:
        """Mean damage against the source per arm; of a user's own metric the plain mean."""
        return self.figures.estimates(f"{metric}_source").damage

    def worst_arm(self, metric: str) -> int | None:
        """The arm with the highest mean damage among those shown, with at least two rows."""
        found = self.figures.estimates(f"{metric}_source")
        known = self.arms() & (found.n > 1) & ~np.isnan(found.damage)
        if not known.any() or not self.figures.scales[self.info.metrics.index(metric)].damaging:
            return None
        return int(np.argmax(np.where(known, found.damage, -np.inf)))

    def next_sort(self) -> None:
        """Sort by the next key: arm, then the metrics in turn."""
        orders = [BY_ARM, *self.info.metrics]
        self.sort = orders[(orders.index(self.sort) + 1) % len(orders)]

    def next_metric(self) -> None:
        """Select the next metric for curves and lines over time."""
        metrics = self.info.metrics
        self.metric = metrics[(metrics.index(self.metric) + 1) % len(metrics)]

    def listed(self) -> NDArray[np.float64]:
        """Rows of the list of transmissions (see `Figures`: transmission, score, …)."""
        top = self.figures.worst if self.list == WORST else self.figures.newest
        return top.best(self.figures.groups(self.arms(), self.filter.word), LISTED)

    def select_first(self) -> None:
        """Select the first transmission of the list."""
        rows = self.listed()
        if len(rows):
            self.selected = int(rows[0, 0])

    def replay_command(self, transmission: int) -> str:
        """The command that computes a transmission again."""
        words = ["channelsim", "replay", str(self.reader.path.parent)]
        words += ["--transmission", str(transmission), "--out", f"{transmission}.png"]
        if self.data_root is not None:
            words += ["--data-root", str(self.data_root)]
        return shlex.join(words)


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
