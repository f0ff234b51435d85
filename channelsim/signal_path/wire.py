"""The wire: three signals cross the stages side by side, and adversaries act at their places.

The *passive* signal meets no adversary, the *attacked* one meets them all, the *control* meets
matched noise in their place; all three meet the same channel draws. The limits of an adversary's
knowledge, view and reach (`Access`, `Activity`) are applied here, before its attack is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.control import matched_control
from channelsim.contracts import records
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.parts import Stage
from channelsim.contracts.records import Batch
from channelsim.contracts.rows import Channel, Knowledge, Rows
from channelsim.signal_path.adversary_view import Foresight, carried
from channelsim.signal_path.blocks import block_by_block, joined, of_adversary
from channelsim.signal_path.injection import (
    Column,
    Injected,
    column_of,
    known,
    row_energy,
    total,
    worse,
)
from channelsim.signal_path.setting import Setting
from channelsim.support import units
from channelsim.support.block_shape import BlockShape

ROLES = ("passive", "attacked", "control")


def cross(
    setting: Setting,
    sent: Mapping[str, Tensor],
    batch: Batch,
    knowledge: Knowledge | None,
    shape: BlockShape | None = None,
    before: Injected | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Column]]:
    """Take the signals of all `ROLES` over the stages: signals, what was added, and columns.

    Added are the sum of the perturbations, ``injected``, and of their matched ``noise``, [N, ·].

    ``knowledge``: of an adversary at the end of the wire; None where none is active. ``shape``: of
    the blocks, default one. ``before``: the injection before the encoder.
    """
    passive, attacked, control = (sent[role] for role in ROLES)
    clean = passive
    n, size = clean.shape
    delta, noise = torch.zeros_like(clean), torch.zeros_like(clean)
    verdict: Column | None = None
    flipped: Column | None = None
    noise_to_signal = np.zeros(n)
    parts = (shape or BlockShape(n)).parts(n)
    channels = [Channel()] * len(parts)  # what the stages so far left, block by block
    for place, stage in enumerate(setting.stages):
        if isinstance(stage, Adversary):
            if stage.access.before_encoder:
                continue
            if not setting.active or stage.budget.off:
                verdict = worse(verdict, np.full(n, records.OFF, dtype=object))
                continue
            assert knowledge is not None, "an active adversary knows something"
            found = _injection(
                setting, place, batch, (attacked, control), knowledge, channels, parts
            )
            # A δ of double precision may replace a codeword to the last bit.
            attacked = (attacked + found.carried).to(clean.dtype)
            delta = delta + found.delta
            verdict = worse(verdict, found.verdict)
            flipped = total(flipped, found.flipped_bits)
            if found.shadow is not None:
                control = (control + found.shadow).to(clean.dtype)
                noise = noise + found.shadow
            continue
        rows = [
            setting.rows(stage.label, batch[part], channel=channel)
            for part, channel in zip(parts, channels, strict=True)
        ]
        met = passive
        passive = _behind(stage, met, rows, parts)
        attacked = passive if attacked is met else _behind(stage, attacked, rows, parts)
        control = passive if control is met else _behind(stage, control, rows, parts)
        channels = [stage.left(some) for some in rows]
        Channel.joined(channels, f"stage {stage.label}: ")  # which it refuses if it cannot
        if "snr_db" in rows[0].columns:
            nominal = setting.columns[stage.label]["snr_db"][batch.arm]
            noise_to_signal = noise_to_signal + 1.0 / units.from_db(nominal)

    channel = Channel.joined(channels)

    own = row_energy(clean)
    if before is None:
        injected = Injected(delta, own, setting.power, verdict, flipped)
    else:
        injected = before
    at_receiver = np.where(batch.lost > 0, 0.0, row_energy(attacked - passive))
    nothing = np.full(n, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        log: dict[str, Column] = {
            "snr_db": known(-units.db(noise_to_signal)),
            "snr_measured_db": known(units.db(size * setting.power / row_energy(passive - clean))),
            "snr_row_db": known(units.db(own / (size * setting.power * noise_to_signal))),
            "gain_db": nothing
            if channel.faded is None
            else known(units.db(column_of(channel.faded))),
            "erased": nothing
            if channel.erased is None
            else column_of(channel.erased.sum(dim=1).double()),
            "psr_received_db": known(units.db(units.psr(at_receiver, setting.power, size))),
            **injected.columns(),
        }
    if before is not None and before.noise is not None:
        noise = before.noise
    added = {"injected": injected.delta, "noise": noise}
    return {"passive": passive, "attacked": attacked, "control": control}, added, log


def _behind(stage: Stage, signal: Tensor, rows: Sequence[Rows], parts: Sequence[slice]) -> Tensor:
    """A signal behind a stage, crossed block by block."""
    return joined(
        block_by_block(
            lambda number, part: stage.apply(signal[part], rows[number]), parts, len(signal)
        )
    )


@dataclass(frozen=True, slots=True)
class _Injection:
    """What an adversary injects into a batch, and its control's: as it is added to the signal."""

    delta: Tensor
    carried: Tensor
    shadow: Tensor | None
    verdict: Column
    flipped_bits: Column | None


def _injection(
    setting: Setting,
    place: int,
    batch: Batch,
    signals: tuple[Tensor, Tensor],
    knowledge: Knowledge,
    channels: Sequence[Channel],
    parts: Sequence[slice],
) -> _Injection:
    """One adversary's injection: block by block, unless it takes several at once.

    ``signals``: the attacked one and the control as they arrive at its place.
    """

    def of(numbers: slice, part: slice, known: Knowledge) -> _Injection:
        met = signals[0][part], signals[1][part]
        behind = Channel.joined(channels[numbers])
        return _of_rows(setting, place, batch[part], met, known, behind)

    stage = setting.stages.by_place[place]
    found = of_adversary(stage, knowledge, parts, len(batch), of)
    shadows = [one.shadow for one in found if one.shadow is not None]
    flips = [one.flipped_bits for one in found if one.flipped_bits is not None]
    return _Injection(
        joined([one.delta for one in found]),
        joined([one.carried for one in found]),
        joined(shadows) if shadows else None,
        np.concatenate([one.verdict for one in found]),
        np.concatenate(flips) if flips else None,
    )


def _of_rows(
    setting: Setting,
    place: int,
    batch: Batch,
    signals: tuple[Tensor, Tensor],
    knowledge: Knowledge,
    channel: Channel,
) -> _Injection:
    """One adversary's injection into some rows, and its control's."""
    stage, (attacked, control) = setting.stages.by_place[place], signals
    rows = setting.rows(stage.label, batch, channel=channel)
    foresight = Foresight(setting, place, stage, batch)
    believed, reach, rows.knowledge = foresight.aim(attacked, rows, knowledge)
    found = stage.attack(believed, rows, reach)
    shadow = None
    if setting.control:
        shadow = stage.shadow(control, found, rows)
        if shadow is None:
            shadow = matched_control(found.delta, stage.budget.ball, rows, reach)
        shadow = carried(stage, shadow, rows)
    added = carried(stage, found.delta, rows)
    return _Injection(found.delta, added, shadow, found.verdict, found.flipped_bits)
