"""`transmit` and `attack`: the path of a run, for images that are in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from channelsim.codecs import Trained, Zoo, state_dict, zoo_names
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.own_code import naming_own_code
from channelsim.contracts.parts import Codec, Detector, Metric, Stage
from channelsim.contracts.records import Batch, Ints
from channelsim.scenario import Arm, Scenario, admission
from channelsim.scenario.assembly import Workshop
from channelsim.signal_path import SignalPath
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.adversary_state import UNTOUCHED, Interference
from channelsim.sources import Tensors, as_float, checked
from channelsim.support.errors import InputError, did_you_mean

_LEAST, _MOST = 2, 256  # rows of a block; bits are equal in all of these, see `self_test`
_NUMBERS = 2**22  # of the images, or codewords, that are computed at once; project's choice
_RECEIVER = "receiver"


@dataclass(frozen=True)
class Transmission:
    """What became of images [N, C, H, W] on their way; everything by row, in their order.

    ``source``, ``clean`` g(z), ``passive`` (without the adversary), ``received``, and with a
    control ``control``, received with matched noise in the adversary's place: images [N, C, H, W]
    as the user sees them. ``latent`` [N, K]: z as encoded, and ``received_latent`` as it reaches
    the decoder. ``perturbation`` and ``noise`` [N, K]: what adversaries injected where they stand,
    on the wire (in pixels, [N, C·H·W], before the encoder), and the matched noise. ``power``: P per
    real value on the wire. ``verdict`` [N]: words, as in a ledger. ``accepted`` [N], and the
    detector's ``score``, NaN without one. ``columns``: everything that a ledger would record of
    these rows, by name: ``psr_db``, ``mse_source``, ``control_mse_source``, …
    """

    source: Tensor
    clean: Tensor
    passive: Tensor
    received: Tensor
    control: Tensor | None
    latent: Tensor
    received_latent: Tensor
    perturbation: Tensor
    noise: Tensor | None
    power: float
    verdict: np.ndarray
    accepted: Tensor
    score: Tensor
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.source)

    def metric(self, name: str, of: str = "received", against: str = "source") -> Tensor:
        """Values [N] of a metric that was measured.

        ``of``: received, control or passive; ``against``: source, clean, passive or target.
        """
        prefix = {"received": "", "control": "control_", "passive": "passive_"}
        column = f"{prefix.get(of, of)}{name}_{against}"
        if column not in self.columns:
            known = sorted(one for one in self.columns if f"{name}_" in one) or sorted(self.columns)
            raise InputError(f"{column} was not measured (there are {', '.join(known)})")
        return torch.from_numpy(self.columns[column].astype(np.float64))


def codec(
    of: str | Path | nn.Module | Codec,
    images: Tensor | None = None,
    *,
    weights: str | Path | None = None,
) -> Codec:
    """A codec: a name of the zoo, a weights file that ``train`` wrote, or a torch module.

    A module has ``encode(images [N, C, H, W])`` → latent [N, K], or (mean, standard deviation), and
    ``decode(latent)`` → images; ``images``: some that it takes, from which its sizes are read.
    ``weights``: the file of its state dict (.pt or .safetensors), loaded into it.
    """
    if weights is not None and not isinstance(of, nn.Module):
        raise InputError("weights: are for a torch module; a name or a file is a whole codec")
    if isinstance(of, Codec):
        return of
    if isinstance(of, nn.Module):
        if images is None:
            raise InputError(
                "a module needs some images beside it: channelsim.codec(module, images)"
            )
        name, facts = type(of).__name__, {}
        with naming_own_code():
            if weights is not None:
                state = state_dict.read(Path(weights))
                state.load_into(of, name)
                facts = dict(state.card)
            return admission.wrap(of, name, as_float(checked(images)), "python", facts)
    if not isinstance(of, str | Path):
        raise InputError(
            f"a codec is a name, a weights file, a torch module or a channelsim.Codec, not {of!r}"
        )
    if isinstance(of, Path) or of.endswith(".safetensors") or "/" in of:
        found: Codec = Trained(weights=Path(of))
    elif of in zoo_names():
        found = Zoo(name=of)
    else:
        known = zoo_names()
        raise InputError(
            f"unknown codec {of!r} (of the zoo: {', '.join(known)}; or a weights file)."
            f"{did_you_mean(of, known)}"
        )
    _ = found.network  # a missing or damaged file is told here
    return found


def images(
    name: str = "mnist5k",
    count: int | None = None,
    *,
    split: str = "test",
    data_root: Path | str | None = None,
) -> Tensor:
    """The first images of a data set, float32 in [0, 1], [count, C, H, W].

    ``name``, ``split``: as for ``source: {kind: dataset}`` of a scenario; mnist5k needs no file.
    """
    keys = {"name": name, "split": split, **({} if count is None else {"count": count})}
    return _sent_by({"kind": "dataset", **keys}, None if data_root is None else Path(data_root))


def _sent_by(source: dict[str, Any], data_root: Path | None) -> Tensor:
    with naming_own_code():
        built = Workshop(None, data_root).build("source", source)
    if built.part is None:
        raise InputError("; ".join(one.text for one in built.faults))
    found: Tensor = as_float(built.part.sent().images)
    return found


def signals(path: Path | str, count: int | None = None, **keys: Any) -> Tensor:
    """The first segments of a record, float32 in its unit, [count, C, L].

    ``keys``: those of ``source: {kind: signals}`` of a scenario: ``samples``, ``rate_hz``, ``hop``,
    ``scale``, ``offset``, ``split``, …
    """
    given = {"kind": "signals", "path": str(path), **keys}
    return _sent_by(given | ({} if count is None else {"count": count}), None)


def attack(
    codec: Codec | nn.Module | str | Path,
    images: Tensor,
    adversary: Adversary,
    *,
    path: Sequence[Stage] | Stage = (),
    metrics: Sequence[Metric | str] = ("mse",),
    seed: int = 0,
    **more: Any,
) -> Transmission:
    """Attack images on their way to a receiver: `transmit` with an adversary at the path's begin.

    ``adversary``: `PGD`, `Noise`, …, or one of your own. ``path``: the stages behind it.
    """
    if not isinstance(adversary, Adversary):
        raise InputError(
            f"{type(adversary).__name__} is no adversary; give a channelsim.Adversary such as PGD"
        )
    behind = [path] if isinstance(path, Stage) else path
    return transmit(codec, images, path=(adversary, *behind), metrics=metrics, seed=seed, **more)


def transmit(
    codec: Codec | nn.Module | str | Path,
    images: Tensor,
    *,
    path: Sequence[Stage] | Stage = (),
    detector: Detector | None = None,
    metrics: Sequence[Metric | str] = ("mse",),
    seed: int = 0,
    control: bool = True,
    training: Tensor | None = None,
    transmit: str | None = None,
    symbol_rate_hz: float = 1e6,
    assumed_snr_db: float | None = None,
) -> Transmission:
    """Send images [N, C, H, W], bytes or float32 in [0, 1], or signals [N, C, L], over a path.

    Row i is message i of a run with the same ``seed``: its draws, and the bits of its results, are
    those of a run over the same images. ``detector``: the receiver's. ``control``: whether matched
    noise is sent beside an adversary's perturbation. ``training``: images for everything that is
    fitted (a detector, a universal perturbation, the power of a codec that states none), default
    the images themselves. ``transmit``: ``mean`` or ``sample``, as in a scenario. Codewords follow
    each other without a gap, at ``symbol_rate_hz`` complex symbols a second, which matters to
    channels that change over time. ``assumed_snr_db``: told to a codec that takes side information,
    in place of the path's nominal SNR.
    """
    sent = checked(images)
    made = _made(codec, sent)
    if len(made.image_shape) != sent.dim() - 1:
        form = "[N, C, H, W]" if len(made.image_shape) == 3 else "[N, C, L]"
        wanted = ", ".join(["N", *map(str, made.image_shape)])
        raise InputError(
            f"images must be a tensor of shape {form}, for this codec [{wanted}], was given"
            f" {list(sent.shape)}"
        )
    receiver: dict[str, Any] = {"codec": made}
    if detector is not None:
        receiver["detector"] = detector
    if assumed_snr_db is not None:
        receiver["assumed_snr_db"] = assumed_snr_db
    described: dict[str, Any] = {
        "title": "tensors",
        "seed": seed,
        "source": Tensors(images=sent, training=training),
        "link": {"symbol_rate_hz": symbol_rate_hz},
        "path": [path] if isinstance(path, Stage) else list(path),
        "receivers": {_RECEIVER: receiver},
        "metrics": list(metrics),
        "control": control,
        "block_rows": _rows(len(sent)),
    }
    if transmit is not None:
        described["transmit"] = transmit
    scenario = Scenario.load(described)
    with naming_own_code():
        signal_path = calibrate(scenario).paths[0]
        return _sent(signal_path, scenario.arms[0])


def _made(of: Codec | nn.Module | str | Path, images: Tensor) -> Codec:
    return codec(of, images)  # of the name that is an argument above


def _rows(images: int) -> int:
    rows = _LEAST
    while rows < min(images, _MOST):
        rows *= 2
    return rows


def _sent(path: SignalPath, arm: Arm) -> Transmission:
    numbers: Ints = np.arange(path.count, dtype=np.int64)
    batch = _crossing(path, arm, numbers)
    most = max(_MOST, _NUMBERS // path.largest // _MOST * _MOST)
    pieces = [_piece(path, batch[start : start + most]) for start in range(0, len(batch), most)]
    return pieces[0] if len(pieces) == 1 else _joined(pieces)


def _crossing(path: SignalPath, arm: Arm, numbers: Ints) -> Batch:
    """Codewords that follow each other, under adversaries that remember, spend or hold them up."""
    link, size = arm.link, arm.receiver.codec.latent_size
    airtime_s = link.airtime_s(size)
    began_s = (numbers * airtime_s).astype(np.float64)
    batch = Batch.planned(numbers, began_s)
    state = Interference(arm, path.setting)
    met = [UNTOUCHED] * len(numbers)
    if state.acts:
        met = [state.crossing(one, at) for one, at in enumerate(began_s.tolist())]
    return replace(
        batch,
        arrived_s=batch.began_s + airtime_s + np.array([one.delay_s for one in met]),
        allowance=np.array([one.allowance for one in met]),
        replayed=np.array([one.replayed for one in met], dtype=np.int64),
    )


def _piece(path: SignalPath, batch: Batch) -> Transmission:
    arrival = path.judge(batch)
    outcome, images, latents = path.show(arrival)
    controlled = path.control and path.setting.active
    shown = None
    if controlled:
        accepted = arrival.judged.accepted["control"]
        found = path.decode(arrival.judged.latents["control"])
        rows = accepted.view(-1, *[1] * (found.dim() - 1))
        shown = torch.where(rows, found, path.defence.fallback).cpu()
    return Transmission(
        source=images["source"].cpu(),
        clean=images["clean"].cpu(),
        passive=images["passive"].cpu(),
        received=images["received"].cpu(),
        control=shown,
        latent=arrival.codeword.cpu(),
        received_latent=latents["received"].cpu(),
        perturbation=latents["injected"].cpu(),
        noise=latents["noise"].cpu() if controlled else None,
        power=path.setting.power,
        verdict=outcome.columns["verdict"],
        accepted=torch.from_numpy(outcome.accepted),
        score=torch.from_numpy(outcome.columns["score"].astype(np.float64)),
        columns=outcome.columns,
    )


def _joined(pieces: Sequence[Transmission]) -> Transmission:
    """The rows of all pieces, in order."""
    found: dict[str, Any] = {}
    for field in fields(Transmission):
        values = [getattr(one, field.name) for one in pieces]
        if isinstance(values[0], Tensor):
            found[field.name] = torch.cat(values)
        elif isinstance(values[0], np.ndarray):
            found[field.name] = np.concatenate(values)
        elif isinstance(values[0], Mapping):
            names = values[0].keys()
            found[field.name] = {k: np.concatenate([one[k] for one in values]) for k in names}
        else:
            found[field.name] = values[0]
    return Transmission(**found)
