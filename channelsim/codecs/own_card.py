"""The card of a user's own codec: facts that it states itself, or that lie beside its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from channelsim.support.errors import InputError

_STATED = ("transmit_power", "latent_mean")  # attributes of a module
STANDARD = {"transmit_power": 1.0, "transmit_power_sample": 1.0}  # of standard normal codewords


def own_card(module: nn.Module, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A module's facts, from ``facts`` (beside its weights), its ``card``, and its attributes.

    ``transmit_power``: the mean of ‖z‖²/K over training images, with ``latent_mean`` [K];
    ``transmit_power_sample``: the same of sampled latents; ``prior``: standard or fitted, the
    latter with ``latent_covariance`` [K, K]; ``data``: the training data, ``{name, split}``; and
    any others. `InputError` where two of them say different things.
    """
    name = type(module).__name__
    own = getattr(module, "card", None)
    if own is not None and not isinstance(own, Mapping):
        raise InputError(f"{name}.card must be a mapping of facts, not a {type(own).__name__}")
    found = dict(facts)
    for key, given in (own or {}).items():
        try:
            value = _without_arrays(given)
        except RecursionError:
            raise InputError(f"{name}.card[{key!r}] is nested too deeply; flatten it") from None
        _agree(f"{name}.card[{key!r}]", found.get(key), value)
        found[key] = value
    attributes = {key: getattr(module, key, None) for key in _STATED}
    if sum(value is None for value in attributes.values()) == 1:
        raise InputError(f"{name} states one of transmit_power and latent_mean; state both")
    for key, value in attributes.items():
        if value is None:
            continue
        plain = _plain(value)
        _agree(f"{name}.{key}", found.get(key), plain)
        found[key] = plain
    if attributes["transmit_power"] is not None:
        found.setdefault("transmit_power_sample", found["transmit_power"])
    return found


def check(name: str, card: Mapping[str, Any], size: int, *, drawn: bool = False) -> None:
    """Raise an `InputError` for facts of a card that a run could not use.

    ``size``: K. ``drawn``: whether it has no encoder, so that its codewords are draws.
    """
    if drawn and card.get("prior") == "fitted":
        raise InputError(
            f"{name} has no encoder, so its codewords are standard normal, and its card says prior:"
            " fitted; let decode begin with mean + root · z instead"
        )
    if drawn and any(card[key] != value for key, value in STANDARD.items()):
        raise InputError(
            f"{name} has no encoder, so its codewords are standard normal, of power 1; remove"
            " transmit_power and latent_mean"
        )
    for key in ("transmit_power", "transmit_power_sample"):
        if key in card and not (_finite([card[key]]) and float(card[key]) > 0):
            raise InputError(f"{name}.{key} must be a number above 0, not {card[key]!r}")
    if ("transmit_power" in card) != ("latent_mean" in card):
        raise InputError(
            f"the card of {name} states one of transmit_power and latent_mean; state both"
        )
    mean = card.get("latent_mean")
    if mean is not None and not (_finite(mean) and len(mean) == size):
        raise InputError(f"{name}.latent_mean must be {size} numbers, one for each of z")
    try:
        json.dumps(dict(card), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"the card of {name} must hold words, finite numbers, lists, tensors and mappings"
            f" ({error})"
        ) from None


def _agree(place: str, there: Any, value: Any) -> None:
    if there is not None and there != value:
        raise InputError(
            f"{place} is {_short(value)}, but elsewhere its card says {_short(there)}; state it"
            " once"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:39]}…"


def _without_arrays(value: Any) -> Any:
    """A fact with its tensors and arrays as lists, as a card beside the weights has them."""
    if isinstance(value, Mapping):
        return {key: _without_arrays(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(one) for one in value]
    return value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value


def _plain(value: Any) -> Any:
    """A number or a sequence of numbers as such; anything else as it is, to be refused."""
    try:
        return [float(one) for one in value]
    except (TypeError, ValueError):
        pass
    try:
        return value if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return value


def _finite(numbers: Any) -> bool:
    """Whether this is a sequence of finite numbers."""
    try:
        return all(not isinstance(one, str | bool) and math.isfinite(float(one)) for one in numbers)
    except (TypeError, ValueError):
        return False
