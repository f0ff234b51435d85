"""What a codec of a library returns is read as it is: tuples, mappings, records, distributions."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, distributions, nn
from torch.nn import functional

import channelsim
from channelsim import InputError

Pair = namedtuple("Pair", ["mu", "sigma"])


@dataclass
class Output:
    sample: Tensor


@dataclass
class Posterior:
    latent_dist: Any


class Gaussian:
    """As in diffusers: what it was made from stands beside mean and std."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.parameters, self.mean, self.std = torch.cat([mean, std], 1), mean, std
        self.logvar, self.var = std.log() * 2, std**2

    def sample(self) -> Tensor:
        raise AssertionError("nobody asks for one")


class Means(nn.Module):
    """Mean and deviation of 16 values, in the form that a test wants."""

    def __init__(
        self,
        encoding: Callable[[Tensor, Tensor], Any] = lambda m, s: (m, s),
        decoding: Callable[[Tensor], Any] = lambda image: image,
        **attributes: Any,
    ) -> None:
        super().__init__()
        self.encoding, self.decoding = encoding, decoding
        for name, value in attributes.items():
            setattr(self, name, value)

    def encode(self, images: Tensor) -> Any:
        mean = functional.avg_pool2d(images, 8).flatten(1)
        return self.encoding(mean, 0.1 + mean)

    def decode(self, latent: Tensor) -> Any:
        return self.decoding(functional.interpolate(latent.view(-1, 1, 4, 4), scale_factor=8))


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return channelsim.images("mnist5k", 3)


Wide = distributions.Independent
PAIRS: dict[str, tuple[Callable[[Tensor, Tensor], Any], dict[str, Any]]] = {
    "tuple": (lambda m, s: (m, s), {}),
    "named tuple": (Pair, {}),
    "mapping": (lambda m, s: {"mean": m, "std": s, "kl": m.sum(1)}, {}),
    "normal": (distributions.Normal, {}),
    "independent": (lambda m, s: Wide(distributions.Normal(m, s), 1), {}),
    "diffusers": (lambda m, s: Posterior(Gaussian(m, s)), {}),
    "two names": (lambda m, s: {"a": m, "b": s, "c": m}, {"latent_field": ("a", "b")}),
    "two places": (lambda m, s: [s, m, m], {"latent_field": (1, 0)}),
    "below": (lambda m, s: {"a": Pair(m, s), "b": m}, {"latent_field": "a"}),
}
MEANS: dict[str, tuple[Callable[[Tensor, Tensor], Any], dict[str, Any]]] = {
    "one in a tuple": (lambda m, _: (m,), {}),
    "one in a mapping": (lambda m, _: {"z": m, "loss": 3.0, "tag": "x"}, {}),
    "one in a record": (lambda m, _: Output(m), {}),
    "first of three": (lambda m, s: (m, s, s), {"latent_field": 0}),
    "first of a log variance": (lambda m, s: (m, s.log()), {"latent_field": 0}),
    "a name": (lambda m, s: {"z": m, "other": s}, {"latent_field": "z"}),
    "dotted": (lambda m, s: Posterior(Gaussian(m, s)), {"latent_field": "latent_dist.mean"}),
    "another law": (distributions.Laplace, {"latent_field": "mean"}),
}


@pytest.mark.parametrize("how", PAIRS)
def test_a_posterior_is_found(how: str, digits: Tensor) -> None:
    encoding, attributes = PAIRS[how]
    mean, std = channelsim.codec(Means(encoding, **attributes), digits).posterior(digits)
    expected = functional.avg_pool2d(digits, 8).flatten(1)
    assert torch.equal(mean, expected)
    assert std is not None
    assert torch.equal(std, 0.1 + expected)


@pytest.mark.parametrize("how", MEANS)
def test_a_latent_is_found(how: str, digits: Tensor) -> None:
    encoding, attributes = MEANS[how]
    mean, std = channelsim.codec(Means(encoding, **attributes), digits).posterior(digits)
    assert torch.equal(mean, functional.avg_pool2d(digits, 8).flatten(1))
    assert std is None


DECODINGS: dict[str, tuple[Callable[[Tensor], Any], dict[str, Any]]] = {
    "record": (Output, {}),
    "tuple": (lambda image: (image,), {}),
    "named": (lambda image: {"x": image, "features": image + 1}, {"image_field": "x"}),
}


@pytest.mark.parametrize("how", DECODINGS)
def test_images_are_found_and_attacked_as_the_plain_ones_are(how: str, digits: Tensor) -> None:
    goal = channelsim.TargetImage(target="black")
    mallory = channelsim.PGD(goal=goal, budget=channelsim.Budget(norm="l2", epsilon=1.0))
    decoding, attributes = DECODINGS[how]
    plain = channelsim.attack(Means(), digits, mallory, seed=3)
    found = channelsim.attack(Means(decoding=decoding, **attributes), digits, mallory, seed=3)
    assert torch.equal(found.received, plain.received)
    assert torch.equal(found.perturbation, plain.perturbation)
    assert (plain.perturbation != 0).any()


def test_a_buffer_that_the_codec_reuses_is_not_shared(digits: Tensor) -> None:
    class Reusing(Means):
        def encode(self, images: Tensor) -> Any:
            mean = functional.avg_pool2d(images, 8).flatten(1)
            kept = self.__dict__.setdefault("kept", torch.zeros(3, 16))
            return Output(kept[: len(mean)].copy_(mean))

    codec = channelsim.codec(Reusing(), digits)
    first = codec.encode(digits)
    codec.encode(digits.flip(0))
    assert torch.equal(first, functional.avg_pool2d(digits, 8).flatten(1))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Means(lambda m, s: {"z": m, "h": s}), "dict with z, h; say in the class of the module"
            ' which is the latent: latent_field = "z"'),
        (Means(lambda m, s: (m, s, s)), "tuple with 0, 1, 2; say .* latent_field = 0"),
        (Means(distributions.Laplace), 'a distribution Laplace; .* latent_field = "mean"'),
        (Means(lambda m, s: {"z": m, "h": s}, latent_field="zz"),
            r"dict without latent_field 'zz' \(it has z, h\). Did you mean z"),
        (Means(lambda m, s: (m, s, s), latent_field=7), r"without latent_field 7 \(it has 0, 1"),
        (Means(latent_field=0.5), "latent_field must be a field's name, or its place, not 0.5"),
        (Means(latent_field=("a",)), r"must name one field, or two: mean and standard deviation"),
        (Means(lambda *_: "words"), "must return latents of shape .* returned a str"),
        (Means(decoding=lambda image: {"x": image, "y": image}),
            'which is the image: image_field = "x"'),
        (Means(decoding=lambda image: distributions.Bernoulli(image.clamp(0, 1))),
            "returned a distribution Bernoulli; return images"),
        (Means(lambda m, s: (m, s.log())), r"latent_field = 0 in the class"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_told_with_the_line_to_write(
    module: nn.Module, said: str, digits: Tensor
) -> None:
    with pytest.raises(InputError, match=said) as error:
        channelsim.transmit(module, digits)
    assert re.search("Means", error.value.message)
