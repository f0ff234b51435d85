"""An adversary's access: its place, its knowledge of the channel, and the times when it acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AllowInfNan, BeforeValidator, Strict, model_validator
from torch import Tensor

from channelsim.contracts.complex_symbols import CoherenceTime, KFactor, block_gains
from channelsim.contracts.parts import Count, Decibels, NonNegative, Positive, Whole, part
from channelsim.contracts.records import Floats, Ints
from channelsim.contracts.rows import Rows

Bools = NDArray[np.bool_]
DutyCycle = Annotated[float, Strict(), AllowInfNan(False)]
Seconds = Annotated[float, Strict(), AllowInfNan(False)]


@part
class OwnPath:
    """The adversary's own path to the receiver, apart from the transmitter's: h_a·δ arrives.

    ``gain_db``: mean power gain of that path in dB, default 0. ``k_factor``: its Rician factor κ ≥
    0 (0: Rayleigh), independent of the transmitter's fading; None (default): it does not fade.
    ``coherence_s`` [s]: how long a gain holds, default 0.1. Budgets bind δ as it is injected. The
    defaults are the project's.
    """

    gain_db: Decibels = 0.0
    k_factor: KFactor | None = None
    coherence_s: CoherenceTime = 0.1

    @property
    def description(self) -> str:
        """The path in words."""
        if self.k_factor is None:
            return f"{self.gain_db:g} dB"
        law = f"Rician κ = {self.k_factor:g}" if self.k_factor else "Rayleigh"
        return f"{self.gain_db:g} dB, {law} fading, coherence {self.coherence_s:g} s"

    def gains(self, rows: Rows, symbols: int) -> Tensor:
        """Complex gains [N, symbols] of ``rows`` as they occur, or as its view sees them."""
        mean = 10.0 ** (self.gain_db / 20.0)
        if self.k_factor is None:
            return torch.full((len(rows), symbols), mean, dtype=torch.complex64, device=rows.device)
        factor = torch.full((len(rows),), float(self.k_factor))
        coherence = torch.full((len(rows),), self.coherence_s, dtype=torch.float64)
        return mean * block_gains(rows, symbols, factor, coherence, "own path")


@part
class Access:
    """An adversary's place, its speed, and its knowledge of the channel.

    ``place``: ``relay`` (default) holds every codeword that it attacks, knows it, and sends it on
    ``reaction_s`` [s] later (default 0); ``over_the_air`` (default of attacks that need to hear
    nothing) adds to the signal on the air, symbol by symbol, and knows nothing of a codeword that
    it has not heard yet; ``before_encoder`` changes the image, its budget in pixel values in [0, 1]
    and its PSR against the mean square of the training images' pixels.

    ``listen_symbols``: an adversary over the air first hears so many complex symbols (default 0) at
    its place in the path, and after ``reaction_s`` [s] adds to the rest; for the part that it does
    not hear it assumes the codec's mean latent, at the average amplitude. An attack that needs the
    codeword and cannot hear any of it before the last symbol is sent is refused.

    ``own_path``: see `OwnPath`; default: δ joins the signal where the adversary stands in the path.
    ``channel``: fading that it knows, the transmitter's and its own: ``exact`` (default),
    ``stale``, as it was ``stale_s`` [s] ago, or ``none``. ``expectation``: the number of imagined
    draws of everything unknown to it (noise, erasures, fading) over which it averages its
    objective; default 0: it plans without noise, and takes unknown gains for 1. Imagined draws are
    never the real ones. No adversary foresees the others. The defaults are the project's.
    """

    place: Literal["relay", "over_the_air", "before_encoder"] = "relay"
    reaction_s: NonNegative = 0.0
    listen_symbols: Whole = 0
    own_path: OwnPath | None = None
    channel: Literal["exact", "stale", "none"] = "exact"
    stale_s: Positive | None = None
    expectation: Whole = 0

    @model_validator(mode="after")
    def _consistent(self) -> Access:
        if (self.stale_s is not None) != (self.channel == "stale"):
            raise ValueError(
                "channel: stale needs stale_s, the age of what is known [s]"
                if self.stale_s is None
                else f"stale_s is for channel: stale, but channel is {self.channel}"
            )
        if self.listen_symbols and self.place != "over_the_air":
            raise ValueError(
                f"listen_symbols is for place: over_the_air, but place is {self.place};"
                " others hold the whole codeword, or the image"
            )
        if self.reaction_s and self.place == "over_the_air" and not self.listen_symbols:
            raise ValueError(
                f"reaction_s is {self.reaction_s:g}, but over the air without listen_symbols there"
                " is nothing to react to; give listen_symbols, or remove reaction_s"
            )
        if self.before_encoder and (self.reaction_s or self.own_path is not None):
            raise ValueError(
                "place: before_encoder has no reaction_s and no own_path; the image is changed"
                " before it is sent"
            )
        return self

    @property
    def before_encoder(self) -> bool:
        """Whether it changes the image, and nothing on the wire."""
        return self.place == "before_encoder"

    @property
    def description(self) -> str:
        """Its knowledge of the fading, in words."""
        if self.channel == "stale":
            return f"fading known as it was {self.stale_s:g} s ago"
        imagined = f"imagined in {self.expectation} draws" if self.expectation else "taken for 1"
        return "fading known exactly" if self.channel == "exact" else f"fading unknown, {imagined}"

    def deaf_symbols(self, symbol_s: Floats) -> Ints:
        """Number of leading symbols of a codeword that pass before it can act, [N]."""
        if self.place != "over_the_air" or not self.listen_symbols:
            return np.zeros(len(symbol_s), dtype=np.int64)
        # A reaction of a whole number of symbols may come out a rounding error above it.
        late = np.ceil(self.reaction_s / symbol_s - 1e-9).astype(np.int64)
        return self.listen_symbols + late


def _over_the_air(value: Any) -> Any:
    return {"place": "over_the_air", **value} if isinstance(value, Mapping) else value


# The default access of adversaries over the air.
OnTheAir = Annotated[Access, BeforeValidator(_over_the_air)]


@part
class Activity:
    """The times when an adversary is on the air, and the codewords it attacks; default: all.

    ``windows``: [begin, end) pairs of simulated time [s]; none means all of it. ``duty_cycle`` in
    (0, 1]: it is on for that share at the beginning of every ``period_s`` [s], counted from time 0.
    A relay decides by the time of a codeword's first symbol; over the air each symbol is decided by
    its own time.

    ``every`` ≥ 1: only messages whose number is ``first`` modulo ``every``; ``classes``: only those
    whose image has one of these labels (which it knows at any place); ``louder_than_db``: only
    codewords whose own power exceeds P by that much: over the air, of the symbols that it heard;
    elsewhere, of the whole codeword (or image). A relay needs its reaction time to find out.

    ``energy``: the energy account for the whole run, in units of the energy K·P of a mean codeword.
    Every codeword attacked is charged, in order of time, the most that the budget allows (times the
    share of its symbols on the air), the last one what is left; then nothing is injected. Energy
    charged and not used is lost: a law that draws its energy at random (uniform noise; Gaussian
    noise of which a part is on the air) spends a few percent less than its account.
    """

    duty_cycle: DutyCycle = 1.0
    period_s: Positive | None = None
    windows: tuple[tuple[Seconds, Seconds], ...] = ()
    every: Count = 1
    first: Whole = 0
    classes: tuple[Whole, ...] = ()
    louder_than_db: Decibels | None = None
    energy: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Activity:
        if not 0 < self.duty_cycle <= 1:
            raise ValueError(f"duty_cycle must be in (0, 1], not {self.duty_cycle:g}")
        if self.duty_cycle < 1 and self.period_s is None:
            raise ValueError("a duty_cycle below 1 needs period_s, how often it repeats [s]")
        for begin, end in self.windows:
            if not begin < end:
                raise ValueError(f"window [{begin:g}, {end:g}] must end after it begins")
        if self.first >= self.every:
            raise ValueError(f"first must be below every ({self.every}), not {self.first}")
        if self.energy is not None and self.louder_than_db is not None:
            raise ValueError(
                "energy is booked before a codeword is seen, so it cannot depend on how loud that"
                " is; remove energy or louder_than_db"
            )
        return self

    @property
    def description(self) -> str:
        """Its restrictions in words; empty where it always acts, on everything."""
        when = [f"{begin:g}-{end:g} s" for begin, end in self.windows]
        said = ["in " + ", ".join(when)] if when else []
        if self.duty_cycle < 1:
            said.append(f"for the first {100 * self.duty_cycle:g} % of every {self.period_s:g} s")
        if self.every > 1:
            said.append(f"messages {self.first} modulo {self.every}")
        if self.classes:
            said.append(f"classes {', '.join(map(str, self.classes))}")
        if self.louder_than_db is not None:
            said.append(f"codewords above {self.louder_than_db:g} dB of P")
        if self.energy is not None:
            said.append(f"with the energy of {self.energy:g} mean codewords")
        return "; ".join(said)

    def on(self, times_s: Floats) -> Bools:
        """Whether it is on at these times; times within a rounding error of an edge are at it."""
        times_s = times_s * (1 + 1e-12)
        on = np.ones(times_s.shape, dtype=bool)
        if self.windows:
            on = np.zeros(times_s.shape, dtype=bool)
            for begin, end in self.windows:
                on |= (times_s >= begin) & (times_s < end)
        if self.duty_cycle < 1 and self.period_s is not None:
            on &= np.mod(times_s, self.period_s) < self.duty_cycle * self.period_s
        return on

    def takes(self, message: Ints, labels: Ints | None) -> Bools:
        """Whether it attacks these messages at all, by number and class."""
        taken = np.asarray(message % self.every == self.first)
        if self.classes and labels is not None:
            taken &= np.isin(labels, self.classes)
        return taken
