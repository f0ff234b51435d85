"""Success of attacks by their goal's criterion, message by message.

Of the messages whose passive image misses the criterion, how many meet it with the attack, and how
many with matched noise in its place. A lost or refused message does not meet it, whatever its
fallback image. The two shares are of the same messages and are compared by McNemar's test, exact:
the messages that meet it with only one of the two split like tosses of a fair coin if neither is
better. Each share has its own exact interval (of an effective number of messages where images
repeat or the channel has memory). Receivers are compared on those messages that miss it at all of
them; the number left out is given.

Read at the last attempt of every settled message, as the user's final image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelsim.analysis.aims import Aim
from channelsim.analysis.intervals import Bools, Floats, Interval, binomial, clustered_share, ends
from channelsim.analysis.resampling import Unit
from channelsim.contracts.records import CONTROL_ACCEPTED, DELIVERED
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.scales import Scale, scale_of
from channelsim.ledger.sql import quoted

if TYPE_CHECKING:
    from channelsim.contracts.records import ArmRecord
    from channelsim.ledger import Ledger

_CHUNK = 20_000  # messages read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """The success rate of a goal in one arm.

    ``criterion``: in words. ``messages``: settled ones that had a target; ``missing``: of them,
    those whose passive image misses the criterion, of which the shares are. ``noise``: None without
    a control. ``only_attack``, ``only_noise``: messages that meet it with one of the two alone.
    ``p``: McNemar's, exact and two-sided.
    """

    criterion: str
    messages: int
    missing: int
    attack: Interval | None
    noise: Interval | None
    only_attack: int
    only_noise: int
    p: float | None

    def row(self) -> dict[str, Any]:
        """Cells of a flat row."""
        row: dict[str, Any] = {"success_criterion": self.criterion, "success_p": self.p}
        row |= {"success_of": self.missing}
        return row | ends("success", self.attack) | ends("control_success", self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Receivers at one point of the sweep, on the messages that miss the criterion at all of them.

    ``missing``: their number; ``excluded``: the number of other messages settled everywhere.
    ``shares``: receiver → share of them that met it with the attack.
    """

    swept: Mapping[str, Any]
    criterion: str
    missing: int
    excluded: int
    shares: Mapping[str, Interval | None]


Arms = Sequence[tuple["ArmRecord", Aim]]


def successes(
    ledger: Ledger, header: RunHeader, arms: Arms, unit: Unit
) -> tuple[dict[int, Success], tuple[SideBySide, ...]]:
    """Successes of all arms whose goal has a criterion in the ledger; receivers compared."""
    recorded = [(arm, aim) for arm, aim in arms if _columns(ledger, aim) is not None]
    groups: dict[str, list[tuple[ArmRecord, Aim]]] = {}
    for arm, aim in recorded:
        same = json.dumps([dict(arm.swept), dict(aim.success)], sort_keys=True, default=str)
        groups.setdefault(same, []).append((arm, aim))
    found: dict[int, Success] = {}
    compared = []
    for group in groups.values():
        counts = {arm.arm: _Count(unit) for arm, _ in group}
        common, left_out = {arm.arm: _Count(unit) for arm, _ in group}, 0
        for read in _together(ledger, header, group):
            for number, rows in read.items():
                counts[number].add(rows, rows.misses)
            settled = np.logical_and.reduce([rows.settled for rows in read.values()])
            miss = np.logical_and.reduce([rows.misses for rows in read.values()])
            left_out += int((settled & ~miss).sum())
            for number, rows in read.items():
                common[number].add(rows, miss)
        criterion = criterion_of(group[0][1], header.scales)
        found |= {number: count.success(criterion) for number, count in counts.items()}
        if len(group) > 1:
            compared.append(
                SideBySide(
                    swept=dict(group[0][0].swept),
                    criterion=criterion,
                    missing=common[group[0][0].arm].missing,
                    excluded=left_out,
                    shares={arm.receiver: common[arm.arm].share("attack") for arm, _ in group},
                )
            )
    return found, tuple(compared)


def criterion_of(aim: Aim, scales: Mapping[str, Mapping[str, Any]]) -> str:
    """A goal's criterion in words; ``scales``: see `scale_of`."""
    if aim.success.get("label"):
        return "the target's label"
    name = scale_of(aim.loss, scales).damage_name.upper()
    return f"{name} to the target at most {float(aim.success['distance']):g}"


# --- counting -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """Consecutive messages of one arm, all [n]: whether each meets the criterion, and with what."""

    message: NDArray[np.int64]
    settled: Bools
    misses: Bools  # the passive image
    attack: Bools
    noise: Bools
    controlled: bool


