"""Gradient steps with momentum, against the loop that their authors print."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.known_decoders import LinearDecoder, convolutional, latents, meet
from pydantic import TypeAdapter

from channelsim.adversaries import Momentum

PARSE = TypeAdapter(Momentum)


def momentum(norm: str, epsilon: float, **fields: Any) -> Momentum:
    fields.setdefault("goal", {"kind": "image", "target": "black"})
    return PARSE.validate_python({"budget": {"norm": norm, "epsilon": epsilon}, **fields})


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum_is_the_printed_loop(norm: str) -> None:
    decode, signal = convolutional(5), latents(8, 5)
    attack = momentum(norm, 0.6, start="zero", step_size=0.06, keep_best=False, decay=0.8)
    delta, gathered = torch.zeros_like(signal), torch.zeros_like(signal)
    for _ in range(10):
        leaf = (signal + delta).requires_grad_()
        loss = -decode(leaf).square().flatten(1).mean(1).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        gathered = 0.8 * gathered + gradient / gradient.abs().sum(dim=1, keepdim=True)
        if norm == "linf":
            delta = (delta + 0.06 * gathered.sign()).clamp(-0.6, 0.6)
        else:
            delta = delta + 0.06 * gathered / gathered.norm(dim=1, keepdim=True)
            delta = delta * (0.6 / delta.norm(dim=1, keepdim=True)).clamp(max=1.0)
    found = attack.attack(signal, meet(attack, signal, decode)).delta
    assert torch.allclose(found, delta, atol=1e-5)


def test_without_memory_it_is_plain_gradient_ascent() -> None:
    from channelsim.adversaries import PGD

    decode, signal = LinearDecoder((3.0, 1.5, 1.0)), latents(8, 3)
    fields = {"goal": {"kind": "damage"}, "budget": {"norm": "linf", "epsilon": 0.5}}
    fields |= {"step_size": 0.1, "name": "same"}
    forgetful = PARSE.validate_python(fields | {"decay": 0.0})
    plain = TypeAdapter(PGD).validate_python(fields)
    one, other = (a.attack(signal, meet(a, signal, decode)).delta for a in (forgetful, plain))
    assert torch.equal(one, other)


def test_by_default_its_steps_can_cross_the_budget() -> None:
    decode, signal = LinearDecoder((3.0, 1.5, 1.0)), 3 + latents(8, 3).abs()
    attack = momentum("linf", 0.5)
    found = attack.attack(signal, meet(attack, signal, decode)).delta
    gradient = -(signal @ decode.jacobian.T @ decode.jacobian)
    steady = (
        gradient.sign()
        == (-(signal + 0.5 * gradient.sign()) @ decode.jacobian.T @ decode.jacobian).sign()
    )
    assert torch.allclose(found[steady], 0.5 * gradient.sign()[steady])
    assert bool(steady.any())
