"""Self-test: whether a row's bits depend on its place in a block, its neighbours, or threads.

Made before the first message, on the run's own rows and at its own block shape: a block is computed
in order; then two thirds of its rows, shuffled, among padding, with another number of threads.
Equal bits exclude all three causes at once; otherwise place and threads are tested separately. Then
some of them in blocks of a half, a quarter and so on, and small ones doubled: where bits are equal,
rows are computed in those that fit their number.

Adversaries attack with the least effort that uses the same arithmetic (`Adversary.brief`). Paths
that differ only in weights run the same kernels, so one of them is tested for all, once per
process.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.promises import TOLERANCE, BitComparison, Tried
from channelsim.contracts.records import Batch
from channelsim.contracts.stages import Stages
from channelsim.scenario import Scenario
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import Paths
from channelsim.signal_path.equal_arms import frozen
from channelsim.support import arithmetic
from channelsim.support.block_shape import BlockShape

Columns = Mapping[str, np.ndarray]
# Of place and neighbours, and of threads; and the blocks of equal bits.
Compared = tuple[BitComparison, BitComparison, BlockShape]

_APART_S = 0.01  # between the first symbols of two rows
_MOST = 256  # kinds of paths cached
_LEAST = (2, 32)  # rows of the smallest blocks to try; project's choice
# Rows to which small blocks are doubled, to try, and the numbers of their images or codewords;
# project's choices.
_DOUBLED, _NUMBERS = 32, 2**18
_REMEMBERED: OrderedDict[Any, Compared] = OrderedDict()


def self_test(scenario: Scenario, paths: Paths, block_rows: int | None = None) -> Tried:
    """Test every kind of path of a run, in blocks of ``block_rows``, default the scenario's."""
    height = block_rows or scenario.block_rows
    here = torch.get_num_threads()
    other = 1 if here > 1 else 2
    place, thread = BitComparison(), BitComparison()
    least, most = 0, height * _DOUBLED
    tried: set[Any] = set()
    # Paths with active adversaries come first: they run all kernels of the others.
    for number in sorted(range(len(paths.paths)), key=lambda n: not paths.paths[n].setting.active):
        path = replace(paths.paths[number], shape=BlockShape(height))
        kernels = _kernels(path)
        if kernels in tried:
            continue
        tried.add(kernels)
        arms = [arm for arm, of in enumerate(paths.of_arm) if of == number]
        found = _once((kernels, path.setting.active, here, other), path, arms, here, other)
        place, thread = place + found[0], thread + found[1]
        least, most = max(least, found[2].heights[0]), min(most, found[2].heights[-1])
    few, many = sorted((here, other))
    return Tried(height, (few, many), place, thread, least, most)


def _once(key: Any, path: SignalPath, arms: list[int], here: int, other: int) -> Compared:
    if key not in _REMEMBERED:
        _REMEMBERED[key] = _tried(_briefly(path), _rows(path, arms), here, other)
        if len(_REMEMBERED) > _MOST:
            _REMEMBERED.popitem(last=False)
    return _REMEMBERED[key]


def _kernels(path: SignalPath) -> Any:
    """Equal for paths that run the same kernels: all but weights, draws and columns."""
    codec, setting = path.transmitter.codec, path.setting
    shapes = tuple(
        (name, tuple(tensor.shape), tensor.stride(), str(tensor.dtype))
        for name, tensor in codec.network.state_dict().items()
    )
    return (
        path.shape,
        (type(codec.network), codec.image_shape, codec.latent_size, shapes),
        (path.transmitter.transmit, frozen(path.transmitter.power, set())),
        tuple((type(one), frozen(one, set(one.columns.values()))) for one in setting.stages),
        (setting.control, path.latents and path.latents.name),
        tuple((type(metric), frozen(metric, set())) for metric in path.metrics),
        type(path.defence.detector),
        path.images.device.type,
    )


def _briefly(path: SignalPath) -> SignalPath:
    """The same path with adversaries at their least effort."""
    stages = Stages(
        one.brief() if isinstance(one, Adversary) else one for one in path.setting.stages
    )
    return replace(path, setting=replace(path.setting, stages=stages))


