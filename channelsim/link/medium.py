"""Access to the medium between transmitters and receiver, in simulated time.

A medium carries codewords one way and, where the link is half duplex, the receiver's answers the
other way; `Link` states the rules. Sending yields a `Passage`. Nothing here handles a codeword's
values: only times, numbers, and random draws by message and attempt.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import simpy
from simpy.events import EventPriority

from channelsim.link.link import Link
from channelsim.support import seeds

RECEIVER = -1  # the receiver's number among the stations; transmitters count from 0

_LARGEST_WINDOW = 10  # backoffs stop doubling here, as in Ethernet
_LATE = EventPriority(2)  # after everything else of the same moment
_ROUNDING = 1e-6  # of a codeword or slot: times that differ by less are the same
_MESSAGES, _INDICES = 32, 8  # whose draws are computed at once


class Passage(NamedTuple):
    """The outcome of sending one codeword or answer.

    ``began_s``, ``ended_s`` [s]: when its first and its last symbol left. ``destroyed``: whether
    another signal was on the medium meanwhile.
    """

    began_s: float
    ended_s: float
    destroyed: bool


Sending = Generator[simpy.Event, Any, Passage]
Waiting = Generator[simpy.Event, Any, None]


def media(env: simpy.Environment, link: Link, latent_size: int, seed: int) -> Media:
    """The medium of every transmitter of a link: one for all, or one each."""

    def new() -> Medium:
        if link.access != "queue":
            return _CONTENTIONS[link.access](env, link, latent_size, seed)
        alike = link.priorities is None or len(set(link.priorities)) == 1
        return (Queue if alike or link.medium == "own" else PriorityQueue)(env, link, latent_size)

    return Media(link, new)


class Media:
    """Finds the medium of a message; separate media are made on first use."""

    def __init__(self, link: Link, new: Callable[[], Medium]) -> None:
        self._transmitters = link.transmitters
        self._new = new
        self._shared = new() if link.medium == "shared" or link.transmitters == 1 else None
        self._own: dict[int, Medium] = {}

    def of(self, message: int) -> Medium:
        """The medium that this message crosses."""
        if self._shared is not None:
            return self._shared
        transmitter = message % self._transmitters
        if transmitter not in self._own:
            self._own[transmitter] = self._new()
        return self._own[transmitter]


class Medium(ABC):
    """One medium and its stations."""

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int) -> None:
        self.env = env
        self.latency_s = link.latency_s
        self.airtime_s = link.airtime_s(latent_size)
        self.answer_s = link.answer_s
        self._half = link.duplex == "half"
        self._transmitters = link.transmitters

    def send(self, message: int, attempt: int) -> Sending:
        """Send a codeword as soon as access allows; returns when its last symbol has arrived."""
        return self._cross(message % self._transmitters, self.airtime_s, message, attempt)

    def answer(self, message: int, attempt: int) -> Sending:
        """Answer an attempt; returns when the transmitter has heard the answer, or would have."""
        if self._half:
            return self._cross(RECEIVER, self.answer_s, message, attempt)
        return self._returned()

    def _returned(self) -> Sending:
        now = self.env.now
        yield self.env.timeout(self.latency_s)
        return Passage(now, now, False)

    def backoff_s(self, message: int, attempt: int) -> float:  # noqa: ARG002
        """Time that the transmitter waits beyond the silence that followed this attempt."""
        return 0.0

    def _until(self, time_s: float) -> simpy.Event:
        return self.env.timeout(max(0.0, time_s - self.env.now))

    @abstractmethod
    def _cross(self, station: int, length_s: float, message: int, attempt: int) -> Sending:
        """Send a signal of this length as this station."""


# --- turns in order -----------------------------------------------------------------------------


class Queue(Medium):
    """First come, first served.

    The medium is free again when the last signal booked is through, so that a crossing takes one
    event, however many wait.
    """

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int) -> None:
        super().__init__(env, link, latent_size)
        self._free_at_s = 0.0
        self._outward = True  # direction of the last signal booked

    def _cross(self, station: int, length_s: float, message: int, attempt: int) -> Sending:  # noqa: ARG002
        env = self.env
        outward = station != RECEIVER
        if outward != self._outward:
            # The last signal's end still has to reach the stations that send now.
            self._free_at_s += self.latency_s
            self._outward = outward
        began_s = max(env.now, self._free_at_s)
        ended_s = self._free_at_s = began_s + length_s
        yield env.timeout(ended_s + self.latency_s - env.now)
        return Passage(began_s, ended_s, False)


class PriorityQueue(Medium):
    """The lowest number first, equals in order of request; a transmission is not interrupted.

    An answer has the priority of the transmitter that waits for it.
    """

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int) -> None:
        super().__init__(env, link, latent_size)
        assert link.priorities is not None
        self._priorities = link.priorities
        self._turns = Turns(env)
        self._free_at_s = 0.0
        self._outward = True

    def _cross(self, station: int, length_s: float, message: int, attempt: int) -> Sending:  # noqa: ARG002
        env = self.env
        yield self._turns.ask(self._priorities[message % self._transmitters])
        outward = station != RECEIVER
        turned = outward != self._outward
        began_s = max(env.now, self._free_at_s + (self.latency_s if turned else 0.0))
        ended_s = self._free_at_s = began_s + length_s
        self._outward = outward
        yield self._until(ended_s)
        self._turns.free()
        yield self._until(ended_s + self.latency_s)
        return Passage(began_s, ended_s, False)


class Turns:
    """Gives turns one by one: the lowest priority first, equals in order of request.

    A turn is given when all requests of a moment have been made, so that priority decides among
    them and not the order in which the simulation happens to run them.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._waiting: list[tuple[int, int, simpy.Event]] = []
        self._asked = itertools.count()
        self._taken = False

    def ask(self, priority: int = 0) -> simpy.Event:
        """An event that happens when the caller's turn begins."""
        turn = self._env.event()
        heapq.heappush(self._waiting, (priority, next(self._asked), turn))
        if not self._taken:
            self._taken = True
            _Late(self._env, self._give)
        return turn

    def free(self) -> bool:
        """End the current turn; returns whether another station waits."""
        if self._waiting:
            _Late(self._env, self._give)
        else:
            self._taken = False
        return self._taken

    def _give(self, _moment: simpy.Event) -> None:
        heapq.heappop(self._waiting)[2].succeed()


