"""The strongest attack here: it chooses its members by goal and norm, and keeps the worst."""

from __future__ import annotations

from typing import ClassVar

from channelsim.adversaries.corners import corners
from channelsim.adversaries.directions import directions, more_directions
from channelsim.adversaries.falling import falling, start
from channelsim.adversaries.goals import Damage
from channelsim.adversaries.row_search import RowSearch, SearchedRow
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.parts import Count, part

# Project's choices.
_RACES = 5  # most, of directions
_STARTS = 3  # most, of ascents towards an image
_SAME = 2e-3  # of the way gained, between two that agree
_REFINED, _FIRST = 10, 0.25  # steps of a refinement, and its first, in radii


@part
class Ensemble(WhiteBoxSearch):
    """The attack for claims about a defence: several searches, of which the worst counts.

    Damage: `Corners` for an L∞ budget; for L2 and PSR `Directions`, and then races
    of eight random directions each, until two races ended within 0.2 % of the best; for losses
    other than the mean square error, whose optimum may lie inside, ten falling steps from there. An
    image as goal: `Falling` from δ = 0 and a random start, and from a second one where the two do
    not agree within 0.2 % of the way that the better one gained. ``gradients`` ≥ 1, default 250,
    ends any search. All else as `WhiteBoxSearch` says; the choices are the project's.

    It claims no more than to be the worst of these: what none of them finds stays hidden.
    """

    kind: ClassVar[str] = "ensemble"

    gradients: Count = 250

    @property
    def most_gradients(self) -> int:
        """As given."""
        return self.gradients

    def search(self, row: SearchedRow) -> RowSearch:
        """The members that fit, in turn."""
        if not isinstance(self.goal, Damage):
            yield from _towards_an_image(row)
            return
        yield from corners(row) if row.ball == "linf" else _around_the_sphere(row)
        if self.goal.loss != "mse":
            yield from falling(row, row.best, _REFINED, first=_FIRST)


def _around_the_sphere(row: SearchedRow) -> RowSearch:
    ends: list[float] = []
    for number in range(_RACES):
        row.restart()
        yield from directions(row) if number == 0 else more_directions(row, number - 1)
        ends.append(row.since)
        best = max(ends)
        if sum(best - end <= _SAME * abs(best - row.value) for end in ends) > 1:
            return


def _towards_an_image(row: SearchedRow) -> RowSearch:
    ends: list[float] = []
    for number in range(_STARTS):
        row.restart()
        yield from falling(row, start(row, number))
        ends.append(row.since)
        gained = max(ends) - row.value
        if len(ends) == 2 and abs(ends[0] - ends[1]) <= _SAME * gained:
            return
