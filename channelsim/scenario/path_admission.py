"""Admission of a user's own detector, stage or adversary, tried with the codec it meets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import watched
from channelsim.contracts.parts import Codec, Detector, Stage
from channelsim.contracts.records import Ints
from channelsim.contracts.rows import Channel, Knowledge, Rows, View, after
from channelsim.contracts.stages import Stages
from channelsim.scenario.trials import Again, Answer, Method, TrialImages, on_the_cpu
from channelsim.support.errors import InputError

_DRAWS = "draw random numbers with rows.normal or rows.uniform, which belong to the message"
_APART_S = 1e4  # between rows, so that each meets a channel of its own
_CHUNK = 64  # images encoded at a time
_REHEARSED = 64  # training images that an adversary is fitted to when it is tried; project's choice


def admit_detector(
    detector: Detector,
    name: str,
    codec: Codec,
    given: TrialImages,
    train: Tensor,
    again: Again | None,
) -> list[str]:
    """Refuse a detector whose score of a row depends on other rows, or changes when repeated.

    ``train``: more training images, for its fit. Returns notices to the user.
    """
    with torch.no_grad(), on_the_cpu(codec):
        benign = _latents(codec, train)
        # Distinct latents in every dimension, however few images there are.
        rounds = max(2, -(-2 * codec.latent_size // len(benign)))
        generator = torch.Generator().manual_seed(0)
        spread = benign.std() if len(benign) > 1 else torch.tensor(1.0)
        benign = torch.cat([benign] * rounds)
        benign = benign + 0.1 * spread * torch.randn(benign.shape, generator=generator)
        latents = codec.posterior(given.images)[0]
        latents = latents + benign[: len(latents)] * 0.5

        def scoring(detector: Detector) -> Answer:
            state = detector.fitted(benign)
            return lambda places: detector.scores(latents[list(places)], state)

        with watched() as fitting:
            method = Method(
                label=f"{name}.score",
                count=len(latents),
                answer=scoring(detector),
                coupled="score every latent from itself and the state alone; what is known of"
                " others belongs into fit",
            )
        with given.tried() as scored:
            answered = method.check()
        refit = scoring(detector)(range(method.count))
        _require_same_fit(method, f"{name}.fit", "scores change", answered, refit)
        if again is not None:
            method.agree(scoring(again()), answered)
    return [*fitting.of(detector), *scored.of(detector)]


def admit_stage(
    stage: Stage,
    name: str,
    codec: Codec,
    earlier: Sequence[Stage],
    given: TrialImages,
    train: Tensor,
    again: Again | None,
) -> list[str]:
    """Refuse a stage, or an adversary, that couples rows or is not repeatable.

    ``earlier``: the stages before it. ``train``: more training images, for an adversary's fit.
    Returns notices to the user.
    """
    with on_the_cpu(codec):
        attack = isinstance(stage, Adversary)
        stand = Stand(codec, Stages(earlier), given.images)
        rehearsal = Stand(codec, Stages(earlier), train[:_REHEARSED])

        def crossing(last: Stage) -> Answer:
            if not isinstance(last, Adversary):
                return lambda places: _crossed(last, *stand.meets(last, places))
            fitted = rehearsal.fit(last) if last.fits else None
            return lambda places: stand.attack(last, places, fitted)

        with watched() as fitting:
            method = Method(
                label=f"{name}.{'perturb' if attack else 'cross'}",
                count=len(given),
                answer=crossing(stage),
                random=_DRAWS,
                share=0.5 if attack else 0.0,
            )
        with given.tried() as crossed:
            answered = method.check()
        if isinstance(stage, Adversary) and stage.fits:
            found, refit = rehearsal.fit(stage), rehearsal.fit(stage)
            _require_same_fit(method, f"{name}.fit", "what it fits changes", found, refit)
        if again is not None:
            method.agree(crossing(again()), answered)
        return [*fitting.of(stage), *crossed.of(stage)]


@dataclass(frozen=True)
class Stand:
    """Signals of some images at a stage: behind a codec and the impairments of ``earlier``.

    ``images`` [n, C, H, W]; places index them. All draws are admission's own: no message meets
    them.
    """

    codec: Codec
    earlier: Stages
    images: Tensor

    @functools.cached_property
    def latents(self) -> Tensor:
        """The codewords sent, [n, K]."""
        return _latents(self.codec, self.images)

    @functools.cached_property
    def power(self) -> float:
        """The mean square of the codewords, per value."""
        return float(self.latents.double().square().mean()) or 1.0

    @torch.no_grad()
    def meets(self, stage: Stage, places: Sequence[int] | Ints) -> tuple[Tensor, Rows]:
        """The signal [m, ·] of some images as it reaches a stage, and the stage's rows of them."""
        chosen = list(places)
        signal, channel = self.latents[chosen], Channel()
        for one in self.earlier.impairments:
            seen = self.rows(one, chosen)
            seen.channel = channel
            signal, channel = one.apply(signal, seen), one.left(seen)
        rows = self.rows(stage, chosen)
        rows.channel = channel
        if isinstance(stage, Adversary):
            rows.knowledge = self._knowledge(stage, chosen)
            if stage.access.before_encoder:
                signal = self.images[chosen].flatten(1)
        return signal, rows

    @torch.no_grad()
    def attack(
        self, stage: Adversary, places: Sequence[int], fitted: Tensor | None = None
    ) -> Tensor:
        """An adversary's injection into some of them, [m, ·]. ``fitted``: the result of its fit."""
        signal, rows = self.meets(stage, places)
        if fitted is not None:
            rows.fitted = fitted.expand(len(signal), *fitted.shape)
        found = stage.attack(signal, rows)
        if type(stage).control is not Adversary.control:
            stage.shadow(signal, found, rows)
        return found.delta

    def injected(self, stage: Adversary, places: Sequence[int]) -> Tensor:
        """The injection after a fit to these images, where it fits."""
        return self.attack(stage, places, self.fit(stage) if stage.fits else None)

    def fit(self, stage: Adversary) -> Tensor:
        """An adversary's fit to these images, with its least effort."""
        before = stage.access.before_encoder
        size = self.images[0].numel() if before else self.codec.latent_size
        epsilon = torch.tensor([stage.budget.epsilon], dtype=torch.float64)
        radius = stage.budget.radius(epsilon, self._power(before), size)
        everything = self.rows(stage, range(len(self.images)))
        # It may request any codewords of a training split; the run has more.
        with torch.enable_grad():
            return stage.brief().fitted(
                float(radius),
                everything,
                lambda numbers: self.meets(stage, numbers % len(self.images)),
            )

    def rows(self, stage: Stage, places: Sequence[int]) -> Rows:
        """Rows of no run, with the columns that a stage declares."""
        numbers = np.array(places, dtype=np.int64)
        values = stage.column_values()
        return Rows(
            name=f"admission/{stage.label}",
            seed=0,
            message=numbers,
            attempt=np.zeros_like(numbers),
            columns={name: torch.full((len(numbers),), value) for name, value in values.items()},
            power=self.power,
            mean=self.latents.mean(dim=0),
            began_s=1e6 + _APART_S * numbers.astype(np.float64),
            symbol_s=np.full(len(numbers), 1e-6),
            replayed=np.maximum(numbers - 1, 0),
            exact={name: np.full(len(numbers), value) for name, value in values.items()},
        )

    def _power(self, before: bool) -> float:
        """P per value at an adversary's place: on the wire, or before the encoder."""
        return float(self.images.square().mean()) if before else self.power

    def _knowledge(self, stage: Adversary, chosen: list[int]) -> Knowledge:
        """An adversary's knowledge of the images tried."""
        codec, images, latents = self.codec, self.images, self.latents

        def entering(flat: Tensor) -> Tensor:
            bounded = flat if len(codec.image_shape) == 2 else flat.clamp(0.0, 1.0)
            return codec.encode(bounded.view(-1, *codec.image_shape))

        def pixels(flat: Tensor) -> Tensor:
            return codec.decode(entering(flat))

        before = stage.access.before_encoder
        loss = None
        if codec.has_attack_loss:
            loss = functools.partial(codec.attack_loss, sent=latents[chosen])
        return Knowledge(
            decode=pixels if before else codec.decode,
            source=images[chosen],
            clean=codec.decode(latents[chosen]),
            power=self._power(before),
            source_of=lambda message: images[torch.from_numpy(message % len(images))],
            clean_of=lambda message: codec.decode(latents[torch.from_numpy(message % len(images))]),
            messages=len(images),
            sent_of=lambda message: latents[torch.from_numpy(message % len(images))],
            encode=codec.encode,
            loss=after(entering, loss) if before else loss,
        )


