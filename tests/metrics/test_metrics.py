"""MSE, PSNR and SSIM: against closed forms and an independent implementation, row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from channelsim.metrics import METRICS, MSE, PSNR, SSIM
from channelsim.support.errors import InputError

SHAPES = [(4, 1, 32, 32), (3, 1, 28, 28), (5, 3, 13, 21), (2, 1, 11, 11), (3, 3, 64, 37)]


def pair(shape: tuple[int, ...], kind: str = "random", seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    if kind == "random":
        return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
    # Strokes on black and a blurred, slightly noisy copy: flat regions are where SSIM is delicate.
    image = torch.zeros(shape)
    image[..., 2:-3, 4:6] = 1.0
    image[..., 5:7, 2:-2] = 0.8
    copy = 0.5 * image + 0.5 * torch.roll(image, 1, dims=-1)
    noise = 0.02 * torch.rand(shape, generator=generator)
    return image, (copy + noise * (copy > 0)).clamp(0, 1)


@pytest.fixture(scope="module")
def reference():
    from channelsim.support.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from torchmetrics.functional.image import structural_similarity_index_measure

    def ssim(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over all pixels of the mirrored image, and over those the window fits in."""
        mean, full = structural_similarity_index_measure(
            images, references, data_range=1.0, reduction="none", return_full_image=True
        )
        return mean, full[..., 5:-5, 5:-5].flatten(1).mean(1)

    return ssim


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["random", "strokes"])
def test_ssim_agrees_with_an_independent_implementation(shape, kind, reference):
    images, references = pair(shape, kind)
    mirrored, valid = reference(images, references)
    assert SSIM()(images, references).numpy() == pytest.approx(valid.numpy(), abs=1e-5)
    ours = SSIM(border="reflect")(images, references)
    assert ours.numpy() == pytest.approx(mirrored.numpy(), abs=1e-5)
    mirrored, valid = reference(images.double(), references.double())
    assert SSIM()(images.double(), references.double()).numpy() == pytest.approx(valid.numpy())


@pytest.mark.parametrize("kind", ["random", "strokes"])
def test_the_gradient_of_ssim_agrees_too(kind, reference):
    images, references = (image.double() for image in pair((3, 1, 20, 24), kind))
    images.requires_grad_()
    (ours,) = torch.autograd.grad(SSIM()(images, references).sum(), images)
    (theirs,) = torch.autograd.grad(reference(images, references)[1].sum(), images)
    assert ours.numpy() == pytest.approx(theirs.numpy(), rel=1e-6, abs=1e-9)


def test_ssim_of_two_flat_images_is_the_luminance_term():
    dark, light = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert SSIM()(dark, light).item() == pytest.approx(expected, rel=1e-4)


def test_mse_and_psnr_are_what_they_are_called():
    images, references = pair((6, 3, 9, 7))
    mse = ((images - references).double() ** 2).flatten(1).mean(1).numpy()
    assert MSE()(images, references).numpy() == pytest.approx(mse, rel=1e-6)
    assert PSNR()(images, references).numpy() == pytest.approx(-10 * np.log10(mse), rel=1e-6)
    off = torch.full((1, 1, 4, 4), 0.1)
    assert PSNR()(off, torch.zeros_like(off)).item() == pytest.approx(20.0, rel=1e-5)


@pytest.mark.parametrize("metric", [MSE(), PSNR(), SSIM()], ids=lambda m: m.kind)
def test_an_image_against_itself_is_perfect(metric):
    for images in (pair((3, 1, 16, 16), "strokes")[0], torch.zeros(3, 1, 16, 16)):
        values = metric(images, images)
        perfect = math.inf if metric.perfect is None else metric.perfect
        assert values.numpy() == pytest.approx(np.full(3, perfect), abs=1e-6)


