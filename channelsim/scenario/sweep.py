"""The sweep of a scenario: keys, their values, and the places that take them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelsim.contracts.parts import Stage
from channelsim.contracts.stages import Stages
from channelsim.scenario.scenario_keys import ScenarioKeys
from channelsim.support.errors import did_you_mean
from channelsim.support.problems import Problems, Where, shown

Choice = tuple[int, ...]  # index of each swept key's value, in the order of the file


@dataclass(frozen=True)
class Swept:
    """One swept key: its values, and the places in the scenario that take them."""

    key: str
    values: tuple[Any, ...]
    targets: tuple[Where, ...]


@dataclass(frozen=True)
class Sweep:
    """All swept keys; ``axes``: places of keys that take their values together, in file order.

    Its points are the product of the axes: a key alone is an axis, and so are keys under ``zip``.
    """

    keys: tuple[Swept, ...]
    axes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(len(self.keys[axis[0]].values) for axis in self.axes)

    def choices(self) -> Iterator[Choice]:
        """All points, the last axis fastest."""
        lengths = [range(len(self.keys[axis[0]].values)) for axis in self.axes]
        for position in itertools.product(*lengths):
            choice = [0] * len(self.keys)
            for axis, i in zip(self.axes, position, strict=True):
                for place in axis:
                    choice[place] = i
            yield tuple(choice)


def read_sweep(
    sweep: Mapping[str, Any], linked: Sequence[Any], keys: ScenarioKeys, problems: Problems
) -> Sweep:
    """Validate the keys and lists of a sweep. ``linked``: the scenario's ``zip``."""
    groups = _groups(sweep, linked, problems)
    found = _swept(sweep, {key for group in groups.values() for key in group}, keys, problems)
    places = {one.key: place for place, one in enumerate(found)}
    axes: list[tuple[int, ...]] = []
    for i, group in groups.items():
        own = [found[places[key]] for key in group if key in places]
        if len(own) == len(group) and not (fault := _unequal(own)):
            axes.append(tuple(places[key] for key in group))
        elif len(own) == len(group):
            problems.add(("zip", *i), fault)
    together = {place for axis in axes for place in axis}
    axes += [(place,) for place in range(len(found)) if place not in together]
    return Sweep(tuple(found), tuple(sorted(axes, key=min)))


def _groups(
    sweep: Mapping[str, Any], linked: Sequence[Any], problems: Problems
) -> dict[tuple[int, ...], list[str]]:
    """The groups of ``zip`` by their place in it: one list of keys, or several."""
    several = any(isinstance(one, list) for one in linked)
    groups = {(i,): one for i, one in enumerate(linked)} if several else {(): linked}
    found: dict[tuple[int, ...], list[str]] = {}
    for at, group in groups.items():
        if not group and not several:
            continue
        if not isinstance(group, list) or len(group) < 2:
            problems.add(
                ("zip", *at),
                f"must be a list of two or more keys of the sweep, was given {shown(group)}",
            )
            continue
        known = [key for keys in found.values() for key in keys]
        for i, key in enumerate(group):
            if not isinstance(key, str) or key not in sweep:
                near = did_you_mean(str(key), [str(one) for one in sweep])
                problems.add(("zip", *at, i), f"{shown(key)} is not swept; list it in sweep.{near}")
            elif key in known or key in group[:i]:
                problems.add(("zip", *at, i), f"{key} is in zip twice; remove one")
        if all(isinstance(key, str) and key in sweep and key not in known for key in group):
            found[at] = list(dict.fromkeys(group))
    return found


def _unequal(group: Sequence[Swept]) -> str:
    """Why keys cannot take their values together, or an empty text."""
    counts = [f"{one.key} has {len(one.values)}" for one in group]
    if len({len(one.values) for one in group}) > 1:
        return f"its keys must take equally many values: {', '.join(counts)}"
    rows = [list(values) for values in zip(*(one.values for one in group), strict=True)]
    if twice := _twice(rows):
        return f"{shown(twice[0])} occurs twice; remove one from each of its keys"
    return ""


def _swept(
    sweep: Mapping[str, Any], linked: set[str], keys: ScenarioKeys, problems: Problems
) -> list[Swept]:
    found: list[Swept] = []
    for key, values in sweep.items():
        where = ("sweep", key)
        targets = keys.targets(key)
        if reason := keys.not_sweepable(key):
            problems.add(where, reason)
        elif isinstance(values, Mapping):
            problems.add(
                where, f"must be a list of values; join keys by dots: {key}.{_some_key(values)}"
            )
        elif not targets:
            problems.add(where, keys.unknown(key, sweep=True))
        elif not isinstance(values, list):
            problems.add(where, f"must be a list of values, was given {shown(values)}")
        elif not values:
            problems.add(where, "must not be an empty list; remove the key or name a value")
        elif key not in linked and (twice := _twice(values)):
            problems.add((*where, twice[1]), f"{shown(twice[0])} is in the list twice; remove one")
        else:
            other = next((one for one in found if _overlap(one.targets, targets)), None)
            if other is None:
                found.append(Swept(key, tuple(values), targets))
            else:
                problems.add(where, f"sweeps the same value as {other.key}; remove one of the two")
    return found


def value_at(one: Swept, i: int, stages: Stages) -> Any:
    """A swept value as tables show it: a whole stage always with its name."""
    value, target = one.values[i], one.targets[0]
    if target[0] != "path" or len(target) != 2 or not isinstance(value, Mapping | Stage):
        return value
    stage = stages[int(target[1])]
    return {**(value if isinstance(value, Mapping) else {"kind": stage.kind}), "name": stage.label}


def _twice(values: list[Any]) -> tuple[Any, int] | None:
    """The first value that repeats an earlier one, with its position."""
    keys: set[str] = set()
    for position, value in enumerate(values):
        key = identity(value)
        if key in keys:
            return value, position
        keys.add(key)
    return None


def identity(value: Any) -> str:
    """Equal for equal values: 1 and 1.0 are."""
    if isinstance(value, list):
        return f"[{', '.join(map(identity, value))}]"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(float(value)) if number and abs(value) < 2**53 else repr(value)


def _overlap(left: tuple[Where, ...], right: tuple[Where, ...]) -> bool:
    return any(a[: len(b)] == b or b[: len(a)] == a for a in left for b in right)


def _some_key(values: Mapping[Any, Any]) -> str:
    return str(next(iter(values), "…"))
