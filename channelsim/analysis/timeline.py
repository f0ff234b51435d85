"""Timelines: goodput, latency, refusals and false alarms over simulated time.

Time is cut into equal bins, the same for all arms. A transmission belongs to the bin of its
decision (``done_s``), an attempt to the bin of its arrival (``arrived_s``). Everything streams out
of SQLite; only a histogram of latencies per bin stays in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.intervals import Floats
from channelsim.contracts import records
from channelsim.contracts.run_header import RunHeader

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord
    from channelsim.ledger import Ledger

BINS = 20  # project's choice
PER_BIN = 10  # project's choice: fewer bins if an arm has fewer messages than this per bin
VARIES = 1.05  # project's choice: latency varies if its 95th percentile is so many times its mean

# Latencies fall into buckets 1/32 of an octave wide. A percentile is the mean of the latencies in
# its bucket: exact where they are equal, else off by at most the bucket's width, 2.2 %.
_PER_OCTAVE = 32
_OCTAVES = 44
_SHORTEST_S = 1e-6  # shorter latencies share a bucket, and so do those beyond 2^44 µs, 200 days
_BUCKETS = _PER_OCTAVE * _OCTAVES
_TAIL = 0.95
_CHUNK = 20_000  # rows held in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Traffic of one arm from ``start_s`` to ``end_s`` [s of simulated time].

    ``settled``: transmissions done, ``delivered``: those that reached the user. ``goodput_hz``
    [messages/s]: delivered ÷ time, ``goodput_values_hz`` [real values/s]: times the K of the codec.
    ``latency_s``, ``latency_p95_s`` [s]: mean and 95th percentile of done − sent over delivered
    messages. ``rejected_share``, ``lost_share``: of the settled. ``attempts`` arrived or were
    missed; ``refused_share``: of the attempts that arrived; ``false_alarm_share``: of those with
    nothing injected; ``collided_share``, ``attacked_share``: of all attempts, those that collided
    on the medium, and those with something injected. Shares and means of nothing are None.
    """

    start_s: float
    end_s: float
    settled: int
    delivered: int
    goodput_hz: float | None
    goodput_values_hz: float | None
    latency_s: float | None
    latency_p95_s: float | None
    rejected_share: float | None
    lost_share: float | None
    attempts: int
    refused_share: float | None
    false_alarm_share: float | None
    collided_share: float | None
    attacked_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One arm over simulated time: ``bins``, and the ``whole`` from first arrival to last decision.

    ``offered_hz`` [messages/s]: (n − 1) ÷ (last ``sent_s`` − first) of the n settled messages, None
    if all came at once.
    """

    arm: int
    receiver: str
    swept: Mapping[str, Any]
    bins: tuple[Traffic, ...]
    whole: Traffic
    offered_hz: float | None

    @property
    def telling(self) -> bool:
        """Whether anything was lost, refused, repeated or queued; else time adds little."""
        whole = self.whole
        waits = (
            whole.latency_s is not None
            and whole.latency_p95_s is not None
            and whole.latency_p95_s > VARIES * whole.latency_s
        )
        repeated = whole.attempts > whole.settled
        return waits or repeated or bool(whole.lost_share or whole.refused_share)

    def rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per bin."""
        head = {"arm": self.arm, "receiver": self.receiver, **self.swept}
        names = Traffic.__slots__
        return [head | {name: getattr(one, name) for name in names} for one in self.bins]


