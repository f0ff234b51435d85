"""The approach of the shown image to an adversary's target image.

Three mean distances to the target, by the metric of its loss if measured: of the passive image, D₀;
with the attack, Dₐ; with matched noise in its place, Dₙ. The attack *got nearer* where D₀ − Dₐ > 0
and did so *by knowing* where Dₙ − Dₐ > 0, both paired: of the same messages and resamples. As with
the gain, only first attempts count that were not lost on the link and into which something was
injected; an image that a detector refused counts as the fallback image shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from channelsim.analysis.aims import Aim
from channelsim.analysis.cells import GOAL, ArmCells
from channelsim.analysis.intervals import Floats, Interval, Means, ends, intervals
from channelsim.contracts.scales import Scale
from channelsim.support import units


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """Distances D ≥ 0 to the target in one arm, in the damage of ``metric``: 1 − SSIM, MSE of PSNR.

    ``passive``: D₀, None in a ledger that does not hold it; ``noise``: Dₙ, None without a control;
    ``attack``: Dₐ. ``nearer``: D₀ − Dₐ. ``by_knowing``: Dₙ − Dₐ. ``approach_db``: 10·log₁₀(D₀/Dₐ),
    ``noise_db``: 10·log₁₀(D₀/Dₙ). ``least``: D*, the least distance that this receiver's decoder
    reached without a budget; ``share``: (D₀ − Dₐ)/(D₀ − D*), the share of the largest possible
    approach; both None if D* was not computed, the latter also if no approach is possible.
    ``sought_for``: the number of messages over which D* is averaged, and of all messages; None if
    it is one for all.
    """

    metric: str
    target: str
    attack: Interval
    passive: Interval | None = None
    noise: Interval | None = None
    nearer: Interval | None = None
    by_knowing: Interval | None = None
    approach_db: Interval | None = None
    noise_db: Interval | None = None
    least: float | None = None
    share: Interval | None = None
    sought_for: tuple[int, int] | None = None

    @property
    def got_nearer(self) -> bool | None:
        """Whether it surely came nearer (True), surely did not (False), or is undecided (None)."""
        return _sign(self.nearer)

    @property
    def knew(self) -> bool | None:
        """Whether it surely came nearer than matched noise, surely not, or is undecided."""
        return _sign(self.by_knowing)

    def row(self) -> dict[str, Any]:
        """Cells of a flat row."""
        row: dict[str, Any] = {"goal_metric": self.metric, "goal_least": self.least}
        row["goal_least_messages"] = self.sought_for and self.sought_for[0]
        for name in (
            "passive", "noise", "attack", "nearer", "by_knowing", "approach_db", "noise_db", "share"
        ):  # fmt: skip
            row |= ends(f"goal_{name}", getattr(self, name))
        return row


def approach(
    found: Means, cells: ArmCells, aim: Aim, scale: Scale, reached: Mapping[str, Any]
) -> Approach | None:
    """The approach of one arm from the means of all its columns; None if nothing was injected.

    ``scale``: of the metric of `cells.GOAL`. ``reached``: see `reach_of`.
    """
    least = _least(reached, scale.name)
    places = [cells.names.index(name) for name in GOAL]
    three = found.take(places).map(scale.damage)
    if np.isnan(three.value[1]):
        return None

    def statistics(means: Floats) -> Floats:
        passive, attack, noise = (means[..., place] for place in range(3))
        with np.errstate(divide="ignore", invalid="ignore"):
            columns = [
                passive,
                attack,
                noise,
                passive - attack,
                noise - attack,
                units.db(np.maximum(passive, 0.0) / np.maximum(attack, 0.0)),
                units.db(np.maximum(passive, 0.0) / np.maximum(noise, 0.0)),
                (passive - attack) / (passive - (np.nan if least is None else least)),
            ]
        return np.stack(columns, axis=-1)

    known = [None if np.isnan(one.value) else one for one in intervals(three, statistics)]
    passive, attack, noise, nearer, knowing, gone_db, noise_db, share = known
    assert attack is not None
    there_is_a_way = least is not None and passive is not None and passive.low > least
    return Approach(
        metric=scale.name,
        target=aim.target,
        attack=attack,
        passive=passive,
        noise=noise,
        nearer=nearer,
        by_knowing=knowing,
        approach_db=_finite(gone_db),
        noise_db=_finite(noise_db),
        least=least,
        share=_finite(share) if there_is_a_way else None,
        sought_for=_sought_for(reached) if least is not None else None,
    )


def _least(reached: Mapping[str, Any], metric: str) -> float | None:
    least = reached.get("least", {}).get(metric)
    return None if least is None else float(least)


def _sought_for(reached: Mapping[str, Any]) -> tuple[int, int] | None:
    sample, whole = reached.get("messages"), reached.get("of")
    return None if sample is None or whole is None else (int(sample), int(whole))


def _finite(interval: Interval | None) -> Interval | None:
    return interval if interval is not None and np.isfinite(interval.value) else None


def _sign(interval: Interval | None) -> bool | None:
    if interval is None or np.isnan(interval.low) or interval.low <= 0.0 <= interval.high:
        return None
    return interval.low > 0.0
