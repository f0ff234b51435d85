"""CelebA (Liu, Luo, Wang, Tang 2015): 202,599 aligned faces, 178 × 218 colour JPEG.

The official partition (by person, so no face is in two splits): 162,770 train, 19,867 validation,
19,962 test. The validation images are not used here.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from channelsim.sources.collection import Collection, Lazy, Pixels, SplitName
from channelsim.sources.picture_file import check_size, read_picture
from channelsim.sources.root import data_root
from channelsim.support.errors import InputError

CROP = 148  # pixels: hair and chin without the borders; a common crop, project's choice
SIZE = (64, 64)
_ZIP, _FOLDER, _PARTITION = "img_align_celeba.zip", "img_align_celeba", "list_eval_partition.txt"
_LINE = re.compile(r"(\w+\.jpg)\s+([012])")
_CODE: dict[SplitName, str] = {"train": "0", "test": "2"}
HOW_TO_GET = (
    "CelebA is handed out through Google Drive only, which asks a person: from"
    " https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html get img_align_celeba.zip and"
    " list_eval_partition.txt and put both, the zip as it is, into the folder celeba under the data"
    " root"
)


def celeba(root: Path | None = None, size: tuple[int, int] | None = None) -> Collection:
    """CelebA from ``<root>/celeba`` (torchvision's layout) or ``<root>``, decoded on request.

    The folder holds ``list_eval_partition.txt`` and either ``img_align_celeba.zip`` or the folder
    ``img_align_celeba``. The centred 148 × 148 pixels of every picture are resized to ``size`` [H,
    W], default 64 × 64, at most 1024 a side. Crop and size are common ones; published figures
    differ in both.
    """
    wanted = size or SIZE
    check_size("data set celeba", wanted)
    base = data_root(root)
    folder = next((one for one in (base / "celeba", base) if (one / _PARTITION).is_file()), None)
    if folder is None:
        raise InputError(
            f"data set celeba: celeba/{_PARTITION} is not under the data root {base}; {HOW_TO_GET}"
        )
    names = _partition(folder / _PARTITION)
    read = _reader(folder, wanted)

    def load(split: SplitName) -> Lazy:
        chosen = names[_CODE[split]]
        return Lazy(len(chosen), (3, *wanted), None, lambda row: read(chosen[row]))

    return Collection("celeba", load, disjoint=True)


def _partition(file: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {"0": [], "1": [], "2": []}
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        raise InputError(f"{file}: cannot be read ({reason}); fetch it again") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise InputError(
                f"{file}:{number}  {line[:40]!r} is not `000001.jpg 0` (0 train, 1 validation,"
                " 2 test); fetch it again"
            )
        names[found[2]].append(found[1])
    return names


def _reader(folder: Path, size: tuple[int, int]) -> Callable[[str], Pixels]:
    unpacked, packed = folder / _FOLDER, folder / _ZIP
    if unpacked.is_dir():

        def from_folder(name: str) -> Pixels:
            return read_picture(
                unpacked / name, str(unpacked / name), size=size, grey=False, crop=CROP
            )

        return from_folder
    if not packed.is_file():
        raise InputError(f"data set celeba: {packed} is not there; {HOW_TO_GET}")
    try:
        archive = zipfile.ZipFile(packed)
    except (OSError, zipfile.BadZipFile) as reason:
        raise InputError(
            f"{packed}: not a complete zip archive ({reason}); fetch it again"
        ) from None

    def from_zip(name: str) -> Pixels:
        member = f"{_FOLDER}/{name}"
        try:
            with archive.open(member) as file:
                return read_picture(file, f"{packed}:{member}", size=size, grey=False, crop=CROP)
        except (KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as reason:
            # RuntimeError: encrypted, or compressed by a method that Python does not know.
            text = str(reason).strip("\"'")
            raise InputError(
                f"{packed}: is damaged or not the official file ({text}); fetch it again"
            ) from None

    return from_zip