def _rows(path: SignalPath, arms: list[int]) -> Batch:
    """A block of the run's own rows, from all arms of a path."""
    numbers = np.arange(_shapes(path.shape.rows, path.largest)[0].heights[-1])
    message = numbers // len(arms) % path.count
    rows = Batch.planned(message, began_s=_APART_S * numbers.astype(np.float64))
    arm = np.array(arms, dtype=np.int64)[numbers % len(arms)]
    return replace(rows, arm=arm, replayed=np.maximum(message - 1, 0))


def _tried(path: SignalPath, rows: Batch, here: int, other: int) -> Compared:
    """Compare place and neighbours, threads, and other heights of blocks."""
    shuffled = np.random.default_rng(0).permutation(len(rows))[: len(rows) - len(rows) // 3]
    compute = functools.partial(_computed, path)
    with arithmetic.threads(here):
        whole = compute(rows)
    some = {name: values[shuffled] for name, values in whole.items()}
    with arithmetic.threads(other):
        both = _compared(some, compute(rows[shuffled]))
    if not both.differ:
        return both, both, _equal_shape(path, rows, whole, here)
    with arithmetic.threads(here):
        place = _compared(some, compute(rows[shuffled]))
    with arithmetic.threads(other):
        thread = _compared(whole, compute(rows))
    shape = BlockShape(path.shape.rows) if place.differ else _equal_shape(path, rows, whole, here)
    return place, thread, shape


def _equal_shape(path: SignalPath, rows: Batch, whole: Columns, here: int) -> BlockShape:
    """The most heights of blocks in which these rows have the bits that they have in ``whole``."""
    height = path.shape.rows
    for shape in _shapes(height, path.largest):
        others = [one for one in shape.heights if one != height]
        ends = np.cumsum(others).tolist()
        begins = [
            (end - one) % (len(rows) - one + 1) for end, one in zip(ends, others, strict=True)
        ]
        with arithmetic.threads(here):
            if not any(
                _in_one_block(path, rows, whole, slice(begin, begin + one)).differ
                for begin, one in zip(begins, others, strict=True)
            ):
                return shape
    return BlockShape(height)


def _in_one_block(path: SignalPath, rows: Batch, whole: Columns, part: slice) -> BitComparison:
    block = replace(path, shape=BlockShape(part.stop - part.start))
    expected = {name: values[part] for name, values in whole.items()}
    return _compared(expected, _computed(block, rows[part]))


def _shapes(height: int, largest: int) -> list[BlockShape]:
    """Heights to try together, the most first; ``largest``: numbers of an image or a codeword."""
    most = height
    while most < _DOUBLED and 2 * most * largest <= _NUMBERS:
        most *= 2
    found = []
    for least in _LEAST:
        smallest = height
        while smallest % 2 == 0 and smallest // 2 >= least:
            smallest //= 2
        found.append(BlockShape(height, smallest, most))
    return found


def _computed(path: SignalPath, rows: Batch) -> Columns:
    """All results of a block's rows, pictures and latents included."""
    anew = replace(path)  # which knows no codeword yet
    outcome, images, latents = anew.transmit(rows)
    return {
        **outcome.columns,
        **{f"image {role}": image.cpu().numpy() for role, image in images.items()},
        **{f"latent {role}": latent.cpu().numpy() for role, latent in latents.items()},
    }


def _compared(one: Columns, other: Columns) -> BitComparison:
    rows = len(next(iter(one.values())))
    differ, flipped = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    largest, columns = 0.0, []
    for name, left in one.items():
        right = other[name]
        apart: Callable[..., np.ndarray] = _apart if left.dtype != object else _unlike
        size = apart(left, right).reshape(rows, -1).max(axis=1, initial=0.0)
        if (size > 0).any():
            columns.append(name)
            differ |= size > 0
            flipped |= size > TOLERANCE
            largest = max(largest, float(size[size <= TOLERANCE].max(initial=0.0)))
    return BitComparison(rows, int(differ.sum()), int(flipped.sum()), largest, tuple(columns[:8]))


def _apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Difference of two numbers relative to the larger or 1; 0 for equal ones, NaN included."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        far = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return np.where(same, 0.0, np.nan_to_num(far, nan=np.inf, posinf=np.inf))


def _unlike(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.array([0.0 if a == b else np.inf for a, b in zip(left, right, strict=True)])
