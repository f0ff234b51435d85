"""The calibration phase: everything a run fits before its first message.

Only the training split is used, never the messages sent: mean power and mean latent of codecs whose
card does not state them, detectors and their thresholds, the fallback image. The results go into
the run's header. Arms that differ only in columns are grouped onto one `SignalPath`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.scenario import Arm, Scenario
from channelsim.scenario.waiting import decodes
from channelsim.signal_path import Column, Defence, Setting, SignalPath, Transmitter
from channelsim.signal_path.attack_fits import AttackFits, Tell
from channelsim.signal_path.detector_thresholds import Defences
from channelsim.signal_path.equal_arms import benign_key, frozen
from channelsim.signal_path.training_split import TrainingSplit
from channelsim.signal_path.transmit_powers import Transmitters, prior
from channelsim.sources import ImageSource, Prior, Source
from channelsim.support import arithmetic
from channelsim.support.block_shape import BlockShape
from channelsim.support.device import chosen


@dataclass(frozen=True)
class Paths:
    """The signal paths of a scenario: ``of_arm[a]`` numbers the path of arm ``a``.

    ``report`` is stored in the header: per arm the power and the detector's threshold, and the
    number of different images the messages carry (message i carries image i mod that number).
    """

    paths: tuple[SignalPath, ...]
    of_arm: tuple[int, ...]
    report: Mapping[str, Any]

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return self.paths[0].images.device

    def in_blocks(self, shape: BlockShape) -> Paths:
        """The same paths, computed in blocks of this shape."""
        return replace(self, paths=tuple(replace(one, shape=shape) for one in self.paths))


def calibrate(
    scenario: Scenario,
    fitted: Mapping[str, Mapping[str, Any]] | None = None,
    tell: Tell | None = None,
) -> Paths:
    """Do all fits and build one path per group of arms.

    ``fitted``: adversaries' fits of an earlier calibration of the same scenario
    (``report["fitted"]``), not to be fitted again. ``tell``: called before every fit of an
    adversary: its name, the arm, the number of arms.
    """
    # With one thread whatever the run has: sums over many rows depend on the number of threads.
    with arithmetic.threads(1):
        return _calibrated(scenario, fitted, tell)


def _calibrated(
    scenario: Scenario, fitted: Mapping[str, Mapping[str, Any]] | None, tell: Tell | None
) -> Paths:
    device = chosen(scenario.device)
    train = TrainingSplit(scenario.source, scenario.seed, device)
    attacks = AttackFits(train, len(scenario.arms), fitted, tell)
    senders, receivers = Transmitters(train), Defences(train)
    transmitters: dict[int, Transmitter] = {}
    defences: dict[int, Defence] = {}
    thresholds = np.full(len(scenario.arms), np.nan)
    groups: dict[Any, list[Arm]] = {}
    for arm in scenario.arms:
        transmitters[arm.number] = transmitter = senders.of(arm)
        defences[arm.number], thresholds[arm.number] = receivers.of(arm, transmitter)
        attacks.run(arm, transmitter)
        groups.setdefault(_group_key(arm), []).append(arm)

    images, index, labels = _sent(scenario.source, device)
    columns = _columns(scenario.arms)
    symbol_s = np.array([1.0 / arm.link.symbol_rate_hz for arm in scenario.arms])
    told = decodes(scenario.arms)
    judged = any(arm.receiver.detector is not None for arm in scenario.arms)

    def path(arm: Arm, receivers: Sequence[str]) -> SignalPath:
        """The path of the arms that differ from this one in columns alone."""
        transmitter = transmitters[arm.number]
        setting = Setting(
            stages=arm.path,
            columns=columns,
            symbol_s=symbol_s,
            fitted=attacks.by_stage,
            power=transmitter.wire_power,
            mean=transmitter.mean_codeword,
            pixel_power=train.pixel_power if arm.path.before_encoder else 1.0,
            labels=labels,
            active=bool(arm.path.active),
            control=scenario.control,
            seed=scenario.seed,
        )
        return SignalPath(
            transmitter=transmitter,
            setting=setting,
            defence=defences[arm.number],
            metrics=arm.metrics,
            count=scenario.source.messages,
            images=images,
            index=index,
            thresholds=thresholds,
            judged=judged,
            shape=BlockShape(scenario.block_rows),
            latents=prior(arm, device) if isinstance(scenario.source, Prior) else None,
            receivers=receivers,
            decodes=told,
        )

    paths = tuple(path(group[0], [arm.receiver_name for arm in group]) for group in groups.values())
    place = {arm.number: at for at, group in enumerate(groups.values()) for arm in group}
    of_arm = tuple(place[arm.number] for arm in scenario.arms)
    report = {
        "power": {str(arm): one.report() for arm, one in transmitters.items()},
        "threshold": {
            str(arm): float(limit) for arm, limit in enumerate(thresholds) if not np.isnan(limit)
        },
        **_reported(scenario, train, attacks, images, index),
    }
    if isinstance(scenario.source, Prior):
        drawn = ((arm, paths[at].latents) for arm, at in enumerate(of_arm))
        report["prior"] = {str(arm): latents.name for arm, latents in drawn if latents is not None}
    return Paths(paths, of_arm, report)


def _reported(
    scenario: Scenario, train: TrainingSplit, attacks: AttackFits, images: Tensor, index: Ints
) -> dict[str, Any]:
    """The header's facts of the images and of what was fitted to them, all arms together."""
    source = scenario.source
    found: dict[str, Any] = {}
    if any(arm.path.before_encoder for arm in scenario.arms):
        found["pixel_power"] = train.pixel_power
    if attacks.by_stage:
        found["fitted"] = attacks.report()
    # Messages that carry the same image are no independent observations of it.
    found["images"] = len(np.unique(index))
    found["source"] = {
        "name": source.described,
        "sha256": source.content(),
        "calibration_images": len(train),
    }
    found["constant_image"] = (
        train.score_of_mean_image(scenario.metrics, images, index)
        if isinstance(source, ImageSource)
        else {}
    )
    return found


def _sent(source: Source, device: torch.device) -> tuple[Tensor, Ints, Ints | None]:
    """The images that messages carry, the row of each message, and its class where there is one.

    A prior sends no image.
    """
    numbers = np.arange(source.messages)
    if isinstance(source, ImageSource):
        sent, index = source.sent(), source.index(numbers)
        labels = None if sent.labels is None else np.asarray(sent.labels)[index]
        return sent.images.to(device), index, labels
    return torch.empty(0, *source.image_shape, device=device), numbers, None


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
    off = {one.label for one in arm.path.adversaries if one.budget.off}
    stages = tuple(
        (type(stage), stage.label, frozen(stage, set(stage.columns.values())), stage.label in off)
        for stage in arm.path
    )
    return (
        id(arm.codec),
        arm.transmit,
        arm.power,
        stages,
        # A detector is fitted to its benign channel, columns included.
        None if detector is None else (frozen(detector, {"false_alarm"}), benign_key(arm)),
        arm.receiver.fallback,
    )
