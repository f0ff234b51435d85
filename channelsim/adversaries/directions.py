"""Directions of a Euclidean budget: where on the sphere damage is largest."""

from __future__ import annotations

from collections.abc import Generator
from typing import ClassVar

import numpy as np
from pydantic import model_validator

from channelsim.adversaries.quadratic import WHOLE, quadratic
from channelsim.adversaries.row_search import Answer, Question, RowSearch, SearchedRow
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.parts import part
from channelsim.contracts.records import Floats

# Project's choices: leading vectors and random directions to start from, full steps of all, then
# how many of the best go on, for how many steps, and by what share of a full step, falling.
_LEADING, _RANDOM = 3, 4
_FULL = 2
_RACE = ((4, (2.0,) * 4), (2, (2.0, 1.4, 1.0, 0.7, 0.5, 0.35)))
_MORE = 8  # random directions of a further race


@part
class Directions(WhiteBoxSearch):
    """A race of directions u on the sphere ‖δ‖₂ = radius of an L2 or PSR budget, for damage.

    It starts from ±v₁, ±v₂, ±v₃, the leading eigenvectors of the Hessian of J at δ = 0
    (`quadratic`), and four random directions. Each takes two full steps u ← ∇J/‖∇J‖₂, the power
    iteration of a quadratic J; the best four then take four shorter ones u ← u + 2·∇J/‖∇J‖₂,
    scaled to the sphere again, and the best two six more, of 2 down to 0.35. A small perturbation
    does most damage along v₁; at a larger one both signs, and others, may do more.

    For an image as goal, whose optimum may lie inside the ball, see `Falling`. All else as
    `WhiteBoxSearch` says.
    """

    kind: ClassVar[str] = "directions"

    @model_validator(mode="after")
    def _round(self) -> Directions:
        if self.budget.norm not in ("l2", "psr_db"):
            raise ValueError(
                f"directions are those of a budget of norm l2 or psr_db, but norm is"
                f" {self.budget.norm}; use corners, or ensemble, which takes every norm"
            )
        return self

    @property
    def most_gradients(self) -> int:
        """Those of the model and of the race, ∇J(0), and two values at the end."""
        steps = (2 * _LEADING + _RANDOM) * _FULL + sum(count * len(by) for count, by in _RACE)
        return 1 + WHOLE + steps + 1

    def search(self, row: SearchedRow) -> RowSearch:
        """See `directions`."""
        yield from directions(row)


def directions(row: SearchedRow) -> RowSearch:
    """Search the sphere of a row's budget; see `Directions`."""
    model = yield from quadratic(row)
    leading = model.vectors.T[:_LEADING]
    yield from _race(row, np.concatenate([leading, -leading, _random(row, 0, _RANDOM)]))


def more_directions(row: SearchedRow, number: int) -> RowSearch:
    """A further race, the ``number``-th from 0, of eight other random directions alone."""
    yield from _race(row, _random(row, _RANDOM + _MORE * number, _MORE))


def _random(row: SearchedRow, first: int, count: int) -> Floats:
    return np.array([row.normal("direction", first + one) for one in range(count)])


def _race(row: SearchedRow, points: Floats) -> RowSearch:
    points = _unit(points)
    points, values = yield from _stepped(row, points, (np.inf,) * _FULL)
    for count, lengths in _RACE:
        points = points[np.argsort(-values, kind="stable")[:count]]
        points, values = yield from _stepped(row, points, lengths)
    yield Question(row.radius * points)


def _stepped(
    row: SearchedRow, points: Floats, lengths: tuple[float, ...]
) -> Generator[Question, Answer, tuple[Floats, Floats]]:
    """Directions [n, D] after some steps, and their J before the last."""
    values = np.zeros(len(points))
    for length in lengths:
        answer = yield Question(row.radius * points, gradient=True)
        values, slopes = answer.values, _unit(answer.gradients)
        ahead = slopes if np.isinf(length) else points + length * slopes
        flat = ~slopes.any(axis=1, keepdims=True)
        points = np.where(flat, points, _unit(ahead))
    return points, values


def _unit(directions: Floats) -> Floats:
    """Directions at unit length; 0 where 0."""
    length = np.sqrt(np.square(directions).sum(axis=1, keepdims=True))
    return directions / np.where(length > 0, length, 1.0)
