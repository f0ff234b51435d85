"""What is said of a whole arm in the ledger: whether its attack was better than noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from channelsim import records
from channelsim.metrics.scales import damage_metric, scale_of
from channelsim.robustness.cells import FIRST, read_arm
from channelsim.robustness.gain import beaten

if TYPE_CHECKING:
    from channelsim.ledger import Ledger


def arm_verdicts(ledger: Ledger) -> Iterator[tuple[int, str]]:
    """Arm number and `arm_verdict` (``ok`` without an adversary), for all arms in order.

    The same question as in the summary, at the point estimate and without its bootstrap.
    """
    header = ledger.header()
    scales = header.get("scales", {})
    gauge = damage_metric(header["metrics"], scales) if header["control"] else None
    for arm in ledger.arms():
        yield arm.arm, _verdict(ledger, arm.arm, gauge)


def arm_verdict(rows: Mapping[str, int], lost_to_noise: bool) -> str | None:
    """One word for the attempts of an arm; None where there is no adversary.

    Where no attempt was attacked, the commonest reason; else whether noise did as much.
    """
    if not rows:
        return None
    if set(rows) == {records.OFF}:
        return records.OFF
    if set(rows) <= {records.OFF, records.IDLE}:
        return records.IDLE
    if set(rows) - {records.IDLE} <= records.FAILED:
        return max(set(rows) - {records.IDLE}, key=lambda word: rows[word])
    return records.BEATEN_BY_NOISE if lost_to_noise else records.OK


def _verdict(ledger: Ledger, arm: int, gauge: str | None) -> str:
    header = ledger.header()
    cells, scales = read_arm(ledger, header, arm), header.get("scales", {})
    lost_to_noise = False
    if gauge is not None and cells.tally.verdicts:
        attack, control = (cells.mean(name) for name in FIRST)
        if attack is not None and control is not None:
            lost_to_noise = beaten(attack, control, scale_of(gauge, scales))
    return arm_verdict(cells.tally.verdicts, lost_to_noise) or records.OK
