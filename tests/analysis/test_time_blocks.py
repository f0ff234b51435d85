"""Intervals on channels with memory: a fade is one observation, not many."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.fading import EQUALISER, FADING, NOISE, rows_of
from helpers.known_ledger import EPSILON, add_arm, created, sweep
from helpers.small_runs import LINEAR, scenario
from rich.console import Console
from scipy import stats

from channelsim.analysis import intervals
from channelsim.analysis.caveats import warnings
from channelsim.analysis.cells import ArmCells, read_arm
from channelsim.analysis.intervals import (
    Interval,
    Means,
    Resampler,
    binomial,
    clustered_share,
    means,
    p_values,
)
from channelsim.analysis.resampling import Resampled, Unit, unit_of
from channelsim.analysis.summary import Summary, summarise
from channelsim.channels import Fading, GilbertElliott, memories_s, memory_notices
from channelsim.contracts.parts import Stage
from channelsim.display.full_summary import print_summary
from channelsim.display.live.figures import Figures
from channelsim.display.live.following import Following
from channelsim.display.live.reader import Reader
from channelsim.display.live.warning import live_warnings
from channelsim.ledger import Ledger
from channelsim.runs import run as campaign
from channelsim.simulation import header as fingerprint
from channelsim.support import time_blocks
from channelsim.support.errors import InputError

Grouping = Callable[[np.ndarray], np.ndarray]


def width(found: Interval | None) -> float:
    assert found is not None
    return found.high - found.low


def resampled(values: np.ndarray, unit: Unit) -> list[Interval]:
    """Intervals of column means [messages, runs] as a summary makes them."""
    return intervals.intervals(summed(values, unit))


def summed(values: np.ndarray, unit: Unit) -> Means:
    cell = unit.cells(np.arange(len(values)))
    sums, counts = np.zeros((2, unit.size(), values.shape[1]))
    np.add.at(sums, cell, values)
    np.add.at(counts, cell, 1.0)
    return means(sums, counts, Resampler(unit.size(), 1, in_time=unit.what.in_time))


def covered(found: list[Interval], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def each_message(count: int) -> Unit:
    return Unit(images=count, seed=1)


def in_groups(count: int, length: int, kind: str = "time block", images: int | None = None) -> Unit:
    what = Resampled(kind=kind, of_images=images is not None)  # type: ignore[arg-type]
    starts = np.arange(0, images or count, length)
    return Unit(images=images or count, seed=1, what=what, starts=starts)


def fades(random: np.random.Generator, number: int, length: int, runs: int) -> np.ndarray:
    """A standard normal for every fade of so many messages, [number·length, runs]."""
    return random.normal(size=(number, runs)).repeat(length, axis=0)


# --- coverage of intervals ----------------------------------------------------------------------

RUNS = 600
ERROR = 3 * math.sqrt(0.05 * 0.95 / RUNS)  # three standard errors of a coverage of 95 %


def test_an_interval_over_time_blocks_covers_where_one_over_messages_does_not() -> None:
    random = np.random.default_rng(1)
    values = 5.0 + fades(random, 80, 10, RUNS) + random.normal(size=(800, RUNS))
    assert covered(resampled(values, in_groups(800, 10)), 5.0) == pytest.approx(0.95, abs=ERROR)
    # Variance 1 within and 1 between: the mean's is 1 + 9·½ times that of independent messages.
    expected = 2 * stats.norm.cdf(1.96 / math.sqrt(5.5)) - 1
    alone = covered(resampled(values, each_message(800)), 5.0)
    assert alone == pytest.approx(expected, abs=0.06)
    assert alone < 0.7


@pytest.mark.parametrize("number", [3, 8, 20])
def test_few_time_blocks_have_intervals_that_cover_too(number: int) -> None:
    random = np.random.default_rng(number)
    values = 5.0 + fades(random, number, 10, RUNS) + random.normal(size=(10 * number, RUNS))
    found = summed(values, in_groups(10 * number, 10))
    assert found.few
    assert covered(intervals.intervals(found), 5.0) == pytest.approx(0.95, abs=ERROR)
    # Plain percentiles of so few are too narrow.
    plain = covered(intervals.intervals(dataclasses.replace(found, few=False)), 5.0)
    assert plain < 0.95 - ERROR / 2


def test_the_bootstraps_error_is_that_of_the_time_blocks_means() -> None:
    random = np.random.default_rng(3)
    values = fades(random, 50, 4, 1) + random.normal(size=(200, 1))
    each = values.reshape(50, 4).mean(axis=1)
    found = summed(values, in_groups(200, 4))
    assert found.value[0] == pytest.approx(each.mean())
    # The bootstrap's variance has 1/n where an unbiased one has 1/(n − 1); 2,000 draws: 3 %.
    assert found.resampled.std() == pytest.approx(each.std() / math.sqrt(50), rel=0.05)


def test_of_few_time_blocks_the_interval_is_students_of_their_means() -> None:
    random = np.random.default_rng(4)
    values = fades(random, 12, 5, 2) + random.normal(size=(60, 2))
    for column, found in enumerate(resampled(values, in_groups(60, 5))):
        each = values[:, column].reshape(12, 5).mean(axis=1)
        low, high = stats.t.interval(0.95, 11, each.mean(), stats.sem(each))
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_of_few_time_blocks_p_is_students_and_agrees_with_the_interval() -> None:
    random = np.random.default_rng(5)
    values = random.normal(0.4, 1.0, size=(10, 200))
    found = summed(values, in_groups(10, 1))
    p = p_values(found.value, found.resampled, found.left_out, found.few)
    assert p == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, rel=1e-9)
    ends = intervals.intervals(found)
    assert [one.low > 0 or one.high < 0 for one in ends] == (p < 0.05).tolist()
    assert 0 < (p < 0.05).sum() < 200


def test_one_time_block_has_no_interval_and_no_p_value() -> None:
    found = summed(np.random.default_rng(6).normal(size=(30, 1)), in_groups(30, 30))
    only = intervals.intervals(found)[0]
    assert np.isnan([only.low, only.high]).all()
    assert np.isfinite(only.value)
    assert np.isnan(p_values(found.value, found.resampled, found.left_out, found.few)).all()


def test_runs_of_images_allow_for_fades_and_for_repeats_at_once() -> None:
    # 400 images, sent 8 times over; every fade lasts 4 messages; both effects have variance 1.
    random = np.random.default_rng(7)
    image = np.tile(random.normal(size=(400, RUNS)), (8, 1))
    values = image + fades(random, 800, 4, RUNS) + 0.3 * random.normal(size=(3200, RUNS))
    both = covered(resampled(values, in_groups(3200, 4, "run", images=400)), 0.0)
    # A run that ends within a fade would share it with the next: hence five fades to a run.
    shifted = np.roll(values, 2, axis=0)
    longer = covered(resampled(shifted, in_groups(3200, 20, "run", images=400)), 0.0)
    assert both == pytest.approx(0.95, abs=ERROR)
    assert longer == pytest.approx(0.95, abs=ERROR + 0.01)
    # Either alone misses a part: 58 % and 25 % of the variance.
    assert covered(resampled(values, in_groups(3200, 4)), 0.0) < 0.85
    assert covered(resampled(values, Unit(images=400, seed=1)), 0.0) < 0.93


# --- shares -------------------------------------------------------------------------------------


def test_a_share_over_time_blocks_covers_where_the_binomial_one_does_not() -> None:
    random = np.random.default_rng(8)
    inside = {"time blocks": 0, "rows": 0}
    for _ in range(400):
        rate = random.beta(0.2, 1.8, size=60)  # 10 % on average, mostly 0 or much
        hits = random.binomial(20, rate).astype(float)
        for name, found in (
            ("time blocks", clustered_share(hits, np.full(60, 20.0))),
            ("rows", binomial(int(hits.sum()), 1200)),
        ):
            assert found is not None
            inside[name] += found.low <= 0.1 <= found.high
    assert 0.92 < inside["time blocks"] / 400 < 0.99
    assert inside["rows"] / 400 < 0.7


def test_where_no_time_block_has_a_hit_each_is_one_trial() -> None:
    found = clustered_share(np.zeros(12), np.full(12, 50.0))
    assert found == binomial(0, 12)
    only = clustered_share(np.array([3.0]), np.array([9.0]))
    assert only is not None
    assert only.value == pytest.approx(1 / 3)
    assert math.isnan(only.low)
    assert clustered_share(np.zeros(3), np.zeros(3)) is None


def test_a_share_of_few_time_blocks_has_students_tails() -> None:
    random = np.random.default_rng(15)
    inside = 0
    for _ in range(1000):
        rate = random.normal(0.5, 0.08, size=5)
        found = clustered_share(random.binomial(200, rate).astype(float), np.full(5, 200.0))
        assert found is not None
        inside += found.low <= 0.5 <= found.high
    assert inside / 1000 > 0.92  # 0.88 with a normal law


def test_independent_trials_have_nearly_the_exact_interval() -> None:
    hits = np.random.default_rng(9).binomial(1, 0.3, size=4000).astype(float)
    found, exact = clustered_share(hits, np.ones(4000)), binomial(int(hits.sum()), 4000)
    assert found is not None
    assert exact is not None
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-4)


# --- how long a time block must be --------------------------------------------------------------


def test_a_time_block_holds_whole_fades_and_shares_none() -> None:
    coherence_s = 0.7  # that float32 rounds
    beats = coherence_s * np.arange(200)
    began = np.sort(np.concatenate([np.random.default_rng(1).uniform(0, 140, 400), beats]))
    stage = Fading(coherence_s=coherence_s)
    exact = {"coherence_s": np.full(len(began), coherence_s)}
    rows = dataclasses.replace(rows_of(stage, began, 1e-9, 2), exact=exact)
    gains = stage.gains(rows, 1)[:, 0].numpy()
    number = time_blocks.numbered(began, stage.memory_s(1e-9))
    assert len(np.unique(number)) == 200
    assert (gains[1:] == gains[:-1]).tolist() == (number[1:] == number[:-1]).tolist()


@pytest.mark.parametrize("p", [1e-4, 0.01, 0.2, 0.7])
@pytest.mark.parametrize("q", [1e-4, 0.02, 0.3, 0.95])
def test_time_blocks_of_bursts_miss_at_most_a_tenth_of_the_variance(p: float, q: float) -> None:
    length = round(GilbertElliott(p=p, q=q).memory_s(1.0))
    rho = 1 - p - q
    lag = np.arange(1, length)
    here = 1 + 2 * ((1 - lag / length) * rho**lag).sum()
    for_ever = (1 + rho) / (1 - rho)
    assert abs(here / for_ever - 1) < 0.1
    if rho > 0.9:  # and none is longer than needed
        assert here / for_ever < 0.92


@pytest.mark.parametrize("late", [0.02, 0.1, 0.2, 0.5])
def test_who_waits_gets_time_blocks_long_enough(late: float) -> None:
    # Fades of 40 messages, met by messages that began `late` fades after they were sent.
    length, number = 40, 30_000
    met = np.roll(fades(np.random.default_rng(2), number, length, 1)[:, 0], -round(late * length))
    many = time_blocks.memories([1.0], late) or time_blocks.MOST_MEMORIES
    each = met.reshape(-1, many * length).mean(axis=1)
    # The mean's variance is 1/number; nine tenths of it, and the error of so many draws.
    assert each.var() / len(each) > 0.88 / number
    assert many == min(5, max(1, math.ceil(20 * late - 1e-9)))


def test_fades_that_do_not_fill_the_longest_evenly_get_longer_time_blocks() -> None:
    assert time_blocks.memories([0.01, 0.1, 0.5, 3.0]) == 1
    assert time_blocks.memories([0.1, 0.3, 3.0]) == 1
    assert time_blocks.memories([2.0, 3.0]) == 3
    gain = fades(np.random.default_rng(3), 63_000, 2, 1)[:, 0]  # of 2 s, ten messages a second
    each = gain.repeat(10).reshape(-1, 90).mean(axis=1)
    assert each.var() / len(each) > 0.88 / 63_000


def test_who_waits_too_long_is_resampled_in_order_and_not_by_time() -> None:
    assert time_blocks.memories([1.0], 0.25) == 5
    assert time_blocks.memories([1.0], 0.3) is None
    assert time_blocks.run_length(1.0, 0.0, 0.1) == 50
    assert time_blocks.run_length(1.0, 1.0, 0.1) == 100
    assert time_blocks.run_length(1.0, 0.0, 0.0) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_messages_that_arrive_at_random_share_a_fade_that_is_shorter_than_their_gap(
    share: float,
) -> None:
    random = np.random.default_rng(16)
    number = np.floor(np.cumsum(random.exponential(1.0, 200_000)) / share).astype(int)
    met = random.normal(size=number[-1] + 1)[number]
    each = np.bincount(number, weights=met)
    assert (each**2).sum() / len(number) == pytest.approx(1 + share, rel=0.03)
    assert time_blocks.shared(share, 1.0)
    assert not time_blocks.shared(0.09, 1.0)


@pytest.mark.parametrize("airtime", [0.1, 0.5, 1.0])
def test_codewords_that_take_long_get_time_blocks_long_enough(airtime: float) -> None:
    # Fades of 40 messages; a codeword is the mean of what it meets in `airtime` fades.
    length, number = 40, 30_000
    gain = fades(np.random.default_rng(17), number, length, 1)[:, 0]
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([gain, gain[: 2 * length]]))])
    took = round(airtime * length)
    met = (total[took:] - total[:-took])[: length * number] / took
    chosen = time_blocks.plan(
        [1.0], gap_s=1 / length, wait_s=airtime / 2, reach_s=airtime, count=10**6, images=10**6
    )
    assert chosen is not None
    group = chosen.many * (length if chosen.kind == "time block" else 1)
    each = met[: len(met) // group * group].reshape(-1, group).mean(axis=1)
    assert each.var() / len(each) > 0.88 / number
    if airtime > 0.1:
        assert met.reshape(-1, length).mean(axis=1).var() < 0.7  # one fade each is too few


@pytest.mark.parametrize("load", [0.1, 0.5])
def test_collisions_come_together_and_are_resampled_together(load: float) -> None:
    # Pure ALOHA, an airtime of 1: codewords that begin within it of each other are both lost.
    random = np.random.default_rng(18)
    near = np.diff(np.cumsum(random.exponential(1 / load, (600, RUNS)), axis=0), axis=0) < 1
    hit = np.zeros((600, RUNS))
    hit[1:] += near
    hit[:-1] += near
    lost = np.minimum(hit, 1.0)
    chosen = time_blocks.plan(
        [], gap_s=1 / load, wait_s=0.0, reach_s=0.0, count=600, images=600, contended=True
    )
    assert chosen == time_blocks.Plan("messages", 20)
    truth = 1 - math.exp(-2 * load)
    assert covered(resampled(lost, in_groups(600, 20, "run")), truth) > 0.95 - ERROR - 0.01
    assert covered(resampled(lost, each_message(600)), truth) < 0.88
    both = time_blocks.plan(
        [9.0], gap_s=1.0, wait_s=0.0, reach_s=0.0, count=600, images=600, contended=True
    )
    assert both == time_blocks.Plan("messages", 45)


def test_who_has_a_path_of_his_own_has_its_memory_too() -> None:
    own = {"gain_db": -3.0, "k_factor": 0.0, "coherence_s": 5.0}
    budget = {"norm": "psr_db", "epsilon": -10.0}
    eve = {"kind": "noise", "budget": budget, "access": {"own_path": own}}
    path = [FADING | {"coherence_s": 2.0}, NOISE, eve]
    study = scenario(path=path)
    assert memories_s((arm.path, 1.0) for arm in study.arms) == (2.0, 5.0)
    del own["k_factor"]  # it does not fade
    assert memories_s((arm.path, 1.0) for arm in scenario(path=path).arms) == (2.0,)


def test_a_stage_of_ones_own_that_remembers_nonsense_is_refused() -> None:
    class Odd(Stage):
        kind = "odd"
        name = ""

        def cross(self, signal: Any, rows: Any) -> Any:
            raise NotImplementedError

        def memory_s(self, symbol_s: float) -> float:
            return -symbol_s

    with pytest.raises(InputError, match="stage odd: memory_s must be 0 or a finite number"):
        memories_s([([object.__new__(Odd)], 1.0)])


# --- which messages belong together -------------------------------------------------------------


def ledger_of(
    folder: Path,
    values: np.ndarray,
    memory_s: tuple[float, ...] | None = (1.0,),
    sent_s: np.ndarray | None = None,
    done_s: np.ndarray | None = None,
    **more: Any,
) -> Ledger:
    """One arm with these damages; by default ten messages a second, without queueing."""
    folder.mkdir(exist_ok=True)
    if memory_s is not None:
        more["memory_s"] = list(memory_s)
    count = len(values)
    sent_s = 0.1 * np.arange(count) if sent_s is None else sent_s
    ledger = created(folder, sweep(["kld"], [0.5]), count, **more)
    done_s = sent_s + 0.05 if done_s is None else done_s
    add_arm(ledger, 0, mse_source=values, sent_s=sent_s, done_s=done_s)
    return ledger


def summary_of(folder: Path, *arguments: Any, **more: Any) -> Summary:
    with ledger_of(folder, *arguments, **more) as ledger:
        return summarise(ledger)


def unit(ledger: Ledger) -> Unit:
    return unit_of(ledger, ledger.header(), ledger.arms())


VALUES = np.random.default_rng(10).lognormal(-3, 1, 400)


@pytest.mark.parametrize("memory_s", [(), (0.009,), (0.001, 0.005)])
def test_a_channel_that_forgets_between_messages_changes_no_bit(
    tmp_path: Path, memory_s: tuple[float, ...]
) -> None:
    before = summary_of(tmp_path / "before", VALUES, memory_s=None)
    assert summary_of(tmp_path / "now", VALUES, memory_s=memory_s) == before
    assert before.points[0].cells == 400


def test_where_no_time_block_has_two_messages_nothing_changes_either(tmp_path: Path) -> None:
    before = summary_of(tmp_path / "before", VALUES, memory_s=None)
    assert summary_of(tmp_path / "now", VALUES, memory_s=(0.05,)) == before


def test_all_that_arrived_in_one_time_block_is_one_cell(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    sent_s = np.cumsum(random.exponential(0.1, 400))
    sent_s[[0, 50, 51]] = 0.0, sent_s[49], np.ceil(sent_s[49])  # at one time; on an edge
    sent_s = np.sort(sent_s)
    with ledger_of(tmp_path, VALUES, sent_s=sent_s) as ledger:
        found = unit(ledger)
        point = summarise(ledger).points[0]
    expected = np.unique(np.floor(sent_s + 1e-6), return_inverse=True)[1]
    assert found.cells(np.arange(400)).tolist() == expected.tolist()
    assert found.what.named(found.size()) == f"{expected[-1] + 1} time blocks of 1 s"
    assert (point.n, point.images, point.cells) == (400, 400, expected[-1] + 1)
    totals = np.bincount(expected, weights=VALUES)[:, None]
    numbers = np.bincount(expected).astype(float)[:, None]
    drawn = Resampler(point.cells, 7, in_time=True)
    by_hand = intervals.intervals(means(totals, numbers, drawn))[0]
    read = point.metrics["mse"].source
    assert read is not None
    assert (read.low, read.high) == pytest.approx((by_hand.low, by_hand.high), rel=1e-12)


def test_an_unfinished_run_puts_together_what_the_finished_one_does(tmp_path: Path) -> None:
    arms = sweep(["kld"], [0.5, 1.0])
    sent_s = np.sort(np.random.default_rng(12).uniform(0, 40, 400))
    with created(tmp_path, arms, 400, memory_s=[1.0]) as ledger:
        for arm, settled in ((0, [*range(150), *range(160, 300, 3)]), (1, range(120, 400))):
            rows = np.array(settled)
            add_arm(ledger, arm, rows, sent_s=sent_s[rows], done_s=sent_s[rows] + 0.05)
        found = unit(ledger)
    seen = np.array(sorted({*range(150), *range(160, 300, 3), *range(120, 400)}))
    together = found.cells(seen)
    assert (np.diff(together) > 0).tolist() == (np.diff(np.floor(sent_s[seen])) > 0).tolist()


def test_the_number_of_cells_is_bounded_and_neighbours_stay_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "CELLS", 64)
    random = np.random.default_rng(13)
    values = 3 + fades(random, 1000, 4, 1)[:, 0] + random.normal(size=4000)
    with ledger_of(tmp_path, values, sent_s=0.25 * np.arange(4000)) as ledger:
        found = unit(ledger)
        point = summarise(ledger).points[0]
    cells = found.cells(np.arange(4000))
    assert (np.diff(cells) >= 0).all()
    assert cells[-1] < 64
    assert found.what.length_s == 16.0  # whole fades
    assert point.cells == 63
    assert (point.n, point.images) == (4000, 4000)
    expected = 2 * 1.96 * math.sqrt((1 + 1 / 4) / 1000)
    assert width(point.metrics["mse"].source) == pytest.approx(expected, rel=0.25)
    fewer = found.cells(np.arange(4000), 10)  # as for more costly statistics
    assert (np.diff(fewer) >= 0).all()
    assert len(np.unique(fewer)) == found.size(10) == 10


def test_images_sent_again_go_in_runs_of_neighbours(tmp_path: Path) -> None:
    images = {"calibration": {"images": 100}}
    with ledger_of(tmp_path / "a", VALUES, memory_s=(0.2,), **images) as ledger:
        found = unit(ledger)
        summary = summarise(ledger)
    assert found.what.named(found.size()) == "10 runs of 10 images"  # five fades of two messages
    assert found.cells(np.array([0, 9, 10, 100, 109, 399])).tolist() == [0, 0, 1, 0, 0, 9]
    assert (summary.points[0].images, summary.points[0].cells) == (100, 10)
    # Where hardly any run would be left, these images are taken as given, with a notice.
    again = summary_of(tmp_path / "b", VALUES, memory_s=(1.0,), **images)
    assert again.resampled == Resampled(kind="time block", length_s=1.0, given_images=True)
    assert any("intervals speak of these images" in text for text in warnings(again))
    assert not any("these images" in text for text in warnings(summary))


def test_a_queue_is_resampled_in_its_order(tmp_path: Path) -> None:
    # All arrive at once and leave one after the other: arrival times carry no information.
    zero, served = np.zeros(400), 0.1 * np.arange(400) + 0.05
    with ledger_of(tmp_path / "a", VALUES, (0.2,), sent_s=zero, done_s=served) as ledger:
        found = unit(ledger)
    assert found.what.named(found.size()) == "40 runs of 10 messages"
    # With short waits: fades of whole time blocks, but more of them.
    waits = 0.05 + 0.3 * (np.arange(400) % 2)
    with ledger_of(tmp_path / "b", VALUES, (1.0,), done_s=0.1 * np.arange(400) + waits) as ledger:
        assert unit(ledger).what.length_s == 3.0


def test_the_airtime_of_a_codeword_counts_as_waiting(tmp_path: Path) -> None:
    with ledger_of(tmp_path / "a", VALUES, (1.0,), airtime_s=0.001) as ledger:
        assert unit(ledger).what.length_s == 1.0
    with ledger_of(tmp_path / "b", VALUES, (1.0,), airtime_s=0.4) as ledger:
        assert unit(ledger).what.length_s == 4.0


def test_how_far_messages_overtake_each_other_is_measured(tmp_path: Path) -> None:
    # Pairs change places: each of the two is off by one place of a tenth of a second.
    done_s = 5.0 + 0.1 * (np.arange(400) ^ 1)
    waits = np.where(np.arange(400) < 200, 0.0, 3.0)  # more than their arrival times show
    with ledger_of(tmp_path, VALUES, (1.0,), done_s=done_s + waits) as ledger:
        found = unit(ledger)
    gap_s = (0.1 * 399 + 3.0) / 399
    assert found.what.run == math.ceil((1.0 + gap_s) / (0.2 * gap_s))


@pytest.mark.parametrize(("more", "said"), [({}, "600 images"), ({"contended": True}, "20 mess")])
def test_a_contended_run_says_what_it_resamples(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    with ledger_of(tmp_path, np.tile(VALUES, 2)[:600], (), **more) as ledger:
        found = unit(ledger)
    assert said in found.what.named(found.size())


def test_the_header_tells_airtime_and_contention() -> None:
    shared = {"symbol_rate_hz": 100.0, "transmitters": 2}
    for access, contended in (("queue", False), ("aloha", True)):
        study = scenario(link=shared | {"access": access})
        header = fingerprint.header(study, {})
        size = study.arms[0].receiver.codec.latent_size
        assert header.airtime_s == math.ceil(size / 2) / 100
        assert header.contended is contended


# --- sentences ----------------------------------------------------------------------------------


def printed(summary: Summary) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_summary(console, summary)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_summary_names_its_unit_and_says_when_there_are_few(tmp_path: Path) -> None:
    many = summary_of(tmp_path / "many", VALUES, control=False)
    assert "400 messages × 1 arm, seed 7; intervals resample 40 time blocks of 1 s" in printed(many)
    assert warnings(many) == []
    few = summary_of(tmp_path / "few", VALUES, (4.0,), control=False)
    (said,) = warnings(few)
    assert said.startswith("Intervals rest on only 10 time blocks of 4 s")
    assert "30 or more" in said
    plain = summary_of(tmp_path / "plain", VALUES, None)
    assert "resample" not in printed(plain)


def test_a_channel_that_never_changes_leaves_no_interval_and_that_is_said(tmp_path: Path) -> None:
    one = summary_of(tmp_path, VALUES, (1000.0,), control=True)
    reading = one.points[0].metrics["mse"].source
    assert reading is not None
    assert np.isnan([reading.low, reading.high]).all()
    said = warnings(one)
    assert any("within the 1000 s that it remembers" in text for text in said)
    assert not any("its interval holds 0 dB" in text for text in said)
    assert "nan" not in printed(one)
    assert "resample 1 time block of 1000 s" in printed(one)


def test_an_interval_of_few_time_blocks_ends_at_what_is_possible(tmp_path: Path) -> None:
    values = np.repeat([0.3, 0.001, 0.001], 100)
    found = summary_of(tmp_path, values, (10.0,), metrics=["mse", "psnr"])
    reading = found.points[0].metrics["mse"].source
    assert reading is not None
    assert reading.low == 0.0
    assert "nan" not in printed(found)


def test_a_notice_says_what_will_be_resampled() -> None:
    class Slow(Fading):
        """As its parent."""

    def said(memory_s: float, times_s: np.ndarray, images: int | None = None) -> str:
        paths = [([Slow(coherence_s=memory_s)], 1e-3)]
        return " ".join(memory_notices(paths, [1e-3], times_s, images or len(times_s)))

    times_s = 0.5 * np.arange(600)
    assert said(1.9 * 0.5, times_s) == ""
    assert said(3.0, times_s) == (
        "fading: about 6 messages in a row meet the same 3 s of it, so intervals resample about 100"
        " time blocks of 3 s"
    )
    assert said(30.0, times_s).endswith(
        "about 10 time blocks of 30 s; that is few, send for longer (30 or more)"
    )
    assert "will be no intervals" in said(1000.0, times_s)
    assert "about 10 runs of 31 images" in said(3.0, times_s, 310)
    # All at once, a millisecond each.
    assert "about 11 runs of 55 messages" in said(0.01, np.zeros(600))
    assert said(5e-5, np.zeros(600)) == ""


def test_the_live_view_says_that_its_intervals_are_too_narrow(tmp_path: Path) -> None:
    remembered = "the 2 s the channel remembers"
    for memory_s, contended, expected in (
        ((), False, ""),
        ((0.005,), False, ""),
        ((0.5, 2.0), False, remembered),
        ((0.5, 2.0), True, remembered),
        ((), True, "collisions and backlogs"),
    ):
        folder = tmp_path / f"{len(memory_s)}{contended}"
        with ledger_of(folder, VALUES, memory_s, control=False, contended=contended) as ledger:
            reader = Reader(ledger.path)
            figures, following = Figures(reader.info), Following(reader)
            ledger.commit()
            while following.read(figures, 1.0):
                pass
        said = [one.text for one in live_warnings(figures) if "±>" in one.text]
        assert said == ([f"±> is too narrow: messages share {expected}"] if expected else [])


# --- whole runs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear codec over a fade of ten seconds, a message a second; two noises, one channel."""
    study = scenario(
        source={"kind": "dataset", "count": 400, "arrivals": {"kind": "poisson", "rate_hz": 1.0}},
        link={"latency_s": 0.02, "symbol_rate_hz": 1e4},
        path=[FADING | {"coherence_s": 10.0}, NOISE | {"snr_db": 10.0}, EQUALISER],
        receivers={"plain": {"codec": LINEAR}},
        sweep={"awgn.snr_db": [10.0, 11.0]},
        block_rows=64,
    )
    out = tmp_path_factory.mktemp("faded") / "run"
    campaign.run(study, out=out)
    return out / "ledger.sqlite"


