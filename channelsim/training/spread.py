"""The spread of a card's figures over training seeds.

A recipe gives the same bits where the arithmetic is the same (`arithmetic.signature`, one thread).
Elsewhere rounding differs, and training, being chaotic, diverges from the same start: the result
may be no nearer to the card than another seed's codec. So what a recipe promises on other machines
is its spread over seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

FIGURES = ("test_mse", "test_ssim", "transmit_power", "transmit_power_sample")
SHARE = 0.99  # of new seeds whose figure lies within the stated limits; project's choice


def spread_of(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The seeds of two or more codecs, and per figure ``mean``, ``sd`` and ``within`` over them.

    ``within``: the prediction interval of one more seed's figure at `SHARE`, Student's t on
    logarithms: mean ± t·s·√(1 + 1/n).
    """
    spread: dict[str, Any] = {"seeds": [int(card["seed"]) for card in cards], "share": SHARE}
    for name in FIGURES:
        values = [float(card[name]) for card in cards if card.get(name, 0.0) > 0.0]
        if len(values) == len(cards):
            spread[name] = {
                "mean": _digits(statistics.fmean(values)),
                "sd": _digits(statistics.stdev(values)),
                "within": [_digits(limit) for limit in _limits(values)],
            }
    return spread


def _limits(values: Sequence[float]) -> tuple[float, float]:
    from scipy.special import stdtrit

    logarithms = [math.log(value) for value in values]
    n = len(values)
    t = float(stdtrit(n - 1, 0.5 + SHARE / 2))
    reach = t * statistics.stdev(logarithms) * math.sqrt(1 + 1 / n)
    middle = statistics.fmean(logarithms)
    return math.exp(middle - reach), math.exp(middle + reach)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def outside(card: Mapping[str, Any], spread: Mapping[str, Any]) -> list[str]:
    """The figures of a retrained codec outside the recipe's spread over seeds, a phrase each."""
    found = []
    for name in FIGURES:
        if name in spread:
            low, high = spread[name]["within"]
            if not low <= card[name] <= high:
                seeds = len(spread["seeds"])
                found.append(f"{name} {card[name]:.4g}, not in {low:g} … {high:g} of {seeds} seeds")
    return found
