"""Latents of any shape, and complex ones, are real values on the wire."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import channelsim
from channelsim import PGD, Budget, InputError, TargetImage
from channelsim.codecs.latent_form import LatentForm

MALLORY = PGD(
    name="mallory", goal=TargetImage(target="black"), budget=Budget(norm="l2", epsilon=2.0)
)


class Flat(nn.Module):
    """Eight by eight means, [N, 64]."""

    def encode(self, images: Tensor) -> Any:
        return functional.avg_pool2d(images, 4).flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        return functional.interpolate(latent.reshape(-1, 1, 8, 8), scale_factor=4)


class Square(Flat):
    """The same, [N, 1, 8, 8]."""

    def encode(self, images: Tensor) -> Any:
        return functional.avg_pool2d(images, 4)

    def decode(self, latent: Tensor) -> Tensor:
        assert latent.shape[1:] == (1, 8, 8)
        return super().decode(latent)


class Complex(Flat):
    """The same as 32 complex symbols, [N, 4, 8]."""

    def encode(self, images: Tensor) -> Any:
        return torch.view_as_complex(super().encode(images).reshape(-1, 4, 8, 2).contiguous())

    def decode(self, latent: Tensor) -> Tensor:
        assert latent.dtype == torch.complex64
        return super().decode(torch.view_as_real(latent).flatten(1))


class Variational(Square):
    """With a standard deviation of the same shape."""

    def encode(self, images: Tensor) -> Any:
        mean = super().encode(images)
        return mean, 0.1 * torch.ones_like(mean)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return channelsim.images("mnist5k", 5)


@pytest.mark.parametrize("other", [Square, Complex])
def test_the_same_codec_gives_the_same_bits_in_any_form(
    other: type[nn.Module], digits: Tensor
) -> None:
    flat, formed = (channelsim.attack(one(), digits, MALLORY, seed=7) for one in (Flat, other))
    assert formed.perturbation.shape == (5, 64)
    assert torch.equal(flat.perturbation, formed.perturbation)
    assert torch.equal(flat.received, formed.received)


def test_a_posterior_may_have_any_shape_too(digits: Tensor) -> None:
    codec = channelsim.codec(Variational(), digits)
    mean, std = codec.posterior(digits)
    assert mean.shape == (5, 64)
    assert std is not None
    assert torch.equal(std, torch.full((5, 64), 0.1))
    found = channelsim.transmit(codec, digits, transmit="sample", seed=1)
    assert not torch.equal(found.latent, mean)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    rows=st.integers(1, 3),
    complex_=st.booleans(),
)
def test_what_was_sent_is_restored(shape: list[int], rows: int, complex_: bool) -> None:
    kind = torch.complex64 if complex_ else torch.float32
    latent = torch.randn(rows, *shape, dtype=kind, generator=torch.Generator().manual_seed(0))
    form = LatentForm.of(latent)
    sent = form.sent(latent)
    assert sent.shape == (rows, form.size)
    assert torch.equal(form.restored(sent), latent)
    assert torch.allclose(sent.square().sum(1), latent.abs().square().reshape(rows, -1).sum(1))


def test_an_encoder_that_changes_its_form_is_told(digits: Tensor) -> None:
    class Fickle(Square):
        def encode(self, images: Tensor) -> Any:
            latent = super().encode(images)
            return latent if len(images) > 3 else latent.flatten(1)

    with pytest.raises(InputError, match=r"must return real latents of shape \[N, 1, 8, 8\]"):
        channelsim.attack(Fickle(), digits, MALLORY)
