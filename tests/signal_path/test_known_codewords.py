"""Codewords that may be sent again are remembered, a bounded number of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.signal_path import transmitter
from channelsim.signal_path.transmitter import KnownCodewords


def test_every_message_is_encoded_once_and_the_oldest_are_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transmitter, "_REMEMBERED", 4)
    encoded: list[int] = []

    def encode(messages: Ints) -> Tensor:
        encoded.extend(messages.tolist())
        return torch.from_numpy(messages).float()[:, None].expand(-1, 3) + 0.5

    known = KnownCodewords()
    for messages in ([1, 2, 3], [3, 1], [4, 5], [5, 4, 3]):
        found = known.of(np.array(messages), encode)
        assert found.tolist() == [[message + 0.5] * 3 for message in messages]
    assert encoded == [1, 2, 3, 4, 5]
    known.of(np.array([1]), encode)  # the oldest went when five were known
    assert encoded == [1, 2, 3, 4, 5, 1]


def test_large_codewords_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transmitter, "_NUMBERS", 250)
    known, asked = KnownCodewords(), []

    def encode(messages: Ints) -> Tensor:
        asked.append(len(messages))
        return torch.zeros(len(messages), 100)

    for _ in range(2):
        known.of(np.arange(5), encode)  # two have room, and all five are answered
    assert asked == [5, 3]
