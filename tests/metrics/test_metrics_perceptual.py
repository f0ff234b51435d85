"""MS-SSIM against torchmetrics, LPIPS against its own package on trunks made for the test."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from channelsim.metrics import LPIPS, MSSSIM, SSIM, imagenet
from channelsim.support.errors import InputError
from channelsim.support.torchvision_shim import ensure_torchvision


def pair(shape: tuple[int, ...], strength: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    small = torch.rand(shape[0], shape[1], 11, 11, generator=generator)
    image = functional.interpolate(small, shape[-2:], mode="bilinear")
    noise = torch.randn(shape, generator=generator)
    return image, (image + strength * noise).clamp(0, 1)


# --- MS-SSIM ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torchmetrics_parts():
    ensure_torchvision()
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    def at_scale(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mirrored mean SSIM, SSIM where the window fits, contrast where the window fits."""
        keys = {"data_range": 1.0, "reduction": "none"}
        mirrored, full = ssim(a, b, return_full_image=True, **keys)
        _, contrast = ssim(a, b, return_contrast_sensitivity=True, **keys)
        return mirrored, full[..., 5:-5, 5:-5].flatten(1).mean(1), contrast

    return ms_ssim, at_scale


def assembled(at_scale, a: Tensor, b: Tensor, weights: list[float], border: str) -> Tensor:
    value = torch.ones(len(a), dtype=a.dtype)
    for number, weight in enumerate(weights, start=1):
        mirrored, fitting, contrast = at_scale(a, b)
        last = mirrored if border == "reflect" else fitting
        value = value * (last if number == len(weights) else contrast).clamp_min(0) ** weight
        a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
    return value


@pytest.mark.parametrize("shape", [(2, 3, 176, 181), (3, 1, 190, 177)], ids=str)
def test_five_scales_are_those_of_the_independent_implementation(shape, torchmetrics_parts):
    ms_ssim, at_scale = torchmetrics_parts
    a, b = (image.double() for image in pair(shape))
    usual = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    ours = MSSSIM()(a, b)
    assert ours.numpy() == pytest.approx(assembled(at_scale, a, b, usual, "valid").numpy())
    # The package mirrors the last scale only; that is the only difference.
    theirs = ms_ssim(a, b, data_range=1.0, reduction="none", normalize="relu")
    mirrored = assembled(at_scale, a, b, usual, "reflect")
    assert theirs.numpy() == pytest.approx(mirrored.numpy(), rel=1e-6)
    assert ours.numpy() == pytest.approx(theirs.numpy(), rel=0.03)
    assert MSSSIM()(a.float(), b.float()).numpy() == pytest.approx(ours.numpy(), abs=1e-5)


def test_fewer_scales_use_the_first_weights_scaled_to_sum_to_one(torchmetrics_parts):
    _, at_scale = torchmetrics_parts
    a, b = (image.double() for image in pair((4, 1, 45, 47)))
    total = 0.0448 + 0.2856 + 0.3001
    weights = [0.0448 / total, 0.2856 / total, 0.3001 / total]
    expected = assembled(at_scale, a, b, weights, "valid")
    assert MSSSIM(scales=3)(a, b).numpy() == pytest.approx(expected.numpy())
    one, plain = MSSSIM(scales=1)(a, b), SSIM()(a, b)
    assert one.numpy() == pytest.approx(plain.numpy())


def test_ms_ssim_of_small_images_says_what_would_fit():
    digits = torch.zeros(1, 1, 32, 32)
    match = r"ms_ssim: images of 32×32 .* scales: 5, which needs 176 pixels .* write scales: 2"
    with pytest.raises(InputError, match=match):
        MSSSIM()(digits, digits)
    with pytest.raises(InputError, match=r"images of 10×40 .* use mse or psnr"):
        MSSSIM(scales=1)(torch.zeros(1, 1, 10, 40), torch.zeros(1, 1, 10, 40))
    assert MSSSIM(scales=2)(digits, digits).item() == pytest.approx(1.0)
    assert MSSSIM(scales=2)(digits[..., :22, :22], digits[..., :22, :22]).item() == 1.0


