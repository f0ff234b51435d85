"""Fits before the first message: powers, detectors, fallbacks, universal attacks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.channels.power import Power
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import RowsError
from channelsim.contracts.parts import Codec, Stage
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Channel, Rows
from channelsim.receivers.detector import threshold
from channelsim.scenario import Arm, Scenario
from channelsim.signal_path import Defence, Encoded, Latents, Rehearsal, Transmitter
from channelsim.sources import as_float
from channelsim.support import seeds
from channelsim.support.errors import InputError

Tell = Callable[[str, int, int], None]  # the adversary, the arm, the number of arms

_CHUNK = 500  # rows of the training split encoded at a time


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


@contextmanager
def _located(first: int, split: str = "the training split") -> Iterator[None]:
    """Inside, an error about rows of a chunk of images names these."""
    try:
        yield
    except RowsError as error:
        if not error.rows:
            raise
        low, high = first + min(error.rows), first + max(error.rows)
        which = f"image {low}" if low == high else f"images {low} to {high}"
        raise InputError(f"{error.message}: {which} of {split}") from error


class Fitting:
    """Fits once per distinct question and caches the results.

    ``known``: earlier fits of adversaries as in ``report["fitted"]``: stage label → arm → values.
    ``tell``: called before each fit of an adversary.
    """

    def __init__(
        self,
        scenario: Scenario,
        device: torch.device,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.scenario = scenario
        self.device = device
        self.report: dict[str, Any] = {"power": {}, "threshold": {}}
        self._train: Tensor | None = None
        self._transmitters: dict[Any, Transmitter] = {}
        self._defences: dict[Any, tuple[Defence, Tensor]] = {}
        self.fitted: dict[str, dict[int, Tensor]] = {}  # per stage label and arm
        self._fitted: dict[Any, Tensor] = {}
        self._encoded: dict[int, Encoded] = {}  # per transmitter
        self._known = known or {}
        self._tell = tell

    @property
    def train(self) -> Tensor:
        """Images of the training split [n, C, H, W], bytes or float32 in [0, 1]."""
        if self._train is None:
            self._train = self.scenario.source.calibration().images.to(self.device)
        return self._train

    @functools.cached_property
    def mean_image(self) -> Tensor:
        """Mean of the training images, float32 [C, H, W]."""
        if self.train.dtype != torch.uint8:
            return self.train.mean(dim=0)
        total = torch.zeros(self.train.shape[1:], dtype=torch.float64, device=self.device)
        for chunk in torch.split(self.train, _CHUNK):
            total += chunk.double().sum(dim=0)
        return (total / (255.0 * len(self.train))).float()

    @functools.cached_property
    def pixel_power(self) -> float:
        """Mean square of the training images' pixels."""
        total = 0.0
        for chunk in torch.split(self.train, _CHUNK):
            total += float(as_float(chunk).double().square().sum())
        self.report["pixel_power"] = total / self.train.numel()
        return float(self.report["pixel_power"])

    def adversaries(self, arm: Arm, transmitter: Transmitter) -> None:
        """Run the fits of the arm's adversaries, once per distinct question."""
        for place, stage in arm.path.by_place.items():
            if not stage.fits or stage.budget.off:
                continue
            key = (
                id(arm.receiver.codec),
                arm.transmit,
                arm.power,
                arm.link.symbol_rate_hz,
                frozen(stage, set()),
                (place, benign_key(arm)) if _foresees(stage, arm) else None,
            )
            stored = self._known.get(stage.label, {}).get(str(arm.number))
            if stored is not None:
                self._fitted[key] = torch.tensor(stored, dtype=torch.float32, device=self.device)
            elif key not in self._fitted:
                if self._tell is not None:
                    self._tell(stage.label, arm.number, len(self.scenario.arms))
                if id(transmitter) not in self._encoded:
                    seed = self.scenario.seed
                    self._encoded[id(transmitter)] = Encoded(transmitter, self.train, seed)
                self._fitted[key] = Rehearsal(
                    stages=arm.path,
                    place=place,
                    encoded=self._encoded[id(transmitter)],
                    symbol_s=1.0 / arm.link.symbol_rate_hz,
                    pixel_power=self.pixel_power if stage.access.before_encoder else 1.0,
                ).fit()
            found = self._fitted[key]
            self.fitted.setdefault(stage.label, {})[arm.number] = found
            fitted = self.report.setdefault("fitted", {}).setdefault(stage.label, {})
            fitted[str(arm.number)] = found.cpu().tolist()

    def latents(self, arm: Arm) -> Latents:
        """The distribution of the arm's codewords."""
        codec = arm.receiver.codec
        try:
            found = Latents.of_card(codec.card, codec.latent_size, self.device)
        except ValueError as reason:
            raise InputError(
                f"receiver {arm.receiver_name}: its codec's card says prior: fitted, but {reason};"
                " train the codec again, or use another source"
            ) from None
        self.report.setdefault("prior", {})[str(arm.number)] = found.name
        return found

    def transmitter(self, arm: Arm) -> Transmitter:
        """The arm's transmitter, its codec's power from the card or measured."""
        codec = arm.receiver.codec
        key = (id(codec), arm.transmit, arm.power)
        if key not in self._transmitters:
            codec.network.to(self.device)
            power, mean = self._codec_power(codec, arm.transmit, arm.power)
            self._transmitters[key] = Transmitter(codec, arm.transmit, arm.power, power, mean)
        sender = self._transmitters[key]
        self.report["power"][str(arm.number)] = {
            "codec": sender.codec_power,
            "wire": sender.wire_power,
            "latent_size": codec.latent_size,
        }
        return sender

    def _codec_power(self, codec: Codec, transmit: str, power: Power) -> tuple[float, Tensor]:
        card = codec.card
        name = "transmit_power" if transmit == "mean" else "transmit_power_sample"
        if name in card and "latent_mean" in card:
            mean = torch.tensor(card["latent_mean"], dtype=torch.float32, device=self.device)
            total = float(card[name])
        else:
            latents, spread = self._latents(codec)
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

    def _latents(self, codec: Codec) -> tuple[Tensor, float]:
        """Mean latents of the training split [n, K], and the mean variance added by sampling."""
        means: list[Tensor] = []
        variance = 0.0
        for chunk in torch.split(self.train, _CHUNK):
            with _located(_CHUNK * len(means)):
                mean, std = codec.posterior(as_float(chunk))
            means.append(mean)
            if std is not None:
                variance += float(std.double().square().sum())
        latents = torch.cat(means)
        return latents, variance / latents.numel()

    def defence(self, arm: Arm, transmitter: Transmitter) -> tuple[Defence, float]:
        """The arm's fitted detector with its threshold (NaN without one), and its fallback."""
        receiver = arm.receiver
        detector = receiver.detector
        fallback = self._fallback(receiver.fallback, receiver.codec.image_shape)
        if detector is None:
            return Defence(None, {}, fallback, receiver.fallback == "last"), float("nan")
        key = (
            id(receiver.codec),
            arm.transmit,
            arm.power,
            receiver.fallback,
            frozen(detector, {"false_alarm"}),
            benign_key(arm),
        )
        if key not in self._defences:
            received = self._benign(arm, transmitter)
            # Fitted on one half and thresholded on the other, so that the false-alarm rate holds
            # for rows outside the fit.
            fitted, held_out = self._halves(len(received))
            state = detector.fitted(received[fitted])
            scores = detector.scores(received[held_out], state).double()
            last = receiver.fallback == "last"
            self._defences[key] = Defence(detector, state, fallback, last), scores
        defence, scores = self._defences[key]
        limit = threshold(scores, detector.false_alarm)
        self.report["threshold"][str(arm.number)] = limit
        return defence, limit

    def _halves(self, count: int) -> tuple[Tensor, Tensor]:
        """Two random halves of the training rows.

        Not every other row: images come class by class in turn, and a detector fitted to the even
        digits would take its threshold from the odd ones.
        """
        key = seeds.stream_key(self.scenario.seed, "calibration", "halves")
        order = np.argsort(seeds.uniforms(key, np.arange(count), 0, 1)[:, 0], kind="stable")
        rows = torch.from_numpy(order).to(self.device)
        return rows[: count - count // 2], rows[count - count // 2 :]

    @torch.no_grad()
    def constant_image(self, images: Tensor, index: Ints) -> dict[str, float]:
        """The score of a receiver that always shows the training split's mean image.

        The sanity row of every table: a codec that transmits nothing cannot be disturbed.
        """
        rows, times = np.unique(index, return_counts=True)
        scores = {}
        for metric in self.scenario.metrics:
            values: list[Tensor] = []
            for chunk in torch.split(images[torch.from_numpy(rows)], _CHUNK):
                with _located(_CHUNK * len(values), "those sent"):
                    values.append(metric(self.mean_image.expand_as(chunk), as_float(chunk)))
            additive = metric.to_additive(torch.cat(values).double().cpu().numpy())
            mean = np.average(additive, weights=times, keepdims=True)
            scores[metric.kind] = float(metric.from_additive(mean)[0])
        return scores

    def _fallback(self, name: str, shape: tuple[int, int, int]) -> Tensor:
        if name == "black":
            return torch.zeros(shape, device=self.device)
        return self.mean_image

    @torch.no_grad()
    def _benign(self, arm: Arm, transmitter: Transmitter) -> Tensor:
        """The training split as received by this arm without an adversary, [n, K]."""
        received = []
        numbers = np.arange(len(self.train))
        for rows, chunk in zip(
            np.array_split(numbers, range(_CHUNK, len(numbers), _CHUNK)),
            torch.split(self.train, _CHUNK),
            strict=True,
        ):
            with _located(int(rows[0]) if len(rows) else 0):
                received.append(self._received(arm, transmitter, rows, as_float(chunk)))
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
            seed=self.scenario.seed,
            message=numbers,
            attempt=np.zeros_like(numbers),
            columns={
                name: torch.full((len(numbers),), value, device=self.device)
                for name, value in values.items()
            },
            device=self.device,
            power=sender.wire_power,
            mean=sender.mean_codeword,
            exact={name: np.full(len(numbers), value) for name, value in values.items()},
        )
