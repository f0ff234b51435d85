"""What a codec of the user's own must show before a run: with real images, in a second.

A run stands on these properties: rows are computed in blocks of strangers, recomputed after an
interruption, attacked through their gradients. A codec without them would give numbers that
nobody could repeat, so it is refused, with what was found and the likely fix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from channelsim.codecs.module import Module
from channelsim.errors import InputError
from channelsim.parts import Codec, Metric

ROWS = 8  # images tried: enough to change all neighbours of a row
_TOLERANCE = 1e-6  # relative to the largest value; ours


def wrap(module: nn.Module, name: str, images: Tensor, origin: str) -> Module:
    """Make a codec of a torch module; its latent size is what it answers for real images."""
    for verb in ("encode", "decode"):
        if not callable(getattr(module, verb, None)):
            raise InputError(
                f"{name} has no method {verb}; a codec needs encode(images [N, C, H, W]) and"
                " decode(latent [N, K])"
            )
    module.eval().requires_grad_(False)
    images = _beside(module, images)
    mean = _mean(_asked(name, "encode", module.encode, images[:ROWS]))  # type: ignore[arg-type]
    if not isinstance(mean, Tensor) or mean.dim() != 2 or len(mean) != len(images[:ROWS]):
        raise InputError(
            f"{name}.encode must return latents of shape [N, K], returned {_described(mean)} for"
            f" {len(images[:ROWS])} images; flatten all but the first dimension"
        )
    shape = images.shape[1:]
    return Module(
        module=module,
        image_shape=(shape[0], shape[1], shape[2]),
        latent_size=mean.shape[1],
        origin=origin,
    )


def admit(codec: Codec, name: str, images: Tensor) -> list[str]:
    """Refuse a codec that a run cannot stand on (`InputError`); return what the user should know.

    ``images``: real ones of the source, [≥ 8, C, H, W].
    """
    network = codec.network
    _still(network, name)
    images = _beside(network, images[:ROWS])
    if tuple(codec.image_shape) != tuple(images.shape[1:]):
        return []  # said elsewhere, in one sentence for all codecs
    with torch.no_grad():
        answer = _asked(name, "encode", network.encode, images)  # type: ignore[arg-type]
        mean, std = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        size = (len(images), codec.latent_size)
        for part in (mean, std):
            if part is not None or part is mean:
                _well_formed(name, "encode", part, size)
        _row_by_row(name, "encode", lambda x: _mean(network.encode(x)), images)  # type: ignore[operator]
        if std is not None and bool((std < 0).any()):
            raise InputError(
                f"{name}.encode returned a negative standard deviation; return (mean, standard"
                " deviation), not the log variance"
            )
        # Around what is sent as well: an adversary and noise lead there.
        spread = mean.std() if mean.numel() > 1 else torch.tensor(1.0)
        noise = torch.linspace(-1, 1, mean.numel()).roll(mean.numel() // 3).reshape(mean.shape)
        latents = mean + spread * noise.to(mean.device)
        pictures = _asked(name, "decode", network.decode, mean)  # type: ignore[arg-type]
        _well_formed(name, "decode", pictures, (len(images), *codec.image_shape))
        around = _asked(name, "decode", network.decode, latents)  # type: ignore[arg-type]
        _well_formed(name, "decode", around, (len(images), *codec.image_shape))
        _row_by_row(name, "decode", network.decode, latents)  # type: ignore[arg-type]
    return _range(name, pictures)


def require_gradient(codec: Codec, name: str) -> None:
    """Refuse a decoder without a gradient, which an adversary in the path would follow."""
    latents = torch.linspace(-1, 1, 2 * codec.latent_size).reshape(2, -1)
    leaf = _beside(codec.network, latents).requires_grad_()
    with torch.enable_grad():
        pictures = _asked(name, "decode", codec.network.decode, leaf)  # type: ignore[arg-type]
        if pictures.requires_grad:
            (slope,) = torch.autograd.grad(pictures.square().sum(), leaf, allow_unused=True)
            if slope is not None and bool(torch.isfinite(slope).all()):
                return
            found = "its gradient is NaN or infinite" if slope is not None else "it has none"
        else:
            found = "autograd sees no way from the latent to the image"
    raise InputError(
        f"{name}.decode is not differentiable with respect to the latent ({found}), and an"
        " adversary in the path follows its gradient; remove no_grad, detach or numpy from decode,"
        " or use an adversary that needs no gradient (kind: noise)"
    )


def admit_metric(metric: Metric, name: str, images: Tensor) -> None:
    """Refuse a metric that does not give one number per row, or couples rows."""
    given = images[:ROWS]
    references = given.flip(0) * 0.5
    together = _asked(name, "measure", lambda x: metric(x, references), given)
    _well_formed(name, "measure", together, (len(given),))
    for row in range(len(given)):
        alone = metric(
            given[row : row + 1].expand_as(given), references[row : row + 1].expand_as(given)
        )
        scale = max(1.0, float(together.abs().max()))
        difference = float((alone[0] - together[row]).abs())
        if not difference <= _TOLERANCE * scale:
            raise InputError(
                f"{name}.measure couples rows: row {row} changes by {difference:.2g} with its"
                " neighbours in the batch; return one value per row, from that row alone"
            )


def _still(network: nn.Module, name: str) -> None:
    if any(module.training for module in network.modules()):
        raise InputError(
            f"{name} is in training mode, where batch norm couples rows and dropout is random;"
            " call .eval() before returning the network"
        )
    if any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(
            f"{name} asks for gradients of its parameters, which a run never needs; call"
            " .requires_grad_(False) before returning the network"
        )


def _asked(name: str, verb: str, function: Callable[[Tensor], Any], given: Tensor) -> Any:
    try:
        return function(given)
    except InputError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        shape = list(given.shape)
        raise InputError(
            f"{name}.{verb} raised {type(error).__name__} for float32 input of shape {shape}:"
            f" {text}"
        ) from None


def _beside(network: nn.Module, given: Tensor) -> Tensor:
    """The tensor on the network's device: an earlier run may have moved a module from Python."""
    for tensor in (*network.parameters(), *network.buffers()):
        return given.to(tensor.device)
    return given


