"""Any torch module with ``encode`` and ``decode`` as a codec."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AllowInfNan, Field, field_validator, model_validator
from torch import Tensor, nn

from channelsim.codecs.drawn import drawn_for
from channelsim.codecs.latent_form import LatentForm
from channelsim.codecs.own_card import STANDARD, check, own_card
from channelsim.contracts import own_code
from channelsim.contracts.parts import Codec, Count, part
from channelsim.contracts.side import Side, takes_side
from channelsim.support.errors import InputError


@part
class Module(Codec):
    """A user's own torch module; a scenario says ``use: "./mine.py:MyCodec"``.

    ``module``: has ``encode(images [N, C, H, W])``, returning the latent or (mean, standard
    deviation), and ``decode(latent)``, returning images. A latent is [N, K], or [N, …] of any
    shape, or complex: it is flattened to real values on the wire, and restored for ``decode``. One
    without ``encode`` is a decoder alone, of standard normal codewords (``source: prior``). The
    module is put into eval mode and its parameters stop requiring gradients, in place.
    ``image_shape``: (C, H, W), or (C, L) of signals, default (1, 32, 32). ``latent_size``: K,
    required. ``form``: of its latents, default K real values. ``origin``: its origin, for the
    record. ``facts``: known facts about it, from a card beside its weights.

    Its transmit power is measured on the source's training split: on as many images, drawn at
    random, as the module's attribute ``calibration_images`` says (default: all). It may state it
    instead: ``transmit_power``, the mean of ‖z‖²/K over images (with its posterior's variance where
    codewords are sampled), together with ``latent_mean``, K numbers. Its attribute ``card`` is a
    mapping of facts, see `own_card`.

    A module that wants to know the channel writes ``encode(images, side)``, ``decode(latent,
    side)``, or one of them: ``side.snr_db`` and ``side.noise_power`` are tensors [N] with each
    row's nominal values (`Side`). In a scenario the SNR is that of the path, or the receiver's
    ``assumed_snr_db``. Where ``encode`` takes ``side``, power is measured at each SNR told.
    ``told_snr_db``: the SNR in dB of every row; `at_snr` sets it.
    """

    kind: ClassVar[str] = "module"
    brought: ClassVar[bool] = True

    module: nn.Module
    # The contract has abstract properties of these names, which only a default can replace.
    image_shape: tuple[Count, Count, Count] | tuple[Count, Count] = (1, 32, 32)
    latent_size: Count = 0
    form: LatentForm | None = None
    origin: str = "python"
    facts: Mapping[str, Any] = Field(default_factory=dict)
    told_snr_db: Annotated[float, AllowInfNan(False)] | None = None

    @field_validator("module")
    @classmethod
    def _has_both_verbs(cls, module: nn.Module) -> nn.Module:
        missing = [verb for verb in ("encode", "decode") if not callable(getattr(module, verb, 0))]
        if "decode" in missing:
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

    @model_validator(mode="after")
    def _told(self) -> Module:
        _ = self.takes_side
        return self

    @property
    def encodes(self) -> bool:
        """Whether the module has an encoder."""
        return callable(getattr(self.module, "encode", None))

    @functools.cached_property
    def takes_side(self) -> frozenset[str]:
        """Of ``encode`` and ``decode``, those whose second parameter is ``side``."""
        return sides_taken(self.module)

    def at_snr(self, snr_db: float) -> Module:
        """The same codec, told this SNR of every row; the same object for the same SNR."""
        if not self.takes_side:
            return self
        if snr_db not in self._at:
            self._at[snr_db] = replace(self, told_snr_db=snr_db)
        return self._at[snr_db]

    @functools.cached_property
    def _at(self) -> dict[float, Module]:
        return {}

    def _asked(self, verb: str, **given: Any) -> Any:
        if verb == "encode" and not self.encodes:
            return drawn_for(given["images"], self.latent_size)
        rows: Tensor = next(iter(given.values()))
        if self.form is not None and verb != "encode":
            given = {name: self.form.restored(values) for name, values in given.items()}
        if verb in self.takes_side:
            if self.told_snr_db is None:
                raise InputError(
                    f"{self.title}: {verb} takes side and no SNR was told; use codec.at_snr(…)"
                )
            given["side"] = Side.of_all(self.told_snr_db, rows)
        answer = super()._asked(verb, **given)
        if self.form is None or verb != "encode":
            return answer
        return in_form(self.form, answer, self.title)

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
        name, images = type(self.module).__name__, self.calibration_images
        try:
            check(name, self.card, self.latent_size, drawn=not self.encodes)
        except InputError as error:
            raise ValueError(error.message) from None
        if images is not None and (type(images) is not int or images < 1):
            raise ValueError(
                f"{name}.calibration_images must be a whole number above 0, not {images!r}"
            )
        return self

    @property
    def calibration_images(self) -> int | None:
        """As the module says."""
        return getattr(self.module, "calibration_images", None)

    @functools.cached_property
    def card(self) -> Mapping[str, Any]:
        """The module's origin, and what it or the card beside its weights states."""
        drawn = {} if self.encodes else STANDARD | {"latent_mean": [0.0] * self.latent_size}
        return {"origin": self.origin, **drawn, **own_card(self.module, self.facts)}


def sides_taken(network: nn.Module) -> frozenset[str]:
    """Of ``encode`` and ``decode``, those that are told the channel (see `takes_side`)."""
    return frozenset(
        verb
        for verb in ("encode", "decode")
        if callable(method := getattr(network, verb, None)) and takes_side(method)
    )


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
