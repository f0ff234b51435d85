"""Codecs that cannot be differentiated run; adversaries that would follow their gradient do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.own_parts import study, use

import channelsim
from channelsim import InputError, Scenario
from channelsim.adversaries import ADVERSARIES
from channelsim.scenario.catalog import gradient_free

CODE = """
class Digital(Means):
    def decode(self, latents):
        return super().decode(latents).detach().round()

class Modest(Means):
    differentiable = False

class Sealed(Means):
    def encode(self, images):
        with torch.no_grad():
            return super().encode(images)
"""
PGD = {
    "kind": "pgd",
    "name": "mallory",
    "goal": {"kind": "damage"},
    "budget": {"epsilon": 0.1},
    "steps": 1,
}
PER_KIND: dict[str, dict[str, Any]] = {
    "noise": {"budget": {"epsilon": 0.5}},
    "replay": {"budget": {"norm": "psr_db", "epsilon": 20}},
    "substitute": {
        "goal": {"kind": "image", "target": "black"},
        "budget": {"norm": "psr_db", "epsilon": 20},
    },
    "bit_flips": {"budget": {"norm": "bits", "epsilon": 2}},
}


def attacked(folder: Path, name: str, *path: Any) -> Path:
    return study(folder, CODE, receivers={"mine": {"codec": use(name)}}, path=list(path))


def test_every_adversary_says_whether_it_follows_a_gradient() -> None:
    assert gradient_free() == ["noise", "bit_flips", "replay", "substitute"]
    assert {kind for kind, cls in ADVERSARIES.items() if cls.climbs} == {"pgd", "universal"}


@pytest.mark.parametrize(
    ("name", "found"),
    [("Digital", "autograd sees no way"), ("Modest", "it says so: differentiable = False")],
)
def test_who_follows_a_gradient_is_refused_with_those_who_do_not(
    name: str, found: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        Scenario.load(attacked(tmp_path, name, PGD))
    said = error.value.message
    assert f"{name}.decode is not differentiable ({found}" in said
    assert "mallory (kind: pgd) follows its gradient" in said
    assert "(kind: noise, bit_flips, replay, substitute)" in said


@pytest.mark.parametrize("kind", PER_KIND)
def test_the_others_attack_it(kind: str, tmp_path: Path) -> None:
    stages: list[Any] = [{"kind": kind, **PER_KIND[kind]}]
    if kind == "bit_flips":
        stages.insert(0, {"kind": "quantiser", "bits": 4})
    run = channelsim.run(attacked(tmp_path, "Digital", *stages), out=tmp_path / "run")
    assert (run.frame()["mse_passive"] > 0).any()


def test_an_encoder_without_gradient_matters_to_those_before_it(tmp_path: Path) -> None:
    assert Scenario.load(attacked(tmp_path, "Sealed", PGD)).arms
    before = PGD | {"access": {"place": "before_encoder"}}
    with pytest.raises(InputError, match=r"Sealed.encode is not differentiable"):
        Scenario.load(attacked(tmp_path, "Sealed", before))
