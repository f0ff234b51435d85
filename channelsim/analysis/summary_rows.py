"""A summary as flat rows: one per point, receiver, metric and reference; one per pair."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from channelsim.analysis.summary import Summary

_REFERENCES = ("quality", "source", "clean", "passive", "target")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # beginnings of cells that a spreadsheet would compute


def point_rows(summary: Summary) -> list[dict[str, Any]]:
    """The measurements: ``value`` with its 95 % interval, and the same with matched noise.

    ``against``: ``quality`` is the undisturbed image against the source.
    """
    return [
        {
            "receiver": point.receiver,
            **point.swept,
            "n": point.n,
            "verdict": point.verdict,
            "delivered_share": point.delivered_share,
            "psr_db": point.psr_db,
            "metric": metric,
            "against": against,
            "value": value.value,
            "low": value.low,
            "high": value.high,
            "noise": None if noise is None else noise.value,
        }
        for point in summary.points
        for metric, reading in point.metrics.items()
        for against in _REFERENCES
        if (value := getattr(reading, against)) is not None
        for noise in (getattr(reading, f"control_{against}", None),)
    ]


def pair_rows(summary: Summary) -> list[dict[str, Any]]:
    """The primary family, see `PrimaryFamily.rows`; empty for a single receiver."""
    return [] if summary.primary is None else summary.primary.rows()


def as_csv(summary: Summary) -> str:
    """Both kinds in one table; ``row`` gives the kind of a row."""
    rows = [{"row": "point", **row} for row in point_rows(summary)]
    rows += [{"row": "pair", **row} for row in pair_rows(summary)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*map(_harmless, names)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({_harmless(name): _harmless(value) for name, value in _cells(row)})
    return text.getvalue()


def _cells(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        yield name, "" if value is None or value != value else value


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
