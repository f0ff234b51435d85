"""The calibration phase: everything a run fits before its first message.

Only the training split is used, never the messages sent: mean power and mean latent of codecs whose
card does not state them, detectors and their thresholds, the fallback image. What was found goes
into the run's header. Arms that differ only in columns are grouped onto one `SignalPath`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim import seeds
from channelsim.channels.power import Power
from channelsim.defences.detector import threshold
from channelsim.errors import InputError
from channelsim.parts import Adversary, Codec
from channelsim.records import Ints, Rows
from channelsim.scenario import Arm, Scenario
from channelsim.signal_path import Column, Defence, Latents, SignalPath, Transmitter
from channelsim.sources import ImageSource, Prior, Source, as_float

_CHUNK = 500  # rows of the training split encoded at a time


@dataclass(frozen=True)
class Paths:
    """The signal paths of a scenario: ``of_arm[a]`` numbers the path of arm ``a``.

    ``report`` is what the header keeps: per arm the power and the detector's threshold, and how
    many different images the messages carry (message i carries image i mod that number).
    """

    paths: tuple[SignalPath, ...]
    of_arm: tuple[int, ...]
    report: Mapping[str, Any]


def calibrate(scenario: Scenario) -> Paths:
    """Fit what must be fitted and build one path per group of arms."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = scenario.source
    images, index = _sent(source, device)
    fitting = _Fitting(scenario, device)
    columns = _columns(scenario.arms)

    paths: list[SignalPath] = []
    of_arm: list[int] = []
    thresholds = np.full(len(scenario.arms), np.nan)
    known: dict[Any, int] = {}
    for arm in scenario.arms:
        transmitter = fitting.transmitter(arm)
        defence, limit = fitting.defence(arm, transmitter)
        thresholds[arm.number] = limit
        key = _group_key(arm)
        if key not in known:
            known[key] = len(paths)
            paths.append(
                SignalPath(
                    transmitter=transmitter,
                    stages=arm.path,
                    defence=defence,
                    metrics=arm.metrics,
                    control=scenario.control,
                    active=not _all_off(arm),
                    seed=scenario.seed,
                    count=source.messages,
                    images=images,
                    index=index,
                    columns=columns,
                    thresholds=thresholds,  # shared, and complete when the loop ends
                    block_rows=scenario.block_rows,
                    latents=fitting.latents(arm) if isinstance(source, Prior) else None,
                )
            )
        of_arm.append(known[key])
    # Messages that carry the same image are no independent observations of it.
    fitting.report["images"] = len(np.unique(index))
    fitting.report["source"] = {
        "name": source.described,
        "sha256": source.content(),
        "calibration_images": len(fitting.train),
    }
    fitting.report["constant_image"] = (
        fitting.constant_image(images, index) if isinstance(source, ImageSource) else {}
    )
    return Paths(tuple(paths), tuple(of_arm), fitting.report)


def _sent(source: Source, device: torch.device) -> tuple[Tensor, Ints]:
    """The images that messages carry, and the row of each message; no image for a prior."""
    numbers = np.arange(source.messages)
    if isinstance(source, ImageSource):
        return source.sent().images.to(device), source.index(numbers)
    return torch.empty(0, *source.image_shape, device=device), numbers


def _all_off(arm: Arm) -> bool:
    adversaries = [stage for stage in arm.path if isinstance(stage, Adversary)]
    return all(stage.budget.off for stage in adversaries)


def _columns(arms: tuple[Arm, ...]) -> dict[str, dict[str, Column]]:
    """Per stage label and column, the value in every arm (NaN where an arm lacks the stage)."""
    found: dict[str, dict[str, Column]] = {}
    for arm in arms:
        for stage in arm.path:
            for column, value in stage.column_values().items():
                table = found.setdefault(stage.label, {})
                table.setdefault(column, np.full(len(arms), np.nan))[arm.number] = value
    return found


