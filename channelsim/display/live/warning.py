"""Warnings of a view while a run goes on, from the sums so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from channelsim.analysis.gain import no_more_than_noise
from channelsim.analysis.names import in_runs
from channelsim.contracts import records
from channelsim.contracts.scales import ROUNDING
from channelsim.display.live.figures import Figures
from channelsim.display.live.info import RunInfo

ENOUGH = 30  # rows below which an arm gets no warning; project's choice
# Probability of so many false alarms at the stated rate, below which a view warns. Strict, since
# a view tests repeatedly while a run goes on; project's choice.
IMPROBABLE = 1e-4

_SHORT = {
    records.ZERO_GRADIENT: "the first gradient was zero",
    records.NOT_MOVED: "the attack returned no perturbation",
    records.NONFINITE: "the attack produced NaN or infinity",
    records.SATURATED: "the objective did not improve",
}


@dataclass(frozen=True, slots=True)
class Warned:
    """A sentence and the arms it concerns (none: the whole run)."""

    text: str
    arms: tuple[int, ...] = ()


def live_warnings(figures: Figures) -> Iterator[Warned]:
    """Warnings about the estimates so far."""
    if tied := figures.tied:
        yield Warned(f"±> is too narrow: messages share {tied}")
    yield from _like_the_mean_image(figures)
    yield from _against_noise(figures)
    yield from _failed(figures)
    yield from _false_alarms(figures)


def useless_arms(figures: Figures) -> np.ndarray:
    """Arms [arms] that serve the user worse than always showing the data set's mean image.

    By the primary metric: of a complete arm its mean decides, as in the summary; of an incomplete
    one its whole interval.
    """
    info = figures.info
    blank = info.mean_image(info.primary_metric)
    better = figures.scales[info.metrics.index(info.primary_metric)].higher_is_better
    if blank is None or better is None:
        return np.zeros(len(info.arms), dtype=bool)
    found, sign = figures.estimates(f"{info.primary_metric}_source"), 1.0 if better else -1.0
    end = sign * (found.high if better else found.low)  # the best that the interval allows
    with np.errstate(invalid="ignore"):
        line = sign * blank - ROUNDING * abs(blank)
        surely = (found.n >= ENOUGH) & (end < line)
        whole = (figures.settled_of == info.count) & (sign * found.value < line)
    return np.asarray(surely | whole)


def _like_the_mean_image(figures: Figures) -> Iterator[Warned]:
    info = figures.info
    blank = info.mean_image(info.primary_metric)
    for receiver, arms in _by_receiver(info, np.flatnonzero(useless_arms(figures))):
        yield Warned(
            f"{receiver}{_places(info, arms)}: worse for the user so far than always showing the"
            f" data set's mean {info.header.noun} ({info.primary_metric} {blank:.4g})",
            arms,
        )


def beaten_arms(figures: Figures) -> np.ndarray:
    """Arms [arms] in which matched noise has served the goal at least as well as the attack."""
    attack, control, rows, _ = figures.first
    return (rows >= ENOUGH) & no_more_than_noise(attack, control)


def _against_noise(figures: Figures) -> Iterator[Warned]:
    beaten = beaten_arms(figures)
    lead, half = figures.lead()
    with np.errstate(invalid="ignore"):
        unsure = (figures.first[2] >= ENOUGH) & ~beaten & (lead <= half)
    aimed = np.array([aim.kind == "image" for aim in figures.info.aims], dtype=bool)
    for arms_of, text in (
        (beaten & ~aimed, "beaten by noise so far; matched noise did as much damage"),
        (beaten & aimed, "beaten by noise so far; matched noise came as near to the target"),
        (unsure & ~aimed, "what the attack gains over noise may be chance so far"),
        (unsure & aimed, "that it comes nearer to its target than noise may be chance so far"),
    ):
        for receiver, arms in _by_receiver(figures.info, np.flatnonzero(arms_of)):
            yield Warned(f"{receiver}{_places(figures.info, arms)}: {text}", arms)


def _failed(figures: Figures) -> Iterator[Warned]:
    attacked = figures.words.sum(axis=0)
    for word, counts in figures.failed().items():
        hit = np.flatnonzero((counts > 0) & (attacked >= ENOUGH))
        for receiver, arms in _by_receiver(figures.info, hit):
            share = counts[list(arms)].sum() / attacked[list(arms)].sum()
            where = _places(figures.info, arms)
            amount = f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"
            yield Warned(
                f"{receiver}{where}: {word} in {amount} of the attacks: {_SHORT[word]}", arms
            )


def _false_alarms(figures: Figures) -> Iterator[Warned]:
    from scipy.special import bdtrc

    benign, alarms = figures.tally["benign"], figures.tally["false_alarms"]
    for arm in range(len(figures.info.arms)):
        stated = figures.info.false_alarm(arm)
        if stated is None or alarms[arm] <= stated * benign[arm]:
            continue
        chance = float(bdtrc(alarms[arm] - 1, int(benign[arm]), stated))
        if chance < IMPROBABLE:
            receiver = figures.info.arms[arm].receiver
            yield Warned(
                f"{receiver}{_places(figures.info, [arm])}: the detector rejects"
                f" {100 * alarms[arm] / benign[arm]:.1f} % of {int(benign[arm]):,} attempts with"
                f" nothing injected; {100 * stated:g} % is stated",
                (arm,),
            )


def _by_receiver(info: RunInfo, arms: np.ndarray) -> Iterator[tuple[str, tuple[int, ...]]]:
    for receiver in info.receivers:
        own = tuple(int(arm) for arm in arms if info.arms[arm].receiver == receiver)
        if own:
            yield receiver, own


def _places(info: RunInfo, arms: Sequence[int]) -> str:
    """Return `` at ε 0.1, 0.2 … 0.6``: dots stand for every point between, and no other."""
    if len(info.swept_keys) != 1:
        return (
            f" at {info.place(arms[0])}" + ("" if len(arms) == 1 else f" and {len(arms) - 1} more")
            if info.swept_keys
            else ""
        )
    key = info.swept_keys[0]
    listed = in_runs([info.arms[arm].swept.get(key) for arm in arms], info.values(key))
    return f" at {info.short[key]} {', '.join(listed)}"
