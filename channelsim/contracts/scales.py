"""The scales on which metrics are averaged, and the choice of the metric for damage.

A metric declares its scale in code; a ledger is read without that code. So the scale is one of a
closed set of forms, and the header keeps its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from channelsim.support.errors import InputError

Floats = NDArray[np.float64]
Form = Literal["as it is", "decibels lost", "decibels", "square", "root", "log", "exp", "inverse"]

_NOTHING: Mapping[str, Mapping[str, Any]] = {}

ROUNDING = 1e-5  # relative; some hundred times that of a float32 metric (project's choice)


def _lost_to_linear(values: Floats) -> Floats:
    found: Floats = np.power(10.0, -values / 10.0)
    return found


def _linear_to_lost(values: Floats) -> Floats:
    """0 (or below, at an interval's end) is +inf."""
    found: Floats = -10.0 * np.log10(np.maximum(values, 0.0))
    return found


def as_it_is(values: Floats) -> Floats:
    """The same values: for metrics whose scale is the values themselves."""
    return values


# Form → the scale of a mean from a value v, and back; up to a constant factor.
_FORMS: Mapping[Form, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "as it is": (as_it_is, as_it_is),
    "decibels lost": (_lost_to_linear, _linear_to_lost),  # 10^(−v/10): PSNR, as MSE
    "decibels": (lambda v: np.power(10.0, v / 10.0), lambda a: 10.0 * np.log10(np.maximum(a, 0.0))),
    "square": (np.square, lambda a: np.sqrt(np.maximum(a, 0.0))),  # RMSE, as MSE
    "root": (np.sqrt, np.square),
    "log": (np.log, np.exp),
    "exp": (np.exp, lambda a: np.log(np.maximum(a, 0.0))),
    "inverse": (np.reciprocal, np.reciprocal),
}
_FALLING = ("decibels lost", "inverse")  # forms that are small where the value is large
_WRITTEN = "v (the default), 10^(−v/10), 10^(v/10), v², √v, ln v, e^v, 1/v"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A metric's scale, as summaries need it.

    ``higher_is_better`` is None for an unknown metric: its values are averaged as they are, and no
    area or gain is taken from it. ``form``, ``factor``: the averaged quantity is ``factor`` times
    that form of a value.
    """

    name: str
    higher_is_better: bool | None = None
    perfect: float | None = None
    limit: float | None = None
    form: Form = "as it is"
    factor: float = 1.0

    def to_additive(self, values: np.ndarray) -> np.ndarray:
        """Values → a scale on which a mean is meaningful."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = _FORMS[self.form][0](np.asarray(values, dtype=float))
        return found if self.factor == 1.0 else found * self.factor

    def from_additive(self, values: np.ndarray) -> np.ndarray:
        """Back from the averaging scale."""
        given = np.asarray(values, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return _FORMS[self.form][1](given if self.factor == 1.0 else given / self.factor)

    def damage(self, additive: np.ndarray) -> np.ndarray:
        """Mean damage from a mean on the additive scale: 0 without damage, growing with it.

        A distance is its own damage, PSNR counts as its MSE, and a bounded similarity as its
        difference from the perfect value (1 − SSIM).
        """
        best = self.best
        if best is None:
            return additive
        return additive - best if self.worse_upwards else best - additive

    @property
    def best(self) -> float | None:
        """The perfect value on the additive scale."""
        return None if self.perfect is None else float(self.to_additive(np.array(self.perfect)))

    @property
    def worse_upwards(self) -> bool:
        """Whether the additive scale grows as images become worse."""
        return bool(self.higher_is_better) == (self.form in _FALLING)

    @property
    def damaging(self) -> bool:
        """Whether `damage` means anything for this metric."""
        if self.higher_is_better is None:
            return False
        return self.worse_upwards or self.perfect is not None

    @property
    def decibels(self) -> bool:
        """Whether its values are decibels, averaged on a linear scale."""
        return self.form in ("decibels", "decibels lost")

    @property
    def damage_name(self) -> str:
        """The quantity averaged by `damage`: ``mse`` for PSNR, ``1 − ssim``, or the metric."""
        if self.name == "psnr":
            return "mse"
        if self.form != "as it is":
            return f"{self.name} ({self.form})"
        if self.higher_is_better and self.perfect is not None:
            return f"{self.perfect:g} − {self.name}"
        return self.name

    @property
    def as_dict(self) -> dict[str, Any]:
        """The header's entry for a metric of the user's own."""
        return {
            "higher_is_better": self.higher_is_better,
            "perfect": self.perfect,
            "limit": self.limit,
            "averaged_as": self.form,
            "factor": self.factor,
        }


# Scales of this package's metrics, known without loading them: metrics need torch, ledger readers
# do not. A test compares this table with the metrics.
_SHIPPED: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(name="mse", higher_is_better=False, perfect=0.0),
        Scale(name="psnr", higher_is_better=True, limit=34.0, form="decibels lost"),
        Scale(name="ssim", higher_is_better=True, perfect=1.0, limit=0.4),
        Scale(name="ms_ssim", higher_is_better=True, perfect=1.0),
        Scale(name="dfd", higher_is_better=False, perfect=0.0),
        Scale(name="rfd", higher_is_better=False, perfect=0.0),
        Scale(name="lpips", higher_is_better=False, perfect=0.0, limit=0.15),
        Scale(name="label", higher_is_better=True, perfect=1.0),
        Scale(name="snr", higher_is_better=True, form="decibels lost"),
        Scale(name="spectral_error", higher_is_better=False, perfect=0.0),
    )
}


