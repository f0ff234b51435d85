"""Equaliser: the receiver's compensation of fading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from pydantic import AllowInfNan, Strict
from torch import Tensor

from channelsim.contracts.complex_symbols import amplified, symbol_count
from channelsim.contracts.parts import Stage, part
from channelsim.contracts.rows import Channel, Rows
from channelsim.support.errors import InputError

EstimateError = Annotated[float, Strict(), AllowInfNan(False), Ge(0), Le(1e6)]


@part
class Equaliser(Stage):
    """Coherent detection with an estimate ĥ of the gain: ẑ = y·ĥ*/(|ĥ|² + c), symbol by symbol.

    ``mode: zf`` (default), zero forcing: c = 0, ẑ = y/ĥ. Without noise it gives back z; with noise
    its error is N₀/|h|² per real value, without bound in a deep fade. Nothing is clipped.
    ``mode: mmse``: c = N₀/P, the linear estimate of least mean square error for a zero-mean signal
    of power P; its error is P·c/(|h|² + c), less than zero forcing's P·c/|h|² and never above P,
    and it shrinks symbols in a fade towards zero. Both have the same SNR |h|²·P/N₀ behind them.
    N₀/P is that of all stages before it that state an ``snr_db``, as if all that noise had been
    added behind the fading; impulses and jammers are not in it.

    ``estimate_error``: variance of e = ĥ − h, CN(0, σ²), over E|h|² = 1; 0 (default) to 1e6; may
    differ from row to row, and arms share draws. One e for each attempt of a message, all its
    symbols alike: the receiver estimates anew with every codeword and follows the gain within it.
    After zero forcing it costs |e|²/|ĥ|² of a symbol's power. The error model and the defaults are
    the project's. ``name``: keys the draws.

    It undoes what ``fading`` stages since the last equaliser left on the symbols, and it acts on
    noise and perturbations alike: δ injected behind a gain h arrives as δ·ĥ*/(|ĥ|² + c), louder in
    a fade; ``psr_received_db`` has the level. An adversary foresees an equaliser with the gain that
    the adversary itself assumes, free of estimation error unless it imagines draws. The last value
    of an odd K is multiplied by |ĥ|/(|ĥ|² + c). Source: Tse and Viswanath, "Fundamentals of
    Wireless Communication", 2005, chapters 3 and 8.3.
    """

    kind: ClassVar[str] = "equaliser"
    columns: ClassVar[Mapping[str, str]] = {"estimate_error": "estimate_error"}

    name: str = ""
    mode: Literal["zf", "mmse"] = "zf"
    estimate_error: EstimateError = 0.0

    def check_path(self, earlier: Sequence[Stage]) -> None:
        """Refuse a place without fading to undo."""
        for stage in reversed(earlier):
            if isinstance(stage, Equaliser):
                break
            if stage.fades:
                return
        raise InputError(
            f"{self.label} has no gain to undo: no fading stands before it"
            + (" that another equaliser has not undone" if any(s.fades for s in earlier) else "")
            + "; put a fading stage in front of it, or remove it"
        )

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        """Equalised signal, [N, K]."""
        deviation = torch.sqrt(rows["estimate_error"].double() / 2)[:, None]
        error = deviation * rows.normal(2, "estimate").double()
        return self._equalised(signal, rows, torch.complex(error[:, :1], error[:, 1:]))

    def foresee(self, signal: Tensor, rows: Rows) -> Tensor:
        """The view's gain undone; its estimate in error only where the view imagines."""
        if rows.view is None or rows.view.draw is None:
            return self._equalised(signal, rows, None)
        return self.cross(signal, rows.imagined())

    def _equalised(self, signal: Tensor, rows: Rows, error: Tensor | None) -> Tensor:
        """Signal times ĥ*/(|ĥ|² + c) for an error [N, 1] of the estimate."""
        gain, noise = rows.channel.gain, rows.channel.noise
        if gain is None:
            gain = signal.new_ones(len(signal), symbol_count(signal.shape[1]))
        # In double precision, so that the rounding of h and 1/h is not added to the signal's.
        estimate = gain.to(torch.complex128)
        if error is not None:
            estimate = estimate + error
        # Of real numbers: the last digit of a complex product depends on its place in the tensor.
        real, imaginary = estimate.real, estimate.imag
        power = real.square() + imaginary.square()
        if self.mode == "mmse" and noise is not None:
            power = power + noise[:, None]
        return amplified(signal, torch.complex(real / power, -imaginary / power))

    def leaves(self, rows: Rows) -> Channel:
        """The channel with no gain left to undo."""
        return replace(rows.channel, gain=None)
