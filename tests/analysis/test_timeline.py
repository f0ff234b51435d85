"""Goodput, latency and refusals over simulated time: of ledgers whose times are known."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, add_attempts, created, sweep
from rich.console import Console

from channelsim.analysis import timeline as module
from channelsim.analysis.summary import Summary, summarise
from channelsim.analysis.timeline import BINS, PER_BIN
from channelsim.contracts.records import COLLIDED, DROPPED, ArmRecord
from channelsim.display.full_summary import print_summary
from channelsim.report.timeline_chart import figure_of
from channelsim.report.timeline_chart import timeline as draw

ALONE = [ArmRecord(0, "kld", {})]
POWER = {"power": {"0": {"wire": 1.0, "latent_size": 10}}}


def told(folder: Path, n: int, arms: list[ArmRecord] = ALONE, **columns: Any) -> Summary:
    """Summarise a run whose arms all hold these columns; by default 100 messages/s of 50 ms."""
    header = {name: columns.pop(name) for name in ("max_attempts", "judged") if name in columns}
    with created(folder, arms, n, calibration=POWER, **header) as ledger:
        for arm in arms:
            add_arm(ledger, arm.arm, **columns)
        return summarise(ledger)


def shown(summary: Summary, width: int, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_summary(Console(file=stream, width=width, force_terminal=False), summary)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


# --- counting -----------------------------------------------------------------------------------


def test_a_steady_stream_has_its_rate_in_every_bin_and_its_latency_exactly(tmp_path: Path):
    # One message each 10 ms, the last done at 20 s: 100 in each second.
    n = 2000
    done = 0.01 * (1 + np.arange(n)) - 1e-9
    line = told(tmp_path, n, sent_s=done - 0.05, done_s=done).timelines[0]
    assert len(line.bins) == BINS
    for one in line.bins:
        assert one.end_s - one.start_s == pytest.approx(1.0)
        assert (one.settled, one.delivered) == (100, 100)
        assert one.goodput_hz == pytest.approx(100)
        assert one.goodput_values_hz == pytest.approx(1000)  # K is 10
        assert one.latency_s == one.latency_p95_s == pytest.approx(0.05, rel=1e-9)
    assert line.offered_hz == pytest.approx(100)
    assert not line.telling


def test_goodput_counts_what_reached_the_user_from_first_arrival_to_last_decision(tmp_path: Path):
    fate = np.array(["yes", "rejected", "lost", "yes"] * 25)
    whole = told(tmp_path, 100, delivered=fate).timelines[0].whole
    assert (whole.start_s, whole.end_s) == pytest.approx((0.0, 0.99 + 0.05))
    assert whole.goodput_hz == pytest.approx(50 / 1.04)
    assert (whole.rejected_share, whole.lost_share) == (0.25, 0.25)
    assert whole.refused_share == pytest.approx(1 / 3)  # of the attempts that arrived


def test_the_percentile_is_right_within_a_bucket(tmp_path: Path):
    latency = np.random.default_rng(1).lognormal(-3, 1.0, 3000)
    sent = 0.001 * np.arange(3000)
    whole = told(tmp_path, 3000, sent_s=sent, done_s=sent + latency).timelines[0].whole
    assert whole.latency_s == pytest.approx(latency.mean())
    exact = float(np.sort(latency)[math.ceil(0.95 * 3000) - 1])
    assert whole.latency_p95_s == pytest.approx(exact, rel=2 ** (1 / 32) - 1)


def test_latencies_beyond_all_buckets_are_still_themselves(tmp_path: Path):
    sent = np.zeros(4)
    whole = told(tmp_path, 4, sent_s=sent, done_s=sent + 1e9).timelines[0].whole
    assert whole.latency_p95_s == whole.latency_s == pytest.approx(1e9)


def test_only_delivered_messages_have_a_latency(tmp_path: Path):
    fate = np.array(["yes", "rejected"] * 50)
    sent = 0.01 * np.arange(100)
    took = np.where(fate == "yes", 0.05, 9.0)
    line = told(tmp_path, 100, sent_s=sent, done_s=sent + took, delivered=fate).timelines[0]
    assert line.whole.latency_s == line.whole.latency_p95_s == pytest.approx(0.05)
    assert line.bins[-1].delivered == 0
    assert (line.bins[-1].latency_s, line.bins[-1].latency_p95_s) == (None, None)
    assert line.bins[-1].goodput_hz == 0.0


def test_every_transmission_and_attempt_is_counted_once(tmp_path: Path):
    random = np.random.default_rng(2)
    n = 700
    fate = random.choice(["yes", "lost", "rejected"], n)
    sent = np.sort(random.uniform(0, 3, n))
    done = sent + random.exponential(0.1, n)
    done[done.argmax()] = 4.0  # the end of the last bin
    line = told(tmp_path, n, sent_s=sent, done_s=done, arrived_s=done - 0.01, delivered=fate)
    bins = line.timelines[0].bins
    assert sum(one.settled for one in bins) == sum(one.attempts for one in bins) == n
    assert sum(one.delivered for one in bins) == (fate == "yes").sum()
    edges = [one.start_s for one in bins] + [bins[-1].end_s]
    assert [one.settled for one in bins] == np.histogram(done, edges)[0].tolist()


def test_the_attack_window_and_false_alarms_are_where_they_happened(tmp_path: Path):
    # 400 messages in 4 s; attacked in the second and third. All attacked ones are refused, and
    # every tenth of the others.
    number = np.arange(400)
    attacked = (number >= 100) & (number < 300)
    refused = attacked | (number % 10 == 0)
    line = told(
        tmp_path, 400, judged=True, arrived_s=0.01 * number + 0.005, sent_s=0.01 * number,
        done_s=0.01 * (number + 1), accepted=~refused, delta_l2=1.0 * attacked,
        delivered=np.where(refused, "rejected", "yes"),
    ).timelines[0]  # fmt: skip
    assert len(line.bins) == 20
    assert [one.attacked_share for one in line.bins] == [0] * 5 + [1] * 10 + [0] * 5
    assert [one.false_alarm_share for one in line.bins][:5] == pytest.approx([0.1] * 5)
    assert [one.false_alarm_share for one in line.bins][5:15] == [None] * 10
    assert line.bins[7].refused_share == 1.0
    assert line.whole.attacked_share == 0.5
    assert line.telling


def test_attempts_are_counted_when_they_arrived(tmp_path: Path):
    # Message 0 was lost at 0 s and delivered at 10 s.
    with created(tmp_path, ALONE, 20, max_attempts=2) as ledger:
        again = np.array([2] + [1] * 19)
        add_arm(ledger, 0, attempts=again, arrived_s=9.9, sent_s=0.0, done_s=10.0)
        add_attempts(ledger, [0], lost=1, arrived_s=0.1)
        line = summarise(ledger).timelines[0]
    first, last = line.bins
    assert (first.attempts, first.settled, first.attacked_share) == (1, 0, 1.0)
    assert (last.attempts, last.settled, last.delivered) == (20, 20, 20)
    assert first.refused_share is None  # nothing arrived
    assert line.telling  # something was repeated
    assert line.offered_hz is None  # all came at once


def test_collisions_are_told_from_losses_on_the_link(tmp_path: Path):
    fate = np.array([COLLIDED, DROPPED, 0, 0] * 10)
    summary = told(tmp_path, 40, lost=fate, delivered=np.where(fate > 0, "lost", "yes"))
    whole = summary.timelines[0].whole
    assert (whole.collided_share, whole.lost_share, whole.refused_share) == (0.25, 0.5, 0.0)
    assert "collided" in shown(summary, 100)


@pytest.mark.parametrize(("n", "bins"), [(1, 1), (19, 1), (60, 60 // PER_BIN), (5000, BINS)])
def test_few_messages_have_few_bins(tmp_path: Path, n: int, bins: int):
    assert len(told(tmp_path, n).timelines[0].bins) == bins


def test_reading_in_pieces_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(3)
    sent = np.sort(random.uniform(0, 3, 300))
    columns = {"sent_s": sent, "done_s": sent + random.exponential(0.1, 300)}
    (tmp_path / "a").mkdir()
    at_once = told(tmp_path / "a", 300, **columns)
    monkeypatch.setattr(module, "_CHUNK", 7)
    (tmp_path / "b").mkdir()
    pieces = told(tmp_path / "b", 300, **columns)
    for one, other in zip(at_once.timelines[0].bins, pieces.timelines[0].bins, strict=True):
        assert one.settled == other.settled
        assert one.latency_s == pytest.approx(other.latency_s, rel=1e-12)


def test_an_unfinished_run_is_followed_as_far_as_it_goes(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), 100) as ledger:
        assert summarise(ledger).timelines == ()
        add_arm(ledger, 1, range(40))
        lines = summarise(ledger).timelines
    assert [(one.arm, one.whole.settled, len(one.bins)) for one in lines] == [(1, 40, 4)]


def test_rows_make_a_table_with_one_line_per_arm_and_bin(tmp_path: Path):
    rows = told(tmp_path, 200, sweep(["kld", "hardened"], [0.0, 0.5])).timeline_rows()
    assert len(rows) == 4 * 20
    assert [row["receiver"] for row in rows[::20]] == ["kld", "kld", "hardened", "hardened"]
    assert rows[21][EPSILON] == 0.5
    assert rows[20]["start_s"] == 0.0
    assert {"goodput_hz", "latency_p95_s", "refused_share", "attacked_share"} <= rows[0].keys()


# --- display ------------------------------------------------------------------------------------


def jammed(folder: Path, seed: int = 4) -> Summary:
    """Two receivers; in the middle third both are attacked, and one refuses all attempts."""
    arms = sweep(["trusting", "watchful"], [0.0, 1.0])
    random = np.random.default_rng(seed)
    number = np.arange(300)
    with created(folder, arms, 300, calibration=POWER) as ledger:
        for arm in arms:
            attacked = (number // 100 == 1) & (arm.swept[EPSILON] > 0)
            refused = attacked & (arm.receiver == "watchful")
            took = 0.05 + random.exponential(0.02, 300)
            add_arm(
                ledger, arm.arm, done_s=0.01 * number + took, accepted=~refused,
                delivered=np.where(refused, "rejected", "yes"), delta_l2=1.0 * attacked,
                verdict="ok" if arm.swept[EPSILON] else "off",
                mse_source=0.1 + 0.1 * attacked + 0.01 * np.sin(number),
            )  # fmt: skip
        return summarise(ledger)


def test_a_run_in_which_nothing_happens_says_nothing_of_time(tmp_path: Path):
    summary = told(tmp_path, 200)
    text = shown(summary, 80)
    assert "traffic" not in text
    assert "over simulated time" not in text
    assert figure_of(summary) is None
    assert not draw(summary, tmp_path / "timeline.png")


@pytest.mark.parametrize("width", [50, 80, 140])
def test_traffic_and_sparks_fit_the_terminal(tmp_path: Path, width: int):
    text = shown(jammed(tmp_path), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for head in ("offered", "goodput", "latency", "95 %", "rejected", "refused", "attacked"):
        assert head in text
    assert "over simulated time at ε = 1: from 0 to" in " ".join(text.split())


def test_the_sparks_show_the_attack_and_what_it_did(tmp_path: Path):
    lines = shown(jammed(tmp_path), 160).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("over simulated time"))
    trusting, watchful = (
        next(line for line in lines[head:] if line.split()[:1] == [name])
        for name in ("trusting", "watchful")
    )
    refused, attacked = watchful.split()[-2:]
    assert len(refused) == len(attacked) == 20
    assert refused[:5] == attacked[:5] == "▁" * 5
    assert refused[9] == attacked[9] == "█"
    assert trusting.split()[-2] == "▁" * 20


def test_sparks_are_told_in_ascii_where_nothing_else_is_spoken(tmp_path: Path):
    text = shown(jammed(tmp_path), 100, "ascii")
    line = [line for line in text.splitlines() if line.split()[:1] == ["watchful"]][-1]
    assert set(line.split()[-1].strip("|")) <= set("_.,-=+*#")
    assert "#" in line


def test_the_picture_has_a_column_per_point_and_a_step_per_bin(tmp_path: Path):
    summary = jammed(tmp_path)
    figure = figure_of(summary)
    assert len(figure.axes) == 3 * 2  # goodput, latency, refusals at ε = 0 and 1
    goodput = figure.axes[1].patches
    steps = [patch for patch in goodput if hasattr(patch, "get_data")]
    values = {round(float(v), 6) for v in steps[-1].get_data().values}
    watchful = summary.timelines[3]
    assert values == {round(one.goodput_hz, 6) for one in watchful.bins}
    shaded = [patch for patch in goodput if not hasattr(patch, "get_data")]
    assert 6 <= len(shaded) <= 9  # a third of twenty bins
    assert draw(summary, tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 1000
