"""Results that rest on data other than the run's own: a codec's power, a classifier's trunk.

P, to which SNR and PSR refer, is the power that a codec's card measured on its training images.
Other images may need more power. And `dfd` and `label` use a classifier that was trained on some
data set; for images of another kind they mean less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from channelsim.analysis.names import fixed
from channelsim.contracts.run_header import RunHeader
from channelsim.support import units

NOTICEABLE_DB = 0.5  # project's choice: splits of one data set differ by a tenth of that
_LOOK_THROUGH = ("dfd", "label")
# Data sets that are parts of others; any other name is of itself alone.
_PARTS_OF = {"mnist5k": "mnist", "cifar10-subset": "cifar10"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """The classifier of a metric. ``data``: its training data; ``sent``: the data sent.

    ``adversary``: whose loss the metric is; empty if it is measured.
    """

    metric: str
    weights: str
    data: str
    sent: str
    adversary: str = ""

    @property
    def user(self) -> str:
        """The metric or loss that uses it, in words."""
        return f"the loss {self.metric} of {self.adversary}" if self.adversary else self.metric

    @property
    def foreign(self) -> bool:
        """Whether the images sent are of another data set, by its name."""
        return not same_kind(self.data, self.sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Mean power of the codewords sent to a receiver, against its codec's P.

    ``ratio_db``: of all attempts of its arms, 10·log₁₀; to add to an SNR by the card, and to
    subtract from a PSR by the card. ``snr_db``, ``psr_db``: one by the card as an example, of the
    last arm that has both its own power and such a figure.
    """

    receiver: str
    ratio_db: float
    snr_db: float | None = None
    psr_db: float | None = None


def trunks(header: RunHeader) -> tuple[Trunk, ...]:
    """The trunk of each metric of a run, and of each loss of an adversary."""
    measured, losses = header.metric_cards, header.loss_cards
    cards = [(metric, measured[metric], "") for metric in _LOOK_THROUGH if metric in measured]
    cards += [
        (str(card["loss"]), card, str(adversary))
        for adversary, card in losses.items()
        if card.get("loss") in _LOOK_THROUGH
    ]
    sent = header.calibration.source
    return tuple(
        Trunk(
            metric=metric,
            weights=str(card.get("weights")),
            data=str(card["data"]),
            sent=str(sent or ""),
            adversary=adversary,
        )
        for metric, card, adversary in cards
        if card.get("data")
    )


def powers(
    arms: Iterable[tuple[str, float | None, float | None, float | None]],
) -> tuple[Sent, ...]:
    """Noticeable deviations, from receiver, row power over P, SNR and PSR of every arm."""
    known: dict[str, list[tuple[float, float | None, float | None]]] = {}
    for receiver, ratio, snr_db, psr_db in arms:
        if ratio:
            known.setdefault(receiver, []).append((ratio, snr_db, psr_db))
    found = []
    for receiver, rows in known.items():
        mean_db = float(units.db(sum(ratio for ratio, _, _ in rows) / len(rows)))
        if abs(mean_db) >= NOTICEABLE_DB:
            _, snr_db, psr_db = rows[-1]
            found.append(Sent(receiver=receiver, ratio_db=mean_db, snr_db=snr_db, psr_db=psr_db))
    return tuple(found)


def same_kind(one: str, other: str) -> bool:
    """Whether two names are of one data set, whatever its split (mnist5k is of mnist)."""
    return _kind_of(one) == _kind_of(other)


def _kind_of(name: str) -> str:
    """``mnist5k (test)`` → ``mnist``: the data set that these images are of, without the split."""
    described = re.search(r"calibrated on (.*)\)", name)
    bare = (described.group(1) if described else name).partition(" (")[0].strip().lower()
    return _PARTS_OF.get(bare, bare)


# --- in words -----------------------------------------------------------------------------------


def about_powers(found: Sequence[Sent]) -> list[str]:
    """One sentence about all receivers, with both figures."""
    if not found:
        return []
    described = []
    for one in found:
        ways = []
        if one.snr_db is not None:
            by_sent = fixed(one.snr_db + one.ratio_db, 1)
            ways.append(f"an SNR of {fixed(one.snr_db, 1)} dB is {by_sent} dB")
        if one.psr_db is not None:
            by_sent = fixed(one.psr_db - one.ratio_db, 1)
            ways.append(f"a PSR of {fixed(one.psr_db, 1)} dB is {by_sent} dB")
        described.append(
            f"{one.receiver} {one.ratio_db:+.1f} dB" + (f" ({', '.join(ways)})" if ways else "")
        )
    return [
        "What was sent has another mean power than the P of the codecs' cards, by which SNR and PSR"
        f" are stated: {'; '.join(described)}."
    ]


def about_trunks(found: Sequence[Trunk]) -> list[str]:
    """Warn of metrics and losses whose classifier was trained on images of another kind.

    One sentence per classifier.
    """
    groups: dict[tuple[str, str, str], list[Trunk]] = {}
    for one in found:
        if one.foreign:
            groups.setdefault((one.weights, one.data, one.sent), []).append(one)
    return [
        f"{_listed([one.user for one in own])} {'looks' if len(own) == 1 else 'look'} through"
        f" {weights}, a classifier trained on {data}, at images of {sent}: {_remedy(own)}."
        for (weights, data, sent), own in groups.items()
    ]


def _remedy(found: Sequence[Trunk]) -> str:
    remedies = []
    if not all(one.adversary for one in found):
        remedies.append("name one trained on these (weights), or read other metrics")
    if any(one.adversary for one in found):
        remedies.append("attack by another loss")
    return "; ".join(remedies)


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def whose_trunks(found: Sequence[Trunk]) -> str | None:
    """The training data of every metric's and loss's trunk, in words; None if none uses one."""
    described = [f"{one.user} by {one.weights} (trained on {one.data})" for one in found]
    return f"classifiers: {', '.join(described)}" if described else None
