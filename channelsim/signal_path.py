"""The signal plane: what happens to the tensors of one batch.

    encode ─► power ─► path stages (noise, adversary, …) ─► defence ─► decode ─► metrics

One `SignalPath` serves all arms that differ only in columns. It is a pure function of its batch:
three signals cross the path side by side and meet the same channel draws: the *passive* one (no
adversary), the *attacked* one and the *control* (matched noise in place of the adversary).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channelsim import records, units
from channelsim.adversaries.control import matched_control
from channelsim.adversaries.goals import TargetImage
from channelsim.channels.power import Power, Scaled
from channelsim.metrics.memory import remembering
from channelsim.parts import Adversary, Codec, Detector, Metric, Stage
from channelsim.records import Batch, Ints, Knowledge, Outcome, Rows
from channelsim.sources import as_float

Column = NDArray[Any]


@dataclass(frozen=True)
class Transmitter:
    """What sends: a codec, whether it sends means or samples, and its calibrated power."""

    codec: Codec
    transmit: str
    power: Power
    codec_power: float  # P of the codec (centred if the power mode says so)
    latent_mean: Tensor  # [K]

    @property
    def wire_power(self) -> float:
        """P per real value on the wire."""
        return self.power.wire_power(self.codec_power)

    def send(self, images: Tensor, rows: Rows) -> tuple[Tensor, Scaled]:
        """Latents z [N, K] and their scaled wire signal."""
        mean, std = self.codec.posterior(images)
        latent = mean
        if self.transmit == "sample" and std is not None:
            latent = mean + std * rows.normal(self.codec.latent_size, "posterior")
        return latent, self.scaled(latent)

    def scaled(self, latent: Tensor) -> Scaled:
        """The wire signal of latents [N, K]."""
        return self.power.scale(latent, self.codec_power, self.latent_mean)


@dataclass(frozen=True)
class Latents:
    """A normal distribution from which codewords are drawn, N(mean, root²) or N(0, I).

    ``name``: "standard normal" or "fitted". ``mean``: [K]. ``root``: the symmetric square root of
    the covariance, [K, K]; both None for the standard normal distribution.
    """

    name: str
    size: int
    mean: Tensor | None = None
    root: Tensor | None = None

    @classmethod
    def of_card(cls, card: Mapping[str, Any], size: int, device: torch.device) -> Latents:
        """What a codec's card says; ValueError where it says ``prior: fitted`` and not to what."""
        if card.get("prior") != "fitted":
            return cls("standard normal", size)
        mean = torch.tensor(card.get("latent_mean", ()), dtype=torch.float64)
        covariance = torch.tensor(card.get("latent_covariance", ()), dtype=torch.float64)
        if mean.shape != (size,) or covariance.shape != (size, size):
            raise ValueError(
                f"it does not hold latent_mean [{size}] and latent_covariance [{size}, {size}]"
            )
        values, vectors = torch.linalg.eigh(covariance)
        if not bool(torch.isfinite(values).all()) or float(values[0]) < -1e-6 * float(values[-1]):
            raise ValueError("its latent_covariance is not a covariance (a negative variance)")
        # The symmetric root is unique, so no sign that LAPACK chooses shows in a result.
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        return cls("fitted", size, mean.float().to(device), root.float().to(device))

    def draw(self, rows: Rows) -> Tensor:
        """Codewords [N, K]; ``rows`` of attempt 0, named so that every receiver has the same ξ."""
        noise = rows.normal(self.size, "prior")
        if self.mean is None or self.root is None:
            return noise
        return self.mean + noise @ self.root


@dataclass(frozen=True)
class Defence:
    """A receiver's run-time part: a fitted detector (or none) and the fallback image [C, H, W]."""

    detector: Detector | None
    state: Mapping[str, Tensor]
    fallback: Tensor