def _group_key(arm: Arm) -> tuple[Any, ...]:
    """Equal for arms whose rows may share a batch: all configuration but the columns."""
    detector = arm.receiver.detector
    stages = tuple(
        (type(stage), stage.label, _frozen(stage, set(stage.columns.values())), _off(stage))
        for stage in arm.path
    )
    return (
        id(arm.receiver.codec),
        arm.transmit,
        arm.power,
        stages,
        # A detector is fitted to its benign channel, columns included.
        None if detector is None else (_frozen(detector, {"false_alarm"}), _benign_key(arm)),
        arm.receiver.fallback,
    )


def _benign_key(arm: Arm) -> tuple[Any, ...]:
    return tuple(
        (type(stage), stage.label, _frozen(stage, set()))
        for stage in arm.path
        if not isinstance(stage, Adversary)
    )


def _off(stage: Any) -> bool:
    return isinstance(stage, Adversary) and stage.budget.off


def _frozen(value: Any, without: set[str], path: str = "") -> Any:
    """A part as nested tuples of its fields, leaving out the dotted fields in ``without``."""
    if not dataclasses.is_dataclass(value):
        return repr(value)
    fields = []
    for field in dataclasses.fields(value):
        dotted = f"{path}.{field.name}" if path else field.name
        if dotted not in without:
            fields.append((field.name, _frozen(getattr(value, field.name), without, dotted)))
    return (type(value).__name__, *fields)


class _Fitting:
    """Fits once per distinct question and remembers the answers."""

    def __init__(self, scenario: Scenario, device: torch.device) -> None:
        self.scenario = scenario
        self.device = device
        self.report: dict[str, Any] = {"power": {}, "threshold": {}}
        self._train: Tensor | None = None
        self._transmitters: dict[Any, Transmitter] = {}
        self._defences: dict[Any, tuple[Defence, Tensor]] = {}

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

    def latents(self, arm: Arm) -> Latents:
        """What the arm's codewords are drawn from."""
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
        means, variance = [], 0.0
        for chunk in torch.split(self.train, _CHUNK):
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
            return Defence(None, {}, fallback), float("nan")
        key = (
            id(receiver.codec),
            arm.transmit,
            arm.power,
            receiver.fallback,
            _frozen(detector, {"false_alarm"}),
            _benign_key(arm),
        )
        if key not in self._defences:
            received = self._benign(arm, transmitter)
            # Fitted on one half and thresholded on the other, so that the false-alarm rate holds
            # for rows that the fit has not seen.
            fitted, held_out = self._halves(len(received))
            state = detector.fit(received[fitted])
            scores = detector.score(received[held_out], state).double()
            self._defences[key] = Defence(detector, state, fallback), scores
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
        """What a receiver that always shows the training split's mean image would score.

        The sanity row of every table: a codec that says nothing cannot be disturbed.
        """
        rows, times = np.unique(index, return_counts=True)
        scores = {}
        for metric in self.scenario.metrics:
            values = [
                metric(self.mean_image.expand_as(chunk), as_float(chunk))
                for chunk in torch.split(images[torch.from_numpy(rows)], _CHUNK)
            ]
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
        """The training split as this arm's receiver gets it without adversary, [n, K]."""
        received = []
        numbers = np.arange(len(self.train))
        for rows, chunk in zip(
            np.array_split(numbers, range(_CHUNK, len(numbers), _CHUNK)),
            torch.split(self.train, _CHUNK),
            strict=True,
        ):
            # Streams of their own: calibration never meets the noise that messages will meet.
            _, scaled = transmitter.send(
                as_float(chunk), self._rows("transmitter", rows, {}, transmitter)
            )
            signal = scaled.wire
            for stage in arm.path:
                if not isinstance(stage, Adversary):
                    values = stage.column_values()
                    signal = stage.apply(signal, self._rows(stage.label, rows, values, transmitter))
            received.append(scaled.undo(signal))
        return torch.cat(received)

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
        )
