"""dfd, rfd and label: properties of a distance, and correct names."""

from __future__ import annotations

import copy
import gc
import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from channelsim import sources
from channelsim.adversaries.goals import distance
from channelsim.metrics import (
    METRICS,
    DatasetFeatureDistance,
    LabelKept,
    RandomFeatureDistance,
    memory,
)
from channelsim.metrics.classifier import SmallConv, load_classifier, save_classifier
from channelsim.support.errors import InputError

DFD, RFD, LABEL = DatasetFeatureDistance(), RandomFeatureDistance(), LabelKept()
DISTANCES = [DFD, RFD]


def digits(count: int = 16) -> Tensor:
    return sources.mnist5k("test").images[:count].clone()


def noise(like: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


# --- properties of a distance -------------------------------------------------------------------


@pytest.mark.parametrize("metric", DISTANCES, ids=lambda m: m.kind)
def test_the_distance_is_zero_to_itself_positive_to_others_symmetric_and_bounded(metric):
    images = digits()
    others = images.roll(3, dims=0)
    assert torch.equal(metric(images, images.clone()), torch.zeros(16))
    there = metric(images, others)
    assert (there > 0.01).all()
    assert torch.equal(metric(others, images), there)
    extreme = metric(torch.zeros_like(images), torch.ones_like(images))
    assert (extreme <= 2.0).all()
    assert (extreme > there.mean()).all()


@pytest.mark.parametrize("metric", DISTANCES, ids=lambda m: m.kind)
@pytest.mark.parametrize("level", [0.0, 1.0], ids=["black", "white"])
def test_nothing_jumps_at_black(metric, level):
    """On [0, 1] without bias, black has no features: normalising them would make a jump of 1."""
    flat = torch.full((8, 1, 32, 32), level)
    small = metric(flat + 1e-3 * noise(flat), flat)
    smaller = metric(flat + 1e-4 * noise(flat), flat)
    assert (small < 1e-3).all()
    # Differentiable there, so a tenth of the noise makes a hundredth of the squared distance.
    assert (small / smaller).median().item() == pytest.approx(100, rel=0.5)


@pytest.mark.parametrize("metric", [*DISTANCES, LABEL], ids=lambda m: m.kind)
def test_more_noise_is_worse(metric):
    images = digits(100)
    levels = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8]
    means = [metric(images + level * noise(images), images).mean().item() for level in levels]
    steps = np.diff(means) * (-1 if metric.higher_is_better else 1)
    assert (steps >= 0).all()
    assert steps.sum() > 0.1
    if metric in DISTANCES:
        assert (steps > 0).all()


def test_every_random_trunk_alone_orders_noise_and_they_agree_about_images():
    from scipy.stats import spearmanr

    many = RandomFeatureDistance(seeds=tuple(range(10)))
    images = digits(60)
    by_level = torch.stack(
        [many.per_seed(images + s * noise(images), images).mean(1) for s in (0.02, 0.1, 0.3)]
    )
    assert (by_level.diff(dim=0) > 0).all()
    strength = torch.linspace(0.01, 0.4, 60).view(-1, 1, 1, 1)
    values = many.per_seed(images + strength * noise(images), images).numpy()
    ranks = spearmanr(values, axis=1).statistic
    assert ranks.min() > 0.97
    assert many(images, images + strength).numpy() == pytest.approx(
        many.per_seed(images, images + strength).mean(0).numpy(), abs=1e-7
    )


# --- the formula, written out another way -------------------------------------------------------


def by_hand(left: list[Tensor], right: list[Tensor]) -> Tensor:
    layers = []
    for a, b in zip(left, right, strict=True):
        a, b = functional.normalize(a.double()), functional.normalize(b.double())
        layers.append((a - b).square().sum(1).mean((1, 2)))
    return torch.stack(layers).mean(0)


def test_dfd_is_the_mean_squared_difference_of_unit_features():
    images, others = digits(), digits().roll(1, dims=0)
    network = copy.deepcopy(load_classifier().network).double()
    expected = by_hand(network.stages(images.double()), network.stages(others.double()))
    assert DFD(images, others).numpy() == pytest.approx(expected.numpy(), rel=1e-4)


