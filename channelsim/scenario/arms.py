"""The arms of a scenario: receivers × points of its sweep, with every part built once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from channelsim.adversaries.goals import check_loss
from channelsim.channels.power import Power
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.fading import symbol_count
from channelsim.contracts.goal import goal_of
from channelsim.contracts.parts import Codec, Metric, Stage
from channelsim.contracts.stages import Stages
from channelsim.link.link import Link
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.assembly import Built, Workshop, validated
from channelsim.scenario.keys import Keys, name_fault, put
from channelsim.scenario.path_rules import check_shared_path
from channelsim.scenario.skeleton import Skeleton
from channelsim.scenario.trying import aim, own_parts
from channelsim.support.errors import InputError
from channelsim.support.problems import Fault, Problems, Where, shown

MOST_ARMS = 100_000  # project's choice

Choice = tuple[int, ...]  # index of each swept key's value, in the order of the file


@dataclass(frozen=True)
class Arm:
    """One receiver at one point of the sweep; ``number``: its place among the scenario's arms.

    ``swept``: dotted key as written → the value it has here.
    """

    number: int
    receiver_name: str
    swept: Mapping[str, Any]
    transmit: Literal["mean", "sample"]
    power: Power
    link: Link
    path: Stages
    receiver: Receiver
    metrics: tuple[Metric, ...]
    control: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Stages(self.path))  # from Python, any sequence


@dataclass(frozen=True)
class Swept:
    """One swept key: its values, and the places in the scenario that take them."""

    key: str
    values: tuple[Any, ...]
    targets: tuple[Where, ...]


def read_sweep(sweep: Mapping[str, Any], keys: Keys, problems: Problems) -> list[Swept]:
    """Validate the keys and lists of a sweep."""
    found: list[Swept] = []
    for key, values in sweep.items():
        where = ("sweep", key)
        targets = keys.targets(key)
        if reason := keys.not_sweepable(key):
            problems.add(where, reason)
        elif isinstance(values, Mapping):
            problems.add(
                where, f"must be a list of values; join keys by dots: {key}.{_some_key(values)}"
            )
        elif not targets:
            problems.add(where, keys.unknown(key, sweep=True))
        elif not isinstance(values, list):
            problems.add(where, f"must be a list of values, was given {shown(values)}")
        elif not values:
            problems.add(where, "must not be an empty list; remove the key or name a value")
        elif twice := _twice(values):
            problems.add((*where, twice[1]), f"{shown(twice[0])} is in the list twice; remove one")
        else:
            other = next((one for one in found if _overlap(one.targets, targets)), None)
            if other is None:
                found.append(Swept(key, tuple(values), targets))
            else:
                problems.add(where, f"sweeps the same value as {other.key}; remove one of the two")
    return found


class ArmBuilder:
    """Builds the arms; parts with equal descriptions are one object in all of them."""

    def __init__(
        self, skeleton: Skeleton, sweep: list[Swept], workshop: Workshop, problems: Problems
    ) -> None:
        self.skeleton = skeleton
        self.sweep = sweep
        self.workshop = workshop
        self.problems = problems
        source = workshop.source
        self.image_shape = None if source is None else source.image_shape
        self.messages = 1 if source is None else source.messages
        self._components: dict[Any, Any] = {}
        self._tried: set[Any] = set()

    def arms(self, metrics: tuple[Metric, ...], broken: set[str]) -> dict[Choice, dict[str, Arm]]:
        """All arms by sweep point and receiver, numbered with the receivers outermost."""
        sizes = [len(one.values) for one in self.sweep]
        total = math.prod(sizes) * len(self.skeleton.receivers)
        if total > MOST_ARMS:
            self.problems.add(
                ("sweep",),
                f"makes {total:,} arms with {len(self.skeleton.receivers)} receivers; at most"
                f" {MOST_ARMS:,} are allowed",
            )
            sizes = [1] * len(sizes)
        found: dict[Choice, dict[str, Arm]] = {}
        number = 0
        for name in self.skeleton.receivers:
            for choice in itertools.product(*(range(size) for size in sizes)):
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
        skeleton = self.skeleton
        parts = {
            "transmit": self._component(("transmit",), choice, _transmit),
            "power": self._component(("power",), choice, self._power),
            "link": self._component(("link",), choice, self._link),
        }
        stages = [
            self._component(
                ("path", index), choice, lambda given: self.workshop.build("stage", given)
            )
            for index in range(len(skeleton.path))
        ]
        receiver = None
        if "receivers" not in broken:
            receiver = self._component(("receivers", name), choice, self._receiver)
        if receiver is None or None in stages or None in parts.values():
            return None
        path = Stages(stages)
        self._try_names(path, choice)
        self._try_goals(receiver.codec, path, choice)
        for one in own_parts(self.workshop, name, receiver, stages):
            if self._first(one.question):
                with self._reporting(one.at, one.inside, choice):
                    self.workshop.note(one.admit())
        self._try_threats(receiver.codec, parts["link"], path, choice)
        return Arm(
            number=number,
            receiver_name=name,
            swept={
                one.key: _value_at(one, i, path) for one, i in zip(self.sweep, choice, strict=True)
            },
            path=path,
            receiver=receiver,
            metrics=metrics,
            control=skeleton.control,
            **parts,
        )

    # --- one component at one point of the sweep --------------------------------------------------

    def _component(self, at: Where, choice: Choice, build: Callable[[Any], Built]) -> Any:
        depth = len(at)
        applied = self._applied(at, choice)
        known = (at, tuple((one.key, i) for one, i, _ in applied))
        if known not in self._components:
            base: Any = getattr(self.skeleton, str(at[0]))
            for step in at[1:]:
                base = base[step]
            given = base
            for one, i, target in applied:
                given = put(given, target[depth:], one.values[i], at)
            built = build(given)
            if built.faults:
                without = set(build(base).faults) if applied else set()
                for fault in built.faults:
                    self._report(fault, at, [] if fault in without else applied)
            self._components[known] = built.part if not built.faults else None
        return self._components[known]

    def _applied(self, at: Where, choice: Choice) -> list[tuple[Swept, int, Where]]:
        """The swept values that lie inside a component, each with its place in the scenario."""
        return [
            (one, i, target)
            for one, i in zip(self.sweep, choice, strict=True)
            for target in one.targets
            if target[: len(at)] == at
        ]

    def _report(self, fault: Fault, at: Where, applied: list[tuple[Swept, int, Where]]) -> None:
        """Report a fault at the line of the swept value that causes it, else at the part's line."""
        where = (*at, *fault.where)
        for one, i, target in reversed(applied):
            if where[: len(target)] == target or target[: len(where)] == where:
                self.problems.add(("sweep", one.key, i, *where[len(target) :]), fault.text)
                return
        self.problems.add(where, fault.text)

    def _power(self, given: Any) -> Built:
        return _keyed(Power, {"mode": given} if isinstance(given, str) else given, self.workshop)

    def _link(self, given: Any) -> Built:
        return _keyed(Link, given, self.workshop)

    def _receiver(self, given: Any) -> Built:
        if not isinstance(given, Mapping):
            return _fault((), f"must be a mapping {{codec: …}}, was given {shown(given)}")
        keys = dict(given)
        faults: list[Fault] = []
        for slot in ("codec", "detector"):
            if keys.get(slot) is None:
                continue
            built = self.workshop.build(slot, keys[slot])
            faults += [fault.inside((slot,)) for fault in built.faults]
            if built.part is None:
                keys.pop(slot)
            else:
                keys[slot] = built.part
        codec = keys.get("codec")
        if isinstance(codec, Codec) and self.image_shape is not None:
            shape = tuple(codec.image_shape)
            if shape != self.image_shape:
                faults.append(
                    Fault(
                        ("codec",),
                        f"takes images of shape {list(shape)}, but the source sends"
                        f" {list(self.image_shape)}; choose another codec or source",
                    )
                )
        built = _keyed(Receiver, keys, self.workshop)
        dropped = {slot for slot in ("codec", "detector") if slot in given and slot not in keys}
        faults += [
            fault for fault in built.faults if fault.where[:1] not in {(d,) for d in dropped}
        ]
        return Built(None if faults or dropped else built.part, tuple(faults))

    # --- checks of parts together --------------------------------------------------------

    def _try_names(self, stages: Stages, choice: Choice) -> None:
        """Check the names of stages that a sweep puts in the place of others."""
        for one, i in zip(self.sweep, choice, strict=True):
            for target in one.targets:
                if target[0] != "path" or len(target) != 2:
                    continue
                index = int(target[1])
                label = stages[index].label
                taken = {stage.label for at, stage in enumerate(stages) if at != index}
                fault = name_fault(label, "stage")
                if label in taken | set(self.skeleton.receivers):
                    fault = f"the name {label!r} is taken; give it another (name: …)"
                elif self._first((one.key, i)) and not self._first((one.key, "named", label)):
                    fault = f"an earlier value is named {label!r} too; give it another (name: …)"
                if fault and self._first((one.key, i, fault)):
                    self.problems.add(("sweep", one.key, i), fault)

    def _try_goals(self, codec: Codec, stages: Stages, choice: Choice) -> None:
        for index, stage in stages.by_place.items():
            if not self._first((id(codec), id(stage))):
                continue
            goal = goal_of(stage)
            if goal is not None and self._first((id(goal), tuple(codec.image_shape))):
                with self._reporting(("path", index), ("goal",), choice):
                    aim(stage, codec, self.messages)
                with self._reporting(("path", index), ("goal", "loss"), choice):
                    check_loss(stage, codec.image_shape)

    def _try_threats(self, codec: Codec, link: Link, stages: Stages, choice: Choice) -> None:
        """Check stages and adversaries in their places: none may know something too early, say."""
        symbols = symbol_count(codec.latent_size)
        for index, stage in enumerate(stages):
            new = self._first((id(stage), *map(id, stages[:index])))
            if new:
                with self._reporting(("path", index)):  # the place, whatever is swept
                    stage.check_path(stages.up_to(index))
            if not isinstance(stage, Adversary):
                continue
            if self._first((id(stage), symbols, link.symbol_rate_hz)):
                with self._reporting(("path", index), ("access",), choice):
                    stage.check_causality(symbols, 1.0 / link.symbol_rate_hz)
            if new:
                with self._reporting(("path", index), (), choice):
                    check_shared_path(stage, stages.up_to(index), self.workshop.source)

    def _first(self, question: tuple[Any, ...]) -> bool:
        """Whether a question is asked for the first time."""
        new = question not in self._tried
        self._tried.add(question)
        return new

    @contextmanager
    def _reporting(
        self, at: Where, inside: Where = (), choice: Choice | None = None
    ) -> Iterator[None]:
        """Note an exception as a fault of a component, or of what is swept in it at a choice."""
        try:
            yield
        except InputError as error:
            swept = [] if choice is None else self._applied(at, choice)
            self._report(Fault(inside, error.message), at, swept)


