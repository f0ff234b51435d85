"""The arms of a scenario: receivers × points of its sweep, with every part built once."""

from __future__ import annotations

import itertools

from channelsim.contracts.parts import Metric
from channelsim.contracts.stages import Stages
from channelsim.scenario.arm import Arm
from channelsim.scenario.assembly import Workshop
from channelsim.scenario.components import Components
from channelsim.scenario.joint_checks import JointChecks
from channelsim.scenario.skeleton import Skeleton
from channelsim.scenario.sweep import Choice, Sweep, value_at
from channelsim.support.problems import Problems

MOST_ARMS = 100_000  # project's choice


class ArmBuilder:
    """Builds the arms: takes the components of each, checks them together, and numbers them."""

    def __init__(
        self, skeleton: Skeleton, sweep: Sweep, workshop: Workshop, problems: Problems
    ) -> None:
        self.skeleton = skeleton
        self.sweep = sweep
        self.problems = problems
        self.components = Components(skeleton, sweep.keys, workshop, problems)
        self.checks = JointChecks(self.components)

    def arms(self, metrics: tuple[Metric, ...], broken: set[str]) -> dict[Choice, dict[str, Arm]]:
        """All arms by sweep point and receiver, numbered with the receivers outermost."""
        choices = list(itertools.islice(self.sweep.choices(), MOST_ARMS))
        total = self.sweep.size * len(self.skeleton.receivers)
        if total > MOST_ARMS:
            self.problems.add(
                ("sweep",),
                f"makes {total:,} arms with {len(self.skeleton.receivers)} receivers; at most"
                f" {MOST_ARMS:,} are allowed",
            )
            choices = choices[:1]
        found: dict[Choice, dict[str, Arm]] = {}
        number = 0
        for name in self.skeleton.receivers:
            for choice in choices:
                arm = self._arm(number, name, choice, metrics, broken)
                number += 1
                if arm is not None:
                    found.setdefault(choice, {})[name] = arm
        return found

    def _arm(
        self,
        number: int,
        name: str,
        choice: Choice,
        metrics: tuple[Metric, ...],
        broken: set[str],
    ) -> Arm | None:
        """An arm, or None where a part of it is faulty."""
        transmit = self.components.transmit(choice)
        power = self.components.power(choice)
        link = self.components.link(choice)
        stages = self.components.stages(choice)
        receiver = None if "receivers" in broken else self.components.receiver(name, choice)
        if receiver is None or None in stages or transmit is None or power is None or link is None:
            return None
        path = Stages(stage for stage in stages if stage is not None)
        self.checks.check(name, receiver, link, path, choice)
        return Arm(
            number=number,
            receiver_name=name,
            swept={
                one.key: value_at(one, i, path)
                for one, i in zip(self.sweep.keys, choice, strict=True)
            },
            transmit=transmit,
            power=power,
            link=link,
            path=path,
            receiver=receiver,
            metrics=metrics,
            control=self.skeleton.control,
        )
