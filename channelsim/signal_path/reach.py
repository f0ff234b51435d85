"""The least distance D* of a decoder's images to an adversary's target image, without a budget.

The gain of an attack is read against the largest gain possible: no decoder of digits shows an
all-black image, whatever it is sent. D* is the least distance found in 20 random starts of 60 steps
each over the whole latent space: an upper bound of the true minimum. The search runs before the
first message, with one thread, and its result is kept in the run's header.

A target that is the same for every message has one D* per receiver. Where it differs from message
to message (`inverse`, `random`, `message`) every message has its own, and a mean distance is
compared with their mean. A search takes about half a second (for a codec of digits) and a run may
have thousands of messages, so at most `SAMPLE` of them are searched, with different images and
spread evenly over the run; the header states both numbers. The standard error of a mean of 8
changes the share of the way by 2 to 4 % of itself (measured on digits, all three targets). An image
that the same receiver shows of some codeword (a replayed codeword, another message's
reconstruction) is reached by that codeword, so no search is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.goals import distance
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.goal import goal_of
from channelsim.contracts.parts import Metric
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.contracts.scales import damage_metric
from channelsim.metrics.own_scales import own_scales
from channelsim.scenario import Scenario
from channelsim.signal_path import SignalPath, Transmitter
from channelsim.signal_path.calibration import Paths
from channelsim.support import arithmetic
from channelsim.support.adam import Adam

STARTS, STEPS = 20, 60  # project's choice: about a second per receiver
SAMPLE = 8  # most messages searched where each has its own target; project's choice
_AT_ONCE = 4  # of them, to stay within a run's memory; project's choice
_STEP_SIZE = 0.2  # of Adam, in multiples of √P; project's choice
_MOST = 256  # results cached
_KNOWN: dict[Any, dict[str, Any]] = {}


Tell = Callable[[int, int], None]


def reach(scenario: Scenario, paths: Paths, tell: Tell | None = None) -> dict[str, Any]:
    """Per arm with a target image: ``least``, metric → D*; or ``why`` it was not searched for.

    ``messages``, ``of``: where D* is a mean, the number of messages searched and of all. ``tell``:
    called with the next arm and the number of arms.
    """
    found: dict[str, Any] = {}
    known: dict[Any, dict[str, Any]] = {}
    with arithmetic.threads(1):
        for arm in scenario.arms:
            stage = arm.path.wanting
            metric = None if stage is None else _measured(scenario, stage)
            if stage is None or stage.budget.off or metric is None:
                continue
            path, wants = paths.paths[paths.of_arm[arm.number]], stage.wants
            assert wants is not None
            key: tuple[Any, ...] = (id(arm.codec), metric.kind)
            if wants.of == "codec":
                key, seek = (*key, "shown"), partial(_shown, path, metric)
            elif wants.of == "all":
                key = (*key, *wants.key)
                seek = partial(_once, scenario.seed, path.transmitter, stage, metric)
            else:
                # Random numbers are keyed by the stage's name.
                drawn = stage.label if wants.drawn else ""
                key = (*key, *wants.key, drawn, arm.transmit, arm.power)
                seek = partial(_sampled, scenario.seed, path, arm.number, metric)
            if key not in known:
                if tell is not None:
                    tell(arm.number, len(scenario.arms))
                known[key] = seek()
            found[str(arm.number)] = known[key]
    return found


def _measured(scenario: Scenario, stage: Adversary) -> Metric | None:
    """The metric of distances to the target: the loss where it is measured."""
    metrics = {metric.kind: metric for metric in scenario.metrics}
    usual = damage_metric(list(metrics), own_scales(scenario.metrics))
    loss = getattr(goal_of(stage), "loss", "mse")
    return metrics.get(loss) or (None if usual is None else metrics[usual])


def _once(seed: int, transmitter: Transmitter, stage: Adversary, metric: Metric) -> dict[str, Any]:
    """D* to one image; cached for the process where weights and target have a name."""
    content = transmitter.codec.card.get("content_sha256")
    wants = stage.wants
    if content is None or wants is None:
        return _of_one(seed, transmitter, stage, metric)
    mean = transmitter.latent_mean.cpu()
    power = (transmitter.codec_power, mean.numpy().tobytes())
    device = str(transmitter.latent_mean.device)
    key = (content, power, seed, wants.key, repr(metric), device)
    if key not in _KNOWN:
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
        _KNOWN[key] = _of_one(seed, transmitter, stage, metric)
    return _KNOWN[key]


def _of_one(
    seed: int, transmitter: Transmitter, stage: Adversary, metric: Metric
) -> dict[str, Any]:
    codec, rows = transmitter.codec, _rows(seed, transmitter)
    with torch.no_grad():
        clean = codec.decode(_starts(rows, transmitter))
    target, _ = stage.wanted(rows, _of_no_message(codec.decode, clean))
    return _report(metric, _least(seed, transmitter, metric, target[:1]))


def _sampled(seed: int, path: SignalPath, arm: int, metric: Metric) -> dict[str, Any]:
    """The mean of D* over a sample of the messages."""
    messages = sample(path.index)
    least: list[float] = []
    for start in range(0, len(messages), _AT_ONCE):
        targets = path.wanted(arm, messages[start : start + _AT_ONCE])
        if targets is None:
            return {"why": "what is wanted is known only as the run goes"}
        some = _least(seed, path.transmitter, metric, targets)
        if isinstance(some, str):
            return {"why": some}
        least += some
    return _report(metric, least) | {"messages": len(messages), "of": path.count}


def _shown(path: SignalPath, metric: Metric) -> dict[str, Any]:
    """D* to images that this decoder shows of some codeword: the metric's value at equality."""
    with torch.no_grad():
        clean = path.clean(sample(path.index))
        return _report(metric, _distance(metric, clean, clean.clone()).tolist())


