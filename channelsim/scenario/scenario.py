"""A scenario: YAML, a mapping or Python objects → everything a run needs, frozen and validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from channelsim.contracts.own_code import naming_own_code
from channelsim.contracts.parts import Metric
from channelsim.scenario.arm import Arm
from channelsim.scenario.arm_admission import admit_unseen
from channelsim.scenario.loading import load
from channelsim.scenario.schema import schema
from channelsim.sources import Source
from channelsim.support.device import AUTO
from channelsim.support.yaml_lines import read_scalar

__all__ = ["Arm", "Scenario", "parse_value", "schema"]


@dataclass(frozen=True)
class Scenario:
    """The input of `simulate`, made by `Scenario.load`.

    ``arms``: receivers (outermost) × the points of the sweep in file order; ``arm.number`` is the
    position. ``block_rows``: the compute shape (default: see `waiting`). ``max_pending``: most rows
    that may wait, None for as many as take two seconds; changes no result. ``images``: messages per
    arm whose pictures are kept beside the newest and the worst. ``written``: the YAML as the user
    wrote it. ``resolved``: plain values with every default filled in, from which the same scenario
    can be loaded again. ``hash``: of all that decides results, files included, ``max_pending`` not.
    ``path``: the file, None for a mapping. ``notices``: to the user, before the run. ``files``: of
    every part of the user's own, by identity, the files that it was made from, by absolute name,
    with their SHA-256; that of its class comes with ``origins``. ``default_blocks``: whether
    ``block_rows`` was left out. ``device``: see `channelsim.support.device`; like the machine, it
    is of a run and not of the scenario, so neither ``resolved`` nor ``hash`` holds it.
    """

    title: str
    seed: int
    source: Source
    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    control: bool
    block_rows: int
    max_pending: int | None
    images: int
    swept_keys: tuple[str, ...]
    receivers: tuple[str, ...]
    written: str
    resolved: dict[str, Any]
    hash: str
    path: Path | None = None
    notices: tuple[str, ...] = ()
    files: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    origins: Mapping[int, Path] = field(default_factory=dict)
    default_blocks: bool = False
    device: str = AUTO

    def __post_init__(self) -> None:
        """Try the user's own parts that were passed as Python objects and not by `load`."""
        with naming_own_code():
            own = admit_unseen(self.source, self.arms, self.metrics, self.files)
        if own.foreign:
            object.__setattr__(self, "notices", (*self.notices, *own.notices))
            object.__setattr__(self, "files", {**self.files, **{key: {} for key in own.foreign}})

    @property
    def primary(self) -> str:
        """The metric that receivers are compared by: ``primary`` of the file, else the first."""
        return str(self.resolved.get("primary") or self.metrics[0].kind)

    @classmethod
    def load(
        cls,
        given: str | Path | Mapping[str, Any] | Scenario,
        set: Mapping[str, Any] | None = None,
        seed: int | None = None,
        data_root: str | Path | None = None,
    ) -> Scenario:
        """Read and validate; one `InputError` lists all faults in file order.

        ``given``: a file, its content as a mapping (relative paths start at the current folder), or
        a scenario. ``set``: dotted key → value; setting a swept key pins it (its sweep is removed,
        and those inside it), ``sweep.KEY`` replaces or adds a sweep. ``seed``: instead of the
        file's. ``data_root``: folder of the data sets (default: CHANNELSIM_DATA, else the cache).
        """
        root = None if data_root is None else Path(data_root)
        if isinstance(given, Scenario):
            if not set and seed is None:
                return given
            root = root or given.source.root
            given = given.resolved
        with naming_own_code():
            return cls(**load(given, dict(set or {}), seed, root))


def parse_value(text: str, place: str) -> Any:
    """Parse the text after ``--set key=`` like a scenario file; ``place`` for errors."""
    return read_scalar(text, place)