@dataclass(frozen=True)
class SignalPath:
    """The path of a group of arms.

    ``images``: the source [n, C, H, W], bytes or float32 in [0, 1]; ``index`` maps a message number
    to its row there. ``latents``: where codewords are drawn instead, and images are what the clean
    receiver makes of them.
    ``columns``: per stage label, per column, the value of every arm of the run, shape [arms].
    ``thresholds``: the detector's, per arm. ``active``: whether adversaries do anything in these
    arms (a budget of zero is its own group: nothing is computed for it).
    """

    transmitter: Transmitter
    stages: Sequence[Stage]
    defence: Defence
    metrics: Sequence[Metric]
    control: bool
    active: bool
    seed: int
    count: int
    images: Tensor
    index: Ints
    columns: Mapping[str, Mapping[str, Column]]
    thresholds: Column
    block_rows: int
    latents: Latents | None = None

    @torch.no_grad()
    def run(self, batch: Batch, keep: Column | None = None) -> tuple[Outcome, dict[str, Tensor]]:
        """Send at most ``block_rows`` attempts through the path, padded to that many.

        Returns what was measured and, for the rows that ``keep`` marks, the images by role.
        """
        n = len(batch)
        rest = np.minimum(np.arange(self.block_rows), n - 1)  # padding repeats the last row
        full = Batch(batch.arm[rest], batch.message[rest], batch.attempt[rest], batch.lost[rest])
        with remembering():
            columns, accepted, images = self._cross(full)
        outcome = Outcome(accepted[:n], {name: values[:n] for name, values in columns.items()})
        if keep is None or not keep.any():
            return outcome, {}
        chosen = torch.from_numpy(np.flatnonzero(keep))
        return outcome, {role: picture[chosen] for role, picture in images.items()}

    def _cross(self, batch: Batch) -> tuple[dict[str, Column], Column, dict[str, Tensor]]:
        codec, power = self.transmitter.codec, self.transmitter.wire_power
        source, scaled, clean = self._sent(batch.message)
        knowledge = Knowledge(
            decode=lambda wire: codec.decode(scaled.undo(wire)),
            source=source,
            clean=clean,
            power=power,
            source_of=self._source,
            clean_of=self._clean,
            messages=self.count,
        )
        signals, log = self._wire(scaled.wire, batch, knowledge)

        received = {role: scaled.undo(signal) for role, signal in _distinct(signals).items()}
        decoded = {role: codec.decode(latent) for role, latent in received.items()}
        for role, signal in signals.items():  # signals that never parted share one decoding
            twin = next(other for other in decoded if signals[other] is signal)
            received[role], decoded[role] = received[twin], decoded[twin]

        lost = torch.from_numpy(batch.lost).to(source.device)
        accepted, score = self._judge(received["attacked"], batch.arm)
        shown = self._show(decoded["attacked"], accepted & ~lost)
        log["score"] = score
        references = {"source": source, "clean": clean, "passive": decoded["passive"]}
        compared = {**references, "target": self._target(batch, knowledge)}
        for metric in self.metrics:
            log[f"quality_{metric.kind}"] = _column(metric(clean, source))
        self._measure(log, "", shown, compared)
        if self.control:
            allowed, _ = self._judge(received["control"], batch.arm)
            stand_in = self._show(decoded["control"], allowed & ~lost)
            self._measure(log, "control_", stand_in, compared)
        kept = {**references, "received": shown}
        return log, (accepted & ~lost).cpu().numpy(), kept

    # --- the stations, in order -----------------------------------------------------------------

    def _sent(self, message: Ints) -> tuple[Tensor, Scaled, Tensor]:
        """Source images x, the wire signal, and clean reconstructions g(z) of some messages."""
        # The codeword of a message is the same at every attempt: its draws are keyed by attempt 0.
        first = self._rows("transmitter", np.zeros_like(message), message, np.zeros_like(message))
        if self.latents is not None:
            latent = self.latents.draw(first)
            clean = self.transmitter.codec.decode(latent)
            return clean, self.transmitter.scaled(latent), clean
        source = as_float(self.images[torch.from_numpy(self.index[message])])
        latent, scaled = self.transmitter.send(source, first)
        return source, scaled, self.transmitter.codec.decode(latent)

    def _source(self, message: Ints) -> Tensor:
        if self.latents is not None:
            return self._clean(message)
        return as_float(self.images[torch.from_numpy(self.index[message])])

    def _clean(self, message: Ints) -> Tensor:
        return self._sent(message)[2]

    def _target(self, batch: Batch, knowledge: Knowledge) -> Tensor | None:
        """What the first adversary with an image as its goal wants to be seen, off or not."""
        for stage in self.stages:
            goal = getattr(stage, "goal", None)
            if isinstance(goal, TargetImage):
                rows = self._rows(stage.label, batch.arm, batch.message, batch.attempt, knowledge)
                return goal.image(rows, knowledge)
        return None

    def _rows(
        self,
        label: str,
        arm: Ints,
        message: Ints,
        attempt: Ints,
        knowledge: Knowledge | None = None,
    ) -> Rows:
        with np.errstate(over="ignore"):  # a step size beyond float32 is infinite, and may be
            columns = {
                column: torch.from_numpy(values[arm].astype(np.float32)).to(self.images.device)
                for column, values in self.columns.get(label, {}).items()
            }
        return Rows(
            name=label,
            seed=self.seed,
            message=message,
            attempt=attempt,
            columns=columns,
            device=self.images.device,
            knowledge=knowledge,
            power=self.transmitter.wire_power,
        )

    def _wire(
        self, sent: Tensor, batch: Batch, knowledge: Knowledge
    ) -> tuple[dict[str, Tensor], dict[str, Column]]:
        """Take the three signals over the stages; log what noise and adversaries did."""
        n, size = sent.shape
        power = self.transmitter.wire_power
        passive = attacked = control = sent
        delta = torch.zeros_like(sent)
        verdict: Column | None = None
        noise_to_signal = np.zeros(n)
        for stage in self.stages:
            rows = self._rows(stage.label, batch.arm, batch.message, batch.attempt, knowledge)
            if isinstance(stage, Adversary):
                if not self.active or stage.budget.off:
                    verdict = _worse(verdict, np.full(n, records.OFF, dtype=object))
                    continue
                found = stage.attack(attacked, rows)
                attacked = attacked + found.delta
                delta = delta + found.delta
                verdict = _worse(verdict, found.verdict)
                if self.control:
                    control = control + matched_control(found.delta, stage.budget.ball, rows)
                continue
            before = passive
            passive = stage.apply(before, rows)
            attacked = passive if attacked is before else stage.apply(attacked, rows)
            control = passive if control is before else stage.apply(control, rows)
            if "snr_db" in rows.columns:
                nominal = self.columns[stage.label]["snr_db"][batch.arm]
                noise_to_signal = noise_to_signal + 1.0 / units.from_db(nominal)

        own = _energy(sent)
        injected = _energy(delta)
        at_receiver = np.where(batch.lost, 0.0, _energy(attacked - passive))
        with np.errstate(divide="ignore", invalid="ignore"):
            log: dict[str, Column] = {
                "snr_db": _known(-units.db(noise_to_signal)),
                "snr_measured_db": _known(units.db(size * power / _energy(passive - sent))),
                "snr_row_db": _known(units.db(own / (size * power * noise_to_signal))),
                "delta_linf": _column(delta.abs().amax(dim=1)),
                "delta_l2": np.sqrt(injected),
                "psr_db": _known(units.db(units.psr(injected, power, size))),
                "psr_row_db": _known(units.db(injected / own)),
                "psr_received_db": _known(units.db(units.psr(at_receiver, power, size))),
                "verdict": np.full(n, None, dtype=object) if verdict is None else verdict,
            }
        return {"passive": passive, "attacked": attacked, "control": control}, log

    def _judge(self, latent: Tensor, arm: Ints) -> tuple[Tensor, Column]:
        """Detector: accepted [N] and scores [N] (NaN without a detector)."""
        detector = self.defence.detector
        if detector is None:
            return torch.ones(len(latent), dtype=torch.bool, device=latent.device), np.full(
                len(latent), np.nan
            )
        score = _column(detector.score(latent, self.defence.state))
        return torch.from_numpy(score <= self.thresholds[arm]).to(latent.device), score

    def _show(self, decoded: Tensor, accepted: Tensor) -> Tensor:
        """What the user sees: the decoded image, or the fallback where it was not accepted."""
        if bool(accepted.all()):
            return decoded
        return torch.where(accepted[:, None, None, None], decoded, self.defence.fallback)

    def _measure(
        self,
        log: dict[str, Column],
        prefix: str,
        shown: Tensor,
        references: Mapping[str, Tensor | None],
    ) -> None:
        for metric in self.metrics:
            done: list[tuple[Tensor, Column]] = []
            for suffix, reference in references.items():
                if reference is None:
                    log[f"{prefix}{metric.kind}_{suffix}"] = np.full(len(shown), np.nan)
                    continue
                known = next((values for seen, values in done if seen is reference), None)
                values = _column(metric(shown, reference)) if known is None else known
                done.append((reference, values))
                log[f"{prefix}{metric.kind}_{suffix}"] = values


def _distinct(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The signals without those that are the same tensor as an earlier one."""
    found: dict[str, Tensor] = {}
    for role, signal in signals.items():
        if not any(signal is other for other in found.values()):
            found[role] = signal
    return found


def _column(values: Tensor) -> Column:
    return values.detach().cpu().numpy().astype(np.float64)


def _energy(signal: Tensor) -> Column:
    """‖·‖² per row, in double precision: float32 cancellation would show in dB."""
    return _column(signal.double().square().sum(dim=1))


def _known(decibels: Column) -> Column:
    """Infinite decibels (no noise, no perturbation) are missing values, not numbers."""
    return np.where(np.isfinite(decibels), decibels, np.nan)


_SEVERITY = {
    word: rank
    for rank, word in enumerate(
        [
            records.OFF,
            records.OK,
            records.SATURATED,
            records.NOT_MOVED,
            records.ZERO_GRADIENT,
            records.NONFINITE,
        ]
    )
}


def _worse(left: Column | None, right: Column) -> Column:
    """Of two adversaries' verdicts, the one a researcher must hear about."""
    if left is None:
        return right
    rank = np.vectorize(_SEVERITY.__getitem__, otypes=[int])
    return np.where(rank(right) >= rank(left), right, left)
