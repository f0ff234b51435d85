"""What every part of a run computes, in so few numbers that a header holds them.

A name and a file's place do not say what a part computes: a number in a module beside it does, or
weights that its code loads from somewhere. So of every receiver's codec, and of every part of the
user's own, the header keeps the files that it was made from, a hash of all its parameters, and what
it answers for a few images. Whoever goes on with a run, or computes some of it again, compares
these before anything else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from channelsim import arithmetic
from channelsim.errors import InputError
from channelsim.parts import Codec, Detector, Metric, Stage
from channelsim.promises import TOLERANCE
from channelsim.rows import Rows
from channelsim.scenario import Scenario
from channelsim.sources import as_float
from channelsim.threat import Adversary

_IMAGES = 4  # ours: images asked about
_FIGURES = 8  # ours: figures kept of each answer

Answers = Mapping[str, list[list[float]]]


def prints(scenario: Scenario) -> dict[str, Any]:
    """The print of every part by its name, JSON-able.

    A print: ``weights``, a SHA-256 of parameters and buffers (None where there are none);
    ``answers``, by what was asked, `_FIGURES` per row; ``folder`` and ``files``, of the user's own:
    where its class lies, and the files it was made from as seen from there, with their SHA-256.
    """
    printer = _Printer(scenario)
    return by_name((name, arm, printer.of(part)) for name, arm, part in _named(scenario))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the prints of two loadings of a scenario, a phrase each.

    ``before``: as a header says them, which may be damaged.
    """
    try:
        return _changes(before, now)
    except (AttributeError, TypeError) as error:
        raise InputError(f"the ledger is damaged: its parts are none ({error})") from None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name in dict.fromkeys((*before, *now)):
        if name not in before or name not in now:
            found.append(f"{name} ({'new' if name in now else 'gone'})")
            continue
        old, new = before[name], now[name]
        files = list(_changed_files(old.get("files") or {}, new.get("files") or {}))
        found += [f"{name}: {phrase}" for phrase in files]
        if old.get("weights") != new.get("weights"):
            found.append(f"{name}: its parameters or buffers")
        for verb, figures in (old.get("answers") or {}).items():
            far = _apart(figures, (new.get("answers") or {}).get(verb))
            if not far <= TOLERANCE:
                size = f" (by {far:.2g})" if np.isfinite(far) else ""
                found.append(f"{name}: what its {verb} answers{size}")
    return found


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
    """Codecs, and whatever is the user's own, with the arms that use it."""
    for arm in scenario.arms:
        yield f"receiver {arm.receiver_name}", arm.number, arm.receiver.codec
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
        self._images: Tensor | None = None

    def of(self, part: Any) -> dict[str, Any]:
        """What of a part the header keeps."""
        if id(part) not in self._made:
            self._made[id(part)] = self._print(part)
        return self._made[id(part)]

    def _print(self, part: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"weights": _weights(part)}
        # With one thread, as all that is calibrated; what is left is the kernels' own.
        with torch.no_grad(), arithmetic.threads(1), _on_the_cpu(part):
            found["answers"] = {verb: _told(ask) for verb, ask in self._questions(part).items()}
        if id(part) in self._scenario.files:
            folder = self._scenario.origins[id(part)].parent
            files = self._scenario.files[id(part)]
            found["folder"] = str(folder)
            found["files"] = {os.path.relpath(name, folder): sha for name, sha in files.items()}
        return found

    def _questions(self, part: Any) -> dict[str, Callable[[], Tensor]]:
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
                    "score": lambda: part.score(latents[:_IMAGES], part.fit(latents)),
                }
            case Adversary():
                return {}  # what it does follows from the decoder it attacks, which has its own
            case Stage():
                latents = _waves(_IMAGES, self._latent_size)
                return {"cross": lambda: part.cross(latents, _rows(part, latents))}
        return {}

    @property
    def images(self) -> Tensor:
        """Images that parts are asked about, [N, C, H, W]: of the training split."""
        if self._images is None:
            self._images = as_float(self._scenario.source.calibration().images[:_IMAGES])
        return self._images

    @property
    def _latent_size(self) -> int:
        return self._scenario.arms[0].receiver.codec.latent_size


def _weights(part: Any) -> str | None:
    """SHA-256 of every parameter and buffer of a part, those that no file keeps included."""
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


@contextmanager
def _on_the_cpu(part: Any) -> Iterator[None]:
    """Inside, a codec's network is on the CPU: what a device rounds is no change of the part."""
    if not isinstance(part, Codec):
        yield
        return
    held = (tensor.device for tensor in (*part.network.parameters(), *part.network.buffers()))
    device = next(held, torch.device("cpu"))
    if device.type == "cpu":
        yield
        return
    part.network.cpu()
    try:
        yield
    finally:
        part.network.to(device)


def _told(ask: Callable[[], Tensor]) -> list[list[float]]:
    """An answer [N, …] as a few figures per row; of one that fails, nothing.

    Whether a part may fail is not asked here: admission and the run say so.
    """
    try:
        answer = ask()
        rows = answer.detach().cpu().double().reshape(len(answer), -1)
    except Exception:  # the user's code may raise anything
        return []
    # Sums over all of a row with mixed signs: one changed pixel shows in every figure.
    signs = torch.where(_waves(rows.shape[1], _FIGURES) > 0, 1.0, -1.0).double()
    figures = rows @ signs / rows.shape[1] ** 0.5
    return [[round(value, 7) for value in row] for row in figures.tolist()]


def _rows(stage: Stage, signal: Tensor) -> Rows:
    """Rows of nobody's run, with the columns that a stage declares."""
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


def _apart(one: Any, other: Any) -> float:
    """How far two answers are apart: of the larger value, or of 1; infinite where unlike."""
    try:
        a, b = np.array(one, dtype=np.float64), np.array(other, dtype=np.float64)
    except (TypeError, ValueError):
        return np.inf
    if a.shape != b.shape:
        return np.inf
    scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.where(same, 0.0, np.abs(a - b) / scale).max(initial=0.0))


def same_as(header: Mapping[str, Any], scenario: Scenario, place: Path, remedy: str) -> None:
    """Refuse parts that compute something else than those of a run, naming what changed."""
    if changed := changes(header["parts"], prints(scenario)):
        more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
        raise InputError(
            f"{place}: its parts are not those of the run any more; changed since it began:"
            f" {'; '.join(changed[:8])}{more}. {remedy}"
        )
