"""Simulator of learned codecs over a communication channel with adversaries.

    import channelsim

    run = channelsim.run("scenarios/black_target.yaml", set={"source.count": 100})
    print(run.summary())

The names below load what they need when first used, so that ``import channelsim`` stays quick.
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
    from channelsim.contracts.adversary import Adversary
    from channelsim.contracts.parts import Codec, Detector, Metric, Stage, part
    from channelsim.runs.run import Run, run
    from channelsim.scenario import Scenario
    from channelsim.simulation.event_plane import simulate

__version__ = "0.1.0"

__all__ = [
    "Adversary",
    "Codec",
    "Detector",
    "Metric",
    "Run",
    "Scenario",
    "Stage",
    "__version__",
    "part",
    "run",
    "simulate",
]

_HOMES = {
    "Adversary": "channelsim.contracts.adversary",
    "Codec": "channelsim.contracts.parts",
    "Detector": "channelsim.contracts.parts",
    "Metric": "channelsim.contracts.parts",
    "Run": "channelsim.runs.run",
    "Scenario": "channelsim.scenario",
    "Stage": "channelsim.contracts.parts",
    "part": "channelsim.contracts.parts",
    "run": "channelsim.runs.run",
    "simulate": "channelsim.simulation.event_plane",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'channelsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
