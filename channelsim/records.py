"""What travels between the planes, and what a run leaves behind.

The event plane hands over a `Batch` of ids; the signal plane answers with an `Outcome` of columns.
A stage sees its batch through `Rows`. A run is a stream of `LogEvent`s, which the ledger stores
and a display shows; rows come as whole columns, never one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channelsim import seeds

Ints = NDArray[np.int64]
Images = Callable[[Ints], Tensor]

# --- verdicts -----------------------------------------------------------------------------------

OK = "ok"
OFF = "off"
NOT_MOVED = "not_moved"
ZERO_GRADIENT = "zero_gradient"
NONFINITE = "nonfinite"
SATURATED = "saturated"
BEATEN_BY_NOISE = "beaten_by_noise"  # of an arm, never of a row

# Rows on which no attack took place although one was meant to.
FAILED = frozenset({NOT_MOVED, ZERO_GRADIENT, NONFINITE})

VERDICTS: Mapping[str, str] = {
    OK: "the attack moved the codeword and its objective",
    OFF: "the budget is zero: nothing was injected",
    NOT_MOVED: "the attack returned no perturbation; try another start or step size",
    ZERO_GRADIENT: "the first gradient was zero up to rounding, so the first step had no direction;"
    " start at random or along an eigenvector",
    NONFINITE: "the attack produced NaN or infinity; its perturbation was dropped",
    SATURATED: "the perturbation is not zero but the objective did not improve beyond rounding",
    BEATEN_BY_NOISE: "over the arm, matched noise did at least as much damage as the attack",
}

# --- what is measured per attempt; the ledger's table and the flat view follow these ------------

ATTEMPT_COLUMNS: tuple[str, ...] = (
    "attempt",  # INTEGER PRIMARY KEY: transmission * max_attempts + number
    "transmission",  # arm * count + message
    "arrived_s",  # simulated time at which the receiver had (or missed) it
    "lost",  # 1: the link dropped it
    "accepted",  # 1: delivered to the user; 0: lost or rejected
    "score",  # detector score, NULL without a detector; higher is more suspicious
    "snr_db",  # nominal: of the stages that state an SNR, NULL without one
    # K·P over the energy of all that the path did to this row without the adversary: noise,
    # impulses, quantisation, rotation; NULL where it did nothing
    "snr_measured_db",
    "snr_row_db",  # this row's own power over the nominal noise power
    "delta_linf",
    "delta_l2",
    "psr_db",  # against P, at the injection point; NULL where nothing was injected
    "psr_row_db",  # against this row's own power
    "psr_received_db",  # referred to the receiver's input
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

DELIVERED, LOST, REJECTED = "yes", "lost", "rejected"


def metric_columns(metrics: Sequence[str], control: bool) -> list[str]:
    """Names of the metric columns of an attempt, in ledger order.

    ``<metric>_source``, ``_clean``, ``_passive`` (THREATS: References), ``_target`` (the image that
    the adversary wants to be seen; NULL where its goal is damage), the same with ``control_`` where
    a matched-noise control ran.
    """
    suffixes = ("source", "clean", "passive", "target")
    names = [f"{metric}_{suffix}" for metric in metrics for suffix in suffixes]
    if control:
        names += [f"control_{metric}_{suffix}" for metric in metrics for suffix in suffixes]
    return names


def quality_columns(metrics: Sequence[str]) -> list[str]:
    """Columns ``quality_<metric>``: the undisturbed g(z) against the source x, per attempt."""
    return [f"quality_{metric}" for metric in metrics]


# --- between the planes -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Ids of attempts that cross one signal path together; all arrays have shape [N]."""

    arm: Ints
    message: Ints
    attempt: Ints
    lost: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.arm)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the signal plane answers: ``accepted`` [N] and one array [N] per measured column."""

    accepted: NDArray[np.bool_]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Knowledge:
    """What an adversary on the wire may use; everything refers to the rows of one batch.

    ``decode``: wire [N, K] → image [N, C, H, W], as the receiver would (its scale undone), and
    differentiable. ``source``: x. ``clean``: g(z). ``power``: P per real value on the wire.
    ``source_of`` / ``clean_of``: the same two for other messages of the run, by message number.
    ``messages``: how many messages the run has.
    """

    decode: Callable[[Tensor], Tensor]
    source: Tensor
    clean: Tensor
    power: float
    source_of: Images
    clean_of: Images
    messages: int


@dataclass
class Rows:
    """One stage's view of a batch: its own columns, its own random numbers.

    ``rows["snr_db"]`` is a float tensor of shape [N]. ``message`` and ``attempt`` are int64 arrays
    [N]. Draws are keyed by the run's seed, the stage's name, message and attempt (see `seeds`),
    and remembered, so that the attacked, the passive and the control signal meet the same channel.
    """

    name: str
    seed: int
    message: Ints
    attempt: Ints
    columns: Mapping[str, Tensor]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    knowledge: Knowledge | None = None
    power: float = 1.0
    _drawn: dict[tuple[str, str, int, int], Tensor] = field(default_factory=dict, repr=False)

    def __getitem__(self, column: str) -> Tensor:
        return self.columns[column]

    def __len__(self) -> int:
        return len(self.message)

    def normal(self, width: int, draw: str = "", index: int = 0) -> Tensor:
        """Standard normal draws, float32 [N, width]; ``index`` counts restarts and the like."""
        return self._draw("normal", width, draw, index)

    def uniform(self, width: int, draw: str = "", index: int = 0) -> Tensor:
        """Uniform draws in (0, 1), float32 [N, width]."""
        return self._draw("uniform", width, draw, index)

    def _draw(self, law: str, width: int, draw: str, index: int) -> Tensor:
        known = (law, draw, width, index)
        if known not in self._drawn:
            key = seeds.stream_key(self.seed, self.name, draw)
            sample = seeds.normals if law == "normal" else seeds.uniforms
            values = sample(key, self.message, self.attempt, width, index)
            self._drawn[known] = torch.from_numpy(values.astype(np.float32)).to(self.device)
        return self._drawn[known]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What an adversary injected: ``delta`` [N, K] within its budget, ``verdict`` [N] words."""

    delta: Tensor
    verdict: NDArray[np.object_]


# --- the stream of a run ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """One arm: a point of the sweep × a receiver. ``swept`` maps each swept key to its value."""

    arm: int
    receiver: str
    swept: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Started:
    """First event: the run's header (key → JSON-able value) and its arms."""

    header: Mapping[str, Any]
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
    """A thumbnail for the ledger. ``role``: source, clean, passive or received."""

    transmission: int
    attempt: int
    role: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should know; ``arm`` is None where it concerns the whole run."""

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
class Ticked:
    """Progress, not stored: the simulated clock and how many transmissions are settled."""

    sim_s: float
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of a complete run."""

    sim_s: float


LogEvent = (
    Started | AttemptsDone | TransmissionsDone | ImageSaved | Noted | ArmDone | Ticked | Finished
)
