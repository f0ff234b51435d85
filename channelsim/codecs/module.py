"""Any torch module with ``encode`` and ``decode`` as a codec."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator, model_validator
from torch import nn

from channelsim.contracts.parts import Codec, Count, part


@part
class Module(Codec):
    """A user's own torch module; a scenario says ``use: "./mine.py:MyCodec"``.

    ``module``: has ``encode(images [N, C, H, W])``, returning the latent [N, K] or (mean, standard
    deviation), and ``decode(latent [N, K])``, returning images. It is put into eval mode and its
    parameters stop requiring gradients, in place. ``image_shape``: (C, H, W), default (1, 32, 32).
    ``latent_size``: K, required. ``origin``: its origin, for the record.
    """

    kind: ClassVar[str] = "module"

    module: nn.Module
    # The contract has abstract properties of these names, which only a default can replace.
    image_shape: tuple[Count, Count, Count] = (1, 32, 32)
    latent_size: Count = 0
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

    @functools.cached_property
    def network(self) -> nn.Module:
        """The module, in eval mode and without parameter gradients."""
        return self.module.eval().requires_grad_(False)

    @property
    def title(self) -> str:
        """The user's name for it."""
        return f"codec {type(self.module).__name__}"

    @property
    def card(self) -> Mapping[str, Any]:
        """The module's origin; its power is calibrated on the source's training split."""
        return {"origin": self.origin}