def test_over_a_slow_fade_the_interval_is_several_times_wider(faded: Path) -> None:
    with Ledger.open(faded) as ledger:
        header, summary = ledger.header(), summarise(ledger)
        message = read_arm(ledger, header, 0)
    assert header.memory_s == (10.0,)
    point = summary.points[0]
    assert point.cells == pytest.approx(40, abs=3)
    assert summary.resampled == Resampled(kind="time block", length_s=10.0)
    place = message.names.index("mse_clean")
    narrow = intervals.intervals(message.means(Resampler(400, 3)))[place]
    wide = point.metrics["mse"].clean
    assert wide is not None
    assert wide.value == pytest.approx(narrow.value)
    assert width(wide) > 2.0 * width(narrow)


def test_two_arms_over_one_fade_are_still_compared_message_by_message(faded: Path) -> None:
    with Ledger.open(faded) as ledger:
        header = ledger.header()
        together = unit(ledger)
        one, other = (read_arm(ledger, header, arm, together) for arm in (0, 1))

    def column(cells: ArmCells) -> tuple[np.ndarray, np.ndarray]:
        place = cells.names.index("mse_clean")
        return cells.sums[:, [place]], cells.counts[:, [place]]

    assert one.cells.tolist() == other.cells.tolist()
    parts = [np.concatenate(pair, axis=1) for pair in zip(column(one), column(other), strict=True)]
    both = means(*parts, Resampler(len(one.cells), 3, in_time=True))
    each = intervals.intervals(both)
    (gap,) = intervals.intervals(both, lambda means: means[..., :1] - means[..., 1:])
    assert gap.low > 0  # 1 dB less noise is significantly better
    assert width(gap) < 0.35 * min(map(width, each))


