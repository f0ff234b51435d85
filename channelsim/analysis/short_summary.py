"""A run in at most 25 lines of 80 columns: quality, best receiver, goal, and the rest.

Plain lines, for a terminal and for ``print(run.summary())``. What does not fit is counted in the
last line, with the command that shows it.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, final

from channelsim.analysis.best_receiver import NOBODY, who_serves_best
from channelsim.analysis.caveats import caveats
from channelsim.analysis.places import labels, place
from channelsim.analysis.short_goals import goals
from channelsim.analysis.short_table import AGAINST, WIDTH, Against, table
from channelsim.analysis.summary import Summary
from channelsim.analysis.summary_rows import pair_rows, point_rows
from channelsim.analysis.written import decimals, spread

if TYPE_CHECKING:
    import pandas as pd

LINES = 25  # project default
__all__ = ["AGAINST", "LINES", "WIDTH", "Against", "ShortSummary", "short_lines", "wrapped"]


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
    found += table(summary, metric, against)
    rest = lines - len(found) - 1  # the last line counts the omitted lines
    said = list(_paragraphs(summary))
    kept = set()
    for at in sorted(range(len(said)), key=lambda at: said[at][0]):
        if len(said[at][1]) <= rest:
            kept.add(at)
            rest -= len(said[at][1])
    for at in sorted(kept):
        found += said[at][1]
    left = [text[0].startswith("Warning") for at, (_, text) in enumerate(said) if at not in kept]
    warned = f" ({_many(sum(left), 'warning')})" if any(left) else ""
    also = f"{_many(len(left), 'finding')}{warned} left out, all" if left else "All"
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
    named = [
        f"{short} is {key}"
        for key, short in labels(summary).items()
        if short != key and not short.startswith(f"{key.partition('.')[0]} ")  # forger ε says it
    ]
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


# --- sentences ----------------------------------------------------------------------------------


def _paragraphs(summary: Summary) -> Iterator[tuple[int, list[str]]]:
    """The paragraphs in order, each with its rank: where space is short the lowest ranks stay."""
    best = who_serves_best(summary)
    for at, text in enumerate(best):
        rank = 0 if at == 0 else 1 if text.startswith(NOBODY) else 4
        yield rank, wrapped(text)
    if len(summary.receivers) == 1 and (text := _extremes(summary)):
        yield 1, wrapped(text)
    for at, text in enumerate(goals(summary)):
        yield (0 if at == 0 else 1), wrapped(text)
    found = dict[str, list[str]]()
    for caveat in caveats(summary):
        found.setdefault(caveat.what.rstrip("."), []).append(caveat.where)
    for at, (what, where) in enumerate(found.items()):
        many = f"Warning {at + 1} of {len(found)}: " if len(found) > 1 else "Warning: "
        there = f": {'; '.join(where)}" if any(where) else ""
        yield (2 if at == 0 else 5), wrapped(_cut(f"{many}{what}{there}."))


def _cut(text: str) -> str:
    return textwrap.shorten(text, 2 * WIDTH - 10, placeholder=" (…)")


def _extremes(summary: Summary) -> str:
    """The range of the only receiver's results; empty for one point."""
    metric = summary.primary_metric
    values = [
        (one.value, one, point) for point in summary.points if (one := point.metrics[metric].source)
    ]
    if len(values) < 2:
        return ""
    low, high = (pick(values, key=lambda found: found[0]) for pick in (min, max))
    digits = decimals([low[1], high[1]])
    said = [
        f"{spread(one, digits)} at {place(summary, point.swept)}" for _, one, point in (low, high)
    ]
    return f"{metric} against the source (95 % intervals): least {said[0]}, most {said[1]}."
