"""Details of single transmissions: rows, thumbnails and replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from channelsim.display.live.model import Model
from channelsim.display.live.text_images import Pixels
from channelsim.ledger.thumbnails import shown


@dataclass
class Recomputed:
    """Result of a replay: pixels and latents by role, or an error, or nothing yet."""

    images: Mapping[str, Pixels] = field(default_factory=dict)
    latents: Mapping[str, np.ndarray] = field(default_factory=dict)
    agrees: str = ""
    error: str = ""
    pending: bool = False


class Details:
    """Details of transmissions: rows, thumbnails and replays.

    Bounded: only the newest few are remembered.
    """

    _KEPT = 64

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows: dict[int, dict[str, Any]] = {}
        self._thumbs: dict[int, dict[str, Pixels]] = {}
        self.replays: dict[int, Recomputed] = {}
        self.version = 0  # of the replays

    def row(self, transmission: int) -> dict[str, Any] | None:
        """All columns of a transmission; None where it has no row yet."""
        known = self._rows.get(transmission)
        if known is None or not self._final(known):
            with self._model.reader.snapshot() as snapshot:
                known = snapshot.transmission(transmission)
            if known is not None:
                self._rows[transmission] = known
                _forget(self._rows, self._KEPT)
        return known

    def _final(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is that of its transmission's last attempt."""
        tries = self._model.info.keys.of_attempt(row["attempt"])[1] + 1
        return row.get("done_s") is not None and bool(tries == row["attempts"])

    def images(self, transmission: int) -> Mapping[str, Pixels]:
        """Its images by role: recomputed, else from the ledger, else none."""
        replayed = self.replays.get(transmission)
        if replayed is not None and replayed.images:
            return replayed.images
        known = self._thumbs.get(transmission)
        if known is None:
            # A run under way may still add an image, or one of a later attempt.
            row = self.row(transmission)
            with self._model.reader.snapshot() as snapshot:
                found = snapshot.images(transmission)
            header = self._model.info.header
            source = found.get("source")
            known = {
                role: shown(stored, header, None if role == "source" else source)
                for role, stored in found.items()
            }
            if row is not None and self._final(row):
                self._thumbs[transmission] = known
                _forget(self._thumbs, self._KEPT)
        return known

    def siblings(self, transmission: int) -> list[int]:
        """The same message at the same point of the sweep, at every receiver."""
        info = self._model.info
        arm, message = info.keys.of_transmission(transmission)
        swept = info.arms[arm].swept
        same = [other.arm for other in info.arms if other.swept == swept]
        return [info.keys.transmission(other, message) for other in same]

    def remember(self, transmission: int, replay: Recomputed) -> None:
        """Keep the result of a replay."""
        self.replays[transmission] = replay
        self.version += 1
        _forget(self.replays, self._KEPT)


def _forget(known: dict, most: int) -> None:
    while len(known) > most:
        del known[next(iter(known))]
