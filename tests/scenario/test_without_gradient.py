"""Codecs that cannot be differentiated run; adversaries that would follow their gradient do not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.own_parts import adversary, refused, study, use

import channelsim
from channelsim import InputError, Scenario
from channelsim.adversaries import ADVERSARIES
from channelsim.contracts.records import Batch
from channelsim.display.decisions import threats
from channelsim.scenario.catalog import gradient_free
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.header import header
from channelsim.sources import as_float

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
    climbing = {kind for kind, cls in ADVERSARIES.items() if cls.climbs}
    assert climbing == set(ADVERSARIES) - set(gradient_free())
    assert {"pgd", "universal", "ensemble"} <= climbing


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


# --- a loss of its own --------------------------------------------------------------------------

BITS = """
class Link(Means):
    '''Sixty-four bits of a picture as ±1, decided before they are shown.'''

    def encode(self, images):
        return (F.avg_pool2d(images, 4).flatten(1) > 0.3).float() * 2 - 1

    def decode(self, latents):
        return super().decode((latents > 0).float()).detach()

    def attack_loss(self, z, sent):
        return F.softplus(-z * sent).flatten(1).sum(1)

class Wide(Link):
    def encode(self, images):
        return super().encode(images).reshape(-1, 1, 8, 8)

    def decode(self, latents):
        return super().decode(latents.flatten(1))

class Together(Link):
    def attack_loss(self, z, sent):
        return super().attack_loss(z, sent) / z.mean()

class Cut(Link):
    def attack_loss(self, z, sent):
        return super().attack_loss(z.detach(), sent)

class Summed(Link):
    def attack_loss(self, z, sent):
        return super().attack_loss(z, sent).sum()
"""
DAMAGE = {
    "kind": "pgd",
    "name": "mallory",
    "goal": {"kind": "damage"},
    "budget": {"norm": "linf", "epsilon": 1.5},
    "steps": 3,
    "step_size": 1.5,
}


def linked(folder: Path, name: str, *path: Any, **more: Any) -> Path:
    return study(folder, BITS, receivers={"mine": {"codec": use(name)}}, path=list(path), **more)


@pytest.mark.parametrize("name", ["Link", "Wide"])
@pytest.mark.parametrize("access", [{}, {"expectation": 2}])
def test_its_own_loss_is_raised_where_its_images_have_no_slope(
    name: str, access: dict[str, Any], tmp_path: Path
) -> None:
    # Every value reached is moved by 1.5 against its sign: all those bits turn.
    path = [DAMAGE | {"access": access}, {"kind": "awgn", "snr_db": 60}]
    run = channelsim.run(linked(tmp_path, name, *path), out=tmp_path / "run")
    rows = run.frame()
    assert (rows["verdict"] == "ok").all()
    assert rows["mse_clean"].to_numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["Link", "Wide"])
def test_over_the_air_it_is_raised_against_what_was_heard_and_the_mean(
    name: str, tmp_path: Path
) -> None:
    def added(access: dict[str, Any], change: bool) -> tuple[torch.Tensor, torch.Tensor]:
        file = linked(tmp_path, name, DAMAGE | {"access": access})
        (path,) = calibrate(Scenario.load(file)).paths
        images = as_float(path.images)
        if change:  # of the values behind the first sixteen
            images = torch.cat([images[:, :, :8], 1 - images[:, :, 8:]], dim=2)
        sent = dataclasses.replace(path, images=images)
        return sent.transmit(Batch.planned(np.arange(16)))[2]["injected"], sent.setting.mean

    air = {"place": "over_the_air", "listen_symbols": 8}
    delta, mean = added(air, change=False)
    assert not delta[:, :16].any()
    assert torch.equal(delta[:, 16:], (-1.5 * mean.sign())[16:].expand(16, -1))
    assert torch.equal(added(air, change=True)[0], delta)  # they were not heard
    assert not torch.equal(added({}, change=True)[0], added({}, change=False)[0])


@pytest.mark.parametrize(
    "change",
    [
        {"power": {"mode": "codeword", "level": "unit"}},
        {"path": [{"kind": "universal", "goal": {"kind": "damage"}, "steps": 8,
                   "budget": {"norm": "linf", "epsilon": 1.5}}]},
    ],
)  # fmt: skip
def test_it_is_raised_through_scaling_and_by_a_fit(change: dict[str, Any], tmp_path: Path) -> None:
    given = {"path": [DAMAGE]} | change
    run = channelsim.run(linked(tmp_path, "Link", *given.pop("path"), **given), out=tmp_path / "r")
    rows = run.frame()
    assert (rows["verdict"] == "ok").all()
    assert rows["mse_clean"].mean() > 0.4


def test_who_raises_it_is_told_and_bits_do_not_depend_on_blocks(tmp_path: Path) -> None:
    file = linked(tmp_path, "Link", DAMAGE, {"kind": "awgn", "snr_db": 5})
    told = Scenario.load(file).notices
    assert any("mallory (kind: pgd) raises Link.attack_loss, and not" in one for one in told)
    kept = header(Scenario.load(file), {})
    assert kept.attack_losses == {"mine": ("mallory",)}
    assert "mallory raises the attack_loss of mine's codec" in str(list(threats(kept)))
    whole = channelsim.run(file, out=tmp_path / "whole").frame()
    workers = channelsim.run(file, out=tmp_path / "workers", workers=1).frame()
    assert whole["delta_l2"].tolist() == workers["delta_l2"].tolist()
    assert whole["mse_source"].tolist() == workers["mse_source"].tolist()
    assert "attack_losses" not in header(Scenario.load(attacked(tmp_path, "Means", PGD)), {})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Together", "Together.attack_loss couples rows"),
        ("Cut", "Cut.attack_loss is not differentiable (autograd sees no way through it)"),
        ("Summed", "attack_loss must return shape [16], returned shape []"),
    ],
)
def test_a_loss_that_an_attack_cannot_follow_is_refused(
    name: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        Scenario.load(linked(tmp_path, name, DAMAGE))
    assert said in error.value.message


def test_it_serves_who_climbs_it_and_no_other_who_asks_for_gradients(tmp_path: Path) -> None:
    code = BITS + adversary(
        "Searching", "return torch.zeros_like(signal), ok(signal)", "goal: AnyGoal\neffort = EFFORT"
    )
    code = "from channelsim import AnyGoal\nEFFORT = {'gradients': 3}\n" + code
    stage = use("Searching", goal={"kind": "damage"}, budget={"epsilon": 0.1})
    said = refused(study(tmp_path, code, {"mine": {"codec": use("Link")}}, path=[stage]))
    assert "Link.decode is not differentiable" in said


def test_a_target_image_needs_the_decoders_gradient(tmp_path: Path) -> None:
    aimed = DAMAGE | {"goal": {"kind": "image", "target": "black"}}
    with pytest.raises(InputError, match=r"Link.decode is not .*; its attack_loss serves goal: d"):
        Scenario.load(linked(tmp_path, "Link", aimed))
    before = DAMAGE | {"access": {"place": "before_encoder"}}
    with pytest.raises(InputError, match=r"Link.encode is not differentiable"):
        Scenario.load(linked(tmp_path, "Link", before))
