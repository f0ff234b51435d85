"""Training a codec from a recipe: seeded, resumable to the bit, measured at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from channelsim import sources
from channelsim.codecs.pca import PCANetwork
from channelsim.codecs.trained import Blueprint, TrainedWeights, load_weights
from channelsim.support import weight_files
from channelsim.support.errors import InputError
from channelsim.training import card, checkpoint, measure
from channelsim.training.classifier_training import train_classifier
from channelsim.training.codec_trainer import Trainer
from channelsim.training.progress import (
    OnProgress,
    Progress,
    TrainedResult,
    finished,
    make_folder,
    stop_signals,
)
from channelsim.training.recipe import PcaRecipe
from channelsim.training.recipe_as_read import RecipeAsRead, read_recipe
from channelsim.training.recipe_file import read_document
from channelsim.training.several import Task
from channelsim.training.spread import spread_of

__all__ = ["Progress", "TrainedResult", "default_folder", "tasks_of", "train", "train_seeds"]


_NO_SEEDS = "--seeds: only codecs that are trained in steps differ from seed to seed"


def default_folder(recipe_path: Path) -> Path:
    """The default folder of a recipe's result."""
    return Path("runs") / f"train-{Path(recipe_path).stem}"


def train(
    recipe_path: Path | str,
    out: Path | str | None = None,
    data_root: Path | str | None = None,
    resume: bool = True,
    on_progress: OnProgress | None = None,
    checkpoint_s: float = 30.0,
    seed: int | None = None,
) -> TrainedResult:
    """Train the codec or classifier of a recipe; leave its weights and card in ``out``.

    ``seed``: in place of the recipe's own (of a codec that is trained in steps).

    The files are ``<name>.safetensors`` and ``<name>.card.yaml``. A finished training is returned
    as it is; an unfinished one goes on from its last checkpoint (``checkpoint_s`` apart, and one
    more at Ctrl-C or SIGTERM, which raise `Interrupted`). With ``resume`` off, a folder that holds
    anything is refused.
    """
    document, _ = read_document(Path(recipe_path))
    if "classifier" in document:
        if seed is not None:
            raise InputError(f"recipe {recipe_path}: --seed is for codecs; set seed in the recipe")
        return train_classifier(recipe_path, out, data_root, resume, on_progress, checkpoint_s)
    reading = read_recipe(Path(recipe_path))
    if seed is not None:
        reading = _seeded(reading, seed)
    folder = Path(out) if out is not None else default_folder(reading.path)
    weights = folder / f"{reading.name}.safetensors"
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: not empty; choose another folder, or allow it to go on")
    if weights.is_file() and reading.recipe.data.path is None:
        return _finished(reading, weights)
    data = reading.recipe.data.load(Path(data_root) if data_root is not None else None)
    reading = reading.on(data)
    if weights.is_file():
        return _finished(reading, weights)
    measure.require(data)
    make_folder(folder)
    if isinstance(reading.recipe, PcaRecipe):
        written = _fit(reading, reading.recipe, data, weights)
        return TrainedResult(written.path, written.card, 0)
    trainer = Trainer(reading, reading.recipe, data, folder)
    begun = trainer.step
    with stop_signals() as stop:
        trainer.run(stop, on_progress, checkpoint_s)
    written = card.write(weights, trainer)
    checkpoint.clear(folder)
    return TrainedResult(written.path, written.card, begun)


def train_seeds(
    recipe_path: Path | str,
    others: int,
    out: Path | str | None = None,
    data_root: Path | str | None = None,
    on_progress: OnProgress | None = None,
    seed: int | None = None,
) -> TrainedResult:
    """Train a recipe, then ``others`` further seeds of it, and record the spread in its card.

    They count up from the recipe's own, in ``seed-N`` folders beside the result, each trained as by
    `train`: interrupted ones go on, finished ones are taken as they are.
    """
    folder = Path(out) if out is not None else default_folder(Path(recipe_path))
    first = train(recipe_path, folder, data_root, on_progress=on_progress, seed=seed)
    if "classes" in first.card or not first.card["steps"]:
        raise InputError(_NO_SEEDS)
    cards = [first.card]
    for other in range(first.card["seed"] + 1, first.card["seed"] + 1 + others):
        own = seed_folder(folder, other)
        one = train(recipe_path, own, data_root, on_progress=on_progress, seed=other)
        cards.append(one.card)
    spread = {**spread_of(cards), "command": f"{first.card['command']} --seeds {others}"}
    weight_files.add_remarks(first.weights, {"spread": spread})
    card = load_weights(first.weights).card
    return TrainedResult(first.weights, card, first.resumed_at_step, first.already_done)


def tasks_of(
    recipes: Sequence[Path], seeds: int, out: Path | None, seed: int | None = None
) -> list[Task]:
    """The trainings of recipes with ``seeds`` further seeds each, to be done side by side.

    ``out``: the folder of one recipe's result; of several, each has one of its name in it.
    """
    found = []
    for recipe in recipes:
        folder = default_folder(recipe)
        if out is not None:
            folder = out if len(recipes) == 1 else out / recipe.stem
        folder = folder.absolute()
        found.append(Task(recipe, folder, seed))
        if seeds:
            trained = "classifier" not in read_document(recipe)[0]
            first = read_recipe(recipe).recipe if trained else None
            if first is None or isinstance(first, PcaRecipe):
                raise InputError(_NO_SEEDS)
            start = first.seed if seed is None else seed
            found += [
                Task(recipe, seed_folder(folder, start + i), start + i) for i in range(1, seeds + 1)
            ]
    return found


def seed_folder(folder: Path, seed: int) -> Path:
    """The folder of a further seed's result."""
    return folder / f"seed-{seed}"


def _seeded(reading: RecipeAsRead, seed: int) -> RecipeAsRead:
    if isinstance(reading.recipe, PcaRecipe):
        raise InputError(f"recipe {reading.path}: pca draws nothing, so it has no other seed")
    return replace(reading, recipe=replace(reading.recipe, seed=seed))


def _fit(
    reading: RecipeAsRead, recipe: PcaRecipe, data: sources.TrainingSet, weights: Path
) -> TrainedWeights:
    """The codec that needs no steps: principal components are known in closed form."""
    try:
        network = PCANetwork.fit(data.images, recipe.codec.latent_size)
    except ValueError as reason:
        raise InputError(f"recipe {reading.path}: {reason}") from reason
    colours, height, width = data.images.shape[1:]
    facts = {"steps": 0, "prior": "fitted"}
    blueprint = Blueprint("pca", recipe.codec.latent_size, False, (colours, height, width))
    return card.write_codec(weights, reading, data, network, blueprint, facts, {})


def _finished(reading: RecipeAsRead, weights: Path) -> TrainedResult:
    return finished(weights, load_weights(weights).card, reading.hash)
