"""Small scenarios in Python, and their runs' records as columns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.records import (
    AttemptsDone,
    Batch,
    LogEvent,
)
from channelsim.contracts.rows import Knowledge
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.signal_path.wire import cross
from channelsim.simulation.event_plane import simulate
from helpers.known_decoders import latents

LINEAR = {"kind": "linear", "latent_size": 8}


def scenario(**changes: Any) -> Scenario:
    """Twenty digits over a quiet link to a linear receiver, with changes."""
    base: dict[str, Any] = {
        "title": "a story",
        "seed": 3,
        "source": {"kind": "dataset", "count": 20, "arrivals": {"kind": "once"}},
        "link": {"latency_s": 0.5, "symbol_rate_hz": 4},
        "path": [],
        "receivers": {"plain": {"codec": LINEAR, "latency_s": 0.25}},
        "metrics": ["mse"],
        "control": False,
        "block_rows": 16,
    }
    return Scenario.load(base | changes)


def table(events: Iterable[LogEvent], kind: type) -> dict[str, np.ndarray]:
    """All rows of one kind of event as columns, ordered by transmission (and attempt)."""
    parts = [event.columns for event in events if isinstance(event, kind)]
    names = parts[0].keys()
    columns = {
        name: np.array(list(itertools.chain.from_iterable(part[name] for part in parts)))
        for name in names
    }
    order = np.argsort(columns["attempt" if kind is AttemptsDone else "transmission"])
    return {name: values[order] for name, values in columns.items()}


WIDE = {"kind": "linear", "latent_size": 64}

MANY = {"kind": "dataset", "split": "train", "count": 2000, "arrivals": {"kind": "once"}}


def attempts(**changes: Any) -> dict[str, np.ndarray]:
    """The attempts of a scenario, on a fast link and in large blocks."""
    base: dict[str, Any] = {
        "source": MANY,
        "link": {"latency_s": 0.01, "symbol_rate_hz": 1e7},
        "receivers": {"plain": {"codec": WIDE}},
        "block_rows": 256,
    }
    return table(list(simulate(scenario(**(base | changes)))), AttemptsDone)


def mean_db(decibels: np.ndarray) -> float:
    """Mean of noise-to-signal ratios, back in dB: noise powers may be averaged, ratios may not."""
    return float(-10 * np.log10(np.mean(10 ** (-decibels.astype(float) / 10))))


def injected(loaded: Any) -> tuple[Tensor, Tensor, Tensor]:
    """δ of attack, δ of control, and the signals on the wire, all first attempts [N, K].

    The codewords begin back to back.
    """
    path = calibrate(loaded).paths[0]
    setting = path.setting
    count = loaded.source.messages
    size = len(setting.mean)
    airtime = math.ceil(size / 2) / loaded.arms[0].link.symbol_rate_hz
    numbers = np.arange(count)
    batch = Batch.planned(numbers, numbers * airtime)
    wire = latents(count, size) * setting.power**0.5
    blank = torch.zeros(count, 1, 2, 2)
    knowledge = Knowledge(
        decode=lambda z: blank.expand(len(z), 1, 2, 2),
        source=blank,
        clean=blank,
        power=setting.power,
        source_of=lambda chosen: blank[: len(chosen)],
        clean_of=lambda chosen: blank[: len(chosen)],
        messages=count,
    )
    with torch.no_grad():
        signals, _, _ = cross(
            setting, dict.fromkeys(("passive", "attacked", "control"), wire), batch, knowledge
        )
    return signals["attacked"] - wire, signals["control"] - wire, wire
