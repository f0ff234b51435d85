"""What a detector, a stage or an adversary of the user's own must show, with the codec it meets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.catalog.trials import Images, Method
from channelsim.errors import InputError
from channelsim.parts import Codec, Detector, Stage
from channelsim.rows import Channel, Knowledge, Rows
from channelsim.threat import Adversary

Again = Callable[[], Any]  # constructs a part a second time

_DRAWS = "draw random numbers with rows.normal or rows.uniform, which belong to the message"
_APART_S = 1e4  # between rows, so that each meets a channel of its own


def admit_detector(
    detector: Detector, name: str, codec: Codec, given: Images, train: Tensor, again: Again | None
) -> None:
    """Refuse a detector whose score of a row depends on others, or on who asks.

    ``train``: more training images, for its fit.
    """
    with torch.no_grad():
        benign = torch.cat([codec.posterior(part)[0] for part in torch.split(train, 64)])
        # Distinct latents in every dimension, however few images there are.
        rounds = max(2, -(-2 * codec.latent_size // len(benign)))
        generator = torch.Generator().manual_seed(0)
        spread = benign.std() if len(benign) > 1 else torch.tensor(1.0)
        benign = torch.cat([benign] * rounds)
        benign = benign + 0.1 * spread * torch.randn(benign.shape, generator=generator)
        latents = codec.posterior(given.images)[0]
        latents = latents + benign[: len(latents)] * 0.5

        def scoring(detector: Detector) -> Callable[[Sequence[int]], Tensor]:
            state = detector.fitted(benign)

            def answer(places: Sequence[int]) -> Tensor:
                return detector.scores(latents[list(places)], state)

            return answer

        method = Method(
            label=f"{name}.score",
            count=len(latents),
            answer=scoring(detector),
            random="remove randomness, or seed a generator inside the method",
            coupled="score every latent from itself and the state alone; what is known of others"
            " belongs into fit",
        )
        with given.tried():
            answered = method.check()
        refit = replace(method, label=f"{name}.fit and score", answer=scoring(detector))
        if changed := refit.apart(answered, refit.answer(range(method.count))):
            raise InputError(
                f"{name}.fit answers differently when asked twice (scores change by"
                f" {changed[1]:.2g}); a run must be repeatable: {method.random}"
            )
        if again is not None:
            method.agree(scoring(again()), answered)


def admit_stage(
    stage: Stage,
    name: str,
    codec: Codec,
    earlier: Sequence[Stage],
    given: Images,
    again: Again | None,
) -> None:
    """Refuse a stage, or an adversary, that couples rows or is not repeatable.

    ``earlier``: the stages before it; adversaries among them are left out.
    """
    images = given.images
    with torch.no_grad():
        latents = codec.posterior(images)[0]
    power = float(latents.double().square().mean()) or 1.0
    before = [one for one in earlier if not isinstance(one, Adversary)]

    def crossing(last: Stage) -> Callable[[Sequence[int]], Tensor]:
        @torch.no_grad()
        def answer(places: Sequence[int]) -> Tensor:
            signal, channel = latents[list(places)], Channel()
            rows = _rows(last, places, latents, power)
            for one in before:
                seen = _rows(one, places, latents, power)
                seen.channel = channel
                signal, channel = one.apply(signal, seen), one.left(seen)
            rows.channel = channel
            if not isinstance(last, Adversary):
                return _twice(last, signal, rows)
            if last.access.place == "before_encoder":
                signal = images[list(places)].flatten(1)
            rows.knowledge = _knowledge(last, codec, images, latents, places, power)
            return last.attack(signal, rows).delta

        return answer

    attack = isinstance(stage, Adversary)
    method = Method(
        label=f"{name}.{'perturb' if attack else 'cross'}",
        count=len(images),
        answer=crossing(stage),
        random=_DRAWS,
        coupled="every row must be computed from itself alone (no mean or maximum over"
        " dimension 0, no place in the block)",
        share=0.5 if attack else 0.0,
    )
    with given.tried():
        answered = method.check()
    if again is not None:
        method.agree(crossing(again()), answered)


def _twice(stage: Stage, signal: Tensor, rows: Rows) -> Tensor:
    """What it makes of two signals of one batch, which must meet the same channel."""
    first = stage.apply(signal, rows)
    if not torch.equal(first, stage.apply(signal, rows)):
        again = float((first - stage.apply(signal, rows)).abs().max())
        if not again <= 1e-6 * max(1.0, float(first.abs().max())):
            raise InputError(
                f"stage {stage.label}: the same signal in the same rows crosses it differently the"
                f" second time (by {again:.2g}), so attacked and undisturbed signals would meet"
                f" different channels; {_DRAWS}"
            )
    return first


def _rows(stage: Stage, places: Sequence[int], latents: Tensor, power: float) -> Rows:
    numbers = np.array(places, dtype=np.int64)
    values = stage.column_values()
    return Rows(
        name=f"admission/{stage.label}",
        seed=0,
        message=numbers,
        attempt=np.zeros_like(numbers),
        columns={name: torch.full((len(numbers),), value) for name, value in values.items()},
        power=power,
        mean=latents.mean(dim=0),
        began_s=1e6 + _APART_S * numbers.astype(np.float64),
        symbol_s=np.full(len(numbers), 1e-6),
        replayed=np.maximum(numbers - 1, 0),
        exact={name: np.full(len(numbers), value) for name, value in values.items()},
    )


def _knowledge(
    stage: Adversary,
    codec: Codec,
    images: Tensor,
    latents: Tensor,
    places: Sequence[int],
    power: float,
) -> Knowledge:
    """What an adversary may use of the images tried."""
    chosen = list(places)

    def pixels(flat: Tensor) -> Tensor:
        return codec.decode(codec.encode(flat.clamp(0.0, 1.0).view(-1, *codec.image_shape)))

    before = stage.access.place == "before_encoder"
    return Knowledge(
        decode=pixels if before else codec.decode,
        source=images[chosen],
        clean=codec.decode(latents[chosen]),
        power=float(images.square().mean()) if before else power,
        source_of=lambda message: images[torch.from_numpy(message % len(images))],
        clean_of=lambda message: codec.decode(latents[torch.from_numpy(message % len(images))]),
        messages=len(images),
        sent_of=lambda message: latents[torch.from_numpy(message % len(images))],
        encode=codec.encode,
    )
