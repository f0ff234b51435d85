"""Checks of parts together: names, goals, and what an adversary may know in its place."""

from __future__ import annotations

from typing import Any

from channelsim.adversaries.goals import check_loss
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.complex_symbols import symbol_count
from channelsim.contracts.goal import goal_of
from channelsim.contracts.parts import Codec
from channelsim.contracts.stages import Stages
from channelsim.link.link import Link
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.arm_admission import aim, own_parts
from channelsim.scenario.components import Components
from channelsim.scenario.path_rules import check_shared_path
from channelsim.scenario.scenario_keys import name_fault
from channelsim.scenario.sweep import Choice
from channelsim.support.errors import InputError


class JointChecks:
    """Asks every question about parts that meet in an arm once, however many arms ask it."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.workshop = components.workshop
        source = components.workshop.source
        self.messages = 1 if source is None else source.messages
        self._asked: set[Any] = set()

    def check(
        self, name: str, receiver: Receiver, link: Link, stages: Stages, choice: Choice
    ) -> None:
        """Check the parts of one arm; faults are noted."""
        self._names(stages, choice)
        if not self._told(name, receiver, stages, choice):
            return
        self._goals(receiver.codec, stages, choice)
        for one in own_parts(self.workshop, name, receiver, stages):
            if self._first(one.question):
                with self.components.reporting(one.at, one.inside, choice):
                    self.workshop.note(one.admit())
        self._threats(receiver.codec, link, stages, choice)

    def _told(self, name: str, receiver: Receiver, stages: Stages, choice: Choice) -> bool:
        """Whether the codec is told the SNR, where it takes that, and nothing where it does not."""
        try:
            receiver.codec_on(stages)
        except InputError as error:
            if self._first(("told", name, error.message)):
                odd = not receiver.codec.takes_side
                inside = ("assumed_snr_db",) if odd else ("codec",)
                with self.components.reporting(("receivers", name), inside, choice):
                    raise
            return False
        return True

    def _names(self, stages: Stages, choice: Choice) -> None:
        """Check the names of stages that a sweep puts in the place of others."""
        for one, i in zip(self.components.sweep, choice, strict=True):
            for target in one.targets:
                if target[0] != "path" or len(target) != 2:
                    continue
                index = int(target[1])
                label = stages[index].label
                taken = {stage.label for at, stage in enumerate(stages) if at != index}
                fault = name_fault(label, "stage")
                if label in taken | set(self.components.skeleton.receivers):
                    fault = f"the name {label!r} is taken; give it another (name: …)"
                elif self._first((one.key, i)) and not self._first((one.key, "named", label)):
                    fault = f"an earlier value is named {label!r} too; give it another (name: …)"
                if fault and self._first((one.key, i, fault)):
                    self.components.problems.add(("sweep", one.key, i), fault)

    def _goals(self, codec: Codec, stages: Stages, choice: Choice) -> None:
        for index, stage in stages.by_place.items():
            if not self._first((id(codec), id(stage))):
                continue
            goal = goal_of(stage)
            if goal is not None and self._first((id(goal), tuple(codec.image_shape))):
                with self.components.reporting(("path", index), ("goal",), choice):
                    aim(stage, codec, self.messages)
                with self.components.reporting(("path", index), ("goal", "loss"), choice):
                    check_loss(stage, codec.image_shape)

    def _threats(self, codec: Codec, link: Link, stages: Stages, choice: Choice) -> None:
        """Check stages and adversaries in their places: none may know something too early, say."""
        symbols = symbol_count(codec.latent_size)
        for index, one in stages.by_place.items() if not codec.encodes else ():
            if "encoder" in one.knows and not one.fits and self._first((id(one), "alone")):
                with self.components.reporting(("path", index), ("kind",), choice):
                    raise InputError(
                        f"{one.label} encodes an image of its choice, and the codec is a decoder"
                        " alone; kind: replay sends an old codeword"
                    )
        for index, stage in enumerate(stages):
            new = self._first((id(stage), *map(id, stages[:index])))
            if new:
                with self.components.reporting(("path", index)):  # the place, whatever is swept
                    stage.check_path(stages.up_to(index))
            if not isinstance(stage, Adversary):
                continue
            if self._first((id(stage), symbols, link.symbol_rate_hz)):
                with self.components.reporting(("path", index), ("access",), choice):
                    stage.check_causality(symbols, 1.0 / link.symbol_rate_hz)
            if new:
                with self.components.reporting(("path", index), (), choice):
                    check_shared_path(stage, stages.up_to(index), self.workshop.source)

    def _first(self, question: tuple[Any, ...]) -> bool:
        """Whether a question is asked for the first time."""
        new = question not in self._asked
        self._asked.add(question)
        return new