def test_ms_ssim_falls_with_noise_is_symmetric_and_its_slope_is_finite():
    values = []
    for strength in (0.02, 0.1, 0.3):
        a, b = pair((4, 1, 32, 32), strength)
        values.append(MSSSIM(scales=2)(a, b))
        assert MSSSIM(scales=2)(b, a).numpy() == pytest.approx(values[-1].numpy(), rel=1e-5)
    assert (values[0] > values[1]).all()
    assert (values[1] > values[2]).all()
    stripes = (torch.arange(32) % 2).float().expand(2, 1, 32, 32)
    leaf = (1 - stripes).clone().requires_grad_()
    value = MSSSIM(scales=2)(leaf, stripes)  # opposite: the mean is negative and counts as 0
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    assert torch.equal(value.detach(), torch.zeros(2))
    assert torch.isfinite(slope).all()


# --- LPIPS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package():
    ensure_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lpips
        from torchvision import models
    return lpips, models


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty torch-hub cache."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def made_trunk(models, net: str, seed: int = 0) -> dict[str, Tensor]:
    """A random trunk with torchvision's names; without the large classifier on top."""
    build = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}[net]
    torch.manual_seed(seed)
    return {f"features.{name}": value for name, value in build().features.state_dict().items()}


def through_the_package(lpips, models, net: str, trunk: dict[str, Tensor]):
    """The package itself, its trunk made by torchvision and loaded by torchvision's names."""
    build = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}[net]
    whole = build()
    whole.load_state_dict(trunk, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        direct = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    for number in range(1, direct.net.N_slices + 1):
        for name, module in getattr(direct.net, f"slice{number}").named_children():
            module.load_state_dict(whole.features[int(name)].state_dict())
    return direct


def published(hub: Path, net: str, monkeypatch, trunk: dict[str, Tensor]) -> Path:
    """A made trunk in the cache, under a name that states its SHA-256 as torchvision's do."""
    path = hub / "made.pth"
    torch.save(trunk, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{imagenet.FILES[net].rpartition('-')[0]}-{digest[:8]}.pth"
    monkeypatch.setattr(imagenet, "FILES", {**imagenet.FILES, net: name})
    return path.rename(hub / name)


@pytest.mark.parametrize("net", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
def test_a_trunk_from_the_cache_measures_what_the_package_measures(net, package, hub, monkeypatch):
    lpips, models = package
    trunk = made_trunk(models, net)
    published(hub, net, monkeypatch, trunk)
    direct = through_the_package(lpips, models, net, trunk)
    metric = LPIPS(net=net)
    for shape in [(3, 3, 32, 40), (2, 1, 33, 31)]:
        a, b = pair(shape)
        wide = [image.expand(-1, 3, -1, -1) for image in (a, b)]
        with torch.no_grad():
            expected = direct(2 * wide[0] - 1, 2 * wide[1] - 1).flatten()
        assert expected.abs().min() > 1e-4
        assert metric(a, b).numpy() == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-7)
        assert torch.equal(metric(a, a), torch.zeros(len(a)))
    leaf = pair((1, 1, 32, 32))[0].requires_grad_()
    (slope,) = torch.autograd.grad(metric(leaf, leaf.detach() * 0.5).sum(), leaf)
    assert torch.isfinite(slope).all()
    assert slope.abs().max() > 0
    assert metric.card["trunk"].startswith("torchvision, ImageNet")


def test_a_file_given_by_path_is_used_and_the_record_says_nobody_checked_it(package, hub):
    _, models = package
    trunk = made_trunk(models, "alex")
    a, b = pair((2, 1, 32, 32))
    pickled, safe = hub.parent / "mine.pth", hub.parent / "mine.safetensors"
    torch.save(trunk, pickled)
    save_file({name: value.contiguous() for name, value in trunk.items()}, safe)
    first, second = LPIPS(weights=pickled), LPIPS(weights=safe)
    assert torch.equal(first(a, b), second(a, b))
    assert first.card["sha256"] == hashlib.sha256(pickled.read_bytes()).hexdigest()
    assert first.card["trunk"] == "as given by path; nobody checked its origin"
    other = hub.parent / "other.pth"
    torch.save(made_trunk(models, "alex", seed=1), other)
    assert not torch.allclose(LPIPS(weights=other)(a, b), first(a, b), rtol=0.01)


def test_a_cached_file_that_is_not_what_its_name_says_is_refused(package, hub):
    _, models = package
    torch.save(made_trunk(models, "alex"), hub / imagenet.FILES["alex"])
    with pytest.raises(InputError, match=r"alexnet-owt-7be5be79\.pth has SHA-256 .* 7be5be79"):
        _ = LPIPS().card
    (hub / imagenet.FILES["vgg"]).write_bytes(b"half a download")
    with pytest.raises(InputError, match=r"its name says 397923af"):
        LPIPS(net="vgg")(*pair((1, 1, 32, 32)))


def test_without_weights_the_error_says_where_how_and_what_instead(hub):
    metric = LPIPS()  # reading a ledger that has lpips needs no weights
    assert metric.limit == 0.15
    with pytest.raises(InputError) as raised:
        _ = metric.card
    text = str(raised.value)
    assert str(hub / "alexnet-owt-7be5be79.pth") in text
    assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in text
    assert "measure dfd instead, which goes by another name" in text
    assert "weights:" in text


def test_files_that_hold_something_else_are_refused_in_a_sentence(package, hub, tmp_path):
    _, models = package
    path = tmp_path / "odd.pth"
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds list, wanted is a mapping"):
        _ = LPIPS(weights=path).card
    path.write_bytes(b"not a file of torch at all")
    with pytest.raises(InputError, match="not a plain file of tensors"):
        _ = LPIPS(weights=path).card
    torch.save({"model": Path("code")}, path)  # a pickle of more than tensors
    with pytest.raises(InputError, match="holds code"):
        _ = LPIPS(weights=path).card
    trunk = made_trunk(models, "alex")
    del trunk["features.3.bias"]
    torch.save(trunk, path)
    with pytest.raises(InputError, match=r"features\.3\.bias is missing"):
        _ = LPIPS(weights=path).card


def test_a_file_of_weights_damaged_anywhere_is_refused_in_a_sentence(tmp_path):
    """The reader fails in many ways (IndexError, struct.error…); users see one."""
    from channelsim.metrics import imagenet

    path = tmp_path / "own.pth"
    random = np.random.default_rng(4)
    for old_format in (False, True):
        torch.save(
            {"a": torch.ones(3), "b": torch.zeros(2, 2)},
            path,
            _use_new_zipfile_serialization=not old_format,
        )
        whole = path.read_bytes()
        said = 0
        for _ in range(150):
            data = bytearray(whole)
            for place in random.integers(min(len(whole), 300), size=3):
                data[place] = random.integers(256)
            path.write_bytes(data[: random.integers(1, len(whole) + 1)])
            try:
                imagenet.find("lpips", "alex", path, "dfd")
            except InputError as error:
                said += str(path) in error.message
        assert said > 50


def test_images_too_small_or_of_odd_colours_are_refused_in_words(hub):
    small = torch.zeros(1, 1, 28, 28)
    match = r"net alex needs images of at least 31 pixels each way, these have 28×28; use net: vgg"
    with pytest.raises(InputError, match=match):
        LPIPS()(small, small)
    with pytest.raises(InputError, match=r"at least 16 pixels.*use dfd or rfd"):
        LPIPS(net="vgg")(small[..., :8, :8], small[..., :8, :8])


def test_the_names_of_files_are_those_that_torchvision_publishes(package):
    _, models = package
    urls = {
        "alex": models.AlexNet_Weights,
        "vgg": models.VGG16_Weights,
        "squeeze": models.SqueezeNet1_1_Weights,
        "inception": models.Inception_V3_Weights,
    }
    for net, weights in urls.items():
        assert weights.IMAGENET1K_V1.url == imagenet.URL + imagenet.FILES[net]
