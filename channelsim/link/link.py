"""The link between transmitters and receiver: its keys, times, and rules of access."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Strict, model_validator

from channelsim.contracts.parts import Count, Fraction, NonNegative, Part, Positive, part


@part
class Link(Part):
    """Transmitters, one receiver, and the medium between them. The defaults are the project's.

    **Time and loss.** A codeword of K real values is ⌈K/2⌉ complex symbols and occupies the medium
    for that many symbol times; a message that finds its transmitter or its medium busy waits.
    ``latency_s`` [s]: propagation, each way, the same between any two stations.
    ``symbol_rate_hz`` [symbols/s]. ``loss``: probability that an attempt never arrives, independent
    of everything else. ``max_attempts``: crossings per message; above 1 the receiver asks again
    after a rejection (the request takes ``latency_s``), and the transmitter repeats after
    ``timeout_s`` [s] of silence, counted from the end of sending (default: there and back again,
    plus the receiver's latency, plus the answer's own time where the link is half duplex). While a
    message waits for its answer, its transmitter goes on with the next.

    **Stations.** ``transmitters``: how many; messages are dealt in turn, message i to transmitter i
    mod ``transmitters``. ``priorities``: one whole number per transmitter, lower goes first, as in
    simpy (default: all 0); a transmission under way is not interrupted, and equals go in order of
    request. They order the turns of ``access: queue`` on a shared medium and nothing else.
    ``medium``: ``shared``, one for all; ``own``, one for each transmitter.

    **Answers.** ``duplex: full`` (default): answers return on a separate channel and disturb
    nothing. ``duplex: half``: they occupy the medium for ``answer_symbols`` (default 4) symbol
    times like everything else: the request to send again after a rejection, and an acknowledgement
    of what was accepted. Only what could be repeated is answered: nothing where ``max_attempts`` is
    1, and not the last attempt. Answers are not subject to ``loss``. The transmitter waits for an
    answer that waits for the medium; a destroyed answer is silence, and a needless repetition after
    a destroyed acknowledgement takes its time on the medium but is not decoded again.

    **Access.** Two signals that overlap in time on one medium destroy each other.

    * ``queue`` (default): turns are given in order by a central scheduler, and no signals overlap;
      on a half-duplex link a turn the other way begins ``latency_s`` after the last.
    * ``aloha``: every station sends at once (Abramson 1970).
    * ``slotted_aloha``: every station sends at the next slot (Roberts 1975); a slot is as long as a
      codeword, or as an answer where that is longer and the link is half duplex.
    * ``csma``: a station listens and sends if the medium is idle, else listens again after a random
      backoff (non-persistent: Kleinrock & Tobagi 1975). It hears a signal ``latency_s`` after it
      began, and until ``latency_s`` after its end: a signal that begins within ``latency_s`` of
      another is not heard in time. After each codeword a transmitter pauses for a backoff as after
      its first attempt, or it would keep the medium for as long as it has messages.

    Every station has its own queue and never overlaps itself. Except with ``queue``, silence is
    followed by a random backoff: after the n-th attempt uniform over 2^min(n, 10) times the
    codeword's vulnerable time, which is two codewords for ``aloha`` and a slot for
    ``slotted_aloha`` (whole slots), and for ``csma`` over as many times a codeword with its
    ``latency_s``; a station that hears a signal before its n-th attempt waits as long to listen
    again.
    """

    kind: ClassVar[str] = "link"

    latency_s: NonNegative = 0.02
    symbol_rate_hz: Positive = 20e3
    loss: Fraction = 0.0
    max_attempts: Count = 1
    timeout_s: Positive | None = None
    transmitters: Count = 1
    priorities: tuple[Annotated[int, Strict()], ...] | None = None
    medium: Literal["shared", "own"] = "shared"
    duplex: Literal["full", "half"] = "full"
    answer_symbols: Count = 4
    access: Literal["queue", "aloha", "slotted_aloha", "csma"] = "queue"

    @model_validator(mode="after")
    def _one_priority_each(self) -> Link:
        if self.priorities is not None and len(self.priorities) != self.transmitters:
            raise ValueError(
                f"priorities must be one number per transmitter, and {len(self.priorities)} are"
                f" given for transmitters: {self.transmitters}; name {self.transmitters}, or leave"
                " priorities out for first come, first served"
            )
        return self

    @property
    def answers(self) -> bool:
        """Whether the receiver's answers take turns on the medium."""
        return self.duplex == "half" and self.max_attempts > 1

    @property
    def contended(self) -> bool:
        """Whether codewords may destroy each other."""
        meets = self.answers or (self.medium == "shared" and self.transmitters > 1)
        return self.access != "queue" and meets

    def airtime_s(self, latent_size: int) -> float:
        """Time that one codeword of K real values occupies the link."""
        return math.ceil(latent_size / 2) / self.symbol_rate_hz

    def spacing_s(self, latent_size: int) -> float:
        """Least time from one message's beginning to the next one's, on average over many."""
        sharing = self.transmitters if self.medium == "own" else 1
        return self.airtime_s(latent_size) / sharing

    @property
    def answer_s(self) -> float:
        """Time that an answer occupies the medium: 0 on a full-duplex link."""
        return self.answer_symbols / self.symbol_rate_hz if self.duplex == "half" else 0.0

    def silence_s(self, receiver_latency_s: float) -> float:
        """Time after sending that the transmitter waits for an answer before it repeats."""
        if self.timeout_s is not None:
            return self.timeout_s
        return 2 * self.latency_s + receiver_latency_s + self.answer_s

    @property
    def idle(self) -> tuple[str, ...]:
        """Keys that are given and have no effect here, a sentence each."""
        found = []
        if self.access != "queue" and not self.contended:
            found.append(
                "link: access changes little while nobody meets anybody; contention needs"
                " medium: shared with several transmitters, or duplex: half with max_attempts"
                " above 1"
            )
        ordered = self.priorities is not None and len(set(self.priorities)) > 1
        if ordered and (self.access != "queue" or self.medium == "own"):
            found.append(
                "link: priorities change nothing; they order the turns of access: queue on"
                " medium: shared"
            )
        if self.duplex == "half" and self.max_attempts == 1:
            found.append(
                "link: duplex: half changes nothing while max_attempts is 1: nothing is ever asked"
                " for again, so nobody answers"
            )
        return tuple(found)


def notices(links: Sequence[tuple[Link, int]]) -> tuple[str, ...]:
    """Notices to the user about the links of all arms, each with its latent size K."""
    # A key that has an effect in some arm of a sweep needs no notice.
    found = [text for text in links[0][0].idle if all(text in link.idle for link, _ in links)]
    late = [
        (link.latency_s / link.airtime_s(latent_size), link.latency_s)
        for link, latent_size in links
        if link.access == "csma" and link.contended
    ]
    codewords, latency_s = max(late, default=(0.0, 0.0))
    if codewords > 1:
        found.append(
            f"link: with access: csma a codeword is heard {latency_s:g} s after it began, which is"
            f" {codewords:.3g} times as long as it lasts: listening avoids few collisions"
        )
    return tuple(found)
