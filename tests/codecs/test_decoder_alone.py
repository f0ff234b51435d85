"""A generator has no encoder: its codewords are drawn, and everything else is as with any codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import channelsim
from channelsim import InputError, Scenario
from channelsim.codecs.drawn import drawn_for
from channelsim.support import seeds

CODE = """
import torch
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    latent_size = 16

    def decode(self, latent):
        return F.interpolate(latent.reshape(-1, 1, 4, 4), scale_factor=8).sigmoid()


class Square(Generator):
    latent_size = (1, 4, 4)

    def decode(self, latent):
        assert latent.shape[1:] == (1, 4, 4)
        return super().decode(latent)


class Sizeless(nn.Module):
    def decode(self, latent):
        return latent


class Zero(Sizeless):
    latent_size = 0


class Loud(Generator):
    transmit_power, latent_mean = 2.0, [0.0] * 16


class Single(nn.Module):
    latent_size = 1

    def decode(self, latent):
        return latent.sigmoid().reshape(-1, 1, 1, 1).expand(-1, 1, 32, 32)


class Fitted(Generator):
    card = {"prior": "fitted"}
"""
PRIOR = {"kind": "prior", "count": 8}
AWGN = {"kind": "awgn", "snr_db": 10}
JUDGED = {"detector": {"kind": "latent-density", "false_alarm": 0.1}}
PGD = {
    "kind": "pgd",
    "name": "mallory",
    "goal": {"kind": "image", "target": "black"},
    "budget": {"norm": "psr_db", "epsilon": 0},
    "steps": 5,
}


def study(folder: Path, name: str = "Generator", **changes: Any) -> Path:
    (folder / "mine.py").write_text(CODE)
    receiver = {"codec": {"use": f"./mine.py:{name}"}} | changes.pop("receiver", {})
    data = {
        "seed": 7,
        "block_rows": 8,
        "source": PRIOR,
        "path": [AWGN],
        "receivers": {"mine": receiver},
        "metrics": ["mse"],
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(data))
    return folder / "study.yaml"


def test_what_is_shown_without_a_channel_is_the_image_of_the_draw(tmp_path: Path) -> None:
    run = channelsim.run(study(tmp_path, path=[]), out=tmp_path / "run")
    rows = run.frame()
    assert len(rows) == 8
    assert rows["mse_source"].tolist() == [0.0] * 8
    assert run.header()["calibration"]["power"]["0"]["codec"] == 1.0


def test_noise_has_the_power_that_the_prior_says(tmp_path: Path) -> None:
    run = channelsim.run(study(tmp_path, source=PRIOR | {"count": 200}), out=tmp_path / "run")
    assert run.frame()["snr_measured_db"].mean() == pytest.approx(10.0, abs=0.5)


@pytest.mark.parametrize("form", ["Generator", "Square"])
def test_it_is_attacked_judged_and_replayed_like_any_other(form: str, tmp_path: Path) -> None:
    file = study(
        tmp_path,
        form,
        path=[PGD, AWGN],
        receiver=JUDGED,
        source=PRIOR | {"count": 64},
    )
    run = channelsim.run(file, out=tmp_path / "run")
    rows = run.frame()
    assert set(rows["verdict"]) == {"ok"}
    assert rows["mse_clean"].mean() > 0
    quiet = study(tmp_path, form, source=PRIOR | {"count": 400}, receiver=JUDGED)
    benign = channelsim.run(quiet, out=tmp_path / "benign")
    rejected = (benign.frame()["delivered"] == "rejected").mean()
    assert rejected == pytest.approx(0.1, abs=0.05), "its threshold is set on draws like those sent"
    assert "weights" in run.header()["parts"]["receiver mine"]


def test_the_same_study_gives_the_same_bits_again_and_by_workers(tmp_path: Path) -> None:
    file = study(tmp_path, path=[PGD, AWGN])
    frames = [
        channelsim.run(file, out=tmp_path / str(workers), workers=workers).frame()
        for workers in (0, 1)
    ]
    assert frames[0]["mse_source"].tolist() == frames[1]["mse_source"].tolist()


def test_draws_have_the_power_that_they_have(tmp_path: Path) -> None:
    # For these pictures the mean square of the eight draws tried is 0.26: chance, and no fault.
    draw = np.random.default_rng(29)
    train, test = (draw.integers(0, 256, (n, 32, 32), dtype=np.uint8) for n in (64, 24))
    np.savez(tmp_path / "pictures.npz", train_images=train, test_images=test)
    data = {"kind": "npz", "path": "pictures.npz", "layout": "nhw"}
    told = Scenario.load(study(tmp_path, "Single", source=PRIOR | {"data": data})).notices
    assert not any("transmit_power" in one for one in told)


def test_an_image_stands_for_one_standard_normal_draw() -> None:
    images = channelsim.images("mnist5k", 500)
    drawn = drawn_for(images, 32)
    assert torch.equal(drawn_for(images[[7, 3]], 32), drawn[[7, 3]])
    assert torch.equal(drawn_for(images[[7]], 8), drawn[[7], :8])
    assert float(drawn.mean()) == pytest.approx(0.0, abs=4 / np.sqrt(drawn.numel()))
    assert float(drawn.var()) == pytest.approx(1.0, abs=4 * np.sqrt(2 / drawn.numel()))
    sent = seeds.normals(seeds.stream_key(0, "transmitter", "prior"), np.arange(500), 0, 32)
    apart = np.abs(sent[:, None, 0] - drawn.numpy()[None, :, 0]).min()
    assert apart > 0, "no message has a draw of the calibration"


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("Generator", {"source": {"kind": "dataset"}}, "has no encoder, but the source sends"),
        ("Sizeless", {}, "has no method encode; a decoder alone states the size of its latents"),
        ("Zero", {}, "this one says latent_size = 0"),
        ("Loud", {}, "codewords are standard normal, of power 1; remove transmit_power"),
        ("Fitted", {}, "let decode begin with mean + root"),
        (
            "Generator",
            {"path": [PGD | {"access": {"place": "before_encoder"}}]},
            "this source draws codewords and has no images to change",
        ),
        (
            "Generator",
            {"path": [{"kind": "substitute", "goal": PGD["goal"], "budget": PGD["budget"]}]},
            "substitute encodes an image of its choice, and the codec is a decoder alone",
        ),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_said(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        Scenario.load(study(tmp_path, name, **changes))
    assert said in error.value.message


def test_other_attacks_work_against_it(tmp_path: Path) -> None:
    universal = {
        "kind": "universal",
        "goal": {"kind": "damage"},
        "budget": {"norm": "psr_db", "epsilon": 0},
        "steps": 4,
    }
    replay = {"kind": "replay", "budget": {"norm": "psr_db", "epsilon": 20}}
    for number, one in enumerate((universal, replay)):
        run = channelsim.run(study(tmp_path, path=[one, AWGN]), out=tmp_path / str(number))
        assert (run.frame()["mse_source"] > 0).any()
