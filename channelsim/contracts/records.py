"""Data that travel between the planes, and the records that a run leaves behind.

The event plane hands over a `Batch` of ids; the signal plane answers with an `Outcome` of columns.
A run is a stream of `LogEvent`s, which the ledger stores and a display shows; rows come as whole
columns, never one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channelsim.contracts.keys import Keys
from channelsim.contracts.run_header import RunHeader

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# --- verdicts -----------------------------------------------------------------------------------

OK = "ok"
OFF = "off"
IDLE = "idle"
NOT_MOVED = "not_moved"
ZERO_GRADIENT = "zero_gradient"
NONFINITE = "nonfinite"
SATURATED = "saturated"
BEATEN_BY_NOISE = "beaten_by_noise"  # of an arm, never of a row

# Rows where an attack was meant but none took place.
FAILED = frozenset({NOT_MOVED, ZERO_GRADIENT, NONFINITE})
# Rows where no attack was meant.
SPARED = frozenset({OFF, IDLE})

VERDICTS: Mapping[str, str] = {
    OK: "the attack moved the codeword and its objective",
    OFF: "the budget is zero: nothing was injected",
    IDLE: "the adversary let this codeword pass: not its time, not its choice, or its energy spent",
    NOT_MOVED: "the attack returned no perturbation; try another start or step size",
    ZERO_GRADIENT: "the first gradient was zero up to rounding, so the first step had no direction;"
    " where the attack starts at zero, as literal does, set start: uniform",
    NONFINITE: "the attack produced NaN or infinity; its perturbation was dropped",
    SATURATED: "the perturbation is not zero but the objective did not improve beyond rounding",
    BEATEN_BY_NOISE: "over the arm, matched noise served the adversary's goal at least as well as"
    " the attack",
}

# --- columns of an attempt; the ledger's table and the flat view follow these -------------------

ATTEMPT_COLUMNS: tuple[str, ...] = (
    "attempt",  # INTEGER PRIMARY KEY: transmission * max_attempts + number
    "transmission",  # arm * count + message
    "began_s",  # simulated time at which its first symbol was sent
    "arrived_s",  # simulated time at which the receiver had (or missed) it
    "lost",  # 1: the link dropped it; 2: it collided with another
    "allowance",  # energy that the adversary's account allowed, ‖δ‖²; NULL without an account
    "replayed",  # message whose recorded codeword the adversary held; NULL without one
    # attempt whose image was shown instead where this one (or, without the adversary or with
    # matched noise in its place, the other two) was not accepted; NULL where not needed, or none
    "fallback_attempt",
    "accepted",  # 1: delivered to the user; 0: lost or rejected
    "score",  # detector score, NULL without a detector; higher is more suspicious
    "snr_db",  # nominal: of the stages that state an SNR, NULL without one
    # K·P over the energy of all disturbances of this row without the adversary: noise, impulses,
    # quantisation, rotation; NULL without any
    "snr_measured_db",
    "snr_row_db",  # this row's own power over the nominal noise power
    "gain_db",  # |h|² of the fading, averaged over the codeword's symbols; NULL without fading
    "erased",  # number of real values that never arrived; NULL where nothing erases
    "delta_linf",
    "delta_l2",
    "psr_db",  # against P, at the injection point; NULL where nothing was injected
    "psr_row_db",  # against this row's own power
    "psr_received_db",  # referred to the receiver's input
    "flipped_bits",  # by an adversary on the digital link; NULL elsewhere
    "verdict",
)

FLAT_HEAD: tuple[str, ...] = (
    "transmission",
    "arm",
    "receiver",
    "message",
    "attempts",
    "sent_s",
    "done_s",
    "delivered",
)
FLAT_TAIL: tuple[str, ...] = (
    "snr_db",
    "snr_measured_db",
    "delta_linf",
    "delta_l2",
    "psr_db",
    "psr_received_db",
    "verdict",
)

CONTROL_ACCEPTED = "control_accepted"  # as `accepted`, with matched noise in its place
DECODED = "decoded"  # 1: its decoder says that it succeeded, 0: that it failed; NULL: it says none
DELIVERED, LOST, REJECTED = "yes", "lost", "rejected"
ARRIVED, DROPPED, COLLIDED = 0, 1, 2  # an attempt's `lost`


def metric_columns(
    metrics: Sequence[str], control: bool, judged: bool = False, passive: bool = False
) -> list[str]:
    """Names of the metric columns of an attempt, in ledger order.

    ``<metric>_source``, ``_clean``, ``_passive``, ``_target`` (the adversary's target image; NULL
    where its goal is damage), the same with ``control_`` where a matched-noise control ran.
    ``decoded_<metric>_source`` where a detector ``judged``: of the decoded image, whatever the
    decision was. ``passive``: whether the ledger also holds `passive_columns`, and of matched noise
    the detector's decision; older ones do not.
    """
    suffixes = ("source", "clean", "passive", "target")
    names = [f"{metric}_{suffix}" for metric in metrics for suffix in suffixes]
    if control:
        names += [f"control_{metric}_{suffix}" for metric in metrics for suffix in suffixes]
    if judged:
        names += [f"decoded_{metric}_source" for metric in metrics]
    if passive and judged and control:
        names.append(CONTROL_ACCEPTED)
    return names + passive_columns(metrics) if passive else names


def passive_columns(metrics: Sequence[str]) -> list[str]:
    """Columns ``passive_<metric>_source`` and ``_target``, per attempt.

    The image shown at this attempt without any adversary: the same channel draw, the same loss on
    the link, and the detector's decision about the signal that then arrives.
    """
    return [f"passive_{metric}_{suffix}" for metric in metrics for suffix in ("source", "target")]


def quality_columns(metrics: Sequence[str]) -> list[str]:
    """Columns ``quality_<metric>``: the undisturbed g(z) against the source x, per attempt."""
    return [f"quality_{metric}" for metric in metrics]


# --- between the planes -------------------------------------------------------------------------


class Attempt(NamedTuple):
    """One attempt to send a message, as its life on the event plane hands it over.

    ``attempt``: its number, from 0. ``lost``: 0 arrived, else why not. ``began_s``: simulated time
    of the first symbol; ``arrived_s``: at which the receiver had, or missed, the last one.
    ``allowance``: energy ‖δ‖² that an adversary with an account may spend, NaN without an account.
    ``replayed``: message whose recorded codeword an adversary holds, -1 for none.
    """

    arm: int
    message: int
    attempt: int
    lost: int
    began_s: float
    arrived_s: float
    allowance: float
    replayed: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Attempts that cross one signal path together: the fields of `Attempt` as arrays [N]."""

    RECORDED: ClassVar[tuple[str, ...]] = ("lost", "began_s", "arrived_s", "allowance", "replayed")

    arm: Ints
    message: Ints
    attempt: Ints
    lost: Ints
    began_s: Floats
    arrived_s: Floats
    allowance: Floats
    replayed: Ints

    def __len__(self) -> int:
        return len(self.arm)

    @classmethod
    def of(cls, attempts: Sequence[Attempt]) -> Batch:
        """These attempts, in this order."""
        columns = zip(*attempts, strict=True) if attempts else [()] * len(Attempt._fields)
        real = ("began_s", "arrived_s", "allowance")
        arrays: list[Any] = [
            np.array(column, dtype=np.float64 if name in real else np.int64)
            for name, column in zip(Attempt._fields, columns, strict=True)
        ]
        return cls(*arrays)

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """The attempts of all parts, in order."""
        return cls(
            *(np.concatenate([getattr(one, name) for one in parts]) for name in cls.__slots__)
        )

    @classmethod
    def planned(cls, message: Ints, began_s: Floats | None = None) -> Batch:
        """First attempts of arm 0 that arrive, untouched in time; ``began_s``: default all at 0."""
        nothing, never = np.zeros_like(message), np.full(len(message), np.nan)
        began_s = np.zeros(len(message)) if began_s is None else began_s
        return cls(nothing, message, nothing, nothing, began_s, began_s, never, nothing - 1)

    @classmethod
    def recorded(
        cls, arm: int, stored: Iterable[Iterable[Any]], message: Any, attempt: Any
    ) -> Batch:
        """Attempts of one arm from the stored columns `RECORDED`."""
        columns = [np.array(column, dtype=np.float64) for column in zip(*stored, strict=True)]
        lost, began_s, arrived_s, allowance, replayed = columns
        n = len(lost)
        return cls(
            np.full(n, arm, dtype=np.int64),
            np.broadcast_to(np.asarray(message, dtype=np.int64), (n,)),
            np.broadcast_to(np.asarray(attempt, dtype=np.int64), (n,)),
            lost.astype(np.int64),
            began_s,
            arrived_s,
            allowance,
            np.where(np.isnan(replayed), -1, replayed).astype(np.int64),
        )

    def __getitem__(self, rows: slice | Ints) -> Batch:
        return Batch(*(getattr(self, name)[rows] for name in Batch.__slots__))

    def keys(self, keys: Keys) -> list[int]:
        """The attempts' keys as a run numbers them."""
        found: Ints = keys.attempt(keys.transmission(self.arm, self.message), self.attempt)
        return found.tolist()

    def ledger_columns(self, keys: Keys) -> dict[str, list[Any]]:
        """The columns of `ATTEMPT_COLUMNS` that are known before anything is computed."""
        transmission: Ints = keys.transmission(self.arm, self.message)
        return {
            "attempt": self.keys(keys),
            "transmission": transmission.tolist(),
            **{name: getattr(self, name).tolist() for name in self.RECORDED},
            "replayed": [None if one < 0 else one for one in self.replayed.tolist()],
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The signal plane's answer: ``accepted`` [N] and one array [N] per measured column."""

    accepted: NDArray[np.bool_]
    columns: dict[str, NDArray[Any]]


# --- the stream of a run ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """One arm: a point of the sweep × a receiver. ``swept`` maps each swept key to its value."""

    arm: int
    receiver: str
    swept: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Started:
    """First event: the run's header and its arms."""

    header: RunHeader
    arms: Sequence[ArmRecord]
    total: int  # transmissions to come, over all arms


@dataclass(frozen=True, slots=True)
class AttemptsDone:
    """Finished attempts as columns: `ATTEMPT_COLUMNS`, quality and metric columns; lists of [N]."""

    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class TransmissionsDone:
    """Finished transmissions as columns: transmission, sent_s, done_s, attempts, delivered."""

    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class ImageSaved:
    """A thumbnail for the ledger. ``role``: source, clean, passive, received, or attacked.

    The last is the encoder's input where an adversary stands before it.
    """

    transmission: int
    attempt: int
    role: str
    png: bytes


@dataclass(frozen=True, slots=True)
class ImagesDropped:
    """Thumbnails that others displaced: (transmission, attempt) of each, in all roles."""

    attempts: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Noted:
    """A notice to the user; ``arm`` is None where it concerns the whole run."""

    level: str  # "info" or "warning"
    text: str
    sim_s: float
    arm: int | None = None


@dataclass(frozen=True, slots=True)
class ArmDone:
    """An arm is complete; ``verdict``: one of `VERDICTS` for the arm as a whole."""

    arm: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Preparing:
    """Computation before the first message, not stored; a display may show it meanwhile."""

    text: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Progress, not stored: the simulated clock and the number of settled transmissions."""

    sim_s: float
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of a complete run."""

    sim_s: float


LogEvent = (
    Preparing
    | Started
    | AttemptsDone
    | TransmissionsDone
    | ImageSaved
    | ImagesDropped
    | Noted
    | ArmDone
    | Ticked
    | Finished
)
