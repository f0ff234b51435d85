"""Searches of one row at a time: a search asks for values and gradients, and is answered in blocks.

A search is a generator that knows nothing but its row. It yields a `Question` and is sent the
`Answer`; what all rows ask at a time is computed together, in blocks of the promised heights. So a
row's result depends on the row alone, rows end when they like, and each counts its own effort.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.draws import BALLS, Ball
from channelsim.adversaries.live_blocks import Objective, RowObjective, evaluated
from channelsim.contracts.own_code import RowsError
from channelsim.contracts.records import Floats, Ints
from channelsim.contracts.rows import Knowledge, Rows

_KEPT = 16  # objectives of blocks; project's choice


@dataclass(frozen=True, slots=True)
class Question:
    """Points δ [n, D] of which a search wants J, and its gradient if ``gradient``."""

    points: Floats
    gradient: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """J [n] at the points asked for, −inf where it is not finite; ∇J [n, D] if asked for, else 0.

    Points outside the budget were projected onto it first.
    """

    values: Floats
    gradients: Floats


RowSearch = Generator[Question, Answer, None]


@dataclass
class SearchedRow:
    """One row: δ has ``size`` D values, those that the adversary reaches.

    ``radius`` of the ``ball``. ``value`` and ``gradient`` [D]: J and ∇J at δ = 0. ``best`` [D] and
    ``best_value``: the best point answered so far, at first 0; ``since``: the best value since
    `restart`. ``gradients`` and ``values``: how many of each it was given, ∇J(0) included; a
    gradient comes with its value. ``uniform(draw, index)``, ``normal(draw, index)``: [D], random
    numbers of its message.
    """

    size: int
    radius: float
    ball: Ball
    uniform: Callable[[str, int], Floats]
    normal: Callable[[str, int], Floats]
    value: float
    gradient: Floats
    best: Floats
    best_value: float
    gradients: int = 1
    values: int = 0
    since: float = -math.inf

    def restart(self) -> None:
        """Forget ``since``."""
        self.since = -math.inf


@dataclass(frozen=True, slots=True)
class Searched:
    """Best δ [N, K], NaN where no J was finite, and its J [N]; J(0) [N].

    ``slope`` [N]: the largest ‖∇J‖₂ ÷ share of all gradients, where the share of one at δ is
    ‖δ‖/(√K·rms), kept within 0.001 … 1, and 1 at δ = 0. ``gradients`` and ``values`` [N]: how many
    of each were computed.
    """

    delta: Tensor
    value: Tensor
    unperturbed: Tensor
    slope: Floats
    gradients: Ints
    values: Ints


class RowSearches:
    """A search for every row [N, K] of ``signal``, in its ball of ``radius`` [N].

    ``most``: gradients of a row, a value counted as half a gradient; a search that asks for more
    has ended.
    """

    def __init__(
        self,
        aim: Objective,
        signal: Tensor,
        radius: Tensor,
        ball: Ball,
        search: Callable[[SearchedRow], RowSearch],
        rows: Rows,
        knowledge: Knowledge,
        most: float = math.inf,
    ) -> None:
        self._most = most
        self._oracle = _Oracle(aim, radius, ball, knowledge)
        self._n, self._width = signal.shape
        self._like = signal
        self._rms = knowledge.power**0.5
        reach = np.ones(signal.shape, dtype=bool)
        if knowledge.reach is not None:
            reach = knowledge.reach.cpu().numpy()
        self._places = [np.flatnonzero(one) for one in reach]
        self._draws = rows
        self._best = np.zeros(signal.shape, dtype=np.float32)
        self._slope = np.zeros(self._n)
        self._rows = self._begun(radius.double().cpu().numpy(), ball)
        self._searches = [search(row) for row in self._rows]

    def _begun(self, radius: Floats, ball: Ball) -> list[SearchedRow]:
        zero = np.zeros((self._n, self._width))
        _, values, gradients = self._oracle.ask(np.arange(self._n), zero, gradient=True)
        self._note_slopes(np.arange(self._n), zero, gradients)
        return [
            SearchedRow(
                size=len(self._places[row]),
                radius=float(radius[row]),
                ball=ball,
                uniform=self._drawn(row, self._draws.uniform),
                normal=self._drawn(row, self._draws.normal),
                value=float(values[row]),
                gradient=gradients[row, self._places[row]],
                best=np.zeros(len(self._places[row])),
                best_value=float(values[row]),
            )
            for row in range(self._n)
        ]

    def _drawn(
        self, row: int, draw: Callable[[int, str, int], Tensor]
    ) -> Callable[[str, int], Floats]:
        def of(name: str, index: int) -> Floats:
            found = draw(self._width, name, index)[row].double().cpu().numpy()
            return found[self._places[row]]

        return of

    def ended(self) -> Searched:
        """All searches led to their ends."""
        asked: dict[int, Question] = {}
        for row, search in enumerate(self._searches):
            if self._rows[row].size and self._rows[row].radius > 0:
                self._go_on(asked, row, partial(next, search))
        while asked:
            answers, asked = self._answered(asked), {}
            for row, answer in answers.items():
                self._go_on(asked, row, partial(self._searches[row].send, answer))
        each = self._rows
        for row, one in enumerate(each):
            if one.best_value == -np.inf:
                self._best[row] = np.nan

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64).to(self._like)

        return Searched(
            torch.from_numpy(self._best + np.float32(0)).to(self._like),  # −0 becomes 0
            column([one.best_value for one in each]),
            column([one.value for one in each]),
            self._slope,
            np.array([one.gradients for one in each]),
            np.array([one.values for one in each]),
        )

    def _go_on(self, asked: dict[int, Question], row: int, step: Callable[[], Question]) -> None:
        """A row's next question, unless it has none or may not ask it."""
        try:
            question = step()
        except StopIteration:
            return
        one, count = self._rows[row], len(question.points)
        cost = one.gradients + one.values / 2 + (count if question.gradient else count / 2)
        if cost <= self._most:
            asked[row] = question

    def _answered(self, asked: dict[int, Question]) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        for gradient in (False, True):
            some = {row: one.points for row, one in asked.items() if one.gradient is gradient}
            if not some:
                continue
            counts = [len(points) for points in some.values()]
            rows = np.repeat(np.array(list(some)), counts)
            full = np.zeros((len(rows), self._width))
            ends = np.cumsum(counts)
            for row, end, points in zip(some, ends, some.values(), strict=True):
                full[end - len(points) : end, self._places[row]] = points
            delta, values, slopes = self._oracle.ask(rows, full, gradient=gradient)
            if gradient:
                self._note_slopes(rows, delta, slopes)
            for row, end, count in zip(some, ends, counts, strict=True):
                part = slice(end - count, end)
                places = self._places[row]
                self._note(row, delta[part], values[part], gradient)
                answers[row] = Answer(values[part], slopes[part][:, places])
        return answers

    def _note(self, row: int, delta: Floats, values: Floats, gradient: bool) -> None:
        one = self._rows[row]
        if gradient:
            one.gradients += len(values)
        else:
            one.values += len(values)
        best = int(np.argmax(values))
        one.since = max(one.since, float(values[best]))
        if values[best] > one.best_value:
            one.best_value = float(values[best])
            self._best[row] = delta[best]
            one.best = delta[best, self._places[row]].astype(np.float64)

    def _note_slopes(self, rows: Ints, delta: Floats, gradients: Floats) -> None:
        begun = np.sqrt(np.square(delta).sum(axis=1) / self._width) / self._rms
        share = np.where(begun > 0, np.clip(begun, 1e-3, 1.0), 1.0)
        np.maximum.at(self._slope, rows, np.sqrt(np.square(gradients).sum(axis=1)) / share)


