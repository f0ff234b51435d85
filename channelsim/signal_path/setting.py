"""The inputs from which the rows of a group of arms are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Batch, Ints
from channelsim.contracts.rows import Channel, Knowledge, Rows, View
from channelsim.contracts.stages import Stages
from channelsim.signal_path.injection import Column


@dataclass(frozen=True)
class Setting:
    """The stages of a group of arms, and the inputs of their rows.

    ``columns``: per stage label, per column, the value of every arm of the run, shape [arms];
    ``symbol_s`` [arms]: duration of a complex symbol. ``fitted``: per stage label and arm, its fit
    in calibration. ``power``: P per real value on the wire; ``mean`` [K]: the mean codeword there.
    ``pixel_power``: the mean square of the training images' pixels (1 without an input attack).
    ``labels``: class of every message, where there are classes. ``active``: whether adversaries act
    in these arms (a budget of zero is its own group: nothing is computed for it). ``control``:
    whether a control runs. ``phase``: prefix of all names, so that calibration and run share no
    draws.
    """

    stages: Stages
    columns: Mapping[str, Mapping[str, Column]]
    symbol_s: Column
    fitted: Mapping[str, Mapping[int, Tensor]]
    power: float
    mean: Tensor
    pixel_power: float
    labels: Ints | None
    active: bool
    control: bool
    seed: int
    phase: str = ""

    def rows(
        self,
        label: str,
        batch: Batch,
        knowledge: Knowledge | None = None,
        channel: Channel | None = None,
        view: View | None = None,
    ) -> Rows:
        """One stage's view of a batch."""
        device = self.mean.device
        with np.errstate(over="ignore"):  # a step size beyond float32 is infinite, and may be
            columns = {
                column: torch.from_numpy(values[batch.arm].astype(np.float32)).to(device)
                for column, values in self.columns.get(label, {}).items()
            }
        return Rows(
            name=self.phase + label,
            seed=self.seed,
            message=batch.message,
            attempt=batch.attempt,
            columns=columns,
            device=device,
            knowledge=knowledge,
            power=self.power,
            mean=self.mean,
            began_s=batch.began_s,
            symbol_s=self.symbol_s[batch.arm],
            channel=Channel() if channel is None else channel,
            view=view,
            fitted=self._fitted(label, batch.arm),
            allowance=None if np.isnan(batch.allowance).all() else batch.allowance,
            replayed=batch.replayed,
            exact={
                column: values[batch.arm] for column, values in self.columns.get(label, {}).items()
            },
        )

    def _fitted(self, label: str, arm: Ints) -> Tensor | None:
        """The stage's fit, [N, …]; None where it fits nothing, or is off."""
        known = self.fitted.get(label)
        if not known:
            return None
        arms, place = np.unique(arm, return_inverse=True)
        if any(int(one) not in known for one in arms):
            return None
        found = torch.stack([known[int(one)] for one in arms])
        return found[torch.from_numpy(place).to(found.device)]
