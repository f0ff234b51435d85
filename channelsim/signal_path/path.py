"""The signal plane: the path of one batch of tensors from source to metrics.

    encode ─► power ─► path stages (noise, adversary, …) ─► defence ─► decode ─► metrics

One `SignalPath` serves all arms that differ only in columns. It is a pure function of its batch:
three signals cross the path side by side and meet the same channel draws: the *passive* one (no
adversary), the *attacked* one and the *control* (matched noise in place of the adversary).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from channelsim.channels.power import Scaled
from channelsim.contracts.own_code import RowsError
from channelsim.contracts.parts import Metric
from channelsim.contracts.records import DECODED, Batch, Ints, Outcome
from channelsim.contracts.rows import Knowledge, Rows, after
from channelsim.contracts.sampling import noun_of
from channelsim.metrics.memory import remembering
from channelsim.signal_path.arrival import Arrival
from channelsim.signal_path.blocks import BlockCodec
from channelsim.signal_path.fallback import FallbackChoice
from channelsim.signal_path.injection import Column, Injected
from channelsim.signal_path.input_attack import attack_input
from channelsim.signal_path.measurement import Measurement, References
from channelsim.signal_path.reception import Defence, Received, judge, receive
from channelsim.signal_path.setting import Setting
from channelsim.signal_path.transmitter import KnownCodewords, Latents, Transmitter
from channelsim.signal_path.wire import ROLES, cross
from channelsim.sources import as_float
from channelsim.support.block_shape import BlockShape
from channelsim.support.errors import InputError


@dataclass(frozen=True)
class SignalPath:
    """The path of a group of arms.

    ``images``: the source [n, C, H, W], bytes or float32 in [0, 1]; ``index`` maps a message number
    to its row there. ``latents``: the distribution where codewords are drawn instead, and images
    are their clean reconstructions.
    ``thresholds``: the detector's, per arm. ``judged``: whether any arm of the run has a detector.
    ``shape``: of the blocks in which rows are computed.
    ``receivers``: the names of the receivers of this path, for errors. ``decodes``: whether any
    receiver of the run says if decoding succeeded.
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
    shape: BlockShape
    latents: Latents | None = None
    receivers: Sequence[str] = ()
    decodes: bool = False

    @torch.no_grad()
    def transmit(
        self, batch: Batch, fallbacks: FallbackChoice | None = None
    ) -> tuple[Outcome, dict[str, Tensor], dict[str, Tensor]]:
        """Send attempts through the path, padded to whole blocks.

        ``fallbacks``: images shown for rows that are not accepted (default: the fallback). Returns
        the measurements, and all images [N, C, H, W] and latents [N, K] by role. Latents are the
        inputs of the receiver's decoder: ``sent`` (undisturbed), ``passive``, ``received``; beside
        them what adversaries added where they stand, ``injected``, and their matched ``noise``.
        """
        return self.show(self.judge(batch), fallbacks)

    @torch.no_grad()
    def judge(self, batch: Batch) -> Arrival:
        """Send attempts up to the receiver's decision: over transmitter, wire and detector."""
        n = len(batch)
        full = batch[self.shape.filled(np.arange(n))]
        with remembering(), self._located(full.message):
            found = self._judged(full)
        return found if len(full) == n else found.only(slice(n))

    @torch.no_grad()
    def show(
        self, arrival: Arrival, fallbacks: FallbackChoice | None = None
    ) -> tuple[Outcome, dict[str, Tensor], dict[str, Tensor]]:
        """The rest of their way, decoder and measurement; see `transmit`."""
        n = len(arrival)
        filled = self.shape.filled(np.arange(n))
        full = arrival if len(filled) == n else arrival.only(filled)
        with remembering(), self._located(full.batch.message):
            columns, images = self._shown(full, fallbacks)
        latents = {
            "sent": arrival.sent,
            "passive": arrival.judged.latents["passive"],
            "received": arrival.judged.latents["attacked"],
            **arrival.added,
        }
        return (
            Outcome(arrival.accepted, {name: values[:n] for name, values in columns.items()}),
            {role: picture[:n] for role, picture in images.items()},
            latents,
        )

    def _judged(self, batch: Batch) -> Arrival:
        message, stages = batch.message, self.setting.stages
        codeword, scaled = self._codewords(message)
        knowledge: Knowledge | None = None
        sent = dict.fromkeys(ROLES, scaled)
        attacked: dict[str, Tensor] = {}
        before: Injected | None = None
        if self.setting.active:
            clean = self._codec.decode(codeword)
            source = clean if self.latents is not None else self._source(message)
            knowledge = self._knowledge(source, clean, codeword)
        if stages.before_encoder and self.latents is None:
            sent, attacked, before = self._attacked_input(scaled, batch, knowledge)
        signals, added, log = cross(
            self.setting,
            {role: one.wire for role, one in sent.items()},
            batch,
            knowledge and self._on_the_wire(knowledge, sent["attacked"]),
            self.shape,
            before,
        )
        judged = judge(
            signals, sent, batch, self.defence, self.thresholds, self.control, self.shape
        )
        log["score"] = judged.score
        return Arrival(batch, codeword, scaled.undo(scaled.wire), added, attacked, judged, log)

    def _shown(
        self, arrival: Arrival, fallbacks: FallbackChoice | None
    ) -> tuple[dict[str, Column], dict[str, Tensor]]:
        flags: dict[int, Tensor | None] = {}

        def decode(latent: Tensor) -> Tensor:
            image, flags[id(latent)] = self._codec.decoded(latent)
            return image

        received = receive(arrival.judged, decode)
        clean = self._codec.decode(arrival.codeword)
        source = clean if self.latents is not None else self._source(arrival.batch.message)
        log = dict(arrival.log)
        log["fallback_attempt"], fallback = self._fallback(fallbacks, received, arrival.accepted)
        target, wanted = self._target(arrival.batch, self._knowledge(source, clean))
        references = References(source, clean, received.decoded["passive"], target, wanted)
        measurement = Measurement(self.metrics, self.control, self.judged, self.shape)
        log |= measurement.columns(received, references, fallback)
        if self.decodes:
            log[DECODED] = _told(flags.get(id(arrival.judged.latents["attacked"])), len(arrival))
        return log, {
            "source": source,
            "clean": clean,
            "passive": references.passive,
            **arrival.images,
            "received": received.shown("attacked", fallback),
        }

    def _attacked_input(
        self, scaled: Scaled, batch: Batch, knowledge: Knowledge | None
    ) -> tuple[dict[str, Scaled], dict[str, Tensor], Injected]:
        """The wire signals by role; images that an attack on the input left, and what it added."""
        sent = dict.fromkeys(ROLES, scaled)
        source = self._source(batch.message) if knowledge is None else knowledge.source
        images, before = attack_input(
            self.setting,
            source,
            batch,
            knowledge,
            lambda pixels, message: self._encoded(pixels, message)[1],
        )
        sent |= {
            role: self._encoded(image, batch.message)[1]
            for role, image in images.items()
            if image is not source
        }
        return sent, {"attacked": images["attacked"]}, before

    def _on_the_wire(self, knowledge: Knowledge, sent: Scaled) -> Knowledge:
        """What is known at the end of the wire: ``decode`` takes a wire signal."""
        decode, guessed = self._codec.decode, self.transmitter.guessed

        def overheard_loss(wire: Tensor, heard: Tensor) -> Tensor:
            return self._codec.attack_loss(guessed(wire), guessed(heard))

        return replace(
            knowledge,
            decode=lambda wire: decode(sent.undo(wire)),
            overhear=lambda wire: decode(guessed(wire)),
            loss=after(sent.undo, knowledge.loss),
            overheard_loss=None if knowledge.loss is None else overheard_loss,
            some=lambda rows: self._on_the_wire(knowledge.only(rows), sent.only(rows)),
        )

    def _fallback(
        self, fallbacks: FallbackChoice | None, received: Received, accepted: Column
    ) -> tuple[Column, Tensor]:
        """The attempts whose images replace rejected ones (None: none), and these images."""
        if fallbacks is None:
            return np.full(len(accepted), None, dtype=object), self.defence.fallback
        needed = (~received.accepted_by_all).cpu().numpy()
        return fallbacks.choose(accepted, needed, received.decoded["attacked"])

    @cached_property
    def _known(self) -> KnownCodewords | None:
        """Where a receiver judges, a message may be sent again, and few are sent at once."""
        return None if self.defence.detector is None else KnownCodewords()

    @cached_property
    def _codec(self) -> BlockCodec:
        return BlockCodec(self.transmitter.codec, self.shape)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Images [N, C, H, W] of latents [N, K], in the path's blocks."""
        return self._codec.decode(latent)

    @property
    def largest(self) -> int:
        """The numbers of an image or of a codeword, whichever are more."""
        codec = self.transmitter.codec
        return max(math.prod(codec.image_shape), codec.latent_size)

    @property
    def control(self) -> bool:
        """Whether matched noise runs beside every attack."""
        return self.setting.control

    @torch.no_grad()
    def wanted(self, arm: int, message: Ints) -> Tensor | None:
        """The target images of an arm's adversary for some messages, [n, C, H, W].

        As `transmit` measures them; None where there is no target, or it is known only in the run.
        """
        batch = replace(Batch.planned(message), arm=np.full_like(message, arm))
        source, _, clean = self._sent(message)
        target, known = self._target(batch, self._knowledge(source, clean))
        return target if known.all() else None

    # --- the stations, in order -----------------------------------------------------------------

    def _knowledge(
        self, source: Tensor, clean: Tensor, codeword: Tensor | None = None
    ) -> Knowledge:
        """The knowledge of messages at the end of the wire; `decode` takes a latent.

        On the wire, its scale is undone first. ``codeword`` [N, K]: their latents, for a codec
        with a loss of its own.
        """
        codec = self._codec
        if not self.transmitter.codec.has_attack_loss:
            codeword = None
        return Knowledge(
            decode=codec.decode,
            source=source,
            clean=clean,
            power=self.setting.power,
            source_of=self._source,
            clean_of=self.clean,
            messages=self.count,
            sent_of=lambda message: self._codewords(message)[1].wire,
            encode=lambda images: self.transmitter.scaled(codec.encode(images)).wire,
            some=lambda rows: self._knowledge(
                source[rows], clean[rows], None if codeword is None else codeword[rows]
            ),
            shape=self.shape,
            loss=None if codeword is None else partial(codec.attack_loss, sent=codeword),
        )

    def _codewords(self, message: Ints) -> tuple[Tensor, Scaled]:
        """Latents z of some messages, and their wire signal.

        Of more than the smallest block's rows, every message is encoded once.
        """
        if len(message) <= self.shape.heights[0] and self._known is None:
            return self._encoded_messages(message)
        _, first, place = np.unique(message, return_index=True, return_inverse=True)
        order = np.argsort(first)  # as they come
        each, place = message[first[order]], np.argsort(order)[place]
        if self._known is not None:
            latent = self._known.of(each, lambda new: self._encoded_messages(new)[0])
            scaled = self.transmitter.scaled(latent)
        else:
            latent, scaled = self._encoded_messages(each)
        return latent[place], scaled.only(place)

    def _encoded_messages(self, message: Ints) -> tuple[Tensor, Scaled]:
        with self._located(message):
            if self.latents is not None:
                latent = self.latents.draw(self._first(message))
                return latent, self.transmitter.scaled(latent)
            return self._encoded(self._source(message), message)

    def _sent(self, message: Ints) -> tuple[Tensor, Scaled, Tensor]:
        """Source images x, the wire signal, and clean reconstructions g(z) of some messages."""
        with self._located(message):
            codeword, scaled = self._codewords(message)
            clean = self._codec.decode(codeword)
        return clean if self.latents is not None else self._source(message), scaled, clean

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
            noun = noun_of(self.transmitter.codec.image_shape)
            found = f"message {one} ({noun} {self.index[one]} of the source)"
        return f"{who}, {found}" if who else found

    def _encoded(self, images: Tensor, message: Ints) -> tuple[Tensor, Scaled]:
        return self.transmitter.send(images, self._first(message), self._codec)

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
        stage = self.setting.stages.wanting
        if stage is None:
            return None, np.ones(len(batch), dtype=bool)
        return stage.wanted(self.setting.rows(stage.label, batch, knowledge), knowledge)


def _told(ok: Tensor | None, rows: int) -> Column:
    """What a decoder says of its success, 1 or 0 [N]; None where it says nothing."""
    found: Column = np.full(rows, None, dtype=object)
    if ok is not None:
        found[:] = [int(one) for one in ok.tolist()]
    return found
