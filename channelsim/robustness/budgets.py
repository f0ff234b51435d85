"""The budgets once more, this time in what was recorded (they are enforced outside every attack).

    ‖δ‖₂ ≤ Σ_adversaries R,  R = ε (l2), ε·√K (linf), √(K·P·10^(ε/10)) (psr_db)

and ‖δ‖∞ ≤ Σ ε where all budgets are linf: by the triangle inequality for several adversaries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from channelsim.errors import MachineError
from channelsim.scenario import Arm
from channelsim.threat import Adversary

if TYPE_CHECKING:
    from channelsim.ledger import Ledger

_ROUNDING = 1e-5  # norms are sums of float32 values


def assert_budgets(ledger: Ledger, arms: tuple[Arm, ...], calibration: Mapping[str, Any]) -> None:
    """Raise `MachineError` if any recorded perturbation is larger than its arm allowed."""
    span = ledger.count * ledger.max_attempts
    for arm in arms:
        adversaries = [stage for stage in arm.path if isinstance(stage, Adversary)]
        if not adversaries:
            continue
        power = calibration["power"][str(arm.number)]["wire"]
        size = arm.receiver.codec.latent_size
        query = (
            "SELECT MAX(delta_linf), MAX(delta_l2) FROM attempt WHERE attempt >= ? AND attempt < ?"
        )
        bounds = (arm.number * span, (arm.number + 1) * span)
        linf, l2 = (float(found or 0.0) for found in next(ledger.rows(query, bounds)))
        if adversaries[0].access.place == "before_encoder":
            power, size = calibration["pixel_power"], math.prod(arm.receiver.codec.image_shape)
        account = next((one.activity.energy for one in adversaries if one.activity.energy), None)
        if account is not None:
            query = (
                "SELECT TOTAL(delta_l2 * delta_l2) FROM attempt WHERE attempt >= ? AND attempt < ?"
            )
            spent = float(next(ledger.rows(query, bounds))[0])
            if spent > account * power * size * (1 + _ROUNDING):
                raise MachineError(_broken(arm, "total energy", spent, account * power * size))
        allowed = sum(_l2_radius(stage, power, size) for stage in adversaries)
        if l2 > allowed * (1 + _ROUNDING):
            raise MachineError(_broken(arm, "L2", l2, allowed))
        if all(stage.budget.norm == "linf" for stage in adversaries):
            allowed = sum(stage.budget.epsilon for stage in adversaries)
            if linf > allowed * (1 + _ROUNDING):
                raise MachineError(_broken(arm, "L-infinity", linf, allowed))


def _l2_radius(stage: Adversary, power: float, size: int) -> float:
    epsilon = torch.tensor([stage.budget.epsilon], dtype=torch.float64)
    radius = float(stage.budget.radius(epsilon, power, size))
    return radius * math.sqrt(size) if stage.budget.norm == "linf" else radius


def _broken(arm: Arm, norm: str, found: float, allowed: float) -> str:
    return (
        f"arm {arm.number} ({arm.receiver_name}): a perturbation was recorded with {norm} norm"
        f" {found:g}, over its budget of {allowed:g}: a bug; do not use this run"
    )
