"""The event plane: send times, losses, and attempts of messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.small_runs import LINEAR, scenario, table

from channelsim.contracts.promises import BitComparison, Tried
from channelsim.contracts.records import (
    AttemptsDone,
    Finished,
    Started,
    TransmissionsDone,
)
from channelsim.simulation import batcher
from channelsim.simulation import header as fingerprint
from channelsim.simulation.event_plane import simulate


def test_a_stream_begins_with_the_header_and_ends_with_the_end() -> None:
    events = list(simulate(scenario()))
    assert isinstance(events[0], Started)
    assert events[0].total == 20
    assert isinstance(events[-1], Finished)


def test_the_header_tells_the_threats_of_all_arms_of_a_sweep() -> None:
    goal, budget = {"kind": "damage"}, {"epsilon": 0.5}
    path = [{"kind": "pgd", "name": "mallory", "goal": goal, "budget": budget}]
    swept = scenario(path=path, sweep={"mallory.steps": [1, 20], "mallory.budget.epsilon": [1, 2]})
    threats = fingerprint.header(swept, {}).values["threats"]
    steps = {name: threat["effort"]["steps"] for name, threat in threats.items()}
    assert steps == {"mallory (arms 0, 1)": 1, "mallory (arms 2, 3)": 20}
    alike = scenario(path=path, sweep={"mallory.budget.epsilon": [1, 2]})
    assert list(fingerprint.header(alike, {}).values["threats"]) == ["mallory"]


def test_messages_that_come_at_once_leave_one_airtime_after_another() -> None:
    # Four complex symbols at four a second occupy the link for one second each.
    sent = table(list(simulate(scenario())), TransmissionsDone)
    assert sent["sent_s"] == pytest.approx(np.zeros(20))
    assert sent["done_s"] == pytest.approx(np.arange(1, 21) * 1.0 + 0.5 + 0.25)
    assert set(sent["delivered"]) == {"yes"}


def test_a_message_that_finds_the_link_free_does_not_wait() -> None:
    source = {"kind": "dataset", "count": 5, "arrivals": {"kind": "periodic", "rate_hz": 0.5}}
    sent = table(list(simulate(scenario(source=source))), TransmissionsDone)
    assert sent["done_s"] - sent["sent_s"] == pytest.approx(np.full(5, 1.0 + 0.5 + 0.25))


def test_a_link_that_drops_everything_delivers_nothing_and_shows_the_fallback() -> None:
    link = {"latency_s": 0.5, "symbol_rate_hz": 4, "loss": 1.0, "max_attempts": 3}
    receivers = {"plain": {"codec": LINEAR, "latency_s": 0.25, "fallback": "black"}}
    lossy = scenario(link=link, receivers=receivers)
    events = list(simulate(lossy))
    sent = table(events, TransmissionsDone)
    assert set(sent["delivered"]) == {"lost"}
    assert set(sent["attempts"]) == {3}
    tried = table(events, AttemptsDone)
    assert len(tried["attempt"]) == 60
    # A black picture is as far from the source as the source's own mean square.
    images = lossy.source.load("test").images[:20]
    black = images.double().square().mean(dim=(1, 2, 3)).numpy()
    assert tried["mse_source"].reshape(20, 3)[:, 0] == pytest.approx(black, rel=1e-6)


def test_losses_are_as_frequent_as_stated_and_retries_repair_them() -> None:
    source = {"kind": "dataset", "count": 4000, "split": "train"}
    link = {"latency_s": 0.01, "symbol_rate_hz": 1e6, "loss": 0.3, "max_attempts": 2}
    sent = table(list(simulate(scenario(source=source, link=link))), TransmissionsDone)
    failed = (sent["delivered"] == "lost").mean()
    # Two independent losses: 0.09, binomial standard deviation 0.0045; four of them allowed.
    assert failed == pytest.approx(0.09, abs=0.018)
    assert (sent["attempts"] == 2).mean() == pytest.approx(0.3, abs=0.029)


def test_a_repeat_after_silence_leaves_when_the_silence_is_over() -> None:
    source = {"kind": "dataset", "count": 1, "arrivals": {"kind": "once"}}
    link = {"latency_s": 0.5, "symbol_rate_hz": 4, "loss": 1.0, "max_attempts": 2}
    tried = table(list(simulate(scenario(source=source, link=link))), AttemptsDone)
    # Sent by 1.0; silence until 1.0 + 2·0.5 + 0.25; one more second on the air, half underway.
    assert tried["arrived_s"] == pytest.approx([1.5, 2.25 + 1.0 + 0.5])


def test_a_rejected_message_is_asked_for_again() -> None:
    source = {"kind": "dataset", "count": 1, "arrivals": {"kind": "once"}}
    link = {"latency_s": 0.5, "symbol_rate_hz": 4, "max_attempts": 3}
    # A perturbation far beyond anything benign: the detector must refuse every attempt.
    path = [{"kind": "noise", "budget": {"norm": "l2", "epsilon": 1e4}}]
    detector = {"kind": "norm", "false_alarm": 0.01}
    receivers = {"wary": {"codec": LINEAR, "latency_s": 0.25, "detector": detector}}
    events = list(simulate(scenario(source=source, link=link, path=path, receivers=receivers)))
    sent = table(events, TransmissionsDone)
    assert sent["delivered"].tolist() == ["rejected"]
    assert sent["attempts"].tolist() == [3]
    # Arrives at 1.5, is judged at 1.75; the request is back at 2.25; and so on.
    tried = table(events, AttemptsDone)
    assert tried["arrived_s"] == pytest.approx([1.5, 3.75, 6.0])
    assert tried["accepted"].tolist() == [0, 0, 0]
    assert sent["done_s"] == pytest.approx([6.25])


def test_a_detector_raises_false_alarms_as_often_as_it_says() -> None:
    source = {"kind": "dataset", "count": 1000}
    detector = {"kind": "latent-density", "false_alarm": 0.1}
    receivers = {"wary": {"codec": LINEAR, "detector": detector}}
    path = [{"kind": "awgn", "snr_db": 10.0}]
    link = {"latency_s": 0.01, "symbol_rate_hz": 1e6}
    quiet = scenario(source=source, link=link, path=path, receivers=receivers, block_rows=128)
    sent = table(list(simulate(quiet)), TransmissionsDone)
    rejected = (sent["delivered"] == "rejected").mean()
    # 1,000 messages and a threshold from 2,000: four standard deviations of both together.
    assert rejected == pytest.approx(0.1, abs=4 * (0.09 / 1000 + 0.09 / 2000) ** 0.5)


def test_a_detector_is_fitted_and_thresholded_on_the_same_mix_of_digits() -> None:
    # Digits come in turn, so every other training image would be all even or all odd digits.
    detector = {"kind": "latent-density", "false_alarm": 0.2}
    receivers = {"wary": {"codec": "kld-vae", "detector": detector}}
    source = {"kind": "dataset", "count": 1000}
    link = {"latency_s": 0.01, "symbol_rate_hz": 1e6}
    path = [{"kind": "awgn", "snr_db": 20.0}]
    quiet = scenario(source=source, link=link, path=path, receivers=receivers, block_rows=128)
    sent = table(list(simulate(quiet)), TransmissionsDone)
    rejected = (sent["delivered"] == "rejected").mean()
    assert rejected == pytest.approx(0.2, abs=4 * (0.16 / 1000 + 0.16 / 2000) ** 0.5)


def test_arms_meet_the_same_messages_the_same_noise_and_the_same_losses() -> None:
    link = {"latency_s": 0.01, "symbol_rate_hz": 1e6, "loss": 0.4}
    path = [
        {"kind": "noise", "name": "eve", "budget": {"norm": "l2", "epsilon": 1.0}},
        {"kind": "awgn", "snr_db": 5.0},
    ]
    sweep = {"eve.budget.epsilon": [0, 1.0, 2.0]}
    events = list(simulate(scenario(link=link, path=path, sweep=sweep)))
    tried = table(events, AttemptsDone)
    for column in ("snr_measured_db", "lost", "quality_mse"):
        first, *others = np.split(tried[column], 3)
        assert len(set(first)) > 1
        for other in others:
            assert (other == first).all()


def test_a_longer_run_begins_with_the_rows_of_a_shorter_one() -> None:
    # Nothing about a row may depend on how many others there are, or on the arms beside it.
    path = [
        {"kind": "pgd", "goal": {"kind": "damage"}, "budget": {"norm": "l2", "epsilon": 1.0}},
        {"kind": "awgn", "snr_db": 5.0},
    ]
    short = table(list(simulate(scenario(path=path))), AttemptsDone)
    source = {"kind": "dataset", "count": 37, "arrivals": {"kind": "once"}}
    sweep = {"pgd.budget.epsilon": [1.0, 0.5]}
    long = table(list(simulate(scenario(path=path, source=source, sweep=sweep))), AttemptsDone)
    for column in ("mse_source", "mse_passive", "delta_l2", "snr_measured_db", "arrived_s"):
        assert (long[column][:20] == short[column]).all(), column


def test_a_run_told_to_stop_ends_without_saying_finished() -> None:
    looks = iter([False, True])
    source = {"kind": "dataset", "count": 1000}
    events = list(simulate(scenario(source=source), stop=lambda: next(looks)))
    assert not any(isinstance(event, Finished) for event in events)


WARY = {"wary": {"codec": LINEAR, "detector": {"kind": "norm", "false_alarm": 0.2}}}


def test_a_run_told_to_stop_still_shows_what_it_has_judged() -> None:
    judged = scenario(receivers=WARY, source={"kind": "dataset", "count": 600}, block_rows=64)
    looks = iter([False, False, True, True])
    events = list(simulate(judged, stop=lambda: next(looks)))
    assert not any(isinstance(event, Finished) for event in events)
    shown = set(table(events, AttemptsDone)["attempt"])
    settled = table(events, TransmissionsDone)
    assert set(settled["transmission"]) <= shown, "no decision is recorded without its attempt"
    assert 0 < len(shown) < 600


@pytest.mark.parametrize("receivers", [{"plain": {"codec": LINEAR}}, WARY], ids=["plain", "wary"])
def test_where_bits_depend_on_neighbours_time_does_not_decide_who_they_are(
    receivers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"kind": "dataset", "count": 200}
    told = scenario(source=source, receivers=receivers, block_rows=8)

    def sizes(differ: int, longest_s: float) -> list[int]:
        """Rows shown together, on a machine that takes as long as it likes, or far too long."""
        monkeypatch.setattr(batcher, "_LONGEST_S", longest_s)
        place = BitComparison(rows=8, differ=differ)
        events = simulate(told, tried=Tried(8, (1, 2), place, BitComparison(rows=8)))
        return [len(one.columns["attempt"]) for one in events if isinstance(one, AttemptsDone)]

    assert sizes(1, 100.0) == sizes(1, 0.0)
    assert sum(sizes(1, 0.0)) == 200
    assert max(sizes(0, 100.0)) > max(sizes(0, 0.0))


def test_what_is_judged_is_shown_while_others_are_still_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batcher, "_LONGEST_S", 0.0)  # everything waits too long at once
    source = {"kind": "dataset", "count": 300}
    events = list(simulate(scenario(source=source, receivers=WARY, block_rows=8)))
    shown = [place for place, one in enumerate(events) if isinstance(one, AttemptsDone)]
    assert len(shown) > 5
    assert shown[0] < len(events) / 3, "recorded as it goes on, not at the end"
