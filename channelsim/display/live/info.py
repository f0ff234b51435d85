"""A run's header for a view: size, arms, path, budgets, and names short enough to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from channelsim.analysis import names
from channelsim.analysis.aims import Aim, aim_of
from channelsim.analysis.names import number
from channelsim.contracts.keys import Keys
from channelsim.contracts.records import ArmRecord
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import damage_metric


@dataclass(frozen=True)
class RunInfo:
    """The header and the arms of a run; neither changes while the run goes on."""

    header: RunHeader
    arms: tuple[ArmRecord, ...]

    @property
    def title(self) -> str:
        """The scenario's title."""
        return self.header.title

    @property
    def count(self) -> int:
        """Messages per arm."""
        return self.header.count

    @property
    def max_attempts(self) -> int:
        """Most attempts per message."""
        return self.header.max_attempts

    @cached_property
    def keys(self) -> Keys:
        """The run's numbering of transmissions and attempts."""
        return self.header.keys

    @property
    def total(self) -> int:
        """Number of transmissions of the whole run."""
        return self.count * len(self.arms)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Metrics, in the scenario's order."""
        return self.header.metrics

    @cached_property
    def primary_metric(self) -> str:
        """The metric that receivers are compared by; it is shown first."""
        return self.header.primary

    def mean_image(self, metric: str) -> float | None:
        """The score of a receiver that always shows the data set's mean image; None if unknown."""
        score = self.header.calibration.constant_image.get(metric)
        return score if is_number(score) else None

    @property
    def control(self) -> bool:
        """Whether matched noise runs beside every attack."""
        return self.header.control

    @cached_property
    def receivers(self) -> tuple[str, ...]:
        """Receivers, in order of their arms."""
        return tuple(dict.fromkeys(arm.receiver for arm in self.arms))

    @cached_property
    def swept_keys(self) -> tuple[str, ...]:
        """Dotted keys of the sweep."""
        return self.header.swept_keys

    @cached_property
    def scenario(self) -> Mapping[str, Any]:
        """The resolved scenario."""
        return self.header.described_scenario

    @cached_property
    def stages(self) -> tuple[Mapping[str, Any], ...]:
        """The stages of the path, in order."""
        path = self.scenario.get("path") or ()
        return tuple(stage for stage in path if isinstance(stage, Mapping))

    def stages_of(self, arm: int) -> tuple[Mapping[str, Any], ...]:
        """The stages of this arm, where the sweep replaces some."""
        swept = self.arms[arm].swept
        found = (swept.get(f"path.{i}", stage) for i, stage in enumerate(self.stages))
        return tuple(stage for stage in found if isinstance(stage, Mapping))

    def variants(self, place: int) -> list[Mapping[str, Any]]:
        """The stages at one place of the path, arm by arm; one without a sweep."""
        if f"path.{place}" not in self.swept_keys:
            return [self.stages[place]]
        return [one for one in self.values(f"path.{place}") if isinstance(one, Mapping)]

    @cached_property
    def aims(self) -> tuple[Aim, ...]:
        """The goals of every arm's adversaries."""
        return tuple(aim_of(self.scenario, arm.swept, self.header.noun) for arm in self.arms)

    def gauge_of(self, arm: int) -> str | None:
        """The metric that judges an arm's attack: of damage, or of distance to its target."""
        usual = damage_metric(self.metrics, self.header.scales)
        return self.aims[arm].metric(self.metrics, usual) or usual

    def adversary_on(self, arm: int) -> bool:
        """Whether an adversary with a budget is on the path of this arm."""
        return any(isinstance(stage.get("budget"), Mapping) for stage in self.stages_of(arm))

    @cached_property
    def epsilon_key(self) -> str | None:
        """The one swept key that is a budget's epsilon; None where there are none or several."""
        return names.epsilon_key_of(self.swept_keys)

    @cached_property
    def short(self) -> Mapping[str, str]:
        """Swept key → its short name, as in the summary; ε for the budget."""
        decibels = names.decibel_keys(self.scenario, self.swept_keys)
        return names.short_names(self.swept_keys, decibels)

    @cached_property
    def curve_key(self) -> str | None:
        """The swept key along which curves are drawn: the budget, else the first with numbers."""
        numeric = [
            key
            for key in self.swept_keys
            if all(is_number(arm.swept.get(key)) for arm in self.arms)
            and len({arm.swept[key] for arm in self.arms}) > 1
        ]
        if self.epsilon_key in numeric:
            return self.epsilon_key
        return next(iter(numeric), None)

    def values(self, key: str) -> tuple[Any, ...]:
        """Return the values of a swept key, in order of the arms."""
        return tuple({repr(arm.swept.get(key)): arm.swept.get(key) for arm in self.arms}.values())

    def place(self, arm: int) -> str:
        """Return a point of the sweep in words: ``ε 0.5, snr_db 10``; empty without a sweep."""
        swept = self.arms[arm].swept
        return ", ".join(f"{self.short[key]} {number(swept.get(key))}" for key in self.swept_keys)

    def budgets(self, arm: int) -> list[tuple[str, str, float]]:
        """Return (adversary, norm, ε) of every adversary on the path, as this arm has them."""
        found = []
        for stage in self.stages_of(arm):
            budget = stage.get("budget")
            if not isinstance(budget, Mapping) or not is_number(budget.get("epsilon")):
                continue
            name = name_of(stage)
            epsilon = self.arms[arm].swept.get(f"{name}.budget.epsilon", budget["epsilon"])
            if is_number(epsilon):
                found.append((name, str(budget.get("norm", "linf")), float(epsilon)))
        return found

    def before_encoder(self, stage: Mapping[str, Any]) -> bool:
        """Whether an adversary changes images instead of the wire, by the threat it declares."""
        threat = self.header.threats.get(name_of(stage)) or {}
        return threat.get("place") == "before the encoder"

    def false_alarm(self, arm: int) -> float | None:
        """Return the stated false-alarm rate of an arm's detector; None without one."""
        receiver = self.arms[arm].receiver
        settings = (self.scenario.get("receivers") or {}).get(receiver) or {}
        detector = settings.get("detector")
        key = f"receivers.{receiver}.detector.false_alarm"
        stated = detector.get("false_alarm") if isinstance(detector, Mapping) else None
        stated = self.arms[arm].swept.get(key, stated)
        return float(stated) if is_number(stated) else None


def name_of(stage: Mapping[str, Any]) -> str:
    """A stage's name, or its kind where it has none."""
    return str(stage.get("name") or stage.get("kind") or stage.get("use") or "stage")


def is_number(value: Any) -> bool:
    """Whether a value is a number (a bool is not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)
