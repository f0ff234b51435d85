"""The goals of an arm's adversaries, read from the run's header: a verdict follows the goal.

An adversary whose goal is *damage* is judged by the damage it does, one with a target *image* by
how near the shown image comes to it, and one that is *noise* itself (a jammer, bits flipped at
random) is never compared with noise. Loads nothing heavy, because the live view uses it too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from channelsim.contracts.run_header import RunHeader

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord

_NOT_OF_A_METRIC = "mse"  # the metric of a goal without a loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """The goal of one arm: of the first adversary with a target image, else of any other.

    ``kind``: ``image``, ``damage``, ``noise``, or ``none`` where no adversary with a budget is on.
    ``who``: the adversary's name. ``target``: the image in words (``the black image``). ``loss``: D
    of its goal, the name of a metric. ``reference``: of damage, ``clean`` or ``source``.
    ``success``: the goal's criterion; empty without one. ``noun``: what is shown, ``image`` or
    ``signal``.
    """

    kind: Literal["image", "damage", "noise", "none"] = "none"
    who: str = ""
    target: str = ""
    loss: str = _NOT_OF_A_METRIC
    reference: str = "clean"
    success: Mapping[str, Any] = field(default_factory=dict)
    noun: str = "image"

    def metric(self, metrics: Sequence[str], otherwise: str | None) -> str | None:
        """The metric of distances to the target: the loss if it was measured."""
        if self.kind != "image":
            return None
        return self.loss if self.loss in metrics else otherwise


def aim_of(scenario: Any, swept: Mapping[str, Any], noun: str = "image") -> Aim:
    """The aim at one point of the sweep, from the header's ``scenario`` (resolved) and ``noun``."""
    active = [stage for stage in stages_at(scenario, swept) if _on(stage)]
    wanting = next((stage for stage in active if _wants_an_image(stage)), None)
    if wanting is not None:
        return _of_image(wanting, noun)
    spoiling = next((stage for stage in active if not _is_noise(stage)), None)
    if spoiling is None:
        who = _who(active[0]) if active else ""
        return Aim(kind="noise", who=who, noun=noun) if active else Aim(noun=noun)
    goal = _goal(spoiling)
    return Aim(
        kind="damage",
        who=_who(spoiling),
        loss=str(goal.get("loss", _NOT_OF_A_METRIC)),
        reference=str(goal.get("reference", "clean")),
        noun=noun,
    )


def told_by_image(header: RunHeader, arm: ArmRecord) -> bool:
    """Whether an arm's perturbations are measured against images, not codewords, without noise.

    Then the ledger does not contain the power of a row on the wire.
    """
    stages = stages_at(header.described_scenario, arm.swept)
    places = [stage.get("access") for stage in stages]
    before = any(isinstance(a, Mapping) and a.get("place") == "before_encoder" for a in places)
    return before and not any("snr_db" in stage for stage in stages)


def stages_at(scenario: Any, swept: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The stages of the path in one arm, with the sweep's values."""
    path = scenario.get("path") if isinstance(scenario, Mapping) else None
    stages: list[Any] = [deepcopy(one) for one in path] if isinstance(path, list) else []
    # A stage swept as a whole comes before the keys inside it.
    for key, value in sorted(swept.items(), key=lambda item: item[0].count(".")):
        for place, stage in enumerate(stages):
            if not isinstance(stage, dict):
                continue
            owners = {stage.get("name"), stage.get("kind"), f"path.{place}", f"path[{place}]"}
            if key in owners:
                stages[place] = deepcopy(value) if isinstance(value, Mapping) else stage
                continue
            owner = next((o for o in owners if o and key.startswith(f"{o}.")), None)
            if owner is not None:
                _put(stage, key.removeprefix(f"{owner}.").split("."), value)
    return [stage for stage in stages if isinstance(stage, Mapping)]


def _put(stage: dict[str, Any], way: Sequence[str], value: Any) -> None:
    for step in way[:-1]:
        inner = stage.get(step)
        if not isinstance(inner, dict):
            inner = stage[step] = {}
        stage = inner
    stage[way[-1]] = value


def _on(stage: Mapping[str, Any]) -> bool:
    """Whether this stage is an adversary that may inject something."""
    budget = stage.get("budget")
    if not isinstance(budget, Mapping):
        return False
    try:
        epsilon = float(budget.get("epsilon", math.nan))
    except (TypeError, ValueError):
        return True
    return epsilon != (-math.inf if budget.get("norm") == "psr_db" else 0.0)


def _goal(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    goal = stage.get("goal")
    return goal if isinstance(goal, Mapping) else {}


def _who(stage: Mapping[str, Any]) -> str:
    return str(stage.get("name") or stage.get("kind") or "the adversary")


def _wants_an_image(stage: Mapping[str, Any]) -> bool:
    return _goal(stage).get("kind") == "image" or stage.get("kind") == "replay"


def _is_noise(stage: Mapping[str, Any]) -> bool:
    """Whether it does not depend on the codeword, and so is its own control."""
    if stage.get("kind") == "bit_flips":
        return stage.get("search") == "random"
    return stage.get("kind") == "noise"


_TARGETS = {
    "black": "the black {noun}",
    "white": "the white {noun}",
    "inverse": "the inverse {noun}",
    "random": "its random {noun}",
    "message": "another message's {noun}",
    "file": "the {noun} of its file",
    "zero": "zero everywhere",
}


def _of_image(stage: Mapping[str, Any], noun: str) -> Aim:
    goal = _goal(stage)
    if goal.get("kind") != "image":
        target = f"the recorded message's {noun}"
        return Aim(kind="image", who=_who(stage), target=target, noun=noun)
    success = goal.get("success")
    return Aim(
        kind="image",
        who=_who(stage),
        target=_TARGETS.get(str(goal.get("target")), "its target").format(noun=noun),
        loss=str(goal.get("loss", _NOT_OF_A_METRIC)),
        success=success if isinstance(success, Mapping) else {},
        noun=noun,
    )
