"""The contracts of all parts except adversaries.

A part is configuration: a frozen, keyword-only dataclass, validated once, whose fields are the keys
a scenario file may use. Its public call is final and lives here (shape, dtype, finiteness, budget);
an author writes the one method that is abstract. Values that may differ from row to row are
declared in ``columns`` (column name → field, dotted if nested) and read as ``rows[name]``; all
other fields must be equal for rows to share a batch. Adversaries: see `adversary`.
"""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, final

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AllowInfNan,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
)
from pydantic.dataclasses import dataclass as _pydantic_dataclass
from torch import Tensor, nn

from channelsim.contracts import answers, own_code
from channelsim.contracts.rows import Channel, Rows
from channelsim.support import units
from channelsim.support.errors import InputError
from channelsim.support.files import written_name

# Numbers of a scenario file: never a string, a bool, NaN or an infinity.
Decibels = Annotated[float, Strict(), AllowInfNan(False), Ge(-300), Le(300)]
NonNegative = Annotated[float, Strict(), AllowInfNan(False), Ge(0)]
Positive = Annotated[float, Strict(), AllowInfNan(False), Gt(0)]
Fraction = Annotated[float, Strict(), AllowInfNan(False), Ge(0), Le(1)]
OpenFraction = Annotated[float, Strict(), AllowInfNan(False), Gt(0), Lt(1)]
Whole = Annotated[int, Strict(), Ge(0)]
Count = Annotated[int, Strict(), Ge(1)]
Flag = Annotated[bool, Strict()]


def _beside_the_scenario(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str | Path) or not isinstance(info.context, Mapping):
        return value
    try:
        file = written_name(value)
    except InputError as error:
        raise ValueError(error.message) from None
    # Absolute, so that a header names the same file from any working folder.
    return Path(info.context.get("folder") or Path.cwd()) / file


# A file to read; a path in a scenario file is relative to that file.
InputFile = Annotated[Path, BeforeValidator(_beside_the_scenario)]

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def part(cls: type[T]) -> type[T]:
    """Make a class a part: frozen, keyword-only, unknown fields forbidden, validated once."""
    for name in inspect.get_annotations(cls):
        contract = next((base for base in cls.__mro__[1:] if name in base.__dict__), None)
        there = None if contract is None else contract.__dict__[name]
        # A value is a default, which the field takes; code is the contract's own.
        bare = isinstance(there, property | functools.cached_property) and name not in cls.__dict__
        if contract is not None and (bare or inspect.isfunction(there)):
            raise InputError(
                f"{cls.__name__}: the field {name!r} has the name of {contract.__name__}.{name},"
                " which its contract needs; give it another"
            )
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return _pydantic_dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[return-value]


class Part:
    """Anything a scenario names by ``kind``."""

    kind: ClassVar[str] = ""
    columns: ClassVar[Mapping[str, str]] = {}

    def column_values(self) -> dict[str, float]:
        """Return the declared columns with this part's values for them; NaN for None."""
        values = {}
        for column, path in self.columns.items():
            value: Any = self
            for step in path.split("."):
                value = getattr(value, step)
            values[column] = float("nan") if value is None else float(value)
        return values


# --- codecs -------------------------------------------------------------------------------------


