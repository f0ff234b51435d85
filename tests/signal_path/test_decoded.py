"""A decoder may say of each codeword whether it could be decoded; the ledger keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.own_parts import study, use

import channelsim
from channelsim import InputError, Scenario
from channelsim.analysis.caveats import warnings
from channelsim.analysis.summary import summarise
from channelsim.ledger import Ledger
from channelsim.runs.replay import replay

CODE = """
import channelsim


class Parity(nn.Module):
    '''Sixty-three signs, and their product: a codeword that breaks it cannot be decoded.'''

    def encode(self, images):
        signs = (F.avg_pool2d(images, 4).flatten(1)[:, :63] > 0.3).float() * 2 - 1
        return torch.cat([signs, signs.prod(1, keepdim=True)], dim=1)

    def decode(self, latents):
        signs = latents.sign()
        ok = signs.prod(1) > 0
        shown = torch.where(ok[:, None], (signs + 1) / 2, 0.5)
        return F.interpolate(shown.reshape(-1, 1, 8, 8), scale_factor=4), ok


class Square(Parity):
    def encode(self, images):
        return super().encode(images).reshape(-1, 8, 8)

    def decode(self, latents):
        images, ok = super().decode(latents.flatten(1))
        return {"x": images}, ok


class Short(Parity):
    def decode(self, latents):
        images, ok = super().decode(latents)
        return images, ok[:1]


class Counting(Parity):
    def decode(self, latents):
        images, ok = super().decode(latents)
        return images, ok & (len(ok) % 2 == 0) & (torch.arange(len(ok)) > 0)


class Strict(Parity):
    def decode(self, latents):
        if not latents.abs().sum(1).all():
            raise ValueError("no codeword")
        return super().decode(latents)


class Derived(channelsim.Codec):
    kind: ClassVar[str] = "derived"
    image_shape = (1, 32, 32)
    latent_size = 64
    network = Parity().eval()


class Beat(nn.Module):
    '''Segments of a signal as they are, which it decodes where they are high.'''

    def encode(self, signals):
        return signals.flatten(1)

    def decode(self, latents):
        return latents.unsqueeze(1), latents.mean(1) > 0
"""
AWGN = {"kind": "awgn", "snr_db": 5}


def parity(folder: Path, name: str = "Parity", **changes: Any) -> Path:
    receivers = {"mine": {"codec": use(name)}, "plain": {"codec": use("Means")}}
    changes = {"path": [AWGN], "receivers": receivers} | changes
    return study(folder, CODE, **changes)


@pytest.mark.parametrize("name", ["Parity", "Square", "Strict", "Derived"])
def test_what_the_decoder_says_is_in_the_ledger(name: str, tmp_path: Path) -> None:
    run = channelsim.run(parity(tmp_path, name), out=tmp_path / "run")
    rows = run.frame()
    mine, plain = (rows[rows["receiver"] == one] for one in ("mine", "plain"))
    assert plain["decoded"].isna().all(), "others say nothing"
    assert set(mine["decoded"]) == {0, 1}
    failed = mine["decoded"].to_numpy() == 0
    # Where it failed it shows grey, half off everywhere.
    assert mine["mse_clean"].to_numpy()[failed] == pytest.approx(0.25, abs=0.01)
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        told = [one for one in warnings(summarise(ledger)) if "decoding failed" in one]
    share = f"{100 * failed.mean():.1f}"
    assert told == [
        f"mine: decoding failed in {share} % of the attempts that arrived; what was shown instead"
        " counts in all means."
    ]
    workers = channelsim.run(parity(tmp_path, name), out=tmp_path / "workers", workers=1).frame()
    assert workers["decoded"].equals(rows["decoded"])


def test_what_is_sent_again_is_not_said_to_be_shown(tmp_path: Path) -> None:
    link = {"max_attempts": 2, "loss": 0.5}
    channelsim.run(parity(tmp_path, link=link), out=tmp_path / "run")
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        (told,) = [one for one in warnings(summarise(ledger)) if "decoding failed" in one]
    assert told.endswith("% of the attempts that arrived.")


def test_a_decoder_of_signals_says_it_too(tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.sin(np.arange(400.0)))
    source = {"kind": "signals", "path": "wave.npy", "rate_hz": 100.0, "samples": 10}
    receivers = {"mine": {"codec": use("Beat")}}
    run = channelsim.run(parity(tmp_path, source=source, receivers=receivers), out=tmp_path / "run")
    assert set(run.frame()["decoded"]) == {0, 1}


def test_it_is_replayed_as_any_column(tmp_path: Path) -> None:
    channelsim.run(parity(tmp_path), out=tmp_path / "run")
    found = replay(tmp_path / "run", 3, allow_code=True)
    assert next(one.recomputed for one in found.columns if one.column == "decoded") in (0, 1)
    assert not found.flips


def test_without_a_channel_nothing_fails_and_nothing_is_said(tmp_path: Path) -> None:
    run = channelsim.run(parity(tmp_path, path=[]), out=tmp_path / "run")
    rows = run.frame()
    assert (rows[rows["receiver"] == "mine"]["decoded"] == 1).all()
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert not any("decoding failed" in one for one in warnings(summarise(ledger)))


def test_ledgers_of_other_runs_have_no_such_column(tmp_path: Path) -> None:
    file = parity(tmp_path, receivers={"plain": {"codec": use("Means")}})
    run = channelsim.run(file, out=tmp_path / "run")
    assert "decoded" not in run.frame().columns
    assert "decodes" not in run.header()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Short", "ok must say for each row whether decoding succeeded, shape [8], not [1]"),
        ("Counting", "Counting.decode depends on a row's place in the block"),
    ],
)
def test_a_flag_is_of_one_row_alone(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        Scenario.load(parity(tmp_path, name))
    assert said in error.value.message


def test_on_tensors_too(tmp_path: Path) -> None:
    file = parity(tmp_path, path=[])
    codec = Scenario.load(file).arms[0].receiver.codec
    found = channelsim.transmit(codec, channelsim.images("mnist5k", 4))
    assert found.columns["decoded"].tolist() == [1, 1, 1, 1]
