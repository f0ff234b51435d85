"""Ascents whose steps fall from the whole radius to a small share of it, for optima inside."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from channelsim.adversaries.row_search import Question, RowSearch, SearchedRow
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.parts import Count, OpenFraction, part
from channelsim.contracts.records import Floats

_LAST = {"linf": 1 / 50, "l2": 1 / 20}  # of the radius; project's choices


@part
class Falling(WhiteBoxSearch):
    """Ascents with falling steps: δ_{k+1} = Π(δ_k + α_k·move), α_k = radius·q^k.

    The move is sign ∇J for an L∞ budget and ∇J/‖∇J‖₂ for another; α falls geometrically, so that
    the first steps cross the budget and the last ones settle where an image as goal has its
    optimum, inside. ``steps`` ≥ 1, default 20; ``restarts`` ≥ 1, default 3: the first from δ = 0,
    the others from points uniform in the budget. ``last``: the last step's share of the radius,
    above 0 and below 1, default 1/50 for an L∞ budget and 1/20 for another. All else as
    `WhiteBoxSearch` says; the defaults are the project's.
    """

    kind: ClassVar[str] = "falling"

    steps: Count = 20
    restarts: Count = 3
    last: OpenFraction | None = None

    @property
    def most_gradients(self) -> int:
        """Those of all restarts, ∇J(0), and the values at their ends."""
        return 1 + math.ceil(self.restarts * (self.steps + 0.5))

    def search(self, row: SearchedRow) -> RowSearch:
        """See `falling`."""
        for number in range(self.restarts):
            yield from falling(row, start(row, number), self.steps, last=self.last)


def start(row: SearchedRow, number: int) -> Floats:
    """δ = 0, and then points uniform in the budget, [D]."""
    if number == 0:
        return np.zeros(row.size)
    if row.ball == "linf":
        return row.radius * (2 * row.uniform("start", number) - 1)
    direction = row.normal("start", number)
    share = row.uniform("start radius", number)[0] ** (1 / row.size)
    return row.radius * share * direction / np.sqrt(np.square(direction).sum())


def falling(
    row: SearchedRow,
    point: Floats,
    steps: int = 20,
    *,
    first: float = 1.0,
    last: float | None = None,
) -> RowSearch:
    """Climb from a point by steps from ``first`` to ``last``, shares of the radius."""
    last = _LAST[row.ball] if last is None else last
    for number in range(steps):
        if number == 0 and not point.any():
            gradient = row.gradient
        else:
            answer = yield Question(point[None], gradient=True)
            gradient = answer.gradients[0]
        share = first * (last / first) ** (number / max(1, steps - 1))
        point = within(row, point + share * row.radius * steepest(row, gradient))
    yield Question(point[None])


def steepest(row: SearchedRow, gradient: Floats) -> Floats:
    """The direction of steepest ascent in the budget's norm: sign ∇J, or ∇J/‖∇J‖₂."""
    if row.ball == "linf":
        return np.sign(gradient)
    length = np.sqrt(np.square(gradient).sum())
    return gradient / length if length > 0 else gradient


def within(row: SearchedRow, point: Floats) -> Floats:
    """The nearest point of the row's budget."""
    if row.ball == "linf":
        return np.clip(point, -row.radius, row.radius)
    length = np.sqrt(np.square(point).sum())
    return point * min(1.0, row.radius / length) if length > 0 else point
