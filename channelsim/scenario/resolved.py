"""A scenario with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from channelsim.adversaries.goals import loss_card
from channelsim.codecs.module import Module
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.parts import Codec, Metric
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.arm import Arm
from channelsim.scenario.assembly import Built, adapter
from channelsim.scenario.skeleton import Skeleton
from channelsim.scenario.sweep import Choice, Sweep, Swept
from channelsim.scenario.written_out import Known, Use
from channelsim.sources import Npz, Source
from channelsim.support.problems import Where


def _files_known(value: Any) -> Any:
    """Paths that the hash replaces by the content of the images."""
    if isinstance(value, Mapping):
        return {key: _files_known(inner) for key, inner in value.items()}
    return Known(value) if isinstance(value, Path) else value


class Resolver:
    """Serialises parts. ``foreign``: the user's own parts by identity, with their origins.

    Two forms: a scenario that can be loaded again (``resolved``; files by absolute path), and
    input of the hash (files by content, so that a moved folder changes nothing).
    """

    def __init__(self, foreign: Mapping[int, Built]) -> None:
        self._foreign = foreign
        self._described: dict[int, Any] = {}

    def scenario(
        self,
        skeleton: Skeleton,
        source: Any,
        metrics: tuple[Any, ...],
        sweep: Sweep,
        arms: dict[Choice, dict[str, Arm]],
    ) -> dict[str, Any]:
        """The whole file as a mapping; swept keys have their first values."""
        first = next(iter(arms.values()))
        one = next(iter(first.values()))
        linked = [[sweep.keys[i].key for i in axis] for axis in sweep.axes if len(axis) > 1]
        usual = skeleton.primary in (None, metrics[0].kind)
        return {
            "title": skeleton.title,
            "seed": skeleton.seed,
            "source": self.part(source),
            **{key: self._top(one, key) for key in ("transmit", "power", "link", "path")},
            "receivers": {name: self.receiver(arm.receiver) for name, arm in first.items()},
            "metrics": [self.part(metric) for metric in metrics],
            # Left out at its default, as every later key, so that hashes stay the same.
            **({} if usual else {"primary": skeleton.primary}),
            "control": skeleton.control,
            "sweep": {
                swept.key: self._values(swept, place, arms)
                for place, swept in enumerate(sweep.keys)
            },
            **({"zip": linked} if linked else {}),
            "block_rows": skeleton.block_rows,
            "max_pending": skeleton.max_pending,
            "images": skeleton.images,
        }

    def _top(self, arm: Arm, key: str) -> Any:
        if key == "path":
            return [self.part(stage) for stage in arm.path]
        return arm.transmit if key == "transmit" else self.part(getattr(arm, key), kind=False)

    def _values(self, swept: Swept, place: int, arms: dict[Choice, dict[str, Arm]]) -> list[Any]:
        """Values of a swept key as parsed by the parts: defaults and paths filled in."""
        target = swept.targets[0]
        by_value: dict[int, dict[str, Arm]] = {}
        for choice, receivers in arms.items():
            by_value.setdefault(choice[place], receivers)
        found = []
        for i, written in enumerate(swept.values):
            receivers = by_value[i]
            arm = receivers.get(str(target[1])) if target[0] == "receivers" else None
            if arm is not None:
                described: Any = {"receivers": {arm.receiver_name: self.receiver(arm.receiver)}}
            else:
                arm = next(iter(receivers.values()))
                described = {str(target[0]): self._top(arm, str(target[0]))}
            found.append(_at(described, target, written))
        return found

    def receiver(self, receiver: Any) -> dict[str, Any]:
        """A receiver with its codec and detector."""
        return {
            **self.part(receiver, kind=False),
            "codec": self.part(receiver.codec),
            "detector": None if receiver.detector is None else self.part(receiver.detector),
        }

    def part(self, part: Any, kind: bool = True) -> Any:
        """A part's keys, files and modules still as objects."""
        if id(part) in self._described:
            return self._described[id(part)]
        foreign = self._foreign.get(id(part))
        fields: Mapping[str, Any] = {}
        cls: Any = type(part)
        if hasattr(cls, "__pydantic_fields__"):
            fields = {
                name: getattr(part, name)
                if isinstance(getattr(part, name), nn.Module | Codec)
                else value
                for name, value in adapter(cls).dump_python(part, warnings=False).items()
            }
            fields = _without_later(part, fields)
        if foreign is not None and foreign.origin is not None:
            wrapped = any(isinstance(value, nn.Module) for value in fields.values())
            keys = foreign.given if wrapped or not fields else fields
            found: dict[str, Any] = {"use": Use(*foreign.origin), **keys}
        else:
            found = ({"kind": part.kind} if kind else {}) | dict(fields)
        if isinstance(part, Source):
            found = _files_known(found) | {"\0content": part.content()}
        if kind and isinstance(part, Codec):
            found["\0weights"] = [part.card.get(fact) for fact in _DECISIVE]  # for the hash alone
        elif isinstance(part, Metric) and "sha256" in part.card:
            found["\0weights"] = part.card["sha256"]
        elif isinstance(part, Adversary) and "sha256" in (card := loss_card(part)):
            found["\0weights"] = card["sha256"]
        self._described[id(part)] = found
        return found


# Keys that came after runs had been written: left out at their default, so that hashes stay as they
# are and those runs can go on and be replayed.
_LATER: Mapping[type, tuple[str, ...]] = {
    Module: ("facts", "told_snr_db"),
    Npz: ("pad",),
    Receiver: ("assumed_snr_db",),
}


def _without_later(part: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A part's fields without later keys at their defaults, sources inside it alike."""
    later = _LATER.get(type(part), ())
    kept = {
        name: value
        for name, value in fields.items()
        if name not in later or value not in (None, {})
    }
    for name, value in kept.items():
        if isinstance(inner := getattr(part, name), Source):
            kept[name] = _without_later(inner, value)
    return kept


# Entries of a codec's card that decide results; titles and measured quality do not.
_DECISIVE = (
    *("content_sha256", "transmit_power", "transmit_power_sample"),
    *("latent_mean", "latent_covariance", "prior"),
)


def _at(described: Any, target: Where, written: Any) -> Any:
    for step in target:
        try:
            described = described[step]
        except (KeyError, IndexError, TypeError):
            return written
    return described
