"""A user's own codec has a card like one of the zoo: power, mean, training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import channelsim
from channelsim import InputError, Scenario
from channelsim.support import weight_files

CODE = """
import torch
from torch import nn
from torch.nn import functional as F


class Means(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.ones(1))

    def encode(self, images):
        return F.avg_pool2d(images, 8).flatten(1) * self.gain

    def decode(self, latent):
        return F.interpolate((latent / self.gain).reshape(-1, 1, 4, 4), scale_factor=8)


"""


def study(folder: Path, own: str = "", beside: Any = None, **source: Any) -> Scenario:
    """``own``: lines of the class; ``beside``: the card beside its weights."""
    lines = f"class Mine(Means):\n    {own or 'pass'}\n"
    (folder / "mine.py").write_text(CODE + lines)
    codec: dict[str, Any] = {"use": "./mine.py:Mine"}
    if beside is not None:
        torch.save({"gain": torch.full((1,), 2.0)}, folder / "net.pt")
        (folder / "net.card.yaml").write_text(yaml.safe_dump(beside))
        codec["weights"] = "./net.pt"
    data = {
        "seed": 1,
        "block_rows": 4,
        "source": {"kind": "dataset", "count": 4, **source},
        "path": [{"kind": "awgn", "snr_db": 20}],
        "receivers": {"mine": {"codec": codec}},
        "metrics": ["mse"],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(data))
    return Scenario.load(folder / "study.yaml")


POWER = {"transmit_power": 0.5, "latent_mean": [0.25] * 16}


@pytest.mark.parametrize("place", ["class", "weights"])
def test_the_power_of_its_card_is_the_runs(place: str, tmp_path: Path) -> None:
    facts = POWER | {"data": {"name": "mnist", "split": "train"}, "title": "Means"}
    own, beside = (f"card = {facts!r}", None) if place == "class" else ("", facts)
    _ = study(tmp_path, own, beside)
    run = channelsim.run(tmp_path / "study.yaml", out=tmp_path / "run")
    header = run.header()
    assert header["calibration"]["power"]["0"]["codec"] == 0.5
    told = header["parts"]["receiver mine"]["card"]
    assert told["data"] == {"name": "mnist", "split": "train"}
    assert told["title"] == "Means"
    assert "latent_mean" not in told


def test_another_power_is_another_study_and_another_title_is_not(tmp_path: Path) -> None:
    hashes = [
        study(tmp_path, beside=POWER | more).hash
        for more in ({}, {"title": "other words"}, {"transmit_power": 0.6})
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_what_it_states_twice_must_be_the_same(tmp_path: Path) -> None:
    twice = f"transmit_power, latent_mean = 0.5, torch.full((16,), {0.25})"
    assert study(tmp_path, twice, POWER).arms[0].receiver.codec.card["transmit_power"] == 0.5
    with pytest.raises(InputError, match=r"transmit_power is 0.6, but elsewhere its card says 0.5"):
        study(tmp_path, twice.replace("0.5", "0.6"), POWER)
    with pytest.raises(InputError, match=r"card\['title'\] is 'a', but elsewhere .* 'b'"):
        study(tmp_path, 'card = {"title": "a"}', {"title": "b"})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("card = 3", "Mine.card must be a mapping of facts, not a int"),
        ('card = {"transmit_power": 1.0}', "states one of transmit_power and latent_mean"),
        ('card = {"transmit_power": -1.0, "latent_mean": [0.0] * 16}', "a number above 0, not -1"),
        ('card = {"transmit_power": True, "latent_mean": [0.0] * 16}', "above 0, not True"),
        ('card = {"transmit_power": 1.0, "latent_mean": [0.0]}', "must be 16 numbers"),
        ('card = {"data": {1, 2}}', "must hold words, finite numbers"),
        ('card = {"data": []}; card["data"].append(card)', "is nested too deeply"),
        ('card = {"psnr": float("nan")}', "must hold words, finite numbers"),
    ],
)
def test_a_card_that_cannot_be_used_is_told(own: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        study(tmp_path, own)


@pytest.mark.parametrize("given", ["torch.full((16,), 0.25)", "(torch.zeros(16) + 0.25).numpy()"])
def test_numbers_in_an_array_are_those_of_a_list(given: str, tmp_path: Path) -> None:
    own = f'card = {{"latent_mean": {given}, "transmit_power": 0.5}}'
    for beside in (POWER, None):
        card = study(tmp_path, own, beside).arms[0].receiver.codec.card
        assert card["latent_mean"] == [0.25] * 16
    with pytest.raises(InputError, match="elsewhere its card says"):
        study(tmp_path, own.replace("0.25", "0.5"), POWER)


def test_a_small_card_stands_for_no_large_one(tmp_path: Path) -> None:
    study(tmp_path, beside=POWER)
    nested = "".join(f"b{i}: &b{i} [*b{i - 1}, *b{i - 1}]\n" for i in range(1, 40))
    (tmp_path / "net.card.yaml").write_text(f"b0: &b0 [1]\n{nested}")
    with pytest.raises(InputError, match="an alias; write the value out"):
        Scenario.load(tmp_path / "study.yaml")
    twice = [1.0, 2.0]
    file = tmp_path / "w.safetensors"
    weight_files.write(file, {}, {}, {}, {"one": twice, "other": twice})
    assert weight_files.read(file).card["other"] == twice


def test_a_card_beside_other_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="belongs to other weights"):
        study(tmp_path, beside={"sha256": "0" * 64})


@pytest.mark.parametrize(
    ("data", "source", "said"),
    [
        ("celeba", {}, "was trained on celeba (its card), and images of mnist5k are sent"),
        ({"name": "mnist5k", "split": "test"}, {}, "was trained on images that are sent"),
        ("mnist5k (train)", {"split": "train"}, "was trained on images that are sent"),
        ({"name": "mnist5k", "split": "all"}, {}, "was trained on images that are sent"),
        ({"name": "mnist5k", "split": "train"}, {}, ""),
        ("mnist", {}, ""),
        (7, {}, ""),
    ],
)
def test_its_training_data_are_compared_with_what_is_sent(
    data: Any, source: dict[str, Any], said: str, tmp_path: Path
) -> None:
    told = study(tmp_path, f"card = {{'data': {data!r}}}", **source).notices
    found = [one for one in told if "was trained" in one]
    assert len(found) == bool(said)
    assert all(said in one for one in found)
