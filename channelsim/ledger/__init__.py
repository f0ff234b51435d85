"""The ledger: the append-only record of a run."""

from channelsim.ledger.comparison import differences
from channelsim.ledger.ledger import Ledger

__all__ = ["Ledger", "differences"]
