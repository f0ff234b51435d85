"""The event plane against a bare simpy timeout: at most 30 of them per transmission."""

from __future__ import annotations

import time
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import simpy

from channelsim.link.link import Link
from channelsim.link.medium import media
from channelsim.simulation.message_life import arrivals

MESSAGES = 100_000


def bare_timeout_s() -> float:
    """Seconds of one timeout in an otherwise idle process."""

    def tick(env: simpy.Environment) -> Any:
        for _ in range(MESSAGES):
            yield env.timeout(1.0)

    env = simpy.Environment()
    env.process(tick(env))
    start = time.perf_counter()
    env.run()
    return (time.perf_counter() - start) / MESSAGES


def answered(*_: int) -> Generator[simpy.Event, bool, bool]:
    """The decision about an attempt of a group that has been judged."""
    return True
    yield  # makes it a generator


def transmission_s(judged: bool) -> float:
    """Seconds per transmission through `arrivals` and `life`; Batcher and ledger are out."""
    env = simpy.Environment()
    world = SimpleNamespace(
        number=0,
        media=media(env, Link(), latent_size=10, seed=0),
        max_attempts=1,
        receiver_latency_s=0.02,
        waits=judged,
        judged=judged,
        watched=False,
        acknowledges=False,
        fate=lambda *_: 0,
        submit=lambda *_: None,
        accepts=answered,
        settled=SimpleNamespace(add=lambda *_: None),
    )
    env.process(arrivals(env, [message / 200 for message in range(MESSAGES)], [world]))
    start = time.perf_counter()
    env.run()
    return (time.perf_counter() - start) / MESSAGES


def bench_event_plane_per_transmission() -> None:
    bare = min(bare_timeout_s() for _ in range(3))
    for judged in (False, True):
        ours = min(transmission_s(judged) for _ in range(3))
        kind = "with a detector" if judged else "open loop"
        print(
            f"\nevent plane, {kind}: {ours * 1e6:.1f} us a transmission ="
            f" {ours / bare:.1f} bare timeouts of {bare * 1e6:.2f} us (at most 30)"
        )
        assert ours <= 30 * bare