class _Count:
    """Sums over the messages of one arm."""

    def __init__(self, unit: Unit) -> None:
        self.unit, size = unit, unit.size()
        self.messages = self.only_attack = self.only_noise = 0
        self.hits = {"attack": np.zeros(size), "noise": np.zeros(size)}
        self.trials = np.zeros(size)
        self.controlled = False

    def add(self, rows: _Rows, among: Bools) -> None:
        """Count the messages of ``among``."""
        self.messages += int(rows.settled.sum())
        self.controlled |= rows.controlled
        cell = self.unit.cells(rows.message[among])
        size = len(self.trials)
        self.trials += np.bincount(cell, minlength=size)
        for name, met in (("attack", rows.attack), ("noise", rows.noise)):
            self.hits[name] += np.bincount(cell, weights=met[among], minlength=size)
        self.only_attack += int((rows.attack & ~rows.noise & among).sum())
        self.only_noise += int((rows.noise & ~rows.attack & among).sum())

    @property
    def missing(self) -> int:
        return int(self.trials.sum())

    def share(self, name: str) -> Interval | None:
        """With an exact interval; of an effective number if a cell holds several messages."""
        hits = self.hits[name]
        if self.trials.max(initial=0.0) <= 1.0:
            return binomial(float(hits.sum()), float(self.missing))
        return clustered_share(hits, self.trials)

    def success(self, criterion: str) -> Success:
        return Success(
            criterion=criterion,
            messages=self.messages,
            missing=self.missing,
            attack=self.share("attack"),
            noise=self.share("noise") if self.controlled else None,
            only_attack=self.only_attack,
            only_noise=self.only_noise,
            p=mcnemar(self.only_attack, self.only_noise) if self.controlled else None,
        )


def mcnemar(one: int, other: int) -> float:
    """Exact two-sided p of two discordant counts: min(1, 2·P(X ≤ the smaller)), X ~ B(n, ½).

    Source: McNemar 1947, Psychometrika 12; the exact form is the sign test's. 1 without any.
    """
    from scipy.special import bdtr

    if one + other == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(one, other), one + other, 0.5)))


# --- reading ------------------------------------------------------------------------------------


def _columns(ledger: Ledger, aim: Aim) -> tuple[str, str, str | None] | None:
    """Columns of the passive image, the attacked and the control's; None if any is missing."""
    if aim.kind != "image" or not aim.success:
        return None
    metric = "label" if aim.success.get("label") else aim.loss
    names = (f"passive_{metric}_target", f"{metric}_target", f"control_{metric}_target")
    if not {*names[:2]} <= {*ledger.attempt_columns}:
        return None
    return names[0], names[1], names[2] if names[2] in ledger.attempt_columns else None


def _together(ledger: Ledger, header: RunHeader, group: Arms) -> Iterator[dict[int, _Rows]]:
    """Blocks of consecutive messages, of all arms of a group at once."""
    for start in range(0, header.count, _CHUNK):
        end = min(start + _CHUNK, header.count)
        yield {arm.arm: _read(ledger, header, arm.arm, aim, start, end) for arm, aim in group}


def _read(ledger: Ledger, header: RunHeader, arm: int, aim: Aim, start: int, end: int) -> _Rows:
    columns = _columns(ledger, aim)
    assert columns is not None
    passive, attack, control = columns
    judged = CONTROL_ACCEPTED in ledger.attempt_columns
    own = header.keys.transmissions(arm, start, end)
    rows = ledger.rows(
        f"SELECT t.transmission - ?, t.delivered = '{DELIVERED}', a.lost,"
        f" {'a.control_accepted' if judged else '1'}, {quoted(passive)}, {quoted(attack)},"
        f" {'NULL' if control is None else quoted(control)}"
        " FROM transmission t CROSS JOIN attempt a"
        f" ON a.attempt = {header.keys.last_attempt('t.transmission', 't.attempts')}"
        " WHERE t.transmission >= ? AND t.transmission < ?",
        (own.start - start, own.start, own.stop),
    )
    table = np.full((end - start, 7), np.nan)
    read = np.array(list(rows), dtype=np.float64).reshape(-1, 7)
    table[read[:, 0].astype(np.int64) - start] = read
    scale = header.scale(aim.loss)
    _, delivered, lost, allowed, alone, attacked, controlled = table.T
    settled = ~np.isnan(attacked)
    arrived = lost == 0
    return _Rows(
        message=np.arange(start, end),
        settled=settled,
        misses=settled & ~(arrived & _met(aim, scale, alone)),
        attack=settled & (delivered == 1) & _met(aim, scale, attacked),
        noise=settled & arrived & (allowed == 1) & _met(aim, scale, controlled),
        controlled=control is not None,
    )


def _met(aim: Aim, scale: Scale, values: Floats) -> Bools:
    with np.errstate(invalid="ignore"):
        if aim.success.get("label"):
            return values >= 0.5
        found: Bools = scale.damage(scale.to_additive(values)) <= float(aim.success["distance"])
        return found
