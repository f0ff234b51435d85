"""The cost of a separate matrix product per row, against one product of the block.

Both in one process, one thread, interleaved; for the decoder's gradient, the main cost of a run.
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 bin/bench …` tests
the kernels of an older processor.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from channelsim.codecs import Zoo
from channelsim.support import arithmetic
from channelsim.support.row_product import RowProduct


class OneProduct(nn.Module):
    """The same product, of the whole block at once."""

    def __init__(self, product: RowProduct) -> None:
        super().__init__()
        rows, columns = product.size
        self.register_buffer("matrix", product.matrix[:rows, :columns].contiguous())
        self.register_buffer("bias", product.bias)

    def forward(self, rows: Tensor) -> Tensor:
        return torch.addmm(self.bias, rows, self.matrix)


def gradient(network: nn.Module, latent: Tensor) -> Tensor:
    leaf = latent.clone().requires_grad_()
    (found,) = torch.autograd.grad(network.decode(leaf).square().sum(), leaf)  # type: ignore[operator]
    return found


def best_ms(functions: list[Callable[[], object]], turns: int = 15) -> list[float]:
    best = [float("inf")] * len(functions)
    for _ in range(turns):
        for place, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[place] = min(best[place], 1e3 * (time.perf_counter() - start))
    return best


def bench_rows_as_products_of_their_own_against_one_product() -> None:
    ours = Zoo(name="kld-vae").network
    theirs = copy.deepcopy(ours)
    theirs.from_latent = OneProduct(ours.from_latent)  # type: ignore[arg-type]
    print(f"\n{arithmetic.instruction_set()}, one thread, rows as products of their own / at once:")
    with arithmetic.threads(1):
        for rows in (8, 32, 256):
            latent = torch.randn(rows, 10, generator=torch.Generator().manual_seed(1))
            own, whole = best_ms(
                [lambda z=latent, n=n: gradient(n, z) for n in (ours, theirs)]  # type: ignore[misc]
            )
            print(f"  gradient of {rows} rows: {own:.2f} ms, {whole:.2f} ms: {own / whole:.3f} ×")
            assert own / whole <= 1.15
