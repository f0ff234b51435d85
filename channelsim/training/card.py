"""The card of a trained codec, measured on its weights as stored."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from channelsim import sources
from channelsim.codecs.network import Network
from channelsim.codecs.trained import Blueprint, TrainedWeights, in_half, save_weights
from channelsim.training import measure
from channelsim.training.codec_trainer import Trainer
from channelsim.training.recipe_as_read import RecipeAsRead

_HARMLESS = 1e-3  # largest relative change of quality by half precision; project's choice
_ENCODER = ("encoder_", "to_latent")  # prefixes of the names of an encoder's tensors


def write(weights: Path, trainer: Trainer) -> TrainedWeights:
    """Measure a trained network, and write weights and card."""
    recipe, reading, standing = trainer.recipe, trainer.reading, trainer.standing
    facts: dict[str, Any] = {
        "beta_eff": recipe.objective.effective_beta(trainer.pixels),
        "epochs": recipe.epochs,
        "steps": trainer.step,
        "images_trained_on": len(trainer.images),
        "seed": recipe.seed,
        "init_content_sha256": reading.init_sha256,
        "prior": recipe.objective.prior,
    }
    if standing.validation:
        facts |= {
            "best_epoch": trainer.best_epoch,
            "held_out_loss": standing.validation[trainer.best_epoch - 1],
        }
    remarks = {
        "training_s": round(standing.seconds, 1),
        "threads": torch.get_num_threads(),
    }
    return write_codec(
        weights,
        reading,
        trainer.data,
        trainer.network,
        trainer.blueprint,
        facts,
        remarks,
        frozen=recipe.frozen_encoder,
    )


def write_codec(
    weights: Path,
    reading: RecipeAsRead,
    data: sources.TrainingSet,
    network: Network,
    blueprint: Blueprint,
    facts: Mapping[str, Any],
    remarks: Mapping[str, Any],
    *,
    frozen: bool = False,
) -> TrainedWeights:
    """Measure a network as it will be stored, and write weights and card."""
    # A frozen encoder stays the same to the last bit.
    exact = {name for name in network.state_dict() if frozen and name.startswith(_ENCODER)}
    stored, dtype, quality = _as_stored(network, data, reading.recipe.store, exact)
    card: dict[str, Any] = {
        "name": reading.name,
        "title": reading.recipe.title,
        "architecture": blueprint.architecture,
        "latent_size": blueprint.latent_size,
        "variational": blueprint.variational,
        "image_shape": list(blueprint.image_shape),
        "data": {
            "name": data.name,
            "images": len(data.images),
            "left_out_as_test_images": data.left_out,
            "test": data.test_name,
        },
        **quality,
        **measure.power(stored, data.images, covariance=facts["prior"] == "fitted"),
        "stored": dtype,
        **facts,
    }
    card |= {
        "generation": measure.generation(stored, blueprint.latent_size, card, data),
        "disentanglement": measure.disentangled(
            stored, blueprint.image_shape, blueprint.latent_size
        ),
        "recipe": reading.resolved,
        "recipe_hash": reading.hash,
    }
    card = _rounded(card)
    facts = {
        "versions": measure.versions(),
        "arithmetic": measure.arithmetic_here(),
        "command": command(reading),
        **remarks,
    }
    return save_weights(
        weights, stored, blueprint, card, facts, half=dtype == "float16", exact=exact
    )


def _rounded(facts: Any) -> Any:
    """Figures to 12 digits: the last ones depend on how many threads summed them."""
    if isinstance(facts, Mapping):
        return {key: _rounded(value) for key, value in facts.items()}
    if isinstance(facts, list):
        return [_rounded(value) for value in facts]
    return float(f"{facts:.12g}") if isinstance(facts, float) else facts


def _as_stored(
    network: Network,
    data: sources.TrainingSet,
    wanted: Literal["float32", "float16"],
    exact: Collection[str],
) -> tuple[Network, str, dict[str, float]]:
    """The network with its weights rounded as asked where that is harmless, and its quality."""
    plain = measure.quality(network, data.test_images)
    if wanted == "float32":
        return network, wanted, plain
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for name, tensor in rounded.state_dict().items():
            if in_half(tensor, exact=name in exact):
                tensor.copy_(tensor.half())
    found = measure.quality(rounded, data.test_images)
    if all(abs(found[name] - plain[name]) <= _HARMLESS * abs(plain[name]) for name in plain):
        return rounded, wanted, found
    return network, "float32", plain


def command(reading: RecipeAsRead) -> str:
    """The command that trains this again, run in the folder that holds the package."""
    home = Path(__file__).resolve().parent.parent.parent
    path = reading.path.resolve()
    shown = path.relative_to(home) if path.is_relative_to(home) else Path(path.name)
    embedded = reading.recipe.data.name in ("mnist5k", "images", "npz")
    return f"channelsim train {shown.as_posix()}{'' if embedded else ' --data-root DIR'}"