def test_rfd_runs_he_normal_trunks_of_stated_shape():
    from channelsim.metrics.features import _random_trunk

    images, others = torch.rand(4, 3, 20, 16), torch.rand(4, 3, 20, 16)
    values = RFD.per_seed(images, others)
    for seed, found in zip(RFD.seeds, values, strict=True):
        first, second, third = _random_trunk(seed, 3, torch.device("cpu"))
        assert [tuple(k.shape) for k in (first, second, third)] == [
            (16, 3, 4, 4), (32, 16, 3, 3), (32, 32, 3, 3),
        ]  # fmt: skip
        for kernel in (second, third):
            assert kernel.var().item() == pytest.approx(2 / kernel[0].numel(), rel=0.1)

        def through(x: Tensor, kernels=(first, second, third)) -> list[Tensor]:
            one = functional.conv2d(2 * x - 1, kernels[0], stride=2, padding=1).relu()
            two = functional.conv2d(functional.avg_pool2d(one, 2), kernels[1], padding=1).relu()
            three = functional.conv2d(functional.avg_pool2d(two, 2), kernels[2], padding=1).relu()
            return [one, two, three]

        expected = by_hand(through(images), through(others))
        assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-6)


def test_label_compares_the_classifiers_answers():
    images = digits(40)
    network = load_classifier().network
    answers = network(images).argmax(1)
    others = images.roll(7, dims=0)
    expected = (answers == answers.roll(7)).float()
    assert torch.equal(LABEL(images, others), expected)
    assert torch.equal(LABEL(images, images.flip(0)), (answers == answers.flip(0)).float())
    assert LABEL(images, images.roll(10, dims=0)).mean() > 0.9  # other digits of the same classes


# --- rows, processes, gradients -----------------------------------------------------------------


