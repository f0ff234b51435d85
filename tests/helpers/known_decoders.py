"""Decoders with known answers, and a batch for an adversary to meet (no tests in here)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from channelsim.adversaries.objective import objective, usable
from channelsim.adversaries.row_search import Searched
from channelsim.adversaries.white_box_search import WhiteBoxSearch
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.support.block_shape import BlockShape
from channelsim.support.row_product import RowProduct

Decode = Callable[[Tensor], Tensor]


class LinearDecoder(nn.Module):
    """g(z) = offset + U·diag(s)·Vᵀ·z with known singular values s and right vectors V."""

    def __init__(
        self, singular: Sequence[float], shape: tuple[int, int, int] = (1, 8, 8), offset: float = 0
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        k, pixels = len(singular), int(np.prod(shape))
        left, _ = torch.linalg.qr(torch.randn(pixels, k, generator=generator, dtype=torch.float64))
        right, _ = torch.linalg.qr(torch.randn(k, k, generator=generator, dtype=torch.float64))
        self.shape, self.offset = shape, offset
        self.right = right.float()
        self.jacobian = (left @ torch.diag(torch.tensor(singular).double()) @ right.T).float()

    def forward(self, latent: Tensor) -> Tensor:
        return (latent @ self.jacobian.T).view(-1, *self.shape) + self.offset


def convolutional(latent_size: int = 6, colours: int = 1) -> nn.Module:
    """A small nonlinear decoder to [colours, 16, 16] in (0, 1), fixed weights."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network = nn.Sequential(
            # Not `nn.Linear`, whose sums may depend on a row's place in the batch: a difference
            # could then not be attributed to the attack.
            RowProduct(1.2 * torch.randn(latent_size, 128), 0.5 * torch.randn(128)),
            nn.Unflatten(1, (8, 4, 4)),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(8, 8, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(8, colours, 4, 2, 1),
            nn.Sigmoid(),
        )
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.ConvTranspose2d):
                layer.weight.mul_(3)
    return network.eval().requires_grad_(False)


def latents(rows: int, latent_size: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, latent_size, generator=generator)


def meet(
    adversary: Adversary,
    signal: Tensor,
    decode: Decode,
    *,
    epsilon: Tensor | None = None,
    source: Tensor | None = None,
    message: np.ndarray | None = None,
    messages: int = 1000,
    power: float = 1.0,
    seed: int = 7,
    shape: BlockShape | None = None,
) -> Rows:
    """The rows an adversary sees; ``source_of`` / ``clean_of`` paint the message number.

    ``shape``: of the blocks in which it may ask of some of them; None: only of all at once.
    """
    n = len(signal)
    with torch.no_grad():
        clean = decode(signal)

    def painted(number: np.ndarray) -> Tensor:
        level = torch.from_numpy(np.asarray(number, dtype=np.float32)) / messages
        return level[:, None, None, None].expand(-1, *clean.shape[1:]).contiguous()

    columns = {
        name: torch.full((n,), value, dtype=torch.float32)
        for name, value in adversary.column_values().items()
    }
    if epsilon is not None:
        columns["epsilon"] = epsilon
    seen = clean if source is None else source

    def known(some: np.ndarray) -> Knowledge:
        return Knowledge(
            decode=decode,
            source=seen[some],
            clean=clean[some],
            power=power,
            source_of=painted,
            clean_of=lambda number: 1.0 - painted(number),
            messages=messages,
            some=None if shape is None else lambda rows: known(some[rows]),
            shape=shape,
        )

    knowledge = known(np.arange(n))
    return Rows(
        name=adversary.label,
        seed=seed,
        message=np.arange(n) if message is None else message,
        attempt=np.zeros(n, dtype=np.int64),
        columns=columns,
        knowledge=knowledge,
        power=power,
    )


def image_damage(decode: Decode, signal: Tensor, delta: Tensor) -> Tensor:
    """‖g(z + δ) − g(z)‖², summed over pixels, per row."""
    with torch.no_grad():
        return (decode(signal + delta) - decode(signal)).double().square().flatten(1).sum(1)


def searched(
    attack: WhiteBoxSearch, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
) -> Searched:
    """What a search found of every row, and at what effort."""
    with torch.inference_mode(False):
        signal = usable(signal)
        aim = objective(attack.goal, signal, rows, knowledge, climbed=True)
        return attack.searched(aim, signal, usable(radius).to(signal), rows, knowledge)
