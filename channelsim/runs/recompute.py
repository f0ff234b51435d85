"""Recomputation of any attempt of a finished or growing run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from torch import Tensor

from channelsim.contracts.own_code import naming_own_code
from channelsim.contracts.records import Batch, Outcome
from channelsim.ledger import Ledger
from channelsim.ledger.consent import Consent, agreed
from channelsim.ledger.genuine import damaged
from channelsim.scenario import Scenario
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import Paths, calibrate
from channelsim.signal_path.fallback import Recorded
from channelsim.simulation import part_prints
from channelsim.support.device import there_or_auto
from channelsim.support.errors import InputError
from channelsim.support.user_files import only_from


class Recomputation:
    """The scenario of a run, calibrated again; decisions of the event plane come from the ledger.

    Fits of adversaries come from there too, since they take the longest.

    ``header``: of the run. ``scenario``, ``paths``: as in the run; changed files are refused, and
    parts that compute something else. ``allow_code``: whether code that the ledger names may run,
    or a callback to ask, see `consent`.
    """

    @naming_own_code()
    def __init__(
        self,
        folder: Path | str,
        data_root: Path | str | None = None,
        allow_code: Consent = False,
    ) -> None:
        folder = Path(folder)
        self._ledger = folder / "ledger.sqlite"
        with Ledger.open(self._ledger) as ledger:
            self.header = ledger.raw_header()
        if not isinstance(self.header.values.get("scenario"), Mapping):
            raise damaged(self._ledger, "its header has no scenario")
        self._allowed = agreed(self.header, folder, allow_code)
        with self.allowed():
            device = {"device": there_or_auto(self.header.computed_on)}
            self.scenario = Scenario.load(self.header.scenario, set=device, data_root=data_root)
            remedy = "Put that back to compute it again"
            if "parts" in self.header:
                part_prints.same_as(self.header, self.scenario, folder, remedy)
            if self.scenario.hash != self.header.scenario_hash:
                raise InputError(
                    f"{folder}: the files this scenario refers to (weights, code, targets) are not"
                    " those of the run any more; put them back to compute it again"
                )
            fitted = self.header.calibration.fitted
            self.paths: Paths = calibrate(self.scenario, fitted)

    def allowed(self) -> AbstractContextManager[None]:
        """Inside, only user code that was agreed to may run: methods may import late."""
        return only_from(self._allowed)

    def path(self, arm: int) -> SignalPath:
        """The signal path of an arm."""
        return self.paths.paths[self.paths.of_arm[arm]]

    @naming_own_code()
    def transmit(
        self, arm: int, attempts: Sequence[int]
    ) -> tuple[Outcome, dict[str, Tensor], dict[str, Tensor]]:
        """At most ``block_rows`` attempts of one arm by key, as `SignalPath.transmit`."""
        with self.allowed():
            batch, fallbacks = self._recorded(arm, attempts)
            path = self.path(arm)
            if not path.defence.last:
                return path.transmit(batch)
            images = path.defence.fallback.expand(len(batch), *path.defence.fallback.shape).clone()
            wanted = sorted({key for key in fallbacks if key is not None})
            for start in range(0, len(wanted), path.shape.rows):
                keys = wanted[start : start + path.shape.rows]
                shown = path.transmit(self._recorded(arm, keys)[0])[1]["received"]
                for row, key in enumerate(fallbacks):
                    if key in keys:
                        images[row] = shown[keys.index(key)]
            return path.transmit(batch, Recorded(fallbacks, images))

    def _recorded(self, arm: int, attempts: Sequence[int]) -> tuple[Batch, list[int | None]]:
        """The inputs of some attempts that only the ledger holds."""
        columns = ", ".join((*Batch.RECORDED, "fallback_attempt"))
        query = f"SELECT {columns} FROM attempt WHERE attempt = ?"
        with Ledger.open(self._ledger) as ledger:
            rows = [next(ledger.rows(query, (int(key),))) for key in attempts]
        keys = self.header.keys
        transmission, number = keys.of_attempt(np.array(attempts, dtype=np.int64))
        message = keys.of_transmission(transmission)[1]
        batch = Batch.recorded(arm, [row[:-1] for row in rows], message, number)
        return batch, [row[-1] for row in rows]
