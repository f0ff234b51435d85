"""A share of a run: ``--part 2/3`` computes a third of its groups of arms, on a machine of its own.

Rows of all arms of a group are computed together, so a group is never divided. Each share is an
ordinary run that was not finished, with its own folder; `merge` puts the folders together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from channelsim.support.errors import InputError

_WRITTEN = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Share:
    """The ``number``-th of ``of`` shares, from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """``"2/3"``."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f'--part {text}: must be K/N with K from 1 to N, such as "1/4"')
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def groups(self, work: Sequence[float]) -> list[int]:
        """The groups of this share; ``work``: of every group that the run has.

        The largest first, each goes to the share that has least to do.
        """
        there = len(work)
        if self.of > there:
            only = "one group of arms" if there == 1 else f"{there} groups of arms"
            raise InputError(
                f"--part {self}: this scenario has {only} whose rows are computed together, and a"
                f" group is not divided; name parts of at most {there}, or use --workers"
            )
        shares: list[list[int]] = [[] for _ in range(self.of)]
        for group in sorted(range(there), key=lambda one: -work[one]):
            lightest = min(shares, key=lambda has: sum(work[one] for one in has))
            lightest.append(group)
        return sorted(shares[self.number - 1])
