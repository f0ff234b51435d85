"""Any torch module with ``encode`` and ``decode`` as a codec."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import field_validator, model_validator
from torch import Tensor, nn

from channelsim.codecs.latent_form import LatentForm
from channelsim.contracts import own_code
from channelsim.contracts.parts import Codec, Count, part
from channelsim.support.errors import InputError


@part
class Module(Codec):
    """A user's own torch module; a scenario says ``use: "./mine.py:MyCodec"``.

    ``module``: has ``encode(images [N, C, H, W])``, returning the latent or (mean, standard
    deviation), and ``decode(latent)``, returning images. A latent is [N, K], or [N, …] of any
    shape, or complex: it is flattened to real values on the wire, and restored for ``decode``. The
    module is put into eval mode and its parameters stop requiring gradients, in place.
    ``image_shape``: (C, H, W), or (C, L) of signals, default (1, 32, 32). ``latent_size``: K,
    required. ``form``: of its latents, default K real values. ``origin``: its origin, for the
    record.

    Its transmit power is measured on the source's training split: on as many images, drawn at
    random, as the module's attribute ``calibration_images`` says (default: all). It may state it
    instead: ``transmit_power``, the mean of ‖z‖²/K over images (with its posterior's variance where
    codewords are sampled), together with ``latent_mean``, K numbers.
    """

    kind: ClassVar[str] = "module"

    module: nn.Module
    # The contract has abstract properties of these names, which only a default can replace.
    image_shape: tuple[Count, Count, Count] | tuple[Count, Count] = (1, 32, 32)
    latent_size: Count = 0
    form: LatentForm | None = None
    origin: str = "python"

    @field_validator("module")
    @classmethod
    def _has_both_verbs(cls, module: nn.Module) -> nn.Module:
        missing = [verb for verb in ("encode", "decode") if not callable(getattr(module, verb, 0))]
        if missing:
            raise ValueError(
                f"{type(module).__name__} has no method {' and no method '.join(missing)}; a codec"
                " needs encode(images) and decode(latent)"
            )
        return module

    @model_validator(mode="after")
    def _sized(self) -> Module:
        if not self.latent_size:
            raise ValueError("latent_size is missing; give the number K of real values sent")
        return self

    def _asked(self, verb: str, **given: Tensor) -> Any:
        if self.form is None:
            return super()._asked(verb, **given)
        if verb == "decode":
            return super()._asked(verb, latent=self.form.restored(given["latent"]))
        return in_form(self.form, super()._asked(verb, **given), self.title)

    @functools.cached_property
    def network(self) -> nn.Module:
        """The module, in eval mode and without parameter gradients."""
        return self.module.eval().requires_grad_(False)

    @property
    def title(self) -> str:
        """The user's name for it."""
        return f"codec {type(self.module).__name__}"

    @model_validator(mode="after")
    def _stated(self) -> Module:
        name, module = type(self.module).__name__, self.module
        power, mean = (getattr(module, key, None) for key in ("transmit_power", "latent_mean"))
        if (power is None) != (mean is None):
            raise ValueError(f"{name} states one of transmit_power and latent_mean; state both")
        if power is not None and not (_finite([power]) and float(power) > 0):
            raise ValueError(f"{name}.transmit_power must be a number above 0, not {power!r}")
        if mean is not None and not (_finite(mean) and len(mean) == self.latent_size):
            raise ValueError(
                f"{name}.latent_mean must be {self.latent_size} numbers, one for each of z"
            )
        images = getattr(module, "calibration_images", None)
        if images is not None and (type(images) is not int or images < 1):
            raise ValueError(
                f"{name}.calibration_images must be a whole number above 0, not {images!r}"
            )
        return self

    @property
    def calibration_images(self) -> int | None:
        """As the module says."""
        return getattr(self.module, "calibration_images", None)

    @property
    def card(self) -> Mapping[str, Any]:
        """The module's origin, and its power where it states it."""
        power = getattr(self.module, "transmit_power", None)
        if power is None:
            return {"origin": self.origin}
        powers = dict.fromkeys(("transmit_power", "transmit_power_sample"), float(power))
        mean = [float(one) for one in self.module.latent_mean]  # type: ignore[union-attr]
        return {"origin": self.origin, "latent_mean": mean, **powers}


def in_form(form: LatentForm, answer: Any, title: str) -> Any:
    """An encoder's answer, a latent or (mean, standard deviation), as real values [N, K]."""
    if isinstance(answer, tuple) and len(answer) == 2:
        return in_form(form, answer[0], title), in_form(form, answer[1], title)
    if not isinstance(answer, Tensor) or answer.dim() < 2 or not form.fits(answer):
        kind = "complex" if form.complex else "real"
        raise InputError(
            f"{title}: encode must return {kind} latents of shape [N, {_listed(form)}], returned"
            f" {own_code.described(answer)}"
        )
    if answer.dtype not in (torch.float32, torch.complex64):
        wanted = "complex64" if form.complex else "float32"
        raise InputError(
            f"{title}: encode must return {wanted}, returned"
            f" {str(answer.dtype).removeprefix('torch.')}; convert with .to(torch.{wanted})"
        )
    return form.sent(answer)


def _listed(form: LatentForm) -> str:
    return ", ".join(map(str, form.shape))


def _finite(numbers: Any) -> bool:
    """Whether this is a sequence of finite numbers."""
    try:
        return all(math.isfinite(float(one)) for one in numbers)
    except (TypeError, ValueError):
        return False