def kept(name: str, scales: Mapping[str, Mapping[str, Any]]) -> Scale | None:
    """The scale of a metric in a run's header (``scales``); None where it has none."""
    stored = scales.get(name) if isinstance(scales, Mapping) else None
    if not isinstance(stored, Mapping):
        return None
    if stored.get("averaged_as") not in _FORMS:
        raise InputError(
            f"the header says that {name} is averaged as {stored.get('averaged_as')!r:.40}, which"
            f" this version does not know (known: {', '.join(_FORMS)})"
        )
    better, factor = stored.get("higher_is_better"), stored.get("factor")
    numbers = [
        factor,
        *(one for one in (stored.get("perfect"), stored.get("limit")) if one is not None),
    ]
    if not isinstance(better, bool) or not all(map(_is_number, numbers)) or not factor:
        raise InputError(f"the header does not say how {name} is to be read: it is damaged")
    return Scale(
        name=name,
        higher_is_better=better,
        perfect=stored.get("perfect"),
        limit=stored.get("limit"),
        form=stored["averaged_as"],
        factor=factor,
    )


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def declared(name: str, metric: Any, called: str = "") -> Scale:
    """The scale that a metric declares, or an `InputError` about its declaration.

    ``called``: the metric's name in errors.
    """
    called = called or name
    better = getattr(metric, "higher_is_better", None)
    if not isinstance(better, bool):
        raise InputError(
            f"{called} does not say which values are better; write higher_is_better:"
            " ClassVar[bool] = True, or False where smaller ones are"
        )
    perfect, limit = (_number(called, metric, field) for field in ("perfect", "limit"))
    form, factor = _recognised(called, metric)
    return Scale(
        name=name,
        higher_is_better=better,
        perfect=perfect,
        limit=limit,
        form=form,
        factor=factor,
    )


def _number(called: str, metric: Any, field: str) -> float | None:
    value = getattr(metric, field, None)
    if value is None:
        return None
    if not _is_number(value):
        raise InputError(
            f"{called}: {field} must be a finite number or None, is {value!r:.40}; None where an"
            " image against itself measures infinity"
        )
    return float(value)


def _recognised(called: str, metric: Any) -> tuple[Form, float]:
    """The form of ``to_additive`` and its factor, found by trying it."""
    values = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
    with np.errstate(all="ignore"):
        found = np.asarray(metric.to_additive(values.copy()), dtype=float)
        back = np.asarray(metric.from_additive(found.copy()), dtype=float)
    if found.shape != values.shape:
        raise InputError(
            f"{called}.to_additive must return shape {list(values.shape)}, returned"
            f" {list(found.shape)}"
        )
    if back.shape != values.shape or not np.allclose(back, values, rtol=1e-6, atol=1e-9):
        raise InputError(
            f"{called}.from_additive does not undo to_additive (0.5 comes back as"
            f" {float(np.ravel(back)[min(3, back.size - 1)]):.4g})"
        )
    for form in get_args(Form):
        expected = _FORMS[form][0](values)
        factors = found[np.abs(expected) > 1e-12] / expected[np.abs(expected) > 1e-12]
        if np.allclose(factors, factors[0], rtol=1e-6) and np.allclose(
            found, factors[0] * expected, rtol=1e-6, atol=1e-12
        ):
            factor = float(factors[0])
            if factor > 0:
                return form, 1.0 if math.isclose(factor, 1.0, rel_tol=1e-6) else factor
    raise InputError(
        f"{called}.to_additive is none that a ledger can keep, which is read without your code;"
        f" allowed are {_WRITTEN}, each times a positive constant"
    )


def scale_of(name: str, scales: Mapping[str, Mapping[str, Any]] = _NOTHING) -> Scale:
    """Return the scale of a metric by name; unknown names get a neutral one.

    ``scales``: declarations of the user's own metrics, from the run's header.
    """
    return kept(name, scales) or _SHIPPED.get(name, Scale(name=name))


def damage_metric(
    metrics: Sequence[str], scales: Mapping[str, Mapping[str, Any]] = _NOTHING
) -> str | None:
    """The metric from which the adversarial gain is read: see `gauge`."""
    return gauge(scale_of(name, scales) for name in metrics)


def gauge(scales: Iterable[Scale]) -> str | None:
    """The metric from which the adversarial gain is read and by which the worst case is chosen.

    MSE where it was measured, else the first distance, else PSNR or the first bounded similarity;
    None where no metric has a known direction. A choice of this project: gains are power ratios,
    and for small perturbations the MSE is the one proportional to power.
    """
    usable = [scale for scale in scales if scale.damaging]
    if any(scale.name == "mse" for scale in usable):
        return "mse"
    distances = [scale for scale in usable if not scale.higher_is_better]
    return next((scale.name for scale in distances or usable), None)
