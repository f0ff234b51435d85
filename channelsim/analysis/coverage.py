"""The value of a detector: risk against coverage, and how well its score separates attacks.

A receiver with a detector accepts a codeword where its score is at most a threshold. Selective
prediction (El-Yaniv & Wiener 2010; Geifman & El-Yaniv 2017) considers for every threshold the share
accepted, the *coverage*, and the mean damage of the accepted rows, the *risk*:

    c(t) = share of rows with score ≤ t,  risk(t) = mean damage of the rows with score ≤ t.

Damage is that of the *decoded* image against the source, whatever the decision (the column
``decoded_<metric>_source``), on the metric's additive scale (`Scale.damage`: MSE for PSNR, 1 − SSIM
for SSIM). A row is the *first* attempt of a message, where it arrived: one per message and arm,
without selection. Later attempts exist only where the detector has refused, so they would be a
sample selected by the score under test; and a lost codeword has no score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.auroc_aurc import (
    Ranked,
    area_under_risk,
    area_under_roc,
    estimates,
    risk_at,
)
from channelsim.analysis.intervals import (
    Floats,
    Interval,
    Resampler,
    binomial,
    clustered_share,
    ends,
    scattered,
)
from channelsim.analysis.names import epsilon_key_of
from channelsim.analysis.resampling import Unit, by_image
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import Scale

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord
    from channelsim.ledger import Ledger

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Resamplers = Callable[[int], Resampler]

CELLS = 1024  # project's choice: as `intervals.CELLS`, for statistics that cost more
MOST_ROWS = 2**18  # project's choice: a larger arm is sampled at random, about so many messages
GRID = tuple(round(0.05 * step, 2) for step in range(1, 21))  # coverages of the risk curves
_CHUNK = 20_000  # rows held in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Risk against coverage of one arm, in mean damage by one metric (see the module).

    ``aurc``: area under the curve, the mean risk over all coverages. ``oracle``: the same for rows
    sorted by their damage itself, the least possible for any score; ``excess``: aurc − oracle.
    ``all``: risk at coverage 1, which is also the area that a random score has on average.
    ``accepted``: risk at the operating threshold, and ``spared``: all − accepted; None if nothing
    was accepted. ``curve``: risk at the coverages of `GRID`, ``oracle_curve``: the same of the
    oracle.
    """

    metric: str
    aurc: Interval
    oracle: float
    excess: Interval
    all: Interval
    accepted: Interval | None
    spared: Interval | None
    curve: tuple[Interval, ...]
    oracle_curve: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """A detector in one arm, over ``n`` messages that arrived at their first attempt.

    ``stated``: the configured false-alarm rate; ``threshold``: its score from calibration.
    ``coverage``: share accepted. ``false_alarms``: share rejected of the rows with nothing
    injected, with an exact binomial interval (of an effective number of rows on a channel with
    memory, see `clustered_share`); ``detected``: of those with something injected. Both None
    without such rows. ``against``: the number of the same receiver's arm in which nothing was
    injected and all else is equal; ``detected_at_stated``: share of the injected rows that score
    higher than all but the stated share of that arm's rows; ``auroc``: P(an injected row scores
    higher than one of that arm) + ½ P(equal); all None without such an arm. ``risks``: by metric.
    Intervals resample the same unit as those of `Point`.
    """

    arm: int
    receiver: str
    swept: Mapping[str, Any]
    n: int
    stated: float | None
    threshold: float | None
    coverage: Interval
    false_alarms: Interval | None
    detected: Interval | None
    detected_at_stated: Interval | None
    auroc: Interval | None
    against: int | None
    risks: Mapping[str, Risk] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """One flat dictionary: a detector in an arm, with all metrics' areas and risks."""
        row: dict[str, Any] = {"arm": self.arm, "receiver": self.receiver, **self.swept}
        row |= {"n": self.n, "stated": self.stated, "threshold": self.threshold}
        for name in ("coverage", "false_alarms", "detected", "detected_at_stated", "auroc"):
            row |= ends(name, getattr(self, name))
        for metric, risk in self.risks.items():
            row |= ends(f"aurc_{metric}", risk.aurc) | {f"oracle_{metric}": risk.oracle}
            row |= ends(f"excess_{metric}", risk.excess)
            row |= ends(f"risk_all_{metric}", risk.all)
            row |= ends(f"risk_accepted_{metric}", risk.accepted)
        return row


def coverages(
    ledger: Ledger,
    header: RunHeader,
    arms: Sequence[ArmRecord],
    resampler: Resamplers,
    unit: Unit | None = None,
) -> tuple[Coverage, ...]:
    """Evaluate the detector of every arm that has one and any arrivals.

    ``unit``: the unit resampled; default: single images. ``resampler``: by number of cells; should
    cache its results, since most arms share them.
    """
    judged = [arm for arm in arms if header.calibration.threshold(arm.arm) is not None]
    unit = by_image(header) if unit is None else unit
    rows = _Reader(ledger, header, unit)
    benign = {arm.arm: arm for arm in judged if rows.untouched(arm.arm)}
    found = []
    for arm in judged:
        own = rows.read(arm.arm)
        if not len(own.score):
            continue
        mate = None if arm.arm in benign else _mate(arm, list(benign.values()), header)
        reference = None if mate is None else rows.reference(mate.arm)
        found.append(_judge(arm, own, mate, reference, header, resampler, unit.what.in_time))
    return tuple(found)


