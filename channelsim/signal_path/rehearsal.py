"""What an adversary that fits is shown before the run: training codewords, where it will stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from channelsim.access import Activity
from channelsim.parts import Stage
from channelsim.records import Batch, Ints
from channelsim.rows import Knowledge, Rows
from channelsim.signal_path.foresight import Foresight
from channelsim.signal_path.setting import Setting
from channelsim.signal_path.transmitter import Transmitter
from channelsim.sources import as_float
from channelsim.threat import Adversary

# Far from the run and from one another, so that each codeword meets a channel of its own.
_BEGIN_S, _APART_S = 1e6, 1e4


@dataclass(frozen=True)
class Rehearsal:
    """One adversary of an arm, and the training split. ``place``: its index among ``stages``.

    Whole codewords, whatever its activity says; the path as its access lets it see it. All draws
    are of calibration: no message's noise, fading or shift is among them. ``train``: images
    [n, C, H, W], bytes or float32 in [0, 1]; ``symbol_s``: how long a complex symbol takes.
    """

    stages: Sequence[Stage]
    place: int
    transmitter: Transmitter
    train: Tensor
    symbol_s: float
    seed: int

    @property
    def stage(self) -> Adversary:
        """Who rehearses."""
        stage = self.stages[self.place]
        assert isinstance(stage, Adversary)
        return stage

    def fit(self) -> Tensor:
        """What it fits."""
        stage, power = self.stage, self.transmitter.wire_power
        epsilon = torch.tensor([stage.budget.epsilon], dtype=torch.float64)
        radius = float(stage.budget.radius(epsilon, power, self.transmitter.codec.latent_size))
        everything = self._batch(np.arange(len(self.train)))
        return stage.fit(radius, self._setting.rows(stage.label, everything), self.draw).detach()

    def draw(self, numbers: Ints) -> tuple[Tensor, Rows]:
        """Some training codewords [n, K] as they arrive at its place, with what it knows of them."""
        codec, setting, batch = self.transmitter.codec, self._setting, self._batch(numbers)
        images = self._images(numbers)
        with torch.no_grad():
            latent, scaled = self.transmitter.send(images, setting.rows("transmitter", batch))
            clean = codec.decode(latent)
        rows = setting.rows(self.stage.label, batch)
        foresight = Foresight(setting, self.place, replace(self.stage, activity=Activity()), batch)
        signal = foresight.arriving(scaled.wire)
        knowledge = Knowledge(
            decode=lambda wire: codec.decode(scaled.undo(wire)),
            source=images,
            clean=clean,
            power=setting.power,
            source_of=self._images,
            clean_of=lambda other: codec.decode(codec.encode(self._images(other))),
            messages=len(self.train),
        )
        rows.knowledge = foresight.knows(foresight.reach(signal, rows), knowledge)
        return signal, rows

    def _images(self, numbers: Ints) -> Tensor:
        return as_float(self.train[torch.from_numpy(numbers).to(self.train.device)])

    @property
    def _setting(self) -> Setting:
        return Setting(
            stages=self.stages,
            columns={
                one.label: {name: np.array([value]) for name, value in one.column_values().items()}
                for one in self.stages
            },
            symbol_s=np.array([self.symbol_s]),
            fitted={},
            power=self.transmitter.wire_power,
            mean=self.transmitter.mean_codeword,
            pixel_power=1.0,
            labels=None,
            active=True,
            control=False,
            seed=self.seed,
            phase="calibration/",
        )

    @staticmethod
    def _batch(numbers: Ints) -> Batch:
        nothing = np.zeros_like(numbers)
        return Batch(
            arm=nothing,
            message=numbers,
            attempt=nothing,
            lost=nothing,
            began_s=_BEGIN_S + _APART_S * numbers.astype(np.float64),
            allowance=np.full(len(numbers), np.nan),
            replayed=nothing - 1,
        )
