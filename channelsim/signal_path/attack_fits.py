"""Fits of adversaries before the first message: universal attacks, on the training split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.parts import Stage
from channelsim.scenario import Arm
from channelsim.signal_path import Rehearsal, TrainingCodewords, Transmitter
from channelsim.signal_path.equal_arms import benign_key, frozen
from channelsim.signal_path.training_split import TrainingSplit

Tell = Callable[[str, int, int], None]  # the adversary, the arm, the number of arms


class AttackFits:
    """The fits of adversaries, once per distinct question. ``count``: the number of arms.

    ``known``: earlier fits as in the report: stage label → arm → values. ``tell``: called before
    each fit.
    """

    def __init__(
        self,
        train: TrainingSplit,
        count: int,
        known: Mapping[str, Mapping[str, Any]] | None,
        tell: Tell | None,
    ) -> None:
        self._train, self._count = train, count
        self._stored, self._tell = known or {}, tell
        self._found: dict[Any, Tensor] = {}
        self._encoded: dict[int, TrainingCodewords] = {}  # per transmitter
        self.by_stage: dict[str, dict[int, Tensor]] = {}  # per stage label and arm

    def run(self, arm: Arm, transmitter: Transmitter) -> None:
        """Fit the arm's adversaries that fit anything."""
        for place, stage in arm.path.by_place.items():
            if stage.fits and not stage.budget.off:
                found = self._fit(arm, place, stage, transmitter)
                self.by_stage.setdefault(stage.label, {})[arm.number] = found

    def _fit(self, arm: Arm, place: int, stage: Adversary, transmitter: Transmitter) -> Tensor:
        key = (
            id(arm.codec),
            arm.transmit,
            arm.power,
            arm.link.symbol_rate_hz,
            frozen(stage, set()),
            (place, benign_key(arm)) if _foresees(stage, arm) else None,
        )
        stored = self._stored.get(stage.label, {}).get(str(arm.number))
        if stored is not None:
            device = self._train.device
            self._found[key] = torch.tensor(stored, dtype=torch.float32, device=device)
        elif key not in self._found:
            if self._tell is not None:
                self._tell(stage.label, arm.number, self._count)
            if id(transmitter) not in self._encoded:
                encoded = TrainingCodewords(transmitter, self._train.images, self._train.seed)
                self._encoded[id(transmitter)] = encoded
            self._found[key] = Rehearsal(
                stages=arm.path,
                place=place,
                encoded=self._encoded[id(transmitter)],
                symbol_s=1.0 / arm.link.symbol_rate_hz,
                pixel_power=self._train.pixel_power if stage.access.before_encoder else 1.0,
            ).fit()
        return self._found[key]

    def report(self) -> dict[str, dict[str, Any]]:
        """The fits, as the header keeps them."""
        return {
            label: {str(arm): values.cpu().tolist() for arm, values in found.items()}
            for label, found in self.by_stage.items()
        }


def _foresees(stage: Adversary, arm: Arm) -> bool:
    """Whether an adversary's plan depends on the channel's settings."""
    return stage.access.expectation > 0 or any(
        type(one).foresee is not Stage.foresee for one in arm.path
    )