@pytest.mark.parametrize("metric", [MSE(), PSNR(), SSIM()], ids=lambda m: m.kind)
def test_more_noise_is_worse_and_the_order_of_the_two_does_not_matter(metric):
    images = pair((4, 1, 24, 24), "strokes")[0]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    values = [metric(images, images + level * noise) for level in (0.01, 0.05, 0.2)]
    sign = 1 if metric.higher_is_better else -1
    assert (sign * values[0] > sign * values[1]).all()
    assert (sign * values[1] > sign * values[2]).all()
    swapped = metric(images + 0.2 * noise, images)
    assert swapped.numpy() == pytest.approx(values[2].numpy(), rel=1e-5)


# --- rows, shapes, types ------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [MSE(), PSNR(), SSIM(), SSIM(border="reflect")], ids=str)
@pytest.mark.parametrize("shape", [(32, 1, 32, 32), (9, 3, 13, 11), (32, 1, 15, 17)], ids=str)
def test_a_row_does_not_care_where_it_stands(metric, shape):
    def value_and_slope(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        leaf = images.clone().requires_grad_()
        values = metric(leaf, references)
        return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

    images, references = pair(shape)
    home = value_and_slope(images, references)
    order = torch.randperm(shape[0], generator=torch.Generator().manual_seed(1))
    for moved, here in zip(value_and_slope(images[order], references[order]), home, strict=True):
        assert torch.equal(moved, here[order])
    images[1:], references[1:] = pair((shape[0] - 1, *shape[1:]), seed=9)
    for among_others, here in zip(value_and_slope(images, references), home, strict=True):
        assert torch.equal(among_others[0], here[0])


def test_ssim_keeps_its_precision_under_autocast():
    images, references = pair((3, 1, 16, 16), "strokes")
    expected = SSIM()(images, references)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(SSIM()(images, references), expected)
        halved = SSIM()(images.bfloat16(), references.bfloat16())
    assert halved.dtype == torch.float32
    assert halved.numpy() == pytest.approx(expected.numpy(), abs=0.02)


def test_ssim_first_used_in_inference_mode_serves_gradients_afterwards():
    images, references = pair((2, 1, 19, 23))  # a size of no other test
    with torch.inference_mode():
        SSIM()(images, references)
    leaf = images.requires_grad_()
    (slope,) = torch.autograd.grad(SSIM()(leaf, references).sum(), leaf)
    assert torch.isfinite(slope).all()


def test_images_smaller_than_the_window_are_refused_in_words():
    for shape in [(1, 1, 10, 32), (1, 1, 32, 10)]:
        with pytest.raises(InputError, match=r"ssim: images of \d+×\d+ .* 11×11 window; use mse"):
            SSIM()(torch.zeros(shape), torch.zeros(shape))


def test_image_and_reference_must_have_one_shape():
    with pytest.raises(InputError, match=r"metric mse: image \[2, 1, 4, 4\] and reference"):
        MSE()(torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))


# --- averaging ----------------------------------------------------------------------------------


def test_psnr_is_averaged_as_mse_so_that_a_perfect_image_spoils_nothing():
    psnr = PSNR()
    values = np.array([math.inf, 20.0, 10.0])
    additive = psnr.to_additive(values)
    assert additive == pytest.approx([0.0, 0.01, 0.1])
    assert psnr.from_additive(additive) == pytest.approx(values)
    assert psnr.from_additive(np.array([additive.mean()])) == pytest.approx(
        [-10 * math.log10(0.11 / 3)]
    )
    assert psnr.from_additive(np.zeros(1)) == [math.inf]


def test_the_table_of_metrics_names_directions_and_lines():
    lines = {kind: (m.higher_is_better, m.perfect, m.limit) for kind, m in METRICS.items()}
    shipped = {
        "mse": (False, 0.0, None),
        "psnr": (True, None, 34.0),
        "ssim": (True, 1.0, 0.4),
        "ms_ssim": (True, 1.0, None),
        "dfd": (False, 0.0, None),  # Lu & Chen's line belongs to LPIPS alone
        "rfd": (False, 0.0, None),
        "lpips": (False, 0.0, 0.15),
        "label": (True, 1.0, None),
    }
    assert {kind: lines[kind] for kind in shipped} == shipped
