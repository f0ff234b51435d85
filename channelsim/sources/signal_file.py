"""Sampled signals in a file, cut into segments that train or are sent, by time."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channelsim.contracts.records import Ints
from channelsim.contracts.sampling import MOST_CHANNELS, MOST_VALUES
from channelsim.sources.collection import Collection, Held, SplitName
from channelsim.sources.npz import arrays, several_answers, single_array
from channelsim.support.errors import InputError, MachineError, did_you_mean

Record = NDArray[np.float64]

SUFFIXES = (".wav", ".npy", ".npz")
_MOST_ALL = 2**29  # of all segments, 2 GiB as float32; project's choice
_SPLITS = ("train_signals", "train_labels", "test_signals", "test_labels")


def signals(
    file: Path,
    *,
    array: str | None,
    rate_hz: float | None,
    samples: int | None,
    hop: int | None,
    test_share: float,
    scale: float,
    offset: float,
) -> tuple[Collection, float]:
    """Segments [n, C, L], float32 in their unit, and the samples per second.

    A record, [samples] or [channels, samples] (of a .wav file [samples, channels], in parts of full
    scale), is cut in time: segments of the last ``test_share`` of it are the test split, those of
    the rest the training split, and no sample is in both. A segment has ``samples`` of them and
    begins ``hop`` samples after the one before it (None: ``samples``). Or an .npz file holds
    segments already, as ``train_signals`` and ``test_signals`` [n, C, L]. ``array``: which array of
    an .npz file is the record. A value is (stored − ``offset``) · ``scale``.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{file}: signals are read from {', '.join(SUFFIXES)}, not from this type")
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; give the path of a record of signals")
    try:
        found = _stored(file, suffix, array)
        rate = _rate(file, rate_hz, found.pop("rate_hz", None))
        if "record" not in found:
            if samples is not None or hop is not None:
                raise InputError(
                    f"{file}: holds segments already, so samples and hop cut nothing; leave them"
                    " out"
                )
            return _given(file, found, scale, offset), rate
        if samples is None:
            raise InputError(f"{file}: samples is missing: say how many of them a message carries")
        record = _values(f"{file}: its record", _channels(file, found["record"]), scale, offset)
        return _cut(file, record, samples, hop or samples, test_share), rate
    except MemoryError:
        raise MachineError(f"{file}: does not fit into memory; give a shorter record") from None


def _stored(file: Path, suffix: str, array: str | None) -> dict[str, Any]:
    """``record``, or the arrays of both splits; of a .wav file also its ``rate_hz``."""
    if suffix == ".npz":
        there = list(arrays(file, set()))
        if array is None and _SPLITS[0] in there and _SPLITS[2] in there:
            found = arrays(file, set(_SPLITS))
            return {name: found[name] for name in _SPLITS if name in found}
        chosen = array or (there[0] if len(there) == 1 else None)
        if chosen is None or chosen not in there:
            near = "" if chosen is None else did_you_mean(chosen, there)
            raise InputError(
                f"{file}: holds {', '.join(sorted(there)) or 'nothing'}; say with array which of"
                f" them is the record{near and '.'}{near}"
            )
        return {"record": arrays(file, {chosen})[chosen]}
    if array is not None:
        raise InputError(f"{file}: array is for .npz files, which hold several; leave it out")
    return _wav(file) if suffix == ".wav" else {"record": single_array(file)}