@pytest.mark.parametrize("metric", DISTANCES, ids=lambda m: m.kind)
@pytest.mark.parametrize("count", [32, 9, 7, 5])
def test_a_row_does_not_care_where_it_stands(metric, count):
    def value_and_slope(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        leaf = images.clone().requires_grad_()
        values = metric(leaf, references)
        return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

    images, references = digits(count), digits(count).roll(1, dims=0)
    home = value_and_slope(images, references)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    for moved, here in zip(value_and_slope(images[order], references[order]), home, strict=True):
        assert torch.equal(moved, here[order])
    images[1:], references[1:] = torch.rand_like(images[1:]), torch.rand_like(images[1:])
    for among_others, here in zip(value_and_slope(images, references), home, strict=True):
        assert torch.equal(among_others[0], here[0])


def test_another_process_measures_the_same_bits():
    program = (
        "import hashlib, torch; torch.set_num_threads(1)\n"
        "from channelsim import sources; from channelsim.metrics import METRICS\n"
        "x = sources.mnist5k('test').images[:8]; y = x.roll(1, dims=0)\n"
        "v = [METRICS[k]()(x, y).numpy().tobytes() for k in ('dfd', 'rfd', 'label')]\n"
        "print(hashlib.sha256(b''.join(v)).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = sources.mnist5k("test").images[:8]
        values = [m(x, x.roll(1, dims=0)).numpy().tobytes() for m in (DFD, RFD, LABEL)]
    finally:
        torch.set_num_threads(threads)
    assert hashlib.sha256(b"".join(values)).hexdigest() == there


@pytest.mark.parametrize("metric", DISTANCES, ids=lambda m: m.kind)
def test_the_gradient_is_that_of_the_values(metric):
    images = digits(4) * 0.8 + 0.1
    references = images.roll(1, dims=0)
    leaf = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(distance(metric.kind, leaf, references).sum(), leaf)
    assert torch.isfinite(slope).all()
    ahead = noise(images, 3)
    ahead /= ahead.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    step = 0.02
    measured = (
        metric(images + step * ahead, references) - metric(images - step * ahead, references)
    ) / (2 * step)
    assert (slope * ahead).sum((1, 2, 3)).numpy() == pytest.approx(
        measured.numpy(), rel=0.05, abs=2e-3
    )
    black = torch.zeros(2, 1, 32, 32, requires_grad=True)
    (flat,) = torch.autograd.grad(metric(black, torch.zeros(2, 1, 32, 32)).sum(), black)
    assert torch.equal(flat, torch.zeros_like(flat))


def test_label_has_no_gradient_and_is_no_loss():
    leaf = digits(2).requires_grad_()
    assert not LABEL(leaf, digits(2)).requires_grad
    from pydantic import ValidationError

    from channelsim.adversaries.goals import Damage

    assert Damage(loss="dfd").loss == "dfd"
    with pytest.raises(ValidationError, match="loss"):
        Damage(loss="label")


def test_an_attack_on_the_features_moves_them_more_than_noise_does():
    images = digits(8)
    delta = (0.01 * noise(images)).requires_grad_()
    (slope,) = torch.autograd.grad(distance("dfd", images + delta, images).sum(), delta)
    step = 0.05 * slope.sign()
    random = 0.05 * noise(images, 5).sign()
    assert (DFD(images + step, images) > DFD(images + random, images)).all()


# --- memory of features -------------------------------------------------------------------------


def test_features_are_remembered_for_living_unchanged_tensors_of_one_block_only(monkeypatch):
    asked: list[int] = []

    def compute(images: Tensor) -> Tensor:
        asked.append(1)
        return images * 2

    def of(images: Tensor) -> Tensor:
        return memory.remembered(DFD, images, compute)

    x = torch.ones(2)
    assert of(x) is not of(x)
    with memory.remembering():
        assert of(x) is of(x)
        assert len(asked) == 3
        assert memory.remembered(RFD, x, lambda images: images * 3)[0] == 3.0
        x.add_(1)
        assert torch.equal(of(x), torch.full((2,), 4.0))
        leaf = torch.ones(2, requires_grad=True)
        assert of(leaf).requires_grad
        assert of(leaf) is not of(leaf)
        with torch.inference_mode():
            of(x)
            of(torch.ones(2))
        block = memory._OPEN.get()
        assert block is not None
        del block.entries[id(RFD), id(x)]
        monkeypatch.setattr(memory, "MOST_BYTES", 5 * 4)  # five numbers
        many = [torch.full((1,), float(i)) for i in range(30)]
        for value in many:
            assert of(value).item() == 2 * value.item()
        assert len(block.entries) == 5
        asked.clear()
        large = torch.zeros(6)
        assert of(large) is not of(large)
        del many, value, x, large
        gc.collect()
        assert not block.entries
    assert memory._OPEN.get() is None


@pytest.mark.parametrize("metric", DISTANCES, ids=lambda m: m.kind)
def test_writing_to_a_batch_behind_torchs_back_shows_in_the_next_value(metric):
    images, others = digits(2), digits(2).roll(1, dims=0)
    before = metric(images, others)
    images.data.copy_(others)
    assert torch.equal(metric(images, others), torch.zeros(2))
    shared = digits(2).numpy()
    same = torch.from_numpy(shared)
    assert torch.equal(metric(same, others), before)
    shared[:] = others.numpy()
    assert torch.equal(metric(same, others), torch.zeros(2))


def test_values_do_not_depend_on_what_was_measured_before():
    images, others = digits(), digits().roll(1, dims=0)
    first = DFD(images, others)
    again = DatasetFeatureDistance()(images.clone(), others.clone())
    assert torch.equal(first, DFD(images, others))
    assert torch.equal(first, again)
    with memory.remembering():
        assert torch.equal(first, DFD(images, others))
        images.zero_()
        assert torch.equal(DFD(images, others), DFD(torch.zeros_like(images), others))


# --- names, cards, refusals ---------------------------------------------------------------------


def test_the_card_says_which_trunk_was_used_and_nothing_claims_to_be_lpips(tmp_path):
    card = DFD.card
    assert card["sha256"] == load_classifier().sha256
    assert (card["data"], card["seed"]) == ("mnist", 5)
    assert card["test_accuracy"] >= 0.985
    assert RFD.card["seeds"] == [0, 1, 2, 3, 4]
    assert "[-1, 1]" in RFD.card["input_range"]
    for metric in (DFD, RFD, LABEL):
        assert "lpips" not in str([metric.kind, metric.card]).lower()
    torch.manual_seed(0)
    path = tmp_path / "other.safetensors"
    save_classifier(path, SmallConv(), "small-conv", {"seed": 0, "data": {"name": "x"}})
    other = DatasetFeatureDistance(weights=path)
    assert other.card["sha256"] != card["sha256"]
    assert (other(digits(), digits().flip(0)) - DFD(digits(), digits().flip(0))).abs().max() > 0.01


def test_rfd_needs_five_seeds_and_both_say_what_images_they_take():
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="seeds"):
        RandomFeatureDistance(seeds=(0, 1, 2, 3))
    with pytest.raises(ValidationError, match="1 is in the list twice"):
        RandomFeatureDistance(seeds=(1, 1, 1, 1, 1))
    with pytest.raises(InputError, match=r"rfd: images of 7×32 pixels are too small"):
        RFD(torch.zeros(1, 1, 7, 32), torch.zeros(1, 1, 7, 32))
    for metric in (DFD, LABEL):
        match = rf"{metric.kind}: images of shape \[3, 32, 32\], .*mnist\.safetensors .* or use rfd"
        with pytest.raises(InputError, match=match):
            metric(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
    assert METRICS["rfd"]()(torch.zeros(1, 3, 9, 8), torch.ones(1, 3, 9, 8)).item() > 0


def test_a_missing_trunk_is_said_when_the_card_is_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors: there is no such file"):
        _ = DatasetFeatureDistance(weights=tmp_path / "none.safetensors").card
