"""A worker: another process that computes jobs of a run.

It is given the run's paths as they were calibrated, so it reads no data and fits nothing; of files
it reads the user's own code alone, and only if that is what the run began with. Its machine must
compute the same bits, or somebody has agreed that it need not.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from channelsim.contracts.own_code import naming_own_code
from channelsim.contracts.run_header import RunHeader
from channelsim.scenario import Scenario
from channelsim.scenario.user_code import load_module
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import Paths
from channelsim.simulation.header import fingerprint, versions
from channelsim.simulation.jobs import Answer, Job, answer
from channelsim.support.allocator import keep_freed_memory
from channelsim.support.errors import InputError, MachineError
from channelsim.support.files import sha256_of

_HARMLESS = ("python", "pydantic")  # versions of what only reads the scenario


@dataclass(frozen=True)
class Brief:
    """What a worker prepares from.

    ``paths``: pickled. ``modules``: files of the user's own classes; ``files``: everything that
    their parts were made from, by absolute name, with its SHA-256. ``fingerprint``, ``versions``:
    of the run's header. ``threads``: of every worker. ``mixed``: whether machines of another kind,
    or with other versions, may compute too.
    """

    paths: bytes
    modules: tuple[Path, ...]
    files: Mapping[str, str]
    fingerprint: Mapping[str, Any]
    versions: Mapping[str, Any]
    block_rows: int
    threads: int
    mixed: bool

    @classmethod
    def of(cls, scenario: Scenario, header: RunHeader, paths: Paths, mixed: bool = False) -> Brief:
        """The brief of a run that begins now."""
        threads = header.fingerprint.get("threads")
        return cls(
            paths=_pickled(paths.paths),
            modules=tuple(sorted(set(scenario.origins.values()))),
            files={name: sha for files in scenario.files.values() for name, sha in files.items()},
            fingerprint=header.fingerprint,
            versions=header.versions,
            block_rows=header.block_rows,
            threads=threads or 1,
            mixed=mixed,
        )


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
    for name, sha256 in brief.files.items():
        if sha256_of(Path(name)) != sha256:
            raise InputError(
                f"{name} is not the file any more that this run began with; put it back"
            )
    for file in brief.modules:
        load_module(file)
    try:
        _PATHS[:] = [pickle.loads(brief.paths)]
    except (AttributeError, ImportError) as error:
        raise InputError(
            f"a part of this run cannot be made in another process ({error}); write its class into"
            " a file and name it with use:, or run without --workers"
        ) from None


def compute(job: bytes) -> bytes:
    """The pickled answer to a pickled job."""
    with naming_own_code():
        return pickle.dumps(answer(pickle.loads(job), _PATHS[0]), pickle.HIGHEST_PROTOCOL)


def packed(job: Job[Any]) -> bytes:
    """A job for `compute`."""
    return pickle.dumps(job, pickle.HIGHEST_PROTOCOL)


def unpacked(answered: bytes) -> Answer[Any]:
    """Its answer."""
    found: Answer[Any] = pickle.loads(answered)
    return found


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _differences(brief: Brief) -> list[str]:
    threads_matter = brief.fingerprint.get("threads") is not None
    there = {**brief.fingerprint, **brief.versions}
    here = {**fingerprint(brief.block_rows, threads_matter=threads_matter), **versions()}
    return [
        f"{name}: {here.get(name)}, not {value}"
        for name, value in there.items()
        if name not in _HARMLESS and here.get(name) != value
    ]


def _pickled(paths: Sequence[SignalPath]) -> bytes:
    try:
        return pickle.dumps(tuple(paths), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise _unsendable(paths, error) from error


def _unsendable(paths: Sequence[SignalPath], error: Exception) -> Exception:
    """The error, with the name of the part that cannot be sent."""
    for path in paths:
        named = {
            f"receiver {' and '.join(path.receivers)}: its codec": path.transmitter.codec,
            f"receiver {' and '.join(path.receivers)}: its detector": path.defence,
            **{f"path stage {one.label}": one for one in path.setting.stages},
            **{f"metric {one.kind}": one for one in path.metrics},
        }
        for name, part in named.items():
            try:
                pickle.dumps(part)
            except Exception as fault:
                return InputError(
                    f"{name} cannot be sent to another process ({fault}); functions without a name,"
                    " open files and locks cannot: keep it free of them, or run without --workers"
                )
    return MachineError(f"the run's parts cannot be sent to another process ({error})")