def _value_at(one: Swept, i: int, stages: Stages) -> Any:
    """A swept value as tables show it: a whole stage always with its name."""
    value, target = one.values[i], one.targets[0]
    if target[0] != "path" or len(target) != 2 or not isinstance(value, Mapping | Stage):
        return value
    stage = stages[int(target[1])]
    return {**(value if isinstance(value, Mapping) else {"kind": stage.kind}), "name": stage.label}


def _transmit(given: Any) -> Built:
    if given in ("mean", "sample"):
        return Built(given)
    return _fault((), f"must be mean or sample, was given {shown(given)}")


def _keyed(cls: type, given: Any, workshop: Workshop) -> Built:
    if isinstance(given, cls):
        return Built(given)
    if not isinstance(given, Mapping):
        return _fault((), f"must be a mapping (key: value), was given {shown(given)}")
    if odd := [key for key in given if not isinstance(key, str)]:
        return _fault((), f"{shown(odd[0])}: a key must be a word")
    return validated(cls, given, workshop.folder)


def _fault(where: Where, text: str) -> Built:
    return Built(faults=(Fault(where, text),))


def _twice(values: list[Any]) -> tuple[Any, int] | None:
    """The first value that repeats an earlier one, with its position."""
    keys: set[str] = set()
    for position, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        key = repr(float(value)) if number and abs(value) < 2**53 else repr(value)
        if key in keys:
            return value, position
        keys.add(key)
    return None


def _overlap(left: tuple[Where, ...], right: tuple[Where, ...]) -> bool:
    return any(a[: len(b)] == b or b[: len(a)] == a for a in left for b in right)


def _some_key(values: Mapping[Any, Any]) -> str:
    return str(next(iter(values), "…"))
