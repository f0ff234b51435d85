"""Several trainings at a time, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers.patience import PATIENCE_S

from channelsim.codecs.trained import load_weights
from channelsim.sources import mnist5k
from channelsim.support.errors import InputError
from channelsim.support.weight_files import read
from channelsim.training.several import train_all
from channelsim.training.train import tasks_of

ROOT = Path(__file__).parents[2]
RECIPE: dict[str, Any] = {
    "codec": {"latent_size": 4},
    "objective": {"kind": "kld"},
    "data": {"name": "npz", "path": "digits.npz", "layout": "nchw"},
    "epochs": 1,
    "batch_size": 8,
    "seed": 3,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = (mnist5k("train").images[:60] * 255).to(torch.uint8).numpy()
    np.savez(tmp_path / "digits.npz", train_images=pixels[:40], test_images=pixels[40:])
    for name, changes in (("one", {}), ("two", {"seed": 8}), ("long", {"epochs": 2000})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**RECIPE, **changes}))
    return tmp_path


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "channelsim", "train", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained(folder: Path, *words: str) -> str:
    process = begin(folder, *words)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


def content(weights: Path) -> str:
    return read(weights).content_sha256


def test_how_many_train_at_a_time_changes_no_bit(folder: Path) -> None:
    out = trained(folder, "one.yaml", "--seeds", "1", "--workers", "2", "--out", "a")
    first, second = folder / "a/one.safetensors", folder / "a/seed-4/one.safetensors"
    trained(folder, "one.yaml", "--seed", "4", "--out", "b")
    assert content(folder / "b/one.safetensors") == content(second) != content(first)
    assert load_weights(first).card["spread"]["seeds"] == [3, 4]
    assert str(Path("a/one.safetensors")) in out


def test_several_recipes_have_a_folder_each(folder: Path) -> None:
    tasks = tasks_of([folder / "one.yaml", folder / "two.yaml"], 1, Path("out"))
    assert [task.weights.relative_to(Path("out").absolute()).as_posix() for task in tasks] == [
        "one/one.safetensors", "one/seed-4/one.safetensors",
        "two/two.safetensors", "two/seed-9/two.safetensors",
    ]  # fmt: skip
    (here,) = tasks_of([folder / "one.yaml"], 0, Path())  # whatever a folder is called
    assert here.log.name == "train.log"


def test_ctrl_c_keeps_every_training_and_leaves_no_process(folder: Path) -> None:
    words = ("long.yaml", "--seeds", "1", "--workers", "2", "--out", "kept")
    process = begin(folder, *words)
    logs = [folder / "kept" / "train.log", folder / "kept" / "seed-4" / "train.log"]
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if all(log.is_file() and "epoch" in log.read_text() for log in logs):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "training stopped with 2 of 2 left; the same command goes on from there" in err
    for log in logs:  # each had the time to keep its steps before the command ended
        assert "training stopped at step" in log.read_text()


def test_a_training_that_fails_is_named_and_stops_the_others(folder: Path) -> None:
    (folder / "wild.yaml").write_text(yaml.safe_dump({**RECIPE, "learning_rate": 1e20}))
    process = begin(folder, "long.yaml", "wild.yaml", "--workers", "2", "--out", "out")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "training wild ended with code 2" in err
    assert "lower learning_rate" in err
    assert "training stopped at step" in (folder / "out" / "long" / "train.log").read_text()


def test_two_recipes_of_one_name_are_refused(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "one.yaml").write_text(yaml.safe_dump(RECIPE))
    tasks = tasks_of([folder / "one.yaml", folder / "more" / "one.yaml"], 0, Path("out"))
    with pytest.raises(InputError, match=r"would both be kept in .*out/one; rename one of the"):
        next(train_all(tasks, None, 2, threading.Event()))


def test_only_what_is_trained_in_steps_has_further_seeds(folder: Path) -> None:
    pca = {"codec": {"architecture": "pca", "latent_size": 3}, "data": {"name": "mnist5k"}}
    (folder / "pca.yaml").write_text(yaml.safe_dump(pca))
    with pytest.raises(InputError, match="only codecs that are trained in steps differ"):
        tasks_of([folder / "pca.yaml"], 1, None)
