"""Adversaries that send another codeword in place of the one they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from channelsim.adversaries.goals import TargetImage
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity, Bools
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.goal import Wanted
from channelsim.contracts.parts import Count, part
from channelsim.contracts.rows import Knowledge, Rows


class _Substitution(Adversary):
    """Sends another codeword: δ = the one to send − the held one, within its budget."""

    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon"}

    @property
    def effort(self) -> Mapping[str, Any]:
        """None: it computes no attack."""
        return {"gradients": 0, "queries": 0}

    def _in_place_of(self, signal: Tensor, wanted: Tensor) -> tuple[Tensor, np.ndarray]:
        """δ [N, K] from a signal to another, and verdicts: idle where the two are the same."""
        # In double precision, so that signal + δ is the wanted codeword to the last bit.
        delta = wanted.double() - signal.double()
        same = (delta == 0).all(dim=1).cpu().numpy()
        return delta, np.where(same, records.IDLE, records.OK).astype(object)


def _on_the_wire(stage: Adversary, why: str) -> None:
    if stage.access.before_encoder:
        raise ValueError(f"{stage.kind} {why}, so it stands on the wire; use place: relay")


@part
class Replay(_Substitution):
    """A relay that sends an old codeword in place of the one it holds: δ = recorded − held.

    ``back`` ≥ 1, default 1: it sends the codeword that is so many transmissions older: of all on
    this link and arm, repeats included, in the order of simulated time in which they began. It
    records them all, also those that its ``activity`` spares and those that the link loses. Where
    none is that old yet, or the old one is this message's own earlier attempt, the row's verdict is
    ``idle``. The ledger's column ``replayed`` has the old message, and ``_target`` metrics compare
    the image shown with that message's undisturbed one.

    A codeword is recorded *as it was sent*: without the noise in which it was heard, and where the
    path fades in front of the adversary it is sent with the fading expected now. The gain of an own
    path is not undone. An amplitude that the receiver knows (power mode ``codeword``) stays that of
    the replaced message.

    ``budget``: as for every adversary; one too small keeps δ's direction (L2, PSR) and cuts its
    length. The codeword is certainly intact where 10^(ε/10) ≥ (a + b)² for codewords of a and b
    times the amplitude √(K·P): 6.1 dB in power mode ``codeword``, without noise in front of the
    adversary; ``psr_db: 20`` as long as none has 25 times the mean energy. ``access``,
    ``activity``: see `Access` and `Activity`. The defaults are the project's.
    """

    kind: ClassVar[str] = "replay"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon", "back": "back"}

    name: str = ""
    back: Count = 1
    budget: Budget
    access: Access = Access()
    activity: Activity = Activity()

    @model_validator(mode="after")
    def _consistent(self) -> Replay:
        _on_the_wire(self, "sends codewords that it recorded")
        return self

    @property
    def recall(self) -> int:
        """The number of past transmissions that it remembers."""
        return self.back

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge."""
        return ("codeword", "earlier codewords")

    @property
    def wants(self) -> Wanted:
        """The image of the message whose codeword it sends."""
        return Wanted("codec")

    def wanted(self, rows: Rows, knowledge: Knowledge) -> tuple[Tensor, Bools]:
        """What that message shows undisturbed; of rows with a recording."""
        assert rows.replayed is not None
        return knowledge.clean_of(np.maximum(rows.replayed, 0)), rows.replayed >= 0

    def perturb(
        self,
        signal: Tensor,
        radius: Tensor,  # noqa: ARG002  what is too long is cut outside
        rows: Rows,
        knowledge: Knowledge,
    ) -> tuple[Tensor, np.ndarray]:
        """The old codeword minus the held one."""
        assert knowledge.sent_of is not None
        replayed = rows.replayed
        if replayed is None or (replayed < 0).all():
            return torch.zeros_like(signal), np.full(len(signal), records.IDLE, dtype=object)
        recorded = knowledge.sent_of(np.maximum(replayed, 0))
        there = torch.from_numpy((replayed >= 0) & (replayed != rows.message)).to(signal.device)
        return self._in_place_of(signal, torch.where(there[:, None], recorded, signal))


@part
class Substitute(_Substitution):
    """A relay that sends the codeword of an image of its choice, by the transmitter's encoder.

    δ = E(target) − held, with the codec's mean codeword where it sends samples. ``goal``: the
    image, see `TargetImage` (nothing is minimised, so ``loss`` has no effect). ``budget``: see
    `Replay` for one that keeps the codeword intact. ``access``, ``activity``: see `Access` and
    `Activity`.
    """

    kind: ClassVar[str] = "substitute"

    name: str = ""
    goal: TargetImage
    budget: Budget
    access: Access = Access()
    activity: Activity = Activity()

    @model_validator(mode="after")
    def _consistent(self) -> Substitute:
        _on_the_wire(self, "sends codewords of its own")
        return self

    @property
    def knows(self) -> Sequence[str]:
        """Its knowledge."""
        return ("codeword", "encoder", *self.goal.needs())

    def perturb(
        self,
        signal: Tensor,
        radius: Tensor,  # noqa: ARG002  what is too long is cut outside
        rows: Rows,
        knowledge: Knowledge,
    ) -> tuple[Tensor, np.ndarray]:
        """The codeword of the target minus the held one."""
        assert knowledge.encode is not None
        target = self.goal.image(rows, knowledge)
        if target.dim() == 4:  # an image; a signal has no bounds
            target = target.clamp(0.0, 1.0)
        return self._in_place_of(signal, knowledge.encode(target))
