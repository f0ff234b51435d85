"""Images that are in memory already, as a source: for parts that are used on tensors."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from channelsim.contracts.parts import Count, Flag, part
from channelsim.sources.arrivals import Arrivals, OnceArrivals
from channelsim.sources.collection import Collection, Held, Sent, SplitName
from channelsim.sources.source import ImageSource
from channelsim.support.errors import InputError


def checked(images: Any, name: str = "images") -> Tensor:
    """Images [N, C, H, W] as a source takes them: bytes, or float32 in [0, 1]; or an error.

    Signals [N, C, L] are floats of any finite value.
    """
    if not isinstance(images, Tensor) or images.dim() not in (3, 4) or 0 in images.shape:
        shape = list(images.shape) if hasattr(images, "shape") else type(images).__name__
        raise InputError(
            f"{name} must be a tensor of shape [N, C, H, W], or [N, C, L] of signals, was given"
            f" {shape}"
        )
    images = images.detach()
    if images.dim() == 3:
        return _checked_signals(images, name)
    if images.dtype == torch.uint8:
        return images
    if not images.dtype.is_floating_point:
        raise InputError(f"{name} must be float32 in [0, 1] or bytes, not {images.dtype}")
    images = images.float()
    low, high = (float(one) for one in images.aminmax())
    if not (low >= 0.0 and high <= 1.0):
        raise InputError(
            f"{name} must lie in [0, 1], these reach from {low:.4g} to {high:.4g}; divide bytes by"
            " 255, and undo a normalisation"
        )
    return images


def _checked_signals(signals: Tensor, name: str) -> Tensor:
    if not signals.dtype.is_floating_point:
        raise InputError(f"{name} [N, C, L] are signals, which must be floats, not {signals.dtype}")
    found = signals.float()
    if not bool(torch.isfinite(found).all()):
        raise InputError(f"{name} have values that are NaN or infinite; replace them")
    return found


@part
class Tensors(ImageSource):
    """Messages that carry the images of a tensor, in its order.

    ``images`` [N, C, H, W], bytes or float32 in [0, 1], or signals [N, C, L]. ``training``: what
    powers and detectors are calibrated on, default the images themselves. No scenario file can name
    it.
    """

    kind: Literal["tensors"] = "tensors"
    images: Tensor
    training: Tensor | None = None
    split: Sent = "test"
    count: Count | None = None
    repeat: Flag = False
    arrivals: Arrivals = Field(default_factory=OnceArrivals)

    @field_validator("images", "training")
    @classmethod
    def _are_images(cls, images: Tensor | None) -> Tensor | None:
        return None if images is None else checked(images)

    def open(self) -> Collection:
        """Both splits as they are, also where an image is in both."""
        training = self.images if self.training is None else self.training

        def load(split: SplitName) -> Held:
            return Held(self.images if split == "test" else training, None)

        return Collection("tensors", load, disjoint=True)
