"""Finished and growing runs whose every number follows from its key, for the views."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from channelsim.contracts import records
from channelsim.contracts.records import (
    ArmDone,
    AttemptsDone,
    Finished,
    ImageSaved,
    Noted,
    TransmissionsDone,
)
from channelsim.display.live.model import (
    Model,
)
from channelsim.display.live.reader import Reader
from channelsim.ledger import Ledger
from helpers.known_ledger import add_arm, created, sweep

COUNT, TRIES = 12, 2
ARMS = sweep(["a", "b"], [0.0, 0.5, 1.0])

METRIC_NAMES = ("mse", "psnr", "ssim")


def rows_of(keys: np.ndarray) -> dict[str, Any]:
    """Attempt columns that depend on nothing but the key."""
    rng = [np.random.default_rng(int(key)) for key in keys]
    mse = np.array([r.uniform(0.001, 0.2) for r in rng])
    names = records.quality_columns(METRIC_NAMES)
    names += records.metric_columns(METRIC_NAMES, True)
    values: dict[str, Any] = {name: [None] * len(keys) for name in records.ATTEMPT_COLUMNS}
    for name in names:
        column = mse * (0.3 if "control" in name else 1.0)
        if "psnr" in name:
            column = -10 * np.log10(column)
        values[name] = [None] * len(keys) if name.endswith("target") else column.tolist()
    transmission = keys // TRIES
    attacked = (transmission // COUNT) % 3 > 0
    values |= {
        "attempt": keys.tolist(),
        "transmission": transmission.tolist(),
        "arrived_s": (0.1 * (transmission % COUNT) + 0.03 + 0.05 * (keys % TRIES)).tolist(),
        "lost": (keys % 7 == 0).astype(int).tolist(),
        "accepted": (keys % 3 > 0).astype(int).tolist(),
        "delta_l2": np.where(attacked, 1.0, 0.0).tolist(),
        "delta_linf": np.where(attacked, 0.5, 0.0).tolist(),
        "psr_db": np.where(attacked, -10.0 - keys % 5, None).tolist(),
        "snr_measured_db": (20.0 - keys % 3).tolist(),
        "verdict": ["ok" if one else "off" for one in attacked],
    }
    return values


def settled_of(transmissions: np.ndarray) -> dict[str, Any]:
    """Every third transmission needed two tries."""
    attempts = np.where(transmissions % 3 == 0, 2, 1)
    message = transmissions % COUNT
    return {
        "transmission": transmissions.tolist(),
        "sent_s": (0.1 * message).tolist(),
        "done_s": (0.1 * message + 0.05 * attempts).tolist(),
        "attempts": attempts.tolist(),
        "delivered": np.where(transmissions % 5 == 0, "rejected", "yes").tolist(),
    }


def all_keys() -> np.ndarray:
    """Attempt keys of a whole run."""
    total = COUNT * len(ARMS)
    keys = [t * TRIES + n for t in range(total) for n in range(2 if t % 3 == 0 else 1)]
    return np.array(keys)


def new(folder: Path, **more: Any) -> Ledger:
    folder.mkdir(parents=True, exist_ok=True)
    return created(folder, ARMS, COUNT, METRIC_NAMES, max_attempts=TRIES, **more)


def whole(folder: Path, finish: bool = True) -> Path:
    """A complete ledger in order of keys; its path."""
    with new(folder) as ledger:
        ledger.write(AttemptsDone(rows_of(all_keys())))
        ledger.write(TransmissionsDone(settled_of(np.arange(COUNT * len(ARMS)))))
        if finish:
            ledger.write(Finished(2.0))
    return folder / "ledger.sqlite"


def known(folder: Path) -> Model:
    """A small finished run with round numbers, read."""
    header = {
        "scenario": {
            "source": {"kind": "dataset", "name": "digits"},
            "path": [
                {"kind": "pgd", "name": "mallory", "budget": {"norm": "linf", "epsilon": 0.5}},
                {"kind": "awgn", "snr_db": 20.0},
            ],
            "link": {"latency_s": 0.02, "symbol_rate_hz": 20000.0},
        },
        "calibration": {"power": {"0": {"wire": 1.0, "latent_size": 10}}},
    }
    arms = sweep(["plain", "hardened"], [0.0, 0.5, 1.0])
    with created(folder, arms, 50, ["mse", "ssim"], **header) as ledger:
        spread = np.linspace(-0.001, 0.001, 50)
        for arm, (mse, ssim) in enumerate(
            [(0.01, 0.9), (0.02, 0.8), (0.05, 0.6), (0.01, 0.88), (0.015, 0.85), (0.03, 0.7)]
        ):
            off = arm % 3 == 0
            add_arm(
                ledger, arm, mse_source=mse + spread, ssim_source=ssim + spread,
                mse_passive=mse, control_mse_passive=mse / 2, quality_mse=0.01,
                control_mse_source=mse / 2, mse_clean=mse, snr_measured_db=20.0,
                delta_l2=0.0 if off else 1.5, delta_linf=0.0 if off else 0.5 * (arm % 3),
                psr_db=None if off else -6.0, verdict="off" if off else "ok",
            )  # fmt: skip
        ledger.write(ImageSaved(7, 0, "source", png_of(np.full((4, 4), 200))))
        ledger.write(ImageSaved(7, 0, "received", png_of(np.arange(16).reshape(4, 4) * 10)))
        ledger.write(Noted("warning", "the intervals are narrow", 0.0))
        for arm in range(6):
            ledger.write(ArmDone(arm, "ok" if arm % 3 else "off"))
        ledger.write(Finished(0.54))
    model = Model(Reader(folder / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    return model


def png_of(grey: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
