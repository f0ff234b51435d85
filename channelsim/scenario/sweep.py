"""The sweep of a scenario: keys, their values, and the places that take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channelsim.contracts.parts import Stage
from channelsim.contracts.stages import Stages
from channelsim.scenario.scenario_keys import ScenarioKeys
from channelsim.support.problems import Problems, Where, shown

Choice = tuple[int, ...]  # index of each swept key's value, in the order of the file


@dataclass(frozen=True)
class Swept:
    """One swept key: its values, and the places in the scenario that take them."""

    key: str
    values: tuple[Any, ...]
    targets: tuple[Where, ...]


def read_sweep(sweep: Mapping[str, Any], keys: ScenarioKeys, problems: Problems) -> list[Swept]:
    """Validate the keys and lists of a sweep."""
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
        elif twice := _twice(values):
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
        number = isinstance(value, int | float) and not isinstance(value, bool)
        key = repr(float(value)) if number and abs(value) < 2**53 else repr(value)
        if key in keys:
            return value, position
        keys.add(key)
    return None


def _overlap(left: tuple[Where, ...], right: tuple[Where, ...]) -> bool:
    return any(a[: len(b)] == b or b[: len(a)] == a for a in left for b in right)


def _some_key(values: Mapping[Any, Any]) -> str:
    return str(next(iter(values), "…"))
