"""``--slow`` adds the slow proofs, and has properties tried on examples not tried before.

``--quick`` leaves out the files whose tests run whole scenarios, trainings or child processes.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples at every run: a commit that passed here passes anywhere.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")
    parser.addoption("--quick", action="store_true", help="only tests that take moments")


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


# Files left out by `--quick`: those that take some two seconds or more.
THOROUGH = {
    "before_encoder",
    "bit_flips",
    "bursts",
    "campaign",
    "catalog",
    "classifier",
    "cli",
    "closing",
    "kl_terms",
    "disentanglement",
    "download",
    "equal_psr",
    "event_plane",
    "examples",
    "fading",
    "fallbacks",
    "fitting_parts",
    "foreign_data",
    "goal_reached",
    "impairments",
    "intervals",
    "jammers",
    "larger_budgets",
    "live",
    "live_terminal",
    "machines",
    "medium",
    "metrics_features",
    "metrics_in_runs",
    "metrics_perceptual",
    "mmd",
    "mutations",
    "normality",
    "other_processors",
    "own_parts",
    "part_prints",
    "pictures",
    "plain_display",
    "promises",
    "self_test",
    "setup",
    "short",
    "signal_path",
    "site",
    "strangers",
    "substitution",
    "success",
    "time_blocks",
    "train",
    "universal",
    "writing_parts",
    "zoo",
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave thorough files unread where only quick tests are wanted."""
    stem = collection_path.stem.removeprefix("test_")
    quick = config.getoption("--quick") and collection_path.suffix == ".py"
    return True if quick and stem in THOROUGH else None


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
