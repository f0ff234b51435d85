"""A worker: another process that computes jobs of a run.

It is given the run's paths as they were calibrated, so it reads no data and fits nothing; of files
it reads the user's own code alone, and only if that is what the run began with. Its machine must
compute the same bits, or somebody has agreed that it need not.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from channelsim.contracts.own_code import naming_own_code
from channelsim.contracts.run_header import RunHeader
from channelsim.scenario import Scenario
from channelsim.scenario.user_code import load_module, module_name
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import Paths
from channelsim.simulation import sent_paths
from channelsim.simulation.header import fingerprint, versions
from channelsim.simulation.jobs import Answer, Job, answer
from channelsim.support.allocator import keep_freed_memory
from channelsim.support.device import chosen
from channelsim.support.errors import InputError
from channelsim.support.files import sha256_of

_HARMLESS = ("python", "pydantic")  # versions of what only reads the scenario


@dataclass(frozen=True)
class Brief:
    """What a worker prepares from.

    ``paths``: pickled. ``modules``: files of the user's own classes, with their modules' names;
    ``files``: everything that their parts were made from, by absolute name, with its SHA-256;
    ``sources``: the content of those that are code, for a machine that has not got them.
    ``fingerprint``, ``versions``: of the run's header. ``device``: what computes. ``threads``: of
    every worker. ``mixed``: whether machines of another kind, or with other versions, may compute
    too. ``key``: equal for equal runs.
    """

    paths: bytes
    modules: tuple[tuple[Path, str], ...]
    files: Mapping[str, str]
    sources: Mapping[str, bytes]
    fingerprint: Mapping[str, Any]
    versions: Mapping[str, Any]
    block_rows: int
    device: str
    threads: int
    mixed: bool
    key: str

    @classmethod
    def of(cls, scenario: Scenario, header: RunHeader, paths: Paths, mixed: bool = False) -> Brief:
        """The brief of a run that begins now."""
        threads = header.fingerprint.get("threads")
        packed = sent_paths.pickled(paths.paths)
        files = {name: sha for read in scenario.files.values() for name, sha in read.items()}
        return cls(
            paths=packed,
            modules=tuple((one, module_name(one)) for one in sorted({*scenario.origins.values()})),
            files=files,
            sources={name: Path(name).read_bytes() for name in files if name.endswith(".py")},
            fingerprint=header.fingerprint,
            versions=header.versions,
            block_rows=header.block_rows,
            device=header.computed_on,
            threads=threads or 1,
            mixed=mixed,
            key=hashlib.sha256(packed + repr(sorted(files.items())).encode()).hexdigest(),
        )


_ONE_AT_A_TIME = threading.Lock()  # a worker of a cluster may have several threads
_SERVED: list[str] = []  # the key of the brief that it is prepared for
_PATHS: list[Sequence[SignalPath]] = []  # of the run that this process works for


def begin() -> None:
    """The first call in a worker: load what takes long, and end when the parent does."""
    keep_freed_memory()
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def prepare(brief: Brief) -> None:
    """Prepare for a run's jobs; raises `InputError` where rows would not be comparable."""
    import torch

    torch.set_num_threads(brief.threads)
    if not brief.mixed and (other := _differences(brief)):
        raise InputError(
            f"a worker is another kind of machine, or has other versions ({', '.join(other)}), and"
            " rows of two kinds would not be comparable bit for bit; use workers like this one, or"
            " accept it with --mixed"
        )
    there = {name: sha256_of(Path(name)) for name in brief.files}
    for name, sha256 in brief.files.items():
        # What is not code was read when the parts were made.
        if there[name] not in (sha256, None):
            raise InputError(
                f"{name} is not the file any more that this run began with; put it back"
            )
    places: dict[Path, Path] = {}
    for file, module in brief.modules:
        copy = file if there[str(file)] else _unpacked(file, brief.sources)
        places[file.parent] = copy.parent
        load_module(copy, module)
    try:
        _PATHS[:] = [sent_paths.loaded(brief.paths, places)]
    except (AttributeError, ImportError) as error:
        raise InputError(
            f"a part of this run cannot be made in another process ({error}); write its class into"
            " a file and name it with use:, or run without --workers"
        ) from None


def compute(job: bytes) -> bytes:
    """The pickled answer to a pickled job."""
    with naming_own_code():
        return pickle.dumps(answer(pickle.loads(job), _PATHS[0]), pickle.HIGHEST_PROTOCOL)


def compute_for(brief: Brief, job: bytes) -> bytes:
    """`compute`, for workers that serve several runs, one after the other."""
    import torch

    with _ONE_AT_A_TIME:
        if [brief.key] != _SERVED:
            _SERVED.clear()
            keep_freed_memory()
            prepare(brief)
            _SERVED.append(brief.key)
        torch.set_num_threads(brief.threads)  # threads may have numbers of their own
        return compute(job)


def name_of(job: Job[Any]) -> str:
    """A job in the words of its rows."""
    rows = job.rows
    first, last = (f"message {rows.message[at]} of arm {rows.arm[at]}" for at in (0, -1))
    return f"{len(rows)} attempts, from {first} to {last}"


def packed(job: Job[Any]) -> bytes:
    """A job for `compute`."""
    return pickle.dumps(job, pickle.HIGHEST_PROTOCOL)


def unpacked(answered: bytes) -> Answer[Any]:
    """Its answer."""
    found: Answer[Any] = pickle.loads(answered)
    return found


def _unpacked(file: Path, sources: Mapping[str, bytes]) -> Path:
    """A file of code that this machine has not got, and those around it, in a new folder."""
    folder = Path(tempfile.mkdtemp(prefix="channelsim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in sources.items():
        if Path(name).is_relative_to(file.parent):
            copy = folder / Path(name).relative_to(file.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    return folder / file.name


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _differences(brief: Brief) -> list[str]:
    threads_matter = brief.fingerprint.get("threads") is not None
    there = {**brief.fingerprint, **brief.versions}
    device = chosen(brief.device)
    own = fingerprint(
        brief.block_rows,
        device,
        threads_matter=threads_matter,
        onnx="onnxruntime" in brief.fingerprint,
    )
    here = {**own, **versions()}
    return [
        f"{name}: {here.get(name)}, not {value}"
        for name, value in there.items()
        if name not in _HARMLESS and here.get(name) != value
    ]
