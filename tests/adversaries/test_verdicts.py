"""A verdict tells what became of an attack, by the rounding of the loss that it raised."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from channelsim.adversaries.goals import Damage
from channelsim.adversaries.verdicts import verdicts


def words(own: bool, gains: list[float], flat: list[bool], delta: list[float]) -> list[str]:
    aim: Any = SimpleNamespace(goal=Damage(), raises_own=own)
    unperturbed = torch.full((len(gains),), 1e-15, dtype=torch.float64)
    value = unperturbed + torch.tensor(gains, dtype=torch.float64)
    return list(verdicts(aim, torch.tensor(delta)[:, None], value, unperturbed, np.array(flat)))


def test_a_gain_within_rounding_is_none_and_where_nothing_moved_nothing_is_said() -> None:
    found = words(False, [1e-3, 1e-13, 1e-13, 1e-3], [False, False, False, True], [1, 1, 0, 1])
    assert found == ["ok", "saturated", "ok", "zero_gradient"]


def test_a_loss_of_the_codecs_own_has_the_rounding_of_its_own_scale() -> None:
    """A gain of 1e-13 is rounding of a mean square error, and not of a loss of 1e-15."""
    assert words(True, [1e-13, 0.0], [False, False], [1, 1]) == ["ok", "saturated"]
