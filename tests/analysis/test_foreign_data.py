"""Notices of figures from other data than the run's: a card's power, a classifier's trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, created, sweep

import channelsim
from channelsim.analysis.caveats import warnings
from channelsim.analysis.foreign_data import same_kind, trunks
from channelsim.analysis.summary import summarise
from channelsim.contracts.run_header import RunHeader

POWER = "another mean power than the P"
TRUNK = "look through"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("mnist5k (test)", "mnist", True),
        ("cifar10", "cifar10-subset (train)", True),
        ("cifar10", "cifar100", False),
        ("mnist", "fashion-mnist", False),
        ("scans2", "scans3", False),
    ],
)
def test_data_sets_are_told_apart_by_their_names(one: str, other: str, same: bool) -> None:
    assert same_kind(one, other) is same_kind(other, one) is same


def checkered(path: Path) -> Path:
    """Pictures unlike digits: blocks of white and black, all different."""
    blocks = np.random.default_rng(2).integers(0, 2, size=(60, 4, 4), dtype=np.uint8) * 255
    images = blocks.repeat(8, axis=1).repeat(8, axis=2)
    np.savez(path, train_images=images[:40], test_images=images[40:])
    return path


def study(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "seed": 7,
        "source": source,
        "path": [{"kind": "awgn", "snr_db": 20}],
        "receivers": {"kld": {"codec": "kld-vae"}},
        "metrics": ["mse", "dfd", "label"],
        "images": 0,
    } | more


def test_images_of_another_kind_are_told_with_both_figures(tmp_path: Path):
    source = {"kind": "npz", "path": str(checkered(tmp_path / "blocks.npz"))}
    run = channelsim.run(study(source), out=tmp_path / "run")
    summary = run.summary()
    (sent,) = summary.powers
    # Each row's own SNR gives its power: the noise is the same for all.
    with run.ledger() as ledger:
        own = [row for (row,) in ledger.rows("SELECT snr_row_db FROM attempt")]
    mean_db = 10 * np.log10(np.mean(10 ** (np.array(own) / 10)))
    assert sent.ratio_db == pytest.approx(mean_db - 20)
    (said,) = [text for text in warnings(summary) if POWER in text]
    assert f"kld {sent.ratio_db:+.1f} dB" in said
    assert f"an SNR of 20.0 dB is {mean_db:.1f} dB" in said
    (looked,) = [text for text in warnings(summary) if TRUNK in text]
    assert looked.startswith("dfd and label look through mnist.safetensors")
    assert "trained on mnist, at images of blocks.npz" in looked


def test_digits_on_codecs_of_digits_are_not_worth_a_word(tmp_path: Path):
    summary = channelsim.run(
        study({"kind": "dataset", "count": 100}), out=tmp_path / "run"
    ).summary()
    assert summary.powers == ()
    assert not [text for text in warnings(summary) if POWER in text or TRUNK in text]
    assert [trunk.metric for trunk in summary.trunks] == ["dfd", "label"]
    assert not any(trunk.foreign for trunk in summary.trunks)


def test_codewords_of_one_power_have_that_of_the_card_whatever_they_carry(tmp_path: Path):
    source = {"kind": "npz", "path": str(checkered(tmp_path / "blocks.npz"))}
    summary = channelsim.run(
        study(source, power="codeword", metrics=["mse"]), out=tmp_path / "run"
    ).summary()
    assert summary.points[0].row_power == pytest.approx(1.0, rel=1e-3)
    assert summary.powers == ()


def test_without_noise_the_perturbation_tells_the_power(tmp_path: Path):
    with created(tmp_path, sweep(["a", "b"], [0.5]), 40) as ledger:
        none = {"snr_db": None, "snr_row_db": None}
        add_arm(ledger, 0, psr_db=-10.0, psr_row_db=-12.0, **none)
        add_arm(ledger, 1, psr_db=-10.0, psr_row_db=-10.1, **none)
        summary = summarise(ledger)
    (sent,) = summary.powers
    assert (sent.receiver, sent.ratio_db) == ("a", pytest.approx(2.0))
    (said,) = [text for text in warnings(summary) if POWER in text]
    assert "a PSR of -10.0 dB is -12.0 dB" in said


def test_before_the_encoder_a_perturbation_says_nothing_of_the_wire(tmp_path: Path):
    mallory = {"kind": "pgd", "name": "mallory", "budget": {"norm": "linf"}}
    path = [mallory | {"access": {"place": "before_encoder"}}]
    with created(tmp_path, sweep(["a"], [0.5]), 40, scenario={"path": path}) as ledger:
        add_arm(ledger, 0, snr_db=None, snr_row_db=None, psr_db=-10.0, psr_row_db=-14.0)
        assert summarise(ledger).powers == ()


def attacking(name: str, loss: str, epsilon: float = 0.3) -> dict[str, Any]:
    goal = {"kind": "damage", "loss": loss}
    budget = {"norm": "linf", "epsilon": epsilon}
    return {"kind": "pgd", "name": name, "goal": goal, "steps": 2, "budget": budget}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (["mse"], "the loss dfd of mallory looks through mnist.safetensors,"),
        (["mse", "label"], "label and the loss dfd of mallory look through mnist.safetensors,"),
        (
            ["dfd", "label"],
            "dfd, label and the loss dfd of mallory look through mnist.safetensors,",
        ),
    ],
)
def test_an_adversarys_loss_looks_through_a_trunk_as_a_metric_does(
    tmp_path: Path, metrics: list[str], said: str
):
    source = {"kind": "npz", "path": str(checkered(tmp_path / "blocks.npz"))}
    own = study(source, path=[attacking("mallory", "dfd")], metrics=metrics)
    summary = channelsim.run(own, out=tmp_path / "run").summary()
    (looked,) = [text for text in warnings(summary) if TRUNK in text or "looks through" in text]
    assert looked.startswith(said)
    assert "trained on mnist, at images of blocks.npz" in looked
    assert looked.endswith("attack by another loss.")
    assert ("name one trained on these" in looked) is (metrics != ["mse"])
    text = (tmp_path / "run" / "summary.txt").read_text(encoding="utf-8")
    assert "the loss dfd of mallory by mnist.safetensors (trained on mnist)" in text.replace(
        "\n", " "
    )


def test_losses_on_data_of_the_trunk_or_without_one_are_no_warning(tmp_path: Path):
    path = [attacking("a", "dfd"), attacking("b", "rfd"), attacking("c", "mse")]
    own = study({"kind": "dataset", "count": 40}, path=path, metrics=["mse"])
    summary = channelsim.run(own, out=tmp_path / "run").summary()
    (trunk,) = summary.trunks
    assert (trunk.user, trunk.foreign) == ("the loss dfd of a", False)
    assert not [text for text in warnings(summary) if "through" in text]


def test_a_loss_that_only_some_arms_have_is_told_with_them(tmp_path: Path):
    source = {"kind": "npz", "path": str(checkered(tmp_path / "blocks.npz"))}
    own = study(source, path=[attacking("mallory", "mse")], metrics=["mse"])
    own["sweep"] = {"mallory.goal.loss": ["mse", "dfd", "rfd"]}
    summary = channelsim.run(own, out=tmp_path / "run").summary()
    (said,) = [text for text in warnings(summary) if "through" in text]
    assert said.startswith("the loss dfd of mallory (arms 1) looks through")


@pytest.mark.parametrize(
    ("data", "sent", "foreign"),
    [
        ("mnist", "mnist5k (test)", False),
        ("mnist5k", "mnist (train)", False),
        ("mnist", "the codec's prior (calibrated on mnist5k)", False),
        ("mnist", "fashion-mnist (test)", True),
        ("mnist", "clothes.npz (test)", True),
        ("fashion-mnist", "fashion-mnist (test)", False),
    ],
)
def test_a_trunk_is_foreign_by_the_name_of_its_data(data: str, sent: str, foreign: bool):
    header = {
        "metric_cards": {"dfd": {"weights": "some.safetensors", "data": data}},
        "calibration": {"source": {"name": sent}},
    }
    (trunk,) = trunks(RunHeader(header))
    assert trunk.foreign is foreign
