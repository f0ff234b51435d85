"""What the rows of a group of arms are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from channelsim.parts import Stage
from channelsim.records import Batch, Ints
from channelsim.rows import Channel, Knowledge, Rows, View
from channelsim.signal_path.injection import Column
from channelsim.threat import Adversary


@dataclass(frozen=True)
class Setting:
    """The stages of a group of arms, and what their rows are made of.

    ``columns``: per stage label, per column, the value of every arm of the run, shape [arms];
    ``symbol_s`` [arms]: how long a complex symbol takes. ``fitted``: per stage label, what it
    fitted in calibration, [arms, …]. ``power``: P per real value on the wire; ``mean`` [K]: the
    mean codeword there. ``pixel_power``: the mean square of the training images' pixels (1 where
    nobody acts before the encoder). ``labels``: class of every message, where there are classes.
    ``active``: whether adversaries do anything in these arms (a budget of zero is its own group:
    nothing is computed for it). ``control``: whether a control runs.
    """

    stages: Sequence[Stage]
    columns: Mapping[str, Mapping[str, Column]]
    symbol_s: Column
    fitted: Mapping[str, Tensor]
    power: float
    mean: Tensor
    pixel_power: float
    labels: Ints | None
    active: bool
    control: bool
    seed: int

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
        fitted = self.fitted.get(label)
        return Rows(
            name=label,
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
            fitted=None if fitted is None else fitted[torch.from_numpy(batch.arm).to(device)],
            allowance=None if np.isnan(batch.allowance).all() else batch.allowance,
            replayed=batch.replayed,
        )

    @property
    def tampering(self) -> list[Adversary]:
        """The adversaries before the encoder."""
        return [
            stage
            for stage in self.stages
            if isinstance(stage, Adversary) and stage.access.place == "before_encoder"
        ]