class _Late(simpy.Event):
    """An event that happens now, after all others of this moment."""

    def __init__(self, env: simpy.Environment, then: Callable[[simpy.Event], None]) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        self.callbacks.append(then)
        env.schedule(self, priority=_LATE)


# --- contention ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Signal:
    """A signal on the medium, from its first symbol to its last."""

    station: int
    began_s: float
    ended_s: float
    destroyed: bool = False


class Contention(Medium):
    """Stations that send by themselves; signals that overlap destroy each other.

    Every station has its own queue. ``_on_air``: signals that a new one could meet or hear, as many
    as there are stations at most (and those of the last ``carrier_s``, for which a signal matters
    after it has left). ``unit_s``: of backoffs.
    """

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int, seed: int) -> None:
        super().__init__(env, link, latent_size)
        self.unit_s = self.airtime_s
        self.carrier_s = 0.0
        self._seed = seed
        self._stations: dict[int, Turns] = {}
        self._on_air: list[_Signal] = []

    def backoff_s(self, message: int, attempt: int) -> float:
        """Uniform over 2^n units after the n-th attempt (attempts count from 0)."""
        return self._window(attempt) * self._draw("backoff", message, attempt)

    def _window(self, attempt: int) -> float:
        return 2 ** min(attempt + 1, _LARGEST_WINDOW) * self.unit_s

    def _draw(self, what: str, message: int, attempt: int, index: int = 0) -> float:
        """A uniform number in (0, 1), the same in every arm."""
        block, place = divmod(message, _MESSAGES)
        page, column = divmod(index, _INDICES)
        return _draws(_key(self._seed, what), block, attempt, page)[place][column]

    def _cross(self, station: int, length_s: float, message: int, attempt: int) -> Sending:
        if station not in self._stations:
            self._stations[station] = Turns(self.env)
        yield self._stations[station].ask()
        yield from self._until_it_may_begin(station, message, attempt)
        began_s = self._beginning_s()
        signal = _Signal(station, began_s, began_s + length_s)
        self._meet(signal)
        yield self._until(signal.ended_s)
        self._rest(station, message, attempt)
        yield self._until(signal.ended_s + self.latency_s)
        return Passage(signal.began_s, signal.ended_s, signal.destroyed)

    def _until_it_may_begin(self, station: int, message: int, attempt: int) -> Waiting:  # noqa: ARG002
        """Wait until the access rules let a station send."""
        yield from ()

    def _beginning_s(self) -> float:
        return self.env.now

    def _rest(self, station: int, message: int, attempt: int) -> None:  # noqa: ARG002
        """End the turn of a station that has sent."""
        self._free(station)

    def _meet(self, signal: _Signal) -> None:
        """Put a signal on the medium; it and those it overlaps are destroyed."""
        touch_s = _ROUNDING * self.airtime_s
        gone_s = signal.began_s - self.carrier_s
        self._on_air = [other for other in self._on_air if other.ended_s > gone_s]
        for other in self._on_air:  # they began earlier, or at the same time
            if other.ended_s > signal.began_s + touch_s:
                other.destroyed = signal.destroyed = True
        self._on_air.append(signal)

    def _free(self, station: int) -> None:
        if not self._stations[station].free():
            del self._stations[station]  # only stations with messages take memory


