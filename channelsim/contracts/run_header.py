"""What a run says of itself: the header of its ledger, read by name and with types.

A header is stored as JSON, one value per key, and comes from anybody: what decides about tables is
checked when a ledger is opened, and everything else is read here, nowhere by its key. A key that an
older channelsim did not write has the value here that such a run had; a section of another kind
raises a `HeaderError`, which whoever reads a ledger tells as damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channelsim.contracts.keys import Keys
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
    def count(self) -> int:
        """Messages per arm."""
        return int(self.values["count"])

    @property
    def max_attempts(self) -> int:
        """Tries per message, at most, over all arms."""
        return int(self.values["max_attempts"])

    @property
    def keys(self) -> Keys:
        """How this run numbers transmissions and attempts."""
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
    def passive_columns(self) -> bool:
        """Whether attempts hold what the user would have seen without an adversary."""
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
        """Channels, height and width of every image; None where the run does not say."""
        given = self.values.get("image_shape")
        return tuple(given) if isinstance(given, list | tuple) else None

    # --- the scenario ---------------------------------------------------------------------------

    @property
    def scenario(self) -> Mapping[str, Any]:
        """The resolved scenario as stored; empty where the run does not keep it."""
        return self._mapping("scenario")

    @property
    def described_scenario(self) -> Mapping[str, Any]:
        """The resolved scenario; stages of the user's own with the name and budget they declare.

        A file that names a class by ``use:`` need not say either.
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
        """What tells two scenarios apart."""
        return self.values.get("scenario_hash")

    @property
    def primary(self) -> str:
        """The metric by which receivers are compared: as the scenario says, else the first."""
        named = self.scenario.get("primary")
        if named and named not in self.metrics:
            raise InputError(
                f"the header names {named!r:.40} as its primary metric, which was not measured: it"
                " is damaged"
            )
        return str(named or next(iter(self.metrics), ""))

    def receiver(self, name: str) -> Mapping[str, Any]:
        """What the scenario says of a receiver."""
        return _mapping(_mapping(self.scenario.get("receivers")).get(name))

    # --- metrics --------------------------------------------------------------------------------

    @property
    def scales(self) -> Mapping[str, Any]:
        """What metrics of the user's own declare of their scales, by metric."""
        return self._mapping("scales")

    def scale(self, metric: str) -> Scale:
        """On which scale a metric is averaged, and which way it is better."""
        return scale_of(metric, self.scales)

    @property
    def damage_metric(self) -> str | None:
        """The metric by which damage is measured; None where none of them is fit for it."""
        return damage_metric(self.metrics, self.scales)

    @property
    def metric_cards(self) -> Mapping[str, Any]:
        """Cards of the metrics that look through trained weights, by metric."""
        return self._mapping("metric_cards")

    @property
    def loss_cards(self) -> Mapping[str, Any]:
        """Cards of the losses that adversaries look through, by adversary."""
        return self._mapping("loss_cards")

    # --- what was known before the first message ------------------------------------------------

    @property
    def calibration(self) -> Calibration:
        """What was measured and fitted before the first message."""
        return Calibration(self._mapping("calibration"))

    def reach(self, arm: int) -> Mapping[str, Any]:
        """The least distance to its adversaries' targets that an arm's decoder can reach."""
        return _mapping(self._mapping("reach").get(str(arm)))

    @property
    def threats(self) -> Mapping[str, Any]:
        """What every adversary declares, by its name."""
        return self._mapping("threats")

    @property
    def memory_s(self) -> tuple[float, ...]:
        """How long the channel remembers, by stage, in seconds of simulated time."""
        return tuple(float(one) for one in self.values.get("memory_s", ()))

    @property
    def airtime_s(self) -> float:
        """The longest time a codeword is on the air."""
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
        """What decides about bits: torch, instruction set, device, shape of blocks."""
        return self._mapping("fingerprint")

    @property
    def promises(self) -> Mapping[str, Any] | None:
        """What was tried of the promise about bits; None of a run that tried nothing."""
        return self.values.get("promises") or None

    @property
    def parts(self) -> Mapping[str, Any]:
        """What every part computes, in few numbers; empty for runs that did not say."""
        return self._mapping("parts")

    @property
    def total(self) -> int:
        """Transmissions of the whole run."""
        return int(self.values["total"])

    @property
    def created_at(self) -> str | None:
        """When the run began, as ISO 8601 in UTC."""
        return self.values.get("created_at")

    @property
    def finished_s(self) -> float | None:
        """The simulated time at which the run ended; None while it has not."""
        given = self.values.get("finished")
        return None if given is None else float(given)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a run measured and fitted before its first message. ``values``: as stored."""

    values: Mapping[str, Any]

    @property
    def images(self) -> int | None:
        """How many images the source has, where it repeats them."""
        given = self.values.get("images")
        return None if given is None else int(given)

    @property
    def fitted(self) -> Any:
        """What adversaries fitted beforehand, by adversary and arm."""
        return self.values.get("fitted")

    @property
    def source(self) -> str | None:
        """The name of the data that were sent."""
        return _mapping(self.values.get("source")).get("name")

    @property
    def constant_image(self) -> Mapping[str, Any]:
        """What each metric says of the mean image in place of every message."""
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
    """A section of a header; empty where there is none. Anything else no run writes."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise HeaderError(f"a section of its header is {value!r:.40}")
    return value
