"""Metrics that look through weights, in a run: named early, recorded, read the right way round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from channelsim.catalog.catalog import listing
from channelsim.errors import InputError
from channelsim.fingerprint import header
from channelsim.metrics.classifier import SmallConv, load_classifier, save_classifier
from channelsim.robustness.scales import damage_metric, scale_of
from channelsim.scenario import Scenario

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
    cards = header(load("mse", "dfd", "rfd", "label"), {})["metric_cards"]
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
