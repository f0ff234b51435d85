"""Answers of a user's own codec as methods of libraries give them, read as tensors.

``encode`` may return a latent, a pair (mean, standard deviation), a normal distribution of
`torch.distributions`, or a tuple, mapping, dataclass or other object that holds one of these;
``decode`` may return images in the same way, alone or in a pair (images, ok): ok, bool [N], says of
which rows decoding succeeded. Where several fields could be meant, the module's
attribute ``latent_field`` (or ``image_field``) names one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributions, nn

from channelsim.support.errors import InputError, did_you_mean

ATTRIBUTE = {"encode": "latent_field", "decode": "image_field"}
_MEANS, _DEVIATIONS = ("mean", "mu"), ("std", "stddev", "sigma")
_DEEPEST = 4  # fields in fields; project's choice


def read(verb: str, module: nn.Module, answer: Any, label: str) -> Any:
    """The tensor, or the pair (mean, standard deviation), that a module's answer holds.

    ``verb``: encode or decode; the answer to any other comes back as it is, and so does one that is
    a tensor already or has no fields. ``label``: the method's name in errors.
    """
    if isinstance(answer, Tensor) or verb not in ATTRIBUTE:
        return answer
    if verb == "decode" and is_flagged(answer):
        return read(verb, module, answer[0], label), answer[1]
    wanted = getattr(module, ATTRIBUTE[verb], None)
    if wanted is None:
        return _only(verb, answer, label, 0)
    if isinstance(wanted, tuple | list):
        if len(wanted) != 2 or verb != "encode":
            two = ", or two: mean and standard deviation" if verb == "encode" else ""
            raise InputError(f"{label}: {ATTRIBUTE[verb]} must name one field{two}, not {wanted!r}")
        mean, deviation = (_named(verb, answer, one, label) for one in wanted)
        return mean, deviation
    return _only(verb, _named(verb, answer, wanted, label), label, 0)


def is_flagged(answer: Any) -> bool:
    """Whether an answer of ``decode`` is a pair (images, ok)."""
    return (
        type(answer) is tuple
        and len(answer) == 2
        and isinstance(answer[1], Tensor)
        and answer[1].dtype == torch.bool
    )


def flagged(answer: Any, rows: int, label: str) -> tuple[Any, Tensor | None]:
    """Images and ok of an answer of ``decode``, read; ok is None where it says nothing."""
    if not is_flagged(answer):
        return answer, None
    image, ok = answer
    if tuple(ok.shape) != (rows,):
        raise InputError(
            f"{label}: ok must say for each row whether decoding succeeded, shape [{rows}], not"
            f" {list(ok.shape)}"
        )
    return image, ok


def _only(verb: str, answer: Any, label: str, depth: int) -> Any:
    """What an answer holds, where only one thing can be meant."""
    if isinstance(answer, Tensor):
        return answer.clone() if depth else answer  # the code may keep what it returned in a field
    if depth == _DEEPEST:
        return answer
    if verb == "encode" and _is_pair(answer):
        return answer
    if isinstance(answer, distributions.Distribution):
        return _moments(verb, answer, label)
    fields = fields_of(answer)
    if verb == "encode" and (pair := _by_name(fields)) is not None:
        return pair
    if len(fields) == 1:
        (inner,) = fields.values()
        return _only(verb, inner, label, depth + 1)
    if not fields:
        return answer  # whoever asked says what is wanted
    first, second = (json.dumps(name) for name in list(fields)[:2])
    what, line = "image", f"{ATTRIBUTE[verb]} = {first}"
    if verb == "encode":
        what = "latent"
        line += f", or for mean and standard deviation {ATTRIBUTE[verb]} = ({first}, {second})"
    raise InputError(
        f"{label} returned a {type(answer).__name__} with {_listed(fields)}; say in the class of"
        f" the module which is the {what}: {line}"
    )


def _is_pair(answer: Any) -> bool:
    return type(answer) is tuple and len(answer) == 2 and all(isinstance(x, Tensor) for x in answer)


def _by_name(fields: Mapping[Any, Any]) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation, where fields have these names."""
    mean = next((fields[name] for name in _MEANS if name in fields), None)
    deviation = next((fields[name] for name in _DEVIATIONS if name in fields), None)
    if isinstance(mean, Tensor) and isinstance(deviation, Tensor):
        return mean.clone(), deviation.clone()
    return None


def _moments(verb: str, law: distributions.Distribution, label: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of independent normal variables."""
    base = law
    while isinstance(base, distributions.Independent):
        base = base.base_dist
    if verb == "encode" and isinstance(base, distributions.Normal):
        return base.loc.clone(), base.scale.clone()
    found = f"{label} returned a distribution {type(base).__name__}"
    if verb == "decode":
        raise InputError(f"{found}; return images")
    raise InputError(
        f"{found}; a posterior is Normal, or Independent of one: to send the mean of another, write"
        ' latent_field = "mean" in the class of the module'
    )


def fields_of(answer: Any) -> dict[Any, Any]:
    """Fields of an answer that hold tensors, by name, or by place in a tuple or list."""
    if isinstance(answer, Mapping):
        found = dict(answer)
    elif hasattr(answer, "_fields"):  # a named tuple
        found = {name: getattr(answer, name) for name in answer._fields}
    elif isinstance(answer, tuple | list):
        found = dict(enumerate(answer))
    elif dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        found = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    else:
        found = {name: one for name, one in _attributes(answer).items() if not name.startswith("_")}
    return {name: one for name, one in found.items() if _holds_tensors(one)}


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes of an object; none of those that keep theirs elsewhere."""
    return dict(vars(value)) if hasattr(value, "__dict__") else {}


def _holds_tensors(value: Any, depth: int = 0) -> bool:
    if isinstance(value, Tensor | distributions.Distribution):
        return True
    if depth == _DEEPEST or value is None or isinstance(value, str | bytes | int | float | type):
        return False
    if isinstance(value, nn.Module) or callable(value):
        return False
    if isinstance(value, tuple | list):
        return any(_holds_tensors(one, depth + 1) for one in value)
    inside = value if isinstance(value, Mapping) else _attributes(value)
    return any(_holds_tensors(one, depth + 1) for one in inside.values())


def _named(verb: str, answer: Any, wanted: Any, label: str) -> Any:
    """The field of this name: a key, an attribute or a place; dots lead into fields of fields."""
    if isinstance(wanted, bool) or not isinstance(wanted, str | int):
        raise InputError(
            f"{label}: {ATTRIBUTE[verb]} must be a field's name, or its place, not {wanted!r}"
        )
    found = answer
    for step in wanted.split(".") if isinstance(wanted, str) else (wanted,):
        found = _step(verb, found, step, wanted, label)
    return found.clone() if isinstance(found, Tensor) else found


def _step(verb: str, answer: Any, step: Any, wanted: Any, label: str) -> Any:
    try:
        if isinstance(answer, Mapping):
            return answer[step]
        if isinstance(step, int) and isinstance(answer, tuple | list):
            return answer[step]
        return getattr(answer, str(step))
    except (KeyError, IndexError, AttributeError):
        fields = fields_of(answer)
        near = did_you_mean(str(step), list(map(str, fields)))
        raise InputError(
            f"{label} returned a {type(answer).__name__} without {ATTRIBUTE[verb]} {wanted!r} (it"
            f" has {_listed(fields) or 'no field with tensors'}).{near}"
        ) from None


def _listed(fields: Mapping[Any, Any]) -> str:
    names = list(map(str, fields))
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
