"""The training loop: seeded, resumable to the bit, stopped early where the recipe asks for it.

The order of the images is a function of (seed, epoch) and every random draw of (seed, step), so an
interrupted training that goes on equals one that was never interrupted, at equal thread count.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from channelsim import sources
from channelsim.codecs.lu_chen import LuChen
from channelsim.codecs.trained import load_weights
from channelsim.support import seeds
from channelsim.support.errors import InputError
from channelsim.training import checkpoint, loop
from channelsim.training.loss import batch_loss, hardening_loss
from channelsim.training.objectives import Draw, Encoded
from channelsim.training.progress import Meter, OnProgress
from channelsim.training.recipe import Recipe
from channelsim.training.recipe_as_read import RecipeAsRead


class Trainer:
    """The state of a training: network, optimisers, step count."""

    def __init__(
        self, reading: RecipeAsRead, recipe: Recipe, data: sources.TrainingSet, folder: Path
    ) -> None:
        self.reading, self.recipe, self.data, self.folder = reading, recipe, data, folder
        self.images, self.held_out = self._divided(data.images)
        colours, height, width = data.images.shape[1:]
        self.blueprint = self.recipe.codec.blueprint((colours, height, width))
        self.network = self._initial()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.recipe.frozen_encoder:
            self.network.freeze_encoder()
        rate = self.recipe.learning_rate
        # Algorithm 1's two Adam steps minimise two losses; each keeps its own moments.
        decoder = self.network.decoder_parameters()
        everything = decoder if self.recipe.frozen_encoder else self.network.parameters()
        self.optimiser = torch.optim.Adam(everything, lr=rate)
        self.decoder_optimiser = torch.optim.Adam(decoder, lr=rate)
        self.optimisers = [self.optimiser, self.decoder_optimiser]
        self.epoch_steps = len(self.images) // self.recipe.batch_size
        self.steps_total = self.epoch_steps * self.recipe.epochs
        self.meter = Meter(self.recipe.epochs, self.epoch_steps, self.recipe.batch_size)
        self.standing, self.best = checkpoint.restore(
            folder, reading.hash, self.network, self.optimisers
        )
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    @property
    def step(self) -> int:
        """Number of batches taken."""
        return self.standing.step

    def _divided(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images to train on and images held out."""
        recipe, count = self.recipe, len(images)
        held_out = recipe.early_stop.hold_out if recipe.early_stop is not None else 0
        if count - held_out < recipe.batch_size:
            less = f", less the {held_out:,} held out," if held_out else ""
            raise InputError(
                f"recipe {self.reading.path}: {self.data.name} has {count:,} images, which{less} do"
                f" not fill one batch of {recipe.batch_size}; lower batch_size"
                + (" or early_stop.hold_out" if held_out else "")
            )
        if not held_out:
            return images, images[:0]
        order = self._shuffle("hold out", count)
        return images[order[held_out:].sort().values], images[order[:held_out].sort().values]

    def _initial(self) -> LuChen:
        if self.reading.init_file is not None:
            start = load_weights(self.reading.init_file)
            if start.blueprint.image_shape != self.blueprint.image_shape:
                raise InputError(
                    f"recipe {self.reading.path}: init {self.recipe.init} is for images of shape"
                    f" {list(start.blueprint.image_shape)}, but {self.data.name} has"
                    f" {list(self.blueprint.image_shape)}"
                )
            network = self._built()
            network.load_state_dict(start.network.state_dict())
            return network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed("start"))
            return self._built()

    def _built(self) -> LuChen:
        try:
            network = self.blueprint.build()
        except ValueError as reason:
            raise InputError(f"recipe {self.reading.path}: {reason}") from reason
        assert isinstance(network, LuChen)
        return network

    # --- random numbers -------------------------------------------------------------------------

    def _seed(self, draw: str) -> int:
        low, high = seeds.stream_key(self.recipe.seed, "train", draw)
        return low | high << 32

    def _generator(self, draw: str) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed(draw))

    def _draw(self, moment: str) -> Draw:
        return lambda name: self._generator(f"{name}|{moment}")

    def _shuffle(self, draw: str, count: int) -> Tensor:
        shuffle = np.random.Generator(np.random.Philox(key=self._seed(draw)))
        return torch.from_numpy(shuffle.permutation(count))

    def _batch(self) -> Tensor:
        """The images of this step; an incomplete batch at an epoch's end is left out."""
        epoch, position = divmod(self.step, self.epoch_steps)
        if self._order[0] != epoch:
            self._order = (epoch, self._shuffle(f"order|{epoch}", len(self.images)))
        size = self.recipe.batch_size
        rows = self._order[1][position * size : (position + 1) * size]
        return sources.as_float(self.images[rows])

    # --- one step -------------------------------------------------------------------------------

    def take_step(self) -> dict[str, Tensor]:
        """One batch: a step on the loss, then the hardening steps on the decoder."""
        images, draw = self._batch(), self._draw(str(self.step))
        self.network.train()
        encoded, losses = batch_loss(self.recipe, self.network, images, draw, len(self.images))
        self.optimiser.zero_grad()
        torch.autograd.backward(losses["loss"])
        self.optimiser.step()
        losses = dict(losses)
        for number in range(self._rounds):
            losses["hardening"] = self._harden(images, encoded, draw(f"adversary|{number}"))
        self.standing.step += 1
        return {name: value.detach() for name, value in losses.items()}

    @property
    def _rounds(self) -> int:
        """Hardening steps per batch; without attacks, as many as the attack's gradients."""
        recipe = self.recipe.adversarial
        if recipe is None:
            return 0
        plain = recipe.algorithm == "equal-compute"
        return recipe.rounds * (recipe.steps + 1 if plain else 1)

    def _harden(self, images: Tensor, encoded: Encoded, generator: torch.Generator) -> Tensor:
        """One Adam step of the decoder on perturbed latents, against the original images."""
        # Running statistics from here on: perturbed latents must neither move them nor couple rows.
        self.network.eval()
        loss = hardening_loss(self.recipe, self.network, images, encoded, generator)
        self.decoder_optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.decoder_optimiser.step()
        return loss

    # --- early stop -----------------------------------------------------------------------------

    def held_out_loss(self) -> float:
        """The recipe's loss, hardening included, on the held-out images, at fixed draws."""
        self.network.eval()
        total, rows = 0.0, 0
        size = min(self.recipe.batch_size, len(self.held_out))
        for number, held_out in enumerate(torch.split(self.held_out, size)):
            images = sources.as_float(held_out)
            if len(images) < size:  # the penalties of a smaller batch would be other quantities
                break
            draw = self._draw(f"held out|{number}")
            with torch.no_grad():
                encoded, losses = batch_loss(
                    self.recipe, self.network, images, draw, len(self.images)
                )
                loss = float(losses["loss"])
                if self.recipe.adversarial is not None:
                    generator = draw("adversary|0")
                    loss += float(
                        hardening_loss(self.recipe, self.network, images, encoded, generator)
                    )
            total, rows = total + loss * len(images), rows + len(images)
        return total / rows

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, with the lowest loss on the held-out images."""
        return int(np.argmin(self.standing.validation)) + 1

    @property
    def done(self) -> bool:
        """Whether no step is left to take."""
        if self.recipe.early_stop is not None and self.standing.validation:
            waited = len(self.standing.validation) - self.best_epoch
            if waited >= self.recipe.early_stop.patience:
                return True
        return self.step >= self.steps_total

    def _look_at_epoch(self) -> None:
        if self.recipe.early_stop is None or self.step % self.epoch_steps:
            return
        loss = self.held_out_loss()
        if not np.isfinite(loss):
            raise self.diverged("held-out loss", loss)
        self.standing.validation.append(loss)
        if self.best_epoch == len(self.standing.validation):
            self.best = {
                name: value.detach().clone() for name, value in self.network.state_dict().items()
            }

    # --- the whole ------------------------------------------------------------------------------

    def run(
        self,
        stop: threading.Event,
        on_progress: OnProgress | None,
        checkpoint_s: float,
    ) -> None:
        """Take all remaining steps; leave the network in its best state."""
        loop.run(self, stop, on_progress, checkpoint_s)
        if self.best:
            self.network.load_state_dict(self.best)
        self.network.eval()

    def advance(self) -> dict[str, float]:
        """One step, and at the end of an epoch the loss on the held-out images."""
        losses = self.take_step()
        losses.pop("penalty")  # part of the loss; its terms are reported instead
        self._look_at_epoch()
        return {name: float(value) for name, value in losses.items()}

    def diverged(self, what: str, value: float) -> InputError:
        """The error for a loss that is not finite."""
        return InputError(
            f"recipe {self.reading.path}: the {what} is {value} after {self.step:,} steps; lower"
            f" learning_rate (it is {self.recipe.learning_rate:g})"
        )

    def save(self) -> None:
        """Write a checkpoint."""
        checkpoint.save(
            self.folder,
            self.reading.hash,
            self.standing,
            self.network,
            self.optimisers,
            self.best,
        )

    @functools.cached_property
    def pixels(self) -> int:
        """Number of values of one image."""
        return int(np.prod(self.blueprint.image_shape))
