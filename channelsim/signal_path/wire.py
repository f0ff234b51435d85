"""The wire: three signals cross the stages side by side, and adversaries act at their places.

The *passive* signal meets no adversary, the *attacked* one meets them all, the *control* meets
matched noise in their place; all three meet the same channel draws. The limits of an adversary's
knowledge, view and reach (`Access`, `Activity`) are applied here, before its attack is called.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.control import matched_control
from channelsim.contracts import records
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.records import Batch
from channelsim.contracts.rows import Channel, Knowledge
from channelsim.signal_path.adversary_view import Foresight, carried
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

ROLES = ("passive", "attacked", "control")


def cross(
    setting: Setting,
    sent: Mapping[str, Tensor],
    batch: Batch,
    knowledge: Knowledge,
    before: Injected | None = None,
) -> tuple[dict[str, Tensor], dict[str, Column]]:
    """Take the signals of all `ROLES` over the stages; log noise and injections.

    ``knowledge``: of an adversary at the end of the wire. ``before``: the injection before the
    encoder.
    """
    passive, attacked, control = (sent[role] for role in ROLES)
    clean = passive
    n, size = clean.shape
    delta = torch.zeros_like(clean)
    verdict: Column | None = None
    flipped: Column | None = None
    noise_to_signal = np.zeros(n)
    channel = Channel()
    for place, stage in enumerate(setting.stages):
        if isinstance(stage, Adversary):
            if stage.access.before_encoder:
                continue
            if not setting.active or stage.budget.off:
                verdict = worse(verdict, np.full(n, records.OFF, dtype=object))
                continue
            rows = setting.rows(stage.label, batch, channel=channel)
            foresight = Foresight(setting, place, stage, batch)
            believed, reach, rows.knowledge = foresight.aim(attacked, rows, knowledge)
            found = stage.attack(believed, rows, reach)
            # A δ of double precision may replace a codeword to the last bit.
            attacked = (attacked + carried(stage, found.delta, rows)).to(clean.dtype)
            delta = delta + found.delta
            verdict = worse(verdict, found.verdict)
            flipped = total(flipped, found.flipped_bits)
            if setting.control:
                shadow = stage.shadow(control, found, rows)
                if shadow is None:
                    shadow = matched_control(found.delta, stage.budget.ball, rows, reach)
                control = (control + carried(stage, shadow, rows)).to(clean.dtype)
            continue
        rows = setting.rows(stage.label, batch, channel=channel)
        met = passive
        passive = stage.apply(met, rows)
        attacked = passive if attacked is met else stage.apply(attacked, rows)
        control = passive if control is met else stage.apply(control, rows)
        channel = stage.left(rows)
        if "snr_db" in rows.columns:
            nominal = setting.columns[stage.label]["snr_db"][batch.arm]
            noise_to_signal = noise_to_signal + 1.0 / units.from_db(nominal)

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
    return {"passive": passive, "attacked": attacked, "control": control}, log
