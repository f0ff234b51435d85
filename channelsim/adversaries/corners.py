"""The corners of an L∞ budget: where damage is largest."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import ClassVar

import numpy as np
from pydantic import model_validator

from channelsim.adversaries.quadratic import WHOLE, Quadratic, quadratic
from channelsim.adversaries.row_search import Answer, Question, RowSearch, SearchedRow
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.parts import Count, part
from channelsim.contracts.records import Floats

# Project's choices, tuned on 24 digits and five codecs.
_RANKED, _CLIMBED = 16, 2  # corners of the largest gain by the model, evaluated; and climbed from
_KICKED, _IN_VAIN = 0.3, 6  # share of signs that a kick flips; kicks in a row that gain nothing
_FLIPS = 5  # most promising neighbours of a corner, evaluated
_STARTS = 256  # most random corners; few rows need more than 20
_SAMPLED = 1024  # corners that the model ranks, where there are too many to rank all
_SAME = 1e-5  # relative difference of two equal maxima


@part
class Corners(WhiteBoxSearch):
    """A search of the corners δ = ±ε, …, ±ε of an L∞ budget, for damage.

    A loss of damage is convex near its minimum, so that its maximum over the box lies at a corner.
    All 2^D corners are ranked by a quadratic model (`quadratic`), and the 16 best evaluated. From
    the best two, and then from random corners, it climbs: δ ← ε·sign ∇J while J grows, else the
    best of the five single flips that promise most. A row ends when random corners led ``agree`` ≥
    1 times, default 3, to the best value known, and then six corners in a row, each the best with
    about three signs in ten flipped, led to none better; at last all neighbours of the best are
    tried. It ends in any case after ``gradients`` ≥ 1, default 250 (usual are about 110). Corners
    are evaluated once. Beyond D = 12 the model ranks 1,024 corners: the signs of random
    combinations of its leading directions. D is the number of values that it reaches.

    For an image as goal, whose optimum may lie inside the box, see `Falling`. All else as
    `WhiteBoxSearch` says.
    """

    kind: ClassVar[str] = "corners"

    agree: Count = 3
    gradients: Count = 250

    @model_validator(mode="after")
    def _boxed(self) -> Corners:
        if self.budget.norm != "linf":
            raise ValueError(
                f"corners are those of a budget of norm linf, but norm is {self.budget.norm}; use"
                " directions, or ensemble, which takes every norm"
            )
        return self

    @property
    def most_gradients(self) -> int:
        """As given."""
        return self.gradients

    def search(self, row: SearchedRow) -> RowSearch:
        """See `corners`."""
        yield from corners(row, self.agree)


def corners(row: SearchedRow, agree: int = 3) -> RowSearch:
    """Search the corners of a row's box; see `Corners`."""
    model = yield from quadratic(row)
    known = _Known(row, model)
    ranked = _ranked(row, model)
    values = yield from known.values(ranked)
    order = np.argsort(-values, kind="stable")[:_CLIMBED]
    for corner in ranked[order]:
        yield from known.climb(corner, _FLIPS)
    reached: list[float] = []
    for corner in _random(row):
        end = yield from known.climb(corner, _FLIPS)
        reached.append(end)
        best = max(known.most, *reached)
        if sum(value >= best - _SAME * abs(best) for value in reached) >= agree:
            break
    in_vain, number = 0, 0
    while in_vain < _IN_VAIN and number < _STARTS:
        before = known.most
        yield from known.climb(_kicked(row, number), _FLIPS)
        in_vain = 0 if known.most > before else in_vain + 1
        number += 1
    yield from known.climb(np.where(row.best < 0, -1.0, 1.0), WHOLE)


class _Known:
    """The corners evaluated so far: signs [D] → J, and ∇J of those that were climbed from."""

    def __init__(self, row: SearchedRow, model: Quadratic) -> None:
        self._row, self._model = row, model
        self._values: dict[bytes, float] = {}
        self._gradients: dict[bytes, Floats] = {}
        self.most = -np.inf

    def values(self, signs: Floats) -> Generator[Question, Answer, Floats]:
        """J [n] at corners [n, D]; those not yet known are asked for."""
        keys = [_key(one) for one in signs]
        new = {key: one for key, one in zip(keys, signs, strict=True) if key not in self._values}
        if new:
            answer = yield Question(self._row.radius * np.array(list(new.values())))
            self._note(list(new), answer.values)
        return np.array([self._values[key] for key in keys])

    def climb(self, corner: Floats, flips: int) -> Generator[Question, Answer, float]:
        """J at the corner where an ascent from one comes to rest."""
        while True:
            value, gradient = yield from self._slope(corner)
            steep = np.where(gradient == 0, corner, np.sign(gradient))
            if (steep != corner).any():
                (there,) = yield from self.values(steep[None])
                if there > value:
                    corner = steep
                    continue
            neighbours = self._neighbours(corner, gradient, flips)
            values = yield from self.values(neighbours)
            best = int(np.argmax(values))
            if values[best] <= value:
                return value
            corner = neighbours[best]

    def _slope(self, corner: Floats) -> Generator[Question, Answer, tuple[float, Floats]]:
        key = _key(corner)
        if key not in self._gradients:
            answer = yield Question(self._row.radius * corner[None], gradient=True)
            self._note([key], answer.values)
            self._gradients[key] = answer.gradients[0]
        return self._values[key], self._gradients[key]

    def _neighbours(self, corner: Floats, gradient: Floats, flips: int) -> Floats:
        """The corners one flip away that promise most, by ∇J here and the model's curvature."""
        moved = -2 * self._row.radius * corner
        gain = moved * gradient + 0.5 * np.square(moved) * self._model.diagonal
        places = np.argsort(-gain, kind="stable")[:flips]
        neighbours = np.repeat(corner[None], len(places), axis=0)
        neighbours[np.arange(len(places)), places] *= -1
        return neighbours

    def _note(self, keys: list[bytes], values: Floats) -> None:
        for key, value in zip(keys, values.tolist(), strict=True):
            self._values[key] = value
            self.most = max(self.most, value)


def _key(corner: Floats) -> bytes:
    return (corner < 0).tobytes()


def _ranked(row: SearchedRow, model: Quadratic) -> Floats:
    """The corners of the largest gain by the model, the best first, as signs."""
    if row.size <= WHOLE:
        signs = every_corner(row.size)
    else:
        weights = np.array(
            [row.normal("combination", one)[: model.vectors.shape[1]] for one in range(_SAMPLED)]
        )
        combined = weights * np.sqrt(np.abs(model.curvatures)) @ model.vectors.T + model.slope
        signs = np.where(combined < 0, -1.0, 1.0)
    gains = model.gain(row.radius * signs)
    return signs[np.argsort(-gains, kind="stable")[:_RANKED]]


def every_corner(size: int) -> Floats:
    """The signs of all corners, [2^size, size]."""
    negative = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    return np.where(negative, -1.0, 1.0)


def _random(row: SearchedRow) -> Iterator[Floats]:
    for number in range(_STARTS):
        yield np.where(row.uniform("corner", number) < 0.5, 1.0, -1.0)


def _kicked(row: SearchedRow, number: int) -> Floats:
    """The best corner so far with some signs flipped."""
    best = np.where(row.best < 0, -1.0, 1.0)
    return np.where(row.uniform("kick", number) < _KICKED, -best, best)
