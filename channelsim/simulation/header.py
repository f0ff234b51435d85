"""The header of a run: its scenario, machine and software."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import channelsim
from channelsim.adversaries.goals import loss_card
from channelsim.adversaries.objective import raises_own_loss
from channelsim.channels import memories_s
from channelsim.codecs.onnx import Onnx, runtime_version
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import is_foreign
from channelsim.contracts.promises import Tried
from channelsim.contracts.run_header import RunHeader
from channelsim.metrics.own_scales import own_scales
from channelsim.scenario import Scenario
from channelsim.scenario.path_rules import shared_paths
from channelsim.scenario.waiting import decodes, judged
from channelsim.simulation.part_prints import by_name, prints
from channelsim.support import arithmetic
from channelsim.support.device import described


def fingerprint(
    block_rows: int, device: torch.device, *, threads_matter: bool, onnx: bool = False
) -> dict[str, Any]:
    """The facts that must be equal for a bit-for-bit replay.

    ``device``: what computes. ``threads_matter``: whether the self-test found that the number of
    threads changes bits. ``onnx``: whether onnxruntime computes a codec, see `computes_onnx`.
    """
    return {
        **({"onnxruntime": runtime_version()} if onnx else {}),
        "torch": torch.__version__,
        "instruction_set": arithmetic.instruction_set(),
        "arithmetic": arithmetic.signature(),
        "mkl_cbwr": os.environ.get("MKL_CBWR"),
        "device": described(device),
        "block_rows": block_rows,
        "threads": torch.get_num_threads() if threads_matter else None,
    }


def computes_onnx(scenario: Scenario) -> bool:
    """Whether a codec of the scenario is computed by onnxruntime."""
    return any(isinstance(arm.receiver.codec, Onnx) for arm in scenario.arms)


@contextmanager
def threads_of(header: RunHeader) -> Iterator[None]:
    """Inside, the run's number of threads, where bits depend on it."""
    there = header.fingerprint.get("threads")
    if there is None:
        yield
        return
    with arithmetic.threads(there):
        yield


def versions() -> dict[str, str]:
    """Versions of the software used."""
    from importlib.metadata import version

    names = ("torch", "numpy", "scipy", "simpy", "pydantic")
    return {
        "channelsim": channelsim.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def git_revision() -> str | None:
    """The revision of this package's checkout, None where there is none."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _own_stages(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Name and budget of the user's own stages, by their place in the path."""
    found: dict[str, dict[str, Any]] = {}
    for place, stage in enumerate(scenario.arms[0].path):
        if is_foreign(type(stage)):
            facts: dict[str, Any] = {"name": stage.label}
            if isinstance(stage, Adversary):
                facts["budget"] = {"norm": stage.budget.norm, "epsilon": stage.budget.epsilon}
            found[str(place)] = facts
    return found


def header(
    scenario: Scenario,
    calibration: Mapping[str, Any],
    tried: Tried | None = None,
    device: torch.device | None = None,
) -> RunHeader:
    """The header of a run, JSON-able.

    ``device``: what computes, default the CPU.
    ``tried``: the self-test's result; None promises nothing about bits.
    """
    device = device or torch.device("cpu")
    weights = by_name(
        (arm.receiver_name, arm.number, arm.receiver.codec.card.get("sha256"))
        for arm in scenario.arms
    )
    threats = by_name(
        (stage.label, arm.number, dict(stage.threat))
        for arm in scenario.arms
        for stage in arm.path.adversaries
    )
    losses = by_name(
        (stage.label, arm.number, dict(card))
        for arm in scenario.arms
        for stage in arm.path.adversaries
        if (card := loss_card(stage))
    )
    raised: dict[str, list[str]] = {}
    for arm in scenario.arms:
        for stage in arm.path.adversaries:
            own = raised.setdefault(arm.receiver_name, [])
            if stage.label not in own and raises_own_loss(stage, arm.receiver.codec):
                own.append(stage.label)
    raised = {receiver: names for receiver, names in raised.items() if names}
    sampling = scenario.source.sampling
    return RunHeader(
        {
            "title": scenario.title,
            "seed": scenario.seed,
            "scenario_written": scenario.written,
            "scenario": scenario.resolved,
            "scenario_hash": scenario.hash,
            "count": scenario.source.messages,
            "image_shape": list(scenario.source.image_shape),
            **({} if sampling is None else {"sampling": sampling.as_dict}),
            "max_attempts": max(arm.link.max_attempts for arm in scenario.arms),
            "metrics": [metric.kind for metric in scenario.metrics],
            "metric_cards": {m.kind: dict(m.card) for m in scenario.metrics if m.card},
            "scales": own_scales(scenario.metrics),  # declared by the user's own metrics
            "loss_cards": losses,  # of the networks in the adversaries' losses
            # Left out where no adversary raises a codec's own loss, as ledgers were before.
            **({"attack_losses": raised} if raised else {}),
            "control": scenario.control,
            "judged": any(map(judged, scenario.arms)),
            # Left out where no decoder says whether it succeeded, as ledgers were before.
            **({"decodes": True} if decodes(scenario.arms) else {}),
            "passive_columns": True,
            "swept_keys": list(scenario.swept_keys),
            "receivers": list(scenario.receivers),
            "block_rows": scenario.block_rows,
            "fingerprint": fingerprint(
                scenario.block_rows,
                device,
                threads_matter=tried is None or tried.thread.differ > 0,
                onnx=computes_onnx(scenario),
            ),
            "computed_on": str(device),
            "promises": tried and tried.as_dict,
            "parts": prints(scenario),
            "versions": versions(),
            "git": git_revision(),
            "weights": weights,
            "calibration": dict(calibration),
            # The channel's memory in any arm, which decides what intervals resample.
            "memory_s": list(
                memories_s((arm.path, 1.0 / arm.link.symbol_rate_hz) for arm in scenario.arms)
            ),
            "airtime_s": max(
                arm.link.airtime_s(arm.receiver.codec.latent_size) for arm in scenario.arms
            ),
            "contended": any(arm.link.contended for arm in scenario.arms),
            "threats": threats,
            "own_stages": _own_stages(scenario),
            "shared_paths": shared_paths(arm.path for arm in scenario.arms),
        }
    )
