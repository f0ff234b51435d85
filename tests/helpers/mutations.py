"""Structural mutations of user inputs: scenarios, recipes and command lines, from a seed."""

from __future__ import annotations

import copy
import datetime
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[2]
Where = tuple[Any, ...]

LONG = "x" * 5000
WORDS = [
    "", " ", "a", "nosuch", "~nosuch", "~", "/", "..", ".inf", "nan", "kind", "use", "./x.py:A",
    ":", "x:y", "0", "1e3", "true", "null", "psr_db", "dataset", "pgd", "mnist5k", LONG, "x" * 300,
    "a\nb", "a\tb", "[red]", "$\\frac$", "{", "[[", "ε", "🦊", "\u202e", "\u0000", "\x1b[31m",
    "e\u0301", "\ufeff", "\ud800", "Ⅷ", "²", "٣", "-", "--", "%s{0}", "'", '"', "a.b.c", "path.0",
    "=",
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2, 3, 7, -0.0, 0.5, 1.5, -3.7, 1e-45, 1e-320, 1e38, 3.5e38, 1e300, -1e300, 2**31,
    2**32, 2**63, 2**64 + 1, -(2**63) - 1, 10**30, 10**400, math.inf, -math.inf, math.nan,
    1.0000001, 255, 256,
]  # fmt: skip
OTHERS = [
    None, True, False, [], {}, [[]], [[[1]]], [None], {"a": 1}, {"kind": "pgd"}, {"use": "a:b"},
    {1: 2}, {None: None}, {True: 1}, {"kind": None}, {"kind": ["pgd"]}, [0, [1, [2]]],
    [1, "a", None], [0, 1, 2, 3], {"": ""}, datetime.date(2020, 1, 1),
]  # fmt: skip
# Values that only Python can pass.
LIVE = [
    b"bytes", (1, 2), {1, 2}, 1j, object(), object, np.float32(3), np.array([1.0, np.nan]),
    range(3), Path("x"), np.datetime64("NaT"), lambda: 0, Ellipsis, np.zeros((2, 2)),
    memoryview(b"a"),
]  # fmt: skip


def places(data: Any, at: Where = ()) -> list[Where]:
    """Places of all values: paths of keys and positions, the root included."""
    found = [at]
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            found += places(value, (*at, key))
    return found


def at(data: Any, where: Where) -> Any:
    for step in where:
        data = data[step]
    return data


class Mutator:
    """``live``: values that no file can hold as well. ``kin``: all values of other examples."""

    def __init__(self, chance: random.Random, kin: list[Any], live: bool) -> None:
        self.chance, self.kin, self.live = chance, kin, live

    def value(self) -> Any:
        pools: list[list[Any]] = [WORDS, NUMBERS, OTHERS, self.kin]
        if self.live:
            pools.append(LIVE)
        found = self.chance.choice(self.chance.choice(pools))
        try:
            return copy.deepcopy(found)
        except TypeError:  # a view of memory
            return found

    def __call__(self, data: Any) -> Any:
        data = copy.deepcopy(data)
        for _ in range(self.chance.choice([1, 1, 1, 2, 3, 6])):
            data = self._once(data)
        return data

    def _once(self, data: Any) -> Any:
        here = places(data)
        where = self.chance.choice(here[1:] or here)
        if not where:
            return self.value()
        parent, key = at(data, where[:-1]), where[-1]
        ways: list[Callable[[], None]] = [
            lambda: parent.__setitem__(key, self.value()),
            lambda: parent.__setitem__(key, self.value()),
            # Near ones more often, or few would pass the first check.
            *[lambda: parent.__setitem__(key, self._near(parent[key]))] * 5,
            lambda: parent.__setitem__(key, [parent[key]]),
            lambda: parent.__setitem__(key, {"kind": parent[key]}),
            lambda: parent.__delitem__(key),
            lambda: self._swap(data, where),
        ]
        if isinstance(parent, dict):
            ways += [lambda: self._rename(parent, key), lambda: self._add(parent)]
        else:
            ways += [
                lambda: parent.insert(key, copy.deepcopy(parent[key])),
                lambda: parent.reverse(),
            ]
        self.chance.choice(ways)()
        return data

    def _near(self, value: Any) -> Any:
        """A similar value."""
        if isinstance(value, bool) or value is None:
            return not value
        if isinstance(value, int | float):
            others = [-value, value / 2, value * 10, value + 1, 1, 2, 0, 1e-6, str(value)]
            return self.chance.choice(others)
        if isinstance(value, str):
            return self.chance.choice([value[:-1], value.upper(), value * 2, value + "é", [value]])
        if isinstance(value, list):
            return self.chance.choice([value[:-1], value[:1], dict(enumerate(value)), [value]])
        return list(map(list, value.items())) if isinstance(value, dict) else str(value)

    def _rename(self, parent: dict[Any, Any], key: Any) -> None:
        other = self.chance.choice([self.value(), f"{key}s", str(key).upper(), str(key)[:-1]])
        try:
            parent[other] = parent.pop(key)
        except TypeError:  # no key
            parent[LONG] = 1

    def _add(self, parent: dict[Any, Any]) -> None:
        key = self.chance.choice(WORDS + [value for value in self.kin if isinstance(value, str)])
        parent[key] = self.value()

    def _swap(self, data: Any, where: Where) -> None:
        other = self.chance.choice(places(data)[1:])
        if other[: len(where)] == where or where[: len(other)] == other:
            return  # one inside the other
        mine, theirs = at(data, where[:-1]), at(data, other[:-1])
        mine[where[-1]], theirs[other[-1]] = theirs[other[-1]], mine[where[-1]]


def values_in(documents: list[Any]) -> list[Any]:
    """Every value and every word-like key in some documents."""
    found: list[Any] = []
    for document in documents:
        for where in places(document)[1:]:
            found.append(at(document, where))
            if isinstance(where[-1], str):
                found.append(where[-1])
    return found


def written(data: Any) -> str:
    """The data as a file, as PyYAML writes it."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
