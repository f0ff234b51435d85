"""The verdict on a whole arm in the ledger: whether its attack was better than noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from channelsim.analysis.aims import Aim, aim_of
from channelsim.analysis.cells import FIRST, GOAL, ArmCells, read_arm
from channelsim.analysis.gain import beaten
from channelsim.contracts import records
from channelsim.contracts.scales import scale_of

if TYPE_CHECKING:
    from channelsim.ledger import Ledger


def arm_verdicts(ledger: Ledger) -> Iterator[tuple[int, str]]:
    """Arm number and `arm_verdict` (``ok`` without an adversary), for all arms in order.

    The same test as in the summary, at the point estimate and without its bootstrap.
    """
    header = ledger.header()
    scales, scenario = header.scales, header.described_scenario
    gauge = header.damage_metric
    for arm in ledger.arms():
        aim = aim_of(scenario, arm.swept)
        towards = aim.metric(header.metrics, gauge)
        cells = read_arm(ledger, header, arm.arm, towards=towards)
        lost = lost_to_noise(cells, aim, gauge if header.control else None, towards, scales)
        yield arm.arm, arm_verdict(cells.tally.verdicts, lost) or records.OK


def arm_verdict(rows: Mapping[str, int], lost_to_noise: bool) -> str | None:
    """One verdict for the attempts of an arm; None without an adversary.

    If no attempt was attacked, the commonest reason; else whether noise did as much.
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


def lost_to_noise(
    cells: ArmCells,
    aim: Aim,
    gauge: str | None,
    towards: str | None,
    scales: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Whether matched noise served the adversary's own goal at least as well as the attack.

    By damage in ``gauge`` (None: there was no control), or with a target image by the distance to
    it in ``towards``. An adversary that is noise itself is not compared with noise. ``scales``: see
    `scale_of`.
    """
    if aim.kind == "noise" or gauge is None or not cells.tally.verdicts:
        return False
    if aim.kind != "image":
        attack, control = (cells.mean(name) for name in FIRST)
        found = attack is not None and control is not None
        return found and beaten(attack or 0.0, control or 0.0, scale_of(gauge, scales))
    if towards is None:
        return False
    _, attack, control = (cells.mean(name) for name in GOAL)
    if attack is None or control is None:
        return False
    # The smaller distance serves the goal more: the distances take the place of damage, swapped.
    return beaten(control, attack, scale_of(towards, scales))
