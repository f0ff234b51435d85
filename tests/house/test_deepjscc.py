"""The trained DeepJSCC codecs that are shipped: what their cards say, and what they are for."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import channelsim
from channelsim.scenario import Scenario

OWN = Path(__file__).parents[2] / "scenarios" / "own"
NAMES = ["deepjscc", "told_deepjscc"]
SNRS_DB = [0, 5, 10, 15, 20]
SUBSET = Path(os.environ.get("CHANNELSIM_DATA", "/nowhere")) / "cifar10_subset.npz"


@pytest.fixture(scope="module")
def trainer() -> Any:
    """The training script."""
    sys.path.insert(0, str(OWN))
    try:
        yield importlib.import_module("train_deepjscc")
    finally:
        sys.path.remove(str(OWN))
        for name in ("train_deepjscc", "deepjscc"):
            sys.modules.pop(name, None)


def card(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OWN / f"{name}.card.yaml").read_text("utf-8"))
    return found


def trained(name: str, trainer: Any) -> Any:
    codec = trainer.CODECS[name][0]().eval()
    codec.load_state_dict(load_file(OWN / f"{name}.safetensors"))
    return codec


def test_the_cards_are_read_with_the_weights() -> None:
    scenario = Scenario.load(OWN / "deepjscc.yaml")
    for arm in scenario.arms:
        said = card("deepjscc" if arm.receiver_name == "at-10-db" else "told_deepjscc")
        assert arm.receiver.codec.card["sha256"] == said["sha256"]
        assert arm.receiver.codec.card["data"] == said["data"]
    told = [note for note in scenario.notices if "was trained on cifar10-subset" in note]
    assert len(told) == 2  # and tiles of photographs are sent


@pytest.mark.skipif(not SUBSET.is_file(), reason="needs cifar10_subset.npz under CHANNELSIM_DATA")
def test_images_that_the_codec_was_trained_on_are_told() -> None:
    source = {"kind": "dataset", "name": "cifar10-subset", "split": "train", "count": 8}
    notices = Scenario.load(OWN / "deepjscc.yaml", {"source": source}).notices
    assert any("DeepJSCC was trained on images that are sent" in notice for notice in notices)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_of_its_weights(name: str, trainer: Any) -> None:
    weights, said = OWN / f"{name}.safetensors", card(name)
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == said["sha256"]
    assert weights.stat().st_size < 1_500_000
    codec = trained(name, trainer)
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    side = [channelsim.Side.of(torch.linspace(0, 20, 8))] * codec.takes_snr
    with torch.no_grad():
        latent = codec.encode(images, *side)
    assert latent.shape == (8, said["latent_size"])
    assert latent.square().mean(dim=1).tolist() == pytest.approx([1.0] * 8, abs=1e-4)


@pytest.mark.skipif(not SUBSET.is_file(), reason="needs cifar10_subset.npz under CHANNELSIM_DATA")
@pytest.mark.parametrize("name", NAMES)
def test_a_card_states_what_is_measured(name: str, trainer: Any) -> None:
    said, codec = card(name), trained(name, trainer)
    test = channelsim.images("cifar10-subset", split="test")
    assert hashlib.sha256(test.numpy().tobytes()).hexdigest() == said["data"]["test_sha256"]
    for snr_db in (0, 20):
        found = trainer.quality(codec, test, snr_db)
        assert found == pytest.approx(said["psnr_db"][snr_db], abs=0.05)


@pytest.fixture(scope="module")
def psnr(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Mean PSNR in dB over the SNR, by receiver, without an adversary."""
    out = tmp_path_factory.mktemp("deepjscc") / "run"
    nobody: dict[str, Any] = {"kind": "pgd", "goal": {"kind": "damage"}}
    nobody["budget"] = {"norm": "psr_db", "epsilon": -math.inf}
    few = {"source.count": 16, "path.0": nobody, "block_rows": 16}
    frame = channelsim.run(OWN / "deepjscc.yaml", set=few, out=out).frame()
    return frame.groupby(["receiver", "awgn.snr_db"])["psnr_source"].mean()


@pytest.mark.parametrize("receiver", ["at-10-db", "told"])
def test_quality_rises_with_the_snr_and_falls_off_no_cliff(receiver: str, psnr: Any) -> None:
    found = psnr[receiver].to_numpy()
    steps = found[1:] - found[:-1]
    assert (steps > 0).all()
    assert steps.max() < 4.0  # dB of PSNR for 5 dB of SNR
    assert found[-1] - found[0] > 2.0


def test_the_codec_that_is_told_the_snr_suffers_where_it_is_told_a_wrong_one(psnr: Any) -> None:
    assert psnr["told", 0] > psnr["misled", 0] + 0.3
    assert psnr["told", 20] == psnr["misled", 20]  # which is what it is always told


def test_the_codec_that_is_told_the_snr_is_the_better_one_away_from_10_db(psnr: Any) -> None:
    assert psnr["told", 0] > psnr["at-10-db", 0]
    assert psnr["told", 20] > psnr["at-10-db", 20]


def test_training_learns_and_is_the_same_again(trainer: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(128, 3, 1, 1, generator=generator).expand(-1, -1, 32, 32).contiguous()
    codec, _ = trainer.train("told_deepjscc", images, 2)
    again, _ = trainer.train("told_deepjscc", images, 2)
    state, other = codec.state_dict(), again.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    untrained = trainer.CODECS["told_deepjscc"][0]()
    assert trainer.quality(codec, images, 10) > trainer.quality(untrained, images, 10) + 0.1