def stated_rate(header: RunHeader, arm: ArmRecord) -> float | None:
    """The configured false-alarm rate of an arm's detector; None if the header lacks it."""
    receiver = header.receiver(arm.receiver)
    rate = (receiver.get("detector") or {}).get("false_alarm")
    for key, value in arm.swept.items():
        if key.removeprefix("receivers.") in (
            f"{arm.receiver}.detector.false_alarm",
            "*.detector.false_alarm",
        ):
            rate = value
    return None if rate is None else float(rate)


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """First attempts of one arm that arrived; all arrays [n], ``damage``: metric → [n]."""

    cell: Ints
    score: Floats
    accepted: Floats
    injected: Floats
    damage: Mapping[str, Floats]


class _Reader:
    """Reads arms of a ledger; caches the last arm used for comparison."""

    def __init__(self, ledger: Ledger, header: RunHeader, unit: Unit) -> None:
        self._ledger, self._unit = ledger, unit
        self._keys = header.keys
        self._seed = header.seed
        scales = (header.scale(name) for name in header.metrics)
        known = {scale.name: scale for scale in scales if scale.damaging}
        self._scales: dict[str, Scale] = {
            name: scale
            for name, scale in known.items()
            if f"decoded_{name}_source" in ledger.attempt_columns
        }
        self._kept: tuple[int, _Rows] | None = None

    def untouched(self, arm: int) -> bool:
        """Whether nothing was ever injected in this arm, and it has rows."""
        own = self._keys.attempts(arm)
        bounds = (own.start, own.stop)
        query = "SELECT 1 FROM attempt WHERE attempt >= ? AND attempt < ?"
        touched = self._ledger.rows(f"{query} AND delta_l2 > 0 LIMIT 1", bounds)
        recorded = self._ledger.rows(f"{query} LIMIT 1", bounds)
        return next(touched, None) is None and next(recorded, None) is not None

    def reference(self, arm: int) -> _Rows:
        """The same as `read`; the last result is cached."""
        if self._kept is None or self._kept[0] != arm:
            self._kept = (arm, self.read(arm))
        return self._kept[1]

    def read(self, arm: int) -> _Rows:
        """The rows of one arm, or a random sample of about `MOST_ROWS` of them."""
        names = [f'"decoded_{name}_source"' for name in self._scales]
        own = self._keys.attempts(arm)
        step = math.ceil(self._keys.messages / MOST_ROWS)
        rows = self._ledger.rows(
            "SELECT transmission - :first, score, accepted, COALESCE(delta_l2, 0) > 0"
            f"{''.join(', ' + name for name in names)} FROM attempt"
            " WHERE attempt >= :start AND attempt < :end AND attempt % :most = 0"
            " AND lost = 0 AND score IS NOT NULL",
            {
                "first": self._keys.transmission(arm, 0),
                "start": own.start,
                "end": own.stop,
                "most": self._keys.max_attempts,
            },
        )
        parts = [np.empty((0, 4 + len(names)))]
        while chunk := list(islice(rows, _CHUNK)):
            part = np.array(chunk, dtype=np.float64)  # a NULL becomes NaN
            if step > 1:
                part = part[scattered(part[:, 0].astype(np.int64), step, self._seed, "rows") == 0]
            parts.append(part)
        message, score, accepted, injected, *measured = np.concatenate(parts).T
        return _Rows(
            cell=self._unit.cells(message.astype(np.int64), CELLS),
            score=score,
            accepted=accepted,
            injected=injected,
            damage={
                name: scale.damage(scale.to_additive(column))
                for (name, scale), column in zip(self._scales.items(), measured, strict=True)
            },
        )


def _mate(arm: ArmRecord, untouched: Sequence[ArmRecord], header: RunHeader) -> ArmRecord | None:
    """The arm that differs from this one only in that its adversaries inject nothing."""
    adversaries = set(header.threats)
    budget = epsilon_key_of(header.swept_keys)

    def rest(one: ArmRecord) -> dict[str, Any]:
        return {
            key: value
            for key, value in one.swept.items()
            if key != budget and key.split(".")[0] not in adversaries
        }

    alike = (o for o in untouched if o.receiver == arm.receiver and rest(o) == rest(arm))
    return next(alike, None)


# --- evaluation ---------------------------------------------------------------------------------


