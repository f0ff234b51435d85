"""What happens to a learned codec when somebody else can touch its channel.

    import channelsim

    run = channelsim.run("scenarios/black_target.yaml", set={"source.count": 100})
    print(run.summary())

The names below load what they need when first used, so that ``import channelsim`` stays quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelsim.campaign import Run, run
    from channelsim.parts import Codec
    from channelsim.scenario import Scenario

__version__ = "0.1.0"

__all__ = ["Codec", "Run", "Scenario", "__version__", "run", "simulate"]

_HOMES = {
    "Codec": "channelsim.parts",
    "Run": "channelsim.campaign",
    "Scenario": "channelsim.scenario",
    "run": "channelsim.campaign",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'channelsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Package(ModuleType):
    """Keeps ``channelsim.simulate`` the function.

    Importing the module of that name would otherwise put the module in the function's place.
    """

    @property
    def simulate(self) -> Any:
        """The function `channelsim.simulate.simulate`."""
        return import_module("channelsim.simulate").simulate

    @simulate.setter
    def simulate(self, module: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Package
