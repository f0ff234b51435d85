"""A folder of pictures as a data set, split by content or by its own sub-folders."""

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

_ROLES = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip


def image_folder(
    folder: Path,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    test_share: float = 0.2,
) -> Collection:
    """All pictures of a folder and its sub-folders, sorted by path.

    ``size`` [H, W], at most 1024 a side: see `read_picture`; without it all pictures must be of one
    size. Labels: the position of the class among the names of all classes in sorted order; none
    where there are no classes. Two trees are understood:

    ``CLASS/*.png``: a first sub-folder is a class. The hash of a picture's pixels as used (cropped,
    resized) decides whether it is a test image: about ``test_share`` of them are, copies are never
    on both sides, and added pictures move no others. Pictures of one person or scene may be on both
    sides.

    ``train/CLASS/*.png`` and ``test/CLASS/*.png``: the splits are given. ``val`` is not used beside
    ``test``, and is the test split where there is none. Training pictures that are test pictures
    too are left out. ``training``, ``testing``, ``valid`` and ``validation`` are understood, in
    small letters or large.

    Hidden files, read-me and licence files are ignored; other files that are not pictures, and
    links to folders, are refused.
    """
    check_size(str(folder), size)
    files, splits, notices = _split_tree(folder, _files(folder))
    labels = _labels(folder, files, splits)
    first = _read(files[0], size, grey)
    keep = first.nbytes * len(files) <= KEPT_BYTES
    kept = np.empty((len(files) if keep else 0, *first.shape), dtype=np.uint8)
    digests = []
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
        digests.append(hashlib.sha256(pixels.tobytes()).hexdigest())
        if keep:
            kept[number] = pixels
    if splits is None:
        tested = np.array([is_test(digest, test_share) for digest in digests], dtype=bool)
        if tested.all() or not tested.any():
            raise InputError(
                f"{folder}: of {len(files)} pictures {int(tested.sum())} are test images at"
                f" test_share {test_share:g}; change test_share or give more pictures"
            )
    else:
        tested = np.array([split == "test" for split in splits], dtype=bool)
    known = {digest for digest, test in zip(digests, tested, strict=True) if test}
    copies = np.array([digest in known for digest in digests], dtype=bool) & ~tested
    shape = (first.shape[0], first.shape[1], first.shape[2])

    def chosen(rows: Ints) -> Split:
        own = labels[rows]
        named = own if (own >= 0).all() else None
        if keep:
            return Held(torch.from_numpy(kept[rows]), named)
        return Lazy(len(rows), shape, named, lambda row: _read(files[rows[row]], size, grey))

    def load(split: SplitName) -> Split:
        return chosen(np.flatnonzero(tested if split == "test" else ~tested & ~copies))

    return Collection(
        folder.resolve().name,
        load,
        disjoint=True,
        whole=chosen(np.arange(len(files))),
        test_share=test_share if splits is None else None,
        notices=(*notices, *_notices(several)),
        copies=int(copies.sum()),
    )


def _split_tree(
    folder: Path, files: list[Path]
) -> tuple[list[Path], list[SplitName] | None, tuple[str, ...]]:
    """The pictures in use, their splits where the folder is a tree of splits, and notices."""
    inside = [file.relative_to(folder).parts for file in files]
    tops = {parts[0] for parts in inside if len(parts) > 1}
    roles = {name: _ROLES.get(name.lower()) for name in tops}
    if not tops or None in roles.values() or any(len(parts) == 1 for parts in inside):
        return files, None, ()
    there = sorted(tops)
    found = sorted(role for role in roles.values() if role is not None)
    if "train" not in found or len(found) < 2 or len(set(found)) < len(found):
        raise InputError(
            f"{folder}: its sub-folders are {', '.join(there)}; a tree of splits has train and"
            " test, or train and val (give all of them, or the path of a folder of classes)"
        )
    sent = "test" if "test" in found else "val"
    splits: dict[str, SplitName] = {"train": "train", sent: "test"}
    used = [
        (file, splits[role])
        for file, parts in zip(files, inside, strict=True)
        if (role := str(roles[parts[0]])) in splits
    ]
    notices: tuple[str, ...] = ()
    if sent == "val":
        notices = (f"source: {folder.resolve().name} has no test folder; val is its test split",)
    return [file for file, _ in used], [split for _, split in used], notices


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


def _labels(folder: Path, files: list[Path], splits: list[SplitName] | None) -> Ints:
    """The class of every picture; −1 in a split, or a folder, without classes."""
    depth = 0 if splits is None else 1  # of the folder of a class
    inside = [file.relative_to(folder).parts[depth:] for file in files]
    names = [parts[0] if len(parts) > 1 else "" for parts in inside]
    of_split = ["test"] * len(files) if splits is None else splits
    for split in set(of_split):
        own = [number for number, one in enumerate(of_split) if one == split]
        beside = next((files[number] for number in own if not names[number]), None)
        if beside is not None and any(names[number] for number in own):
            raise InputError(
                f"{beside}: lies beside sub-folders, and a sub-folder is a class; put every"
                " picture into one, or none"
            )
    classes = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    return np.array([classes.get(name, -1) for name in names], dtype=np.int64)