def _judge(
    arm: ArmRecord,
    own: _Rows,
    mate: ArmRecord | None,
    reference: _Rows | None,
    header: RunHeader,
    resampler: Resamplers,
    in_time: bool,
) -> Coverage:
    stated = stated_rate(header, arm)
    limit = header.calibration.threshold(arm.arm)
    injected, refused = own.injected > 0, own.accepted == 0
    compared = mate is not None and reference is not None and len(reference.score) > 0
    auroc = at_stated = None
    if compared and injected.any():
        assert reference is not None
        auroc = _auroc(own, reference, injected, resampler)
        if stated is not None:
            strange = own.score > _upper_quantile(reference.score, stated)
            at_stated = _share(own.cell, strange, injected, resampler)
    coverage = _share(own.cell, ~refused, np.ones_like(refused), resampler)
    assert coverage is not None  # there are rows
    risks: dict[str, Risk] = {}
    for metric, damage in own.damage.items():
        if metric == "psnr" and "mse" in risks:  # the same damage twice
            risks[metric] = replace(risks["mse"], metric=metric)
        elif not np.isnan(damage).all():
            risks[metric] = _risk(metric, own, damage, resampler)
    return Coverage(
        arm=arm.arm,
        receiver=arm.receiver,
        swept=dict(arm.swept),
        n=len(own.score),
        stated=stated,
        threshold=None if limit is None else float(limit),
        coverage=coverage,
        false_alarms=_alarms(own.cell, refused, ~injected, in_time),
        detected=_share(own.cell, refused, injected, resampler),
        detected_at_stated=at_stated,
        auroc=auroc,
        against=mate.arm if mate is not None and auroc is not None else None,
        risks=risks,
    )


def _share(cell: Ints, hit: Bools, among: Bools, resampler: Resamplers) -> Interval | None:
    """Share of the rows ``among`` that are ``hit``, both [n]; None if ``among`` is empty."""
    if not among.any():
        return None
    held, place = np.unique(cell[among], return_inverse=True)
    hits = np.bincount(place, weights=hit[among], minlength=len(held))
    rows = np.bincount(place, minlength=len(held))

    def share(weights: Floats) -> Floats:
        return (weights @ hits / (weights @ rows))[:, None]

    return estimates(share, len(held), resampler(len(held)))[0]


def _alarms(cell: Ints, hit: Bools, among: Bools, in_time: bool) -> Interval | None:
    """The same with an interval that has width even where no row, or every row, is hit."""
    if not in_time:
        return binomial(int((hit & among).sum()), int(among.sum()))
    hits, rows = (np.bincount(cell[which]).astype(float) for which in (hit & among, among))
    return clustered_share(np.pad(hits, (0, len(rows) - len(hits))), rows)


def _upper_quantile(scores: Floats, share: float) -> float:
    """The ⌈(n + 1)(1 − α)⌉-th smallest of n scores, as thresholds are set; +∞ beyond the last."""
    rank = math.ceil((len(scores) + 1) * (1.0 - share) - 1e-9)
    return math.inf if rank > len(scores) else float(np.sort(scores)[max(rank, 1) - 1])


def _auroc(own: _Rows, reference: _Rows, injected: Bools, resampler: Resamplers) -> Interval:
    """AUROC of the injected rows against another arm's; resamples take the same images of both."""
    score = np.concatenate([own.score[injected], reference.score])
    cell = np.concatenate([own.cell[injected], reference.cell])
    positive = np.concatenate([np.ones(int(injected.sum())), np.zeros(len(reference.score))])
    held, place = np.unique(cell, return_inverse=True)
    ranked = Ranked(score, place, len(held), [positive])

    def area(weights: Floats) -> Floats:
        count, above = ranked.totals(weights)
        return area_under_roc(count, above)[:, None]

    return estimates(area, len(held), resampler(len(held)))[0]


def _risk(metric: str, own: _Rows, damage: Floats, resampler: Resamplers) -> Risk:
    known = ~np.isnan(damage)
    score, harm, accepted = own.score[known], damage[known], own.accepted[known]
    held, place = np.unique(own.cell[known], return_inverse=True)
    cells, grid = len(held), np.array(GRID)
    by_score = Ranked(score, place, cells, [harm])
    by_damage = Ranked(harm, place, cells, [harm])
    taken = np.bincount(place, weights=accepted, minlength=cells)
    taken_harm = np.bincount(place, weights=accepted * harm, minlength=cells)

    def statistics(weights: Floats) -> Floats:
        count, total = by_score.totals(weights)
        best_count, best_total = by_damage.totals(weights)
        everything = total.sum(axis=1) / count.sum(axis=1)
        area, least = area_under_risk(count, total), area_under_risk(best_count, best_total)
        with np.errstate(divide="ignore", invalid="ignore"):
            some = weights @ taken_harm / (weights @ taken)
        columns = [area, least, area - least, everything, some, everything - some]
        curves = [risk_at(grid, count, total), risk_at(grid, best_count, best_total)]
        return np.concatenate([np.stack(columns, axis=1), *curves], axis=1)

    area, least, excess, everything, some, spared, *curves = estimates(
        statistics, cells, resampler(cells)
    )
    return Risk(
        metric=metric,
        aurc=area,
        oracle=least.value,
        excess=excess,
        all=everything,
        accepted=some if accepted.any() else None,
        spared=spared if accepted.any() else None,
        curve=tuple(curves[: len(grid)]),
        oracle_curve=tuple(point.value for point in curves[len(grid) :]),
    )
