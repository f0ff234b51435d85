"""Prints of a run's parts: a few numbers that identify what each one computes.

A name and a file's path do not determine what a part computes: that may depend on a module beside
it, or on weights that its code loads. So for every receiver's codec, and for every part of the
user's own, the header keeps the files that it was made from, a hash of all its parameters, and its
answers for a few images. Resuming a run, or computing some of it again, compares these first.

An adversary's answer is its injection, behind the first codec that it meets and the impairments
before it, with admission's draws; one that fits, fits to these few images first. There a rounding
error may turn a sign, so up to half the rows may differ, as in admission.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import asked
from channelsim.contracts.parts import Codec, Detector, Metric, Stage
from channelsim.contracts.promises import TOLERANCE
from channelsim.contracts.rows import Rows
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.stages import Stages
from channelsim.scenario import Scenario
from channelsim.scenario.path_admission import Stand
from channelsim.scenario.trials import on_the_cpu
from channelsim.sources import as_float
from channelsim.support import arithmetic
from channelsim.support.errors import InputError

_IMAGES = 4  # number of images; project's choice
_FIGURES = 8  # figures kept of each answer; project's choice
_MOMENTS = ("latent_mean", "latent_covariance")  # long, and no facts to read
_INJECTS = "perturb"  # the only answer of which some rows may differ, see above
_ARMS = re.compile(r"(.+) \(arms ([0-9, ]+)\)")

Answers = Mapping[str, list[list[float]]]


def prints(scenario: Scenario) -> dict[str, Any]:
    """The print of every part by its name, JSON-able.

    A print: ``weights``, a SHA-256 of parameters and buffers (None where there are none);
    ``answers``, by method, `_FIGURES` per row; ``card``, what a codec of the user's own states, for
    the record (what decides results is in the scenario's hash); ``folder`` and ``files``, of the
    user's own: the folder of its class, and the files it was made from, relative to it, with their
    SHA-256.
    """
    printer = _Printer(scenario)
    return by_name((name, arm, printer.of(part)) for name, arm, part in _named(scenario))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences between the prints of two loadings of a scenario, a phrase each.

    ``before``: from a header, which may be damaged.
    """
    try:
        return _changes(before, now)
    except (AttributeError, TypeError) as error:
        raise InputError(f"the ledger is damaged: its parts are none ({error})") from None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found: dict[str, None] = {}
    old_names, new_names = ({_ARMS.sub(r"\1", name) for name in one} for one in (before, now))
    for name in dict.fromkeys(_ARMS.sub(r"\1", name) for name in (*before, *now)):
        if name not in old_names and _unrecorded(name, _variants(now, name)):
            continue
        if name not in old_names or name not in new_names:
            found[f"{name} ({'new' if name in new_names else 'gone'})"] = None
            continue
        olds, news = _variants(before, name), _variants(now, name)
        for old_arms, old in olds:
            for new_arms, new in news:
                if old_arms and new_arms and not old_arms & new_arms:
                    continue
                shared = old_arms & new_arms or old_arms or new_arms
                where = f" (arms {', '.join(map(str, sorted(shared)))})" if shared else ""
                found |= {f"{name}{where}: {phrase}": None for phrase in _phrases(old, new)}
    return list(found)


def _variants(parts: Mapping[str, Any], name: str) -> list[tuple[set[int], Any]]:
    """The prints of one name, each with its arms; none: of all arms."""
    found: list[tuple[set[int], Any]] = []
    for full, one in parts.items():
        met = _ARMS.fullmatch(full)
        if full == name:
            found.append((set(), one))
        elif met is not None and met[1] == name:
            found.append(({int(arm) for arm in met[2].split(",")}, one))
    return found


def _unrecorded(name: str, prints: Iterable[tuple[set[int], Any]]) -> bool:
    """Whether a part was passed as a Python object, which older headers do not record.

    A different part in a scenario is also detected by its hash.
    """
    return not name.startswith("receiver ") and not any("files" in one for _, one in prints)


def _phrases(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The differences between two prints of one part."""
    yield from _changed_files(old.get("files") or {}, new.get("files") or {})
    if old.get("weights") != new.get("weights"):
        yield "its parameters or buffers"
    for verb, figures in (old.get("answers") or {}).items():
        far = _apart(figures, (new.get("answers") or {}).get(verb), verb == _INJECTS)
        if not far <= TOLERANCE:
            size = f" (by {far:.2g})" if np.isfinite(far) else ""
            yield f"what its {verb} answers{size}"


def by_name(entries: Iterable[tuple[str, int, Any]]) -> dict[str, Any]:
    """One value per name; where a sweep changes it, one per value, its arms in the name.

    ``entries``: name, number of the arm, value.
    """
    found: dict[str, list[tuple[Any, list[int]]]] = {}
    for name, arm, value in entries:
        known = found.setdefault(name, [])
        arms = next((arms for other, arms in known if other == value), None)
        if arms is None:
            known.append((value, [arm]))
        else:
            arms.append(arm)
    return {
        name if len(values) == 1 else f"{name} (arms {', '.join(map(str, arms))})": value
        for name, values in found.items()
        for value, arms in values
    }


def _named(scenario: Scenario) -> Iterator[tuple[str, int, Any]]:
    """Codecs, and all parts of the user's own, with the arms that use them."""
    for arm in scenario.arms:
        yield f"receiver {arm.receiver_name}", arm.number, arm.codec
        detector = arm.receiver.detector
        if detector is not None and id(detector) in scenario.files:
            yield f"detector of {arm.receiver_name}", arm.number, detector
        for stage in arm.path:
            if id(stage) in scenario.files:
                yield f"stage {stage.label}", arm.number, stage
    for metric in scenario.metrics:
        if id(metric) in scenario.files:
            yield f"metric {metric.kind}", 0, metric


class _Printer:
    """Makes the print of each part once."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._made: dict[int, dict[str, Any]] = {}
        # A codec that is told an SNR was made from the files of the same codec untold.
        self._untold = {id(arm.codec): id(arm.receiver.codec) for arm in scenario.arms}
        self._images: Tensor | None = None

    def of(self, part: Any) -> dict[str, Any]:
        """A part's print."""
        if id(part) not in self._made:
            self._made[id(part)] = self._print(part)
        return self._made[id(part)]

    def _print(self, part: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"weights": _weights(part)}
        codec = self._codec_of(part)
        # With one thread, as in calibration, so that only kernels make a difference. And on the
        # CPU: a device's rounding is no change of the part.
        with torch.no_grad(), arithmetic.threads(1), on_the_cpu(codec):
            asking = self._questions(part, codec)
            found["answers"] = {verb: _figures(ask) for verb, ask in asking.items()}
        if isinstance(part, Codec) and part.brought:
            card = {fact: value for fact, value in part.card.items() if fact not in _MOMENTS}
            found |= {"card": card} if len(card) > 1 else {}  # it always tells the origin
        made = self._untold.get(id(part), id(part))
        if made in self._scenario.origins:
            folder = self._scenario.origins[made].parent
            files = self._scenario.files[made]
            found["folder"] = str(folder)
            found["files"] = {os.path.relpath(name, folder): sha for name, sha in files.items()}
        return found

    def _questions(self, part: Any, codec: Codec) -> dict[str, Callable[[], Tensor]]:
        match part:
            case Codec():
                latents = _waves(_IMAGES, part.latent_size)
                return {
                    "encode": lambda: torch.cat(
                        [one for one in part.posterior(self.images) if one is not None], dim=1
                    ),
                    "decode": lambda: part.decode(latents),
                }
            case Metric():
                return {"measure": lambda: part(self.images, 0.5 * self.images.flip(0))}
            case Detector():
                latents = _waves(64, self._latent_size)
                return {
                    "score": lambda: _score(part, latents[:_IMAGES], latents),
                }
            case Adversary():
                if part.budget.off:
                    return {}
                stand = Stand(codec, self._before(part), self.images)
                return {_INJECTS: lambda: stand.injected(part, range(_IMAGES))}
            case Stage():
                latents = _waves(_IMAGES, self._latent_size)
                return {"cross": lambda: _cross(part, latents, _rows(part, latents))}
        return {}

    def _codec_of(self, part: Any) -> Codec:
        """The part itself, or the codec of the first arm with it."""
        if isinstance(part, Codec):
            return part
        met = (arm for arm in self._scenario.arms if any(part is one for one in arm.path))
        return next(met, self._scenario.arms[0]).codec

    def _before(self, part: Stage) -> Stages:
        """The stages before one, in the first arm with it."""
        path = next(arm.path for arm in self._scenario.arms if any(part is s for s in arm.path))
        return path.up_to(next(place for place, stage in enumerate(path) if stage is part))

    @property
    def images(self) -> Tensor:
        """Images that parts are tried on, [N, C, H, W]: of the training split."""
        if self._images is None:
            self._images = as_float(self._scenario.source.calibration().images[:_IMAGES])
        return self._images

    @property
    def _latent_size(self) -> int:
        return self._scenario.arms[0].receiver.codec.latent_size


def _weights(part: Any) -> str | None:
    """SHA-256 of every parameter and buffer of a part, including those that no file holds."""
    modules = [part.network] if isinstance(part, Codec) else _modules(part)
    digest, some = hashlib.sha256(), False
    for module in modules:
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"|{name}|{values.dtype}|{list(values.shape)}|".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
            some = True
    return digest.hexdigest() if some else None


def _modules(part: Any) -> list[nn.Module]:
    held = vars(part).values() if hasattr(part, "__dict__") else ()
    return [value for value in held if isinstance(value, nn.Module)]


def _score(detector: Detector, latents: Tensor, train: Tensor) -> Tensor:
    """Scores; NaN is an answer, too."""
    state = asked("fit", detector, detector.fit, latents=train)
    found: Tensor = asked("score", detector, detector.score, latents=latents, state=state)
    return found


def _cross(stage: Stage, signal: Tensor, rows: Rows) -> Tensor:
    found: Tensor = asked("cross", stage, stage.cross, signal=signal, rows=rows)
    return found


def _figures(ask: Callable[[], Tensor]) -> list[list[float]]:
    """An answer [N, …] as a few figures per row; none if it fails.

    Admission and the run report whether a part fails.
    """
    try:
        answer = ask()
        rows = answer.detach().cpu().double().reshape(len(answer), -1)
    except Exception:  # the user's code may raise anything
        return []
    # Sums over a whole row with mixed signs: one changed pixel changes every figure.
    signs = torch.where(_waves(rows.shape[1], _FIGURES) > 0, 1.0, -1.0).double()
    figures = rows @ signs / rows.shape[1] ** 0.5
    return [[round(value, 7) for value in row] for row in figures.tolist()]


def _rows(stage: Stage, signal: Tensor) -> Rows:
    """Rows of no run, with the columns that a stage declares."""
    numbers = np.arange(len(signal))
    columns = {
        name: torch.full((len(signal),), value) for name, value in stage.column_values().items()
    }
    return Rows(
        name=stage.label,
        seed=0,
        message=numbers,
        attempt=np.zeros_like(numbers),
        columns=columns,
        mean=torch.zeros(signal.shape[1]),
    )


def _waves(rows: int, width: int) -> Tensor:
    """Numbers between −1 and 1 that look random and are the same everywhere, [rows, width]."""
    place = torch.arange(1, rows * width + 1, dtype=torch.int64)
    # Squares: multiples alone would make columns that resemble each other.
    numbers = (place * place % 65537 + place) * 48271 % 65537
    return (numbers.double() / 32768.0 - 1.0).float().reshape(rows, width)


def _changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new and old and new:
            yield f"{name} (SHA-256 {old[:12]}… → {new[:12]}…)"
        elif old != new:
            yield f"{name} ({'is not read any more, or is gone' if old else 'is read now'})"


def _apart(one: Any, other: Any, half: bool = False) -> float:
    """Difference of two answers, relative to the larger value or 1; infinite for other shapes.

    ``half``: the largest difference of the closest half of the rows.
    """
    try:
        a, b = np.array(one, dtype=np.float64), np.array(other, dtype=np.float64)
    except (TypeError, ValueError):
        return np.inf
    if a.shape != b.shape:
        return np.inf
    scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    far = np.where(same, 0.0, np.abs(a - b) / scale)
    if not half or far.ndim < 2 or not len(far):
        return float(far.max(initial=0.0))
    return float(np.sort(far.max(axis=1, initial=0.0))[(len(far) - 1) // 2])


def same_as(header: RunHeader, scenario: Scenario, place: Path, remedy: str) -> None:
    """Refuse parts whose results differ from those of a run, naming what changed."""
    if changed := changes(header.parts, prints(scenario)):
        more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
        raise InputError(
            f"{place}: its parts are not those of the run any more; changed since it began:"
            f" {'; '.join(changed[:8])}{more}. {remedy}"
        )
