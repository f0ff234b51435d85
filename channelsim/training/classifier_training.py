"""Training of the small classifier: its trunk serves `dfd`, its output `label`.

As with codecs, the order of the images is a function of (seed, epoch), so an interrupted training
that goes on equals one that was never interrupted, at equal thread count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from channelsim import sources
from channelsim.contracts.parts import Count, Positive, Whole, part
from channelsim.metrics.classifier import (
    ARCHITECTURES,
    Classifier,
    SmallConv,
    load_classifier,
    save_classifier,
)
from channelsim.support import seeds
from channelsim.support.errors import InputError
from channelsim.training import checkpoint, loop, measure
from channelsim.training.progress import (
    Meter,
    OnProgress,
    TrainedResult,
    finished,
    make_folder,
    stop_signals,
)
from channelsim.training.recipe import DataRecipe
from channelsim.training.recipe_file import hash_of, read_document, said, validated

_ROWS = 256  # images measured at a time
_PRECISION = {"float16": torch.float16, "float32": torch.float32}


@part
class ClassifierKind:
    """The network. ``architecture``: small-conv."""

    kind: ClassVar[str] = "classifier"

    architecture: Literal["small-conv"] = "small-conv"


@part
class ClassifierRecipe:
    """A training: classifier, data, and how long.

    ``epochs``, ``batch_size`` (128), ``learning_rate`` of Adam at the start (1e-3), falling to zero
    over the training along a cosine, ``seed``. ``store``: the weights as float16 or float32, the
    card measured as stored. Loss: cross-entropy. All defaults are the project's.
    """

    kind: ClassVar[str] = "recipe"

    title: str = ""
    classifier: ClassifierKind
    data: DataRecipe
    epochs: Count
    batch_size: Count = 128
    learning_rate: Positive = 1e-3
    seed: Whole = 0
    store: Literal["float16", "float32"] = "float16"


@dataclass(frozen=True)
class ClassifierReading:
    """A recipe as read; ``hash``: SHA-256 of everything that decides the result."""

    path: Path
    recipe: ClassifierRecipe
    data_sha256: str | None = None

    @property
    def resolved(self) -> dict[str, Any]:
        """The recipe as JSON-able values."""
        return said(self.recipe)

    @property
    def hash(self) -> str:
        """SHA-256 over all but the title, and over images that lie at a path."""
        return hash_of(self.resolved, *([self.data_sha256] if self.data_sha256 else []))


def read_classifier_recipe(path: Path) -> ClassifierReading:
    """Read and check a recipe file; one `InputError` lists all faults."""
    path = Path(path)
    data, problems = read_document(path)
    return ClassifierReading(path, validated(ClassifierRecipe, data, path, problems))


def train_classifier(
    recipe_path: Path | str,
    out: Path | str | None = None,
    data_root: Path | str | None = None,
    resume: bool = True,
    on_progress: OnProgress | None = None,
    checkpoint_s: float = 30.0,
) -> TrainedResult:
    """Train by a recipe and leave ``<name>.safetensors`` and its card in ``out``.

    A finished training is returned as it is; an unfinished one goes on from its last checkpoint
    (``checkpoint_s`` apart, and one more at Ctrl-C or SIGTERM, which raise `Interrupted`). With
    ``resume`` off, a folder that holds anything is refused.
    """
    reading = read_classifier_recipe(Path(recipe_path))
    name = reading.path.stem
    folder = Path(out) if out is not None else Path("runs") / f"train-{name}"
    weights = folder / f"{name}.safetensors"
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: not empty; choose another folder, or allow it to go on")
    lies_at_a_path = reading.recipe.data.path is not None
    if weights.is_file() and not lies_at_a_path:
        return _finished(reading, weights)
    data = reading.recipe.data.load(Path(data_root) if data_root is not None else None)
    if lies_at_a_path:
        reading = replace(reading, data_sha256=data.content_sha256)
    if weights.is_file():
        return _finished(reading, weights)
    if data.labels is None or data.test_labels is None:
        raise InputError(
            f"recipe {reading.path}: the data set {data.name} comes without labels, and a"
            " classifier learns from them; put the label file beside the images"
        )
    _check_labels(reading, data)
    make_folder(folder)
    trainer = _Trainer(reading, data, folder)
    begun = trainer.standing.step
    with stop_signals() as stop:
        loop.run(trainer, stop, on_progress, checkpoint_s)
    written = trainer.finish(weights)
    checkpoint.clear(folder)
    return TrainedResult(written.path, written.card, begun)


def _finished(reading: ClassifierReading, weights: Path) -> TrainedResult:
    return finished(weights, load_classifier(weights).card, reading.hash)


def _check_labels(reading: ClassifierReading, data: sources.TrainingSet) -> None:
    assert data.labels is not None
    assert data.test_labels is not None
    classes = int(data.labels.max()) + 1
    odd = int(data.labels.min()) < 0 or int(data.test_labels.max()) >= classes
    if odd or classes < 2 or int(data.test_labels.min()) < 0:
        raise InputError(
            f"recipe {reading.path}: data {data.name}: labels must be 0, 1, …, at least two of"
            " them, and the test images' among the training images'; found"
            f" {int(data.labels.min())} to {classes - 1} and {int(data.test_labels.min())} to"
            f" {int(data.test_labels.max())}"
        )


class _Trainer:
    """The state of a training: network, optimiser, step count."""

    def __init__(self, reading: ClassifierReading, data: sources.TrainingSet, folder: Path) -> None:
        assert data.labels is not None
        self.reading, self.recipe, self.data, self.folder = reading, reading.recipe, data, folder
        self.labels = data.labels
        self.network = self._initial()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.recipe.learning_rate)
        self.epoch_steps = -(-len(data.images) // self.recipe.batch_size)
        self.steps_total = self.epoch_steps * self.recipe.epochs
        self.meter = Meter(self.recipe.epochs, self.epoch_steps, self.recipe.batch_size)
        self.standing, _ = checkpoint.restore(folder, reading.hash, self.network, [self.optimiser])
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def _initial(self) -> SmallConv:
        assert self.data.labels is not None
        shape = self.data.images.shape[1:]
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self._seed("start"))
                network = ARCHITECTURES[self.recipe.classifier.architecture](
                    image_shape=(shape[0], shape[1], shape[2]),
                    classes=int(self.labels.max()) + 1,
                )
                for module in network.modules():
                    if isinstance(module, nn.Conv2d):  # He et al. 2015, for ReLU
                        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        except ValueError as reason:
            raise InputError(
                f"recipe {self.reading.path}: data {self.data.name}: {reason}"
            ) from None
        return network

    def _seed(self, draw: str) -> int:
        low, high = seeds.stream_key(self.recipe.seed, "train-classifier", draw)
        return low | high << 32

    def _rows(self) -> Tensor:
        epoch, position = divmod(self.standing.step, self.epoch_steps)
        if self._order[0] != epoch:
            shuffle = np.random.Generator(np.random.Philox(key=self._seed(f"order|{epoch}")))
            order = torch.from_numpy(shuffle.permutation(len(self.data.images)))
            self._order = (epoch, order)
        size = self.recipe.batch_size
        return self._order[1][position * size : (position + 1) * size]

    def take_step(self) -> float:
        """One step of Adam on the cross-entropy of one batch; the loss."""
        rows = self._rows()
        progress = self.standing.step / self.steps_total
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
        loss = functional.cross_entropy(self.network(self.data.batch(rows)), self.labels[rows])
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.standing.step += 1
        return float(loss.detach())

    @property
    def done(self) -> bool:
        """Whether no step is left to take."""
        return self.standing.step >= self.steps_total

    def advance(self) -> dict[str, float]:
        """One step."""
        loss = self.take_step()
        if not np.isfinite(loss):
            raise self.diverged("loss", loss)
        return {"loss": loss}

    def diverged(self, what: str, value: float) -> InputError:
        """The error for a loss that is not finite."""
        return InputError(
            f"recipe {self.reading.path}: the {what} is {value} after {self.standing.step:,} steps;"
            f" lower learning_rate (it is {self.recipe.learning_rate:g})"
        )

    def save(self) -> None:
        """Write a checkpoint."""
        checkpoint.save(
            self.folder, self.reading.hash, self.standing, self.network, [self.optimiser], best={}
        )

    def finish(self, weights: Path) -> Classifier:
        """Measure the classifier as it will be stored, and write it."""
        recipe, data = self.recipe, self.data
        precision = _PRECISION[recipe.store]
        # A copy also where float32 is stored: the card must not change the trained network.
        stored = self.network.to(precision).float().eval()
        card = {
            "name": weights.stem,
            "title": recipe.title,
            "architecture": recipe.classifier.architecture,
            "image_shape": list(stored.image_shape),
            "classes": stored.classes,
            "parameters": sum(parameter.numel() for parameter in stored.parameters()),
            "input_range": "[0, 1], mapped to [-1, 1]",
            "stored_as": recipe.store,
            "data": {
                "name": data.name,
                "images": len(data.images),
                "left_out_as_test_images": data.left_out,
                "test": data.test_name,
            },
            "test_accuracy": accuracy(stored, data),
            "epochs": recipe.epochs,
            "steps": self.standing.step,
            "seed": recipe.seed,
            "recipe": self.reading.resolved,
            "recipe_hash": self.reading.hash,
        }
        remarks = {
            "versions": measure.versions(),
            "arithmetic": measure.arithmetic_here(),
            "training_s": round(self.standing.seconds, 1),
            "threads": torch.get_num_threads(),
        }
        name = recipe.classifier.architecture
        return save_classifier(weights, stored, name, card, remarks, precision)


def accuracy(network: SmallConv, data: sources.TrainingSet) -> float:
    """Share of the data set's test images that are classified correctly."""
    assert data.test_labels is not None
    right = 0
    with torch.no_grad():
        for start in range(0, len(data.test_images), _ROWS):
            rows = slice(start, start + _ROWS)
            answers = network(data.test_batch(rows)).argmax(dim=1)
            right += int((answers == data.test_labels[rows]).sum())
    return right / len(data.test_images)
