"""An adversary's view of a signal: what it sees, assumes and reaches (`Access`, `Activity`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.complex_symbols import amplified, symbol_count
from channelsim.contracts.parts import Stage
from channelsim.contracts.records import Batch, Ints
from channelsim.contracts.rows import Channel, Images, Knowledge, Rows, View, after
from channelsim.signal_path.injection import row_energy
from channelsim.signal_path.setting import Setting
from channelsim.support import units
from channelsim.support.errors import InputError

BEFORE_ALL = -1  # index of an adversary before the encoder


@dataclass(frozen=True)
class Foresight:
    """One adversary on one batch. ``place``: its index among the stages."""

    setting: Setting
    place: int
    stage: Adversary
    batch: Batch

    def aim(
        self, signal: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, Tensor | None, Knowledge]:
        """The signal [N, K] that it assumes, its reach (None: everywhere), and its knowledge.

        ``signal``: the true one. ``knowledge``: of an adversary at the end of the wire. Over the
        air, none of the three depends on symbols that it does not hear.
        """
        reach = self.reach(signal, rows)
        if self.stage.access.place != "over_the_air":
            return signal, reach, self.knows(reach, knowledge)
        signal = self._heard(signal)
        heard = None
        clean = torch.full_like(knowledge.clean, torch.nan)
        if "codeword" in self.stage.knows:  # knowledge that it does not declare is withheld
            heard = self.through(signal, self.behind(None)).detach()
            clean = _unheard(knowledge, heard).decode(heard).detach()
        return signal, reach, self.knows(reach, self._masked(knowledge, heard, clean))

    def _masked(self, knowledge: Knowledge, heard: Tensor | None, clean: Tensor) -> Knowledge:
        """The knowledge of one that takes ``clean`` for the images, and sees no amplitude.

        ``heard``: the signal that it takes for the one sent, at the end of the wire; None: it is
        told none.
        """

        def some(rows: Ints) -> Knowledge:
            part = None if heard is None else heard[rows]
            return self.only(rows)._masked(knowledge.only(rows), part, clean[rows])

        return replace(
            _unheard(knowledge, heard),
            clean=clean,
            source=clean,
            source_of=self._of_others(knowledge.source_of),
            clean_of=self._of_others(knowledge.clean_of),
            sent_of=knowledge.sent_of and self._of_others(knowledge.sent_of),
            some=some,
        )

    def only(self, rows: Ints) -> Foresight:
        """The same adversary on some rows of the batch."""
        return replace(self, batch=self.batch[rows])

    def _of_others(self, ask: Images) -> Images:
        """The same of other messages; NaN for a row's own, unseen over the air."""

        def asked(message: Ints) -> Tensor:
            values = ask(message)
            if len(message) != len(self.batch):
                raise InputError(
                    f"adversary {self.stage.label}: asks for {len(message)} other messages, and"
                    f" over the air one is allowed per row ({len(self.batch)})"
                )
            own = torch.from_numpy(message == self.batch.message).to(values.device)
            shape = (-1, *[1] * (values.ndim - 1))
            return torch.where(own.view(shape), torch.full_like(values, torch.nan), values)

        return asked

    def reach(self, signal: Tensor, rows: Rows) -> Tensor | None:
        """Mask of the signal [N, ·] where it may inject (pixels: all or none); None: everywhere."""
        stage, size, width = self.stage, len(self.setting.mean), signal.shape[1]
        if not stage.restricted:
            return None
        assert rows.symbol_s is not None
        labels = self.setting.labels
        reach = stage.reach(
            rows.times_s(symbol_count(size)),
            rows.symbol_s,
            rows.message,
            None if labels is None else labels[rows.message],
        )
        if stage.activity.louder_than_db is not None:
            heard = signal[:, : 2 * stage.access.listen_symbols or width]
            usual = self.setting.pixel_power if self.place == BEFORE_ALL else self.setting.power
            power = row_energy(heard) / heard.shape[1] / usual
            reach &= (power > units.from_db(stage.activity.louder_than_db))[:, None]
        if self.place == BEFORE_ALL:
            values = np.repeat(reach[:, :1], width, axis=1)
        else:
            values = np.repeat(reach, 2, axis=1)[:, :width]
        return torch.from_numpy(values).to(signal.device)

    def knows(
        self, reach: Tensor | None, knowledge: Knowledge, draw: int | None = None
    ) -> Knowledge:
        """The knowledge of an adversary at the end of the wire, moved to this place."""
        behind = self.behind(draw)
        gains = self._own_gains(draw)
        sent_of, encode = knowledge.sent_of, knowledge.encode

        def decode(signal: Tensor) -> Tensor:
            return knowledge.decode(self.through(signal, behind))

        def carry(delta: Tensor) -> Tensor:
            inside = delta if reach is None else torch.where(reach, delta, torch.zeros_like(delta))
            return inside if gains is None else amplified(inside, gains)

        def some(rows: Ints) -> Knowledge:
            part = None if reach is None else reach[rows]
            return self.only(rows).knows(part, knowledge.only(rows), draw)

        return replace(
            knowledge,
            decode=decode if behind else knowledge.decode,
            loss=after(lambda signal: self.through(signal, behind), knowledge.loss),
            some=some,
            carry=carry,
            reach=reach,
            draws=self.stage.access.expectation,
            sent_of=sent_of and (lambda message: self.arriving(sent_of(message))),
            encode=encode and (lambda images: self.arriving(encode(images))),
            imagine=lambda index: self.knows(reach, knowledge, index),
        )

    def behind(self, draw: int | None) -> list[tuple[Stage, Rows]]:
        """The stages behind its place that it foresees, as it sees them."""
        stages = self.setting.stages.behind(self.place)
        if draw is None and all(type(one).foresee is Stage.foresee for one in stages):
            return []
        seen = self._seen(draw)
        return seen[len(seen) - len(stages.impairments) :]

    @staticmethod
    def through(signal: Tensor, stages: list[tuple[Stage, Rows]]) -> Tensor:
        """A signal behind some stages, as it foresees it."""
        for stage, rows in stages:
            signal = stage.foreseen(signal, rows)
        return signal

    def _view(self, draw: int | None) -> View:
        access = self.stage.access
        return View(self.stage.label, access.channel, access.stale_s or 0.0, draw)

    def _seen(self, draw: int | None) -> list[tuple[Stage, Rows]]:
        """All impairments of the path, as it sees them."""
        channel, view = Channel(), self._view(draw)
        seen: list[tuple[Stage, Rows]] = []
        for one in self.setting.stages.impairments:
            rows = self.setting.rows(one.label, self.batch, channel=channel, view=view)
            seen.append((one, rows))
            channel = one.left(rows)
        return seen

    def _heard(self, signal: Tensor) -> Tensor:
        """The codeword assumed over the air: the symbols heard, else the mean codeword."""
        believed = self.arriving(self.setting.mean.expand_as(signal))
        heard = 2 * self.stage.access.listen_symbols
        return torch.cat([signal[:, :heard], believed[:, heard:]], dim=1) if heard else believed

    def arriving(self, sent: Tensor) -> Tensor:
        """A codeword as it foresees it to arrive at its place."""
        before = len(self.setting.stages.up_to(max(0, self.place)).impairments)
        return self.through(sent, self._seen(None)[:before]) if before else sent

    def _own_gains(self, draw: int | None) -> Tensor | None:
        own = self.stage.access.own_path
        if own is None:
            return None
        rows = self.setting.rows(self.stage.label, self.batch, view=self._view(draw))
        return own.gains(rows, symbol_count(len(self.setting.mean)))


def _unheard(knowledge: Knowledge, heard: Tensor | None) -> Knowledge:
    """The same without knowledge of a codeword's amplitude, nor of more of it than was heard."""
    of_two = knowledge.overheard_loss

    def loss(wire: Tensor) -> Tensor:
        assert of_two is not None
        return wire.sum(dim=1) * torch.nan if heard is None else of_two(wire, heard)

    return replace(
        knowledge,
        decode=knowledge.overhear or knowledge.decode,
        loss=None if of_two is None else loss,
    )


def carried(stage: Adversary, delta: Tensor, rows: Rows) -> Tensor:
    """δ as it is added to the signal."""
    own = stage.access.own_path
    return delta if own is None else amplified(delta, own.gains(rows, symbol_count(delta.shape[1])))
