"""Goals of adversaries: damage, or a target image at the receiver."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor

from channelsim.adversaries.image_file import as_image, as_signal, may_be_signal, read_target
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.goal import Goal, Wanted, goal_of
from channelsim.contracts.parts import Flag, InputFile, Metric, NonNegative, part
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.contracts.sampling import noun_of
from channelsim.metrics import MSE, SSIM, DatasetFeatureDistance, RandomFeatureDistance
from channelsim.support.errors import InputError

Loss = Literal["mse", "ssim", "dfd", "rfd"]

_LOSSES: Mapping[str, Metric] = {
    "mse": MSE(),
    "ssim": SSIM(),
    "dfd": DatasetFeatureDistance(),
    "rfd": RandomFeatureDistance(),
}

_REPLACEMENTS: tuple[Loss, ...] = ("rfd", "mse", "ssim")  # for a loss that does not fit


def distance(loss: Loss, images: Tensor, references: Tensor) -> Tensor:
    """D ≥ 0, 0 at equality, per row [N]: MSE, 1 − SSIM, or a feature distance; differentiable."""
    metric = _LOSSES[loss]
    value = metric.measure(images, references)
    return 1.0 - value if metric.higher_is_better else value


def _loss_of(adversary: Adversary) -> tuple[str, Metric] | None:
    """Name and metric of the loss of an adversary's goal; None without one of these."""
    loss = getattr(goal_of(adversary), "loss", None)
    return (loss, _LOSSES[loss]) if isinstance(loss, str) and loss in _LOSSES else None


def loss_card(adversary: Adversary) -> dict[str, Any]:
    """Facts that decide the values of an adversary's loss, as a metric's card: weights, seeds…

    Empty for a loss that its name determines, and for an adversary without one.
    """
    match _loss_of(adversary):
        case str(loss), Metric(card=card) if card:
            return {"loss": loss, **card}
    return {}


def check_loss(adversary: Adversary, image_shape: tuple[int, ...]) -> None:
    """Raise an `InputError` if an adversary's loss cannot compare images (C, H, W)."""
    found = _loss_of(adversary)
    reason = found and _unfit(found[1], image_shape)
    if found and reason:
        *others, last = [n for n in _REPLACEMENTS if not _unfit(_LOSSES[n], image_shape)]
        fix = f"{', '.join(others)} or {last}" if others else last
        raise InputError(f"loss {found[0]}: {reason}; use {fix}")


def _unfit(metric: Metric, image_shape: tuple[int, ...]) -> str:
    """The reason a metric cannot measure images of this shape, without advice; empty if it can."""
    try:
        metric.check_fit(image_shape)
    except InputError as error:
        return error.message.removeprefix(f"metric {metric.kind}: ").partition(";")[0]
    return ""


@part
class Damage(Goal):
    """Damage the image: maximise D(g(z + δ), reference) (untargeted).

    ``loss``: D is the ``mse``, 1 − ``ssim``, ``dfd`` or ``rfd`` (the metrics of these names, with
    their defaults). ``reference``: the image to depart from: the ``clean`` reconstruction g(z) (Lu
    & Chen's choice) or the ``source`` image.
    """

    sign: ClassVar[float] = 1.0

    kind: Literal["damage"] = "damage"
    loss: Loss = "mse"
    reference: Literal["clean", "source"] = "clean"

    def needs(self) -> list[str]:
        """The knowledge of the message that the goal needs."""
        return ["source"] if self.reference == "source" else []

    def image(self, rows: Rows, knowledge: Knowledge) -> Tensor:  # noqa: ARG002  one contract
        """The reference image of D, [N, C, H, W]."""
        return knowledge.source if self.reference == "source" else knowledge.clean


@part
class SuccessCriterion:
    """The criterion for success on a message of an attack towards an image: exactly one of two.

    ``distance``: D to the target is at most this (of the goal's ``loss``, which must be among the
    scenario's metrics). ``label: true``: the classifier gives the shown image the target's label
    (the metric ``label``, which must be among them).
    """

    distance: NonNegative | None = None
    label: Flag = False

    @model_validator(mode="after")
    def _one(self) -> SuccessCriterion:
        if (self.distance is None) is not self.label:
            raise ValueError(
                "success needs one criterion: {distance: …} or {label: true}, not"
                f" {'both' if self.label else 'neither'}"
            )
        return self

    def metric(self, loss: str) -> str:
        """The metric of the criterion."""
        return "label" if self.label else loss


