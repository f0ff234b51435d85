"""Admission: tests that a part of the user's own must pass before a run, on real images.

A run depends on these properties: rows are computed in blocks of unrelated rows, recomputed after
an interruption, attacked through their gradients. A part without them would give unrepeatable
numbers, so it is refused, with the finding and the likely fix. A part that writes into its
arguments changes no results, since they are copies, and its author gets a notice. Parts of this
package need no admission. A test takes about a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from channelsim.codecs.latent_form import LatentForm
from channelsim.codecs.module import Module, in_form, sides_taken
from channelsim.contracts import answers, own_code
from channelsim.contracts.own_code import OwnCodeError, asked, described
from channelsim.contracts.parts import Codec, Metric
from channelsim.contracts.scales import declared
from channelsim.contracts.side import Side
from channelsim.scenario.catalog import gradient_free
from channelsim.scenario.trials import ROWS, Again, Answer, Method, TrialImages
from channelsim.support import units
from channelsim.support.errors import InputError
from channelsim.support.validation import faults_of

_OWN_ROW = (
    "every row must be computed from itself alone (batch norm with running statistics, no mean or"
    " maximum over dimension 0)"
)
_FAR_DB = 3.0  # a power of a few images may differ so much from the mean; project's choice
_TRIED_DB = (10.0, 0.0, 20.0, 5.0, 15.0)  # SNRs told to the rows of a trial; project's choice
_BLACK, _WHITE = ROWS, ROWS + 1  # their places among the images tried


def wrap(
    module: nn.Module,
    name: str,
    images: Tensor,
    origin: str,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Module:
    """Make a codec of a torch module; its latent size is read from its output for real images.

    ``facts``: of a card beside its weights.
    """
    if not callable(getattr(module, "decode", None)):
        raise InputError(
            f"{name} has no method decode; a codec needs encode(images [N, C, H, W]) and"
            " decode(latent [N, K])"
        )
    module.eval().requires_grad_(False)
    try:
        _ = sides_taken(module)
    except InputError as error:
        raise InputError(f"{name}.{error.message}") from None
    images = _beside(module, images)
    if callable(getattr(module, "encode", None)):
        form = _encoded_form(module, name, images[:ROWS])
    else:
        form = _declared_form(module, name)
    shape = images.shape[1:]
    try:
        return Module(
            module=module,
            image_shape=tuple(shape),  # type: ignore[arg-type]  # checked there
            latent_size=form.size,
            form=None if form == LatentForm((form.size,)) else form,
            origin=origin,
            facts=facts,
        )
    except ValidationError as error:  # of what the module states of itself
        raise InputError("; ".join(one.text for one in faults_of(error, Module))) from error


def _encoded_form(module: nn.Module, name: str, images: Tensor) -> LatentForm:
    """The form of the latents of some images."""
    mean = _mean(_asked(module, name, "encode", images))
    if not isinstance(mean, Tensor) or mean.dim() < 2 or len(mean) != len(images):
        raise InputError(
            f"{name}.encode must return latents of shape [N, K], or [N, …], returned"
            f" {described(mean)} for {len(images)} images; keep the first dimension"
        )
    return LatentForm.of(mean)


def _declared_form(module: nn.Module, name: str) -> LatentForm:
    """The form of the latents of a decoder alone, from its attribute ``latent_size``."""
    size = getattr(module, "latent_size", None)
    shape = size if isinstance(size, tuple | list) else (size,)
    if not shape or not all(type(one) is int and one >= 1 for one in shape):
        said = "has none" if size is None else f"says latent_size = {size!r}"
        raise InputError(
            f"{name} has no method encode; a decoder alone states the size of its latents, a whole"
            f" number or a shape (latent_size = 64), and this one {said}"
        )
    return LatentForm(tuple(shape))


def admit(codec: Codec, name: str, given: TrialImages, again: Again | None = None) -> list[str]:
    """Refuse a codec that a run cannot rely on (`InputError`); return notices to the user.

    ``again``: constructs its network a second time.
    """
    network = codec.network
    _still(network, name)
    if not isinstance(codec, Module) and any(sides_taken(network)):
        raise InputError(
            f"{name} derives from channelsim.Codec, which is told nothing of the channel, and its"
            " network takes side; give the torch module itself as the codec"
        )
    images = _beside(network, given.images)
    if tuple(codec.image_shape) != tuple(images.shape[1:]):
        return []  # reported elsewhere, in one sentence for all codecs
    pictures_like = tuple(codec.image_shape)
    form = _form(codec)

    def encoding(network: nn.Module) -> Answer:
        def answer(places: Sequence[int]) -> Tensor:
            if not codec.encodes:
                return codec.encode(images[list(places)])
            found = _asked(network, name, "encode", images[list(places)], places)
            found = found if form is None else in_form(form, found, name)
            parts = found if isinstance(found, tuple) and len(found) == 2 else (found,)
            for part in parts:
                _well_formed(f"{name}.encode", part, (len(places), codec.latent_size))
            return torch.cat(parts, dim=1)

        return answer

    def decoding(network: nn.Module, latents: Tensor) -> Answer:
        def answer(places: Sequence[int]) -> Tensor:
            given = latents[list(places)]
            given = given if form is None else form.restored(given)
            answer = _asked(network, name, "decode", given, places)
            found, ok = answers.flagged(answer, len(places), f"{name}.decode")
            _well_formed(f"{name}.decode", found, (len(places), *pictures_like))
            if ok is None:
                return found
            # Beside the pixels, so that a row's flag is tested as they are.
            each = ok.to(found).view(-1, *[1] * (found.dim() - 1))
            return torch.cat([found, each.expand(*found.shape[:-1], 1)], dim=-1)

        return answer

    with torch.no_grad(), given.tried() as writes:
        _ = encoding(network)(range(ROWS))  # the usual faults, with the usual messages
        method = Method(
            label=f"{name}.encode",
            count=len(images),
            answer=encoding(network),
            random="remove randomness such as functional dropout, return (mean, standard deviation)"
            " instead of a sample",
            coupled=_OWN_ROW,
            floor=1e-30,  # a latent may have any scale
        )
        answered = method.check()
        mean, std = answered[:, : codec.latent_size], answered[:, codec.latent_size :]
        if bool((std < 0).any()):
            raise InputError(
                f"{name}.encode returned a negative standard deviation; return (mean, standard"
                " deviation), not the log variance, or send the mean alone (latent_field = 0 in the"
                " class)"
            )
        # Around the codewords as well: an adversary and noise lead there.
        spread = mean.std() if mean.numel() > 1 else torch.tensor(1.0)
        noise = torch.linspace(-1, 1, mean.numel()).roll(mean.numel() // 3).reshape(mean.shape)
        latents = mean + spread * noise.to(mean.device)
        pictures = decoding(network, mean)(range(ROWS))
        back = replace(method, label=f"{name}.decode", answer=decoding(network, latents), floor=1.0)
        decoded = back.check()
        decoding(network, mean)(range(len(mean)))
        if again is not None:
            other = again()
            other = other.network if isinstance(other, Codec) else other
            other.eval().requires_grad_(False).to(images.device)
            method.agree(encoding(other), answered)
            back.agree(decoding(other, latents), decoded)
    found = _range(name, pictures) + _power(codec, name, mean[:ROWS])
    return [*found, *writes.of(network)]


def _form(codec: Codec) -> LatentForm | None:
    return codec.form if isinstance(codec, Module) else None


def _power(codec: Codec, name: str, latents: Tensor) -> list[str]:
    """A notice where a codec states a power far from that of some ordinary images."""
    stated = codec.card.get("transmit_power")
    found = float(latents.double().square().mean())
    if stated is None or not found > 0 or not codec.encodes:  # draws have the power they have
        return []
    off_db = abs(units.db(found / stated))
    if off_db <= _FAR_DB:
        return []
    return [
        f"{name} states transmit_power {stated:.3g}, but that of the {len(latents)} images tried is"
        f" {found:.3g}: every SNR and PSR would be {off_db:.1f} dB off if that is usual. State the"
        " mean of ‖z‖²/K over your images, or leave it out to have it measured"
    ]


def require_gradient(codec: Codec, name: str, who: str, images: Tensor | None = None) -> list[str]:
    """Refuse a codec without a gradient, which an adversary would follow.

    ``who``: the adversary, in words. ``images``: where it stands before the encoder, some to try
    that with. Returns notices to the user beyond those of `admit`: none.
    """
    ways: dict[str, Tensor] = {
        "decode": torch.linspace(-1, 1, 2 * codec.latent_size).reshape(2, -1)
    }
    if images is not None:
        ways["encode"] = images[:2]
    for verb, given in ways.items():
        found = _no_gradient(codec, name, verb, given)
        if getattr(codec.network, "differentiable", True) is False:
            found = "it says so: differentiable = False"
        if found:
            loss = "; its attack_loss serves goal: damage alone" if codec.has_attack_loss else ""
            raise InputError(
                f"{name}.{verb} is not differentiable ({found}), and {who} follows its gradient;"
                f" remove no_grad, detach or numpy from {verb}, or use an adversary that needs no"
                f" gradient (kind: {', '.join(gradient_free())}){loss}"
            )
    return []


def admit_attack_loss(
    codec: Codec, name: str, who: str, images: TrialImages, *, before: bool
) -> list[str]:
    """Refuse a codec's own loss for attacks that a run cannot rely on, or without a gradient.

    ``who``: an adversary that raises it. ``before``: whether that stands before the encoder, whose
    gradient it then follows as well. Returns notices to the user.
    """
    label = f"{name}.attack_loss"
    with torch.no_grad():
        sent = codec.encode(_beside(codec.network, images.images))
        near = sent + 0.3 * sent.std() * torch.linspace(-1, 1, sent.numel()).view_as(sent).flip(0)

        def answer(places: Sequence[int]) -> Tensor:
            chosen = list(places)
            found = codec.attack_loss(near[chosen], sent[chosen])
            _well_formed(label, found, (len(chosen),))
            return found

        with images.tried() as writes:
            Method(label=label, count=len(images), answer=answer, coupled=_OWN_ROW).check()
    found = _no_gradient(codec, name, "attack_loss", near[:2], sent=sent[:2])
    if not found and before:
        found = _no_gradient(codec, name, "encode", images.images[:2])
        label = f"{name}.encode"
    if found:
        raise InputError(
            f"{label} is not differentiable ({found}), and {who} follows its gradient; remove"
            " no_grad, detach, rounding or numpy on the way from the received latent to it"
        )
    return [
        *writes.of(codec.network),
        f"{who} raises {name}.attack_loss, and not its goal's own loss",
    ]


def _no_gradient(codec: Codec, name: str, verb: str, given: Tensor, **more: Tensor) -> str:
    """The reason why a method has no gradient; empty if it has one. ``more``: arguments behind."""
    leaf = _beside(codec.network, given).clone().requires_grad_()
    form = _form(codec)
    with torch.enable_grad():
        if more:
            answer = codec.attack_loss(leaf, **more)
        else:
            entering = leaf if form is None or verb == "encode" else form.restored(leaf)
            answer = _mean(_asked(codec.network, name, verb, entering))
        if not isinstance(answer, Tensor) or not answer.requires_grad:
            return "autograd sees no way through it"
        try:
            size = answer.abs().square().sum()
            (slope,) = torch.autograd.grad(size, leaf, allow_unused=True)
        except RuntimeError as error:
            return own_code.raised(error)
    if slope is None:
        return "it has none"
    return "" if bool(torch.isfinite(slope).all()) else "its gradient is NaN or infinite"


def admit_metric(
    metric: Metric, name: str, given: TrialImages, again: Again | None = None
) -> list[str]:
    """Refuse a metric that does not give one number per row, couples rows, or declares wrongly.

    Returns notices to the user.
    """
    scale = declared(metric.kind, metric, name)
    images = given.images
    references = images.roll(1, 0) * 0.5
    references[1:3] = torch.stack([torch.zeros_like(images[0]), torch.ones_like(images[0])])
    references[_WHITE] = images[0]
    references[_BLACK], references[_WHITE + 1 :] = images[_BLACK], images[_WHITE + 1 :]

    def measuring(metric: Metric) -> Answer:
        def answer(places: Sequence[int]) -> Tensor:
            pair = images[list(places)], references[list(places)]
            found = asked(
                f"{name}.measure", metric, metric.measure, images=pair[0], references=pair[1]
            )
            _shaped(f"{name}.measure", found, (len(places),))
            return found

        return answer

    method = Method(
        label=f"{name}.measure",
        count=len(images),
        answer=measuring(metric),
        coupled="return one value per row, from that row alone",
    )
    with given.tried() as writes:
        values = measuring(metric)(range(len(images)))
        own_code.require_numbers(f"{name}.measure", values)
        # An infinite PSR or PSNR has a finite mean only where it is averaged on another scale.
        own_code.require_finite(
            f"{name}.measure",
            torch.from_numpy(scale.to_additive(values.detach().double().cpu().numpy())),
        )
        method.check()
    if scale.perfect is not None:
        found = float(values[_BLACK])
        if not math.isclose(found, scale.perfect, rel_tol=1e-3, abs_tol=1e-3):
            raise InputError(
                f"{name} declares perfect = {scale.perfect:g}, but measures {found:.6g} for an"
                " image against itself; declare what it measures there, or None"
            )
    if again is not None:
        method.agree(measuring(again()), values)
    return writes.of(metric)


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


def _asked(
    network: nn.Module, name: str, verb: str, given: Tensor, places: Sequence[int] = ()
) -> Any:
    """``places``: of the rows, which decide the SNRs that they are told."""
    function = getattr(network, verb, None)
    if not callable(function):
        raise InputError(f"{name} has no method {verb}; a codec needs encode and decode")
    what = "images" if verb == "encode" else "latents"
    label = f"{name}.{verb}"
    told = {"side": _trial_side(given, places)} if verb in sides_taken(network) else {}
    try:
        answer = asked(label, network, function, **{what: given}, **told)
        return answers.read(verb, network, answer, label)
    except OwnCodeError as error:
        raise InputError(
            f"{error.message} (given float32 {what} of shape {list(given.shape)})"
        ) from error


def _trial_side(given: Tensor, places: Sequence[int]) -> Side:
    """Unequal SNRs in one block: a row must not depend on what the others are told."""
    at = torch.tensor(list(places) or range(len(given)), device=given.device)
    return Side.of(torch.tensor(_TRIED_DB, device=given.device)[at % len(_TRIED_DB)])


def _beside(network: nn.Module, given: Tensor) -> Tensor:
    """The tensor on the network's device: an earlier run may have moved a module from Python."""
    for tensor in (*network.parameters(), *network.buffers()):
        return given.to(tensor.device)
    return given


def _mean(answer: Any) -> Any:
    return answer[0] if isinstance(answer, tuple) and answer else answer


def _shaped(label: str, given: Any, shape: tuple[int, ...]) -> None:
    own_code.require_shape(label, given, shape)
    if given.dtype != torch.float32:
        fix = "convert with .float()"
        if given.dtype.is_complex:  # .float() would drop the imaginary part
            fix = "an image is real: .abs() or .real, whichever is meant"
        raise InputError(
            f"{label} must return float32, returned {str(given.dtype).removeprefix('torch.')}"
            f"; {fix}"
        )


def _well_formed(label: str, given: Any, shape: tuple[int, ...]) -> None:
    _shaped(label, given, shape)
    own_code.require_finite(label, given)


def _range(name: str, pictures: Tensor) -> list[str]:
    low, high = float(pictures.min()), float(pictures.max())
    if pictures.dim() == 3 or (low >= -0.5 and high <= 1.5):
        return []
    return [
        f"{name}.decode returns values from {low:.2g} to {high:.2g}; images are in [0, 1], so PSNR"
        " and SSIM will be far from what you expect (is a sigmoid or a division missing?)"
    ]
