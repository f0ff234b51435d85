"""``--set key=value``: changes to a scenario before it is validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from channelsim.scenario.scenario_keys import ScenarioKeys, put
from channelsim.scenario.sweep import identity
from channelsim.support.problems import Origins, Problems, Where


class Overrides:
    """Applies settings, in the order given, to the top-level keys ``data`` of a scenario.

    Setting a key that is swept pins it: its sweep is removed, and so are sweeps of keys inside it
    and its place in ``zip``.
    ``sweep.KEY`` replaces the sweep of that key, or adds one.
    """

    def __init__(
        self, data: dict[str, Any], origins: Origins, problems: Problems, folder: Path | None
    ) -> None:
        self.data = data
        self._origins = origins
        self._problems = problems
        self._folder = folder

    def apply(self, settings: Mapping[str, Any], seed: int | None) -> None:
        """Change ``data``; faults are noted among the problems."""
        for key, value in settings.items():
            keys = ScenarioKeys(self.data, self._folder)
            inner = str(key).removeprefix("sweep.")
            if inner != key:
                self._sweep(str(key), inner, value, keys)
                continue
            targets = keys.targets(key)
            if not targets:
                self._refuse(str(key), keys.unknown(key, sweep=False))
            elif blocking := self._wider_sweep(targets, keys):
                self._refuse(
                    str(key),
                    f"{blocking} is swept and would replace it; set {blocking} or sweep.{blocking}",
                )
            else:
                self._pin(targets, keys)
                for target in targets:
                    self.data = put(self.data, target, value)
                    self._origins.replaced(target, f"--set {key}")
        if seed is not None:
            self.data["seed"] = seed
            self._origins.replaced(("seed",), "--seed")

    def _swept(self) -> dict[Any, Any]:
        sweep = self.data.get("sweep")
        return dict(sweep) if isinstance(sweep, Mapping) else {}

    def _sweep(self, key: str, inner: str, values: Any, keys: ScenarioKeys) -> None:
        targets = set(keys.targets(inner))
        sweep = {
            other: kept
            for other, kept in self._swept().items()
            if other == inner or not targets or set(keys.targets(other)) != targets
        }
        self.data["sweep"] = {**sweep, inner: values}
        self._origins.replaced(("sweep", inner), f"--set {key}")

    def _wider_sweep(self, targets: tuple[Where, ...], keys: ScenarioKeys) -> str:
        """A swept key that covers more than the key to be set, and so would override it."""
        for other in self._swept():
            wheres = keys.targets(other)
            inside = [w for w in wheres if any(w[: len(t)] == t for t in targets)]
            around = [w for w in wheres if any(t[: len(w)] == w for t in targets)]
            if around and len(inside) < len(wheres):
                return str(other)
        return ""

    def _pin(self, targets: tuple[Where, ...], keys: ScenarioKeys) -> None:
        sweep = self._swept()
        kept = {
            other: values
            for other, values in sweep.items()
            if not any(w[: len(t)] == t for w in keys.targets(other) for t in targets)
        }
        if len(kept) < len(sweep):
            self.data["sweep"] = kept
            self._unlink(set(sweep) - set(kept))

    def _unlink(self, pinned: set[Any]) -> None:
        """Take pinned keys out of ``zip``; what then repeats among the others is one point."""
        linked = self.data.get("zip")
        if not isinstance(linked, list):
            return
        groups = linked if any(isinstance(one, list) for one in linked) else [linked]
        if not all(isinstance(key, str) for group in groups for key in group):
            return  # told where it is read
        sweep, kept = self._swept(), []
        for group in groups:
            left = [key for key in group if key not in pinned]
            if len(left) < len(group):
                sweep |= _distinct({key: sweep.get(key) for key in left})
            kept += [left] if len(left) > 1 else []
        self.data |= {"zip": kept, "sweep": sweep}

    def _refuse(self, key: str, text: str) -> None:
        option = f"--set {key}"
        self._origins.replaced((option,), option)
        self._problems.add((option,), text)


def _distinct(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of equal length without the positions that repeat an earlier one in all of them."""
    lists = list(columns.values())
    if not all(isinstance(one, list) for one in lists) or len({len(one) for one in lists}) != 1:
        return {}
    rows = {identity(list(row)): row for row in reversed(list(zip(*lists, strict=True)))}
    return {
        key: list(values)
        for key, values in zip(columns, zip(*reversed(rows.values()), strict=True), strict=True)
    }
