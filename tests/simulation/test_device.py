"""What computes is named by the user, recorded, and no part of what a scenario is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.small_runs import scenario

import channelsim
from channelsim.cli.app import answer
from channelsim.contracts.run_header import RunHeader
from channelsim.signal_path.rehearsal import TrainingCodewords
from channelsim.support import device
from channelsim.support.errors import InputError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_is_a_gpu_where_there_is_one_and_a_name_is_taken_at_its_word(two_gpus: None) -> None:
    assert device.chosen("auto") == torch.device("cuda", 0)
    assert device.chosen("cuda:1") == torch.device("cuda", 1)
    assert device.chosen("cpu") == torch.device("cpu")
    assert not torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(InputError, match="cuda:2 is not here: torch finds 2 GPUs"):
        device.chosen("cuda:2")


def test_without_a_gpu_auto_is_the_cpu_and_a_gpu_is_refused_in_one_sentence(no_gpu: None) -> None:
    assert device.chosen("auto") == torch.device("cpu")
    with pytest.raises(InputError, match="torch finds no GPUs on this machine; use device: cpu"):
        device.chosen("cuda")


@pytest.mark.parametrize("given", ["gpu", "cuda:", "cuda:-1", "cuda:1234", "mps\n", "CPU", "cpu "])
def test_what_names_no_device_is_refused_where_it_stands(given: str) -> None:
    with pytest.raises(InputError, match="device: must be auto, cpu, cuda or cuda:N"):
        scenario(device=given)


def test_a_device_is_no_part_of_the_scenario_but_of_the_run(tmp_path: Path, no_gpu: None) -> None:
    plain, named = scenario(), scenario(device="cpu")
    assert (named.device, plain.device) == ("cpu", "auto")
    assert named.hash == plain.hash
    assert named.resolved == plain.resolved
    run = channelsim.run(named, out=tmp_path / "run")
    assert run.header()["computed_on"] == "cpu"
    with pytest.raises(InputError, match="it belongs to the whole run"):
        scenario(sweep={"device": ["cpu", "cuda"]})


def test_replay_takes_the_device_of_the_run_where_there_is_one(no_gpu: None) -> None:
    assert device.there_or_auto("cpu") == "cpu"
    assert RunHeader({}).computed_on == "auto"  # of a run that does not say
    assert device.there_or_auto("cuda:0") == "auto"  # recorded on another machine
    assert device.there_or_auto("a\x1bword") == "auto"


def test_the_command_line_names_it_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], no_gpu: None
) -> None:
    (tmp_path / "s.yaml").write_text(
        "source: {kind: dataset, count: 2}\nreceivers: {a: {codec: {kind: linear, latent_size: 2}}}"
    )
    words = ["run", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "run"), "--device", "cuda"]
    assert answer(words) == 2
    assert "device: cuda is not here" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_draws_for_sampled_training_codewords_lie_where_the_images_do() -> None:
    found = []
    sender = SimpleNamespace(send=lambda images, rows: found.append(rows.device))
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8, device="meta")
    TrainingCodewords(sender, images, seed=0).send(images, np.arange(4))  # type: ignore[arg-type]
    assert found == [torch.device("meta")]
