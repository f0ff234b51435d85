"""What is said of a whole arm in the ledger: whether its attack was better than noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from channelsim import records
from channelsim.robustness.cells import FIRST, read_arm
from channelsim.robustness.gain import beaten
from channelsim.robustness.scales import damage_metric, scale_of

if TYPE_CHECKING:
    from channelsim.ledger import Ledger


def arm_verdicts(ledger: Ledger) -> Iterator[tuple[int, str]]:
    """Arm number and ``ok``, ``off`` or ``beaten_by_noise``, for all arms in order.

    The same question as in the summary, at the point estimate and without its bootstrap.
    """
    header = ledger.header()
    gauge = damage_metric(header["metrics"]) if header["control"] else None
    for arm in ledger.arms():
        yield arm.arm, _verdict(ledger, arm.arm, gauge)


def _verdict(ledger: Ledger, arm: int, gauge: str | None) -> str:
    cells = read_arm(ledger, ledger.header(), arm)
    words = set(cells.tally.verdicts)
    if words == {records.OFF}:
        return records.OFF
    if gauge is None or not words:  # nothing to compare with, or no adversary on the path
        return records.OK
    attack, control = (cells.mean(name) for name in FIRST)
    if attack is None or control is None:
        return records.OK
    lost = beaten(attack, control, scale_of(gauge))
    return records.BEATEN_BY_NOISE if lost else records.OK
