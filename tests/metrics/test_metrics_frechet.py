"""Fréchet distances: closed forms for Gaussians, correct names, images of a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

import channelsim
from channelsim import sources
from channelsim.ledger import Ledger
from channelsim.metrics import imagenet
from channelsim.metrics.classifier import load_classifier
from channelsim.metrics.frechet import fdd, fid, frechet_distance, moments
from channelsim.runs.population import populations
from channelsim.runs.replay import replay
from channelsim.support.errors import InputError


def covariance(size: int, rank: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(size, rank))
    return factor @ factor.T


# --- the distance of two Gaussians --------------------------------------------------------------


def test_in_one_dimension_it_is_the_gap_of_means_and_of_standard_deviations():
    found = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[9.0]]))
    assert found == pytest.approx(3.0**2 + (2.0 - 3.0) ** 2)


def test_commuting_covariances_add_up_dimension_by_dimension():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    a, b = np.array([1.0, 4.0, 0.25, 9.0, 0.0]), np.array([4.0, 1.0, 1.0, 9.0, 2.0])
    mean = np.arange(5.0)
    found = frechet_distance(
        mean, rotation @ np.diag(a) @ rotation.T, mean + 2, rotation @ np.diag(b) @ rotation.T
    )
    assert found == pytest.approx(5 * 4 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2))


def test_covariances_that_do_not_commute_agree_with_scipys_matrix_root():
    a, b = covariance(6, 9, 1), covariance(6, 9, 2)
    assert np.abs(a @ b - b @ a).max() > 1
    zero = np.zeros(6)
    expected = np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert frechet_distance(zero, a, zero, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(zero, b, zero, a) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_and_equal_sets_are_no_trouble():
    singular, zero = covariance(40, 3, 3), np.zeros(40)
    assert frechet_distance(zero, singular, zero, singular) == pytest.approx(0, abs=1e-5)
    point = np.zeros((40, 40))
    assert frechet_distance(zero, singular, zero, point) == pytest.approx(np.trace(singular))
    # Lines at right angles share nothing; along one line it is the one-dimensional case.
    x, y = np.diag([4.0, 0.0]), np.diag([0.0, 9.0])
    assert frechet_distance(np.zeros(2), x, np.zeros(2), y) == pytest.approx(13)
    assert frechet_distance(np.zeros(2), x, np.zeros(2), x * 4) == pytest.approx((4 - 2) ** 2)


def test_moments_divide_by_one_less_and_one_image_has_none():
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    mean, cov = moments(features)
    assert mean == pytest.approx([2, 2])
    assert cov == pytest.approx(np.array([[4.0, 3.0], [3.0, 3.0]]))
    with pytest.raises(InputError, match="1 images: a covariance needs at least 2"):
        moments(features[:1])


# --- fdd and fid --------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_features_that_are_no_numbers_are_said_in_a_sentence(broken):
    features = torch.ones(5, 3)
    features[2:4, 1] = broken
    with pytest.raises(InputError, match=r"of 5 images: features of 2 of them are NaN or infinite"):
        moments(features)


def test_fdd_grows_as_images_turn_to_noise_and_says_what_it_is():
    images = sources.mnist5k("test").images
    noise = torch.randn(images[:500].shape, generator=torch.Generator().manual_seed(0))
    values = [fdd(images[:500] + s * noise, images[500:]).value for s in (0.0, 0.1, 0.2, 0.4)]
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]
    same = fdd(images[:500], images[:500])
    assert same.value == pytest.approx(0, abs=1e-3 * values[0])
    assert same.name == "fdd"
    assert "fid" not in str(same).lower()
    assert (same.images, same.references) == (500, 500)
    assert same.sha256 == load_classifier().sha256
    features = load_classifier().network.features(images[:300]).double().numpy()
    others = load_classifier().network.features(images[300:]).double().numpy()
    roots = scipy.linalg.eigvals(np.cov(features.T) @ np.cov(others.T)).real.clip(min=0)
    expected = np.sum((features.mean(0) - others.mean(0)) ** 2) + np.trace(
        np.cov(features.T) + np.cov(others.T)
    )
    expected -= 2 * np.sqrt(roots).sum()
    assert fdd(images[:300], images[300:]).value == pytest.approx(expected, rel=1e-4)


def test_the_name_fid_needs_inception_and_its_error_names_fdd(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    images = sources.mnist5k("test").images[:4]
    with pytest.raises(InputError) as raised:
        fid(images, images)
    assert "inception_v3_google-0cc3c7bd.pth does not exist" in str(raised.value)
    assert "measure fdd instead, which goes by another name" in str(raised.value)
    path = tmp_path / "trunk.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is missing"):
        fid(images, images, weights=path)


@pytest.mark.slow
def test_fid_reads_torchvisions_inception(tmp_path):
    from channelsim.support.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    whole = inception_v3(weights=None, init_weights=False).eval()
    torch.save(whole.state_dict(), tmp_path / "made.pth")
    images = sources.mnist5k("test").images[:6]
    found = fid(images[:3], images[3:], weights=tmp_path / "made.pth")
    # The same through torchvision's own input mapping, which expects ImageNet's normalisation.
    seen: list[torch.Tensor] = []
    whole.avgpool.register_forward_hook(lambda *given: seen.append(given[-1].flatten(1)))
    whole.transform_input = True
    large = torch.nn.functional.interpolate(images, (299, 299), mode="bilinear", antialias=True)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        whole((large.expand(-1, 3, -1, -1) - mean) / std)
    expected = frechet_distance(*moments(seen[0][:3]), *moments(seen[0][3:]))
    assert found.value == pytest.approx(expected, rel=1e-3)
    assert "not the TensorFlow original" in found.feature
    assert found.trunk == "as given by path; nobody checked its origin"
    assert imagenet.FILES["inception"].startswith("inception_v3")


# --- the images of a run ------------------------------------------------------------------------

SCENARIO = {
    "seed": 1,
    "source": {"kind": "dataset", "count": 8},
    "link": {"loss": 0.5, "max_attempts": 2},
    "path": [
        {"kind": "noise", "name": "mallory", "budget": {"norm": "linf", "epsilon": 1.0}},
        {"kind": "awgn", "snr_db": 15},
    ],
    "receivers": {"plain": {"codec": "kld-vae"}},
    "metrics": ["mse"],
    "block_rows": 4,
    "sweep": {"mallory.budget.epsilon": [0, 2.0]},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "out"
    channelsim.run(SCENARIO, out=folder)
    return folder


def test_the_population_of_an_arm_is_that_of_the_images_its_users_saw(finished):
    found = populations(finished)
    assert [(arm.receiver, dict(arm.swept)) for arm in found] == [
        ("plain", {"mallory.budget.epsilon": 0}),
        ("plain", {"mallory.budget.epsilon": 2.0}),
    ]
    with Ledger.open(finished / "ledger.sqlite") as ledger:
        query = "SELECT delivered, attempts FROM transmission WHERE arm = 1"
        fates = set(ledger.rows(query))
    assert {("yes", 1), ("yes", 2), ("lost", 2)} <= fates
    shown = [replay(finished, 8 + message).images for message in range(8)]
    source = torch.stack([images["source"] for images in shown])
    received = fdd(torch.stack([images["received"] for images in shown]), source)
    clean = fdd(torch.stack([images["clean"] for images in shown]), source)
    assert found[1].received.value == pytest.approx(received.value, rel=1e-4)
    assert found[1].clean.value == pytest.approx(clean.value, rel=1e-4)
    assert found[1].received.images == 8
    assert found[0].clean.value == found[1].clean.value
    assert found[1].received.value > found[0].received.value


def test_arms_are_chosen_by_number_and_unknown_ones_refused(finished):
    (one,) = populations(finished, arms=[1])
    assert one.arm == 1
    with pytest.raises(InputError, match="arm 5 is not complete"):
        populations(finished, arms=[1, 5])
