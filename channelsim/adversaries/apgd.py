"""Auto-PGD: projected gradient ascent that halves its step where it no longer gets on."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from channelsim.adversaries.falling import steepest, within
from channelsim.adversaries.row_search import Question, RowSearch, SearchedRow
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.parts import Count, part
from channelsim.contracts.records import Floats

_AHEAD = 0.75  # α of the source: the share of a step, against that of the step before
_INCREASES = 0.75  # ρ: the least share of steps that increase J between two checkpoints


@part
class APGD(WhiteBoxSearch):
    """y = Π(δ_k + η·move), δ_{k+1} = Π(δ_k + ¾·(y − δ_k) + ¼·(δ_k − δ_{k−1})), with falling η.

    The move is sign ∇J for an L∞ budget and ∇J/‖∇J‖₂ for another. η begins at twice the radius and
    is halved, with a return to the best point, at checkpoints .22, .41, … of the ``steps``: where
    less than ¾ of the steps since the last one increased J, or where neither η nor the best value
    has changed since. ``steps`` ≥ 1, default 40 (the source: 100); ``restarts`` ≥ 1, default 1,
    each from a random point of the budget's surface. All else as `WhiteBoxSearch` says.

    Source: Croce & Hein 2020, Algorithm 1.
    """

    kind: ClassVar[str] = "apgd"

    steps: Count = 40
    restarts: Count = 1

    @property
    def most_gradients(self) -> int:
        """Those of all restarts, ∇J(0), and the values at their ends."""
        return 1 + math.ceil(self.restarts * (self.steps + 0.5))

    def search(self, row: SearchedRow) -> RowSearch:
        """See `apgd`."""
        for number in range(self.restarts):
            yield from apgd(row, _on_the_surface(row, number), self.steps)


def apgd(row: SearchedRow, point: Floats, steps: int) -> RowSearch:
    """Climb from a point for so many gradients; see `APGD`."""
    size, checks = 2 * row.radius, checkpoints(steps)
    before = best = point
    most = last = -np.inf
    steepest_there = np.zeros(row.size)
    value_before, increases, since, halved = -np.inf, 0, 0, False
    for number in range(steps):
        answer = yield Question(point[None], gradient=True)
        value, gradient = float(answer.values[0]), answer.gradients[0]
        increases += number > 0 and value > value_before
        value_before = value
        if value > most:
            most, best, steepest_there = value, point, gradient
        if number in checks:
            stuck = increases < _INCREASES * (number - since)
            idle = not halved and most <= last
            halved = stuck or idle
            if halved:
                size, point, before, gradient = size / 2, best, best, steepest_there
                value_before = most
            last, since, increases = most, number, 0
        ahead = within(row, point + size * steepest(row, gradient))
        if number:
            ahead = within(row, point + _AHEAD * (ahead - point) + (1 - _AHEAD) * (point - before))
        before, point = point, ahead
    yield Question(point[None])


def checkpoints(steps: int) -> set[int]:
    """The numbers of steps after which η is judged; the first, 0, is left out."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    # Rounded first: 0.57·100 is a little above 57 in double precision.
    return {math.ceil(round(share * steps, 9)) for share in shares[1:-1]}


def _on_the_surface(row: SearchedRow, number: int) -> Floats:
    if row.ball == "linf":
        direction = 2 * row.uniform("start", number) - 1
        return row.radius * direction / np.abs(direction).max()
    direction = row.normal("start", number)
    return row.radius * direction / np.sqrt(np.square(direction).sum())