def _wav(file: Path) -> dict[str, Any]:
    """The samples of a .wav file [channels, samples] in parts of full scale, and their rate."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks beside the samples
            rate, samples = wavfile.read(file)
    # Damaged headers end in whatever their numbers lead to.
    except (OSError, EOFError, ValueError, TypeError, struct.error, ArithmeticError, LookupError,
            UnboundLocalError) as error:  # fmt: skip
        raise InputError(f"{file}: not a readable .wav file ({error})") from None
    samples = np.asarray(samples)
    if samples.dtype == np.uint8:
        values = (samples.astype(np.float64) - 128) / 128
    elif samples.dtype.kind == "i":
        values = samples / float(-int(np.iinfo(samples.dtype).min))
    else:
        values = samples.astype(np.float64)
    return {"record": values.T, "rate_hz": float(rate)}


def _rate(file: Path, given: float | None, stored: float | None) -> float:
    if given is None and stored is None:
        raise InputError(f"{file}: rate_hz is missing: say how many samples make a second")
    if given is not None and stored is not None and given != stored:
        raise InputError(
            f"{file}: its samples are {stored:g} a second and rate_hz says {given:g}; leave"
            " rate_hz out"
        )
    rate = stored if given is None else given
    if not rate or rate < 0:
        raise InputError(f"{file}: says that it has {rate:g} samples a second; save it again")
    return rate


def _channels(file: Path, record: np.ndarray) -> np.ndarray:
    """A record as [channels, samples]."""
    rows = record[None] if record.ndim == 1 else record
    if rows.ndim != 2 or not 1 <= len(rows) <= MOST_CHANNELS:
        raise InputError(
            f"{file}: its record is of shape {list(record.shape)}; allowed: [samples], or"
            f" [channels, samples] with at most {MOST_CHANNELS} channels (transpose it?)"
        )
    return rows


def _values(place: str, stored: np.ndarray, scale: float, offset: float) -> Record:
    if stored.dtype.kind not in "fiu":
        raise InputError(f"{place} is of type {stored.dtype}; allowed: integers and floats")
    with np.errstate(over="ignore"):
        values: Record = (stored.astype(np.float64) - offset) * scale
        finite = np.isfinite(values.astype(np.float32)).all()
    if not finite:
        raise InputError(f"{place} has values that are NaN or infinite; replace them in the file")
    return values


def _cut(file: Path, record: Record, length: int, hop: int, test_share: float) -> Collection:
    samples, border = record.shape[1], round(record.shape[1] * (1 - test_share))
    if min(border, samples - border) < length:
        raise InputError(
            f"{file}: of its {samples:,} samples {border:,} are to train on and"
            f" {samples - border:,} to test with, and one of these is shorter than a segment of"
            f" {length:,}; lower samples, or change test_share"
        )
    count = (border - length) // hop + 1 + (samples - border - length) // hop + 1
    if count * length * len(record) > _MOST_ALL or length * len(record) > MOST_VALUES:
        raise InputError(
            f"{file}: makes {count:,} segments of {length * len(record):,} values, more than fit"
            f" here ({MOST_VALUES:,} a segment, {_MOST_ALL:,} in all); raise hop, or lower samples"
        )

    def segments(part: Record) -> Held:
        windows = np.lib.stride_tricks.sliding_window_view(part, length, axis=1)[:, ::hop]
        return Held(torch.from_numpy(windows.transpose(1, 0, 2).astype(np.float32)), None)

    parts: dict[SplitName, Held] = {
        "train": segments(record[:, :border]), "test": segments(record[:, border:]),
    }  # fmt: skip
    notices = () if hop >= length else (_overlap(hop, length),)
    return _collection(file, parts, notices)


def _overlap(hop: int, length: int) -> str:
    return (
        f"source: hop {hop} is less than samples {length}: neighbouring messages share samples, and"
        " intervals over messages are too narrow"
    )


def _given(file: Path, found: dict[str, Any], scale: float, offset: float) -> Collection:
    """Segments that the file holds in two splits."""
    notices = several_answers(file, found)
    parts: dict[SplitName, Held] = {}
    for split, name in (("train", _SPLITS[0]), ("test", _SPLITS[2])):
        stored = found[name]
        if stored.ndim != 3 or 0 in stored.shape or stored.shape[1] > MOST_CHANNELS:
            raise InputError(
                f"{file}: {name} is of shape {list(stored.shape)}; allowed: [n, channels, samples]"
                f" with at most {MOST_CHANNELS} channels"
            )
        if stored[0].size > MOST_VALUES:
            raise InputError(
                f"{file}: {name} has segments of {stored[0].size:,} values; allowed: at most"
                f" {MOST_VALUES:,}"
            )
        values = _values(f"{file}: {name}", stored, scale, offset)
        labels = _labels(file, f"{split}_labels", found.get(f"{split}_labels"), len(stored))
        parts["train" if split == "train" else "test"] = Held(_float(values), labels)
    if parts["train"].image_shape != parts["test"].image_shape:
        raise InputError(f"{file}: {_SPLITS[0]} and {_SPLITS[2]} must have segments of one shape")
    return _collection(file, parts, notices)


def _labels(file: Path, name: str, given: np.ndarray | None, count: int) -> Ints | None:
    if given is None:
        return None
    if given.shape not in ((count,), (count, 1)) or given.dtype.kind not in "iu":
        raise InputError(f"{file}: {name} must be {count} integers, one for each segment")
    return given.reshape(count).astype(np.int64)


def _float(values: Record) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.astype(np.float32)))


def _collection(file: Path, parts: dict[SplitName, Held], notices: tuple[str, ...]) -> Collection:
    train, test = parts["train"], parts["test"]
    labels = None
    if train.labels is not None and test.labels is not None:
        labels = np.concatenate([train.labels, test.labels])
    whole = Held(torch.cat([train.images, test.images]), labels)
    return Collection(file.name, parts.__getitem__, disjoint=True, whole=whole, notices=notices)
