"""Metrics with network weights in a run: named early, recorded, read in the right direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import channelsim
from channelsim.adversaries import goals
from channelsim.contracts.records import Started
from channelsim.contracts.scales import damage_metric, scale_of
from channelsim.ledger import Ledger, differences
from channelsim.metrics import DatasetFeatureDistance
from channelsim.metrics.classifier import SmallConv, load_classifier, save_classifier
from channelsim.scenario import Scenario
from channelsim.scenario.listing import listing
from channelsim.simulation.header import header
from channelsim.support.errors import InputError

SCENARIO = {
    "source": {"kind": "dataset", "count": 12},
    "path": [{"kind": "awgn", "snr_db": 10}],
    "receivers": {"plain": {"codec": "kld-vae"}},
}


def load(*metrics: object) -> Scenario:
    return Scenario.load({**SCENARIO, "metrics": list(metrics)})


def a_classifier(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path = folder / "own.safetensors"
    save_classifier(path, SmallConv(), "small-conv", {"seed": seed})
    return path


def test_the_header_says_which_weights_the_metrics_looked_through():
    cards = header(load("mse", "dfd", "rfd", "label"), {}).metric_cards
    assert list(cards) == ["dfd", "rfd", "label"]
    assert cards["dfd"]["sha256"] == cards["label"]["sha256"] == load_classifier().sha256
    assert cards["rfd"]["seeds"] == [0, 1, 2, 3, 4]


def test_other_weights_under_the_same_name_are_another_scenario(tmp_path):
    metric = {"kind": "dfd", "weights": str(a_classifier(tmp_path, 0))}
    first = load("mse", metric)
    assert load("mse", metric).hash == first.hash
    a_classifier(tmp_path, 1)
    assert load("mse", metric).hash != first.hash
    assert load("mse", "dfd").hash != first.hash


def attack(loss: str) -> dict[str, object]:
    return {
        "kind": "pgd",
        "name": "mallory",
        "goal": {"kind": "damage", "loss": loss},
        "budget": {"norm": "l2", "epsilon": 1.0},
        "steps": 5,
        "step_size": 0.5,
        "start": "sphere",
    }


def attacked(loss: str) -> Scenario:
    return Scenario.load({**SCENARIO, "path": [attack(loss)], "metrics": ["mse"]})


def test_the_header_says_which_weights_an_adversarys_loss_looked_through():
    card = header(attacked("dfd"), {}).loss_cards["mallory"]
    assert (card["loss"], card["sha256"]) == ("dfd", load_classifier().sha256)
    assert header(attacked("rfd"), {}).loss_cards["mallory"]["seeds"] == [0, 1, 2, 3, 4]
    assert header(attacked("mse"), {}).loss_cards == {}


def test_another_trunk_behind_an_adversarys_loss_is_another_scenario(tmp_path, monkeypatch):
    first = {loss: attacked(loss).hash for loss in ("mse", "dfd")}
    assert attacked("dfd").hash == first["dfd"]
    remade = DatasetFeatureDistance(weights=a_classifier(tmp_path, 0))
    monkeypatch.setattr(goals, "_LOSSES", {**goals._LOSSES, "dfd": remade})
    assert attacked("dfd").hash != first["dfd"]
    assert attacked("mse").hash == first["mse"]


def test_metrics_and_losses_that_do_not_fit_the_images_are_said_with_their_place(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", images=images)
    scenario = {
        **SCENARIO,
        "source": {"kind": "npz", "path": str(tmp_path / "colour.npz")},
        "path": [attack("dfd")],
        "receivers": {"plain": {"codec": {"kind": "linear", "image_shape": [3, 32, 32]}}},
        "metrics": ["mse", "ms_ssim", "dfd"],
    }
    with pytest.raises(InputError) as raised:
        Scenario.load(scenario)
    text = str(raised.value)
    assert "metrics[1]: metric ms_ssim: images of 32×32 pixels are too small for scales: 5" in text
    assert "metrics[2]: metric dfd: images of shape [3, 32, 32]" in text
    assert "path[0].goal.loss: loss dfd: images of shape [3, 32, 32]" in text
    assert "trained on [1, 32, 32]; use rfd, mse or ssim" in text


def test_within_a_block_every_batch_goes_through_the_trunk_once(tmp_path, monkeypatch):
    seen: list[int] = []
    features = DatasetFeatureDistance._features

    def counted(self: DatasetFeatureDistance, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return features(self, images)

    monkeypatch.setattr(DatasetFeatureDistance, "_features", counted)
    scenario = {
        **SCENARIO,
        "path": [attack("mse")],
        "metrics": ["dfd"],
        "control": True,
        "block_rows": 32,
    }
    # Calls of the self-test before the run are not counted.
    channelsim.run(
        scenario,
        out=tmp_path / "run",
        on_event=lambda event: seen.clear() if isinstance(event, Started) else None,
    )
    # Source, clean, passive, received and control; the seven comparisons would take 14.
    assert seen.count(8) == seen.count(4) == 5, "12 rows are a block of 8 and one of 4"


def test_missing_weights_are_said_when_the_scenario_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError) as raised:
        load("mse", {"kind": "dfd", "weights": "none.safetensors"}, "lpips")
    text = str(raised.value)
    assert "metrics[1]" in text
    assert "none.safetensors: there is no such file" in text
    assert "metrics[2]" in text
    assert "measure dfd instead" in text


def test_a_summary_knows_their_directions_without_any_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name, better in {"dfd": False, "rfd": False, "lpips": False, "label": True}.items():
        scale = scale_of(name)
        assert scale.higher_is_better is better
        assert scale.damaging
    assert scale_of("label").damage(0.9) == pytest.approx(0.1)
    assert damage_metric(["label", "dfd"]) == "dfd"


def test_the_list_describes_them_by_their_first_sentence():
    lines = "\n".join(listing()["metrics"])
    for text in (
        "dfd             Distance between the features that a trunk trained on the data set",
        "rfd             Distance between the features that untrained",
        "label           Whether a classifier gives image and reference the same label",
        "lpips           Learned perceptual image patch similarity",
        "ms_ssim         Structural similarity on several scales of one image",
    ):
        assert text in lines


@pytest.mark.parametrize("loss", ["dfd", "rfd"])
def test_an_adversary_that_follows_a_feature_distance_moves_it_further_than_noise(loss, tmp_path):
    scenario = {**SCENARIO, "path": [attack(loss)], "metrics": [loss], "control": True}
    channelsim.run(scenario, out=tmp_path / "run")
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        query = f"SELECT verdict, {loss}_clean, control_{loss}_clean FROM attempt"
        rows = list(ledger.rows(query))
    assert {verdict for verdict, _, _ in rows} == {"ok"}
    assert sum(found for _, found, _ in rows) > 2 * sum(noise for _, _, noise in rows)


def test_nothing_of_a_feature_metric_depends_on_scheduling_or_earlier_batches(tmp_path):
    """Features of a batch are cached while it lives; results must not depend on that."""
    scenario = {**SCENARIO, "metrics": ["dfd", "rfd", "label"], "control": True, "block_rows": 5}
    for name, pending in (("a", 1), ("b", 7)):
        channelsim.run({**scenario, "max_pending": pending}, out=tmp_path / name)
    with (
        Ledger.open(tmp_path / "a" / "ledger.sqlite") as one,
        Ledger.open(tmp_path / "b" / "ledger.sqlite") as other,
    ):
        assert differences(one, other) == []