@torch.no_grad()
def _latents(codec: Codec, images: Tensor) -> Tensor:
    return torch.cat([codec.posterior(part)[0] for part in torch.split(images, _CHUNK)])


def _require_same_fit(method: Method, label: str, what: str, one: Tensor, other: Tensor) -> None:
    """Refuse a ``fit`` whose result differs when it is repeated."""
    strict, same = replace(method, share=0.0), one.shape == other.shape
    one, other = (each[None] if each.dim() == 0 else each for each in (one, other))
    if changed := strict.apart(one, other) if same else (0, float("inf")):
        raise InputError(
            f"{label} answers differently when asked twice ({what} by {changed[1]:.2g}); a run must"
            f" be repeatable: {method.random}"
        )


@torch.no_grad()
def _crossed(stage: Stage, signal: Tensor, rows: Rows) -> Tensor:
    """A stage's output for two signals of one batch, which must meet the same channel.

    ``left`` and ``foresee`` are called as well: both may fail, or write into the rows.
    """
    first, second = stage.apply(signal, rows), stage.apply(signal, rows)
    if not torch.equal(first, second):
        again = float((first - second).abs().max())
        if not again <= 1e-6 * max(1.0, float(first.abs().max())):
            raise InputError(
                f"stage {stage.label}: the same signal in the same rows crosses it differently the"
                f" second time (by {again:.2g}), so attacked and undisturbed signals would meet"
                f" different channels; {_DRAWS}"
            )
    stage.left(rows)
    if type(stage).foresee is not Stage.foresee:
        stage.foreseen(signal, replace(rows, view=View(name="admission")))
    return first
