"""The training data of an adversary that fits: the training split as seen at its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from channelsim.channels.power import Scaled
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.records import Batch, Ints
from channelsim.contracts.rows import Knowledge, Rows, after
from channelsim.contracts.stages import Stages
from channelsim.signal_path.adversary_view import BEFORE_ALL, Foresight
from channelsim.signal_path.input_attack import aware
from channelsim.signal_path.setting import Setting
from channelsim.signal_path.transmitter import Transmitter
from channelsim.sources import as_float

# Far from the run and from one another, so that each codeword meets a channel of its own.
_BEGIN_S, _APART_S = 1e6, 1e4
_REMEMBERED = 2**24  # pixels of cached codewords: 64 MB, and as much for their clean images


class TrainingCodewords:
    """The training split as a transmitter sends it: numbers → images, wire signal, clean images.

    ``train``: [n, C, H, W], bytes or float32 in [0, 1]. Attacks that differ in their budget request
    the same codewords again, so the last ones are cached.
    """

    def __init__(self, transmitter: Transmitter, train: Tensor, seed: int) -> None:
        self.transmitter = transmitter
        self.train = train
        self.seed = seed
        self._room = max(1, _REMEMBERED // train[0].numel())  # rows
        self._known: dict[bytes, tuple[Tensor, Scaled, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.train)

    def images(self, numbers: Ints) -> Tensor:
        """Images, float32 in [0, 1]."""
        return as_float(self.train[torch.from_numpy(numbers).to(self.train.device)])

    def clean(self, numbers: Ints) -> Tensor:
        """Their undisturbed reconstructions."""
        return self(numbers)[2]

    def send(self, images: Tensor, numbers: Ints) -> tuple[Tensor, Scaled]:
        """Latents and wire signals of images in place of the training ones; differentiable."""
        attempts = np.zeros_like(numbers)
        rows = Rows(
            "calibration/transmitter", self.seed, numbers, attempts, {}, device=self.train.device
        )
        return self.transmitter.send(images, rows)

    @torch.no_grad()
    def __call__(self, numbers: Ints) -> tuple[Tensor, Scaled, Tensor]:
        """Some of them, [n, …]."""
        key = numbers.tobytes()
        if key not in self._known:
            images = self.images(numbers)
            latent, scaled = self.send(images, numbers)
            if len(self._known) * len(numbers) >= self._room:
                self._known.pop(next(iter(self._known)))
            self._known[key] = images, scaled, self.transmitter.codec.decode(latent)
        return self._known[key]


@dataclass(frozen=True)
class Rehearsal:
    """One adversary of an arm, and the training split. ``place``: its index among ``stages``.

    Whole codewords, whatever its activity; the path as its access allows. All draws belong to
    calibration: no message's noise, fading or shift is among them. ``symbol_s``: duration of a
    complex symbol; ``pixel_power``: the mean square of a pixel.
    """

    stages: Stages
    place: int
    encoded: TrainingCodewords
    symbol_s: float
    pixel_power: float

    @property
    def stage(self) -> Adversary:
        """The adversary."""
        return self.stages.by_place[self.place]

    def fit(self) -> Tensor:
        """The result of its fit."""
        stage, sender = self.stage, self.encoded.transmitter
        power, size = sender.wire_power, sender.codec.latent_size
        if self._before:
            power, size = self.pixel_power, self.encoded.train[0].numel()
        epsilon = torch.tensor([stage.budget.epsilon], dtype=torch.float64)
        radius = float(stage.budget.radius(epsilon, power, size))
        everything = self._batch(np.arange(len(self.encoded)))
        rows = self._setting.rows(stage.label, everything)
        return stage.fitted(radius, rows, self.draw)

    def draw(self, numbers: Ints) -> tuple[Tensor, Rows]:
        """Some training codewords [n, K] as they arrive at its place, and their rows.

        Before the encoder: images [n, C·H·W].
        """
        codec = self.encoded.transmitter.codec
        setting, batch = self._setting, self._batch(numbers)
        images, scaled, clean = self.encoded(numbers)
        rows = setting.rows(self.stage.label, batch)
        loss = None
        if codec.has_attack_loss:
            loss = partial(codec.attack_loss, sent=scaled.undo(scaled.wire))
        knowledge = Knowledge(
            decode=lambda wire: codec.decode(scaled.undo(wire)),
            loss=after(scaled.undo, loss),
            source=images,
            clean=clean,
            power=setting.power,
            source_of=self.encoded.images,
            clean_of=self.encoded.clean,
            messages=len(self.encoded),
            draws=self.stage.access.expectation,
        )
        foresight = Foresight(setting, self.place, self.stage, batch)
        if self._before:
            power = self.pixel_power
            known = replace(knowledge, decode=codec.decode, loss=loss, power=power)
            foresight = replace(foresight, place=BEFORE_ALL)
            rows.knowledge = aware(
                known, foresight, images, lambda *given: self.encoded.send(*given)[1]
            )
            return images.flatten(1), rows
        signal = foresight.arriving(scaled.wire)
        rows.knowledge = foresight.knows(self._reach(signal), knowledge)
        return signal, rows

    def _reach(self, signal: Tensor) -> Tensor | None:
        """The part of a codeword after its reaction time, bool [n, K]; None: everything."""
        deaf = int(self.stage.access.deaf_symbols(np.array([self.symbol_s]))[0])
        if not deaf:
            return None
        return (torch.arange(signal.shape[1], device=signal.device) >= 2 * deaf).expand_as(signal)

    @property
    def _before(self) -> bool:
        return self.stage.access.before_encoder

    @property
    def _setting(self) -> Setting:
        sender = self.encoded.transmitter
        return Setting(
            stages=self.stages,
            columns={
                one.label: {name: np.array([value]) for name, value in one.column_values().items()}
                for one in self.stages
            },
            symbol_s=np.array([self.symbol_s]),
            fitted={},
            power=sender.wire_power,
            mean=sender.mean_codeword,
            pixel_power=self.pixel_power,
            labels=None,
            active=True,
            control=False,
            seed=self.encoded.seed,
            phase="calibration/",
        )

    @staticmethod
    def _batch(numbers: Ints) -> Batch:
        return Batch.planned(numbers, _BEGIN_S + _APART_S * numbers.astype(np.float64))
