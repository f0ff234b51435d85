"""The attack alone against Foolbox: PGD-10 towards black on the shipped decoder, one thread.

Attacked rows per CPU second over a sweep of ten budgets, in one process, interleaved. Foolbox gets
the network as trained, and our folded decoder; each at the best of three batch sizes. It attacks
every budget by itself, since a call of it has one. The roofline: the decoder's own products as
plain matrix products of the same size, against what its gradients achieve.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from channelsim.codecs.trained import ZOO_FOLDER, load_weights
from channelsim.contracts.records import Batch
from channelsim.scenario import Scenario
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.self_test import self_test
from channelsim.support import arithmetic
from channelsim.support.allocator import keep_freed_memory

MESSAGES, STEPS, TURNS = 200, 10, 3
EPSILONS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
SHARES = {"α = 1": None, "α = ε/4": 0.25}  # of the budget
# A gradient of a row: two products per weight and output pixel, forward and back.
_CONVOLUTIONS = [(128, 64, 8), (64, 32, 16), (32, 1, 32)]  # inputs, outputs, height = width


def study(share: float | None, steps: int = STEPS) -> dict[str, Any]:
    step = {"step_size": 1.0} if share is None else {"step_size": share, "step_unit": "relative"}
    return {
        "title": "A frozen sweep",
        "seed": 7,
        "block_rows": 256,
        "source": {"kind": "dataset", "name": "mnist5k", "split": "test", "count": MESSAGES},
        "path": [
            {
                "kind": "pgd",
                "name": "mallory",
                "goal": {"kind": "image", "target": "black"},
                "budget": {"norm": "linf", "epsilon": 0.5},
                "steps": steps,
                **step,
            }
        ],
        "receivers": {"kld": {"codec": "kld-vae"}},
        "metrics": ["mse"],
        "sweep": {"mallory.budget.epsilon": EPSILONS},
    }


def our_path(share: float | None, steps: int = STEPS) -> SignalPath:
    scenario = Scenario.load(study(share, steps))
    paths = calibrate(scenario)
    return paths.in_blocks(self_test(scenario, paths).shape(256)).paths[0]


def ours(path: SignalPath) -> Tensor:
    """δ of all rows, message by message, as a run's blocks come."""
    message = np.repeat(np.arange(MESSAGES), len(EPSILONS))
    arm = np.tile(np.arange(len(EPSILONS)), MESSAGES)
    stage = path.setting.stages.adversaries[0]
    found = []
    for begin in range(0, len(message), 8 * 256):
        some = slice(begin, begin + 8 * 256)
        batch = Batch.planned(message[some])
        batch.arm[:] = arm[some]
        source, scaled, clean = path._sent(batch.message)
        knowledge = path._on_the_wire(path._knowledge(source, clean), scaled)
        rows = path.setting.rows(stage.label, batch)
        rows.knowledge = knowledge
        found.append(stage.attack(scaled.wire, rows).delta)
    return torch.cat(found)


def foolbox_attack(share: float | None) -> Callable[[nn.Module, Tensor, int], Tensor]:
    foolbox = pytest.importorskip("foolbox")

    class TowardsBlack(foolbox.attacks.LinfPGD):
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            return lambda latents: -model(latents).square().mean(axis=(1, 2, 3)).sum()

    def run(decoder: nn.Module, latents: Tensor, batch: int) -> Tensor:
        model = foolbox.PyTorchModel(decoder, bounds=(-50, 50), device="cpu")
        found = []
        for epsilon in EPSILONS:
            step = 1.0 if share is None else share * epsilon
            attack = TowardsBlack(abs_stepsize=step, steps=STEPS, random_start=True)
            for some in latents.split(batch):
                labels = torch.zeros(len(some), dtype=torch.int64)
                criterion = foolbox.criteria.Misclassification(labels)
                found.append(attack.run(model, some, criterion, epsilon=epsilon) - some)
        return torch.cat(found)

    return run


class Decoder(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor) -> Tensor:
        return self.network.decode(latents)  # type: ignore[operator]


def cpu_s(compute: Callable[[], Any]) -> float:
    begun = time.process_time()
    compute()
    return time.process_time() - begun


def roofline() -> float:
    """Achieved ÷ possible GFLOP/s of a block's gradient."""
    network = load_weights(ZOO_FOLDER / "kld-vae.safetensors").network.folded()
    latents = torch.randn(256, 10)

    def gradient() -> None:
        leaf = latents.clone().requires_grad_()
        torch.autograd.grad(network.decode(leaf).square().sum(), leaf)  # type: ignore[operator]

    products = 10 * 2048 + sum(i * o * (size // 2) ** 2 * 16 for i, o, size in _CONVOLUTIONS)
    needed = 256 * 2 * 2 * products / 1e9
    side = 2048
    matrix = torch.randn(side, side)
    best = [min(cpu_s(one) for _ in range(7)) for one in (gradient, lambda: matrix @ matrix)]
    return (needed / best[0]) / (2 * side**3 / 1e9 / best[1])


def bench_pgd_against_foolbox() -> None:
    keep_freed_memory()
    weights = load_weights(ZOO_FOLDER / "kld-vae.safetensors")
    plain, folded = (Decoder(one).eval() for one in (weights.network, weights.network.folded()))
    rows = MESSAGES * len(EPSILONS)
    with arithmetic.threads(1):
        for name, share in SHARES.items():
            path = our_path(share)
            latents = path._sent(np.arange(MESSAGES))[1].wire
            theirs = foolbox_attack(share)
            contenders: dict[str, Callable[[], Any]] = {"ours": partial(ours, path)}
            for batch in (64, 128, 200):
                contenders[f"plain {batch}"] = partial(theirs, plain, latents, batch)
                contenders[f"folded {batch}"] = partial(theirs, folded, latents, batch)
            best = dict.fromkeys(contenders, float("inf"))
            for _ in range(TURNS):
                for who, compute in contenders.items():
                    best[who] = min(best[who], cpu_s(compute))
            rate = {who: rows / seconds for who, seconds in best.items()}
            peers = {
                kind: max(value for who, value in rate.items() if who.startswith(kind))
                for kind in ("plain", "folded")
            }

            def mean(delta: Tensor, sent: Tensor) -> float:
                with torch.no_grad():
                    return float(folded(sent + delta).square().mean())

            black = mean(ours(path), latents.repeat_interleave(len(EPSILONS), dim=0))
            theirs_black = mean(theirs(folded, latents, 200), latents.repeat(len(EPSILONS), 1))
            print(
                f"\n{name}: ours {rate['ours']:.0f} rows per CPU second; Foolbox plain"
                f" {peers['plain']:.0f} ({rate['ours'] / peers['plain']:.2f} ×), folded"
                f" {peers['folded']:.0f} ({rate['ours'] / peers['folded']:.2f} ×);"
                f" mean square left: {black:.5f} and {theirs_black:.5f}"
            )
            sooner = None
            for steps in range(1, STEPS + 1):
                fewer = our_path(share, steps)
                left = mean(ours(fewer), latents.repeat_interleave(len(EPSILONS), dim=0))
                if left <= theirs_black:
                    seconds = min(cpu_s(partial(ours, fewer)) for _ in range(TURNS))
                    sooner = steps, seconds * peers["folded"] / rows
                    break
            print(f"  its damage after PGD-10: here after (steps, share of its time) {sooner}")
        print(f"  a gradient's share of the matrix products' rate: {roofline():.2f}")
