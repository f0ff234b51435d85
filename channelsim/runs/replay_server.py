"""A child process that replays transmissions for a view, one line of JSON per request and answer.

FOLDER [--allow-code] [DATA_ROOT]; pictures travel as raw bytes in base64.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from channelsim.support.errors import ChannelsimError

if TYPE_CHECKING:
    from channelsim.runs.replay import ReplayedAttempt


def serve(
    folder: Path,
    data_root: Path | None,
    questions: IO[str],
    answers: IO[str],
    allow_code: bool = False,
) -> None:
    """Answer requests until the input ends."""
    from channelsim.runs.replay import replay

    for line in questions:
        transmission = int(json.loads(line))
        try:
            again = replay(folder, transmission, data_root=data_root, allow_code=allow_code)
            answer = _answer(again)
        except ChannelsimError as error:
            answer = {"error": error.message}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer | {"transmission": transmission}) + "\n")
        answers.flush()


def _answer(again: ReplayedAttempt) -> dict[str, Any]:
    images = {}
    for role, pixels in again.pictures().items():
        if pixels.shape[2] == 1:
            pixels = pixels.repeat(3, axis=2)
        pixels = np.ascontiguousarray(pixels[:, :, :3])
        images[role] = (pixels.shape, base64.b64encode(pixels.tobytes()).decode())
    latents = getattr(again, "latents", {})
    promise = "bit for bit" if again.exact else "within 1e-4"
    flips = ", ".join(column.column for column in again.flips)
    return {
        "images": images,
        "latents": {role: latent.detach().cpu().tolist() for role, latent in latents.items()},
        "agrees": f"differs from the ledger: {flips}" if flips else f"equals the ledger {promise}",
    }


def main() -> None:
    """The child's program: FOLDER [--allow-code] [DATA_ROOT]."""
    os.nice(10)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # other prints must not mix with answers
    folder, *more = sys.argv[1:]
    allow_code = more[:1] == ["--allow-code"]
    root = [Path(word) for word in more[allow_code:]]
    serve(Path(folder), root[0] if root else None, sys.stdin, answers, allow_code)


if __name__ == "__main__":
    main()
