"""The stages of a path, in order, and which of them are adversaries."""

from __future__ import annotations

import math

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.goal import Wanted
from channelsim.contracts.parts import Stage
from channelsim.support import units


class Stages(tuple[Stage, ...]):
    """A path: adversaries, and impairments (all other stages: what the channel does by itself)."""

    __slots__ = ()

    @property
    def adversaries(self) -> tuple[Adversary, ...]:
        """All adversaries, those without a budget too."""
        return tuple(stage for stage in self if isinstance(stage, Adversary))

    @property
    def by_place(self) -> dict[int, Adversary]:
        """The adversaries by their index among all stages, in order."""
        return {at: stage for at, stage in enumerate(self) if isinstance(stage, Adversary)}

    @property
    def active(self) -> tuple[Adversary, ...]:
        """The adversaries whose budget is not zero."""
        return tuple(one for one in self.adversaries if not one.budget.off)

    @property
    def before_encoder(self) -> tuple[Adversary, ...]:
        """The adversaries that change the image."""
        return tuple(one for one in self.adversaries if one.access.before_encoder)

    @property
    def impairments(self) -> tuple[Stage, ...]:
        """The stages that are no adversaries."""
        return tuple(stage for stage in self if not isinstance(stage, Adversary))

    @property
    def wanting(self) -> Adversary | None:
        """Of the adversaries that want an image, the first active one, else the first."""
        wanting = (one for one in self.adversaries if isinstance(one.wants, Wanted))
        return min(wanting, key=lambda one: one.budget.off, default=None)

    @property
    def snr_db(self) -> float | None:
        """The nominal SNR in dB: of all impairments that state an ``snr_db``, their noise added.

        As in the ledger's column: of a gain |h| = 1, without impulses, quantisation or phase noise.
        None where no stage states one.
        """
        stated = [one.column_values().get("snr_db", math.nan) for one in self.impairments]
        values = [snr_db for snr_db in stated if not math.isnan(snr_db)]
        if len(values) < 2:
            return values[0] if values else None
        return -units.db(math.fsum(1.0 / units.from_db(snr_db) for snr_db in values))

    def up_to(self, place: int) -> Stages:
        """The stages before a place."""
        return Stages(self[:place])

    def behind(self, place: int) -> Stages:
        """The stages after a place."""
        return Stages(self[place + 1 :])
