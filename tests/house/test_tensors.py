"""Parts on tensors: the numbers of a run, without a scenario."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import channelsim
from channelsim import AWGN, PGD, Budget, InputError, LatentDensity, Noise, TargetImage

BLACK = TargetImage(target="black")
MALLORY = PGD(name="mallory", goal=BLACK, budget=Budget(norm="linf", epsilon=1.0))


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return channelsim.images("mnist5k", 12)


def recorded(folder: Path, **scenario: Any) -> dict[str, np.ndarray]:
    """The attempts of a run over the same digits, by column."""
    run = channelsim.run(
        {
            "title": "the same",
            "seed": 7,
            "source": {"kind": "dataset", "count": 12},
            "metrics": ["mse", "ssim"],
            **scenario,
        },
        out=folder,
    )
    with run.ledger() as ledger:
        names = ledger.attempt_columns
        rows = list(ledger.rows(f"SELECT {', '.join(names)} FROM attempt ORDER BY attempt"))
    columns = map(np.array, zip(*rows, strict=True))
    return dict(zip(names, columns, strict=True))


def test_an_attack_on_tensors_gives_the_bits_of_a_run(digits: Tensor, tmp_path: Path) -> None:
    found = channelsim.attack(
        "kld-vae", digits, MALLORY, path=[AWGN(snr_db=20.0)], metrics=["mse", "ssim"], seed=7
    )
    path = [
        {
            "kind": "pgd",
            "name": "mallory",
            "goal": {"kind": "image", "target": "black"},
            "budget": {"norm": "linf", "epsilon": 1.0},
        },
        {"kind": "awgn", "snr_db": 20},
    ]
    there = recorded(tmp_path / "run", path=path, receivers={"it": {"codec": "kld-vae"}})
    equal = [name for name in found.columns if name in there and there[name].dtype.kind == "f"]
    assert {"mse_source", "ssim_target", "delta_l2", "control_mse_source"} <= set(equal)
    for name in equal:
        assert np.array_equal(found.columns[name].astype(float), there[name].astype(float)), name
    assert found.verdict.tolist() == there["verdict"].tolist()
    norm = torch.linalg.vector_norm(found.perturbation.double(), dim=1)
    assert np.array_equal(norm.numpy(), there["delta_l2"])
    assert np.array_equal(found.metric("mse").numpy(), there["mse_source"])


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (
            channelsim.Noise(
                name="mallory",
                law="signs",
                budget=Budget(norm="l2", epsilon=2.0),
                activity=channelsim.Activity(energy=3.0),
            ),
            {"kind": "noise", "law": "signs", "activity": {"energy": 3.0}},
        ),
        (
            channelsim.Replay(name="mallory", back=2, budget=Budget(norm="l2", epsilon=9.0)),
            {"kind": "replay", "back": 2},
        ),
    ],
    ids=["account", "memory"],
)
def test_what_an_adversary_spends_and_remembers_counts_here_too(
    made: channelsim.Adversary, written: dict[str, Any], digits: Tensor, tmp_path: Path
) -> None:
    found = channelsim.attack(Halved(), digits, made, seed=7)
    epsilon = made.budget.epsilon
    path = [{"name": "mallory", "budget": {"norm": "l2", "epsilon": epsilon}, **written}]
    there = recorded(tmp_path / "run", path=path, receivers={"it": {"codec": Halved()}})
    assert found.verdict.tolist() == there["verdict"].tolist()
    assert len(set(found.verdict.tolist())) > 1, "it acts at some messages and not at others"


def test_before_the_encoder_the_noise_is_in_pixels(digits: Tensor) -> None:
    early = PGD(
        goal=BLACK,
        budget=Budget(norm="l2", epsilon=3.0),
        access=channelsim.Access(place="before_encoder"),
    )
    found = channelsim.attack("kld-vae", digits, early, seed=7)
    assert found.noise is not None
    assert found.perturbation.shape == found.noise.shape == (12, 1024)
    assert torch.allclose(found.noise.norm(dim=1), found.perturbation.norm(dim=1), rtol=0.05)


def test_many_images_are_sent_in_pieces_and_come_back_in_order(
    digits: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channelsim.tensors import transmission

    many = digits.repeat(30, 1, 1, 1)
    whole = channelsim.transmit(Halved(), many, path=AWGN(snr_db=10.0), seed=7)
    monkeypatch.setattr(transmission, "_NUMBERS", 256 * 1024)
    pieces = channelsim.transmit(Halved(), many, path=AWGN(snr_db=10.0), seed=7)
    assert torch.equal(whole.received, pieces.received)
    assert whole.columns.keys() == pieces.columns.keys()
    assert len(pieces) == 360


def test_what_is_returned_fits_together(digits: Tensor) -> None:
    found = channelsim.attack("kld-vae", digits, MALLORY, seed=3)
    codec = channelsim.codec("kld-vae")
    assert torch.equal(found.source, digits)
    assert float(found.perturbation.abs().max()) <= 1.0 + 1e-6
    assert found.noise is not None
    assert found.control is not None
    assert torch.allclose(found.noise.norm(dim=1), found.perturbation.norm(dim=1)), "equal power"
    own = codec.decode(found.received_latent)
    assert torch.allclose(found.received, own, atol=1e-6)
    assert torch.allclose(found.clean, codec.decode(found.latent), atol=1e-6)
    mse = (found.received - found.source).square().flatten(1).mean(1)
    assert torch.allclose(found.metric("mse"), mse.double(), atol=1e-7)
    controlled = (found.control - found.source).square().flatten(1).mean(1)
    assert torch.allclose(found.metric("mse", of="control"), controlled.double(), atol=1e-7)
    assert len(found) == 12


def test_without_an_adversary_nothing_is_injected(digits: Tensor) -> None:
    found = channelsim.transmit("kld-vae", digits, path=[AWGN(snr_db=10.0)])
    assert not found.perturbation.any()
    assert found.noise is None
    assert found.control is None
    assert torch.equal(found.received, found.passive)


def test_a_detector_is_fitted_and_judges(digits: Tensor) -> None:
    found = channelsim.attack(
        "kld-vae",
        digits,
        Noise(budget=Budget(norm="l2", epsilon=30.0)),
        detector=LatentDensity(false_alarm=0.05),
        training=channelsim.images("mnist5k", 60, split="train"),
    )
    assert not found.accepted.any(), "far outside"
    assert torch.isfinite(found.score).all()


class Halved(nn.Module):
    """Four by four means."""

    def encode(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 8).flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        return nn.functional.interpolate(latent.reshape(-1, 1, 4, 4), scale_factor=8)


def test_a_module_of_ones_own_is_a_codec(digits: Tensor) -> None:
    codec = channelsim.codec(Halved(), digits)
    assert (codec.latent_size, tuple(codec.image_shape)) == (16, (1, 32, 32))
    found = channelsim.attack(Halved(), digits, MALLORY, seed=1)
    again = channelsim.attack(codec, digits, MALLORY, seed=1)
    assert torch.equal(found.received, again.received)
    assert found.metric("mse").mean() > found.metric("mse", of="passive").mean()


def test_a_result_does_not_depend_on_how_many_images_there_are(digits: Tensor) -> None:
    few, more = (channelsim.attack("kld-vae", digits[:n], MALLORY, seed=7) for n in (3, 12))
    assert torch.equal(few.perturbation, more.perturbation[:3])
    assert torch.equal(few.received, more.received[:3])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d * 255, r"must lie in \[0, 1\], these reach from 0 to 255"),
        (lambda d: d[0], r"must be a tensor of shape \[N, C, H, W\]"),
        (lambda d: d.long(), "must be float32 in"),
        (lambda d: d.numpy(), r"must be a tensor of shape"),
        (lambda d: d[:0], r"must be a tensor of shape"),
        (lambda d: d[:, :, :16], "32"),
    ],
)
def test_wrong_images_are_told_in_a_sentence(change: Any, said: str, digits: Tensor) -> None:
    with pytest.raises(InputError, match=said):
        channelsim.attack("kld-vae", change(digits), MALLORY)


def test_wrong_names_are_told_in_a_sentence(digits: Tensor) -> None:
    with pytest.raises(InputError, match="Did you mean kld-vae"):
        channelsim.codec("kld-vea")
    with pytest.raises(InputError, match="needs some images"):
        channelsim.codec(Halved())
    with pytest.raises(InputError, match="is no adversary"):
        channelsim.attack("kld-vae", digits, AWGN(snr_db=3.0))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ssim_source was not measured"):
        channelsim.attack("kld-vae", digits, MALLORY).metric("ssim")
    with pytest.raises(InputError, match="unknown kind 'sim'"):
        channelsim.transmit("kld-vae", digits, metrics=["sim"])


def test_everything_behind_the_door_is_there_and_documented() -> None:
    for name in channelsim.__all__:
        found = getattr(channelsim, name)
        if isinstance(found, type) or callable(found):
            assert re.search(r"\w", found.__doc__ or ""), name
