"""A run in at most 25 lines of 80 columns: quality, best receiver, goal, and the rest.

Plain lines, for a terminal and for ``print(run.summary())``. What does not fit is counted in the
last line, with the command that shows it.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, final, get_args

from channelsim.analysis.findings import hardest, labels, place, warnings
from channelsim.analysis.goal_words import attacked
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import fixed, number
from channelsim.analysis.points import Point, Reading
from channelsim.analysis.serving import who_serves_best
from channelsim.analysis.summary import Summary
from channelsim.analysis.summary_rows import pair_rows, point_rows
from channelsim.analysis.written import decimals
from channelsim.contracts import records

if TYPE_CHECKING:
    import pandas as pd

LINES, WIDTH = 25, 80  # project defaults
Against = Literal["source", "clean", "passive", "target"]
AGAINST: tuple[Against, ...] = get_args(Against)
_POINTS = 3  # of a sweep, in the table: the first, the middle, the last
_LABEL = 22  # columns of the table's first column
_PSR_DB = -10.0  # the power at which receivers are compared
_DELIVERED = "delivered, %"
_REFERENCES = {
    "source": "the source",
    "clean": "the undisturbed image",
    "passive": "the image after the channel alone",
    "target": "the adversary's target",
}


def short_lines(
    summary: Summary,
    *,
    metric: str | None = None,
    against: Against = "source",
    more: str = "channelsim summary RUN --full",
    lines: int = LINES,
) -> list[str]:
    """At most ``lines`` lines. ``metric``: of the table, default the primary one; ``against``: the
    reference of its images; ``more``: the command that shows everything.
    """
    metric = metric or summary.primary_metric or next(iter(summary.metrics), "")
    found = [textwrap.shorten(summary.title, WIDTH, placeholder=" …"), *_scope(summary), ""]
    found += _table(summary, metric, against)
    rest = lines - len(found) - 1  # the last line counts the omitted lines
    said = list(_paragraphs(summary))
    kept = set()
    for at in sorted(range(len(said)), key=lambda at: said[at][0]):
        if len(said[at][1]) <= rest:
            kept.add(at)
            rest -= len(said[at][1])
    for at in sorted(kept):
        found += said[at][1]
    left = len(said) - len(kept)
    also = f"{_many(left, 'finding')} left out here, and all" if left else "All"
    return [*found, f"{also} tables: {more}"]


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def wrapped(text: str) -> list[str]:
    """A paragraph as lines, the later ones indented; a long word stays whole."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def _scope(summary: Summary) -> list[str]:
    text = f"{_many(summary.count, 'message')} × {_many(len(summary.points), 'arm')}"
    text += f", seed {summary.seed}"
    named = [f"{short} is {key}" for key, short in labels(summary).items() if short != key]
    return wrapped("; ".join([text, *named]))[:2]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ShortSummary(Summary):
    """A summary that prints in short form, and is a table in a notebook."""

    @classmethod
    def made_of(cls, summary: Summary) -> ShortSummary:
        """The same summary in this class."""
        return cls(**{field.name: getattr(summary, field.name) for field in fields(summary)})

    def __str__(self) -> str:
        return "\n".join(short_lines(self))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>{self.frame().to_html(max_rows=40)}"

    def frame(self) -> pd.DataFrame:
        """One row per point, receiver, metric and reference, as a pandas table."""
        import pandas as pd

        return pd.DataFrame(point_rows(self))

    def comparisons_frame(self) -> pd.DataFrame:
        """One row per pair of receivers at every point and over every reading of a budget."""
        import pandas as pd

        return pd.DataFrame(pair_rows(self))


# --- the table ----------------------------------------------------------------------------------


def _table(summary: Summary, metric: str, against: Against) -> Iterator[str]:
    """The metric at a few points, receivers side by side, with the channel alone and with noise."""
    receivers, hidden = _that_fit(summary.receivers)
    rows = list(_rows(summary, metric, against))
    shown = [cells for label, cells in rows if label != _DELIVERED]
    digits = decimals([cells.get(name) for cells in shown for name in receivers])
    title = f"{metric} against {_REFERENCES[against]}"
    if hidden:
        title += f" ({_many(hidden, 'more receiver')} not shown)"
    yield title
    yield " " * _LABEL + "".join(f"{name:>{_width(name)}}" for name in receivers)
    for label, cells in rows:
        line = f"  {label:<{_LABEL - 2}}"
        for name in receivers:
            interval = cells.get(name)
            places = 1 if label == _DELIVERED else digits
            text = "–" if interval is None else fixed(interval.value, places)
            line += f"{text:>{_width(name)}}"
        yield line
    mean = summary.constant_image.get(metric) if against == "source" else None
    if mean is not None:
        yield f"  {'mean image, always':<{_LABEL - 2}}{fixed(mean, digits):>{_width(receivers[0])}}"
    yield ""


def _width(name: str) -> int:
    return max(8, len(name) + 2)


def _that_fit(receivers: Sequence[str]) -> tuple[list[str], int]:
    room, shown = WIDTH - _LABEL, list[str]()
    for name in receivers:
        room -= _width(name)
        if room < 0:
            break
        shown.append(name)
    return shown or [receivers[0]], len(receivers) - max(1, len(shown))


Cells = Mapping[str, Interval | None]


