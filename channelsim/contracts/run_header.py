"""The header of a run's ledger, read by name and with types.

A header is stored as JSON, one value per key, and may come from an untrusted file: keys that decide
about tables are checked when a ledger is opened, and all others are read here, nowhere else. A key
that an older channelsim did not write has the value here that such a run had; a section of the
wrong kind raises a `HeaderError`, which ledger readers report as damage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channelsim.contracts.keys import Keys
from channelsim.contracts.sampling import Sampling, noun_of
from channelsim.contracts.scales import Scale, damage_metric, scale_of
from channelsim.support.errors import InputError


class HeaderError(TypeError):
    """A section of a header is of a kind that no run writes."""


@dataclass(frozen=True, slots=True, eq=False)
class RunHeader:
    """The header of one run. ``values``: as stored, key → JSON-able value."""

    values: Mapping[str, Any]

    def with_values(self, **values: Any) -> RunHeader:
        """The same header with more, or other, values."""
        return RunHeader({**self.values, **values})

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def _mapping(self, key: str) -> Mapping[str, Any]:
        return _mapping(self.values.get(key))

    # --- what was run ---------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The scenario's title."""
        return str(self.values.get("title") or "Run")

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return int(self.values["seed"])

    @property
    def ledger_version(self) -> int:
        """The version of the ledger's tables, checked when it is opened."""
        return int(self.values["ledger_version"])

    @property
    def count(self) -> int:
        """Messages per arm."""
        return int(self.values["count"])

    @property
    def max_attempts(self) -> int:
        """Tries per message, at most, over all arms."""
        return int(self.values["max_attempts"])

    @property
    def keys(self) -> Keys:
        """The numbering of this run's transmissions and attempts."""
        return Keys(self.count, self.max_attempts)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the scenario's order."""
        return tuple(self.values["metrics"])

    @property
    def control(self) -> bool:
        """Whether matched noise ran beside every attack."""
        return bool(self.values["control"])

    @property
    def judged(self) -> bool:
        """Whether any receiver has a detector."""
        return bool(self.values.get("judged", False))

    @property
    def decodes(self) -> bool:
        """Whether attempts tell if decoding succeeded: any receiver's decoder says so."""
        return bool(self.values.get("decodes", False))

    @property
    def passive_columns(self) -> bool:
        """Whether attempts hold the results without an adversary."""
        return bool(self.values.get("passive_columns", False))

    @property
    def swept_keys(self) -> tuple[str, ...]:
        """Dotted keys of the sweep."""
        return tuple(self.values["swept_keys"])

    @property
    def block_rows(self) -> int:
        """Rows per computed block."""
        return int(self.values["block_rows"])

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """Channels, height and width of every image; None where the header lacks them."""
        given = self.values.get("image_shape")
        return tuple(given) if isinstance(given, list | tuple) else None

    @property
    def sampling(self) -> Sampling | None:
        """Rate, unit and range of the signals; None of a run of images."""
        return Sampling.kept(self.values.get("sampling"))

    @property
    def noun(self) -> str:
        """What a message carries: ``image`` or ``signal``."""
        return noun_of(self.image_shape)

    # --- the scenario ---------------------------------------------------------------------------

    @property
    def scenario(self) -> Mapping[str, Any]:
        """The resolved scenario as stored; empty where the run does not keep it."""
        return self._mapping("scenario")

    @property
    def described_scenario(self) -> Mapping[str, Any]:
        """The resolved scenario; the user's own stages with the name and budget they declare.

        A file that names a class by ``use:`` may give neither.
        """
        own, path = self._mapping("own_stages"), self.scenario.get("path")
        if not own or not isinstance(path, list):
            return self.scenario
        described = [
            {**stage, **_mapping(own.get(str(place)))} if isinstance(stage, Mapping) else stage
            for place, stage in enumerate(path)
        ]
        return {**self.scenario, "path": described}

    @property
    def scenario_hash(self) -> str | None:
        """The hash that distinguishes scenarios."""
        return self.values.get("scenario_hash")

    @property
    def primary(self) -> str:
        """The metric by which receivers are compared: the scenario's, else the first."""
        named = self.scenario.get("primary")
        if named and named not in self.metrics:
            raise InputError(
                f"the header names {named!r:.40} as its primary metric, which was not measured: it"
                " is damaged"
            )
        return str(named or next(iter(self.metrics), ""))

    def receiver(self, name: str) -> Mapping[str, Any]:
        """A receiver's entry in the scenario."""
        return _mapping(_mapping(self.scenario.get("receivers")).get(name))

    # --- metrics --------------------------------------------------------------------------------

    @property
    def scales(self) -> Mapping[str, Any]:
        """Scales that the user's own metrics declare, by metric."""
        return self._mapping("scales")

    def scale(self, metric: str) -> Scale:
        """The scale on which a metric is averaged, and its direction."""
        return scale_of(metric, self.scales)

    @property
    def damage_metric(self) -> str | None:
        """The metric by which damage is measured; None where none is suitable."""
        return damage_metric(self.metrics, self.scales)

    @property
    def metric_cards(self) -> Mapping[str, Any]:
        """Standard normal draws, float32 [N, width]; ``index``: one more counter (a restart, …)."""
        return self._mapping("metric_cards")

    @property
    def loss_cards(self) -> Mapping[str, Any]:
        """Cards of the adversaries' losses, by adversary."""
        return self._mapping("loss_cards")

    @property
    def attack_losses(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the adversaries that raise the codec's own ``attack_loss``, by receiver."""
        found = self._mapping("attack_losses")
        if not all(isinstance(names, list) for names in found.values()):
            raise HeaderError(f"attack_losses of its header is {found!r:.40}")
        return {receiver: tuple(map(str, names)) for receiver, names in found.items()}

    # --- known before the first message ---------------------------------------------------------

    @property
    def calibration(self) -> Calibration:
        """Measurements and fits made before the first message."""
        return Calibration(self._mapping("calibration"))

    def reach(self, arm: int) -> Mapping[str, Any]:
        """The least distance to its adversaries' targets that an arm's decoder can reach."""
        return _mapping(self._mapping("reach").get(str(arm)))

    @property
    def threats(self) -> Mapping[str, Any]:
        """The declarations of every adversary, by its name."""
        return self._mapping("threats")

    @property
    def memory_s(self) -> tuple[float, ...]:
        """Memories of the channel's stages, in seconds of simulated time."""
        return tuple(float(one) for one in self.values.get("memory_s", ()))

    @property
    def airtime_s(self) -> float:
        """The longest time of a codeword on the air."""
        return float(self.values.get("airtime_s", 0.0))

    @property
    def contended(self) -> bool:
        """Whether transmitters contend for the medium, so that one message delays another."""
        return bool(self.values.get("contended"))

    @property
    def shared_paths(self) -> tuple[tuple[str, ...], ...]:
        """Adversaries that pass through one fading path."""
        return tuple(map(tuple, self.values.get("shared_paths", ())))

    # --- who computed it ------------------------------------------------------------------------

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Facts that decide bits: torch, instruction set, device, shape of blocks."""
        return self._mapping("fingerprint")

    @property
    def computed_on(self) -> str:
        """The device, ``cpu`` or ``cuda:N``; ``auto`` of a run that does not say."""
        return str(self.values.get("computed_on") or "auto")

    @property
    def ended_s(self) -> float | None:
        """Simulated end [s] of what this ledger holds: the run's, or that of a part of it."""
        found = self.values.get("finished", self.values.get("ended"))
        known = isinstance(found, int | float) and math.isfinite(found)
        return float(found) if known else None

    @property
    def versions(self) -> Mapping[str, Any]:
        """Of the software that computed it."""
        return self._mapping("versions")

    @property
    def promises(self) -> Mapping[str, Any] | None:
        """The self-test of the promise about bits; None of a run without one."""
        return self.values.get("promises") or None

    @property
    def parts(self) -> Mapping[str, Any]:
        """Fingerprints of every part's function; empty for runs that have none."""
        return self._mapping("parts")

    @property
    def total(self) -> int:
        """Transmissions of the whole run."""
        return int(self.values["total"])

    @property
    def created_at(self) -> str | None:
        """The run's beginning, as ISO 8601 in UTC."""
        return self.values.get("created_at")

    @property
    def finished_s(self) -> float | None:
        """The simulated time at which the run ended; None while it has not."""
        given = self.values.get("finished")
        return None if given is None else float(given)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Measurements and fits of a run before its first message. ``values``: as stored."""

    values: Mapping[str, Any]

    @property
    def images(self) -> int | None:
        """The number of images of the source, where it repeats them."""
        given = self.values.get("images")
        return None if given is None else int(given)

    @property
    def fitted(self) -> Any:
        """Fits that adversaries made beforehand, by adversary and arm."""
        return self.values.get("fitted")

    @property
    def source(self) -> str | None:
        """The name of the data sent."""
        return _mapping(self.values.get("source")).get("name")

    @property
    def constant_image(self) -> Mapping[str, Any]:
        """Each metric's value for the mean image in place of every message."""
        return _mapping(self.values.get("constant_image"))

    def power(self, arm: int) -> float | None:
        """P: mean transmit power per real value of an arm's codewords on the wire."""
        return self._of_power(arm, "wire", float)

    def latent_size(self, arm: int) -> int | None:
        """K: real values per codeword of an arm."""
        return self._of_power(arm, "latent_size", int)

    def threshold(self, arm: int) -> float | None:
        """The score above which an arm's detector rejects; None without a detector."""
        limit = _mapping(self.values.get("threshold")).get(str(arm))
        return None if limit is None else float(limit)

    @property
    def thresholds(self) -> Mapping[str, Any]:
        """Thresholds of all arms that have a detector."""
        return _mapping(self.values.get("threshold"))

    @property
    def pixel_power(self) -> float:
        """Mean square of the images that an adversary before the encoder changes."""
        return float(self.values["pixel_power"])

    def _of_power(self, arm: int, name: str, kind: type) -> Any:
        given = _mapping(_mapping(self.values.get("power")).get(str(arm))).get(name)
        return None if given is None else kind(given)


def _mapping(value: Any) -> Mapping[str, Any]:
    """A section of a header; empty where there is none, an error where it is not a mapping."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise HeaderError(f"a section of its header is {value!r:.40}")
    return value
