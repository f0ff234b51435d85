"""What happens to a learned codec when somebody else can touch its channel.

    import channelsim

    run = channelsim.run("scenarios/black_target.yaml", set={"source.count": 100})
    print(run.summary())

The names below load what they need when first used, so that ``import channelsim`` stays quick.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Both must be said before torch is loaded. Threads that wait by spinning starve each other as soon
# as anything else runs on the machine: a block of rows then takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Left alone, MKL sums a row's gradient in an order that depends on the row's place in its batch.
# AUTO keeps the instruction set and fixes the order.
os.environ.setdefault("MKL_CBWR", "AUTO")

if TYPE_CHECKING:
    from channelsim.campaign import Run, run
    from channelsim.event_plane import simulate
    from channelsim.parts import Codec
    from channelsim.scenario import Scenario

__version__ = "0.1.0"

__all__ = ["Codec", "Run", "Scenario", "__version__", "run", "simulate"]

_HOMES = {
    "Codec": "channelsim.parts",
    "Run": "channelsim.campaign",
    "Scenario": "channelsim.scenario",
    "run": "channelsim.campaign",
    "simulate": "channelsim.event_plane",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'channelsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
