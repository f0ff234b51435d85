"""Written forms of swept keys and values, for summaries and views; loads nothing heavy."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

_OFF = "off"


def epsilon_key_of(swept_keys: Sequence[str]) -> str | None:
    """The one swept key that is a budget's epsilon; None if there are none or several."""
    keys = [key for key in swept_keys if key.endswith("budget.epsilon")]
    return keys[0] if len(keys) == 1 else None


def in_decibels(scenario: Any, epsilon_key: str) -> bool:
    """Whether the swept epsilon belongs to a budget in dB, from the resolved scenario's path."""
    owner = epsilon_key.removesuffix(".budget.epsilon")
    stages = scenario.get("path", []) if isinstance(scenario, Mapping) else []
    for place, stage in enumerate(stages):
        if not isinstance(stage, Mapping):
            continue
        names = {stage.get("name"), stage.get("kind"), f"path[{place}]", f"path.{place}"}
        if owner in names and isinstance(stage.get("budget"), Mapping):
            return bool(stage["budget"].get("norm") == "psr_db")
    return False


def decibel_keys(scenario: Any, swept_keys: Sequence[str]) -> tuple[str, ...]:
    """The swept budgets in dB, from the resolved scenario."""
    budgets = [key for key in swept_keys if key.endswith("budget.epsilon")]
    return tuple(key for key in budgets if in_decibels(scenario, key))


def following(points: Sequence[Mapping[str, Any]], key: str) -> frozenset[str]:
    """Swept keys that change with ``key`` and have one value for each of its values (``zip``)."""
    found = set()
    for other in points[0] if points else ():
        pairs = {(repr(point[key]), repr(point[other])) for point in points}
        values = {value for _, value in pairs}
        if other != key and len(pairs) == len({one for one, _ in pairs}) and len(values) > 1:
            found.add(other)
    return frozenset(found)


def short_names(swept_keys: Sequence[str], decibels: Collection[str]) -> dict[str, str]:
    """ε for the budget (of several: with its name), else the shortest unique ending.

    The budgets among ``decibels`` have their unit behind them.
    """
    short: dict[str, str] = {}
    for key in swept_keys:
        words = key.split(".")
        others = [other.split(".") for other in swept_keys if other != key]
        length = 2 if words[-1].isdigit() else 1  # path.0
        while length < len(words) and any(o[-length:] == words[-length:] for o in others):
            length += 1
        short[key] = ".".join(words[-length:])
        if length > 1 and words[-2:] == ["budget", "epsilon"]:
            short[key] = f"{'.'.join(words[:-2])} ε"
    if (only := epsilon_key_of(swept_keys)) is not None:
        short[only] = "ε"
    return {key: f"{name} dB" if key in decibels else name for key, name in short.items()}


def stated(name: str, *values: str) -> str:
    """Values under a short name: ``ε = 0.1, 0.3`` or, of a name in dB, ``ε = -20, -10 dB``."""
    bare = name.removesuffix(" dB")
    text = ", ".join(values)
    if bare == name or text == _OFF:
        return f"{bare} = {text}"
    off = re.search(rf"((, | … ){_OFF})*$", text)  # has no unit
    numbers = text[: off.start()] if off is not None else text
    return f"{bare} = {numbers} dB{text[len(numbers) :]}"


def in_runs(values: Sequence[Any], every: Sequence[Any]) -> list[str]:
    """Values in words; three or more numbers that follow each other as ``0.3 … 0.6``.

    ``every``: all values of their key, in the sweep's order.
    """
    runs: list[list[Any]] = []
    for value in values:
        if runs and every.index(value) == every.index(runs[-1][-1]) + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    listed = []
    for run in runs:
        numbers = all(isinstance(value, int | float) for value in run)
        said = [number(value) for value in run]
        listed += [f"{said[0]} … {said[-1]}"] if numbers and len(run) > 2 else said
    return listed


def number(value: Any) -> str:
    """A swept value in readable form; a part by its name, else by its kind.

    A budget of -inf dB is an adversary switched off.
    """
    if isinstance(value, Mapping):
        if name := value.get("name"):
            return str(name)
        keys = [f"{key}: {number(inner)}" for key, inner in value.items() if key != "kind"]
        kind, given = value.get("kind", ""), ", ".join(keys)
        return f"{kind} ({given})" if kind and given else str(kind or f"{{{given}}}")
    if value == -math.inf:
        return _OFF
    return f"{value:g}" if isinstance(value, float) else str(value)


def fixed(value: float, digits: int) -> str:
    """A number with fixed decimals, never a negative zero."""
    return f"{value:z.{digits}f}"


def acting_together(paths: Sequence[Sequence[str]]) -> str:
    """The adversaries that act on one path, in words, from the names on every such path."""
    (*names, last), *others = paths
    more = " (others in other arms)" if others else ""
    return f"{', '.join(names)} and {last}{more} act on one path"
