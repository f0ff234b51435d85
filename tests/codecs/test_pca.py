"""PCA as a codec: the optimum among linear codecs, deployed from a weights file like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from channelsim.codecs import Trained
from channelsim.codecs.pca import PCANetwork
from channelsim.codecs.trained import Blueprint, save_weights

SHAPE = (3, 8, 6)


def images(count: int = 200, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Tensor:
    """Smooth patterns of falling strength, and some noise, within [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    values = shape[0] * shape[1] * shape[2]
    patterns = torch.linalg.qr(torch.randn(values, 30, generator=generator)).Q.T
    strengths = torch.randn(count, 30, generator=generator) * 0.8 ** torch.arange(30)
    noise = 0.01 * torch.randn(count, values, generator=generator)
    return (0.5 + 0.3 * strengths @ patterns + noise).clamp(0, 1).view(count, *shape)


@pytest.fixture(scope="module")
def network() -> PCANetwork:
    return PCANetwork.fit(images(), 10)


def svd(data: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, singular values and right singular vectors of the centred images."""
    flat = data.flatten(1).double().numpy()
    _, values, rows = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    return flat.mean(0), values, rows


def test_components_are_numpys_singular_vectors_up_to_sign(network):
    mean, _, rows = svd(images())
    assert network.mean.numpy() == pytest.approx(mean, abs=1e-6)
    overlap = np.abs(rows[:10] @ network.components.double().numpy().T)
    assert overlap == pytest.approx(np.eye(10), abs=1e-5)


def test_its_error_is_the_sum_of_the_eigenvalues_left_out(network):
    data = images()
    _, singular, _ = svd(data)
    left_out = float((singular[10:] ** 2).sum()) / len(data)
    decoded = network.decode(network.encode(data))
    found = float((decoded - data).double().square().flatten(1).sum(1).mean())
    assert found == pytest.approx(left_out, rel=1e-4)


def test_latent_values_are_uncorrelated_with_falling_variances(network):
    """Not whitened: value j has the j-th eigenvalue for its variance."""
    data = images()
    _, singular, _ = svd(data)
    latent = network.encode(data).double()
    assert latent.mean(0).numpy() == pytest.approx(np.zeros(10), abs=1e-6)
    covariance = (latent.T @ latent / len(data)).numpy()
    assert covariance == pytest.approx(np.diag(singular[:10] ** 2) / len(data), abs=1e-6)


def test_the_decoder_is_an_isometry_and_clamps_nothing(network):
    jacobian = torch.autograd.functional.jacobian(
        lambda z: network.decode(z[None]).flatten(), torch.zeros(10)
    )
    assert torch.allclose(jacobian.T @ jacobian, torch.eye(10), atol=1e-5)
    assert float(network.decode(torch.full((1, 10), 30.0)).abs().max()) > 1
    latent = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network.encode(network.decode(latent)), latent, atol=1e-5)


def test_signs_are_settled_so_that_equal_data_in_any_order_give_equal_components(network):
    again = PCANetwork.fit(images().flip(0), 10)
    assert torch.allclose(again.components, network.components, atol=1e-5)
    peaks = network.components.gather(1, network.components.abs().argmax(1, keepdim=True))
    assert bool((peaks > 0).all())


def test_more_images_than_fit_in_one_block_give_the_same_components():
    data = images(1500, (1, 6, 6))
    _, _, rows = svd(data)
    found = PCANetwork.fit(data, 3).components.double().numpy()
    assert np.abs(rows[:3] @ found.T) == pytest.approx(np.eye(3), abs=1e-5)


def test_fewer_images_than_values_give_the_components_of_the_covariance_all_the_same():
    images = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    few, many = PCANetwork.fit(images[:50], 5), PCANetwork.fit(images[:50].repeat(2, 1, 1, 1), 5)
    assert torch.allclose(few.components, many.components, atol=1e-5)
    assert torch.allclose(few.mean, many.mean, atol=1e-6)


@pytest.mark.parametrize("rows", [3, 16, 64])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 32), (1, 8, 8)], ids=str)
def test_a_row_does_not_depend_on_its_place_in_the_batch(shape, rows):
    """To the last bit, at one shape of the batch, gradients included."""
    generator = torch.Generator().manual_seed(1)
    network = PCANetwork(latent_size=10, image_shape=shape)
    network.components.copy_(torch.randn(network.components.shape, generator=generator))
    network.mean.copy_(torch.rand(network.mean.shape, generator=generator))
    data = torch.rand(rows, *shape, generator=generator)
    latent = network.encode(data)
    order = torch.randperm(rows, generator=generator)
    assert torch.equal(network.encode(data[order]), latent[order])
    given = latent.clone().requires_grad_()
    decoded = network.decode(given)
    moved = latent[order].clone().requires_grad_()
    shuffled = network.decode(moved)
    assert torch.equal(shuffled, decoded[order])
    (gradient,) = torch.autograd.grad(decoded.square().sum(), given)
    (turned,) = torch.autograd.grad(shuffled.square().sum(), moved)
    assert torch.equal(turned, gradient[order])


def test_a_weights_file_deploys_it_as_any_other_trained_codec(network, tmp_path: Path):
    path = tmp_path / "pca.safetensors"
    blueprint = Blueprint("pca", 10, False, SHAPE)
    saved = save_weights(path, network, blueprint, {"note": "test"})
    codec = Trained(weights=path)
    assert codec.image_shape == SHAPE
    assert codec.latent_size == 10
    assert codec.card["note"] == "test"
    assert codec.card["sha256"] == saved.sha256
    data = images(20, seed=1)
    mean, std = codec.posterior(data)
    assert std is None
    assert torch.equal(mean, network.folded().encode(data))
    assert torch.equal(codec.decode(mean), network.folded().decode(mean))
    assert not codec.network.training


def test_impossible_networks_are_refused_in_words():
    with pytest.raises(ValueError, match="no posterior; it must be False"):
        PCANetwork(latent_size=4, variational=True)
    with pytest.raises(ValueError, match=r"\[1, 2, 3\] has from 1 to 6 components"):
        PCANetwork(latent_size=7, image_shape=(1, 2, 3))
    with pytest.raises(ValueError, match="5 images have at most 4 components"):
        PCANetwork.fit(images(5), 5)
