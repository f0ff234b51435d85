"""Adversaries' state over time: delay, energy accounts and memory, on the event plane.

Called only for arms whose adversaries have any of these, once per crossing, in the order in which
crossings begin.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.complex_symbols import symbol_count
from channelsim.scenario import Arm
from channelsim.signal_path import Setting


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing as changed by adversaries' state; see `Batch`."""

    delay_s: float = 0.0
    allowance: float = math.nan
    replayed: int = -1


UNTOUCHED = Crossing()
_RESIDUE = 1e-9  # of a codeword's energy: a smaller rest in an account is rounding


class Interference:
    """The adversaries of one arm on the event plane. ``acts``: whether they must be called.

    An adversary that records codewords records all of them, whatever its budget, so that arms do
    not differ otherwise; with a budget of zero it delays nothing and spends nothing.
    """

    def __init__(self, arm: Arm, setting: Setting) -> None:
        present = arm.path.active
        self._size = size = arm.receiver.codec.latent_size
        self._setting = setting
        self._symbol_s = 1.0 / arm.link.symbol_rate_hz
        self._symbols = symbol_count(size)
        self._relays = [one for one in present if one.access.reaction_s and _holds(one)]
        self._account = next((one for one in present if one.activity.energy is not None), None)
        if self._account is not None and self._account.activity.energy is not None:
            power = setting.power
            if self._account.access.before_encoder:
                power, size = setting.pixel_power, math.prod(arm.receiver.codec.image_shape)
            epsilon = self._account.budget.epsilon
            self._left = self._account.activity.energy * size * power
            self._most = self._account.most_energy(epsilon, power, size)
        self._recall = max((one.recall for one in arm.path.adversaries), default=0)
        self._heard: deque[int] = deque(maxlen=self._recall)
        self.acts = bool(self._relays or self._account is not None or self._recall)

    def crossing(self, message: int, began_s: float) -> Crossing:
        """The crossing of a message's codeword that begins now."""
        delay_s = sum(
            one.access.reaction_s for one in self._relays if self._share(one, message, began_s) > 0
        )
        allowance = math.nan
        if self._account is not None:
            wanted = self._most * self._share(self._account, message, began_s)
            allowance = min(wanted, self._left)
            self._left -= allowance
            if self._left < _RESIDUE * allowance:
                self._left = 0.0
        replayed = -1
        if self._recall:
            if len(self._heard) == self._recall:
                replayed = self._heard[0]
            self._heard.append(message)
        return Crossing(delay_s, allowance, replayed)

    def _share(self, stage: Adversary, message: int, began_s: float) -> float:
        """The share of the codeword's symbols that an adversary can reach and plans to attack."""
        if not stage.restricted:
            return 1.0
        times = began_s + self._symbol_s * np.arange(self._symbols, dtype=np.float64)
        labels = self._setting.labels
        label = None if labels is None else labels[message : message + 1]
        taken = stage.reach(
            times[None], np.array([self._symbol_s]), np.array([message], dtype=np.int64), label
        )
        values = np.repeat(taken[0], 2)[: self._size]  # the last value of an odd K has a symbol
        return float(values.mean())


def _holds(stage: Adversary) -> bool:
    return stage.access.place == "relay"
