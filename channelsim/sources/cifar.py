"""CIFAR-10 (Krizhevsky 2009): 32 × 32 colour, 50,000 training and 10,000 test images, ten classes.

Read from the official *binary* version: records of one label byte and 3,072 pixel bytes (the red
plane, the green, the blue, each row by row). The Python version consists of pickles, which run code
when opened; it is never read.
"""

from __future__ import annotations

import dataclasses
import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch

from channelsim.sources.collection import Collection, Held, SplitName, taking_turns
from channelsim.sources.npz import npz
from channelsim.sources.root import content, data_root, found, missing
from channelsim.support.errors import InputError

ARCHIVE = "cifar-10-binary.tar.gz"
_FOLDER, _PICKLES = "cifar-10-batches-bin", "cifar-10-batches-py"
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_MOST_BYTES = 10_000 * _RECORD  # of one file
_FILES: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}


def cifar10(root: Path | None = None) -> Collection:
    """CIFAR-10 from ``cifar-10-binary.tar.gz`` or its unpacked folder ``cifar-10-batches-bin``.

    Either lies in ``<root>/cifar10`` or in ``<root>``; ``.bin.gz`` is read too.
    """

    def load(split: SplitName) -> Held:
        raw = b"".join(_batches(data_root(root), split))
        records = np.frombuffer(raw, dtype=np.uint8).reshape(-1, _RECORD)
        images = torch.from_numpy(records[:, 1:].reshape(-1, *_SHAPE).copy())
        return Held(images, records[:, 0].astype(np.int64))

    return Collection("cifar10", load)


def cifar10_subset(root: Path | None = None) -> Collection:
    """A part of CIFAR-10 as ``<root>/cifar10_subset.npz`` (arrays as for `npz`, NHWC).

    Its classes take turns (0, 1, …, 9, 0, …), so that the first few images are of all of them. For
    the colour path; its figures do not compare with those published for CIFAR-10.
    """
    base = data_root(root)
    file = base / "cifar10_subset.npz"
    if not file.is_file():
        raise missing("cifar10-subset", base, file.name, "use cifar10")
    stored = npz(file, layout="nhwc", name="cifar10-subset")
    return dataclasses.replace(stored, load=lambda split: taking_turns(stored.load(split)))


def folders(root: Path) -> list[Path]:
    """Folders searched for CIFAR-10; downloads go to the first."""
    return [root / "cifar10", root]


def _batches(root: Path, split: SplitName) -> list[bytes | bytearray]:
    """The files of a split, each checked."""
    unpacked = [folder / _FOLDER for folder in folders(root)]
    first = found(unpacked, _FILES[split][0])
    if first is not None:
        batches = []
        for name in _FILES[split]:
            file = found([first.parent], name)
            if file is None:
                raise InputError(f"{first.parent / name}: is not there; fetch CIFAR-10 again")
            batches.append(_checked(content(file, _MOST_BYTES), file))
        return batches
    for folder in folders(root):
        if (folder / ARCHIVE).is_file():
            return _from_archive(folder / ARCHIVE, split)
    if any((folder / _PICKLES).is_dir() for folder in folders(root)):
        raise InputError(
            f"data root {root}: {_PICKLES} holds pickles, which are never opened because they can"
            " run code; fetch the binary version with: channelsim download cifar10"
        )
    raise missing("cifar10", root, f"{_FOLDER} or {ARCHIVE}", "channelsim download cifar10")


def _from_archive(archive: Path, split: SplitName) -> list[bytes | bytearray]:
    batches = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in _FILES[split]:
                member = tar.extractfile(f"{_FOLDER}/{name}")
                if member is None:
                    raise KeyError(f"{name} is no plain file")
                batches.append(_checked(member.read(_MOST_BYTES + 1), archive))
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError) as reason:
        text = str(reason).strip("\"'")
        raise InputError(
            f"{archive}: not the complete archive of CIFAR-10's binary version ({text}); fetch it"
            " again"
        ) from None
    return batches


def _checked(data: bytes | bytearray, place: Path) -> bytes | bytearray:
    if len(data) > _MOST_BYTES:
        raise InputError(
            f"{place}: a file of CIFAR-10's binary version has {_MOST_BYTES:,} bytes and one of"
            " these has more; fetch it again"
        )
    labels = np.frombuffer(data, dtype=np.uint8)[::_RECORD]
    if not data or len(data) % _RECORD or labels.max() > 9:
        raise InputError(
            f"{place}: not complete records of CIFAR-10's binary version ({_RECORD:,} bytes each:"
            " a label from 0 to 9, then 32 × 32 × 3 pixels); fetch it again"
        )
    return data
