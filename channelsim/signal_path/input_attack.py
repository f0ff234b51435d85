"""Input attacks: adversaries before the encoder that change the image.

Their budget is in pixels, and x + δ stays in [0, 1] for every δ within the budget; a signal is
bounded by the budget alone. The encoder, the
transmitter's power mode, the path as they foresee it and the decoder all lie behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from channelsim.adversaries.control import matched_control
from channelsim.channels.power import Scaled
from channelsim.contracts import records
from channelsim.contracts.records import Batch, Ints
from channelsim.contracts.rows import Knowledge, Perturbation, after
from channelsim.signal_path.adversary_view import BEFORE_ALL, Foresight
from channelsim.signal_path.blocks import joined, of_adversary
from channelsim.signal_path.injection import Column, Injected, row_energy, worse
from channelsim.signal_path.setting import Setting
from channelsim.support.block_shape import BlockShape

# Pixels [N, C·H·W] of some messages → their wire signal, differentiable.
Send = Callable[[Tensor, Ints], Scaled]
_ROUNDS = 32  # of restoring the norm lost by clipping; project's choice


def attack_input(
    setting: Setting,
    images: Tensor,
    batch: Batch,
    knowledge: Knowledge | None,
    send: Send,
) -> tuple[dict[str, Tensor], Injected]:
    """Images [N, C, H, W] after the input attacks, by role.

    ``knowledge.decode`` takes a latent here, since the scale of a signal depends on its image.
    """
    flat = images.flatten(1)
    bounded = images.dim() == 4
    attacked = control = flat
    delta = torch.zeros_like(flat)
    verdict: Column | None = None
    for stage in setting.stages.before_encoder:
        if not setting.active or stage.budget.off:
            verdict = worse(verdict, np.full(len(flat), records.OFF, dtype=object))
            continue
        assert knowledge is not None, "an active adversary knows something"
        rows = setting.rows(stage.label, batch)
        foresight = Foresight(setting, BEFORE_ALL, stage, batch)
        reach = foresight.reach(flat, rows)
        known = _known(foresight, knowledge, attacked, reach, images, send)
        found = _attacked(foresight, attacked, reach, known)
        added = _inside(attacked, bounded)(found.delta.to(flat.dtype))
        attacked = _clipped(attacked + added, bounded)
        delta = delta + added
        if setting.control:
            noise = matched_control(added, stage.budget.ball, rows, reach)
            control = _shadowed(control, noise) if bounded else control + noise
        verdict = worse(verdict, found.verdict)
    seen = {"passive": images, "attacked": images, "control": images}
    if attacked is not flat:
        seen |= {"attacked": attacked.view_as(images), "control": control.view_as(images)}
    noise = control - flat
    return seen, Injected(delta, row_energy(flat), setting.pixel_power, verdict, noise=noise)


def _attacked(
    foresight: Foresight, signal: Tensor, reach: Tensor | None, known: Knowledge
) -> Perturbation:
    """One adversary's perturbation."""
    stage, batch, n = foresight.stage, foresight.batch, len(signal)

    def of(_: slice, part: slice, known: Knowledge) -> Perturbation:
        rows = foresight.setting.rows(stage.label, batch[part])
        rows.knowledge = known
        return stage.attack(signal[part], rows, None if reach is None else reach[part])

    parts = (known.shape or BlockShape(n)).parts(n)
    found = of_adversary(stage, known, parts, n, of)
    delta = joined([one.delta for one in found])
    return Perturbation(delta, np.concatenate([one.verdict for one in found]))


def _known(
    foresight: Foresight,
    knowledge: Knowledge,
    attacked: Tensor,
    reach: Tensor | None,
    images: Tensor,
    send: Send,
) -> Knowledge:
    """What an adversary before the encoder knows; its ``decode`` takes pixels."""

    def some(rows: Ints) -> Knowledge:
        part = None if reach is None else reach[rows]
        known = knowledge.only(rows)
        return _known(foresight.only(rows), known, attacked[rows], part, images[rows], send)

    known = replace(
        knowledge,
        power=foresight.setting.pixel_power,
        reach=reach,
        draws=foresight.stage.access.expectation,
        inside=_inside(attacked, bounded=images.dim() == 4),
        some=some,
    )
    return aware(known, foresight, images, send)


def aware(known: Knowledge, foresight: Foresight, images: Tensor, send: Send) -> Knowledge:
    """Knowledge whose ``decode`` maps pixels [N, C·H·W] to the receiver's image."""

    def seeing(draw: int | None) -> Knowledge:
        behind = foresight.behind(draw)

        def arriving(pixels: Tensor) -> Tensor:
            bounded = _clipped(pixels, bounded=images.dim() == 4)
            scaled = send(bounded.view_as(images), foresight.batch.message)
            return scaled.undo(foresight.through(scaled.wire, behind))

        def shown(pixels: Tensor) -> Tensor:
            return known.decode(arriving(pixels))

        def some(rows: Ints) -> Knowledge:
            part = known.only(rows)
            return part if draw is None or part.imagine is None else part.imagine(draw)

        loss = after(arriving, known.loss)
        return replace(known, decode=shown, loss=loss, imagine=seeing, some=some)

    return seeing(None)


def _inside(image: Tensor, bounded: bool) -> Callable[[Tensor], Tensor]:
    """δ → the part of δ that leaves an image in [0, 1]; never larger anywhere than δ."""
    if not bounded:
        return lambda delta: delta
    return lambda delta: torch.maximum(torch.minimum(delta, 1.0 - image), -image)


def _clipped(pixels: Tensor, bounded: bool) -> Tensor:
    return pixels.clamp(0.0, 1.0) if bounded else pixels


def _shadowed(image: Tensor, noise: Tensor) -> Tensor:
    """An image plus noise, kept in [0, 1], with the noise's norm as far as the box allows.

    The norm clipped in some pixels is restored in others, whose noise may then exceed an L∞ budget:
    the energy is matched.
    """
    wanted = torch.linalg.vector_norm(noise, dim=1, keepdim=True)
    inside = _inside(image, bounded=True)
    scale = torch.ones_like(wanted)
    for _ in range(_ROUNDS):
        norm = torch.linalg.vector_norm(inside(scale * noise), dim=1, keepdim=True)
        scale = scale * torch.where(norm > 0, wanted / norm, torch.ones_like(norm))
    return (image + inside(scale * noise)).clamp(0.0, 1.0)