class _Oracle:
    """J and ∇J at any points of any rows."""

    def __init__(self, aim: Objective, radius: Tensor, ball: Ball, knowledge: Knowledge) -> None:
        self._aim, self._radius, self._ball = aim, radius, BALLS[ball]
        self._knowledge = knowledge
        self._shape = knowledge.shape if isinstance(aim, RowObjective) else None
        self._parts: OrderedDict[bytes, Objective] = OrderedDict()

    def ask(self, rows: Ints, points: Floats, *, gradient: bool) -> tuple[Floats, Floats, Floats]:
        """Points [n, K] of rows [n] as projected, J [n] and ∇J [n, K]."""
        index = torch.from_numpy(rows).to(self._radius.device)
        delta = torch.from_numpy(points).to(self._radius)
        delta = self._inside(rows, self._ball.project(delta, self._radius[index]))
        values = torch.zeros(len(delta), dtype=torch.float64, device=delta.device)
        slopes = torch.zeros_like(delta)
        for places, some, slope in self._computed(rows, delta, gradient):
            values[places] = some.double()
            if slope is not None:
                slopes[places] = slope
        found = values.cpu().numpy()
        found[~np.isfinite(found)] = -np.inf
        return (
            delta.cpu().numpy(),
            found,
            np.nan_to_num(slopes.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0),
        )

    def _computed(
        self, rows: Ints, delta: Tensor, gradient: bool
    ) -> Iterator[tuple[Ints, Tensor, Tensor | None]]:
        """J, and ∇J, at some of the points, by place; all of them once."""
        if self._shape is None:
            for places in _turns(rows):
                value, slope = evaluated(
                    self._aim, self._spread(rows[places], delta[places]), gradient
                )
                index = rows[places]
                yield places, value[index], None if slope is None else slope[index]
            return
        full = self._shape.filled(np.arange(len(rows)))
        for part in self._shape.parts(len(full)):
            places, count = full[part], len(rows[part])
            try:
                objective = self._only(rows[places])
                value, slope = evaluated(objective, delta[places], gradient)
            except RowsError as error:
                raise error.moved(rows[places].tolist(), len(self._radius)) from error
            yield places[:count], value[:count], None if slope is None else slope[:count]

    def _only(self, rows: Ints) -> Objective:
        """The objective of some rows; the last ones are kept, for imagined channels cost time."""
        assert isinstance(self._aim, RowObjective)
        key = rows.tobytes()
        if key not in self._parts:
            self._parts[key] = self._aim.only(rows)
            if len(self._parts) > _KEPT:
                self._parts.popitem(last=False)
        self._parts.move_to_end(key)
        return self._parts[key]

    def _inside(self, rows: Ints, delta: Tensor) -> Tensor:
        """The points, each as near as is allowed (pixels stay within [0, 1])."""
        found = torch.empty_like(delta)
        for places in _turns(rows):
            index = rows[places]
            found[places] = self._knowledge.inside(self._spread(index, delta[places]))[index]
        return found

    def _spread(self, rows: Ints, delta: Tensor) -> Tensor:
        """Points of different rows among all rows, [N, K]; 0 for the others."""
        full = torch.zeros((len(self._radius), delta.shape[1]), dtype=delta.dtype).to(delta)
        full[rows] = delta
        return full


def _turns(rows: Ints) -> Iterator[Ints]:
    """Places of the rows, so that none comes twice at a time."""
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order])
    turn = np.empty(len(rows), dtype=np.int64)
    turn[order] = np.arange(len(rows)) - first
    for number in range(int(turn.max(initial=-1)) + 1):
        yield np.flatnonzero(turn == number)
