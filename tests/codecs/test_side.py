"""Codecs that are told the channel: what they are told, their power, and who else must know it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.known_ledger import assert_equal_ledgers
from helpers.own_parts import refused, study, use
from torch import Tensor, nn

import channelsim
from channelsim import AWGN, PGD, Budget, Damage, Equaliser, Fading, InputError, Quantiser, Side
from channelsim.contracts.side import takes_side
from channelsim.contracts.stages import Stages
from channelsim.runs.replay import replay

CODE = '''
from channelsim import Codec

class Louder(Means):
    """Sends 10^(SNR/20) times the amplitude, and shrinks what arrives as a Wiener filter does."""

    def encode(self, images, side):
        return super().encode(images) * amplitude(side.snr_db)

    def decode(self, latent, side):
        trust = 1.0 / (1.0 + side.noise_power[:, None])
        return super().decode(trust * latent / amplitude(side.snr_db))

class At(Means):
    """The same, written for one SNR."""

    def __init__(self, snr_db):
        super().__init__()
        self.snr_db = float(snr_db)

    def encode(self, images):
        return super().encode(images) * amplitude(self.told(images))

    def decode(self, latent):
        trust = 1.0 / (1.0 + 1.0 / power(self.told(latent))[:, None])
        return super().decode(trust * latent / amplitude(self.told(latent)))

    def told(self, rows):
        return torch.full((len(rows),), self.snr_db)

class Wiener(Means):
    """Only its decoder is told."""

    def encode(self, images):
        return F.avg_pool2d(images, 4).flatten(1)

    def decode(self, latent, side):
        return super().decode(latent / (1.0 + side.noise_power[:, None]))

class Same(Means):
    def decode(self, latent, side):
        return super().decode(latent) * side.snr_db.mean()

class Third(Means):
    def decode(self, latent, scale=1.0, side=None):
        return super().decode(latent)

class Sided(Means):
    """Its side is the length of one."""

    def decode(self, latent, side=8):
        return F.interpolate(latent.reshape(len(latent), 1, side, side), scale_factor=4)

class Losing(Louder):
    def encode(self, images, side):
        return super().encode(images, side)

    def attack_loss(self, z, sent):
        return (z - sent).square().sum(1)

class Derived(Codec):
    kind: ClassVar[str] = "derived"
    image_shape = (1, 32, 32)
    latent_size = 64
    network = Louder().eval().requires_grad_(False)

def power(snr_db):
    return (snr_db.double() * 0.23025850929940457).exp().float()

def amplitude(snr_db):
    return power(snr_db)[:, None].sqrt()
'''
SNRS_DB = [0, 10, 20]
AWGN_10 = {"kind": "awgn", "snr_db": 10}
PGD_10: dict[str, Any] = {
    "kind": "pgd",
    "goal": {"kind": "image", "target": "black"},
    "budget": {"norm": "psr_db", "epsilon": -10},
    "steps": 2,
}
ADVERSARIES: dict[str, dict[str, Any]] = {
    "pgd": PGD_10,
    "over_the_air": {
        **PGD_10,
        "access": {"place": "over_the_air", "listen_symbols": 4, "reaction_s": 1e-9},
    },
    "input": {**PGD_10, "access": {"place": "before_encoder"}},
    "universal": {"kind": "universal", **{k: PGD_10[k] for k in ("goal", "budget")}, "steps": 2},
    "substitute": {"kind": "substitute", **{k: PGD_10[k] for k in ("goal", "budget")}},
}


def attempts(run: channelsim.Run) -> dict[str, np.ndarray]:
    """Every recorded column, by name."""
    with run.ledger() as ledger:
        names = [one for one in ledger.attempt_columns if one not in ("attempt", "transmission")]
        rows = list(ledger.rows(f"SELECT {', '.join(names)} FROM attempt ORDER BY attempt"))
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def calibrated(run: channelsim.Run) -> list[float]:
    """P of every arm."""
    return [power["wire"] for power in run.header()["calibration"]["power"].values()]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], rows: slice) -> None:
    """Some rows of one are those of the other, bit by bit."""
    for name, values in one.items():
        left, right = values[rows].tolist(), other[name].tolist()
        assert repr(left) == repr(right), name


# --- what is told -------------------------------------------------------------------------------


def test_side_is_asked_for_by_a_second_parameter_of_that_name() -> None:
    def plain(latent: Tensor) -> None: ...
    def told(latent: Tensor, side: Side) -> None: ...
    def optional(latent: Tensor, side: Side | None = None) -> None: ...
    def length(latent: Tensor, side: int = 8) -> None: ...
    def named(latent: Tensor, *, side: Side) -> None: ...

    assert takes_side(told)
    assert takes_side(optional)
    assert not takes_side(plain)
    assert not takes_side(length)  # it means something else
    with pytest.raises(InputError, match="not as its second parameter; write named"):
        takes_side(named)


def test_noise_power_is_that_of_a_transmit_power_of_one() -> None:
    side = Side.of(torch.tensor([0.0, 10.0, 20.0]))
    assert side.noise_power.tolist() == pytest.approx([1.0, 0.1, 0.01])


def test_the_snr_of_a_path_is_that_of_all_its_noise() -> None:
    fading, mmse = Fading(coherence_s=1.0), Equaliser(mode="mmse")
    assert Stages((fading, AWGN(snr_db=7.0), mmse)).snr_db == 7.0
    both = Stages((AWGN(snr_db=10.0), AWGN(name="later", snr_db=10.0)))
    assert both.snr_db == pytest.approx(10.0 - 10.0 * np.log10(2.0))
    assert Stages((Quantiser(bits=4),)).snr_db is None


def test_every_row_is_told_the_snr_that_its_row_of_the_ledger_names(tmp_path: Path) -> None:
    code = CODE + (
        "class Tells(Means):\n"
        "    def decode(self, latent, side):\n"
        "        return (side.snr_db / 100.0)[:, None, None, None].expand(-1, 1, 32, 32)\n"
    )
    told = {"told": {"codec": use("Tells")}, "wrong": {"codec": use("Tells"), "assumed_snr_db": 40}}
    path = [AWGN_10, {"kind": "awgn", "name": "second", "snr_db": 13}]
    black = np.zeros((4, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "black.npz", train_images=black + 9, test_images=black)
    run = channelsim.run(
        study(
            tmp_path,
            code,
            told,
            path=path,
            source={"kind": "npz", "path": "black.npz", "layout": "nhw"},
            sweep={"awgn.snr_db": [10, 13, 20]},
        ),
        out=tmp_path / "run",
    )
    frame = run.frame()
    right = frame[frame["receiver"] == "told"]
    assert right["snr_db"].nunique() == 3
    # The decoder shows an image of SNR/100 and black was sent, so that is the root of the MSE.
    shown_db, snr_db = 100 * right["mse_source"].to_numpy() ** 0.5, right["snr_db"].to_numpy()
    assert shown_db == pytest.approx(snr_db, abs=1e-4)
    wrong = frame[frame["receiver"] == "wrong"]
    assert 100 * wrong["mse_source"].to_numpy() ** 0.5 == pytest.approx(40.0, abs=1e-4)


# --- power --------------------------------------------------------------------------------------


def test_power_is_calibrated_at_every_snr_that_is_told(tmp_path: Path) -> None:
    receivers = {
        "told": {"codec": use("Louder")},
        "wrong": {"codec": use("Louder"), "assumed_snr_db": 10},
        "decoder": {"codec": use("Wiener")},
        "plain": {"codec": use("Means")},
    }
    file = study(tmp_path, CODE, receivers, sweep={"awgn.snr_db": SNRS_DB})
    powers = calibrated(channelsim.run(file, out=tmp_path / "run"))
    plain = powers[-1]
    assert powers[:3] == pytest.approx([plain * 10 ** (snr / 10) for snr in SNRS_DB])
    assert powers[3:6] == pytest.approx([10 * plain] * 3)
    assert powers[9:] == [plain] * 3
    assert len(set(powers[6:9])) == 1  # this encoder knows nothing of the channel


def test_a_decoder_that_is_told_a_wrong_snr_does_worse_by_the_formula(tmp_path: Path) -> None:
    """A Wiener filter for noise n' leaves (1 − a)²·z² + a²·n·P, a = 1/(1 + n')."""
    receivers = {
        f"told-{snr}": {"codec": use("Wiener"), "assumed_snr_db": snr} for snr in (-20, 0, 20)
    }
    path = [{"kind": "awgn", "snr_db": 0}]
    source = {"kind": "dataset", "count": 100}
    file = study(tmp_path, CODE, receivers, path=path, source=source)
    run = channelsim.run(file, out=tmp_path / "run")
    found = run.frame().groupby("receiver")["mse_source"].mean()
    assert found["told-0"] < found["told--20"]
    assert found["told-0"] < found["told-20"]

    digits = channelsim.images("mnist5k", 100)
    sent = nn.functional.avg_pool2d(digits, 4).flatten(1)
    blurred = nn.functional.interpolate(sent.reshape(-1, 1, 8, 8), scale_factor=4)
    noise = calibrated(run)[0]  # N₀ = P at 0 dB
    for snr_db in (-20, 0, 20):
        a = 1.0 / (1.0 + 10 ** (-snr_db / 10))
        expected = float((a * blurred - digits).square().mean()) + a * a * noise
        assert found[f"told-{snr_db}"] == pytest.approx(expected, rel=0.03)


# --- whoever else must know it ------------------------------------------------------------------


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_a_told_codec_is_the_same_codec_written_for_that_snr(
    adversary: str, tmp_path: Path
) -> None:
    """Rows of several SNRs in one run equal runs of one SNR each, bit by bit.

    Encoder, power, adversaries with their fits and views, detector and clean images all use what
    the row is told: at none of these places does the other codec know another SNR.
    """
    more: dict[str, Any] = {
        "path": [{**ADVERSARIES[adversary], "name": "mallory"}, AWGN_10],
        "source": {"kind": "dataset", "count": 4},
    }
    detector = {"kind": "latent-density", "false_alarm": 0.2}
    codec = {"codec": use("Louder"), "detector": detector}
    snrs_db = [0, 20]
    swept = study(tmp_path, CODE, {"it": codec}, sweep={"awgn.snr_db": snrs_db}, **more)
    together = channelsim.run(swept, out=tmp_path / "together")
    found, reached = attempts(together), together.header()["reach"]
    for arm, snr_db in enumerate(snrs_db):
        fixed = {"it": {"codec": use("At", snr_db=snr_db), "detector": detector}}
        alone = study(tmp_path, CODE, fixed, **more)
        run = channelsim.run(alone, set={"awgn.snr_db": snr_db}, out=tmp_path / f"at-{snr_db}")
        same(found, attempts(run), slice(4 * arm, 4 * arm + 4))
        assert reached[str(arm)] == run.header()["reach"]["0"]


def test_workers_resume_and_replay_tell_the_same(tmp_path: Path) -> None:
    receivers = {
        "told": {"codec": use("Louder")},
        "wrong": {"codec": use("Louder"), "assumed_snr_db": 20},
    }
    file = study(
        tmp_path,
        CODE,
        receivers,
        path=[{**PGD_10, "name": "mallory"}, AWGN_10],
        sweep={"awgn.snr_db": SNRS_DB},
    )
    whole = channelsim.run(file, out=tmp_path / "whole")
    channelsim.run(file, out=tmp_path / "workers", workers=2)
    assert_equal_ledgers(tmp_path / "whole", tmp_path / "workers")

    struck = channelsim.run(file, out=tmp_path / "struck").folder
    with sqlite3.connect(struck / "ledger.sqlite") as connection:
        connection.execute("DELETE FROM header WHERE key IN ('finished', 'finished_at')")
        connection.execute("DELETE FROM attempt WHERE transmission % 3 = 1")
        connection.execute("DELETE FROM transmission WHERE transmission % 3 = 1")
    connection.close()
    channelsim.run(file, out=struck, resume=True)
    assert_equal_ledgers(tmp_path / "whole", struck)
    for transmission in (0, 40, len(whole.frame()) - 1):
        assert replay(whole.folder, transmission, allow_code=True).exact


def test_what_is_assumed_can_be_swept(tmp_path: Path) -> None:
    sweep = {"mine.assumed_snr_db": [0, 10], "awgn.snr_db": [0, 10]}
    file = study(tmp_path, CODE, {"mine": {"codec": use("Wiener")}}, sweep=sweep)
    frame = channelsim.run(file, out=tmp_path / "run").frame()
    mse = frame.groupby(["mine.assumed_snr_db", "awgn.snr_db"])["mse_source"].mean()
    assert len(mse.unique()) == 4
    assert mse[0, 0] < mse[10, 0]


def test_tensors_are_told_too() -> None:
    class Wiener(nn.Module):
        def encode(self, images: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(images, 4).flatten(1)

        def decode(self, latent: Tensor, side: Side) -> Tensor:
            trusted = latent / (1.0 + side.noise_power[:, None])
            return nn.functional.interpolate(trusted.reshape(-1, 1, 8, 8), scale_factor=4)

    digits = channelsim.images("mnist5k", 8)
    noise = [AWGN(snr_db=0.0)]
    right = channelsim.transmit(Wiener(), digits, path=noise)
    wrong = channelsim.transmit(Wiener(), digits, path=noise, assumed_snr_db=30.0)
    assert right.metric("mse").mean() < wrong.metric("mse").mean()
    mallory = PGD(goal=Damage(), budget=Budget(norm="psr_db", epsilon=-10.0), steps=2)
    hit = channelsim.attack(Wiener(), digits, mallory, path=noise)
    assert hit.metric("mse").mean() > right.metric("mse").mean()
    codec = channelsim.codec(Wiener(), digits)
    with pytest.raises(InputError, match=r"no SNR was told; use codec\.at_snr"):
        codec.decode(right.latent)
    assert torch.equal(codec.at_snr(0.0).decode(right.received_latent), right.received)
    assert codec.at_snr(0.0) is codec.at_snr(0.0)


# --- what is refused ----------------------------------------------------------------------------


def test_a_codec_that_wants_to_know_the_snr_of_a_path_without_noise_is_refused(
    tmp_path: Path,
) -> None:
    said = refused(study(tmp_path, CODE, {"mine": {"codec": use("Louder")}}, path=[]))
    assert "receivers.mine.codec" in said
    assert "Louder takes side, the SNR of its channel, and no stage of the path states one" in said
    assert "assumed_snr_db" in said
    assumed = {"mine": {"codec": use("Louder"), "assumed_snr_db": 10}}
    run = channelsim.run(study(tmp_path, CODE, assumed, path=[]), out=tmp_path / "run")
    assert len(run.frame()) == 16


def test_a_codec_that_takes_no_side_is_told_nothing(tmp_path: Path) -> None:
    for codec in ("kld-vae", use("Means"), use("Sided")):
        told = {"mine": {"codec": codec, "assumed_snr_db": 10}}
        said = refused(study(tmp_path, CODE, told))
        assert "receivers.mine.assumed_snr_db" in said
        assert "is told nothing: neither its encode nor its decode takes side" in said
    plain = channelsim.Scenario.load(study(tmp_path, CODE, {"mine": {"codec": use("Sided")}}))
    assert "assumed_snr_db" not in plain.resolved["receivers"]["mine"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Same", "Same.decode couples rows"),
        (
            "Third",
            "Third.decode takes side, but not as its second parameter; write decode(",
        ),
        ("Derived", "Derived derives from channelsim.Codec, which is told nothing of the channel"),
    ],
)
def test_a_codec_that_takes_side_in_a_wrong_way_is_refused(
    name: str, sentence: str, tmp_path: Path
) -> None:
    assert sentence in refused(study(tmp_path, CODE, {"mine": {"codec": use(name)}}))


def test_a_loss_of_its_own_is_raised_of_a_codec_that_is_told(tmp_path: Path) -> None:
    damaging = {**PGD_10, "goal": {"kind": "damage"}}
    file = study(tmp_path, CODE, {"mine": {"codec": use("Losing")}}, path=[damaging, AWGN_10])
    rows = channelsim.run(file, out=tmp_path / "run").frame()
    assert set(rows["verdict"]) == {"ok"}


@pytest.mark.parametrize("given", ["loud", 1e6, True])
def test_an_assumed_snr_is_a_number_of_decibels(given: Any, tmp_path: Path) -> None:
    receivers = {"mine": {"codec": use("Louder"), "assumed_snr_db": given}}
    assert "receivers.mine.assumed_snr_db" in refused(study(tmp_path, CODE, receivers))