def sample(index: Ints) -> Ints:
    """At most `SAMPLE` messages with different images, evenly spread; ``index``: their images."""
    first = np.sort(np.unique(index, return_index=True)[1]).astype(np.int64)
    places = np.linspace(0, len(first) - 1, min(SAMPLE, len(first)))
    chosen: Ints = first[np.round(places).astype(np.int64)]
    return chosen


def _report(metric: Metric, least: list[float] | str) -> dict[str, Any]:
    if isinstance(least, str):
        return {"why": least}
    mean = math.fsum(least) / len(least)
    if not math.isfinite(mean):
        return {"why": "no distance was finite"}
    return {"least": {metric.kind: max(mean, 0.0)}}


def _rows(seed: int, transmitter: Transmitter) -> Rows:
    numbers = np.arange(STARTS)
    return Rows(
        name="calibration/reach",
        seed=seed,
        message=numbers,
        attempt=np.zeros_like(numbers),
        columns={},
        device=transmitter.latent_mean.device,
    )


def _starts(rows: Rows, transmitter: Transmitter) -> Tensor:
    """Starts of the search, [STARTS, K]: around the mean latent, with the codec's power."""
    draws = rows.normal(transmitter.codec.latent_size, "start")
    return transmitter.latent_mean + transmitter.codec_power**0.5 * draws


def _least(
    seed: int, transmitter: Transmitter, metric: Metric, targets: Tensor
) -> list[float] | str:
    """D* to each of some images [m, C, H, W], in one batch; or the reason why there is none."""
    codec = transmitter.codec
    latent = _starts(_rows(seed, transmitter), transmitter).repeat(len(targets), 1)
    target = targets.repeat_interleave(STARTS, dim=0)
    climb = Adam(_STEP_SIZE * transmitter.codec_power**0.5)
    least = torch.full((len(targets),), math.inf)
    try:
        for step in range(STEPS + 1):
            with torch.enable_grad():
                leaf = latent.detach().requires_grad_()
                # A copy, since a decoder may begin with an activation in place.
                apart = _distance(metric, codec.decode(leaf.clone()), target)
            now = apart.detach().nan_to_num(math.inf).view(len(targets), STARTS)
            least = torch.minimum(least, now.min(dim=1).values.to(least))
            if step < STEPS:
                latent = climb.descended(latent, torch.autograd.grad(apart.sum(), leaf)[0])
    except RuntimeError:
        return "the decoder, or the metric, gives no gradients"
    return [float(one) for one in least]


def _distance(metric: Metric, images: Tensor, target: Tensor) -> Tensor:
    """D ≥ 0 per row, as a summary derives it from the metric's mean."""
    if metric.kind == "psnr":
        return distance("mse", images, target)
    value = metric.measure(images, target)
    return (metric.perfect or 0.0) - value if metric.higher_is_better else value


def _of_no_message(decode: Any, clean: Tensor) -> Knowledge:
    """Knowledge for targets that are the same for all messages."""

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
