"""The whole of `black_target.yaml` against its bare arithmetic, in one process and one run.

Bare arithmetic: the same unpadded rows through encoder, attack, decoders and metrics in a loop
written here, at the best of several block sizes; no scenario, no event plane, no ledger.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

import channelsim
from channelsim.contracts.parts import Codec
from channelsim.metrics import SSIM, DatasetFeatureDistance
from channelsim.metrics.memory import remembering
from channelsim.scenario import Scenario

SCENARIO = Path(__file__).parents[2] / "scenarios" / "black_target.yaml"


def kernels(codec: Codec, images: Tensor, epsilon: float, steps: int, alpha: float) -> None:
    """The bare arithmetic of the paper's experiment: one block of rows at one intensity."""
    network, ssim, dfd = codec.network, SSIM(), DatasetFeatureDistance()
    with torch.no_grad():
        latent = network.encode(images)  # type: ignore[operator]
        latent = latent[0] if isinstance(latent, tuple) else latent
        noise = 0.02 * torch.randn_like(latent)
        clean, passive = network.decode(latent), network.decode(latent + noise)  # type: ignore[operator]
        black = torch.zeros_like(images)
    shown = [passive]
    if epsilon > 0:
        delta = torch.empty_like(latent).uniform_(-epsilon, epsilon)
        for _ in range(steps):
            delta.requires_grad_()
            loss = network.decode(latent + delta).square().mean(dim=(1, 2, 3)).sum()  # type: ignore[operator]
            (gradient,) = torch.autograd.grad(loss, delta)
            delta = (delta.detach() - alpha * gradient.sign()).clamp(-epsilon, epsilon)
        with torch.no_grad():
            signs = epsilon * torch.sign(torch.randn_like(delta))
            shown = [network.decode(latent + delta + noise), network.decode(latent + signs + noise)]  # type: ignore[operator]
    with torch.no_grad():
        for picture in shown:
            for reference in (images, clean, passive, black):
                (picture - reference).square().mean(dim=(1, 2, 3)).log10()
                ssim(picture, reference)
                dfd(picture, reference)
        ssim(clean, images)
        dfd(clean, images)


def bare_s(scenario: Scenario, block: int) -> float:
    """Seconds of all arms' rows through the bare kernels in blocks of ``block``, unpadded."""
    images = scenario.source.load(scenario.source.split).images[: scenario.source.messages]
    start = time.perf_counter()
    for codec in {id(arm.receiver.codec): arm.receiver.codec for arm in scenario.arms}.values():
        epsilons = [
            arm.swept["mallory.budget.epsilon"]
            for arm in scenario.arms
            if arm.receiver.codec is codec
        ]
        for epsilon in epsilons:
            for rows in images.split(block):
                with remembering():  # as a run does: an image's features once per block
                    kernels(codec, rows, float(epsilon), steps=10, alpha=1.0)
    return time.perf_counter() - start


def bench_black_target_against_bare_kernels(tmp_path: Path) -> None:
    scenario = Scenario.load(SCENARIO)
    small = Scenario.load(SCENARIO, set={"source.count": 64})
    bare_s(small, 64)  # warm-up
    channelsim.run(small, out=tmp_path / "warm")
    bare: dict[int, float] = {}
    runs = []
    for turn in range(3):
        for block in (128, 250):
            bare[block] = min(bare.get(block, 1e9), bare_s(scenario, block))
        start = time.perf_counter()
        channelsim.run(scenario, out=tmp_path / str(turn))
        runs.append(time.perf_counter() - start)
    block, best = min(bare.items(), key=lambda item: item[1])
    ratio = min(runs) / best
    print(
        f"\nblack_target.yaml: run {min(runs):.1f} s, bare kernels {best:.1f} s at blocks of"
        f" {block} ({', '.join(f'{b}: {s:.1f} s' for b, s in bare.items())}):"
        f" ratio {ratio:.2f} (at most 1.25)"
    )
    assert ratio <= 1.25