def test_receivers_over_one_fade_are_told_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(14)
    fade = np.abs(fades(random, 60, 10, 1)[:, 0])
    sent_s = 0.1 * np.arange(600)
    with created(tmp_path, sweep(["a", "b"], [0.0, 1.0]), 600, ["ssim"], memory_s=[1.0]) as ledger:
        for arm in ledger.arms():
            worse = 0.02 * (arm.receiver == "b") + 0.005 * random.normal(size=600)
            seen = 0.9 - 0.2 * arm.swept[EPSILON] * (fade + worse)
            columns = {"ssim_clean": seen, "ssim_source": seen}
            times = {"sent_s": sent_s, "done_s": sent_s + 0.05}
            add_arm(ledger, arm.arm, psr_db=-10.0 + arm.swept[EPSILON], **times, **columns)
        summary = summarise(ledger)
    order = summary.comparisons[0].order("ssim", "epsilon")
    assert order is not None
    assert str(order) == "a > b"
    assert width(order.pairs[0].difference) < 0.1 * width(summary.areas[0].raw)


def test_a_static_fade_has_no_interval_in_a_real_run_either(tmp_path: Path) -> None:
    study = scenario(
        source={"kind": "dataset", "count": 30, "arrivals": {"kind": "periodic", "rate_hz": 1.0}},
        link={"symbol_rate_hz": 1e4},
        path=[FADING | {"coherence_s": 5000.0}, NOISE, EQUALISER],
        receivers={"wary": {"codec": LINEAR, "detector": {"kind": "norm"}}},
    )
    assert any("will be no intervals" in notice for notice in study.notices)
    summary = campaign.run(study, out=tmp_path / "run").summary()
    reading = summary.points[0].metrics["mse"].source
    assert reading is not None
    assert math.isnan(reading.low)
    assert math.isnan(width(summary.coverages[0].false_alarms))
    assert "nan" not in printed(summary)
