"""Fits before the first message: powers, detectors, fallbacks, universal attacks.

Each is one class that answers one question per arm, and computes equal questions once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.channels.power import Power
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.parts import Codec, Stage
from channelsim.contracts.rows import Channel, Rows
from channelsim.receivers.detector import threshold
from channelsim.scenario import Arm
from channelsim.signal_path import Defence, Latents, Rehearsal, TrainingCodewords, Transmitter
from channelsim.signal_path.training_split import TrainingSplit, located
from channelsim.support.errors import InputError

Tell = Callable[[str, int, int], None]  # the adversary, the arm, the number of arms


def benign_key(arm: Arm) -> tuple[Any, ...]:
    """Equal for arms whose undisturbed channel is the same, columns included.

    The symbol duration counts too: a slow codeword meets several gains of a fading channel.
    """
    stages = tuple(
        (type(stage), stage.label, frozen(stage, set())) for stage in arm.path.impairments
    )
    return (arm.link.symbol_rate_hz, *stages)


def _foresees(stage: Adversary, arm: Arm) -> bool:
    """Whether an adversary's plan depends on the channel's settings."""
    return stage.access.expectation > 0 or any(
        type(one).foresee is not Stage.foresee for one in arm.path
    )


def frozen(value: Any, without: set[str], path: str = "") -> Any:
    """A part as nested tuples of its fields, leaving out the dotted fields in ``without``."""
    if not dataclasses.is_dataclass(value):
        return repr(value)
    fields = []
    for field in dataclasses.fields(value):
        dotted = f"{path}.{field.name}" if path else field.name
        if dotted not in without:
            fields.append((field.name, frozen(getattr(value, field.name), without, dotted)))
    return (type(value).__name__, *fields)


def prior(arm: Arm, device: torch.device) -> Latents:
    """The distribution from which an arm's codewords are drawn."""
    codec = arm.receiver.codec
    try:
        return Latents.of_card(codec.card, codec.latent_size, device)
    except ValueError as reason:
        raise InputError(
            f"receiver {arm.receiver_name}: its codec's card says prior: fitted, but {reason};"
            " train the codec again, or use another source"
        ) from None


class Transmitters:
    """The arms' transmitters, the power of each codec from its card or measured."""

    def __init__(self, train: TrainingSplit) -> None:
        self._train = train
        self._known: dict[Any, Transmitter] = {}

    def of(self, arm: Arm) -> Transmitter:
        """One arm's; the same for arms that encode and scale alike."""
        codec = arm.receiver.codec
        key = (id(codec), arm.transmit, arm.power)
        if key not in self._known:
            codec.network.to(self._train.device)
            power, mean = self._codec_power(codec, arm.transmit, arm.power)
            self._known[key] = Transmitter(codec, arm.transmit, arm.power, power, mean)
        return self._known[key]

    def _codec_power(self, codec: Codec, transmit: str, power: Power) -> tuple[float, Tensor]:
        card = codec.card
        name = "transmit_power" if transmit == "mean" else "transmit_power_sample"
        if name in card and "latent_mean" in card:
            mean = torch.tensor(card["latent_mean"], dtype=torch.float32, device=self._train.device)
            total = float(card[name])
        else:
            latents, spread = self._train.latents(codec)
            mean = latents.mean(dim=0)
            total = float(latents.double().square().mean())
            if transmit == "sample":
                total += spread
        if power.centred:
            total -= float(mean.double().square().mean())
        if not total > 0:
            raise InputError(
                f"codec {codec.kind}: its latents have no power on the training split,"
                " so no SNR can be set; check its encoder"
            )
        return total, mean


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
            id(arm.receiver.codec),
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
            id(receiver.codec),
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

    def _fallback(self, name: str, shape: tuple[int, int, int]) -> Tensor:
        if name == "black":
            return torch.zeros(shape, device=self._train.device)
        return self._train.mean_image

    @torch.no_grad()
    def _benign(self, arm: Arm, transmitter: Transmitter) -> Tensor:
        """The training split as this arm's receiver gets it without adversary, [n, K]."""
        received = []
        for first, chunk in self._train.chunks():
            rows = np.arange(first, first + len(chunk))
            with located(first):
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
