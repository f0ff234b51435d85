"""The receiver: three signals are undone, decoded and judged, and its user is shown one image each.

Of every attempt the *attacked* signal is what arrives; the *passive* one and the *control* tell
what the same receiver would have shown without the adversary, and with matched noise in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from channelsim.channels.power import Scaled
from channelsim.contracts.parts import Detector
from channelsim.contracts.records import Batch
from channelsim.signal_path.blocks import SomeRows, block_by_block, joined
from channelsim.signal_path.injection import Column, column_of
from channelsim.support.block_shape import BlockShape


@dataclass(frozen=True)
class Defence:
    """A receiver's run-time part: a fitted detector (or none) and the fallback image [C, H, W].

    ``last``: whether the last accepted image goes before the fallback.
    """

    detector: Detector | None
    state: Mapping[str, Tensor]
    fallback: Tensor
    last: bool = False

    def judge(self, latent: Tensor, threshold: Column, shape: BlockShape) -> tuple[Tensor, Column]:
        """Whether latents [N, K] are accepted, bool [N], and their scores (NaN: no detector)."""
        detector = self.detector
        if detector is None:
            return torch.ones(len(latent), dtype=torch.bool, device=latent.device), np.full(
                len(latent), np.nan
            )
        scores = block_by_block(
            lambda _, part: detector.scores(latent[part], self.state),
            shape.parts(len(latent)),
            len(latent),
        )
        score = column_of(joined(scores))
        return torch.from_numpy(score <= threshold).to(latent.device), score


@dataclass(frozen=True)
class Judged:
    """The signals in front of the decoder, by role: latents [N, K], and what was accepted.

    ``accepted``: bool [N], not lost on the link and not rejected. ``score``: the detector's of the
    attacked signal, [N].
    """

    latents: Mapping[str, Tensor]
    accepted: Mapping[str, Tensor]
    score: Column

    def only(self, some: SomeRows) -> Judged:
        """Some of the rows."""
        return Judged(some.each(self.latents), some.each(self.accepted), self.score[some.rows])


@dataclass(frozen=True)
class Received(Judged):
    """The signals behind the decoder: their images ``decoded`` [N, C, H, W] too, by role."""

    decoded: Mapping[str, Tensor]

    @property
    def untouched(self) -> bool:
        """Whether the attacked signal is the passive one: no adversary acted."""
        same = self.accepted["passive"] is self.accepted["attacked"]
        return same and self.decoded["passive"] is self.decoded["attacked"]

    @property
    def accepted_by_all(self) -> Tensor:
        """Rows that are accepted in every role, bool [N]."""
        attacked, control, passive = (
            self.accepted[role] for role in ("attacked", "control", "passive")
        )
        return attacked & control & passive

    def only(self, some: SomeRows) -> Received:
        """Some of the rows."""
        judged = super().only(some)
        decoded = some.each(self.decoded)
        return Received(judged.latents, judged.accepted, judged.score, decoded)

    def shown(self, role: str, fallback: Tensor) -> Tensor:
        """The images that the user sees: decoded, or the fallback where not accepted."""
        decoded, accepted = self.decoded[role], self.accepted[role]
        if bool(accepted.all()):
            return decoded
        rows = accepted.view(-1, *[1] * (decoded.dim() - 1))
        return torch.where(rows, decoded, fallback)


def judge(
    signals: Mapping[str, Tensor],
    sent: Mapping[str, Scaled],
    batch: Batch,
    defence: Defence,
    thresholds: Column,
    control: bool,
    shape: BlockShape,
) -> Judged:
    """Judge the signals at the end of the wire.

    ``sent``: whose scale each is undone by. ``thresholds``: the detector's, per arm. Without a
    ``control`` its role is judged as the attacked one.
    """
    latents: dict[str, Tensor] = {}
    for role, signal in signals.items():
        twin = next((other for other in latents if signals[other] is signal), None)
        latents[role] = sent[role].undo(signal) if twin is None else latents[twin]

    arrived = torch.from_numpy(batch.lost == 0).to(latents["attacked"].device)
    threshold = thresholds[batch.arm]
    accepted, score = defence.judge(latents["attacked"], threshold, shape)
    attacked = accepted & arrived
    judged = {"attacked": attacked, "control": attacked, "passive": attacked}
    if control:
        judged["control"] = defence.judge(latents["control"], threshold, shape)[0] & arrived
    if latents["passive"] is not latents["attacked"]:
        judged["passive"] = defence.judge(latents["passive"], threshold, shape)[0] & arrived
    return Judged(latents, judged, score)


def receive(judged: Judged, decode: Callable[[Tensor], Tensor]) -> Received:
    """Decode what was judged."""
    decoded: dict[str, Tensor] = {}
    for role, latent in judged.latents.items():
        # Signals that never parted share one decoding.
        twin = next((other for other in decoded if judged.latents[other] is latent), None)
        decoded[role] = decode(latent) if twin is None else decoded[twin]
    return Received(judged.latents, judged.accepted, judged.score, decoded)
