"""The medium: queues, contention and half duplex against the textbooks' closed forms."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import simpy

from channelsim.contracts.records import COLLIDED, AttemptsDone, TransmissionsDone
from channelsim.link.link import Link
from channelsim.link.medium import Passage, Turns, media
from channelsim.scenario import Scenario
from channelsim.simulation.event_plane import simulate
from channelsim.support import seeds
from channelsim.support.errors import InputError

# One symbol a codeword and one symbol a second: times count in codewords.
ONE = {"symbol_rate_hz": 1.0, "latency_s": 0.0}
LATENT = 2
STUDY: dict[str, Any] = {
    "source": {"kind": "dataset", "count": 20},
    "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 8}}},
    "metrics": ["mse"],
    "control": False,
    "block_rows": 16,
}


def passages(link: Link, times: Sequence[tuple[float, int]], seed: int = 0) -> dict[int, Passage]:
    """Send (time, message) pairs once each, without repeats; the outcome of every message."""
    env = simpy.Environment()
    every = media(env, link, LATENT, seed)
    found: dict[int, Passage] = {}

    def one(message: int) -> Any:
        assert message not in found
        found[message] = yield from every.of(message).send(message, 0)

    def arrivals() -> Any:
        for time, message in sorted(times):
            yield env.timeout(max(0.0, time - env.now))
            env.process(one(message))

    env.process(arrivals())
    env.run()
    assert len(found) == len(times), "a message never left"
    return found


def poisson(rate_hz: float, count: int, name: str) -> np.ndarray:
    """Arrival times of one Poisson stream; own draws for every name."""
    gaps = seeds.exponentials(seeds.stream_key(5, "test", name), np.arange(count))
    return np.cumsum(gaps) / rate_hz


def mean_and_error(values: np.ndarray, batches: int = 50) -> tuple[float, float]:
    """Mean and its standard error, from means of consecutive batches: neighbours are correlated."""
    means = np.array([batch.mean() for batch in np.array_split(values, batches)])
    return float(values.mean()), float(means.std(ddof=1) / batches**0.5)


def busy(found: dict[int, Passage]) -> np.ndarray:
    """[N, 2] times of sending, in order of beginning."""
    return np.array(sorted((passage.began_s, passage.ended_s) for passage in found.values()))


# --- turns in order -----------------------------------------------------------------------------


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_mean_wait_of_a_queue_is_that_of_pollaczek_and_khinchine(load: float) -> None:
    # M/D/1: service time 1, so W = ρ / (2(1 − ρ)).
    count = 100_000
    times = poisson(load, count, "queue")
    link = Link(**ONE, transmitters=4)
    found = passages(link, [(time, i) for i, time in enumerate(times)])
    waits = np.array([found[i].began_s for i in range(count)]) - times
    mean, error = mean_and_error(waits)
    expected = load / (2 * (1 - load))
    assert error < 0.05 * expected, "too few messages to tell a factor of two"
    assert mean == pytest.approx(expected, abs=3.5 * error)
    assert not any(passage.destroyed for passage in found.values())


def test_who_has_priority_waits_as_long_as_cobham_says() -> None:
    # M/D/1 with classes, non-preemptive: W_k = ρ/2 / ((1 − σ_{k−1})(1 − σ_k)).
    loads, count = (0.3, 0.4), 60_000
    sent = {  # messages of transmitter k are those with message mod 2 = k, Poisson each
        k: {2 * i + k: time for i, time in enumerate(poisson(load, int(count * load), f"class{k}"))}
        for k, load in enumerate(loads)
    }
    link = Link(**ONE, transmitters=2, priorities=(-1, 5))
    times = [(time, message) for k in sent for message, time in sent[k].items()]
    found = passages(link, times)
    whole = sum(loads)
    for k, messages in sent.items():
        waits = np.array([found[message].began_s - time for message, time in messages.items()])
        mean, error = mean_and_error(waits)
        before, after = sum(loads[:k]), sum(loads[: k + 1])
        expected = whole / 2 / ((1 - before) * (1 - after))
        assert error < 0.05 * expected
        assert mean == pytest.approx(expected, abs=3.5 * error), k
    gaps = np.diff(busy(found).ravel())[1::2]
    assert gaps.min() > -1e-6  # no interruption, no overlap


def test_equal_priorities_are_first_come_first_served_whichever_way_they_are_written() -> None:
    times = [(time, i) for i, time in enumerate(poisson(0.8, 500, "equal"))]
    plain = passages(Link(**ONE, transmitters=3), times)
    equal = passages(Link(**ONE, transmitters=3, priorities=(7, 7, 7)), times)
    assert plain == equal
    # Two classes of which one is never used: the general queue must keep the same order and times.
    general = passages(Link(**ONE, transmitters=600, priorities=(7,) * 599 + (8,)), times)
    for i in range(500):
        assert general[i].began_s == pytest.approx(plain[i].began_s, abs=1e-6)


def test_of_those_who_ask_at_once_the_first_in_priority_goes_first() -> None:
    link = Link(**ONE, transmitters=3, priorities=(2, 1, 0))
    found = passages(link, [(0.0, i) for i in range(6)])
    assert sorted(found, key=lambda i: found[i].began_s) == [2, 5, 1, 4, 0, 3]
    assert busy(found).tolist() == [[i, i + 1] for i in range(6)]


def test_a_turn_that_ends_as_somebody_asks_goes_to_the_lower_number() -> None:
    env = simpy.Environment()
    turns, order = Turns(env), []

    def station(name: str, asks_s: float, priority: int) -> Any:
        yield env.timeout(asks_s)
        yield turns.ask(priority)
        order.append((name, env.now))
        yield env.timeout(1.0)
        turns.free()

    for name, asks_s, priority in (("first", 0, 1), ("waiting", 0.5, 1), ("just in time", 1, 0)):
        env.process(station(name, asks_s, priority))
    env.run()
    assert order == [("first", 0.0), ("just in time", 1.0), ("waiting", 2.0)]


def test_on_media_of_their_own_transmitters_do_not_wait_for_each_other() -> None:
    for access in ("queue", "aloha", "csma"):
        link = Link(**ONE, transmitters=3, medium="own", access=access)
        found = passages(link, [(0.0, i) for i in range(3)])
        assert busy(found).tolist() == [[0, 1]] * 3
        assert not any(passage.destroyed for passage in found.values())
    shared = passages(Link(**ONE, transmitters=3), [(0.0, i) for i in range(3)])
    assert busy(shared).tolist() == [[0, 1], [1, 2], [2, 3]]


# --- contention ---------------------------------------------------------------------------------


def throughput(access: str, load: float, count: int) -> tuple[float, float]:
    """Codewords delivered per codeword time, and the standard error.

    Every message has a transmitter of its own: the infinite population of the textbooks.
    """
    times = poisson(load, count, access)
    link = Link(**ONE, transmitters=count, access=access)
    found = passages(link, [(time, i) for i, time in enumerate(times)])
    through = np.array([not found[i].destroyed for i in range(count)], dtype=float)
    mean, error = mean_and_error(through)
    return load * mean, load * error


@pytest.mark.parametrize("load", [0.25, 0.5, 1.5])
def test_pure_aloha_carries_g_exp_minus_two_g(load: float) -> None:
    carried, error = throughput("aloha", load, 20_000)
    expected = load * np.exp(-2 * load)
    assert error < 0.1 * expected
    assert carried == pytest.approx(expected, abs=3.5 * error)


@pytest.mark.parametrize("load", [0.25, 1.0, 2.0])
def test_slotted_aloha_carries_g_exp_minus_g(load: float) -> None:
    carried, error = throughput("slotted_aloha", load, 20_000)
    expected = load * np.exp(-load)
    assert error < 0.1 * expected
    assert carried == pytest.approx(expected, abs=3.5 * error)


def test_slots_of_a_length_that_binary_numbers_cannot_hold_do_not_overlap() -> None:
    # 0.3 s a codeword: sums and products of it differ in the last bit.
    link = Link(latency_s=0.0, symbol_rate_hz=1 / 0.3, transmitters=2, access="slotted_aloha")
    times = [(0.3 * i, i) for i in range(5000)]  # turn by turn, each exactly on its slot
    found = passages(link, times)
    assert not any(passage.destroyed for passage in found.values())
    slots = np.array([found[i].began_s for i in range(5000)]) / 0.3
    assert slots == pytest.approx(np.arange(5000), abs=1e-6)


@pytest.mark.parametrize("access", ["aloha", "slotted_aloha", "csma"])
def test_a_transmitter_never_overlaps_itself(access: str) -> None:
    link = Link(**ONE, transmitters=1, access=access)
    found = passages(link, [(0.1 * i, i) for i in range(300)])
    times = busy(found)
    assert (times[1:, 0] - times[:-1, 1]).min() > -1e-6
    assert not any(passage.destroyed for passage in found.values())
    # A transmitter's own messages leave in order of their requests.
    assert [found[i].began_s for i in range(300)] == sorted(times[:, 0])


def test_a_station_does_not_mistake_its_own_signal_for_somebody_elses() -> None:
    # Its pauses are shorter than the time for which others still hear its last codeword.
    link = Link(symbol_rate_hz=1.0, latency_s=5.0, access="csma")
    times = busy(passages(link, [(0.0, i) for i in range(200)]))
    pauses = times[1:, 0] - times[:-1, 1]
    assert 0 < pauses.min() < 5.0
    assert pauses.max() < 2 * (1 + 5.0)


def overlapping_pairs(found: dict[int, Passage]) -> list[tuple[int, int]]:
    """All pairs of messages that were on the medium at once, found by comparing every two."""
    return [
        (a, b)
        for a, b in itertools.combinations(sorted(found), 2)
        if found[a].began_s < found[b].ended_s - 1e-6 and found[b].began_s < found[a].ended_s - 1e-6
    ]


@pytest.mark.parametrize("access", ["aloha", "slotted_aloha", "csma"])
def test_destroyed_are_exactly_those_that_overlap(access: str) -> None:
    # Four transmitters with queues and a carrier that is heard late.
    link = Link(symbol_rate_hz=1.0, latency_s=0.4, transmitters=4, access=access)
    times = [(time, i) for i, time in enumerate(poisson(0.6, 400, "overlap"))]
    found = passages(link, times)
    pairs = overlapping_pairs(found)
    assert pairs
    met = set(itertools.chain.from_iterable(pairs))
    assert met == {message for message, passage in found.items() if passage.destroyed}
    assert all(a % 4 != b % 4 for a, b in pairs)


def test_who_hears_at_once_never_collides() -> None:
    link = Link(**ONE, transmitters=5, access="csma")
    times = [(time, i) for i, time in enumerate(poisson(0.9, 1000, "csma"))]
    found = passages(link, [*times, *((0.0, i) for i in range(1000, 1010))])
    assert not any(passage.destroyed for passage in found.values())
    assert overlapping_pairs(found) == []


@pytest.mark.parametrize("latency_s", [0.1, 0.5, 2.0])
def test_carrier_sense_collides_only_inside_the_vulnerable_time(latency_s: float) -> None:
    link = Link(symbol_rate_hz=1.0, latency_s=latency_s, transmitters=2, access="csma")
    times = [(time, i) for i, time in enumerate(poisson(0.6, 1000, "vulnerable"))]
    found = passages(link, times)
    pairs = overlapping_pairs(found)
    apart = [abs(found[a].began_s - found[b].began_s) for a, b in pairs]
    assert len(apart) > 10
    assert max(apart) < min(1.0, latency_s) + 1e-6
    # Without carrier sensing some would have overlapped with larger gaps.
    deaf = passages(Link(**ONE, transmitters=2, access="aloha"), times)
    assert max(abs(deaf[a].began_s - deaf[b].began_s) for a, b in overlapping_pairs(deaf)) > 0.9


def test_one_who_has_much_to_say_does_not_keep_a_sensed_medium() -> None:
    # Transmitter 0 has a thousand messages at once; transmitter 1 gets its own through beside it.
    link = Link(**ONE, transmitters=2, access="csma")
    backlog = [(0.0, 2 * i) for i in range(1000)]
    found = passages(link, [*backlog, *((10.0 * i, 2 * i + 1) for i in range(20))])
    last = max(found[2 * i + 1].ended_s for i in range(20))
    assert last < 400 < max(passage.ended_s for passage in found.values())


def test_backoffs_are_uniform_double_each_time_and_belong_to_message_and_attempt() -> None:
    env = simpy.Environment()
    medium = media(env, Link(**ONE, transmitters=2, access="aloha"), LATENT, 3).of(0)
    for attempt, window in ((0, 4), (2, 16), (30, 2048)):
        waits = np.array([medium.backoff_s(i, attempt) for i in range(4000)]) / window
        assert 0 < waits.min() < waits.max() < 1
        assert waits.mean() == pytest.approx(0.5, abs=4 / (12 * 4000) ** 0.5)
        assert waits.var() == pytest.approx(1 / 12, rel=0.1)
    again = media(env, Link(**ONE, transmitters=9, access="aloha"), LATENT, 3).of(5)
    assert [again.backoff_s(i, 1) for i in (5, 4, 3)] == [medium.backoff_s(i, 1) for i in (5, 4, 3)]
    slotted = media(env, Link(**ONE, transmitters=2, access="slotted_aloha"), LATENT, 3).of(0)
    slots = [slotted.backoff_s(i, 1) for i in range(400)]
    assert set(slots) == {0.0, 1.0, 2.0, 3.0}


# --- half duplex --------------------------------------------------------------------------------


def conversation(link: Link, count: int, load: float) -> tuple[list[Passage], list[Passage]]:
    """Every codeword that arrives is answered: all codewords sent and all answers."""
    env = simpy.Environment()
    every = media(env, link, LATENT, 1)
    data: list[Passage] = []
    answers: list[Passage] = []

    def one(message: int) -> Any:
        medium = every.of(message)
        sent = yield from medium.send(message, 0)
        data.append(sent)
        if not sent.destroyed:
            answers.append((yield from medium.answer(message, 0)))
            assert env.now == pytest.approx(answers[-1].ended_s + link.latency_s)

    def arrivals() -> Any:
        for message, time in enumerate(poisson(load, count, "conversation")):
            yield env.timeout(time - env.now)
            env.process(one(message))

    env.process(arrivals())
    env.run()
    return data, answers


HALF: dict[str, Any] = {"duplex": "half", "max_attempts": 2, "answer_symbols": 1, "transmitters": 3}


@pytest.mark.parametrize("priorities", [None, (0, 1, 2)])
@pytest.mark.parametrize("latency_s", [0.0, 0.3])
def test_answers_and_codewords_take_turns(latency_s: float, priorities: Any) -> None:
    link = Link(symbol_rate_hz=1.0, latency_s=latency_s, **HALF, priorities=priorities)
    data, answers = conversation(link, 400, 0.4)
    assert len(data) == len(answers) == 400
    marked = sorted(
        (passage.began_s, passage.ended_s, outward)
        for outward, kind in ((True, data), (False, answers))
        for passage in kind
    )
    assert not any(passage.destroyed for passage in (*data, *answers))
    gaps = [
        (begins - ended, outward != before)
        for (_, ended, before), (begins, _, outward) in itertools.pairwise(marked)
    ]
    assert min(gap for gap, _ in gaps) > -1e-6
    # A change of direction waits until the last symbol has passed all stations.
    assert min(gap for gap, turned in gaps if turned) > latency_s - 1e-6
    # The medium is shared: some answers waited for codewords, some codewords for answers.
    assert any(not turned and gap < 1e-6 for gap, turned in gaps)


def test_a_sensed_medium_without_delay_never_lets_answers_meet_codewords() -> None:
    data, answers = conversation(Link(**ONE, **HALF, access="csma"), 400, 0.4)
    assert len(answers) == 400
    found = dict(enumerate([*data, *answers]))
    assert overlapping_pairs(found) == []
    assert not any(passage.destroyed for passage in found.values())


def test_answers_of_who_does_not_listen_are_destroyed_like_codewords() -> None:
    data, answers = conversation(Link(**ONE, **HALF, access="aloha"), 1000, 0.3)
    found = dict(enumerate([*data, *answers]))
    met = set(itertools.chain.from_iterable(overlapping_pairs(found)))
    assert met == {i for i, passage in found.items() if passage.destroyed}
    assert {i >= len(data) for i in met} == {False, True}


def test_full_duplex_answers_disturb_nobody() -> None:
    link = Link(symbol_rate_hz=1.0, latency_s=0.3, **HALF | {"duplex": "full"})
    data, answers = conversation(link, 400, 0.4)
    silent = passages(link, [(t, i) for i, t in enumerate(poisson(0.4, 400, "conversation"))])
    assert sorted(data) == sorted(silent.values())
    assert {passage.ended_s - passage.began_s for passage in answers} == {0.0}


# --- scenario files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"transmitters": 4, "priorities": [0, 1]},
            "link: priorities must be one number per transmitter, and 2 are given for"
            " transmitters: 4; name 4, or leave priorities out for first come, first served",
        ),
        ({"transmitters": 0}, "link.transmitters: must be at least 1, was given 0"),
        ({"priorities": [0.5]}, "link.priorities[0]: must be a whole number, was given 0.5"),
        (
            {"access": "slotted-aloha"},
            "link.access: must be queue, aloha, slotted_aloha or csma, was given 'slotted-aloha'."
            " Did you mean slotted_aloha?",
        ),
        ({"medium": "air"}, "link.medium: must be shared or own, was given 'air'"),
        ({"duplex": "simplex"}, "link.duplex: must be full or half, was given 'simplex'"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        Scenario.load(STUDY | {"link": keys})
    assert str(refusal.value) == said


NOBODY = "link: access changes little while nobody meets anybody"
RANKS = "link: priorities change nothing; they order the turns of access: queue on medium: shared"
UNASKED = "link: duplex: half changes nothing while max_attempts is 1"
DEAF = "link: with access: csma a codeword is heard 0.02 s after it began, which is 5 times as long"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"access": "csma"}, NOBODY),
        ({"access": "aloha", "transmitters": 4, "medium": "own"}, NOBODY),
        ({"duplex": "half"}, UNASKED),
        ({"transmitters": 2, "priorities": [0, 1], "access": "aloha"}, RANKS),
        ({"transmitters": 2, "priorities": [0, 1], "medium": "own"}, RANKS),
        ({"transmitters": 2, "access": "csma", "symbol_rate_hz": 1000.0}, DEAF),
    ],
)
def test_keys_that_change_nothing_are_said(keys: dict[str, Any], said: str) -> None:
    (notice,) = Scenario.load(STUDY | {"link": keys}).notices
    assert notice.startswith(said)


def test_links_whose_keys_all_matter_have_nothing_to_say() -> None:
    half = {"duplex": "half", "max_attempts": 2}
    for keys in (
        {},
        {"transmitters": 4, "priorities": [0, 1, 1, 1]},
        {"transmitters": 4, "access": "aloha"},
        {"access": "csma", **half, "latency_s": 1e-6},
        half,
    ):
        assert Scenario.load(STUDY | {"link": keys}).notices == (), keys


def test_a_key_that_matters_at_one_point_of_a_sweep_is_there_for_a_reason() -> None:
    link = {"transmitters": 2, "priorities": [0, 1], "latency_s": 1e-5}
    for accesses, said in ((["queue", "aloha"], []), (["aloha", "csma"], [RANKS])):
        study = Scenario.load(STUDY | {"link": link, "sweep": {"link.access": accesses}})
        assert list(study.notices) == said


# --- whole runs ---------------------------------------------------------------------------------

BUSY: dict[str, Any] = {
    **{"transmitters": 3, "priorities": [0, 1, 1], "max_attempts": 3, "loss": 0.1},
    **{"latency_s": 0.02, "symbol_rate_hz": 200.0},
}


def tables(**changes: Any) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Attempts and transmissions of a run as columns, in unspecified order."""
    found: tuple[dict[str, list[Any]], dict[str, list[Any]]] = ({}, {})
    for event in simulate(Scenario.load(STUDY | changes)):
        if isinstance(event, AttemptsDone | TransmissionsDone):
            into = found[isinstance(event, TransmissionsDone)]
            for name, values in event.columns.items():
                into.setdefault(name, []).extend(values)
    return found


