"""Ledgers with known numbers, for tests of summaries, views and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import channelsim
from channelsim.contracts import records
from channelsim.contracts.records import ArmRecord, AttemptsDone, Started, TransmissionsDone
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger, differences

EPSILON = "mallory.budget.epsilon"


def started(
    arms: Sequence[ArmRecord],
    count: int,
    metrics: Sequence[str] = ("mse",),
    control: bool = True,
    max_attempts: int = 1,
    seed: int = 7,
    judged: bool = False,
    **more: Any,
) -> Started:
    """Return the first event of a run over these arms; ``judged``: a receiver has a detector."""
    header = {
        "title": "A run with known numbers",
        "seed": seed,
        "scenario_written": "title: A run with known numbers\n",
        "scenario": {"path": [{"kind": "pgd", "name": "mallory", "budget": {"norm": "linf"}}]},
        "scenario_hash": "0" * 64,
        "count": count,
        "max_attempts": max_attempts,
        "metrics": list(metrics),
        "control": control,
        "judged": judged,
        "swept_keys": list(arms[0].swept),
        "receivers": list(dict.fromkeys(arm.receiver for arm in arms)),
        "block_rows": 8,
        "fingerprint": {},
        "versions": {},
        "git": None,
        "weights": {},
        "calibration": {},
        "parts": {},
        "threats": {},
    } | more
    return Started(RunHeader(header), list(arms), count * len(arms))


def add_arm(
    ledger: Ledger, arm: int, messages: Sequence[int] | None = None, **columns: Any
) -> None:
    """Settle one arm's messages at their first attempt; unnamed columns get harmless values.

    A column is one value for all rows, or an array [N].
    """
    header = ledger.header()
    numbers = np.arange(header.count) if messages is None else np.asarray(messages)
    names = _measured(header)
    transmission = arm * header.count + numbers
    attempts = np.broadcast_to(columns.pop("attempts", 1), numbers.shape)
    delivered = np.broadcast_to(columns.pop("delivered", "yes"), numbers.shape)
    settled = {
        "transmission": transmission.tolist(),
        "sent_s": np.broadcast_to(columns.pop("sent_s", 0.01 * numbers), numbers.shape).tolist(),
        "done_s": np.broadcast_to(
            columns.pop("done_s", 0.01 * numbers + 0.05), numbers.shape
        ).tolist(),
        "attempts": attempts.tolist(),
        "delivered": delivered.tolist(),
    }
    values: dict[str, Any] = {
        **dict.fromkeys(records.ATTEMPT_COLUMNS),
        "attempt": transmission * header.max_attempts + attempts - 1,
        "transmission": transmission,
        "arrived_s": 0.01 * numbers + 0.03,
        "lost": delivered == "lost",
        "accepted": delivered == "yes",
        "score": None,
        "snr_db": 30.0,
        "snr_measured_db": 30.0,
        "snr_row_db": 30.0,
        "delta_linf": 0.5,
        "delta_l2": 1.0,
        "psr_db": -10.0,
        "psr_row_db": -10.0,
        "psr_received_db": -10.0,
        "verdict": "ok",
        **{name: None if name.endswith("_target") else 0.5 for name in names},
        **columns,
    }
    ledger.write(AttemptsDone(_spread(values, len(numbers))))
    ledger.write(TransmissionsDone(settled))


def add_attempts(ledger: Ledger, attempts: Sequence[int], **columns: Any) -> None:
    """Record further attempts by their keys, with harmless values in unnamed columns."""
    header = ledger.header()
    names = _measured(header)
    keys = np.asarray(attempts)
    values: dict[str, Any] = dict.fromkeys((*records.ATTEMPT_COLUMNS, *names))
    values |= {"attempt": keys, "transmission": keys // header.max_attempts}
    values |= {"arrived_s": 0.0, "lost": 0, "accepted": 0, "delta_l2": 1.0} | columns
    ledger.write(AttemptsDone(_spread(values, len(keys))))


def _measured(header: Mapping[str, Any]) -> list[str]:
    metrics = header.metrics
    measured = records.metric_columns(
        metrics, header.control, header.judged, header.passive_columns
    )
    return records.quality_columns(metrics) + measured


def _spread(values: Mapping[str, Any], n: int) -> dict[str, list[Any]]:
    return {
        name: np.asarray(value).tolist() if np.ndim(value) else [value] * n
        for name, value in values.items()
    }


def sweep(receivers: Sequence[str], epsilons: Sequence[float]) -> list[ArmRecord]:
    """Return arms for every receiver and budget, receiver by receiver."""
    pairs = [(receiver, epsilon) for receiver in receivers for epsilon in epsilons]
    return [ArmRecord(i, name, {EPSILON: epsilon}) for i, (name, epsilon) in enumerate(pairs)]


def created(folder: Path, *arguments: Any, **named: Any) -> Ledger:
    """Return a new ledger in a folder, with the header that `started` makes."""
    return Ledger.create(folder / "ledger.sqlite", started(*arguments, **named))


def assert_equal_ledgers(one: Path, other: Path) -> None:
    """Two finished runs with the same rows, bit for bit."""
    with (
        Ledger.open(one / "ledger.sqlite") as left,
        Ledger.open(other / "ledger.sqlite") as right,
    ):
        assert left.finished
        assert right.finished
        assert differences(left, right) == []


def assert_waiting_changes_nothing(
    study: Any, folder: Path, changed: Mapping[str, Any] | None = None
) -> None:
    """Require equal ledgers of one scenario with few and with many pending rows."""
    for pending in (1, 64):
        settings = {**(changed or {}), "max_pending": pending}
        channelsim.run(study, set=settings, out=folder / str(pending))
    assert_equal_ledgers(folder / "1", folder / "64")
