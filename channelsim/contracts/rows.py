"""A stage's view of the batch that crosses it, and an adversary's knowledge of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channelsim.contracts.records import Floats, Ints
from channelsim.contracts.words import Words
from channelsim.support import seeds
from channelsim.support.block_shape import BlockShape
from channelsim.support.errors import InputError

Images = Callable[[Ints], Tensor]


def _whole(delta: Tensor) -> Tensor:
    return delta


def after(
    way: Callable[[Tensor], Tensor], function: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor] | None:
    """A function of what comes out of ``way``; None where there is none."""
    return None if function is None else lambda signal: function(way(signal))


@dataclass(frozen=True)
class Knowledge:
    """An adversary's knowledge: everything refers to the rows of one batch, as it believes them.

    ``decode``: signal [N, K] at the place where it injects → image [N, C, H, W], as the receiver
    would show it, through the part of the path between that the adversary knows; differentiable.
    ``carry``: δ as it injects it → δ as it joins the signal there: through its own fading path, and
    nothing outside its ``reach`` (bool [N, K], None: everywhere). ``imagine(k)``: the same
    knowledge with the k-th imagined realisation of everything unknown; ``draws``: how many it
    averages over, 0 for none. ``source``: x. ``clean``: g(z). ``power``: P per real value at that
    place. ``source_of`` / ``clean_of``: the same two for other messages of the run, by message
    number. ``sent_of``: their codewords as sent; ``encode``: image → codeword; both as it expects
    them at its place. ``inside``: δ → the nearest δ that leaves a valid signal (pixels in [0, 1]).
    ``overhear``: ``decode`` without knowledge of a codeword's amplitude; None: the amplitude is
    known. ``messages``: the run's number of messages. ``some``: the knowledge of some of the rows,
    by number (`only`), and ``shape``: the blocks of rows of which it is asked; both None
    where it is asked of all rows alone. ``loss``: like ``decode``, signal → the codec's own
    ``attack_loss`` [N] of it and of the codeword sent; ``overheard_loss``: the same like
    ``overhear``, of the signal and of the one taken for sent; None for a codec without one.
    """

    decode: Callable[[Tensor], Tensor]
    source: Tensor
    clean: Tensor
    power: float
    source_of: Images
    clean_of: Images
    messages: int
    carry: Callable[[Tensor], Tensor] = _whole
    reach: Tensor | None = None
    imagine: Callable[[int], Knowledge] | None = None
    draws: int = 0
    sent_of: Images | None = None
    encode: Callable[[Tensor], Tensor] | None = None
    inside: Callable[[Tensor], Tensor] = _whole
    overhear: Callable[[Tensor], Tensor] | None = None
    some: Callable[[Ints], Knowledge] | None = None
    shape: BlockShape | None = None
    loss: Callable[[Tensor], Tensor] | None = None
    overheard_loss: Callable[[Tensor, Tensor], Tensor] | None = None

    def only(self, rows: Ints) -> Knowledge:
        """The knowledge of some of its rows."""
        assert self.some is not None, "this knowledge is of one block of rows"
        return self.some(rows)

    def views(self) -> list[Knowledge]:
        """The views to average over: its imagined realisations, or itself alone."""
        if self.draws == 0 or self.imagine is None:
            return [self]
        return [self.imagine(index) for index in range(self.draws)]


@dataclass(frozen=True)
class Channel:
    """The effect of earlier stages on a codeword, for later ones.

    ``gain``: complex amplitude per symbol [N, ⌈K/2⌉] not yet undone; None for 1. ``noise``: N₀/P so
    far, [N]; None for 0. ``erased``: values that never arrived, bool [N, K]; None for none.
    ``faded``: the mean of |h|² over symbols, [N], of all fading so far, undone or not; None
    without. ``words``: the digital words of the values behind a quantiser; None before any.
    """

    gain: Tensor | None = None
    noise: Tensor | None = None
    erased: Tensor | None = None
    faded: Tensor | None = None
    words: Words | None = None

    @classmethod
    def joined(cls, parts: Sequence[Channel], who: str = "") -> Channel:
        """The rows of all parts, which one stage left; ``who``: its name in errors."""
        if len(parts) == 1:
            return parts[0]
        found: dict[str, Any] = {}
        for name in ("gain", "noise", "erased", "faded", "words"):
            given = [getattr(one, name) for one in parts]
            if any(one is None for one in given):
                if any(one is not None for one in given):
                    raise InputError(
                        f"{who}leaves: {name} is None for some blocks of rows and not for others; a"
                        " stage leaves the same of every row"
                    )
                found[name] = None
            elif name == "words":
                found[name] = Words.joined(given)
            elif any(one.dim() == 0 for one in given):
                raise InputError(f"{who}leaves: {name} is one number; give one per row, [N]")
            else:
                found[name] = torch.cat(given)
        return cls(**found)


@dataclass(frozen=True)
class View:
    """The channel as an adversary expects it.

    ``name``: whose. ``channel``: it knows the fading exactly, as it was ``stale_s`` [s] ago
    (``stale``), or not at all (``none``). ``draw``: the number of the imagined realisation of
    everything unknown, None to imagine nothing (no noise; a channel of gain 1).
    """

    name: str
    channel: Literal["exact", "stale", "none"] = "exact"
    stale_s: float = 0.0
    draw: int | None = None


@dataclass
class Rows:
    """One stage's view of a batch: its own columns, its own random numbers.

    ``rows["snr_db"]`` is a float tensor of shape [N]. ``message`` and ``attempt`` are int64 arrays
    [N]. Draws are keyed by the run's seed, the stage's name, message and attempt (see `seeds`), and
    remembered, so that the attacked, the passive and the control signal meet the same channel.
    ``began_s``: simulated time of the first symbol, ``symbol_s``: the duration of each, both
    float64 arrays [N]; events on the air are drawn by their time (`uniform_at`), so that all
    codewords then on the air meet them. ``channel``: left by the stages before this one. ``power``:
    P per real value on the wire. ``view``: the expecting adversary's view; None for the real
    channel. ``exact``: the columns in double precision, for times (`exactly`). ``mean``: the mean
    codeword on the wire, [K]; None where it was not measured. ``fitted``: the stage's fit from
    calibration, [N, …]. ``replayed``, ``allowance``: see `Batch`. ``lends``: whether columns and
    draws are given out as copies, to code that may change them. ``refusal``: the error for whoever
    draws all the same, a stage that said that it does not.
    """

    name: str
    seed: int
    message: Ints
    attempt: Ints
    columns: Mapping[str, Tensor]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    knowledge: Knowledge | None = None
    power: float = 1.0
    mean: Tensor | None = None
    began_s: Floats | None = None
    symbol_s: Floats | None = None
    channel: Channel = field(default_factory=Channel)
    view: View | None = None
    fitted: Tensor | None = None
    allowance: Floats | None = None
    replayed: Ints | None = None
    exact: Mapping[str, Floats] = field(default_factory=dict)
    lends: bool = False
    refusal: str = ""
    _drawn: dict[tuple[str, str, int, int], Tensor] = field(default_factory=dict, repr=False)
    _imagined: list[Rows] = field(default_factory=list, repr=False)

    def __getitem__(self, column: str) -> Tensor:
        return self._given(self.columns[column])

    def __len__(self) -> int:
        return len(self.message)

    def exactly(self, column: str) -> Floats:
        """A column in double precision, float64 [N]: a float32 coherence time would drift."""
        found = self.exact.get(column)
        return self.columns[column].double().cpu().numpy() if found is None else found

    def _given(self, values: Tensor) -> Tensor:
        return values.clone() if self.lends else values

    @property
    def latent_size(self) -> int:
        """K, the number of real values of a codeword."""
        assert self.mean is not None, "these rows were made without a mean codeword"
        return len(self.mean)

    def times_s(self, symbols: int) -> Floats:
        """Simulated time at which each symbol of a codeword begins, float64 [N, symbols]."""
        began = np.zeros(len(self)) if self.began_s is None else self.began_s
        spacing = np.zeros(len(self)) if self.symbol_s is None else self.symbol_s
        return began[:, None] + spacing[:, None] * np.arange(symbols)

    def normal(self, width: int, draw: str = "", index: int = 0) -> Tensor:
        """Standard normal draws, float32 [N, width]; ``index``: one more counter (a restart, …)."""
        return self._draw("normal", width, draw, index)

    def uniform(self, width: int, draw: str = "", index: int = 0) -> Tensor:
        """Uniform draws in (0, 1), float32 [N, width]."""
        return self._draw("uniform", width, draw, index)

    def normal_at(self, slots: Ints, width: int, draw: str = "") -> Floats:
        """Standard normal draws that belong to slots of time, float64 [*slots.shape, width]."""
        self._allow()
        key = seeds.stream_key(self.seed, self.name, draw)
        return seeds.at_slots(seeds.normals, key, slots, width)

    def uniform_at(self, slots: Ints, width: int, draw: str = "") -> Floats:
        """Uniform draws in (0, 1) that belong to slots of time, float64 [*slots.shape, width]."""
        self._allow()
        key = seeds.stream_key(self.seed, self.name, draw)
        return seeds.at_slots(seeds.uniforms, key, slots, width)

    def imagined(self) -> Rows:
        """The same rows with the random numbers that the view imagines, never the real ones."""
        assert self.view is not None, "only a view imagines"
        if not self._imagined:
            name = f"{self.view.name} imagines {self.name}/{self.view.draw}"
            self._imagined.append(replace(self, name=name, _drawn={}, _imagined=[]))
        return self._imagined[0]

    def once(self, what: str, make: Callable[[], Tensor]) -> Tensor:
        """A tensor made from draws and columns, computed once and remembered like them.

        The three signals of a batch, and every step of an attack, use the same one.
        """
        known = ("made", what, 0, 0)
        if known not in self._drawn:
            self._drawn[known] = make()
        return self._given(self._drawn[known])

    def _allow(self) -> None:
        if self.refusal:
            raise InputError(self.refusal)

    def _draw(self, law: str, width: int, draw: str, index: int) -> Tensor:
        self._allow()
        known = (law, draw, width, index)
        if known not in self._drawn:
            key = seeds.stream_key(self.seed, self.name, draw)
            sample = seeds.normals if law == "normal" else seeds.uniforms
            values = sample(key, self.message, self.attempt, width, index)
            self._drawn[known] = torch.from_numpy(values.astype(np.float32)).to(self.device)
        return self._given(self._drawn[known])


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A perturbation as injected: ``delta`` [N, K] within its budget, ``verdict`` [N] words.

    ``flipped_bits`` [N]: where the adversary flips bits.
    """

    delta: Tensor
    verdict: NDArray[np.object_]
    flipped_bits: Floats | None = None
