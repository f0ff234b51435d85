"""The ledger: the append-only record of a run."""

from channelsim.ledger.ledger import Ledger, differences

__all__ = ["Ledger", "differences"]
