"""Equal images of a batch go through a trunk once, and no bit of any row depends on that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from channelsim.metrics import METRICS
from channelsim.metrics.distinct import HEIGHT, distinct_features, squared_distances
from channelsim.metrics.memory import remembering

RANDOM = torch.Generator().manual_seed(4)
DIFFERENT = torch.rand(256, 1, 32, 32, generator=RANDOM)
REPEATED = DIFFERENT[torch.randint(0, 24, (256,), generator=RANDOM)]
ONE = DIFFERENT[:1].expand(256, -1, -1, -1)
BATCHES = {"all different": DIFFERENT, "24 of 256": REPEATED, "one for all": ONE}


@pytest.mark.parametrize("images", BATCHES.values(), ids=BATCHES)
def test_every_different_image_is_computed_once_in_blocks_of_one_height(images: Tensor) -> None:
    seen: list[Tensor] = []

    def compute(rows: Tensor) -> Tensor:
        seen.append(rows)
        return rows.flatten(1)

    found = distinct_features(images, compute)
    assert torch.equal(found.rows(), images.flatten(1))
    different = len(images.flatten(1).unique(dim=0))
    assert {len(rows) for rows in seen} == {HEIGHT}
    assert len(seen) == -(-different // HEIGHT)


@pytest.mark.parametrize("kind", ["dfd", "rfd"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_rows_value_has_the_same_bits_among_equal_rows_and_different_ones(
    kind: str, threads: int
) -> None:
    metric, before = METRICS[kind](), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad(), remembering():
            mixed = metric(REPEATED, DIFFERENT)
            for row in (0, 100, 255):
                neighbours = DIFFERENT.flip(0).clone()
                neighbours[7] = REPEATED[row]
                other = DIFFERENT.clone()
                other[7] = DIFFERENT[row]
                assert metric(neighbours, other)[7] == mixed[row]
            assert torch.equal(metric(ONE, DIFFERENT)[3:4], metric(DIFFERENT, ONE)[3:4])
    finally:
        torch.set_num_threads(before)


def test_distances_are_those_of_the_definition_and_carry_gradients() -> None:
    metric = METRICS["dfd"]()
    with torch.no_grad():
        plain = metric(REPEATED, ONE)
    images = REPEATED.clone().requires_grad_()
    again = metric(images, ONE)
    assert torch.allclose(plain, again, rtol=1e-6)
    (gradient,) = torch.autograd.grad(again.sum(), images)
    assert (gradient.abs().sum(dim=(1, 2, 3)) > 0).any()


def test_zeros_of_both_signs_nan_and_small_batches_are_rows_like_others() -> None:
    images = torch.zeros(64, 1, 8, 8)
    images[1] = -0.0
    images[2] = torch.nan
    found = distinct_features(images, lambda rows: rows.flatten(1) + 1.0)
    assert torch.equal(torch.isnan(found.rows()).any(dim=1).nonzero()[:, 0], torch.tensor([2]))
    few = distinct_features(images[:8], lambda rows: rows.flatten(1))
    assert len(few.values) == 8
    distance = squared_distances(found, found)
    assert torch.equal(distance[[0, 1, 3]], torch.zeros(3))
