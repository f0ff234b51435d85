"""A second check of the budgets, on the recorded values (they are enforced outside every attack).

    ‖δ‖₂ ≤ Σ_adversaries R,  R = ε (l2), ε·√K (linf), √(K·P·10^(ε/10)) (psr_db)

and ‖δ‖∞ ≤ Σ ε where all budgets are linf: by the triangle inequality for several adversaries.
Flipped bits ≤ Σ ε of budgets in bits, which bound no norm. All attempts of an arm together, with an
account of energy E: √Σ‖δ‖² ≤ √(E·K·P) + √attempts·Σ R of the adversaries without one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.run_header import Calibration
from channelsim.scenario import Arm
from channelsim.support.errors import MachineError

if TYPE_CHECKING:
    from channelsim.ledger import Ledger

_ROUNDING = 1e-5  # norms are sums of float32 values


def assert_budgets(ledger: Ledger, arms: tuple[Arm, ...], calibration: Calibration) -> None:
    """Raise `MachineError` if any recorded perturbation is larger than its arm allowed."""
    keys = ledger.header().keys
    for arm in arms:
        adversaries = arm.path.adversaries
        if not adversaries:
            continue
        power = calibration.power(arm.number)
        assert power is not None
        size = arm.receiver.codec.latent_size
        query = (
            "SELECT MAX(delta_linf), MAX(delta_l2), MAX(flipped_bits), COUNT(*),"
            " TOTAL(delta_l2 * delta_l2) FROM attempt WHERE attempt >= ? AND attempt < ?"
        )
        span = keys.attempts(arm.number)
        bounds = (span.start, span.stop)
        found = (float(value or 0.0) for value in next(ledger.rows(query, bounds)))
        linf, l2, flipped, attempts, spent = found
        if adversaries[0].access.before_encoder:
            power, size = calibration.pixel_power, math.prod(arm.receiver.codec.image_shape)
        digital = [stage for stage in adversaries if stage.budget.norm == "bits"]
        bits = sum(stage.budget.epsilon for stage in digital)
        if flipped > bits:
            raise MachineError(_broken(arm, "flipped bits", flipped, bits))
        if digital:
            continue  # a flipped bit bounds no norm
        owner = next((one for one in adversaries if one.activity.energy), None)
        if owner is not None and owner.activity.energy is not None:
            others = sum(_l2_radius(one, power, size) for one in adversaries if one is not owner)
            most = math.sqrt(owner.activity.energy * power * size) + math.sqrt(attempts) * others
            if spent > most**2 * (1 + _ROUNDING):
                raise MachineError(_broken(arm, "total energy", spent, most**2))
        allowed = sum(_l2_radius(stage, power, size) for stage in adversaries)
        if l2 > allowed * (1 + _ROUNDING):
            raise MachineError(_broken(arm, "L2 norm", l2, allowed))
        if all(stage.budget.norm == "linf" for stage in adversaries):
            allowed = sum(stage.budget.epsilon for stage in adversaries)
            if linf > allowed * (1 + _ROUNDING):
                raise MachineError(_broken(arm, "L-infinity norm", linf, allowed))


def _l2_radius(stage: Adversary, power: float, size: int) -> float:
    epsilon = torch.tensor([stage.budget.epsilon], dtype=torch.float64)
    radius = float(stage.budget.radius(epsilon, power, size))
    return radius * math.sqrt(size) if stage.budget.norm == "linf" else radius


def _broken(arm: Arm, what: str, found: float, allowed: float) -> str:
    return (
        f"arm {arm.number} ({arm.receiver_name}): a perturbation was recorded with {what}"
        f" {found:g}, over its budget of {allowed:g}: a bug; do not use this run"
    )
