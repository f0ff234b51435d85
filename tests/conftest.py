"""``--slow`` adds the slow proofs, and has properties tried on examples not tried before."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# The same examples at every run: a commit that passed here passes anywhere.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it puts into the background with Ctrl-C ignored, and children inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.load_profile("search" if config.getoption("--slow") else "fixed")


# Files whose tests another processor, number of threads or temporary folder could make fail:
# `.ci/run` runs them once more under all three.
ELSEWHERE = {
    "awgn_power",
    "before_encoder",
    "bit_flips",
    "classifier",
    "codecs",
    "live",
    "live_terminal",
    "metrics",
    "metrics_features",
    "metrics_in_runs",
    "metrics_perceptual",
    "pca",
    "pgd",
    "promises",
    "self_test",
    "signal_path",
    "substitution",
    "train",
    "universal",
    "zoo",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_") in ELSEWHERE:
            item.add_marker("elsewhere")
    if config.getoption("--slow"):
        return
    slow = [item for item in items if "slow" in item.keywords]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]
