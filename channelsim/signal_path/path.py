"""The signal plane: the path of one batch of tensors from source to metrics.

    encode ─► power ─► path stages (noise, adversary, …) ─► defence ─► decode ─► metrics

One `SignalPath` serves all arms that differ only in columns. It is a pure function of its batch:
three signals cross the path side by side and meet the same channel draws: the *passive* one (no
adversary), the *attacked* one and the *control* (matched noise in place of the adversary).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.goals import TargetImage
from channelsim.adversaries.substitute import Replay
from channelsim.channels.power import Scaled
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import RowsError
from channelsim.contracts.parts import Detector, Metric
from channelsim.contracts.records import CONTROL_ACCEPTED, Batch, Ints, Outcome
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.metrics.memory import remembering
from channelsim.signal_path.fallback import FallbackChoice
from channelsim.signal_path.injection import Column, column_of
from channelsim.signal_path.input_attack import attack_input
from channelsim.signal_path.setting import Setting
from channelsim.signal_path.transmitter import Latents, Transmitter
from channelsim.signal_path.wire import ROLES, cross
from channelsim.sources import as_float
from channelsim.support.errors import InputError


@dataclass(frozen=True)
class Defence:
    """A receiver's run-time part: a fitted detector (or none) and the fallback image [C, H, W].

    ``last``: whether the last accepted image goes before the fallback.
    """

    detector: Detector | None
    state: Mapping[str, Tensor]
    fallback: Tensor
    last: bool = False


@dataclass(frozen=True)
class SignalPath:
    """The path of a group of arms.

    ``images``: the source [n, C, H, W], bytes or float32 in [0, 1]; ``index`` maps a message number
    to its row there. ``latents``: the distribution where codewords are drawn instead, and images
    are their clean reconstructions.
    ``thresholds``: the detector's, per arm. ``judged``: whether any arm of the run has a detector.
    ``receivers``: the names of the receivers of this path, for errors.
    """

    transmitter: Transmitter
    setting: Setting
    defence: Defence
    metrics: Sequence[Metric]
    count: int
    images: Tensor
    index: Ints
    thresholds: Column
    judged: bool
    block_rows: int
    latents: Latents | None = None
    receivers: Sequence[str] = ()

    @torch.no_grad()
    def transmit(
        self, batch: Batch, fallbacks: FallbackChoice | None = None
    ) -> tuple[Outcome, dict[str, Tensor], dict[str, Tensor]]:
        """Send at most ``block_rows`` attempts through the path, padded to that many.

        ``fallbacks``: images shown for rows that are not accepted (default: the fallback). Returns
        the measurements, and all images [N, C, H, W] and latents [N, K] by role. Latents are the
        inputs of the receiver's decoder: ``sent`` (undisturbed), ``passive``, ``received``.
        """
        n = len(batch)
        full = batch[np.minimum(np.arange(self.block_rows), n - 1)]  # padding repeats the last row
        with remembering(), self._located(full.message):
            columns, accepted, images, latents = self._cross(full, fallbacks)
        outcome = Outcome(accepted[:n], {name: values[:n] for name, values in columns.items()})
        return (
            outcome,
            {role: picture[:n] for role, picture in images.items()},
            {role: latent[:n] for role, latent in latents.items()},
        )

    def _cross(
        self, batch: Batch, fallbacks: FallbackChoice | None
    ) -> tuple[dict[str, Column], Column, dict[str, Tensor], dict[str, Tensor]]:
        codec = self.transmitter.codec
        source, scaled, clean = self._sent(batch.message)
        sent, tampered = dict.fromkeys(ROLES, scaled), {}
        knowledge = self._knowledge(source, clean)
        before = None
        if self.setting.input_attacks and self.latents is None:
            images, before = attack_input(
                self.setting,
                source,
                batch,
                knowledge,
                lambda pixels: self._encoded(pixels, batch.message)[1],
            )
            tampered = {"tampered": images["attacked"]}
            sent |= {
                role: self._encoded(image, batch.message)[1]
                for role, image in images.items()
                if image is not source
            }
        on_the_wire = replace(
            knowledge,
            decode=lambda wire: codec.decode(sent["attacked"].undo(wire)),
            overhear=lambda wire: codec.decode(self.transmitter.guessed(wire)),
        )
        wires = {role: one.wire for role, one in sent.items()}
        signals, log = cross(self.setting, wires, batch, on_the_wire, before)

        received: dict[str, Tensor] = {}
        decoded: dict[str, Tensor] = {}
        for role, signal in signals.items():
            twin = next((other for other in decoded if signals[other] is signal), None)
            if twin is None:
                received[role] = sent[role].undo(signal)
                decoded[role] = codec.decode(received[role])
            else:  # identical signals share one decoding
                received[role], decoded[role] = received[twin], decoded[twin]

        lost = torch.from_numpy(batch.lost > 0).to(source.device)
        accepted, score = self._judge(received["attacked"], batch.arm)
        arrived = accepted & ~lost
        allowed = arrived
        if self.control:
            allowed = self._judge(received["control"], batch.arm)[0] & ~lost
        passed = arrived
        if received["passive"] is not received["attacked"]:
            passed = self._judge(received["passive"], batch.arm)[0] & ~lost
        fallback = self.defence.fallback
        log["stand_in"] = np.full(len(batch), None, dtype=object)
        if fallbacks is not None:
            log["stand_in"], fallback = fallbacks.choose(
                arrived.cpu().numpy(),
                (~(arrived & allowed & passed)).cpu().numpy(),
                decoded["attacked"],
            )
        shown = _shown(decoded["attacked"], arrived, fallback)
        log["score"] = score
        references = {"source": source, "clean": clean, "passive": decoded["passive"]}
        target, wanted = self._target(batch, knowledge)
        compared = {**references, "target": target}
        for metric in self.metrics:
            log[f"quality_{metric.kind}"] = column_of(metric(clean, source))
        self._measure(log, "", shown, compared)
        if self.control:
            self._measure(log, "control_", _shown(decoded["control"], allowed, fallback), compared)
        alone = {"source": source, "target": target}
        if passed is arrived and decoded["passive"] is decoded["attacked"]:  # no adversary acted
            log |= {
                f"passive_{metric.kind}_{suffix}": log[f"{metric.kind}_{suffix}"]
                for metric in self.metrics
                for suffix in alone
            }
        else:
            self._measure(log, "passive_", _shown(decoded["passive"], passed, fallback), alone)
        if not wanted.all():
            targets = [name for name in log if name.endswith("_target")]
            log |= {name: np.where(wanted, log[name], np.nan) for name in targets}
        if self.judged and self.control:
            log[CONTROL_ACCEPTED] = allowed.cpu().numpy().astype(np.int64)
        if self.judged:
            for metric in self.metrics:
                name = f"{metric.kind}_source"
                known = shown is decoded["attacked"]
                log[f"decoded_{name}"] = (
                    log[name] if known else column_of(metric(decoded["attacked"], source))
                )
        latents = {"sent": scaled.undo(scaled.wire), "passive": received["passive"]}
        latents["received"] = received["attacked"]
        kept = {**references, **tampered, "received": shown}
        return log, arrived.cpu().numpy(), kept, latents

    @property
    def control(self) -> bool:
        """Whether matched noise runs beside every attack."""
        return self.setting.control

    @torch.no_grad()
    def wanted(self, arm: int, message: Ints) -> Tensor | None:
        """The target images of an arm's adversary for some messages, [n, C, H, W].

        As `transmit` measures them; None where there is no target, or it is known only in the run.
        """
        nothing = np.zeros((len(message), len(Batch.RECORDED)))
        nothing[:, Batch.RECORDED.index("replayed")] = -1
        batch = Batch.recorded(arm, nothing, message, 0)
        source, _, clean = self._sent(message)
        target, known = self._target(batch, self._knowledge(source, clean))
        return target if known.all() else None

    # --- the stations, in order -----------------------------------------------------------------

    def _knowledge(self, source: Tensor, clean: Tensor) -> Knowledge:
        """The knowledge of messages at the end of the wire; `decode` takes a latent.

        On the wire, its scale is undone first.
        """
        codec = self.transmitter.codec
        return Knowledge(
            decode=codec.decode,
            source=source,
            clean=clean,
            power=self.setting.power,
            source_of=self._source,
            clean_of=self.clean,
            messages=self.count,
            sent_of=lambda message: self._sent(message)[1].wire,
            encode=lambda images: self.transmitter.scaled(codec.encode(images)).wire,
        )

    def _sent(self, message: Ints) -> tuple[Tensor, Scaled, Tensor]:
        """Source images x, the wire signal, and clean reconstructions g(z) of some messages."""
        with self._located(message):
            if self.latents is not None:
                latent = self.latents.draw(self._first(message))
                clean = self.transmitter.codec.decode(latent)
                return clean, self.transmitter.scaled(latent), clean
            source = as_float(self.images[torch.from_numpy(self.index[message])])
            latent, scaled = self._encoded(source, message)
            return source, scaled, self.transmitter.codec.decode(latent)

    @contextmanager
    def _located(self, message: Ints) -> Iterator[None]:
        """Inside, an error about rows of a batch of these messages names them."""
        try:
            yield
        except RowsError as error:
            if error.of != len(message) or not len(message):
                raise
            rows = list(error.rows)
            raise InputError(f"{error.message}: {self._named(message[rows])}") from error

    def _named(self, message: Ints) -> str:
        """``receiver kld, message 20 (image 20 of the source)``."""
        who = " and ".join(dict.fromkeys(f"receiver {name}" for name in self.receivers))
        one, *others = dict.fromkeys(message.tolist())
        if others:
            found = f"{len(others) + 1} messages, {min(one, *others)} to {max(one, *others)}"
        elif self.latents is not None:
            found = f"message {one}"
        else:
            found = f"message {one} (image {self.index[one]} of the source)"
        return f"{who}, {found}" if who else found

    def _encoded(self, images: Tensor, message: Ints) -> tuple[Tensor, Scaled]:
        return self.transmitter.send(images, self._first(message))

    def _first(self, message: Ints) -> Rows:
        """The transmitter's rows; a codeword is the same at every attempt and in every arm."""
        nothing = np.zeros_like(message)
        return Rows(
            name="transmitter",
            seed=self.setting.seed,
            message=message,
            attempt=nothing,
            columns={},
            device=self.images.device,
        )

    def _source(self, message: Ints) -> Tensor:
        if self.latents is not None:
            return self.clean(message)
        return as_float(self.images[torch.from_numpy(self.index[message])])

    def clean(self, message: Ints) -> Tensor:
        """The undisturbed reconstructions g(z) of some messages, [n, C, H, W]."""
        return self._sent(message)[2]

    def _target(self, batch: Batch, knowledge: Knowledge) -> tuple[Tensor | None, Column]:
        """The target image of the first adversary that has one; those not off come first.

        And its rows, bool [N]: a replay attack has no target before it has recorded a codeword.
        """
        adversaries = [one for one in self.setting.stages if isinstance(one, Adversary)]
        for stage in sorted(adversaries, key=lambda one: one.budget.off):
            goal = getattr(stage, "goal", None)
            if isinstance(goal, TargetImage):
                rows = self.setting.rows(stage.label, batch, knowledge)
                return goal.image(rows, knowledge), np.ones(len(batch), dtype=bool)
            if isinstance(stage, Replay):
                return stage.wanted(batch.replayed, knowledge), batch.replayed >= 0
        return None, np.ones(len(batch), dtype=bool)

    def _judge(self, latent: Tensor, arm: Ints) -> tuple[Tensor, Column]:
        """Detector: accepted [N] and scores [N] (NaN without a detector)."""
        detector = self.defence.detector
        if detector is None:
            return torch.ones(len(latent), dtype=torch.bool, device=latent.device), np.full(
                len(latent), np.nan
            )
        score = column_of(detector.scores(latent, self.defence.state))
        return torch.from_numpy(score <= self.thresholds[arm]).to(latent.device), score

    def _measure(
        self,
        log: dict[str, Column],
        prefix: str,
        shown: Tensor,
        references: Mapping[str, Tensor | None],
    ) -> None:
        for metric in self.metrics:
            done: list[tuple[Tensor, Column]] = []
            for suffix, reference in references.items():
                if reference is None:
                    log[f"{prefix}{metric.kind}_{suffix}"] = np.full(len(shown), np.nan)
                    continue
                known = next((values for seen, values in done if seen is reference), None)
                values = column_of(metric(shown, reference)) if known is None else known
                done.append((reference, values))
                log[f"{prefix}{metric.kind}_{suffix}"] = values


def _shown(decoded: Tensor, accepted: Tensor, fallback: Tensor) -> Tensor:
    """The image shown to the user: decoded, or the fallback where it was not accepted."""
    if bool(accepted.all()):
        return decoded
    return torch.where(accepted[:, None, None, None], decoded, fallback)
