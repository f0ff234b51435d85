"""The contract of message sources."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import ValidationInfo, model_validator

from channelsim.contracts.records import Ints
from channelsim.contracts.sampling import Sampling, noun_of
from channelsim.sources.arrivals import Arrivals
from channelsim.sources.collection import Collection, Images, Sent, as_float
from channelsim.support import seeds


class Source(ABC):
    """A source of messages; a part like others, but one for the whole run."""

    kind: str
    arrivals: Arrivals

    @property
    @abstractmethod
    def messages(self) -> int:
        """The number of messages sent."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of every image, or (C, L) of every signal."""

    @property
    @abstractmethod
    def described(self) -> str:
        """The name for display, e.g. ``mnist5k (test)``."""

    @property
    @abstractmethod
    def root(self) -> Path | None:
        """The data root that was given, if any."""

    @abstractmethod
    def calibration(self) -> Images:
        """Training images for everything that is calibrated: at most 10,000, evenly spaced."""

    @abstractmethod
    def content(self) -> dict[str, str]:
        """SHA-256 of the images ``sent`` (absent where they are drawn), and of ``calibration``."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices to the user about the images, before the run."""
        return ()

    @property
    def sampling(self) -> Sampling | None:
        """Rate, unit and range of signals; None of images."""
        return None

    @property
    def noun(self) -> str:
        """What a message carries, in sentences: ``image`` or ``signal``."""
        return noun_of(self.image_shape)

    def remedy(self, wanted: tuple[int, ...]) -> str:  # noqa: ARG002
        """The keys with which images of the shape ``wanted`` are sent; empty where none do so."""
        return ""

    def arrival_times(self, seed: int) -> seeds.Floats:
        """Arrival time of each message at the transmitter [s], float64 [messages], ascending."""
        return self.arrivals.times(self.messages, seed)

    def first(self, count: int) -> Self:
        """The same source with so many messages; images already read are not read again."""
        other = copy.copy(self)
        object.__setattr__(other, "count", count)
        return other


class ImageSource(Source):
    """A source whose messages carry the images of a data set, in its order."""

    split: Sent
    count: int | None
    repeat: bool

    # The data root given, set once, when a source is made; not a scenario key.
    _root: ClassVar[Path | None] = None

    @abstractmethod
    def open(self) -> Collection:
        """Author's method: the data set."""

    @model_validator(mode="after")
    def _enough(self, info: ValidationInfo) -> Self:
        context = info.context if isinstance(info.context, dict) else {}
        object.__setattr__(self, "_root", context.get("data_root"))
        self.check_keys()
        size = len(self.collection.split(self.split))
        if self.count is not None and self.count > size and not self.repeat:
            more = self.collection.whole if self.split != "all" else None
            other = "" if more is None else f", split: all (of {len(more)} {self.noun}s)"
            raise ValueError(
                f"count {self.count} is more than the {size} {self.noun}s of the {self.split} split"
                f" of {self.collection.name}; allowed are 1 to {size}{other}, or set repeat: true"
            )
        return self

    def check_keys(self) -> None:
        """Refuse keys that exclude each other (ValueError), before anything is read."""

    @property
    def root(self) -> Path | None:
        """The data root that was given, if any."""
        return self._root

    @functools.cached_property
    def collection(self) -> Collection:
        """The data set, opened once."""
        return self.open()

    @property
    def messages(self) -> int:
        """The number of messages sent."""
        return self.length if self.count is None else self.count

    @property
    def length(self) -> int:
        """The number of images in the split."""
        return len(self.collection.split(self.split))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of every image, or (C, L) of every signal."""
        return self.collection.split(self.split).image_shape

    @property
    def described(self) -> str:
        """Data set and split."""
        return f"{self.collection.name} ({self.split})"

    @property
    def notices(self) -> tuple[str, ...]:
        """The share of the files that is sent where no split was chosen; oddities of the files."""
        collection = self.collection
        found = list(collection.notices)
        if self.split == "all":
            found.append(
                f"source: split: all also sends the {self.noun}s on which powers and detectors are"
                " calibrated"
            )
        elif collection.test_share is not None and collection.whole is not None:
            found.append(
                f"source: of the {len(collection.whole):,} {self.noun}s of {collection.name} only"
                f" the {self.length:,} of its {self.split} split are sent (test_share"
                f" {collection.test_share:g}, chosen by content); split: all sends every one"
            )
        return tuple(found)

    def load(self, split: Sent | None = None) -> Images:
        """Images and labels of a split (default: the one that is sent), as float32."""
        name = split or self.split
        found = self.collection.first(name, len(self.collection.split(name)))
        return Images(as_float(found.images), found.labels)

    def sent(self) -> Images:
        """The images that the messages carry, each once: rows 0 … min(messages, length) − 1."""
        return self.collection.first(self.split, min(self.messages, self.length))

    def index(self, messages: Ints) -> Ints:
        """Row of the split that each message carries, int64 [N]."""
        return np.asarray(messages, dtype=np.int64) % self.length

    def calibration(self) -> Images:
        """Training images for everything that is calibrated: at most 10,000, evenly spaced."""
        return self.collection.calibration

    def content(self) -> dict[str, str]:
        """SHA-256 of the images sent and of the calibration images."""
        return {"sent": self.sent().sha256, "calibration": self.calibration().sha256}
