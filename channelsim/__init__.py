"""Simulator of learned codecs over a communication channel with adversaries.

    import channelsim

    run = channelsim.run("scenarios/black_target.yaml", set={"source.count": 100})
    print(run.summary())

or on tensors, without a scenario:

    found = channelsim.attack("kld-vae", images, channelsim.PGD(goal=..., budget=...), seed=7)

This is the only module to import from: whatever the author of a part, a study or a notebook needs
is here, and stays. The names load what they need when first used, so that ``import channelsim``
stays quick.
"""

from __future__ import annotations

import os
import sys


def _is_the_program() -> bool:
    """Whether this is ``python -m channelsim`` or its script, and not an import."""
    first = sys.argv[0] if sys.argv else ""
    if first != "-m":  # the value while Python looks for the module
        return os.path.basename(first) in ("channelsim", "channelsim.exe")  # noqa: PTH119  light
    words = sys.orig_argv
    named = (place for place, word in enumerate(words) if place and word == "channelsim")
    return any(words[place - 1][:1] == "-" and words[place - 1][-1:] == "m" for place in named)


if _is_the_program():
    # Before anything else is loaded: from here on Ctrl-C prints no traceback.
    from channelsim.cli import early

    early.listen()

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

# Both must be set before torch is loaded. Threads that wait by spinning starve each other when
# other processes run: a block of rows then takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# By default MKL sums a row's gradient in an order that depends on the row's place in its batch.
# AUTO keeps the instruction set and fixes the order.
os.environ.setdefault("MKL_CBWR", "AUTO")

if TYPE_CHECKING:
    from channelsim.adversaries import (
        APGD,
        PGD,
        BitFlips,
        Corners,
        Directions,
        Ensemble,
        Falling,
        Momentum,
        Noise,
        Replay,
        Substitute,
        Universal,
    )
    from channelsim.adversaries.goals import AnyGoal, Damage, TargetImage
    from channelsim.adversaries.gradient_attack import GradientAttack
    from channelsim.adversaries.steps import State, StepRule, unit
    from channelsim.channels import (
        AWGN,
        Equaliser,
        Fading,
        GilbertElliott,
        Impulsive,
        PhaseNoise,
        Power,
        Quantiser,
    )
    from channelsim.codecs import Linear, Module, Onnx, Trained, Zoo
    from channelsim.contracts.access import Access, Activity
    from channelsim.contracts.adversary import Adversary, Budget
    from channelsim.contracts.functions import metric, stage
    from channelsim.contracts.goal import Goal
    from channelsim.contracts.parts import (
        Codec,
        Count,
        Decibels,
        Detector,
        Flag,
        Fraction,
        InputFile,
        Metric,
        NonNegative,
        OpenFraction,
        Positive,
        Stage,
        Whole,
        part,
    )
    from channelsim.contracts.rows import Channel, Knowledge, Rows
    from channelsim.contracts.side import Side
    from channelsim.metrics import (
        LPIPS,
        MSE,
        MSSSIM,
        PSNR,
        SNR,
        SSIM,
        DatasetFeatureDistance,
        LabelKept,
        RandomFeatureDistance,
        SpectralError,
    )
    from channelsim.receivers import LatentDensity, Norm
    from channelsim.runs.merge import merge
    from channelsim.runs.run import Run, run
    from channelsim.scenario import Scenario
    from channelsim.simulation.event_plane import simulate
    from channelsim.support.errors import InputError
    from channelsim.tensors import Transmission, attack, codec, images, signals, transmit

__version__ = "0.1.0"

__all__ = [
    "APGD",
    "AWGN",
    "LPIPS",
    "MSE",
    "MSSSIM",
    "PGD",
    "PSNR",
    "SNR",
    "SSIM",
    "Access",
    "Activity",
    "Adversary",
    "AnyGoal",
    "BitFlips",
    "Budget",
    "Channel",
    "Codec",
    "Corners",
    "Count",
    "Damage",
    "DatasetFeatureDistance",
    "Decibels",
    "Detector",
    "Directions",
    "Ensemble",
    "Equaliser",
    "Fading",
    "Falling",
    "Flag",
    "Fraction",
    "GilbertElliott",
    "Goal",
    "GradientAttack",
    "Impulsive",
    "InputError",
    "InputFile",
    "Knowledge",
    "LabelKept",
    "LatentDensity",
    "Linear",
    "Metric",
    "Module",
    "Momentum",
    "Noise",
    "NonNegative",
    "Norm",
    "Onnx",
    "OpenFraction",
    "PhaseNoise",
    "Positive",
    "Power",
    "Quantiser",
    "RandomFeatureDistance",
    "Replay",
    "Rows",
    "Run",
    "Scenario",
    "Side",
    "SpectralError",
    "Stage",
    "State",
    "StepRule",
    "Substitute",
    "TargetImage",
    "Trained",
    "Transmission",
    "Universal",
    "Whole",
    "Zoo",
    "__version__",
    "attack",
    "codec",
    "images",
    "merge",
    "metric",
    "part",
    "run",
    "signals",
    "simulate",
    "stage",
    "transmit",
    "unit",
]

_HOMES = {
    "channelsim.adversaries": (
        "APGD BitFlips Corners Directions Ensemble Falling Momentum Noise PGD Replay Substitute"
        " Universal"
    ),
    "channelsim.adversaries.goals": "AnyGoal Damage TargetImage",
    "channelsim.adversaries.gradient_attack": "GradientAttack",
    "channelsim.adversaries.steps": "State StepRule unit",
    "channelsim.channels": (
        "AWGN Equaliser Fading GilbertElliott Impulsive PhaseNoise Power Quantiser"
    ),
    "channelsim.codecs": "Linear Module Onnx Trained Zoo",
    "channelsim.contracts.access": "Access Activity",
    "channelsim.contracts.adversary": "Adversary Budget",
    "channelsim.contracts.functions": "metric stage",
    "channelsim.contracts.goal": "Goal",
    "channelsim.contracts.parts": (
        "Codec Count Decibels Detector Flag Fraction InputFile"
        " Metric NonNegative OpenFraction Positive Stage Whole part"
    ),
    "channelsim.contracts.rows": "Channel Knowledge Rows",
    "channelsim.contracts.side": "Side",
    "channelsim.metrics": (
        "LPIPS MSE MSSSIM PSNR SNR SSIM DatasetFeatureDistance LabelKept RandomFeatureDistance"
        " SpectralError"
    ),
    "channelsim.receivers": "LatentDensity Norm",
    "channelsim.runs.merge": "merge",
    "channelsim.runs.run": "Run run",
    "channelsim.scenario": "Scenario",
    "channelsim.simulation.event_plane": "simulate",
    "channelsim.support.errors": "InputError",
    "channelsim.tensors": "Transmission attack codec images signals transmit",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'channelsim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
