"""How near a decoder can come to an image that an adversary wants to be seen, without a budget.

What an attack has gained on its way means little without knowing where the way ends: no decoder of
digits shows an all-black image, whatever it is sent. D* is the least distance found in 20 random
starts of 60 steps each over the whole latent space. It is a search's answer, so an upper bound of
the least there is. Sought once per receiver and target before the first message, with one thread,
and kept in the run's header; of targets that differ from message to message it is not sought.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim import arithmetic
from channelsim.adversaries.goals import TargetImage, distance
from channelsim.calibration import Paths
from channelsim.fitting import adversaries_of
from channelsim.metrics.scales import damage_metric, own_scales
from channelsim.parts import Metric
from channelsim.records import Ints
from channelsim.rows import Knowledge, Rows
from channelsim.scenario import Arm, Scenario
from channelsim.signal_path import Transmitter

STARTS, STEPS = 20, 60  # the project's: about a second per receiver
_STEP_SIZE = 0.2  # of Adam, in multiples of √P; ours
_MOST = 256  # answers remembered
_KNOWN: dict[Any, dict[str, Any]] = {}
_ONE_FOR_ALL = ("black", "white", "file")  # targets that are the same for every message


def reach(scenario: Scenario, paths: Paths) -> dict[str, Any]:
    """Per arm that wants an image: ``least``, metric → D*; or ``why`` it was not sought."""
    found: dict[str, Any] = {}
    known: dict[Any, Any] = {}
    with arithmetic.threads(1):
        for arm in scenario.arms:
            goal = _goal(arm)
            metric = None if goal is None else _measured(scenario, goal)
            if goal is None or metric is None:
                continue
            if goal.target not in _ONE_FOR_ALL:
                found[str(arm.number)] = {"why": "the target differs from message to message"}
                continue
            path = paths.paths[paths.of_arm[arm.number]]
            key = (id(arm.receiver.codec), goal.target, goal.file, metric.kind)
            if key not in known:
                known[key] = _once(
                    scenario.seed, path.transmitter, goal, metric, path.images.device
                )
            found[str(arm.number)] = known[key]
    return found


def _goal(arm: Arm) -> TargetImage | None:
    """The image that an arm is judged by: of the first adversary that is on and wants one."""
    wanted = (getattr(one, "goal", None) for one in adversaries_of(arm) if not one.budget.off)
    return next((goal for goal in wanted if isinstance(goal, TargetImage)), None)


def _measured(scenario: Scenario, goal: TargetImage) -> Metric | None:
    """The metric in which distances to the target are told: the loss where it is measured."""
    metrics = {metric.kind: metric for metric in scenario.metrics}
    usual = damage_metric(list(metrics), own_scales(scenario.metrics))
    return metrics.get(goal.loss) or (None if usual is None else metrics[usual])


def _once(
    seed: int, transmitter: Transmitter, goal: TargetImage, metric: Metric, device: torch.device
) -> dict[str, Any]:
    """The answer, remembered for the process where its weights and its target have a name."""
    content = transmitter.codec.card.get("content_sha256")
    if content is None or goal.file is not None:
        return _least(seed, transmitter, goal, metric, device)
    power = (transmitter.codec_power, transmitter.latent_mean.cpu().numpy().tobytes())
    key = (content, power, seed, goal.target, repr(metric), str(device))
    if key not in _KNOWN:
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
        _KNOWN[key] = _least(seed, transmitter, goal, metric, device)
    return _KNOWN[key]


def _least(
    seed: int, transmitter: Transmitter, goal: TargetImage, metric: Metric, device: torch.device
) -> dict[str, Any]:
    codec, numbers = transmitter.codec, np.arange(STARTS)
    rows = Rows(
        name="calibration/reach",
        seed=seed,
        message=numbers,
        attempt=np.zeros_like(numbers),
        columns={},
        device=device,
    )
    size = transmitter.codec_power**0.5
    mean = transmitter.latent_mean.to(device)
    latent = mean + size * rows.normal(codec.latent_size, "start")
    with torch.no_grad():
        clean = codec.decode(latent)
    target = goal.image(rows, _of_no_message(codec.decode, clean))
    latent.requires_grad_(True)
    climb = torch.optim.Adam([latent], lr=_STEP_SIZE * size)
    least = math.inf
    try:
        for step in range(STEPS + 1):
            with torch.enable_grad():
                # A copy, since a decoder may begin with an activation in place.
                apart = _distance(metric, codec.decode(latent.clone()), target)
            least = min(least, float(apart.detach().nan_to_num(math.inf).min()))
            if step < STEPS:
                latent.grad = torch.autograd.grad(apart.sum(), latent)[0]
                climb.step()
    except RuntimeError:
        return {"why": "the decoder, or the metric, gives no gradients"}
    if not math.isfinite(least):
        return {"why": "no distance was finite"}
    return {"least": {metric.kind: max(least, 0.0)}}


def _distance(metric: Metric, images: Tensor, target: Tensor) -> Tensor:
    """D ≥ 0 per row, as a summary reads it off the metric's mean."""
    if metric.kind == "psnr":
        return distance("mse", images, target)
    value = metric.measure(images, target)
    return (metric.perfect or 0.0) - value if metric.higher_is_better else value


def _of_no_message(decode: Any, clean: Tensor) -> Knowledge:
    """Enough for targets that are the same for all messages."""

    def whichever(_message: Ints) -> Tensor:
        return clean

    return Knowledge(
        decode=decode,
        source=clean,
        clean=clean,
        power=1.0,
        source_of=whichever,
        clean_of=whichever,
        messages=1,
    )
