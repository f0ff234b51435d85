"""A folder of pictures as a data set, split by content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from channelsim.contracts.records import Ints
from channelsim.sources.collection import Collection, Held, Lazy, Pixels, Split, SplitName, is_test
from channelsim.sources.picture_file import SUFFIXES, check_size, frames, read_picture
from channelsim.support.errors import InputError

KEPT_BYTES = 512 * 2**20  # project's choice: larger folders (as pixels) are decoded on request
_IGNORED = ("thumbs.db", "desktop.ini", "readme", "license", "licence", "copying")  # beginnings


def image_folder(
    folder: Path,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    test_share: float = 0.2,
) -> Collection:
    """All pictures of a folder and its sub-folders, sorted by path.

    ``size`` [H, W], at most 1024 a side: see `read_picture`; without it all pictures must be of one
    size. The hash of a picture's pixels as used (cropped, resized) decides whether it is a test
    image: about ``test_share`` of them are, copies are never on both sides, and added pictures move
    no others. Pictures of one person or scene may be on both sides. Labels: the position of the
    first sub-folder in sorted order; none where the folder has no sub-folders. Hidden files,
    read-me and licence files are ignored; other files that are not pictures, and links to folders,
    are refused.
    """
    check_size(str(folder), size)
    files = _files(folder)
    labels = _labels(folder, files)
    first = _read(files[0], size, grey)
    keep = first.nbytes * len(files) <= KEPT_BYTES
    kept = np.empty((len(files) if keep else 0, *first.shape), dtype=np.uint8)
    tested = np.zeros(len(files), dtype=bool)
    several = []  # pictures with more than one frame
    for number, file in enumerate(files):
        pixels = _read(file, size, grey)
        if pixels.shape != first.shape:
            raise InputError(
                f"{file}: is {pixels.shape[1]} × {pixels.shape[2]} pixels and {files[0].name} is"
                f" {first.shape[1]} × {first.shape[2]}; say with size [H, W] to which all of them"
                " are resized"
            )
        if frames(file) > 1:
            several.append(file)
        tested[number] = is_test(hashlib.sha256(pixels.tobytes()).hexdigest(), test_share)
        if keep:
            kept[number] = pixels
    if tested.all() or not tested.any():
        raise InputError(
            f"{folder}: of {len(files)} pictures {int(tested.sum())} are test images at test_share"
            f" {test_share:g}; change test_share or give more pictures"
        )
    shape = (first.shape[0], first.shape[1], first.shape[2])

    def chosen(rows: Ints) -> Split:
        own = None if labels is None else labels[rows]
        if keep:
            return Held(torch.from_numpy(kept[rows]), own)
        return Lazy(len(rows), shape, own, lambda row: _read(files[rows[row]], size, grey))

    def load(split: SplitName) -> Split:
        return chosen(np.flatnonzero(tested if split == "test" else ~tested))

    return Collection(
        folder.resolve().name,
        load,
        disjoint=True,
        whole=chosen(np.arange(len(files))),
        test_share=test_share,
        notices=_notices(several),
    )


def _notices(several: list[Path]) -> tuple[str, ...]:
    if not several:
        return ()
    first = f"{several[0]} holds {frames(several[0])} frames"
    others = f", and {len(several) - 1} more pictures hold several" if len(several) > 1 else ""
    return (f"source: {first}{others}; the first frame is sent, the others are not",)


def _read(file: Path, size: tuple[int, int] | None, grey: bool) -> Pixels:
    return read_picture(file, str(file), size=size, grey=grey)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "there is no such folder"
        raise InputError(f"{folder}: {what}; give the path of a folder of pictures")
    found = []
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        picture = file.suffix.lower() in SUFFIXES
        ignored = file.name.lower().startswith(_IGNORED) and not picture
        if ignored or any(part.startswith(".") for part in inside.parts):
            continue
        if file.is_dir():
            if file.is_symlink():
                raise InputError(
                    f"{file}: is a link to a folder, and links to folders are not followed; put"
                    " the folder itself there"
                )
            continue
        if not file.is_file():
            raise InputError(
                f"{file}: is a pipe, a device or a link to nothing; take it out of the folder"
            )
        if not picture:
            raise InputError(
                f"{file}: is not a picture ({', '.join(SUFFIXES)}); take it out of the folder, or"
                " give a folder with pictures only"
            )
        found.append(file)
    if not found:
        raise InputError(f"{folder}: holds no picture ({', '.join(SUFFIXES)})")
    return found


def _labels(folder: Path, files: list[Path]) -> Ints | None:
    inside = [file.relative_to(folder).parts for file in files]
    if all(len(parts) == 1 for parts in inside):
        return None
    beside = next((parts[0] for parts in inside if len(parts) == 1), None)
    if beside is not None:
        raise InputError(
            f"{folder / beside}: lies beside sub-folders, and a sub-folder is a class; put every"
            " picture into one, or none"
        )
    classes = {name: number for number, name in enumerate(sorted({parts[0] for parts in inside}))}
    return np.array([classes[parts[0]] for parts in inside], dtype=np.int64)
