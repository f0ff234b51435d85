"""How signals are sampled: what their values and places mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import AfterValidator

MOST_CHANNELS = 64  # project's choice: more are samples in the place of channels
MOST_VALUES = 2**20  # of one signal: channels × samples; project's choice
_LARGEST = 1e30
_LONGEST = 16  # characters of a unit; project's choice


def _is_unit(text: str) -> str:
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError(f"unit must be at most {_LONGEST} printable characters, such as mV")
    return text


Unit = Annotated[str, AfterValidator(_is_unit)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Of signals [N, C, L]: ``rate_hz`` samples a second, ``unit`` of the values (may be empty).

    ``low``, ``high``: between these are 99.8 % of the training split's values, in the unit;
    pictures show this range.
    """

    rate_hz: float
    unit: str
    low: float
    high: float

    @property
    def as_dict(self) -> dict[str, Any]:
        """The header's entry."""
        return asdict(self)

    @classmethod
    def kept(cls, stored: Any) -> Sampling | None:
        """From a header's entry; None where there is none, or it is damaged."""
        if not isinstance(stored, Mapping):
            return None
        numbers: list[Any] = [stored.get(name) for name in ("rate_hz", "low", "high")]
        # A ledger comes from anybody: numbers that a picture cannot show are none.
        if not all(type(one) in (int, float) and abs(one) < _LARGEST for one in numbers):
            return None
        if not numbers[0] > 0 or numbers[1] > numbers[2]:
            return None
        unit = stored.get("unit")
        shown = unit if isinstance(unit, str) and len(unit) <= _LONGEST else ""
        rate, low, high = (float(one) for one in numbers)
        return cls(rate_hz=rate, unit=shown if shown.isprintable() else "", low=low, high=high)


def noun_of(shape: Sequence[int] | None) -> str:
    """What has this shape, in sentences: ``signal`` for (C, L), else ``image``."""
    return "signal" if shape is not None and len(shape) == 2 else "image"
