"""Downloads of data sets, only on request: checked, resumed, and complete or absent.

A file grows under the name ``<file>.part``; when it is complete and its checksum is right it is
renamed. After an interruption the same command resumes.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channelsim.sources import celeba, cifar, idx
from channelsim.sources.root import data_root
from channelsim.support.errors import InputError, MachineError, did_you_mean

TIMEOUT_S = 30.0  # project's choice: the longest silence of a server
_CHUNK = 2**18
_WAIT = (http.client.HTTPException, OSError)  # URLError and timeouts are OSErrors


@dataclass(frozen=True)
class Remote:
    """A file to fetch. ``md5``, ``size`` [bytes]: as served. ``urls``: mirrors, asked in order."""

    name: str
    md5: str
    size: int
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Transfer:
    """Progress of a file: bytes present of bytes in all (None if the server does not say)."""

    name: str
    done: int
    total: int | None


Show = Callable[[Transfer], None]


def _idx_files(mirrors: tuple[str, ...], files: dict[str, tuple[str, int]]) -> tuple[Remote, ...]:
    return tuple(
        Remote(name, md5, size, tuple(f"{mirror}{name}" for mirror in mirrors))
        for name, (md5, size) in files.items()
    )


# Mirrors and checksums of MNIST and Fashion-MNIST: torchvision 0.28, datasets/mnist.py (those of
# Fashion-MNIST are also in the README of its authors, github.com/zalandoresearch/fashion-mnist).
# CIFAR-10's checksum: the download table of https://www.cs.toronto.edu/~kriz/cifar.html.
# Sizes: tensorflow/datasets, url_checksums/{mnist,fashion_mnist,cifar10}.txt.
REMOTE: dict[str, tuple[Remote, ...]] = {
    "mnist": _idx_files(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        },
    ),
    "fashion-mnist": _idx_files(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
            "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
            "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
            "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
        },
    ),
    "cifar10": (
        Remote(
            cifar.ARCHIVE,
            "c32a1d4ab5d03f1284b67883e8d87530",
            170_052_171,
            (f"https://www.cs.toronto.edu/~kriz/{cifar.ARCHIVE}",),
        ),
    ),
}
_BY_HAND = {
    "mnist5k": "it is part of the installation; nothing needs to be fetched",
    "celeba": celeba.HOW_TO_GET,
    "cifar10-subset": "it is a file of your own, cifar10_subset.npz in the data root; cifar10 can"
    " be fetched",
}


def folder_of(name: str, root: Path | None = None) -> Path:
    """The folder for a data set's files."""
    base = data_root(root)
    return cifar.folders(base)[0] if name == "cifar10" else idx.folders(name, base)[0]


def download(name: str, root: Path | None = None, show: Show | None = None) -> list[Path]:
    """Download the missing files of a data set under the data root; return all its files."""
    if name not in REMOTE:
        if name in _BY_HAND:
            raise InputError(f"download {name}: {_BY_HAND[name]}")
        known = [*REMOTE, *_BY_HAND]
        raise InputError(
            f"download {name}: there is no such data set (known: {', '.join(known)})."
            f"{did_you_mean(name, known)}"
        )
    folder = folder_of(name, root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot make this folder ({error.strerror})") from None
    return [fetch(remote, folder, show or _nobody) for remote in REMOTE[name]]


def fetch(remote: Remote, folder: Path, show: Show) -> Path:
    """One file: kept if its checksum is right, else from the first mirror that has it."""
    file, part = folder / remote.name, folder / f"{remote.name}.part"
    for one in (file, part):
        if one.is_dir():
            raise InputError(f"{one}: is a folder where the file is to go; move it away")
    if file.is_file():
        if _md5(file) == remote.md5:
            size = file.stat().st_size
            show(Transfer(remote.name, size, size))
            return file
        raise InputError(
            f"{file}: is there but is not the official file (its MD5 is {_md5(file)}, expected"
            f" {remote.md5}); move it away to fetch it"
        )
    reasons = []
    for url in remote.urls:
        resumed = part.is_file()
        try:
            _transfer(url, part, remote, show)
            if _md5(part) != remote.md5 and resumed:
                # The old part may be of another file: start again from the beginning.
                part.unlink()
                _transfer(url, part, remote, show)
        except _WAIT as error:
            reasons.append(f"{url}: {_why(error, folder)}")
            continue
        found = _md5(part)
        if found == remote.md5:
            part.replace(file)
            return file
        part.unlink()
        reasons.append(f"{url}: wrong checksum (MD5 {found}, expected {remote.md5}), thrown away")
    raise MachineError(
        f"{remote.name} could not be fetched: {'; '.join(reasons)}. Try again later, or put the"
        f" file into {folder} yourself"
    )


def _transfer(url: str, part: Path, remote: Remote, show: Show) -> None:
    """Append the missing bytes to ``part``, or begin again where the server cannot resume.

    No more than the official size is written, whatever the server offers.
    """
    name, most = remote.name, remote.size
    there = part.stat().st_size if part.is_file() else 0
    with _answer(url, there) as answer:
        if there and answer.status != http.client.PARTIAL_CONTENT:
            there = 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length and length.isdecimal() else None
        if total is not None and total > most:
            raise OSError(f"offers {total:,} bytes, more than the {most:,} of the official file")
        _check_room(part.parent, (most if total is None else total) - there, name)
        with part.open("ab" if there else "wb") as file:
            done = there
            show(Transfer(name, done, total))
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                if done > most:
                    part.unlink()
                    raise OSError(f"sends more than the {most:,} bytes of the official file")
                file.write(chunk)
                show(Transfer(name, done, total))
    if total is not None and done < total:
        raise OSError(f"the connection broke off after {done:,} of {total:,} bytes")


@contextmanager
def _answer(url: str, there: int) -> Iterator[Any]:
    headers = {"User-Agent": "channelsim"} | ({"Range": f"bytes={there}-"} if there else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not there:
            raise
        error.close()
        # All bytes, or more, are there: begin again.
        with _answer(url, 0) as answer:
            yield answer


def _check_room(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MachineError(
            f"{folder}: {name} needs {needed / 1e6:,.0f} MB more and {free / 1e6:,.0f} MB are free;"
            " make room, or name another folder with --data-root"
        )


def _why(error: BaseException, folder: Path) -> str:
    if isinstance(error, urllib.error.HTTPError):
        code = error.code
        error.close()
        return f"the server answers {code}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT):
        raise MachineError(
            f"{folder}: the disk is full; make room and ask again: it goes on from there"
        ) from None
    if isinstance(reason, OSError) and reason.errno in (errno.EACCES, errno.EROFS):
        raise InputError(f"{folder}: cannot be written to ({reason.strerror})") from None
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"no connection ({text})" if isinstance(error, urllib.error.URLError) else str(text)


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        # The publisher's choice: it guards against damage, not against an adversary.
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _nobody(transfer: Transfer) -> None:
    """Show no progress."""
