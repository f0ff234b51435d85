"""Closing a run that ended between its last row and its closing, when it is next opened.

A run ends with verdicts of its arms and the event `finished`. Where its process was killed just
before that, every row is there and nothing is left to compute: the verdicts are read from the rows
(as at any end), and the simulated end is that of the last decision in the rows, or of the last
event in the parts that it was merged of. The header then has
``closed_later``. Steps that need the scenario's parts are left to `--resume`: budgets, enforced
outside every attack, are not asserted once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from channelsim.analysis.verdicts import arm_verdicts
from channelsim.contracts.records import ArmDone, Finished
from channelsim.ledger import Ledger
from channelsim.ledger.examination import examined
from channelsim.ledger.file import is_written
from channelsim.ledger.genuine import damaged
from channelsim.support.errors import ChannelsimError

NOT_CLOSED = (
    "every row of this run is there, but it was killed before it was closed, and its folder may not"
    " be written: it is taken for finished"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """The state of a run. ``finished_s``: its simulated end [s]; None if rows are missing.

    ``notices``: notices about it to readers of the ledger.
    """

    finished_s: float | None = None
    notices: tuple[str, ...] = ()


def ending(path: Path) -> Ending:
    """The state of a ledger's run, closed if only its closing was missing.

    A run that another process is writing is left alone; a ledger that may not be written counts as
    finished all the same, with a notice.
    """
    with examined(path):
        with Ledger.open(path) as ledger:
            found = _recorded_end(ledger)
            if found is not None or not ledger.complete:
                return Ending(found)
            last_s = ledger.last_decision_s()
        try:
            with Ledger.open(path, write=True) as ledger:
                return Ending(_recorded_end(ledger) if ledger.finished else _close(ledger))
        except ChannelsimError:  # further damage is found by later readers
            if is_written(path):
                return Ending()
            return Ending(last_s, (NOT_CLOSED,))


def _recorded_end(ledger: Ledger) -> float | None:
    finished = ledger.header().values.get("finished")
    if finished is not None and type(finished) not in (int, float):
        raise damaged(ledger.path, f"finished is {finished!r}")
    return None if finished is None else float(finished)


def _close(ledger: Ledger) -> float:
    last_s = max(ledger.last_decision_s(), ledger.raw_header().ended_s or 0.0)
    for arm, verdict in list(arm_verdicts(ledger)):
        ledger.write(ArmDone(arm, verdict))
    ledger.set_header({"closed_later": True})
    ledger.write(Finished(last_s))
    return last_s
