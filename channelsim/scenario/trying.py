"""What of an arm is tried while it is built: goals, and the user's own parts that need a codec."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from channelsim.catalog.path_admission import admit_detector, admit_stage
from channelsim.defences.receiver import Receiver
from channelsim.parts import Codec, Stage
from channelsim.problems import Where
from channelsim.rows import Knowledge, Rows
from channelsim.scenario.assembly import Workshop
from channelsim.threat import Adversary


@dataclass(frozen=True)
class Own:
    """A part of the user's own. ``at``, ``inside``: where it stands in the scenario.

    ``question``: equal where the same code would be tried again. ``admit``: raises an `InputError`.
    """

    at: Where
    inside: Where
    question: tuple[Any, ...]
    admit: Callable[[], None]


def own_parts(
    workshop: Workshop, name: str, receiver: Receiver, stages: Sequence[Stage]
) -> Iterator[Own]:
    """The detector and the stages of an arm that are the user's own.

    A sweep over their keys runs the same code, so that one of each class is tried for each codec.
    """
    codec, images = receiver.codec, workshop.images
    if images is None or tuple(codec.image_shape) != tuple(images.images.shape[1:]):
        return
    detector = receiver.detector
    own = workshop.foreign.get(id(detector))
    if detector is not None and own is not None:
        yield Own(
            ("receivers", name),
            ("detector",),
            (type(detector), id(codec)),
            functools.partial(
                admit_detector,
                *(detector, type(detector).__name__, codec, images),
                workshop.training,
                own.again,
            ),
        )
    for index, stage in enumerate(stages):
        own = workshop.foreign.get(id(stage))
        # What is fitted before a run cannot be tried without that.
        idle = isinstance(stage, Adversary) and (stage.budget.off or stage.fits)
        if own is not None and not idle:
            yield Own(
                ("path", index),
                (),
                (type(stage), id(codec), *map(type, stages[:index])),
                functools.partial(
                    admit_stage,
                    *(stage, type(stage).__name__, codec, stages[:index], images),
                    own.again,
                ),
            )


def aim(stage: Any, codec: Codec, messages: int) -> None:
    """Ask a goal for one target image: a file of the wrong shape shows here, not in the run."""
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
    """What the user calls a codec of his own."""
    module = getattr(codec, "module", codec)
    return type(module).__name__
