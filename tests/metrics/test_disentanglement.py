"""MIG, total correlation and diversity, on codecs and latents whose answers are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import linalg
from sklearn.metrics import mutual_info_score
from torch import Tensor, nn

from channelsim.codecs import Linear, Module
from channelsim.metrics.correlation import aggregate_total_correlation
from channelsim.metrics.disentanglement import (
    FACTORS,
    binned_information,
    disentanglement,
    information_gaps,
    made_factors,
    posterior_information,
)
from channelsim.metrics.diversity import generation_diversity, latent_diversity
from channelsim.support.errors import InputError


class Reader(nn.Module):
    """A codec whose latents are the factors, centred and scaled to ±1; turned by ``mixing``."""

    def __init__(self, mixing: Tensor, std: float | None = 0.01) -> None:
        super().__init__()
        self.mixing = mixing.float()
        self.std = std

    def encode(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        picture = images[:, 0].double()
        mass, brightness = picture.sum((1, 2)), picture.amax((1, 2))
        places = torch.arange(picture.shape[-1], dtype=torch.float64) + 0.5
        x = (picture.sum(1) @ places) / mass
        y = (picture.sum(2) @ places) / mass
        side = torch.sqrt(mass / brightness)
        read = torch.stack(
            [(x - 16) / 11, (y - 16) / 11, (side - 7) / 3, (brightness - 0.625) / 0.375], dim=1
        ).float()
        latent = read @ self.mixing
        return latent if self.std is None else (latent, torch.full_like(latent, self.std))

    def decode(self, latent: Tensor) -> Tensor:
        return latent.sum(1).view(-1, 1, 1, 1).expand(-1, 1, 32, 32)


def reader(mixing: Tensor, std: float | None = 0.01) -> Module:
    return Module(module=Reader(mixing, std), latent_size=mixing.shape[1])


# --- the made images ----------------------------------------------------------------------------


def test_the_made_images_are_a_full_grid_and_show_their_factors():
    made = made_factors()
    assert made.images.shape == (1024, 1, 32, 32)
    assert made.images.dtype == torch.float32
    assert len(torch.unique(made.factors, dim=0)) == 1024
    assert float(made.images.amin()) == 0.0
    assert float(made.images.amax()) == 1.0
    read = reader(torch.eye(4), None).encode(made.images)
    steps = torch.tensor([7, 7, 3, 3])
    assert torch.allclose(read, 2 * made.factors / steps - 1, atol=1e-5)


def test_they_come_in_any_shape_with_equal_colours():
    made = made_factors((3, 64, 48))
    assert made.images.shape == (1024, 3, 64, 48)
    assert torch.equal(made.images[:, 0], made.images[:, 2])
    # A square: as high as it is wide, of 4 to 10 thirty-seconds of the shorter side.
    areas = made.images[:, 0].sum((1, 2)) / made.images[:, 0].amax((1, 2))
    assert torch.unique(areas.sqrt().round(decimals=3)).tolist() == [6.0, 9.0, 12.0, 15.0]


# --- mutual information gap ---------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.01, None], ids=["posterior", "deterministic"])
def test_a_codec_with_one_factor_in_each_latent_value_has_a_gap_of_one(std):
    found = disentanglement(reader(torch.eye(4), std))
    # Binned, a pair of unrelated values looks informed by up to 19·7/2048 nats.
    assert found.mig == pytest.approx(1.0, abs=0.01 if std else 0.05)
    assert list(found.by_factor) == list(FACTORS)
    entropies = torch.tensor([8, 8, 4, 4]).double().log()
    assert torch.allclose(found.information.diagonal(), entropies, atol=1e-6)


@pytest.mark.parametrize("std", [0.01, None], ids=["posterior", "deterministic"])
def test_a_codec_that_spreads_every_factor_evenly_has_no_gap(std):
    """A Hadamard rotation: each latent value is half the sum of all factors, up to signs."""
    found = disentanglement(reader(torch.from_numpy(linalg.hadamard(4) / 2.0), std))
    assert found.mig == pytest.approx(0.0, abs=0.03)
    assert float(found.information.amin()) > 0.05


def test_a_second_copy_of_a_factor_closes_its_gap_alone():
    """Latent values x, y, size, brightness and x again: three of four factors have a gap of 1."""
    found = disentanglement(reader(torch.eye(4)[:, [0, 1, 2, 3, 0]]))
    assert found.by_factor["x"] == pytest.approx(0.0, abs=0.01)
    assert found.mig == pytest.approx(0.75, abs=0.01)


def test_dead_latent_values_change_nothing():
    padded = torch.cat([torch.eye(4), torch.zeros(4, 3)], dim=1)
    found = disentanglement(reader(padded))
    assert found.mig == pytest.approx(1.0, abs=0.01)
    assert torch.allclose(found.information[4:], torch.zeros(3, 4).double(), atol=1e-9)


def test_information_of_a_noisy_bit_is_that_of_a_gaussian_channel():
    """z = ±1 + σζ: I(z; v) = log 2 − E log(1 + exp(−2(1 + σζ)/σ²)), by quadrature."""
    from scipy.integrate import quad
    from scipy.stats import norm

    factors = torch.tensor([0, 1]).repeat(4000)[:, None]
    mean = (2.0 * factors - 1).double()
    std = 0.9
    found = posterior_information(mean[:2000], torch.full_like(mean[:2000], 2 * math.log(std)),
                                  factors[:2000], draws=4)  # fmt: skip
    loss = quad(lambda t: norm.pdf(t) * math.log1p(math.exp(-2 * (1 + std * t) / std**2)), -12, 12)[
        0
    ]
    assert float(found[0, 0]) == pytest.approx(math.log(2) - loss, abs=0.02)


def test_binned_information_is_sklearns():
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(5, (300, 2), generator=generator)
    latent = factors[:, :1] * 0.3 + torch.randn(300, 3, generator=generator)
    found = binned_information(latent, factors)
    for j, k in itertools.product(range(3), range(2)):
        column = latent[:, j].numpy()
        edges = np.linspace(column.min(), column.max(), 21)
        bins = np.digitize(column, edges[1:-1])
        expected = mutual_info_score(bins, factors[:, k].numpy())
        assert float(found[j, k]) == pytest.approx(expected, abs=0.01)


def test_gaps_are_measured_in_each_factors_entropy():
    factors = torch.tensor([[0, 0], [1, 1], [0, 2], [1, 3]])
    information = torch.tensor([[0.6, 0.2], [0.1, 1.0], [0.4, 0.9]]).double()
    expected = [0.2 / math.log(2), 0.1 / math.log(4)]
    assert information_gaps(information, factors).tolist() == pytest.approx(expected)
    assert information_gaps(information[:1], factors)[0] == pytest.approx(0.6 / math.log(2))


# --- total correlation --------------------------------------------------------------------------


def test_tc_of_independent_latents_is_zero_and_of_copies_the_entropy_they_share():
    """d copies of one of V well-separated values: (d − 1)·log V."""
    found = disentanglement(reader(torch.eye(4)))
    assert found.total_correlation == pytest.approx(0.0, abs=1e-6)
    twice = disentanglement(reader(torch.eye(4)[:, [0, 1, 2, 3, 0, 0, 3]]))
    assert twice.total_correlation == pytest.approx(2 * math.log(8) + math.log(4), abs=1e-6)


def test_tc_of_copies_that_drown_in_noise_is_zero():
    mean = made_factors().factors[:, [0, 0]].double()
    found = aggregate_total_correlation(mean, torch.full_like(mean, 2 * math.log(1000.0)))
    assert found == pytest.approx(0.0, abs=1e-3)


def test_a_codec_without_a_posterior_has_no_total_correlation():
    found = disentanglement(Linear(latent_size=4))
    assert found.total_correlation is None
    assert 0.0 <= found.mig <= 1.0


def test_the_same_seed_gives_the_same_figures():
    turned = torch.from_numpy(linalg.hadamard(4) / 2.0)
    first, second = (disentanglement(reader(turned, 0.3), seed=3) for _ in range(2))
    assert first.mig == second.mig
    assert first.total_correlation == second.total_correlation
    assert disentanglement(reader(turned, 0.3), seed=4).mig != first.mig


# --- diversity ----------------------------------------------------------------------------------


def test_latent_diversity_is_the_ratio_of_traces_and_blind_to_a_common_shift():
    latents = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    assert latent_diversity(latents, 3 * latents + 8) == pytest.approx(9.0, rel=1e-5)
    assert latent_diversity(latents, torch.ones(20, 6)) == 0.0
    scaled = latents * torch.tensor([2.0, 1, 1, 1, 1, 1])
    variances = latents.double().numpy().var(axis=0, ddof=1)
    expected = (variances.sum() + 3 * variances[0]) / variances.sum()
    assert latent_diversity(latents, scaled) == pytest.approx(expected, rel=1e-6)


def test_generation_diversity_is_the_mean_over_all_pairs():
    images = torch.rand(7, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    pairs = [float((a - b).square().mean()) for a, b in itertools.combinations(images, 2)]
    assert generation_diversity(images) == pytest.approx(sum(pairs) / 21, rel=1e-5)


def test_a_linear_decoder_has_the_diversity_of_its_prior():
    """Orthonormal columns: tr Cov of the images is tr Cov of the latents, K for N(0, I)."""
    codec = Linear(latent_size=8)
    latents = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    expected = 2 * 8 / 1024
    assert generation_diversity(codec.decode(latents)) == pytest.approx(expected, rel=0.03)


def test_a_collapsed_decoder_scores_zero_and_black_and_white_the_most():
    assert generation_diversity(torch.full((5, 1, 4, 4), 0.3)) == 0.0
    halves = torch.zeros(10, 1, 4, 4)
    halves[:5] = 1.0
    assert generation_diversity(halves) == pytest.approx(0.5 * 10 / 9)


def test_diversity_without_variance_to_speak_of_is_refused_in_words():
    with pytest.raises(InputError, match="all 4 rows are equal"):
        latent_diversity(torch.ones(4, 2), torch.randn(4, 2))
    with pytest.raises(InputError, match="give at least 2"):
        generation_diversity(torch.zeros(1, 1, 4, 4))
