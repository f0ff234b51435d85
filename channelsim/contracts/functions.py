"""Functions as parts, where a class would say no more.

    @metric(higher_is_better=False)
    def edge_error(images, references): ...

The decorator returns the part, a class; a scenario names it: ``use: "./mine.py:edge_error"``.
Keyword-only arguments of the function are its keys there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from channelsim.contracts.parts import Metric, Stage, part
from channelsim.contracts.rows import Rows
from channelsim.support.errors import InputError


def metric(
    *, higher_is_better: bool, perfect: float | None = None, limit: float | None = None
) -> Callable[[Callable[..., Tensor]], type[Metric]]:
    """A function (images, references), both [N, C, H, W], → values [N], as a `Metric`."""

    def made(function: Callable[..., Tensor]) -> type[Metric]:
        def measure(self: Metric, images: Tensor, references: Tensor) -> Tensor:
            return function(images, references, **_keys(self, function))

        found: type[Metric] = _part(
            Metric,
            function,
            {
                "measure": measure,
                "higher_is_better": higher_is_better,
                "perfect": perfect,
                "limit": limit,
            },
        )
        return found

    return made


def stage(*, random: bool) -> Callable[[Callable[..., Tensor]], type[Stage]]:
    """A function (signal [N, K], rows) → signal [N, K], as a `Stage`.

    ``random``: whether it draws anything (``rows.normal``, ``rows.uniform``). An adversary foresees
    a stage that does not. One that does it knows with ``access.expectation``, by imagined draws,
    and otherwise plans as if it were absent.
    """

    def made(function: Callable[..., Tensor]) -> type[Stage]:
        def cross(self: Stage, signal: Tensor, rows: Rows) -> Tensor:
            if not random:  # it is foreseen, so draws would give an adversary the real ones
                rows = replace(rows, refusal=refusal)
            return function(signal, rows, **_keys(self, function))

        refusal = (
            f"{function.__name__} draws random numbers, and says that it does not; write"
            " @stage(random=True)"
        )
        body = {"cross": cross, "name": "", **({} if random else {"foresee": cross})}
        found: type[Stage] = _part(Stage, function, body, {"name": str})
        return found

    return made


def _part(
    contract: Any,
    function: Callable[..., Any],
    body: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
) -> Any:
    if not inspect.isfunction(function):
        raise InputError(f"{function!r} is no function")
    own = {one.name: _type(function, one.annotation) for one in _keyword_only(function)}
    if taken := [name for name in own if hasattr(contract, name) or name in {"kind", *body}]:
        raise InputError(
            f"{function.__name__}: the key {taken[0]!r} has the name of something that every"
            f" {contract.__name__.lower()} has; give it another"
        )
    defaults = {
        one.name: one.default
        for one in _keyword_only(function)
        if one.default is not inspect.Parameter.empty
    }
    inside = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "__annotations__": {**(fields or {}), **own},
        "kind": function.__name__.replace("_", "-"),
        **body,
        **defaults,
    }
    return part(type(function.__name__, (contract,), inside))


def _keyword_only(function: Callable[..., Any]) -> list[inspect.Parameter]:
    given = inspect.signature(function).parameters.values()
    return [one for one in given if one.kind is inspect.Parameter.KEYWORD_ONLY]


def _type(function: Callable[..., Any], annotation: Any) -> Any:
    """A key's type; written as text where annotations are postponed."""
    if annotation is inspect.Parameter.empty:
        return Any
    return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation


def _keys(owner: object, function: Callable[..., Any]) -> dict[str, Any]:
    return {one.name: getattr(owner, one.name) for one in _keyword_only(function)}
