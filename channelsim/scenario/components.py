"""Parts at one point of the sweep, each built once for all points that describe it alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from channelsim.channels.power import Power
from channelsim.contracts.parts import Codec, Stage
from channelsim.contracts.sampling import noun_of
from channelsim.link.link import Link
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.assembly import Built, Workshop, validated
from channelsim.scenario.scenario_keys import put
from channelsim.scenario.skeleton import Skeleton
from channelsim.scenario.sweep import Choice, Swept
from channelsim.sources import ImageSource
from channelsim.support.errors import InputError
from channelsim.support.problems import Fault, Problems, Where, shown


class Components:
    """The components of a scenario: equal descriptions give one object, faulty ones None.

    A fault is reported at the line of the swept value that causes it, else at the part's line.
    """

    def __init__(
        self, skeleton: Skeleton, sweep: Sequence[Swept], workshop: Workshop, problems: Problems
    ) -> None:
        self.skeleton = skeleton
        self.sweep = sweep
        self.workshop = workshop
        self.problems = problems
        self.source = workshop.source
        self.image_shape = None if self.source is None else self.source.image_shape
        self._components: dict[Any, Any] = {}

    def transmit(self, choice: Choice) -> Any:
        """What is transmitted of a posterior: ``mean`` or ``sample``."""
        return self._component(("transmit",), choice, _transmit)

    def power(self, choice: Choice) -> Power | None:
        """The power constraint."""
        return self._component(("power",), choice, self._power)

    def link(self, choice: Choice) -> Link | None:
        """The link."""
        return self._component(("link",), choice, self._link)

    def stages(self, choice: Choice) -> list[Stage | None]:
        """The stages of the path."""
        return [
            self._component(
                ("path", index), choice, lambda given: self.workshop.build("stage", given)
            )
            for index in range(len(self.skeleton.path))
        ]

    def receiver(self, name: str, choice: Choice) -> Receiver | None:
        """A receiver with its codec and detector."""
        return self._component(("receivers", name), choice, self._receiver)

    @contextmanager
    def reporting(
        self, at: Where, inside: Where = (), choice: Choice | None = None
    ) -> Iterator[None]:
        """Note an exception as a fault of a component, or of what is swept in it at a choice."""
        try:
            yield
        except InputError as error:
            swept = [] if choice is None else self._applied(at, choice)
            self._report(Fault(inside, error.message), at, swept)

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
        if isinstance(codec, Codec) and self.source is not None:
            shape, sent = codec.image_shape, self.source.image_shape
            if tuple(shape) != sent:
                remedy = self.source.remedy(shape) or "choose another codec or source"
                faults.append(
                    Fault(
                        ("codec",),
                        f"takes {noun_of(shape)}s of shape {list(shape)}, but the source sends"
                        f" {list(sent)}; {remedy}",
                    )
                )
        source = self.workshop.source
        if isinstance(codec, Codec) and not codec.encodes and isinstance(source, ImageSource):
            faults.append(
                Fault(
                    ("codec",),
                    f"has no encoder, but the source sends {source.noun}s; draw its codewords with"
                    " source: {kind: prior, count: …}",
                )
            )
        built = _keyed(Receiver, keys, self.workshop)
        dropped = {slot for slot in ("codec", "detector") if slot in given and slot not in keys}
        faults += [
            fault for fault in built.faults if fault.where[:1] not in {(d,) for d in dropped}
        ]
        return Built(None if faults or dropped else built.part, tuple(faults))


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
