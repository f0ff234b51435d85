"""Training a codec from a recipe: seeded, resumable to the bit, measured at the end.

The order of the images is a function of (seed, epoch) and every random draw of (seed, step), so an
interrupted training that goes on equals one that was never interrupted, at equal thread count.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from channelsim import seeds, sources
from channelsim.codecs.lu_chen import LuChen
from channelsim.codecs.trained import TrainedWeights, load_weights, save_weights
from channelsim.errors import InputError, Interrupted
from channelsim.training import checkpoint, measure
from channelsim.training.objective import (
    adversarial_latents,
    kl_to_standard_normal,
    reconstruction_loss,
)
from channelsim.training.recipe import Reading, read_recipe

_REPORT_S = 0.2  # how often progress is reported


@dataclass(frozen=True)
class Progress:
    """Where training is; ``losses`` are means since the last report; ``epoch`` counts from 1."""

    epoch: int
    epochs: int
    step: int
    steps_total: int
    losses: Mapping[str, float]
    samples_per_s: float


@dataclass(frozen=True)
class TrainedResult:
    """A finished training: the weights file, its card, and how much of it was done this time."""

    weights: Path
    card: Mapping[str, Any]
    resumed_at_step: int
    already_done: bool = False


def default_folder(recipe_path: Path) -> Path:
    """Where a recipe's result goes unless told otherwise."""
    return Path("runs") / f"train-{Path(recipe_path).stem}"


def train(
    recipe_path: Path | str,
    out: Path | str | None = None,
    data_root: Path | str | None = None,
    resume: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_s: float = 30.0,
) -> TrainedResult:
    """Train what a recipe asks for and leave ``<name>.safetensors`` and its card in ``out``.

    A finished training is returned as it is; an unfinished one goes on from its last checkpoint
    (``checkpoint_s`` apart, and one more at Ctrl-C or SIGTERM, which raise `Interrupted`). With
    ``resume`` off, a folder that holds anything is refused.
    """
    reading = read_recipe(Path(recipe_path))
    folder = Path(out) if out is not None else default_folder(reading.path)
    weights = folder / f"{reading.name}.safetensors"
    if not resume and folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: not empty; choose another folder, or allow it to go on")
    if weights.is_file():
        return _finished(reading, weights)
    root = Path(data_root) if data_root is not None else None
    data = sources.TRAINING_SETS[reading.recipe.data.name](root)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = _Trainer(reading, data, folder)
    begun = trainer.step
    with _stop_signals() as stop:
        trainer.run(stop, on_progress, checkpoint_s)
    written = trainer.finish(weights)
    checkpoint.clear(folder)
    return TrainedResult(written.path, written.card, begun)


