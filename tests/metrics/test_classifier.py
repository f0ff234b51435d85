"""The classifier of dfd and label: its file matches its card, its training is repeatable."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml

from channelsim import sources
from channelsim.metrics.classifier import (
    FORMAT,
    SmallConv,
    load_classifier,
    save_classifier,
    trunk_file,
)
from channelsim.support import weight_files
from channelsim.support.errors import InputError, Interrupted
from channelsim.training import classifier_training as training
from channelsim.training.classifier_training import read_classifier_recipe, train_classifier

RECIPE = {
    "classifier": {"architecture": "small-conv"},
    "data": {"name": "mnist5k"},
    "epochs": 2,
    "batch_size": 16,
    "seed": 3,
}


def write(folder: Path, recipe: dict, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def few_images(monkeypatch):
    """A training set of 80 digits (5 steps to the epoch) and a test set of 20."""
    train, test = sources.mnist5k("train"), sources.mnist5k("test")
    few = sources.TrainingSet(
        "mnist5k",
        train.images[:80],
        0,
        labels=train.labels[:80],
        test_images=test.images[:20],
        test_labels=test.labels[:20],
        test_name="twenty digits",
    )
    monkeypatch.setitem(sources.TRAINING_SETS, "mnist5k", lambda _root: few)
    return few


# --- the shipped classifier ---------------------------------------------------------------------


def test_the_shipped_classifier_reads_digits_as_well_as_its_card_says():
    found = load_classifier()
    assert 100_000 <= sum(p.numel() for p in found.network.parameters()) <= 300_000
    test = sources.mnist5k("test")
    with torch.no_grad():
        answers = found.network(test.images).argmax(dim=1)
    accuracy = (answers == test.labels).float().mean().item()
    # One image in a thousand may tip over where a platform rounds differently.
    assert accuracy == pytest.approx(found.card["test_accuracy"], abs=0.0011)
    assert accuracy >= 0.985
    assert found.card["data"]["left_out_as_test_images"] == 1000
    assert found.card["seed"] == found.card["recipe"]["seed"]


def test_the_shipped_file_is_the_one_its_card_was_written_for():
    path = trunk_file("mnist")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = yaml.safe_load(weight_files.card_path(path).read_text())
    assert card["sha256"] == digest == load_classifier().sha256
    assert path.stat().st_size < 500_000  # half precision
    recipe = read_classifier_recipe(path.with_suffix(".yaml")).recipe
    assert (recipe.epochs, recipe.seed) == (card["epochs"], card["seed"])


def test_a_row_does_not_care_where_it_stands_nor_among_whom():
    network = load_classifier().network
    images = sources.mnist5k("test").images[:32].clone()

    def answers(given: torch.Tensor) -> list[torch.Tensor]:
        leaf = given.clone().requires_grad_()
        found = [*network.stages(leaf), network(leaf)]
        (slope,) = torch.autograd.grad(found[-1].square().sum(), leaf)
        return [*(one.detach() for one in found), slope]

    home = answers(images)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    for moved, here in zip(answers(images[order]), home, strict=True):
        assert torch.equal(moved, here[order])
    images[1:] = torch.rand(images[1:].shape, generator=torch.Generator().manual_seed(2))
    for among_others, here in zip(answers(images), home, strict=True):
        assert torch.equal(among_others[0], here[0])


def test_a_classifier_for_colours_comes_back_from_its_file_as_it_was(tmp_path):
    torch.manual_seed(0)
    network = SmallConv(image_shape=(3, 48, 32), classes=4)
    images = torch.rand(5, 3, 48, 32)
    path = tmp_path / "c.safetensors"
    found = save_classifier(path, network, "small-conv", {"seed": 0}, precision=torch.float32)
    for name, value in network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], value)
    assert found.network(images).numpy() == pytest.approx(
        network(images).detach().numpy(), abs=1e-6
    )
    assert found.network.image_shape == (3, 48, 32)
    assert found.card["seed"] == 0
    again = load_classifier(path)
    assert again.network is found.network  # not read twice


def test_what_is_wrong_with_a_weights_file_is_said_in_words(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    with pytest.raises(InputError, match="there is no such file"):
        load_classifier(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="this is a pickle"):
        load_classifier(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=f"format None, wanted is '{FORMAT}'"):
        load_classifier(path)
    path.write_bytes(trunk_file("mnist").read_bytes()[:-7])
    with pytest.raises(InputError, match="truncated or damaged"):
        load_classifier(path)
    state = SmallConv().state_dict()
    state["head.bias"][0] = torch.nan
    del state["convs.0.bias"]
    facts = {"format": FORMAT, "architecture": "small-conv", "image_shape": [1, 32, 32]}
    weight_files.write(path, state, {**facts, "classes": 10}, {})
    with pytest.raises(InputError, match=r"convs\.0\.bias is missing; head\.bias holds NaN"):
        load_classifier(path)
    weight_files.write(path, state, {**facts, "image_shape": [1, 30, 32], "classes": 10}, {})
    with pytest.raises(InputError, match=r"damaged header .*multiples of 16"):
        load_classifier(path)
    weight_files.write(path, state, {**facts, "architecture": "small-con"}, {})
    with pytest.raises(InputError, match=r"unknown architecture 'small-con'.*small-conv"):
        load_classifier(path)
    save_classifier(path, SmallConv(), "small-conv", {})
    weight_files.card_path(path).write_text("sha256: 0123456789abcdef\n")
    with pytest.raises(InputError, match="belongs to other weights"):
        load_classifier(path)


# --- training -----------------------------------------------------------------------------------


def test_training_is_repeatable_to_the_byte_and_an_interruption_changes_nothing(
    tmp_path, few_images, monkeypatch
):
    recipe = write(tmp_path, RECIPE)
    whole = train_classifier(recipe, tmp_path / "a")
    assert train_classifier(recipe, tmp_path / "b").weights.read_bytes() == (
        whole.weights.read_bytes()
    )
    take_step = training._Trainer.take_step

    def stopped_at_step_7(self):
        loss = take_step(self)
        if self.standing.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    monkeypatch.setattr(training._Trainer, "take_step", stopped_at_step_7)
    with pytest.raises(Interrupted, match="stopped at step 7 of 10"):
        train_classifier(recipe, tmp_path / "c")
    monkeypatch.setattr(training._Trainer, "take_step", take_step)
    resumed = train_classifier(recipe, tmp_path / "c")
    assert resumed.resumed_at_step == 7
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
    again = train_classifier(recipe, tmp_path / "c")
    assert again.already_done
    other = write(tmp_path, {**RECIPE, "seed": 4})
    with pytest.raises(InputError, match="another recipe"):
        train_classifier(other, tmp_path / "c")
    assert train_classifier(other, tmp_path / "d").card["test_accuracy"] >= 0.0
    assert (tmp_path / "d" / "tiny.safetensors").read_bytes() != whole.weights.read_bytes()


def test_some_training_learns_something_and_the_card_says_what(tmp_path, few_images):
    seen: list = []
    recipe = write(tmp_path, {**RECIPE, "epochs": 30, "learning_rate": 3e-3, "title": "Tiny"})
    done = train_classifier(recipe, tmp_path / "out", on_progress=seen.append)
    assert done.card["test_accuracy"] >= 0.5  # of ten classes, from eight examples of each
    found = load_classifier(done.weights)
    with torch.no_grad():
        right = found.network(few_images.test_images).argmax(1) == few_images.test_labels
    assert done.card["test_accuracy"] == right.double().mean().item()
    assert done.card["data"]["test"] == "twenty digits"
    assert done.card["steps"] == 150
    assert seen[-1].step == seen[-1].steps_total == 150
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_recipes_and_data_are_checked_before_anything_is_trained(tmp_path, monkeypatch):
    odd = write(tmp_path, {"classifier": {}, "data": {}, "batch_sise": 3})
    with pytest.raises(InputError) as raised:
        read_classifier_recipe(odd)
    assert "epochs" in str(raised.value)
    assert "batch_sise" in str(raised.value)
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(InputError, match="a recipe is a mapping"):
        read_classifier_recipe(tmp_path / "list.yaml")
    with pytest.raises(InputError, match="there is no such file"):
        read_classifier_recipe(tmp_path / "none.yaml")
    unlabelled = sources.TrainingSet("pictures", torch.zeros(4, 1, 32, 32), 0)
    monkeypatch.setitem(sources.TRAINING_SETS, "mnist5k", lambda _root: unlabelled)
    with pytest.raises(InputError, match="comes without labels"):
        train_classifier(write(tmp_path, RECIPE), tmp_path / "out")
    assert not (tmp_path / "out").exists()