@pytest.mark.parametrize("medium", ["shared", "own"])
@pytest.mark.parametrize("duplex", ["full", "half"])
def test_whatever_the_rules_every_message_is_settled_once(medium: str, duplex: str) -> None:
    accesses = ["queue", "aloha", "slotted_aloha", "csma"]
    source = {"kind": "dataset", "count": 60, "arrivals": {"kind": "poisson", "rate_hz": 40.0}}
    detector = {"kind": "norm", "false_alarm": 0.2}  # so that requests to send again are made
    codec = {"kind": "linear", "latent_size": 8}
    attempts, settled = tables(
        link={**BUSY, "medium": medium, "duplex": duplex},
        source=source,
        receivers={"plain": {"codec": codec}, "wary": {"codec": codec, "detector": detector}},
        sweep={"link.access": accesses},
    )
    assert sorted(settled["transmission"]) == list(range(60 * 8))
    assert sorted(set(attempts["transmission"])) == list(range(60 * 8))
    made = Counter(attempts["transmission"])
    last = dict(zip(settled["transmission"], settled["attempts"], strict=True))
    assert made == last
    assert {"yes", "rejected"} <= set(settled["delivered"])
    # The last attempt's outcome is the message's, and nothing was sent again after a yes.
    rows = zip(*(attempts[name] for name in ("attempt", "lost", "accepted")), strict=True)
    outcome = {key: (lost, accepted) for key, lost, accepted in rows}
    for transmission, tries, delivered in zip(
        *(settled[name] for name in ("transmission", "attempts", "delivered")), strict=True
    ):
        ends = [outcome[3 * transmission + number] for number in range(tries)]
        assert all(accepted == 0 for _, accepted in ends[:-1])
        lost, accepted = ends[-1]
        assert delivered == ("lost" if lost else "yes" if accepted else "rejected")
    collided = {key // 3 // 60 % 4 for key, (lost, _) in outcome.items() if lost == COLLIDED}
    contended = {1, 2, 3} if medium == "shared" else set()
    assert collided >= contended
    assert 0 not in collided


def test_a_collision_is_followed_by_silence_and_a_backoff() -> None:
    # Two at once on a medium for one: both are lost, and leave again after their own backoffs.
    link = {"latency_s": 0.5, "symbol_rate_hz": 4.0, "transmitters": 2, "access": "aloha"}
    source = {"kind": "dataset", "count": 2, "arrivals": {"kind": "once"}}
    receivers = {"plain": {"codec": {"kind": "linear", "latent_size": 8}, "latency_s": 0.25}}
    attempts, settled = tables(
        link=link | {"max_attempts": 2}, source=source, receivers=receivers, seed=3
    )
    rows = zip(*(attempts[name] for name in ("attempt", "lost", "began_s")), strict=True)
    by_key = {key: (lost, began_s) for key, lost, began_s in rows}
    assert by_key[0] == by_key[2] == (COLLIDED, 0.0)
    # On the air for 1 s, silence for 2·0.5 + 0.25 s, and up to two vulnerable times of 2 s.
    link_part = Link(**link)
    medium = media(simpy.Environment(), link_part, 8, 3).of(0)
    for message in (0, 1):
        _, began_s = by_key[2 * message + 1]
        assert began_s == pytest.approx(2.25 + medium.backoff_s(message, 0))
        assert 2.25 < began_s < 2.25 + 4.0
    apart = abs(by_key[1][1] - by_key[3][1])
    assert (apart < 1.0) == (by_key[1][0] == COLLIDED) == (settled["delivered"][0] == "lost")


def test_priorities_of_a_run_let_the_urgent_transmitter_pass() -> None:
    source = {"kind": "dataset", "count": 20, "arrivals": {"kind": "once"}}
    link = {"transmitters": 4, "priorities": [1, 1, 0, 1], "symbol_rate_hz": 4.0, "latency_s": 0.0}
    _, settled = tables(link=link, source=source)
    order = sorted(range(20), key=lambda i: settled["done_s"][settled["transmission"].index(i)])
    assert order == [2, 6, 10, 14, 18, *(i for i in range(20) if i % 4 != 2)]


def test_an_unheard_acknowledgement_costs_the_medium_and_no_row() -> None:
    # ALOHA in both directions: repeats of accepted messages collide with others, and leave no row.
    source = {"kind": "dataset", "count": 200, "arrivals": {"kind": "poisson", "rate_hz": 20.0}}
    link = {**BUSY, "loss": 0.0, "access": "aloha", "answer_symbols": 8}
    heard, _ = tables(source=source, link=link)
    unheard, settled = tables(source=source, link=link | {"duplex": "half"})
    assert sum(map(bool, unheard["lost"])) > sum(map(bool, heard["lost"]))
    assert sorted(settled["transmission"]) == list(range(200))
    # Messages are lost only by collision, since the link itself drops nothing.
    assert set(unheard["lost"]) == {0, COLLIDED}


@pytest.mark.parametrize("duplex", ["full", "half"])
@pytest.mark.parametrize("access", ["queue", "slotted_aloha", "csma"])
def test_how_much_may_wait_changes_no_bit_of_a_contended_run(access: str, duplex: str) -> None:
    detector = {"kind": "norm", "false_alarm": 0.3}
    codec = {"kind": "linear", "latent_size": 8}
    changes = {
        "link": {**BUSY, "access": access, "duplex": duplex},
        "source": {"kind": "dataset", "count": 30, "arrivals": {"kind": "once"}},
        "path": [{"kind": "awgn", "snr_db": 10.0}],
        "receivers": {"wary": {"codec": codec, "detector": detector}},
        "images": 0,
    }
    one, many = (tables(**changes, max_pending=pending) for pending in (1, 64))
    for left, right, key in zip(one, many, ("attempt", "transmission"), strict=True):
        rows = [
            dict(zip(columns[key], zip(*columns.values(), strict=True), strict=True))
            for columns in (left, right)
        ]
        assert str(rows[0]) == str({number: rows[1][number] for number in rows[0]})
        assert len(rows[0]) == len(rows[1])
