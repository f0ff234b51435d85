"""Detectors fitted and thresholded before the first message, and the receivers' fallbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.rows import Channel, Rows
from channelsim.receivers.detector import threshold
from channelsim.scenario import Arm
from channelsim.signal_path import Defence, Transmitter
from channelsim.signal_path.equal_arms import benign_key, frozen
from channelsim.signal_path.training_split import TrainingSplit, located


class Defences:
    """The receivers' detectors, fitted and thresholded on undisturbed rows, and their fallbacks."""

    def __init__(self, train: TrainingSplit) -> None:
        self._train = train
        self._known: dict[Any, tuple[Defence, Tensor]] = {}

    def of(self, arm: Arm, transmitter: Transmitter) -> tuple[Defence, float]:
        """An arm's fitted detector with its threshold (NaN without one), and its fallback."""
        receiver = arm.receiver
        detector, last = receiver.detector, receiver.fallback == "last"
        fallback = self._fallback(receiver.fallback, receiver.codec.image_shape)
        if detector is None:
            return Defence(None, {}, fallback, last), float("nan")
        key = (
            id(arm.codec),
            arm.transmit,
            arm.power,
            receiver.fallback,
            frozen(detector, {"false_alarm"}),
            benign_key(arm),
        )
        if key not in self._known:
            received = self._benign(arm, transmitter)
            # Fitted on one half and thresholded on the other, so that the false-alarm rate holds
            # for rows that the fit has not seen.
            fitted, held_out = self._train.halves(len(received))
            state = detector.fitted(received[fitted])
            scores = detector.scores(received[held_out], state).double()
            self._known[key] = Defence(detector, state, fallback, last), scores
        defence, scores = self._known[key]
        return defence, threshold(scores, detector.false_alarm)

    def _fallback(self, name: str, shape: tuple[int, ...]) -> Tensor:
        if name == "black":
            return torch.zeros(shape, device=self._train.device)
        return self._train.mean_image

    @torch.no_grad()
    def _benign(self, arm: Arm, transmitter: Transmitter) -> Tensor:
        """The training split as this arm's receiver gets it without adversary, [n, K]."""
        received = []
        for first, chunk in self._train.chunks():
            rows = np.arange(first, first + len(chunk))
            with located(range(first, first + len(chunk)), chunk):
                received.append(self._received(arm, transmitter, rows, chunk))
        return torch.cat(received)

    def _received(
        self, arm: Arm, transmitter: Transmitter, rows: np.ndarray, images: Tensor
    ) -> Tensor:
        # Separate streams: calibration never uses the noise of the messages.
        _, scaled = transmitter.send(images, self._rows("transmitter", rows, {}, transmitter))
        signal, channel = scaled.wire, Channel()
        for stage in arm.path.impairments:
            seen = self._rows(stage.label, rows, stage.column_values(), transmitter)
            # Far apart in time, so that each meets a channel of its own.
            seen.began_s = 1e6 + 1e4 * rows.astype(np.float64)
            seen.symbol_s = np.full(len(rows), 1.0 / arm.link.symbol_rate_hz)
            seen.channel = channel
            signal = stage.apply(signal, seen)
            channel = stage.left(seen)
        return scaled.undo(signal)

    def _rows(
        self, label: str, numbers: np.ndarray, values: Mapping[str, float], sender: Transmitter
    ) -> Rows:
        return Rows(
            name=f"calibration/{label}",
            seed=self._train.seed,
            message=numbers,
            attempt=np.zeros_like(numbers),
            columns={
                name: torch.full((len(numbers),), value, device=self._train.device)
                for name, value in values.items()
            },
            device=self._train.device,
            power=sender.wire_power,
            mean=sender.mean_codeword,
            exact={name: np.full(len(numbers), value) for name, value in values.items()},
        )