class Codec(Part, ABC):
    """A transmitter's encoder and a receiver's decoder around one torch module.

    encode: image [N, C, H, W], float32 in [0, 1], or signal [N, C, L], float32 in its own unit →
    latent [N, K] real values; decode: latent [N, K] → image, or signal. ``network.encode(x)``
    returns the latent, or a pair (mean, standard deviation) for a variational codec;
    ``network.decode(z)`` returns the image. The network must be in eval mode, ask no parameter
    gradients, and never couple rows. ``brought``: whether the user brings the network, so that it
    is tried before a run, and what its card states is kept in the header.
    """

    brought: ClassVar[bool] = False

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The module, built or loaded once (use ``functools.cached_property``)."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of the images that it takes, or (C, L) of the signals."""

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """K, the number of real values sent; two make one complex channel symbol."""

    @property
    def card(self) -> Mapping[str, Any]:
        """Known facts about the codec: ``transmit_power``, ``latent_mean``… (may be empty)."""
        return {}

    @property
    def calibration_images(self) -> int | None:
        """Training images on which its power is measured if its card states none; None: all."""
        return None

    @property
    def takes_side(self) -> frozenset[str]:
        """Which of ``encode`` and ``decode`` are told the channel (`Side`); none by default."""
        return frozenset()

    def at_snr(self, snr_db: float) -> Codec:  # noqa: ARG002
        """The same codec, told this SNR of every row; itself where it is told nothing."""
        return self

    @final
    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean [N, K] and, for a variational codec, standard deviation [N, K].

        Differentiable where the images ask for gradients.
        """
        _expect(self, "encode", "images", images, (len(images), *self.image_shape))
        with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
            answer = self._asked("encode", images=images)
        mean, std = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        self._answered("encode", mean, (len(images), self.latent_size))
        if std is not None:
            self._answered("encode", std, (len(images), self.latent_size))
        return mean, std

    @final
    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latent [N, K]: the mean, or mean + std·noise where standard normal noise is given."""
        mean, std = self.posterior(images)
        return mean if noise is None or std is None else mean + std * noise

    @final
    def decode(self, latent: Tensor) -> Tensor:
        """Image [N, C, H, W]; differentiable with respect to the latent."""
        return self.decoded(latent)[0]

    @final
    def decoded(self, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """`decode`, and of which rows it succeeded, bool [N]; None where it does not tell."""
        _expect(self, "decode", "latents", latent, (len(latent), self.latent_size))
        answer, label = self._asked("decode", latent=latent), f"{self.title}: decode"
        image, ok = answers.flagged(answer, len(latent), label)
        self._answered("decode", image, (len(latent), *self.image_shape))
        return image, ok

    @functools.cached_property
    def tells_decoded(self) -> bool:
        """Whether its decoder says of which rows it succeeded: it returns (images, ok)."""
        if not own_code.is_foreign(type(self.network)):
            return False
        held = (*self.network.parameters(), *self.network.buffers(), torch.zeros(()))[0]
        ramp = torch.linspace(0.0, 1.0, math.prod(self.image_shape), device=held.device)
        images = torch.stack([ramp, ramp.flip(0)]).view(2, *self.image_shape)
        told = self.at_snr(0.0)
        with torch.no_grad():  # of codewords that are sent: a decoder may refuse others
            return answers.is_flagged(told._asked("decode", latent=told.posterior(images)[0]))

    @property
    def encodes(self) -> bool:
        """Whether it has an encoder; False for a decoder alone, whose codewords are drawn."""
        return True

    @property
    def has_attack_loss(self) -> bool:
        """Whether its network has a loss of its own for attacks: ``attack_loss(z, sent)`` → [N]."""
        return callable(getattr(self.network, "attack_loss", None))

    @final
    def attack_loss(self, latent: Tensor, sent: Tensor) -> Tensor:
        """Its network's own loss [N] of received latents, given those sent, both [N, K].

        For attacks to raise; differentiable with respect to ``latent``.
        """
        found: Tensor = self._asked("attack_loss", latent=latent, sent=sent)
        own_code.require_shape(f"{self.title}: attack_loss", found, (len(latent),))
        return found

    @property
    def title(self) -> str:
        """Its name in errors."""
        return f"codec {self.kind}"

    def _asked(self, verb: str, **given: Any) -> Any:
        network, label = self.network, f"{self.title}: {verb}"
        owner = self if own_code.is_foreign(type(self)) else network
        answer = own_code.asked(label, owner, getattr(network, verb), **given)
        return answers.read(verb, network, answer, label)

    def _answered(self, verb: str, given: Any, shape: tuple[int, ...]) -> None:
        own_code.require_shape(f"{self.title}: {verb}", given, shape)
        # An attack may try any point and handles non-finite values itself.
        if not given.requires_grad:
            own_code.require_finite(f"{self.title}: {verb}", given)


def _expect(codec: Codec, verb: str, what: str, given: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(given.shape) != shape:
        raise InputError(
            f"{codec.title}: {verb} takes {what} of shape {list(shape)},"
            f" was given {own_code.described(given)}"
        )


# --- stages -------------------------------------------------------------------------------------


class Stage(Part, ABC):
    """One stage of the wire: ``apply(z [N, K], rows) → [N, K]``.

    ``name`` distinguishes two stages of one kind (default: the kind) and keys the stage's random
    numbers, so that moving a stage in the file changes no draws. ``fades``: whether it leaves a
    gain on the symbols, for an equaliser to undo.
    """

    fades: ClassVar[bool] = False

    name: str

    @property
    def label(self) -> str:
        """The name in use: as given, else the kind."""
        return getattr(self, "name", "") or self.kind

    @final
    def apply(self, signal: Tensor, rows: Rows) -> Tensor:
        """Pass the signal through; shape and finiteness are checked here."""
        label = f"stage {self.label}: cross"
        out: Tensor = own_code.asked(label, self, self.cross, signal=signal, rows=rows)
        own_code.require_shape(label, out, tuple(signal.shape))
        own_code.require_finite(label, out)
        return out

    @final
    def foreseen(self, signal: Tensor, rows: Rows) -> Tensor:
        """`foresee`, with its answer checked."""
        label = f"stage {self.label}: foresee"
        out: Tensor = own_code.asked(label, self, self.foresee, signal=signal, rows=rows)
        own_code.require_shape(label, out, tuple(signal.shape))
        return out

    @abstractmethod
    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Author's method: the signal after this stage."""

    def memory_s(self, symbol_s: float) -> float:  # noqa: ARG002
        """Its memory [s]; 0 (default): codewords are treated independently.

        Simulated time is cut into blocks of this length, beginning at 0, and its effect in one must
        be independent of the next, or so nearly that at most a tenth of the variance of a mean over
        time is due to neighbours (`time_blocks`). Intervals then resample time blocks instead of
        messages. ``symbol_s`` [s]: duration of a symbol.
        """
        return 0.0

    def foresee(self, signal: Tensor, rows: Rows) -> Tensor:
        """This stage's effect on the signal as ``rows.view`` expects it, [N, K]; differentiable.

        Default: no effect, or, where the view imagines draws, the effect with those. A stage that
        draws nothing must override this, or adversaries plan as if it were absent.
        """
        if rows.view is None or rows.view.draw is None:
            return signal
        return self.cross(signal, rows.imagined())

    @final
    def left(self, rows: Rows) -> Channel:
        """`leaves`, with its answer checked."""
        label = f"stage {self.label}: leaves"
        channel = own_code.asked(label, self, self.leaves, rows=rows)
        if not isinstance(channel, Channel):
            raise InputError(
                f"{label} must return a Channel, returned {own_code.described(channel)}"
            )
        return channel

    def check_path(self, earlier: Sequence[Stage]) -> None:
        """Raise an `InputError` if it cannot stand behind these stages; default: anywhere."""

    def leaves(self, rows: Rows) -> Channel:
        """The channel behind this stage, for later stages; default: its noise added."""
        if "snr_db" not in rows.columns:
            return rows.channel
        noise, before = units.from_db(-rows["snr_db"].double()), rows.channel.noise
        return replace(rows.channel, noise=noise if before is None else before + noise)


# --- receivers ----------------------------------------------------------------------------------


class Detector(Part, ABC):
    """Decides from the received latent whether to accept; a larger score is more suspicious.

    The threshold is the quantile of scores on the training split, sent through the arm's own
    channel without adversary, that gives the stated false-alarm rate.
    """

    false_alarm: float

    @abstractmethod
    def fit(self, latents: Tensor) -> dict[str, Tensor]:
        """The state to keep about benign received latents [M, K] (stored in the header)."""

    @abstractmethod
    def score(self, latents: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """Scores of received latents [N, K], shape [N]."""

    @final
    def fitted(self, latents: Tensor) -> dict[str, Tensor]:
        """`fit`, with its answer checked."""
        label = f"detector {self.kind}: fit"
        state = own_code.asked(label, self, self.fit, latents=latents)
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise InputError(
                f"{label} must return a dictionary of tensors, returned {own_code.described(state)}"
            )
        return state

    @final
    def scores(self, latents: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """`score`, with its answer checked; never NaN."""
        label = f"detector {self.kind}: score"
        found: Tensor = own_code.asked(label, self, self.score, latents=latents, state=state)
        own_code.require_shape(label, found, (len(latents),))
        own_code.require_numbers(label, found)
        return found


# --- metrics ------------------------------------------------------------------------------------


# Metrics that fit: project's choice.
_COMPARE = {"images": "mse, psnr or ssim", "signals": "mse, snr or spectral_error"}


class Metric(Part, ABC):
    """A pure function of image and reference, one value per row, with a declared direction.

    ``perfect``: the value of an image against itself, None where that is not finite. ``limit``: the
    limit line of the AADDC (Lu & Chen's where they state one). ``to_additive`` / ``from_additive``:
    the domain in which values may be averaged (PSNR: MSE). ``takes``: ``images`` or ``signals``
    where it can compare nothing else; empty (default) for both.
    """

    higher_is_better: ClassVar[bool]
    perfect: ClassVar[float | None] = None
    limit: ClassVar[float | None] = None
    takes: ClassVar[str] = ""

    @property
    def card(self) -> Mapping[str, Any]:
        """Facts that decide the values beside the fields: weights, their ``sha256``… (may be
        empty).

        Reading it loads the metric's files, or raises an `InputError` about what is missing.
        """
        return {}

    def check_shape(self, image_shape: tuple[int, ...]) -> None:
        """Raise an `InputError` if images of shape (C, H, W) cannot be measured."""

    @final
    def check_fit(self, image_shape: tuple[int, ...]) -> None:
        """Raise an `InputError` if it cannot compare images (C, H, W), or signals (C, L)."""
        there = "signals" if len(image_shape) == 2 else "images"
        if self.takes and self.takes != there:
            raise InputError(
                f"metric {self.kind}: compares {self.takes}, and these are {there} of shape"
                f" {list(image_shape)}; use {_COMPARE[there]}"
            )
        self.check_shape(image_shape)

    @final
    def __call__(self, images: Tensor, references: Tensor) -> Tensor:
        """Values [N] for images and references [N, C, H, W] in [0, 1], or signals [N, C, L]."""
        if images.shape != references.shape:
            raise InputError(
                f"metric {self.kind}: image {list(images.shape)} and reference"
                f" {list(references.shape)} differ in shape"
            )
        if self.takes:
            self.check_fit(tuple(images.shape[1:]))
        label = f"metric {self.kind}: measure"
        found: Tensor = own_code.asked(
            label, self, self.measure, images=images, references=references
        )
        own_code.require_shape(label, found, (len(images),))
        if own_code.is_foreign(type(self)) and not found.requires_grad:
            # Images with NaN were never shown: they have no value.
            given = torch.isfinite(images.flatten(1).sum(1) + references.flatten(1).sum(1))
            own_code.require_numbers(label, torch.where(given, found, torch.zeros_like(found)))
        return found

    @abstractmethod
    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        """Author's method: values [N], differentiable if an attack is to use it."""

    def to_additive(self, values: np.ndarray) -> np.ndarray:
        """Values → a scale on which a mean is meaningful."""
        return values

    def from_additive(self, values: np.ndarray) -> np.ndarray:
        """Back from the averaging scale."""
        return values
