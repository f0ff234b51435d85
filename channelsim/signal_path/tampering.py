"""Before the encoder: adversaries that change the image."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from channelsim import records
from channelsim.adversaries.control import matched_control
from channelsim.channels.power import Scaled
from channelsim.records import Batch
from channelsim.rows import Knowledge
from channelsim.signal_path.foresight import BEFORE_ALL, Foresight
from channelsim.signal_path.injection import Column, Injected, row_energy, worse
from channelsim.signal_path.setting import Setting


def tamper(
    setting: Setting,
    images: Tensor,
    power: float,
    batch: Batch,
    knowledge: Knowledge,
    send: Callable[[Tensor], Scaled],
) -> tuple[dict[str, Tensor], Injected]:
    """Images [N, C, H, W] as adversaries before the encoder leave them, by role.

    ``power``: mean square of a pixel. ``send``: images → wire signal, differentiable;
    ``knowledge.decode`` takes a latent here, for the scale of a signal depends on its image.
    """
    flat = images.flatten(1)
    attacked = control = flat
    verdict: Column | None = None
    for stage in setting.tampering:
        if not setting.active or stage.budget.off:
            verdict = worse(verdict, np.full(len(flat), records.OFF, dtype=object))
            continue
        rows = setting.rows(stage.label, batch)
        foresight = Foresight(setting, BEFORE_ALL, stage, batch)
        reach = foresight.reach(flat, rows)

        def shown(pixels: Tensor, draw: int | None, foresight: Foresight = foresight) -> Tensor:
            scaled = send(pixels.clamp(0.0, 1.0).view(len(pixels), *images.shape[1:]))
            signal = foresight.through(scaled.wire, foresight.behind(draw))
            return knowledge.decode(scaled.undo(signal))

        known = replace(knowledge, power=power, reach=reach, draws=stage.access.expectation)
        views = [
            replace(known, decode=functools.partial(shown, draw=draw), draws=0)
            for draw in range(stage.access.expectation)
        ]
        rows.knowledge = replace(
            known, decode=functools.partial(shown, draw=None), imagine=views.__getitem__
        )
        found = stage.attack(attacked, rows, reach)
        changed = (attacked + found.delta).clamp(0.0, 1.0)
        control = _in_box(
            control, matched_control(changed - attacked, stage.budget.ball, rows, reach)
        )
        attacked = changed
        verdict = worse(verdict, found.verdict)
    seen = {"passive": images, "attacked": images, "control": images}
    if attacked is not flat:
        seen |= {"attacked": attacked.view_as(images), "control": control.view_as(images)}
    return seen, Injected(attacked - flat, row_energy(flat), power, verdict)


def _in_box(image: Tensor, shadow: Tensor) -> Tensor:
    """An image plus noise, kept in [0, 1], of the noise's norm as far as the box lets it."""
    wanted = torch.linalg.vector_norm(shadow, dim=1, keepdim=True)
    scale = torch.ones_like(wanted)
    changed = image
    for _ in range(8):  # clipping shortens; a few rounds make up for it
        changed = (image + scale * shadow).clamp(0.0, 1.0)
        norm = torch.linalg.vector_norm(changed - image, dim=1, keepdim=True)
        scale = scale * torch.where(norm > 0, wanted / norm, torch.ones_like(norm))
    return changed