def _finished(reading: Reading, weights: Path) -> TrainedResult:
    found = load_weights(weights)
    if found.card.get("recipe_hash") != reading.hash:
        raise InputError(
            f"{weights.parent}: holds the result of another recipe (or of an earlier version of"
            " this one); choose another folder with --out"
        )
    return TrainedResult(weights, found.card, int(found.card["steps"]), already_done=True)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event, so that the step at hand can be finished."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Trainer:
    """The state of a training: network, optimisers, step count."""

    def __init__(self, reading: Reading, data: sources.TrainingSet, folder: Path) -> None:
        self.reading, self.recipe, self.data, self.folder = reading, reading.recipe, data, folder
        self.blueprint = self.recipe.codec.blueprint()
        self.network = self._initial()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rate = self.recipe.learning_rate
        # Algorithm 1's two Adam steps minimise two losses; each keeps its own moments.
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.decoder_optimiser = torch.optim.Adam(self.network.decoder_parameters(), lr=rate)
        self.optimisers = [self.optimiser, self.decoder_optimiser]
        self.epoch_steps = -(-len(data.images) // self.recipe.batch_size)
        self.steps_total = self.epoch_steps * self.recipe.epochs
        standing = checkpoint.restore(folder, self.hash, self.network, self.optimisers)
        self.step = standing.step if standing else 0
        self.seconds = standing.seconds if standing else 0.0
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    @property
    def hash(self) -> str:
        return self.reading.hash

    def _initial(self) -> LuChen:
        if self.reading.init_file is not None:
            network = self.blueprint.build()
            network.load_state_dict(load_weights(self.reading.init_file).network.state_dict())
            return network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed("start"))
            return self.blueprint.build()

    def _seed(self, draw: str) -> int:
        low, high = seeds.stream_key(self.recipe.seed, "train", draw)
        return low | high << 32

    def _generator(self, draw: str) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed(f"{draw}|{self.step}"))

    def _batch(self) -> Tensor:
        epoch, position = divmod(self.step, self.epoch_steps)
        if self._order[0] != epoch:
            shuffle = np.random.Generator(np.random.Philox(key=self._seed(f"order|{epoch}")))
            order = torch.from_numpy(shuffle.permutation(len(self.data.images)))
            self._order = (epoch, order)
        size = self.recipe.batch_size
        return self.data.images[self._order[1][position * size : (position + 1) * size]]

    # --- one step -------------------------------------------------------------------------------

    def take_step(self) -> dict[str, Tensor]:
        """One batch: a step on encoder and decoder, then Algorithm 1's steps on the decoder."""
        images, objective = self._batch(), self.recipe.objective
        self.network.train()
        with self._precision():
            mean, log_variance = self.network.moments(images)
            assert log_variance is not None
            mean, log_variance = mean.float(), log_variance.float()
            std = torch.exp(0.5 * log_variance)
            noise = torch.randn(mean.shape, generator=self._generator("posterior"))
            decoded = self.network.decode(mean + std * noise)
        reconstruction = reconstruction_loss(images, decoded, objective.recon_reduction)
        divergence = kl_to_standard_normal(mean, log_variance)
        loss = reconstruction + objective.beta * divergence
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        losses = {"loss": loss, "reconstruction": reconstruction, "kl": divergence}
        if self.recipe.adversarial is not None:
            for number in range(self.recipe.adversarial.rounds):
                losses["adversarial"] = self._harden(images, mean.detach(), std.detach(), number)
        self.step += 1
        return {name: value.detach() for name, value in losses.items()}

    def _harden(self, images: Tensor, mean: Tensor, std: Tensor, number: int) -> Tensor:
        """One Adam step of the decoder on perturbed latents, against the original images."""
        assert self.recipe.adversarial is not None
        generator = self._generator(f"adversary|{number}")
        latent = mean + std * torch.randn(mean.shape, generator=generator)
        # Running statistics from here on: perturbed latents must neither move them nor couple rows.
        self.network.eval()
        found = adversarial_latents(
            latent, self.network.folded().decode, self.recipe.adversarial, generator
        )
        with self._precision():
            decoded = self.network.decode(found)
        loss = reconstruction_loss(images, decoded, self.recipe.objective.recon_reduction)
        self.decoder_optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.decoder_optimiser.step()
        return loss

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    # --- the whole ------------------------------------------------------------------------------

    def run(
        self,
        stop: threading.Event,
        on_progress: Callable[[Progress], None] | None,
        checkpoint_s: float,
    ) -> None:
        """Take all remaining steps."""
        meter = _Meter(self)
        saved = begun = time.monotonic()
        before = self.seconds
        while self.step < self.steps_total:
            meter.add(self.take_step())
            now = time.monotonic()
            self.seconds = before + now - begun
            if meter.due(now) or self.step == self.steps_total:
                self._report(meter.read(now), on_progress)
            if stop.is_set():
                self._save()
                raise Interrupted(
                    f"training stopped at step {self.step:,} of {self.steps_total:,} and kept in"
                    f" {self.folder}; the same command goes on from there"
                )
            if now - saved >= checkpoint_s:
                self._save()
                saved = now
        self._save()  # measuring takes a while, too

    def _report(self, progress: Progress, on_progress: Callable[[Progress], None] | None) -> None:
        if not np.isfinite(progress.losses["loss"]):
            raise InputError(
                f"recipe {self.reading.path}: the loss is {progress.losses['loss']} after"
                f" {self.step:,} steps; lower learning_rate"
                f" (it is {self.recipe.learning_rate:g})"
            )
        if on_progress is not None:
            on_progress(progress)

    def _save(self) -> None:
        standing = checkpoint.Standing(self.step, self.seconds)
        checkpoint.save(self.folder, self.hash, standing, self.network, self.optimisers)

    def finish(self, weights: Path) -> TrainedWeights:
        """Measure the codec and write it."""
        self.network.eval()
        recipe, reading = self.recipe, self.reading
        pixels = int(np.prod(self.blueprint.image_shape))
        card = {
            "name": reading.name,
            "title": recipe.title,
            "architecture": self.blueprint.architecture,
            "latent_size": self.blueprint.latent_size,
            "variational": self.blueprint.variational,
            "image_shape": list(self.blueprint.image_shape),
            "data": {
                "name": self.data.name,
                "images": len(self.data.images),
                "left_out_as_test_images": self.data.left_out,
                "test": "mnist5k, test split (1,000 images)",
            },
            **measure.quality(self.network),
            **measure.power(self.network, self.data.images),
            "beta_eff": recipe.objective.effective_beta(pixels),
            "epochs": recipe.epochs,
            "steps": self.step,
            "seed": recipe.seed,
            "init_sha256": reading.init_sha256,
            "recipe": reading.resolved,
            "recipe_hash": reading.hash,
            "versions": measure.versions(),
        }
        remarks = {
            "command": _command(reading),
            "training_s": round(self.seconds, 1),
            "threads": torch.get_num_threads(),
        }
        return save_weights(weights, self.network, self.blueprint, card, remarks)


class _Meter:
    """Mean losses and speed since the last report."""

    def __init__(self, trainer: _Trainer) -> None:
        self._trainer = trainer
        self._sums: dict[str, float] = {}
        self._count = 0
        self._last = time.monotonic()

    def add(self, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1

    def due(self, now: float) -> bool:
        return now - self._last >= _REPORT_S

    def read(self, now: float) -> Progress:
        trainer, count = self._trainer, self._count
        progress = Progress(
            epoch=1 + (trainer.step - 1) // trainer.epoch_steps,
            epochs=trainer.recipe.epochs,
            step=trainer.step,
            steps_total=trainer.steps_total,
            losses={name: value / count for name, value in self._sums.items()},
            samples_per_s=count * trainer.recipe.batch_size / max(now - self._last, 1e-9),
        )
        self._sums, self._count, self._last = {}, 0, now
        return progress


def _command(reading: Reading) -> str:
    """The command that trains this again, from the folder that holds the package."""
    home = Path(__file__).resolve().parent.parent
    path = reading.path.resolve()
    shown = path.relative_to(home) if path.is_relative_to(home) else Path(path.name)
    root = " --data-root DIR" if reading.recipe.data.name == "mnist" else ""
    return f"channelsim train {shown.as_posix()}{root}"
