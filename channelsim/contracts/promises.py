"""The promise about bits, and the tests of it on the machine of a run.

Everything here that computes an image is computed in blocks of rows. If a row's result
has the same bits whatever its neighbours and its place in the block, then scheduling, interruption,
resuming and recomputation change nothing. That depends on the kernels that torch chooses for a
processor, and on the user's own modules. So it is tested before the first message (see
`self_test`), the findings go into the run's header, and where the promise does not hold, everything
that depends on it says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from channelsim.contracts.run_header import RunHeader
from channelsim.support.block_shape import BlockShape

# Tolerated difference between two computations of a row where bits are not promised: relative, or
# absolute for values below 1. Where a gradient's sign flips, the difference is larger: a flip.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class BitComparison:
    """Rows computed in two ways that should give the same bits.

    ``rows``: how many were compared. ``differ``: how many of them in any bit. ``flipped``: how many
    by more than `TOLERANCE`. ``largest``: the largest difference within it, relative or absolute.
    ``columns``: some of those that differ.
    """

    rows: int = 0
    differ: int = 0
    flipped: int = 0
    largest: float = 0.0
    columns: tuple[str, ...] = ()

    def __add__(self, other: BitComparison) -> BitComparison:
        return BitComparison(
            self.rows + other.rows,
            self.differ + other.differ,
            self.flipped + other.flipped,
            max(self.largest, other.largest),
            tuple(dict.fromkeys((*self.columns, *other.columns)))[:8],
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """Findings of the self-test: effects of a row's place and neighbours, and of the thread count.

    ``block_rows``: the shape tested. ``threads``: the two numbers compared. ``least``,
    ``most``: the heights of blocks, halves and doubles of ``block_rows``, that give the same bits.
    """

    block_rows: int
    threads: tuple[int, int]
    place: BitComparison
    thread: BitComparison
    least: int = 0
    most: int = 0

    def shape(self, block_rows: int) -> BlockShape:
        """The blocks to compute in; other heights only where they were tried."""
        if block_rows != self.block_rows:
            return BlockShape(block_rows)
        return BlockShape(block_rows, self.least, self.most)

    @property
    def as_dict(self) -> dict[str, Any]:
        """The findings as the header stores them."""
        return asdict(self)


def of_header(header: RunHeader) -> Tried | None:
    """The findings in a run's header; None if nothing was tested."""
    stored = header.promises
    if not stored:
        return None
    place, thread = (
        BitComparison(**(stored[name] | {"columns": tuple(stored[name]["columns"])}))
        for name in ("place", "thread")
    )
    few, many = stored["threads"]
    heights = (int(stored.get(name, 0)) for name in ("least", "most"))  # none in older runs
    return Tried(int(stored["block_rows"]), (int(few), int(many)), place, thread, *heights)


def keeps_bits(header: RunHeader) -> bool:
    """Whether a row's bits were found to depend on the row alone, at equal thread counts."""
    tried = of_header(header)
    return tried is not None and tried.place.differ == 0


def weakened(tried: Tried) -> list[str]:
    """The parts of the promise about bits that do not hold, a sentence each; empty if all hold.

    Bits that depend on the thread count weaken nothing for resume and replay: they use the run's
    own number.
    """
    if not tried.place.differ:
        return []
    return [
        f"a row's bits depend on its place in a block here ({_extent(tried.place)}), so rows"
        " computed after --resume, by replay or at another max_pending agree with the others"
        f" within {TOLERANCE:g} and not bit for bit, and more where a gradient's sign flips;"
        " differences between arms smaller than that mean nothing"
    ]


def kept(tried: Tried) -> str:
    """The parts of the promise that were tested and hold, in one line."""
    few, many = tried.threads
    if tried.place.differ:
        return weakened(tried)[0]
    threads = (
        f"with {few} and {many} threads alike"
        if not tried.thread.differ
        else f"at an equal number of threads ({few} and {many} differ: {_extent(tried.thread)})"
    )
    return f"a row's bits do not depend on its place in a block of {tried.block_rows}, {threads}"


def _extent(found: BitComparison) -> str:
    flips = f", {found.flipped} of them flipped" if found.flipped else ""
    size = f" by up to {found.largest:.0e}" if found.largest else ""
    return (
        f"{found.differ} of {found.rows} rows tried differ{size}{flips}:"
        f" {', '.join(found.columns[:3])}"
    )
