"""Rows of a stage at stated times, and paths that fade."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from channelsim.contracts.rows import Rows
from helpers.small_runs import attempts


def rows_of(stage: Any, began_s: Any, symbol_s: float, width: int, **more: Any) -> Rows:
    """A stage's rows that begin at these times; columns by name replace the stage's own values."""
    began = np.asarray(began_s, dtype=np.float64)
    count = len(began)
    message = more.pop("message", np.arange(count))
    attempt = more.pop("attempt", np.zeros(count, dtype=np.int64))
    place = {
        name: more.pop(name)
        for name in ("channel", "power", "view", "name", "seed")
        if name in more
    }
    values = stage.column_values() | more
    return Rows(
        **{"name": stage.label, "seed": 3, **place},
        message=message,
        attempt=attempt,
        columns={
            column: torch.as_tensor(value, dtype=torch.float32).expand(count)
            for column, value in values.items()
        },
        mean=torch.zeros(width),
        began_s=began,
        symbol_s=np.full(count, symbol_s),
    )


FADING = {"kind": "fading", "coherence_s": 1.0}

EQUALISER = {"kind": "equaliser"}

NOISE = {"kind": "awgn", "snr_db": 20.0}

# A second apart; on the link of `attempts` a codeword takes 3.2 µs.
APART = {"kind": "dataset", "split": "train", "arrivals": {"kind": "periodic", "rate_hz": 1.0}}


def spread(**changes: Any) -> dict[str, np.ndarray]:
    """2,000 attempts, each in a block of its own; numbers that are missing are NaN."""
    found = attempts(source=APART | {"count": 2000}, **changes)
    return {
        name: values.astype(float) if name.endswith("_db") else values
        for name, values in found.items()
    }