@part
class TargetImage(Goal):
    """Show a target image: minimise D(g(z + δ), target) (targeted).

    ``target``: all ``black`` or ``white``; ``zero``, every value 0, of a signal a flat line (an
    image's is black); ``inverse``, 1 − g(z), the reversed colours of the clean
    reconstruction (Lu & Chen 2023); ``random``, uniform pixels drawn per message; ``message``,
    another message of the run, drawn per message and never itself (though it may carry the same
    image, where the source repeats its images), ``of`` which the ``source`` image (project default)
    or the clean ``reconstruction`` is the target; ``file``, a picture or .npy array [H, W] or [C,
    H, W] in [0, 1], or of a signal floats [L] or [C, L] in its unit. ``loss``: D, as in `Damage`.
    ``success``: see `SuccessCriterion`; without one no message counts as a success.
    """

    sign: ClassVar[float] = -1.0

    kind: Literal["image"] = "image"
    target: Literal["black", "white", "inverse", "random", "message", "file", "zero"]
    loss: Loss = "mse"
    of: Literal["source", "reconstruction"] = "source"
    file: InputFile | None = None
    success: SuccessCriterion | None = None

    @model_serializer(mode="wrap")
    def _written(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the key ``success`` where it is None: it then has no effect."""
        written: dict[str, Any] = plain(self)
        if self.success is None:
            written.pop("success", None)
        return written

    @model_validator(mode="after")
    def _consistent(self) -> TargetImage:
        if (self.file is None) == (self.target == "file"):
            raise ValueError(
                "target: file needs a file"
                if self.file is None
                else f"file is given but target is {self.target}; write target: file"
            )
        if self.of != "source" and self.target != "message":
            raise ValueError(f"of is for target: message, but target is {self.target}")
        if self.file is not None:
            try:
                if not may_be_signal(self._stored):  # else the codec decides what it must be
                    as_image(self.file, self._stored)
            except InputError as error:
                raise ValueError(error.message) from None
        return self

    @cached_property
    def _stored(self) -> np.ndarray:
        """The file's array."""
        assert self.file is not None
        return read_target(self.file)

    @cached_property
    def _content(self) -> str | None:
        """SHA-256 of the file's array, its type and shape; None without a file."""
        if self.file is None:
            return None
        stored = self._stored
        form = f"{stored.dtype.str} {stored.shape}"
        return hashlib.sha256(form.encode() + stored.tobytes()).hexdigest()

    @property
    def wanted(self) -> Wanted:
        """The image to be seen."""
        if self.target in ("black", "white", "zero", "file"):
            return Wanted("all", (self.target, self._content))
        if self.of == "reconstruction":
            return Wanted("codec")
        return Wanted("message", (self.target,), drawn=self.target != "inverse")

    def needs(self) -> list[str]:
        """The knowledge of the message that the goal needs."""
        return ["other messages"] if self.target == "message" else []

    def image(self, rows: Rows, knowledge: Knowledge) -> Tensor:
        """The target image of D, [N, C, H, W]."""
        like = knowledge.clean
        if like.dim() == 3 and self.target in ("black", "white", "inverse", "random"):
            raise InputError(
                f"target {self.target} is an image's, in [0, 1], and the codec shows signals of"
                f" shape {list(like.shape[1:])}; use zero, message or file"
            )
        if self.target in ("black", "zero"):
            return torch.zeros_like(like)
        if self.target == "white":
            return torch.ones_like(like)
        if self.target == "inverse":
            return 1.0 - like
        if self.target == "random":
            pixels = _per_message(rows).uniform(like[0].numel(), "target")
            return pixels.to(like.dtype).view_as(like)
        if self.target == "message":
            other = _another(rows, knowledge.messages)
            chosen = knowledge.source_of if self.of == "source" else knowledge.clean_of
            return chosen(other)
        return self._from_file(like)

    def _from_file(self, like: Tensor) -> Tensor:
        assert self.file is not None
        wanted, noun = tuple(like.shape[1:]), noun_of(like.shape[1:])
        values = (as_signal if noun == "signal" else as_image)(self.file, self._stored)
        found = values.shape
        fits = found == wanted or (found == wanted[1:] and wanted[0] == 1)
        if not fits:
            grey = f" or {list(wanted[1:])}" if wanted[0] == 1 else ""
            article = "a" if noun == "signal" else "an"
            raise InputError(
                f"{self.file}: the target {noun} has shape {list(found)}, the codec shows"
                f" {list(wanted)}; give {article} {noun} of shape {list(wanted)}{grey}"
            )
        return torch.from_numpy(values).to(like).view(1, *wanted).expand_as(like)


def _per_message(rows: Rows) -> Rows:
    """The rows as at their first attempt: the target stays the same when a message is repeated.

    Draws are keyed by the attempt too, so later attempts would get another target.
    """
    return dataclasses.replace(rows, attempt=np.zeros_like(rows.attempt), _drawn={})


def _another(rows: Rows, messages: int) -> np.ndarray:
    """Another message number per row, uniform over all but the row's own, [N]."""
    if messages < 2:
        raise InputError(
            f"goal image, target message: the run has {messages} message; another one to imitate"
            " needs at least two (raise source.count)"
        )
    share = _per_message(rows).uniform(1, "target message")[:, 0].double().cpu().numpy()
    # The float32 draw may round up to 1.
    ahead = 1 + np.minimum((share * (messages - 1)).astype(np.int64), messages - 2)
    return (rows.message + ahead) % messages


AnyGoal = Annotated[Damage | TargetImage, Field(discriminator="kind")]
