"""A key that a part gained later changes no hash where it is left out.

Runs that were written before it would otherwise be of another scenario: not resumed, not replayed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

import channelsim
from channelsim.scenario import Scenario


class First(nn.Module):
    """The first eight pixels, and a grey image of their mean."""

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :8]

    def decode(self, latent: Tensor) -> Tensor:
        return latent.mean(dim=1)[:, None, None, None].expand(-1, 1, 32, 32).contiguous()


@pytest.fixture
def digits(tmp_path: Path) -> str:
    pixels = (np.arange(50 * 32 * 32) % 255).astype(np.uint8).reshape(50, 32, 32)
    np.savez(tmp_path / "d.npz", images=pixels)
    return str(tmp_path / "d.npz")


def described(source: Any, codec: Any) -> dict[str, Any]:
    return Scenario.load({"source": source, "receivers": {"a": {"codec": codec}}}).resolved


def test_later_keys_are_written_only_where_they_say_something(digits: str) -> None:
    linear = {"kind": "linear", "latent_size": 4}
    plain = described({"kind": "npz", "path": digits, "count": 3}, linear)
    assert "pad" not in plain["source"]
    assert "assumed_snr_db" not in plain["receivers"]["a"]
    drawn = {"kind": "prior", "count": 3, "data": {"kind": "npz", "path": digits}}
    assert "pad" not in described(drawn, "kld-vae")["source"]["data"]
    own = described(
        {"kind": "dataset", "count": 3}, channelsim.Module(module=First(), latent_size=8)
    )
    assert not {"facts", "told_snr_db"} & set(own["receivers"]["a"]["codec"])


def test_they_are_written_where_they_do(digits: str) -> None:
    padded = {"kind": "npz", "path": digits, "count": 3, "pad": 48}
    grey = channelsim.Module(module=Padded(), latent_size=8, image_shape=(1, 48, 48))
    assert described(padded, grey)["source"]["pad"] == [48, 48]


class Padded(First):
    def decode(self, latent: Tensor) -> Tensor:
        return latent.mean(dim=1)[:, None, None, None].expand(-1, 1, 48, 48).contiguous()


def test_hashes_of_earlier_runs_hold() -> None:
    """As computed before signals, side information and cards were known."""
    scenario = {"source": {"kind": "dataset", "count": 3}, "receivers": {"a": {"codec": "pca"}}}
    assert Scenario.load(scenario).hash.startswith("a01687e9f539afdd")
