"""Checkpoints of a training on disk: a resumed training continues exactly.

Two files per checkpoint, ``checkpoint-<step>.safetensors`` (the network) and
``checkpoint-<step>.optimiser.pt`` (Adam's moments; read with ``weights_only=True``). Random
numbers are seeded per step, so no generator's state is kept.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from channelsim.support.errors import InputError

_BEST = "best|"  # prefix of the names of the best epoch's tensors


@dataclass
class TrainingState:
    """Steps done, their seconds over all sessions, and the held-out loss of each epoch."""

    step: int = 0
    seconds: float = 0.0
    validation: list[float] = field(default_factory=list)


def save(
    folder: Path,
    recipe_hash: str,
    standing: TrainingState,
    network: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    best: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint, then remove older ones; a kill at any time leaves a complete one.

    ``best``: the tensors of the best epoch so far, empty where none is kept.
    """
    from safetensors.torch import save as save_tensors

    name = f"checkpoint-{standing.step:09d}"
    state = {key: value.detach().contiguous() for key, value in network.state_dict().items()}
    kept = {_BEST + key: value.contiguous() for key, value in best.items()}
    facts = {"recipe_hash": recipe_hash, "standing": json.dumps(asdict(standing))}
    buffer = io.BytesIO()
    torch.save([optimiser.state_dict() for optimiser in optimisers], buffer)
    _write(folder / f"{name}.optimiser.pt", buffer.getvalue())
    # Last, because its safetensors file marks a complete checkpoint.
    _write(folder / f"{name}.safetensors", save_tensors({**state, **kept}, metadata=facts))
    for old in folder.glob("checkpoint-*"):
        if not old.name.startswith(name):
            old.unlink(missing_ok=True)


def restore(
    folder: Path,
    recipe_hash: str,
    network: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
) -> tuple[TrainingState, dict[str, Tensor]]:
    """Load the newest checkpoint into network and optimisers; step 0 where there is none."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    files = sorted(folder.glob("checkpoint-*.safetensors"))
    if not files:
        return TrainingState(), {}
    newest = files[-1]
    try:
        with safe_open(newest, framework="pt") as opened:
            facts = opened.metadata() or {}
        if facts.get("recipe_hash") != recipe_hash:
            raise InputError(
                f"{folder}: holds an unfinished training of another recipe; give the old recipe"
                " back, or choose another folder with --out"
            )
        tensors = load_file(newest)
        best = {
            key.removeprefix(_BEST): tensors.pop(key)
            for key in list(tensors)
            if key.startswith(_BEST)
        }
        network.load_state_dict(tensors)
        states = torch.load(newest.with_suffix(".optimiser.pt"), weights_only=True)
        for optimiser, state in zip(optimisers, states, strict=True):
            optimiser.load_state_dict(state)
        return TrainingState(**json.loads(facts["standing"])), best
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        pickle.PickleError,
    ) as e:
        reason = str(e).split("\n")[0][:120]
        raise InputError(
            f"{newest}: damaged checkpoint ({reason}); remove the folder to train from the start"
        ) from e


def clear(folder: Path) -> None:
    """Remove all checkpoints."""
    for file in folder.glob("*checkpoint-*"):  # a kill leaves partial ones
        file.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f"partial-{path.name}")
    partial.write_bytes(data)
    partial.replace(path)