def _mean(answer: Any) -> Any:
    return answer[0] if isinstance(answer, tuple) and answer else answer


def _well_formed(name: str, verb: str, given: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(given, Tensor) or tuple(given.shape) != shape:
        raise InputError(
            f"{name}.{verb} must return shape {list(shape)}, returned {_described(given)}"
        )
    if given.dtype != torch.float32:
        fix = "convert with .float()"
        if given.dtype.is_complex:  # of which .float() would drop the imaginary half
            fix = (
                "two real values make one complex symbol: torch.view_as_real(z).flatten(1)"
                if verb == "encode"
                else "an image is real: .abs() or .real, whichever is meant"
            )
        raise InputError(
            f"{name}.{verb} must return float32, returned {str(given.dtype).removeprefix('torch.')}"
            f"; {fix}"
        )
    if not bool(torch.isfinite(given).all()):
        raise InputError(
            f"{name}.{verb} returned NaN or infinity for ordinary input; look for a division by"
            " zero, a logarithm of zero, or weights that training blew up"
        )


def _row_by_row(name: str, verb: str, function: Callable[[Tensor], Any], given: Tensor) -> None:
    """Every row's answer must be its own: repeatable, and the same among any neighbours."""
    together = function(given)
    scale = max(1.0, float(together.abs().max()))
    if not bool(torch.equal(together, function(given))):
        worst = float((together - function(given)).abs().max())
        raise InputError(
            f"{name}.{verb} answers differently when asked twice (by {worst:.2g}); a run must be"
            " repeatable: remove randomness such as functional dropout, return (mean, standard"
            " deviation) instead of a sample"
        )
    for row in range(len(given)):
        alone = given[row : row + 1].expand_as(given).contiguous()
        difference = float((function(alone)[0] - together[row]).abs().max())
        if not difference <= _TOLERANCE * scale:
            raise InputError(
                f"{name}.{verb} couples rows: row {row} changes by {difference:.2g} with its"
                " neighbours in the batch; every row must be computed from itself alone (batch"
                " norm with running statistics, no mean or maximum over dimension 0)"
            )


def _range(name: str, pictures: Tensor) -> list[str]:
    low, high = float(pictures.min()), float(pictures.max())
    if low >= -0.5 and high <= 1.5:
        return []
    return [
        f"{name}.decode returns values from {low:.2g} to {high:.2g}; images are in [0, 1], so PSNR"
        " and SSIM will be far from what you expect (is a sigmoid or a division missing?)"
    ]


def _described(value: Any) -> str:
    return f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
