"""Delay, energy accounts and memory of adversaries on the event plane."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from helpers.small_runs import scenario
from hypothesis import given, settings
from hypothesis import strategies as st

from channelsim.adversaries import PGD, Noise, Replay
from channelsim.adversaries.goals import Damage
from channelsim.contracts.access import Access, Activity
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.stages import Stages
from channelsim.scenario import Arm
from channelsim.signal_path import Setting
from channelsim.simulation import adversary_state as interference
from channelsim.simulation import message_life
from channelsim.simulation.adversary_state import UNTOUCHED, Crossing, Interference
from channelsim.simulation.event_plane import simulate

SIZE, POWER, PIXEL_POWER, SYMBOL_S = 10, 2.5, 0.2, 0.001
SYMBOLS = SIZE // 2
LABELS = np.arange(1000) % 10
CALM = settings(max_examples=60)


def interfering(*path: Adversary) -> Interference:
    """The adversaries of a link with symbols of 1 ms and codewords of 5 symbols."""
    codec = SimpleNamespace(latent_size=SIZE, image_shape=(1, 4, 4))
    arm = SimpleNamespace(
        path=Stages(path),
        receiver=SimpleNamespace(codec=codec),
        link=SimpleNamespace(symbol_rate_hz=1 / SYMBOL_S),
    )
    setting = SimpleNamespace(power=POWER, pixel_power=PIXEL_POWER, labels=LABELS)
    return Interference(cast(Arm, arm), cast(Setting, setting))


def relay(reaction_s: float = 0.0, **more: Any) -> PGD:
    given: dict[str, Any] = {"goal": Damage(), "budget": Budget(epsilon=0.5)}
    given |= {"access": Access(reaction_s=reaction_s)} | more
    return PGD(**given)


def recorder(back: int, **more: Any) -> Replay:
    return Replay(**({"back": back, "budget": Budget(norm="psr_db", epsilon=20.0)} | more))


# Codewords one after another: gaps before each, and messages that come again.
TRAFFIC = st.lists(
    st.tuples(st.integers(0, 30), st.floats(0.0, 0.02)), min_size=1, max_size=60
).map(
    lambda rows: [
        (message, float(began))
        for (message, _), began in zip(
            rows, np.cumsum([gap + SYMBOLS * SYMBOL_S for _, gap in rows]), strict=True
        )
    ]
)


# --- memory ---------------------------------------------------------------------------------------


@CALM
@given(traffic=TRAFFIC, back=st.integers(1, 8))
def test_what_is_at_hand_is_what_began_so_many_crossings_before(traffic, back):
    asked = interfering(recorder(back))
    replayed = [asked.crossing(*one).replayed for one in traffic]
    messages = [message for message, _ in traffic]
    assert replayed == ([-1] * back + messages)[: len(messages)]


@CALM
@given(traffic=TRAFFIC, back=st.integers(1, 5), every=st.integers(1, 4))
def test_it_records_what_it_lets_pass_and_with_a_budget_of_zero_too(traffic, back, every):
    usual = interfering(recorder(back))
    choosy = interfering(recorder(back, activity=Activity(every=every)))
    off = interfering(recorder(back, budget=Budget(norm="psr_db", epsilon=-math.inf)))
    for one in traffic:
        wanted = usual.crossing(*one)
        assert choosy.crossing(*one).replayed == wanted.replayed
        assert off.crossing(*one).replayed == wanted.replayed


# --- delay ----------------------------------------------------------------------------------------


@CALM
@given(
    traffic=TRAFFIC,
    reactions=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
    every=st.integers(1, 3),
)
def test_relays_delay_by_the_sum_of_their_reactions_and_only_what_they_take(
    traffic, reactions, every
):
    chosen = Activity(every=every)
    path = [relay(one, activity=chosen, name=str(i)) for i, one in enumerate(reactions)]
    asked = interfering(*path)
    assert asked.acts == any(reactions)
    for message, began_s in traffic:
        taken = message % every == 0
        delay_s = asked.crossing(message, began_s).delay_s
        assert delay_s == (pytest.approx(sum(reactions)) if taken else 0)


def test_who_only_listens_or_has_no_budget_delays_nothing():
    late = Access(place="over_the_air", reaction_s=0.5, listen_symbols=1)
    for stage in (
        relay(access=late),
        relay(0.5, budget=Budget(epsilon=0.0)),
        Noise(budget=Budget(epsilon=1.0)),
    ):
        asked = interfering(stage)
        assert not asked.acts
        assert asked.crossing(3, 0.0).delay_s == 0
    assert not interfering().acts


def test_a_relay_decides_by_the_first_symbol_whether_it_is_time():
    windows = ((0.010, 0.020),)
    asked = interfering(relay(0.3, activity=Activity(windows=windows)))
    began = [0.0079, 0.00999, 0.010, 0.0199, 0.020, 0.5]
    assert [asked.crossing(0, one).delay_s for one in began] == [0, 0, 0.3, 0.3, 0, 0]


def test_classes_are_those_of_the_message_that_crosses():
    asked = interfering(relay(0.3, activity=Activity(classes=(4, 7))))
    delays = [asked.crossing(message, 0.1 * message).delay_s for message in range(20)]
    assert np.flatnonzero(delays).tolist() == [4, 7, 14, 17]


# --- the account ----------------------------------------------------------------------------------

ACTIVITIES = st.one_of(
    st.builds(Activity, energy=st.floats(0.01, 30.0)),
    st.builds(
        Activity,
        energy=st.floats(0.01, 30.0),
        duty_cycle=st.floats(0.05, 1.0),
        period_s=st.floats(0.001, 0.1),
    ),
    st.builds(Activity, energy=st.floats(0.01, 30.0), every=st.integers(1, 3)),
)
BUDGETS = st.one_of(
    st.builds(Budget, norm=st.sampled_from(["linf", "l2"]), epsilon=st.floats(0.01, 3.0)),
    st.builds(Budget, norm=st.just("psr_db"), epsilon=st.floats(-20.0, 10.0)),
)


def most(budget: Budget, values: int = SIZE, power: float = POWER) -> float:
    """The largest ‖δ‖² of a budget, from its definition."""
    if budget.norm == "linf":
        return budget.epsilon**2 * values
    if budget.norm == "l2":
        return budget.epsilon**2
    return float(values * power * 10 ** (budget.epsilon / 10))


@CALM
@given(traffic=TRAFFIC, budget=BUDGETS, activity=ACTIVITIES)
def test_the_account_pays_what_was_wanted_until_it_is_empty_and_never_more(
    traffic, budget, activity
):
    asked = interfering(Noise(budget=budget, activity=activity))
    assert asked.acts
    paid = np.array([asked.crossing(*one).allowance for one in traffic])
    wanted = []
    for message, began_s in traffic:
        on = activity.on(began_s + SYMBOL_S * np.arange(SYMBOLS))
        wanted.append(most(budget) * on.mean() * (message % activity.every == activity.first))
    assert activity.energy is not None
    account = activity.energy * SIZE * POWER
    assert (paid >= 0).all()
    assert (paid <= np.array(wanted) * (1 + 1e-6)).all()
    assert paid.sum() <= account * (1 + 1e-9)
    assert paid.sum() == pytest.approx(min(account, sum(wanted)), rel=1e-5)
    # In order of time: after the first short payment there are no more.
    short = np.flatnonzero(paid < np.array(wanted) * (1 - 1e-6))
    if len(short):
        assert (paid[short[0] + 1 :] <= 1e-12 * account).all()


@CALM
@given(traffic=TRAFFIC, cut=st.integers(0, 59), back=st.integers(1, 3))
def test_what_happens_to_a_codeword_does_not_depend_on_later_ones(traffic, cut, back):
    def path() -> Interference:
        thief = Noise(budget=Budget(norm="l2", epsilon=1.0), activity=Activity(energy=0.3))
        return interfering(recorder(back), thief, relay(0.1, activity=Activity(every=2)))

    whole, part = path(), path()
    everything = [whole.crossing(*one) for one in traffic]
    assert [part.crossing(*one) for one in traffic[:cut]] == everything[:cut]


def test_an_account_before_the_encoder_is_in_units_of_a_mean_image():
    budget = Budget(norm="psr_db", epsilon=-10.0)
    access, activity = Access(place="before_encoder"), Activity(energy=0.25)
    asked = interfering(Noise(budget=budget, access=access, activity=activity))
    paid = [asked.crossing(message, 0.1 * message).allowance for message in range(4)]
    energy = 16 * PIXEL_POWER
    assert paid == pytest.approx([0.1 * energy, 0.1 * energy, 0.05 * energy, 0.0], abs=1e-6)


def test_without_an_account_nothing_is_said_of_one():
    crossing = interfering(recorder(2)).crossing(5, 0.0)
    assert math.isnan(crossing.allowance)
    assert crossing.replayed == -1
    assert (UNTOUCHED.delay_s, UNTOUCHED.replayed) == (0, -1)


# --- order of calls -------------------------------------------------------------------------------

LINKS: dict[str, dict[str, Any]] = {
    "a queue": {},
    "half duplex": {"duplex": "half"},
    "priorities": {"transmitters": 3, "priorities": [1, 0, 1]},
    "a link each": {"transmitters": 3, "medium": "own"},
    "aloha": {"transmitters": 3, "access": "aloha"},
    "csma": {"transmitters": 3, "access": "csma"},
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_they_are_asked_in_the_order_in_which_codewords_begin(link, monkeypatch):
    asked: list[tuple[float, int]] = []
    crossing = interference.Interference.crossing

    def heard(self: Interference, message: int, began_s: float) -> Crossing:
        asked.append((began_s, message))
        return crossing(self, message, began_s)

    monkeypatch.setattr(message_life.Interference, "crossing", heard)
    usual = {"latency_s": 0.03, "symbol_rate_hz": 400, "loss": 0.2, "max_attempts": 3}
    story = scenario(
        source={"kind": "dataset", "count": 40, "arrivals": {"kind": "poisson", "rate_hz": 50}},
        link=usual | link,
        path=[{"kind": "replay", "back": 2, "budget": {"epsilon": 0.0}}],
    )
    list(simulate(story))
    assert len(asked) >= 40
    began = np.array([began_s for began_s, _ in asked])
    assert (np.diff(began) >= 0).all()
    assert len({message for _, message in asked}) == 40
