"""Fréchet distances of a run: the received images of an arm as a population.

A ledger holds no images, but every row can be computed again. This recomputes a finished run arm by
arm, in blocks of the run's own shape, and compares the images shown to users with those sent. It
costs about as much as the run did, and its figures depend neither on ``max_pending`` nor on
interruptions, since rows do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from channelsim.analysis.closing import ending
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger
from channelsim.ledger.consent import Consent
from channelsim.ledger.examination import examined
from channelsim.metrics.frechet import Extractor, Frechet, dataset_features, inception_features
from channelsim.runs.recompute import Recomputation
from channelsim.support.errors import InputError

_ROLES = ("source", "clean", "received")


@dataclass(frozen=True)
class ArmPopulation:
    """One arm. ``received``, ``clean``: the distance of the images shown to users (the last attempt
    of every message; the fallback image where nothing was delivered), and of the undisturbed
    reconstructions g(z), each to the source images of the same messages.
    """

    arm: int
    receiver: str
    swept: Mapping[str, Any]
    received: Frechet
    clean: Frechet


def populations(
    folder: Path | str,
    figure: Literal["fdd", "fid"] = "fdd",
    weights: Path | None = None,
    arms: Collection[int] | None = None,
    data_root: Path | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    allow_code: Consent = False,
) -> list[ArmPopulation]:
    """Fréchet distances of the run in ``folder``, for ``arms`` (default: all that are complete).

    ``figure``: `fdd` on the features of a classifier of the data set, or `fid` where Inception's
    weights are at hand; ``weights``: as for these. Arms compare at equal numbers of messages.
    ``on_progress``: called with the number of arms done and of all. ``allow_code``: whether code
    that the ledger names may run, or a callback to ask, see `consent`.
    """
    path = Path(folder) / "ledger.sqlite"
    whole = ending(path).finished_s is not None
    with examined(path):
        return _measured(path, whole, figure, weights, arms, data_root, on_progress, allow_code)


def _measured(
    path: Path,
    whole: bool,
    figure: Literal["fdd", "fid"],
    weights: Path | None,
    arms: Collection[int] | None,
    data_root: Path | str | None,
    on_progress: Callable[[int, int], None] | None,
    allow_code: Consent,
) -> list[ArmPopulation]:
    folder = path.parent
    extractor = (dataset_features if figure == "fdd" else inception_features)(weights)
    with Ledger.open(path) as ledger:
        header = ledger.header()
        known = {arm.arm: arm for arm in ledger.arms()}
        done = known if whole else ledger.arm_verdicts
        chosen = sorted(done if arms is None else arms)
        odd = [arm for arm in chosen if arm not in done]
        if odd or not chosen:
            what = f"arm {odd[0]} is not complete" if odd else "no arm is complete"
            raise InputError(f"{folder}: {what}; let the run finish, or choose among its arms")
        last = {arm: _last_attempts(ledger, header, arm) for arm in chosen}
    again = Recomputation(folder, data_root, allow_code)
    found = []
    for arm in chosen:
        features = _features(again, arm, last[arm], extractor)
        received = extractor.between(features["received"], features["source"])
        clean = extractor.between(features["clean"], features["source"])
        found.append(ArmPopulation(arm, known[arm].receiver, known[arm].swept, received, clean))
        if on_progress is not None:
            on_progress(len(found), len(chosen))
    return found


def _last_attempts(ledger: Ledger, header: RunHeader, arm: int) -> list[int]:
    """Keys of the last attempts of an arm's transmissions."""
    own = header.keys.transmissions(arm)
    query = (
        f"SELECT {header.keys.last_attempt()} FROM transmission"
        " WHERE transmission >= ? AND transmission < ? ORDER BY transmission"
    )
    return [key for (key,) in ledger.rows(query, (own.start, own.stop))]


def _features(
    again: Recomputation, arm: int, attempts: list[int], extractor: Extractor
) -> dict[str, torch.Tensor]:
    found: dict[str, list[torch.Tensor]] = {role: [] for role in _ROLES}
    rows = again.path(arm).shape.rows
    for start in range(0, len(attempts), rows):
        _, images, _ = again.transmit(arm, attempts[start : start + rows])
        for role in _ROLES:
            found[role].append(extractor.features(images[role]))
    return {role: torch.cat(parts) for role, parts in found.items()}
