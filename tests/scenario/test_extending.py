"""A scenario may say only what differs from another one beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import channelsim
from channelsim.scenario import Scenario, schema
from channelsim.support.errors import InputError

BASE = """\
title: The base
seed: 3
x-adversary: &mallory
  kind: noise
  name: mallory
  budget: {norm: linf, epsilon: 1.0}
source: {kind: dataset, count: 5}
link: {latency_s: 0.5, symbol_rate_hz: 1000}
path:
  - *mallory
receivers:
  plain: {codec: {kind: linear, latent_size: 8}}
  small: {codec: {kind: linear, latent_size: 4}}
sweep:
  mallory.budget.epsilon: [0.5, 1.0]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def loaded(folder: Path, text: str) -> Scenario:
    (folder / "more.yaml").write_text(text)
    return Scenario.load(folder / "more.yaml")


def test_what_is_not_said_is_the_bases(folder: Path) -> None:
    base = Scenario.load(folder / "base.yaml")
    assert loaded(folder, "extends: base.yaml\n").hash == base.hash


def test_mappings_merge_lists_are_replaced_and_null_removes(folder: Path) -> None:
    more = """\
extends: base.yaml
title: More
link: {latency_s: 0.1}
path: [{kind: awgn, snr_db: 10}]
receivers: {small: null, wide: {codec: {kind: linear, latent_size: 16}}}
sweep: null
"""
    whole = yaml.safe_load(BASE) | {
        "title": "More",
        "link": {"latency_s": 0.1, "symbol_rate_hz": 1000},
        "path": [{"kind": "awgn", "snr_db": 10}],
        "receivers": {
            "plain": {"codec": {"kind": "linear", "latent_size": 8}},
            "wide": {"codec": {"kind": "linear", "latent_size": 16}},
        },
    }
    del whole["sweep"]
    assert loaded(folder, more).hash == Scenario.load(whole).hash


def test_a_fault_is_told_in_the_file_it_stands_in(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE.replace("seed: 3", "seed: -3"))
    with pytest.raises(InputError) as caught:
        loaded(folder, "extends: base.yaml\nlink: {latency_s: -1}\n")
    message = caught.value.message
    assert f"{folder / 'base.yaml'}:2  seed: " in message
    assert f"{folder / 'more.yaml'}:2  link.latency_s: " in message


def test_a_run_keeps_the_resolved_scenario_and_resumes(folder: Path) -> None:
    (folder / "more.yaml").write_text("extends: base.yaml\nseed: 9\n")
    run = channelsim.run(folder / "more.yaml", out=folder / "run")
    again = Scenario.load(run.folder / "scenario.yaml")
    assert again.seed == 9
    assert again.hash == run.header()["scenario_hash"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: nowhere.yaml", "nowhere.yaml"),
        ("extends: more.yaml", "extends this file in turn"),
        ("extends: ring.yaml", "extends this file in turn"),
        ("extends: ../base.yaml", "in another folder"),
        ("extends: /etc/passwd", "in another folder"),
        ("extends: [base.yaml]", "must name a scenario file"),
        ("extends: list.yaml", "holds no scenario"),
        ('extends: "a\\0b"', "zero byte"),
        ("extends: base.yaml\nnonsense: 1", "unknown field nonsense|nonsense: unknown"),
    ],
)
def test_what_cannot_be_extended_is_refused(text: str, said: str, folder: Path) -> None:
    (folder / "ring.yaml").write_text("extends: more.yaml\n")
    (folder / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match=said):
        loaded(folder, text)


def test_an_editor_knows_both(folder: Path) -> None:
    found = schema()
    assert "extends" in found["properties"]
    assert "^x-" in found["patternProperties"]
    assert folder


def test_only_a_file_extends_and_a_linked_base_will_do(folder: Path) -> None:
    with pytest.raises(InputError, match="only a scenario file can extend"):
        Scenario.load({"extends": "base.yaml"})
    (folder / "elsewhere").mkdir()
    (folder / "base.yaml").rename(folder / "elsewhere" / "base.yaml")
    (folder / "base.yaml").symlink_to(folder / "elsewhere" / "base.yaml")
    assert loaded(folder, "extends: base.yaml\n").seed == 3
