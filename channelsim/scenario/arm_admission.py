"""Trials while an arm is built: goals, and the user's own parts that need a codec."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from channelsim.adversaries.objective import raises_own_loss
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.parts import Codec, Metric, Stage
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.contracts.stages import Stages
from channelsim.receivers.receiver import Receiver
from channelsim.scenario.admission import admit_attack_loss, require_gradient
from channelsim.scenario.assembly import Built, Workshop, is_own
from channelsim.scenario.path_admission import admit_detector, admit_stage
from channelsim.sources import Source
from channelsim.support.errors import InputError
from channelsim.support.problems import Origins, Problems, Where


@dataclass(frozen=True)
class Own:
    """A part of the user's own. ``at``, ``inside``: its place in the scenario.

    ``question``: equal where the same code would be tried again. ``admit``: raises an `InputError`,
    or returns notices to the user.
    """

    at: Where
    inside: Where
    question: tuple[Any, ...]
    admit: Callable[[], list[str]]


def own_parts(
    workshop: Workshop, name: str, receiver: Receiver, stages: Sequence[Stage]
) -> Iterator[Own]:
    """The user's own parts of an arm: a decoder whose gradient is followed, detector and stages.

    A sweep over their keys runs the same code, so one of each class is tried per codec.
    """
    codec, images = receiver.codec, workshop.images
    if images is None or tuple(codec.image_shape) != tuple(images.images.shape[1:]):
        return
    told = receiver.codec_on(Stages(stages))

    def heard(part: Any, admit: Callable[[], list[str]]) -> Callable[[], list[str]]:
        def tried() -> list[str]:
            with workshop.listening(part, codec):
                return admit()

        return tried

    steep = getattr(codec.network, "differentiable", True)
    for stage in filter(_follows, stages) if id(codec) in workshop.foreign or not steep else ():
        before = isinstance(stage, Adversary) and stage.access.before_encoder
        who = class_name(codec), f"{stage.label} (kind: {stage.kind})"
        raises = isinstance(stage, Adversary) and raises_own_loss(stage, codec)
        admit = functools.partial(require_gradient, codec, *who, images.images if before else None)
        if raises:
            admit = functools.partial(admit_attack_loss, told, *who, images, before=before)
        yield Own(("receivers", name), ("codec",), ("gradient", id(codec), raises, before), admit)
    detector = receiver.detector
    own = workshop.foreign.get(id(detector))
    if detector is not None and own is not None:
        yield Own(
            ("receivers", name),
            ("detector", *_use(own)),
            (type(detector), id(codec)),
            heard(
                detector,
                functools.partial(
                    admit_detector,
                    *(detector, type(detector).__name__, told, images),
                    *(workshop.training, own.again),
                ),
            ),
        )
    for index, stage in enumerate(stages):
        own = workshop.foreign.get(id(stage))
        idle = isinstance(stage, Adversary) and stage.budget.off
        if own is not None and not idle:
            yield Own(
                ("path", index),
                _use(own),
                (type(stage), id(codec), *map(type, stages[:index])),
                heard(
                    stage,
                    functools.partial(
                        admit_stage,
                        *(stage, type(stage).__name__, told, stages[:index], images),
                        *(workshop.training, own.again),
                    ),
                ),
            )


def _follows(stage: Stage) -> bool:
    """Whether a stage follows the decoder's gradient."""
    if not isinstance(stage, Adversary):
        return False
    return stage.climbs or bool(stage.threat.get("effort", {}).get("gradients"))


def _use(own: Built) -> Where:
    """The place of a user's own part: its `use:` key, or the part itself."""
    return () if own.origin is None else ("use",)


def admit_unseen(
    source: Source, arms: Sequence[Any], metrics: Sequence[Metric], seen: Collection[int]
) -> Workshop:
    """Try the user's own parts that no scenario file named; one `InputError` lists all faults.

    ``seen``: identities of those tried before. Returns the workshop with the others and the
    notices to the user.
    """
    workshop, problems = Workshop(None), Problems(Origins("scenario", {}))
    workshop.source = source
    unseen = {id(part): one for one in _places(arms, metrics) if _new(part := one[2], seen)}
    for slot, at, part in unseen.values():
        for fault in workshop.build(slot, part).faults:
            problems.add((*at, *fault.where), fault.text)
    problems.raise_if_any()
    asked: set[tuple[Any, ...]] = set()
    for arm in arms if unseen else ():
        for own in own_parts(workshop, arm.receiver_name, arm.receiver, arm.path):
            if own.question not in asked:
                asked.add(own.question)
                try:
                    workshop.note(own.admit())
                except InputError as error:
                    problems.add((*own.at, *own.inside), error.message)
    problems.raise_if_any()
    return workshop


def _new(part: Any, seen: Collection[int]) -> bool:
    return part is not None and id(part) not in seen and is_own(part)


def _places(arms: Sequence[Any], metrics: Sequence[Metric]) -> Iterator[tuple[str, Where, Any]]:
    """Slot, place and part, of all parts of some arms."""
    for index, metric in enumerate(metrics):
        yield "metric", ("metrics", index), metric
    for arm in arms:
        at = ("receivers", arm.receiver_name)
        yield "codec", (*at, "codec"), arm.receiver.codec
        yield "detector", (*at, "detector"), arm.receiver.detector
        for index, stage in enumerate(arm.path):
            yield "stage", ("path", index), stage


def aim(stage: Any, codec: Codec, messages: int) -> None:
    """Load a goal's target image for one message, to refuse a file of the wrong shape early."""
    blank = torch.zeros(1, *codec.image_shape)

    def black(chosen: np.ndarray) -> torch.Tensor:
        return torch.zeros(len(chosen), *codec.image_shape)

    knowledge = Knowledge(
        decode=lambda wire: blank.expand(len(wire), *codec.image_shape),
        source=blank,
        clean=blank,
        power=1.0,
        source_of=black,
        clean_of=black,
        messages=messages,
    )
    nobody = np.zeros(1, dtype=np.int64)
    stage.goal.image(
        Rows(name=stage.label, seed=0, message=nobody, attempt=nobody, columns={}), knowledge
    )


def class_name(codec: Codec) -> str:
    """The user's name of a codec of his own."""
    module = getattr(codec, "module", codec)
    return type(module).__name__