def _rows(summary: Summary, metric: str, against: Against) -> Iterator[tuple[str, Cells]]:
    last = {name: point for name in summary.receivers if (point := hardest(summary, name))}

    def read(points: Mapping[str, Point], of: Callable[[Reading], Interval | None]) -> Cells:
        return {name: of(point.metrics[metric]) for name, point in points.items()}

    struck = {name: point for name, point in last.items() if attacked(point)}
    if against == "source":
        yield "undisturbed", read(last, lambda reading: reading.quality)
        if struck:
            alone = read(struck, lambda reading: reading.alone_source)
            if any(alone.values()) and not any(p.verdict == records.OFF for p in summary.points):
                yield "channel alone", alone
    for swept in _chosen(summary):
        here = _at(summary, swept)
        label = place(summary, swept) or ("with the attack" if struck else "received")
        cells = read(here, lambda reading: getattr(reading, against))
        yield textwrap.shorten(label, _LABEL - 2, placeholder="…"), cells
    here = _at(summary, _chosen(summary)[-1])
    hit = {name: p for name, p in here.items() if attacked(p) and p.aim.kind != "noise"}
    noise = read(hit, lambda reading: getattr(reading, f"control_{against}"))
    if any(noise.values()):
        yield "  its equal noise", noise
    if against == "source":
        yield from _at_equal_power(summary, metric)
    delivered = {
        name: Interval(100 * point.delivered_share, math.nan, math.nan)
        for name, point in here.items()
        if point.delivered_share is not None
    }
    if any(share.value < 100 for share in delivered.values()):
        yield _DELIVERED, delivered


def _chosen(summary: Summary) -> list[Mapping[str, Any]]:
    """A few points of the sweep, in its order: the first, the hardest or the middle, the last."""
    points = list[Mapping[str, Any]]()
    for point in summary.points:
        if point.swept not in points:
            points.append(point.swept)
    if len(points) <= _POINTS:
        return points
    worst = hardest(summary, summary.receivers[0])
    between = points[len(points) // 2] if worst is None else worst.swept
    if between in (points[0], points[-1]):
        between = points[len(points) // 2]
    return [points[0], between, points[-1]]


def _at(summary: Summary, swept: Mapping[str, Any]) -> dict[str, Point]:
    return {point.receiver: point for point in summary.points if point.swept == swept}


def _at_equal_power(summary: Summary, metric: str) -> Iterator[tuple[str, Cells]]:
    for one in summary.comparisons[:1]:
        levels = sorted({c.psr_db for c in one.table if c.metric == metric})
        if one.same_power or not levels:
            continue
        level = min(levels, key=lambda psr: abs(psr - _PSR_DB))
        cells = {c.receiver: c.source for c in one.table if (c.metric, c.psr_db) == (metric, level)}
        yield f"at {number(level)} dB PSR", cells


# --- sentences ----------------------------------------------------------------------------------


def _paragraphs(summary: Summary) -> Iterator[tuple[int, list[str]]]:
    """The paragraphs in order, each with its rank: where space is short the lowest ranks stay."""
    best = who_serves_best(summary)
    for at, text in enumerate(best):
        yield (0 if at == 0 else 4 if at == len(best) - 1 else 2), wrapped(text)
    for text in _goals(summary):
        yield 1, wrapped(text)
    if warned := warnings(summary):
        text = f"{_many(len(warned), 'warning')}. {warned[0]}"
        yield 3, [textwrap.shorten(text, WIDTH, placeholder=" …")]


def _goals(summary: Summary) -> Iterator[str]:
    """Whether the adversary reached its goal, receivers of equal result together."""
    answers: dict[tuple[str, str], list[Point]] = {}
    for name in summary.receivers:
        point = hardest(summary, name)
        if point is not None and attacked(point):
            where = place(summary, point.swept)
            start = f"At {where}, {point.aim.who}" if where else point.aim.who
            answers.setdefault((start, _answer(point)), []).append(point)
    for (start, answer), points in answers.items():
        if not answer:
            continue
        names = ", ".join(point.receiver for point in points)
        whom = f" ({names})" if len(summary.receivers) > 1 else ""
        yield f"{start} {answer}{whom}{_figures(points)}."


def _answer(point: Point) -> str:
    near = point.approach
    if point.aim.kind == "noise":
        return "is noise itself, so nothing is said of it against noise"
    if point.aim.kind == "image":
        if near is None or near.got_nearer is None:
            return f"wants {point.aim.target}: whether it got nearer may be chance"
        if not near.got_nearer:
            return f"wants {point.aim.target}, and drove the image away from it"
        how = {True: ", by knowing", False: ", but noise got nearer", None: ", as noise might"}
        control = how[near.knew] if near.noise is not None else ""
        return f"wants {point.aim.target}, and got nearer{control}"
    if point.gain_db is None:
        return ""
    if point.gain_db.low > 0:
        return "does more damage than equal noise"
    if point.gain_db.high < 0:
        return "does less damage than equal noise"
    return "does damage that is not told apart from equal noise's"


def _figures(points: Sequence[Point]) -> str:
    if points[0].aim.kind == "image":
        near = [point.approach for point in points if point.approach is not None]
        gone = _range([one.approach_db for one in near])
        noise = _range([one.noise_db for one in near])
        if not gone:
            return ""
        beside = f", equal noise {noise} dB" if noise else ""
        return f": approach {gone} dB{beside}"
    gain = _range([point.gain_db for point in points])
    return f": gain {gain} dB" if gain and points[0].aim.kind == "damage" else ""


def _range(intervals: Sequence[Interval | None]) -> str:
    values = [one.value for one in intervals if one is not None]
    if not values:
        return ""
    low, high = fixed(min(values), 1), fixed(max(values), 1)
    return low if low == high else f"{low} to {high}"
