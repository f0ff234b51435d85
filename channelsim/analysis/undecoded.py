"""Codewords that arrived and could not be decoded, as a receiver's own decoder says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channelsim.contracts import records
from channelsim.contracts.records import ArmRecord
from channelsim.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecoded:
    """Attempts of an arm that arrived: ``failed`` of ``of`` could not be decoded.

    ``shown``: whether every one of them was shown, since nothing is refused or sent again.
    """

    arm: int
    receiver: str
    failed: int
    of: int
    shown: bool

    @property
    def share(self) -> float:
        """The share that failed."""
        return self.failed / self.of


def undecoded(ledger: Ledger, arms: Sequence[ArmRecord]) -> tuple[Undecoded, ...]:
    """Arms whose decoder says whether it succeeded, and some attempts that arrived."""
    if records.DECODED not in ledger.attempt_columns:
        return ()
    rows = ledger.rows(
        "SELECT transmission / ? AS arm, COUNT(*), SUM(decoded = 0) FROM attempt"
        " WHERE decoded IS NOT NULL AND lost = 0 GROUP BY 1",
        (ledger.count,),
    )
    counted = {int(arm): (int(failed), int(of)) for arm, of, failed in rows}
    header, found = ledger.header(), []
    shown = not header.judged and header.max_attempts == 1
    for one in arms:
        failed, of = counted.get(one.arm, (0, 0))
        if of:
            found.append(
                Undecoded(arm=one.arm, receiver=one.receiver, failed=failed, of=of, shown=shown)
            )
    return tuple(found)


def about_undecoded(found: Sequence[Undecoded], receiver: str) -> list[str]:
    """A sentence about one receiver, where its decoder failed."""
    own = [one for one in found if one.receiver == receiver]
    shares = [one.share for one in own]
    if not any(shares):
        return []
    low, high = (f"{100 * share:.1f}" for share in (min(shares), max(shares)))
    amount = high if low == high else f"{low} to {high}"
    counted = "; what was shown instead counts in all means" if own[0].shown else ""
    return [f"decoding failed in {amount} % of the attempts that arrived{counted}"]
