"""The search for D* descends as torch's Adam does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from channelsim.support.adam import Adam


@pytest.mark.elsewhere
@pytest.mark.parametrize("step_size", [0.01, 0.2, 3.0])
def test_sixty_steps_are_those_of_torch_to_the_bit(step_size: float) -> None:
    def hilly(point: Tensor) -> Tensor:
        return (point.sin() * point.square()).sum()

    start = torch.randn(20, 10, generator=torch.Generator().manual_seed(2))
    theirs = start.clone().requires_grad_()
    optimiser, ours, adam = torch.optim.Adam([theirs], lr=step_size), start, Adam(step_size)
    for _ in range(60):
        (theirs.grad,) = torch.autograd.grad(hilly(theirs), theirs)
        optimiser.step()
        leaf = ours.clone().requires_grad_()
        ours = adam.descended(ours, torch.autograd.grad(hilly(leaf), leaf)[0])
        assert torch.equal(ours, theirs.detach())
    assert not torch.allclose(ours, start)
