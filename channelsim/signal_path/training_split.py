"""The training split: the only images on which anything is fitted before a run."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from channelsim.contracts.own_code import RowsError
from channelsim.contracts.parts import Codec, Metric
from channelsim.contracts.records import Ints
from channelsim.contracts.sampling import noun_of
from channelsim.sources import Source, as_float
from channelsim.support import seeds
from channelsim.support.errors import InputError

_CHUNK = 500  # rows encoded at a time


@contextmanager
def located(
    numbers: Sequence[int], images: Tensor, split: str = "the training split"
) -> Iterator[None]:
    """Inside, an error about rows of some images (or signals) names these by their numbers."""
    try:
        yield
    except RowsError as error:
        if not error.rows:
            raise
        low, high = numbers[min(error.rows)], numbers[max(error.rows)]
        noun = noun_of(images.shape[1:])
        which = f"{noun} {low}" if low == high else f"{noun}s {low} to {high}"
        raise InputError(f"{error.message}: {which} of {split}") from error


class TrainingSplit:
    """The training images of a source, and what they say by themselves; each computed once.

    ``seed``: of the run, for random halves.
    """

    def __init__(self, source: Source, seed: int, device: torch.device) -> None:
        self._source, self.seed, self.device = source, seed, device

    def __len__(self) -> int:
        return len(self.images)

    @functools.cached_property
    def images(self) -> Tensor:
        """Images [n, C, H, W], bytes or float32 in [0, 1]."""
        return self._source.calibration().images.to(self.device)

    @functools.cached_property
    def mean_image(self) -> Tensor:
        """Mean of the training images, float32 [C, H, W]."""
        if self.images.dtype != torch.uint8:
            return self.images.mean(dim=0)
        total = torch.zeros(self.images.shape[1:], dtype=torch.float64, device=self.device)
        for chunk in torch.split(self.images, _CHUNK):
            total += chunk.double().sum(dim=0)
        return (total / (255.0 * len(self.images))).float()

    @functools.cached_property
    def pixel_power(self) -> float:
        """Mean square of the pixels."""
        total = 0.0
        for chunk in torch.split(self.images, _CHUNK):
            total += float(as_float(chunk).double().square().sum())
        return total / self.images.numel()

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """All images in float32, some at a time, each chunk with the number of its first."""
        for place, chunk in enumerate(torch.split(self.images, _CHUNK)):
            yield place * _CHUNK, as_float(chunk)

    def latents(self, codec: Codec, count: int | None = None) -> tuple[Tensor, float]:
        """Mean latents of the training split [n, K], and the mean variance added by sampling.

        ``count``: of so many images, drawn by the run's seed; None: of all.
        """
        means: list[Tensor] = []
        variance = 0.0
        numbers = np.arange(len(self))
        if count is not None and count < len(self):
            numbers = np.sort(self._shuffled("power", len(self))[:count])
        for some in np.split(numbers, range(_CHUNK, len(numbers), _CHUNK)):
            chunk = self.images[torch.from_numpy(some).to(self.device)]
            with located(some.tolist(), chunk):
                mean, std = codec.posterior(as_float(chunk))
            means.append(mean)
            if std is not None:
                variance += float(std.double().square().sum())
        latents = torch.cat(means)
        return latents, variance / latents.numel()

    def halves(self, count: int) -> tuple[Tensor, Tensor]:
        """Two random halves of the training rows.

        Not every other row: images come class by class in turn, and a detector fitted to the even
        digits would take its threshold from the odd ones.
        """
        rows = torch.from_numpy(self._shuffled("halves", count)).to(self.device)
        return rows[: count - count // 2], rows[count - count // 2 :]

    def _shuffled(self, draw: str, count: int) -> Ints:
        key = seeds.stream_key(self.seed, "calibration", draw)
        order: Ints = np.argsort(seeds.uniforms(key, np.arange(count), 0, 1)[:, 0], kind="stable")
        return order

    @torch.no_grad()
    def score_of_mean_image(
        self, metrics: Sequence[Metric], images: Tensor, index: Ints
    ) -> dict[str, float]:
        """The score of a receiver that always shows the training split's mean image.

        The sanity row of every table: a codec that transmits nothing cannot be disturbed.
        """
        rows, times = np.unique(index, return_counts=True)
        scores = {}
        for metric in metrics:
            values: list[Tensor] = []
            for chunk in torch.split(images[torch.from_numpy(rows)], _CHUNK):
                begun = _CHUNK * len(values)
                with located(range(begun, begun + len(chunk)), chunk, "those sent"):
                    values.append(metric(self.mean_image.expand_as(chunk), as_float(chunk)))
            additive = metric.to_additive(torch.cat(values).double().cpu().numpy())
            mean = np.average(additive, weights=times, keepdims=True)
            scores[metric.kind] = float(metric.from_additive(mean)[0])
        return scores