class Aloha(Contention):
    """Every station sends at once."""

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int, seed: int) -> None:
        super().__init__(env, link, latent_size, seed)
        self.unit_s = 2 * self.airtime_s  # signals that begin within it, centred on one, destroy it


class SlottedAloha(Contention):
    """Every station sends at the next slot; slot k begins at k·``slot_s``."""

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int, seed: int) -> None:
        super().__init__(env, link, latent_size, seed)
        self.unit_s = self.slot_s = max(self.airtime_s, self.answer_s if link.answers else 0.0)

    def backoff_s(self, message: int, attempt: int) -> float:
        """Whole slots, uniform from 0 to 2^n − 1 after the n-th attempt."""
        return math.floor(super().backoff_s(message, attempt) / self.slot_s) * self.slot_s

    def _until_it_may_begin(self, station: int, message: int, attempt: int) -> Waiting:  # noqa: ARG002
        wait_s = self._beginning_s() - self.env.now
        if wait_s > 0:
            yield self.env.timeout(wait_s)

    def _beginning_s(self) -> float:
        # The first slot not yet begun; a clock that is off by a rounding error is on time. Times
        # are multiples of the slot, so that one slot's end is the next one's beginning exactly.
        return math.ceil(self.env.now / self.slot_s - _ROUNDING) * self.slot_s


class Csma(Contention):
    """Every station listens first; if it hears a signal, it waits and listens again."""

    def __init__(self, env: simpy.Environment, link: Link, latent_size: int, seed: int) -> None:
        super().__init__(env, link, latent_size, seed)
        self.carrier_s = self.latency_s
        self.unit_s = self.airtime_s + self.latency_s

    def _until_it_may_begin(self, station: int, message: int, attempt: int) -> Waiting:
        what = "listening to answer" if station == RECEIVER else "listening"
        heard = 0
        while self._hears(station):
            share = self._draw(what, message, attempt, heard)
            heard += 1
            yield self.env.timeout(self._window(attempt) * share)

    def _hears(self, station: int) -> bool:
        """Whether another station's signal is passing by this station now."""
        left_s = self.env.now - self.latency_s  # signals here now left then
        return any(
            other.began_s <= left_s < other.ended_s and other.station != station
            for other in self._on_air
        )

    def _rest(self, station: int, message: int, attempt: int) -> None:
        if station == RECEIVER:  # it sends only when it is asked to
            self._free(station)
            return
        pause_s = self._window(0) * self._draw("pause", message, attempt)
        self.env.timeout(pause_s).callbacks.append(lambda _: self._free(station))


_CONTENTIONS: dict[str, type[Contention]] = {
    "aloha": Aloha,
    "slotted_aloha": SlottedAloha,
    "csma": Csma,
}


@functools.lru_cache(maxsize=64)
def _key(seed: int, what: str) -> tuple[int, int]:
    """The stream of one kind of the link's draws."""
    return seeds.stream_key(seed, "link", what)


@functools.lru_cache(maxsize=512)
def _draws(key: tuple[int, int], block: int, attempt: int, page: int) -> list[list[float]]:
    messages = np.arange(block * _MESSAGES, (block + 1) * _MESSAGES, dtype=np.int64)
    return seeds.uniforms(key, messages, attempt, _INDICES, page).tolist()