def timelines(
    ledger: Ledger, header: RunHeader, arms: Sequence[ArmRecord], bins: int = BINS
) -> tuple[Timeline, ...]:
    """Timelines of every arm with settled transmissions, in at most ``bins`` bins."""
    count = header.count
    end = next(ledger.rows("SELECT MAX(done_s) FROM transmission"))[0]
    if end is None:
        return ()
    most = max(_settled(ledger, arm.arm, count) for arm in arms)
    edges = np.linspace(0.0, float(end), max(1, min(bins, most // PER_BIN)) + 1)
    found = []
    for arm in arms:
        story = _Story(edges, header.calibration.latent_size(arm.arm))
        story.hear(ledger, arm.arm, count, header.max_attempts)
        if story.settled.any():
            found.append(story.timeline(arm))
    return tuple(found)


def _settled(ledger: Ledger, arm: int, count: int) -> int:
    query = "SELECT COUNT(*) FROM transmission WHERE transmission >= ? AND transmission < ?"
    return int(next(ledger.rows(query, (arm * count, (arm + 1) * count)))[0])


class _Story:
    """Counts per bin of one arm."""

    def __init__(self, edges: Floats, latent_size: int | None) -> None:
        self.edges, self.latent_size = edges, latent_size
        self.bins = len(edges) - 1
        self.sent_s, self.done_s = (np.inf, -np.inf), -np.inf
        self.settled, self.delivered, self.rejected, self.lost = np.zeros((4, self.bins))
        # Attempts: all, arrived, refused, benign, false alarms, collided, attacked.
        self.attempts = np.zeros((7, self.bins))
        self.latencies = np.zeros((self.bins, _BUCKETS))
        self.seconds = np.zeros((self.bins, _BUCKETS))

    def hear(self, ledger: Ledger, arm: int, count: int, most: int) -> None:
        """Read the arm's transmissions, then its attempts."""
        transmissions = ledger.rows(
            "SELECT sent_s, done_s, delivered = ?, delivered = ?, delivered = ? FROM transmission"
            " WHERE transmission >= ? AND transmission < ?",
            (records.DELIVERED, records.REJECTED, records.LOST, arm * count, (arm + 1) * count),
        )
        while chunk := list(islice(transmissions, _CHUNK)):
            self._transmissions(np.array(chunk, dtype=np.float64))
        span = count * most
        attempts = ledger.rows(
            "SELECT arrived_s, lost = 0, lost = 0 AND accepted = 0, lost = ?,"
            " COALESCE(delta_l2, 0) > 0 FROM attempt WHERE attempt >= ? AND attempt < ?",
            (records.COLLIDED, arm * span, (arm + 1) * span),
        )
        while chunk := list(islice(attempts, _CHUNK)):
            self._attempts(np.array(chunk, dtype=np.float64))

    def _place(self, times: Floats) -> NDArray[np.int64]:
        return np.clip(np.searchsorted(self.edges, times, side="right") - 1, 0, self.bins - 1)

    def _transmissions(self, rows: Floats) -> None:
        sent, done, *fates = rows.T
        first, last = self.sent_s
        self.sent_s = (min(first, float(sent.min())), max(last, float(sent.max())))
        self.done_s = max(self.done_s, float(done.max()))
        place = self._place(done)
        self.settled += np.bincount(place, minlength=self.bins)
        for tally, fate in zip((self.delivered, self.rejected, self.lost), fates, strict=True):
            tally += np.bincount(place, weights=fate, minlength=self.bins)
        came = fates[0] > 0
        latency = (done - sent)[came]
        octave = np.log2(np.maximum(latency, _SHORTEST_S) / _SHORTEST_S)
        bucket = np.minimum((_PER_OCTAVE * octave).astype(np.int64), _BUCKETS - 1)
        flat = place[came] * _BUCKETS + bucket
        size = self.latencies.size
        self.latencies += np.bincount(flat, minlength=size).reshape(self.latencies.shape)
        self.seconds += np.bincount(flat, weights=latency, minlength=size).reshape(
            self.seconds.shape
        )

    def _attempts(self, rows: Floats) -> None:
        when, arrived, refused, collided, attacked = rows.T
        every, benign = np.ones(len(when)), arrived * (1 - attacked)
        place = self._place(when)
        counted = (every, arrived, refused, benign, refused * benign, collided, attacked)
        for tally, values in zip(self.attempts, counted, strict=True):
            tally += np.bincount(place, weights=values, minlength=self.bins)

    def timeline(self, arm: ArmRecord) -> Timeline:
        """The counts as shares, rates and latencies."""
        each = [slice(place, place + 1) for place in range(self.bins)]
        first, last = self.sent_s
        number = int(self.settled.sum())
        return Timeline(
            arm=arm.arm,
            receiver=arm.receiver,
            swept=dict(arm.swept),
            bins=tuple(
                self._traffic(one, float(self.edges[one.start]), float(self.edges[one.stop]))
                for one in each
            ),
            whole=self._traffic(slice(None), first, self.done_s),
            offered_hz=(number - 1) / (last - first) if last > first else None,
        )

    def _traffic(self, bins: slice, start_s: float, end_s: float) -> Traffic:
        settled, delivered = self.settled[bins].sum(), self.delivered[bins].sum()
        counted = self.attempts[:, bins].sum(axis=1)
        attempts, arrived, refused, benign, alarms, collided, attacked = counted
        latencies, seconds = self.latencies[bins].sum(axis=0), self.seconds[bins].sum(axis=0)
        goodput = _over(delivered, end_s - start_s)
        values = self.latent_size
        return Traffic(
            start_s=start_s,
            end_s=end_s,
            settled=int(settled),
            delivered=int(delivered),
            goodput_hz=goodput,
            goodput_values_hz=None if goodput is None or values is None else values * goodput,
            latency_s=_over(seconds.sum(), delivered),
            latency_p95_s=_percentile(latencies, seconds),
            rejected_share=_over(self.rejected[bins].sum(), settled),
            lost_share=_over(self.lost[bins].sum(), settled),
            attempts=int(attempts),
            refused_share=_over(refused, arrived),
            false_alarm_share=_over(alarms, benign),
            collided_share=_over(collided, attempts),
            attacked_share=_over(attacked, attempts),
        )


def _over(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _percentile(count: Floats, seconds: Floats) -> float | None:
    """The ⌈0.95 n⌉-th smallest of n latencies, as the mean of its bucket."""
    below = np.cumsum(count)
    if below[-1] == 0:
        return None
    bucket = int(np.searchsorted(below, np.ceil(_TAIL * below[-1] - 1e-9)))
    return float(seconds[bucket] / count[bucket])
