"""Notices to the user about a run's adversaries: keys without effect, and idle adversaries."""

from __future__ import annotations

from collections.abc import Sequence

from channelsim.adversaries.image_file import PICTURES
from channelsim.adversaries.noise import Noise
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.goal import goal_of
from channelsim.contracts.own_code import is_foreign
from channelsim.contracts.parts import Stage
from channelsim.contracts.stages import Stages
from channelsim.sources.picture_file import frames


def adversary_notices(
    paths: Sequence[Stages], control: bool, span_s: tuple[float, float]
) -> tuple[str, ...]:
    """Notices about the adversaries on the paths of all arms.

    ``control``: whether matched noise runs beside them; ``span_s`` [s]: when the first and the last
    message arrive.
    """
    # A key that makes sense in some arm of a sweep needs no notice.
    facts = [_facts(path, span_s) for path in paths]
    found = [text for text in facts[0] if all(text in other for other in facts)]
    meant = [stage for path in paths for stage in path.adversaries]
    found += dict.fromkeys(text for stage in meant for text in _frames(stage))
    if control and meant and all(_is_its_own_control(stage) for stage in meant):
        names = ", ".join(dict.fromkeys(stage.label for stage in meant))
        found.append(
            f"control: {names} sends Gaussian noise, and matched noise beside it is more of the"
            " same: the gain will be chance; control: false saves the time"
        )
    return tuple(found)


def _frames(stage: Adversary) -> list[str]:
    """A notice about a target picture with several frames."""
    file = getattr(goal_of(stage), "file", None)
    if file is None or file.suffix.lower() not in PICTURES or (count := frames(file)) < 2:
        return []
    return [
        f"{stage.label}: the target {file} holds {count} frames; the first is wanted, the others"
        " are not looked at"
    ]


def _is_its_own_control(stage: Adversary) -> bool:
    plain = isinstance(stage, Noise) and stage.law == "gaussian"
    return plain and stage.budget.norm != "linf" and not stage.access.before_encoder


def _hidden_of_ones_own(stage: Stage) -> bool:
    """Whether a stage of the user's own shows an adversary nothing without imagined draws."""
    return is_foreign(type(stage)) and type(stage).foresee is Stage.foresee


def _facts(path: Stages, span_s: tuple[float, float]) -> list[str]:
    found = []
    disturbed = bool(path.impairments)
    fades = any(stage.fades for stage in path)
    for stage in path.adversaries:
        access, activity, label = stage.access, stage.activity, stage.label
        own = access.own_path is not None and access.own_path.k_factor is not None
        if access.channel != "exact" and not fades and not own:
            found.append(
                f"{label}: channel: {access.channel} changes nothing, for nothing fades; add a"
                " fading stage, or an own_path with a k_factor"
            )
        if access.expectation and not disturbed and not own:
            found.append(
                f"{label}: expectation: {access.expectation} costs as many times the gradients and"
                " changes nothing, for nothing on the path is left to chance"
            )
        unseen = [one.label for one in path.impairments if _hidden_of_ones_own(one)]
        if unseen and not access.expectation and stage.climbs:
            found.append(
                f"{label}: plans as if {', '.join(unseen)} were absent, which draws random numbers;"
                " access.expectation: 8 has it average over imagined draws, as a fair test of a"
                " random defence needs"
            )
        if activity.period_s is not None and activity.duty_cycle == 1:
            found.append(f"{label}: period_s changes nothing while duty_cycle is 1")
        first_s, last_s = span_s
        if activity.windows and all(end <= first_s for _, end in activity.windows):
            latest = max(end for _, end in activity.windows)
            found.append(
                f"{label}: its windows end at {latest:g} s, and the first message arrives at"
                f" {first_s:.3g} s: it never acts"
            )
        if activity.windows and all(begin > last_s for begin, _ in activity.windows):
            earliest = min(begin for begin, _ in activity.windows)
            found.append(
                f"{label}: its windows begin at {earliest:g} s, and the last message arrives at"
                f" {last_s:.3g} s: unless messages queue that long, it never acts"
            )
    return found
