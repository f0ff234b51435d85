"""MMD between latents and prior: closed forms, unbiasedness, and differences of the kernels."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chi2, ncx2
from torch import Tensor

from channelsim.training.mmd import squared_mmd

KERNELS = ["imq", "rbf_median", "rbf_d2"]
SCALES = (0.1, 0.2, 0.5, 1, 2, 5, 10)


def shifted_pair(size: int, shift: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(size, len(shift), generator=generator, dtype=torch.float64) + shift
    return latents, torch.randn(size, len(shift), generator=generator, dtype=torch.float64)


def expected_rbf(d: int, lengths: float, bandwidth: float) -> float:
    """E exp(−‖a − b‖²/2s²) of N(m, I) and N(0, I), lengths = ‖m‖², bandwidth = s²."""
    return (1 + 2 / bandwidth) ** (-d / 2) * math.exp(-lengths / (2 * (bandwidth + 2)))


def expected_imq(d: int, lengths: float) -> float:
    """The same for Σ sC/(sC + r), through sC/(sC + r) = ∫ exp(−t − t·r/(sC)) dt."""
    return sum(
        quad(lambda t, c=s * 2 * d: math.exp(-t) * expected_rbf(d, lengths, c / (2 * t + 1e-300)),
             0, math.inf)[0]
        for s in SCALES
    )  # fmt: skip


SHIFT = torch.tensor([2.0, 0.0, -1.5, 0.8], dtype=torch.float64)
LENGTH = float(SHIFT.square().sum())


def test_rbf_d2_of_two_normals_is_the_closed_form_with_the_bias_of_a_v_statistic():
    """exp(−r/d²) has s² = d²/2; a V-statistic counts the B pairs i = i, of kernel 1, as well."""
    d, size = 4, 500
    bandwidth = d**2 / 2
    same, apart = expected_rbf(d, 0, bandwidth), expected_rbf(d, LENGTH, bandwidth)
    expected = 2 * (same - apart) + 2 * (1 - same) / size
    by_hand = 2 * (1 + 2 / bandwidth) ** (-d / 2) * (1 - math.exp(-LENGTH / (2 * (bandwidth + 2))))
    assert 2 * (same - apart) == pytest.approx(by_hand)
    found = [float(squared_mmd(*shifted_pair(size, SHIFT, s), "rbf_d2")) for s in range(16)]
    assert sum(found) / 16 == pytest.approx(expected, rel=0.04)


def test_rbf_median_of_two_normals_is_the_closed_form_at_the_medians_bandwidth():
    """‖z − z′‖² is 2·χ²_d, ‖z − p‖² twice a non-central χ²_d: their medians are known."""
    d, size = 4, 500
    bandwidth = 2 * chi2(d).median() + 2 * ncx2(d, LENGTH / 2).median()
    expected = 2 * (expected_rbf(d, 0, bandwidth) - expected_rbf(d, LENGTH, bandwidth))
    found = [float(squared_mmd(*shifted_pair(size, SHIFT, s), "rbf_median")) for s in range(16)]
    assert sum(found) / 16 == pytest.approx(expected, rel=0.04)


def test_imq_of_two_normals_is_its_mixture_of_closed_forms():
    expected = 2 * (expected_imq(4, 0) - expected_imq(4, LENGTH))
    found = [float(squared_mmd(*shifted_pair(500, SHIFT, s), "imq")) for s in range(16)]
    assert sum(found) / 16 == pytest.approx(expected, rel=0.04)


def test_a_wider_prior_widens_the_imq_kernel():
    """Everything twice as large, prior_std included, is the same discrepancy."""
    latents, prior = shifted_pair(40, SHIFT)
    wide = squared_mmd(2 * latents, 2 * prior, "imq", prior_std=2.0)
    assert float(wide) == pytest.approx(float(squared_mmd(latents, prior)), rel=1e-12)


@pytest.mark.parametrize("kernel", ["imq", "rbf_median"])
def test_equal_laws_average_to_zero_and_so_go_negative(kernel):
    found = torch.stack(
        [squared_mmd(*shifted_pair(16, torch.zeros(5), seed), kernel) for seed in range(1000)]
    )
    standard_error = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean())) < 4 * standard_error
    # The V-statistic would sit well above that: its bias is about 2·(k(0) − E k)/B.
    assert 4 * standard_error < 0.01 * (7 if kernel == "imq" else 1)
    assert float(found.min()) < 0


def test_the_pairwise_formula_written_out_gives_the_same_numbers():
    """Loops over pairs, straight from the definition, with B = 5 and d = 3."""
    latents, prior = shifted_pair(5, torch.tensor([1.0, 0.0, 2.0]))
    between = [float((z - p).square().sum()) for z in latents for p in prior]
    among = {
        name: [float((a - b).square().sum()) for i, a in enumerate(x) for j, b in enumerate(x)
               if i != j]
        for name, x in (("z", latents), ("p", prior))
    }  # fmt: skip

    def imq(r: float) -> float:
        return sum(s * 6 / (s * 6 + r) for s in SCALES)

    expected = sum(map(imq, among["z"] + among["p"])) / 20 - 2 * sum(map(imq, between)) / 25
    assert float(squared_mmd(latents, prior)) == pytest.approx(expected, rel=1e-12)

    def d2(r: float) -> float:
        return math.exp(-r / 9)

    # k(x, x) = 1 for the five points of each sample.
    expected = (10 + sum(map(d2, among["z"] + among["p"]))) / 25 - 2 * sum(map(d2, between)) / 25
    assert float(squared_mmd(latents, prior, "rbf_d2")) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_its_gradient_is_right_and_leads_latents_home(kernel):
    latents, prior = shifted_pair(6, torch.tensor([1.0, -1.0, 0.5]))
    latents.requires_grad_()
    if kernel != "rbf_median":  # whose bandwidth is held fixed, unlike in finite differences
        assert torch.autograd.gradcheck(lambda z: squared_mmd(z, prior, kernel), (latents,))
    latents, prior = shifted_pair(64, torch.tensor([1.5, 0.0, 0.0]))
    latents.requires_grad_()
    (gradient,) = torch.autograd.grad(squared_mmd(latents, prior, kernel), latents)
    assert float(gradient.mean(0)[0]) > 0


def test_rbf_d2_hardly_pulls_at_128_dimensions_where_imq_does():
    """Its exponent is 2/d there, as published; the default must not share that weakness."""
    latents, prior = shifted_pair(64, torch.full((128,), 0.3, dtype=torch.float64))
    pull = {}
    for kernel in KERNELS:
        z = latents.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(squared_mmd(z, prior, kernel), z)
        pull[kernel] = float(gradient.norm())
    assert pull["rbf_d2"] < 0.05 * pull["imq"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_latents_far_from_the_origin_keep_their_digits_in_float32(kernel):
    latents, prior = shifted_pair(32, SHIFT)
    far = squared_mmd((latents + 300).float(), (prior + 300).float(), kernel)
    assert float(far) == pytest.approx(float(squared_mmd(latents, prior, kernel)), abs=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_identical_points_everywhere_give_zero_and_a_finite_gradient(kernel):
    latents = torch.ones(4, 3, requires_grad=True)
    found = squared_mmd(latents, torch.ones(4, 3), kernel)
    (gradient,) = torch.autograd.grad(found, latents)
    assert float(found.detach()) == pytest.approx(0.0, abs=1e-6)
    assert bool(torch.isfinite(gradient).all())


def test_unlike_shapes_and_unknown_kernels_are_refused():
    with pytest.raises(ValueError, match=r"two equal shapes \[B, d\]"):
        squared_mmd(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="B at least 2"):
        squared_mmd(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="allowed are imq"):
        squared_mmd(torch.zeros(4, 3), torch.zeros(4, 3), "linear")
