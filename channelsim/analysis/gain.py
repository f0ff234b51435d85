"""Adversarial gain: the damage of an attack relative to noise of the same power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.intervals import Interval, Means, intervals
from channelsim.contracts.scales import Scale
from channelsim.support import units

# A relative difference of 2e-5, some hundred times the rounding of a float32 metric (project's
# choice).
ROUNDING_DB = 1e-4


def adversarial_gain(attack: Means, control: Means, scale: Scale) -> Interval | None:
    """Gain = 10·log₁₀(mean damage of the attack ÷ mean damage of its control), in dB.

    ``attack``, ``control``: one column each of means on the metric's additive scale, of the same
    messages and resamples, so that the interval is paired. Damage is read against the passive
    reference (the same channel draw without the adversary), so that it is the adversary's alone,
    and at the first attempt of each message, since the control is never repeated, where that
    attempt was not lost on the link and something was injected. None if either did no damage at
    all, as without an attack. The definition is the project's.
    """

    def ratio(means: NDArray[np.float64]) -> NDArray[np.float64]:
        # A mean of similarities may differ from its perfect value by rounding.
        damage = np.maximum(scale.damage(means), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return units.db(damage[..., :1] / damage[..., 1:])

    both = Means(
        np.concatenate([attack.value, control.value]),
        np.concatenate([attack.resampled, control.resampled], axis=1),
        np.concatenate([attack.left_out, control.left_out], axis=1),
        attack.few,
    )
    found = intervals(both, ratio)[0]
    return found if np.isfinite(found.value) else None


def beaten(attack: float, control: float, scale: Scale) -> bool:
    """Whether matched noise did damage, and the attack no more: a gain of 0 dB or less.

    ``attack``, ``control``: means on the metric's additive scale.
    """
    done, noise = scale.damage(np.array([[attack], [control]]))
    return bool(no_more_than_noise(done, noise)[0])


def no_more_than_noise(done: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether noise did damage, and an attack no more, elementwise.

    Where attack and noise are equal by nature (a decoder that treats all directions alike), the
    sign of the gain is rounding; hence the margin above 0. An attack that does no damage at all has
    no finite gain and is beaten too.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gain_db = units.db(np.maximum(done, 0.0) / noise)
    return (noise > 0.0) & (gain_db <= ROUNDING_DB)


def undecided(gain: Interval | None) -> bool:
    """Whether the attack looks stronger than noise but the 95 % interval still reaches 0 dB."""
    return gain is not None and gain.value > ROUNDING_DB and not gain.low > 0.0
