"""The primary comparison of receivers: by quality against the source, all pairs at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.known_ledger import EPSILON, add_arm, created, sweep
from rich.console import Console
from scipy import stats

import channelsim
from channelsim.analysis.best_receiver import standings, who_serves_best
from channelsim.analysis.caveats import warnings
from channelsim.analysis.family import PrimaryFamily
from channelsim.analysis.findings import contradictions, sentence
from channelsim.analysis.intervals import Floats, Means, Resampler, means
from channelsim.analysis.places import hardest
from channelsim.analysis.simultaneous import Together, together
from channelsim.analysis.summary import Summary, summarise
from channelsim.cli.checking import check
from channelsim.contracts.records import ArmRecord
from channelsim.display.full_summary import print_summary
from channelsim.display.live.model import Model
from channelsim.display.live.reader import Reader
from channelsim.report.curve_charts import figure_of
from channelsim.scenario import Scenario
from channelsim.support.errors import InputError

SNR = "awgn.snr_db"
N = 60


# --- intervals that hold together -----------------------------------------------------------------


def of_pairs(values: Floats, seed: int = 1, resamples: int = 400) -> Together:
    """All paired differences of columns [n, arms]."""
    resampler = Resampler(len(values), seed, resamples)
    found = means(values, np.ones_like(values), resampler)
    pairs = list(combinations(range(values.shape[1]), 2))
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    gaps = found.map(lambda columns: columns[..., left] - columns[..., right])
    return together([(gaps, np.abs(found.value[left]))], lambda _: resampler)


def normal(random: np.random.Generator, n: int) -> Floats:
    return random.normal(0.0, 0.01, (n, 4))


def skewed(random: np.random.Generator, n: int) -> Floats:
    return random.lognormal(-4.0, 1.0, (n, 4))


def rare(random: np.random.Generator, n: int) -> Floats:
    """Differences of 0 in most units."""
    return 0.1 * (random.random((n, 4)) < 0.03)


def uneven(random: np.random.Generator, n: int) -> Floats:
    """One arm without scatter beside skewed ones of the same mean."""
    return np.column_stack([np.full(n, 0.02), random.gamma(2.0, 0.01, (n, 3))])


@pytest.mark.parametrize("draw", [normal, skewed, rare, uneven])
@pytest.mark.parametrize("n", [12, 40])
def test_where_nothing_differs_all_intervals_hold_zero_in_95_of_100_runs(
    draw: Callable[[np.random.Generator, int], Floats], n: int
):
    random, runs = np.random.default_rng(5), 300
    held = 0
    for run in range(runs):
        shared = random.gamma(2.0, 0.02, (n, 1))  # what all arms have in common: the image
        found = of_pairs(shared + draw(random, n), seed=run)
        held += all(not (one.low > 0 or one.high < 0) for one in found.intervals)
    # With few and uneven units no method knows the tail; else 95 % at least, but for chance.
    least = 0.85 if (draw, n) == (uneven, 12) else 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)
    assert held / runs >= least
    if draw is normal:
        assert held / runs <= 0.99  # nor with intervals that are too wide


def test_of_one_pair_the_interval_is_hardly_wider_than_student_s():
    values = np.random.default_rng(2).normal(0.0, 1.0, (200, 2))
    found = of_pairs(values, resamples=2000)
    expected = stats.ttest_rel(values[:, 0], values[:, 1]).confidence_interval()
    (one,) = found.intervals
    assert one.high - one.low == pytest.approx(expected.high - expected.low, rel=0.05)
    assert one.high - one.low >= (expected.high - expected.low) * (1 - 1e-9)


def test_members_that_move_together_cost_nothing():
    values = np.random.default_rng(3).normal(0.0, 1.0, (80, 2))
    resampler = Resampler(80, 1, 1000)
    found = means(values, np.ones_like(values), resampler)

    def copied(times: int) -> Together:
        gaps = found.map(lambda of: np.repeat(of[..., :1] - of[..., 1:], times, axis=-1))
        return together([(gaps, np.ones(times))], lambda _: resampler)

    assert copied(50).critical == pytest.approx(copied(1).critical)


def test_blocks_make_one_family():
    values = np.random.default_rng(4).normal(0.0, 1.0, (50, 6))
    resampler = Resampler(50, 1, 500)
    found = means(values, np.ones_like(values), resampler)

    def part(columns: list[int]) -> tuple[Means, Floats]:
        return found.take(columns), np.ones(len(columns))

    whole = together([part([0, 1, 2, 3, 4, 5])], lambda _: resampler)
    assert together([part([0]), part([1, 2, 3]), part([4, 5])], lambda _: resampler) == whole


def test_p_is_the_paired_t_test_s_adjusted_by_holm():
    values = np.random.default_rng(6).normal([0.0, 0.3, 0.5], 1.0, (40, 3))
    bare = [stats.ttest_rel(values[:, a], values[:, b]).pvalue for a, b in ((0, 1), (0, 2), (1, 2))]
    order, adjusted, most = np.argsort(bare), np.empty(3), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (3 - rank) * bare[place]))
        adjusted[place] = most
    assert of_pairs(values).holm_p == pytest.approx(adjusted)


def test_of_few_units_everybody_pays_for_all(tmp_path: Path):
    values = np.random.default_rng(7).normal(0.0, 1.0, (6, 3))
    assert of_pairs(values).critical == pytest.approx(stats.t.ppf(1 - 0.05 / 3 / 2, 5))


def test_equal_arms_differ_by_exactly_nothing_and_cost_the_others_nothing():
    values = np.random.default_rng(8).normal(0.0, 1.0, (50, 2))
    alone = of_pairs(values)
    first, same, other = of_pairs(np.column_stack([values[:, 0], values])).intervals
    assert (first.value, first.low, first.high) == (0.0, 0.0, 0.0)
    assert (same, other) == (alone.intervals[0], alone.intervals[0])


def test_a_constant_gap_has_no_spread_and_no_division_by_zero():
    column = np.random.default_rng(9).uniform(0.1, 0.2, 40)
    found = of_pairs(np.column_stack([column, column + 0.05]))
    (one,) = found.intervals
    assert (one.low, one.high) == (one.value, one.value) == pytest.approx((-0.05, -0.05))
    assert found.holm_p == (0.0,)
    assert math.isnan(found.critical)


def test_one_unit_has_a_difference_and_no_interval():
    found = of_pairs(np.array([[0.1, 0.3]]))
    (one,) = found.intervals
    assert one.value == pytest.approx(-0.2)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert math.isnan(found.holm_p[0])


# --- known ledgers --------------------------------------------------------------------------------


def told(
    folder: Path,
    arms: Sequence[ArmRecord],
    columns: Callable[[ArmRecord], Mapping[str, Any]],
    n: int = N,
    metrics: Sequence[str] = ("mse",),
    **header: Any,
) -> Summary:
    """The summary of a ledger whose columns are known, arm by arm."""
    with created(folder, arms, n, metrics=list(metrics), **header) as ledger:
        for arm in arms:
            add_arm(ledger, arm.arm, **columns(arm))
        return summarise(ledger)


def family_of(summary: Summary) -> PrimaryFamily:
    assert summary.primary is not None
    return summary.primary


def scattered(mean: float, seed: int, n: int = N, scatter: float = 0.1) -> Floats:
    """Errors of one receiver: the images' share, the same for all, and its own."""
    image = np.random.default_rng(0).uniform(0.5, 1.5, n)
    own = np.random.default_rng(seed).normal(0.0, scatter, n)
    return mean * (image + own - own.mean() - image.mean() + 1)


def flat(receivers: Sequence[str]) -> list[ArmRecord]:
    """Receivers without a sweep."""
    return [ArmRecord(place, name, {}) for place, name in enumerate(receivers)]


def on_grid(receivers: Sequence[str], keys: Mapping[str, Sequence[Any]]) -> list[ArmRecord]:
    points: list[dict[str, Any]] = [{}]
    for key, values in keys.items():
        points = [{**point, key: value} for point in points for value in values]
    every = [(name, point) for name in receivers for point in points]
    return [ArmRecord(place, name, point) for place, (name, point) in enumerate(every)]


def printed(summary: Summary, width: int = 200) -> str:
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as captured:
        print_summary(console, summary)
    return captured.get()


def test_one_receiver_has_nobody_to_be_compared_with(tmp_path: Path):
    summary = told(tmp_path, sweep(["kld"], [0.0, 0.5]), lambda arm: {})
    assert summary.primary is None
    assert who_serves_best(summary) == []
    assert "best" not in printed(summary)


def test_without_a_sweep_two_receivers_are_compared_all_the_same(tmp_path: Path):
    errors = {"good": scattered(0.02, 1), "poor": scattered(0.05, 2)}
    summary = told(tmp_path, flat(["poor", "good"]), lambda a: {"mse_source": errors[a.receiver]})
    family = family_of(summary)
    (row,) = family.rows()
    assert row["pair"] == "poor − good"
    assert (row["metric"], row["unit"], row["over"]) == ("mse", "", "point")
    assert row["difference"] == pytest.approx(0.03)
    assert row["low"] < 0.03 < row["high"]
    assert row["low"] > 0.02
    assert row["holm_p"] < 1e-6
    assert row["better"] == family.best_at({}) == "good"
    said = who_serves_best(summary)
    assert said[0].startswith("good serves the user best: mse lower than that of poor by 0.030")
    assert said[-1] == (
        "95 % intervals, jointly for 1 pair (max-t), Holm's p < 0.0001; valid for these weights,"
        " not for the methods that made them."
    )
    text = printed(summary)
    assert text.index(said[0]) < text.index("good: what the user gets")
    assert "All that follows is secondary, unadjusted." in text


def test_the_difference_is_against_the_source_whatever_g_of_z_says(tmp_path: Path):
    # Against its own undisturbed image the worse receiver looks the better one.
    def columns(arm: ArmRecord) -> dict[str, Any]:
        worse = arm.receiver == "poor"
        return {
            "mse_source": scattered(0.05 if worse else 0.02, arm.arm),
            "mse_clean": 0.0 if worse else 0.01,
        }

    assert family_of(told(tmp_path, flat(["poor", "good"]), columns)).best_at({}) == "good"


def test_psnr_is_compared_by_the_ratio_of_mean_errors(tmp_path: Path):
    errors = {"a": scattered(0.01, 1), "b": scattered(0.02, 2)}
    summary = told(
        tmp_path,
        flat(["a", "b"]),
        lambda arm: {"psnr_source": -10 * np.log10(errors[arm.receiver])},
        metrics=["psnr"],
    )
    (row,) = family_of(summary).rows()
    ratio = errors["b"].mean() / errors["a"].mean()
    assert row["difference"] == pytest.approx(10 * math.log10(ratio))
    assert row["difference"] != pytest.approx(
        float(np.mean(10 * np.log10(errors["b"] / errors["a"]))), abs=1e-3
    )
    assert row["unit"] == "dB"
    assert "psnr higher than that of b by 3.0 [" in who_serves_best(summary)[0]


def test_infinite_psnr_on_both_sides_is_no_difference_and_on_one_no_interval(tmp_path: Path):
    got = {"a": np.inf, "b": np.inf, "c": 20.0 + np.random.default_rng(1).normal(size=N)}
    summary = told(
        tmp_path,
        flat(["a", "b", "c"]),
        lambda arm: {"psnr_source": got[arm.receiver]},
        metrics=["psnr"],
    )
    same, infinite, _ = family_of(summary).members
    assert (same.difference.value, same.difference.low, same.better) == (0.0, 0.0, None)
    assert infinite.difference.value == math.inf
    assert math.isnan(infinite.difference.low)
    assert infinite.better is None


def test_pairing_tells_apart_what_the_intervals_of_the_means_do_not(tmp_path: Path):
    image = np.random.default_rng(0).gamma(1.0, 0.05, N)
    shift = {"a": 0.0, "b": 0.002}
    own = np.random.default_rng(1).normal(0.0, 0.001, N)
    summary = told(
        tmp_path,
        flat(["a", "b"]),
        lambda arm: {"mse_source": image + shift[arm.receiver] + own * (arm.receiver == "b")},
    )
    one, other = (point.metrics["mse"].source for point in summary.points)
    assert one is not None
    assert other is not None
    assert one.high > other.low
    assert family_of(summary).best_at({}) == "a"


def test_an_interval_without_zero_is_not_printed_as_if_it_held_zero(tmp_path: Path):
    own = np.random.default_rng(1).normal(0.0, 0.01, N)
    gap = {"a": 0.0, "b": 0.0028 - own.mean() + own}
    summary = told(tmp_path, flat(["a", "b"]), lambda arm: {"mse_source": 0.5 + gap[arm.receiver]})
    low = family_of(summary).members[0].ahead().low
    assert 0 < low < 0.0005
    assert f"by 0.0028 [{low:.4f}," in who_serves_best(summary)[0]


def test_identical_receivers_differ_by_exactly_0_and_none_is_best(tmp_path: Path):
    summary = told(tmp_path, flat(["a", "b"]), lambda arm: {"mse_source": scattered(0.02, 1)})
    (one,) = family_of(summary).members
    assert (one.difference.value, one.difference.low, one.difference.high) == (0.0, 0.0, 0.0)
    assert one.holm_p == 1.0
    assert one.better is None
    assert who_serves_best(summary)[0] == (
        "Nobody is surely best for the user by mse (these weights, joint 95 % intervals):"
        " a and b do not differ significantly."
    )


def test_rounding_of_float32_makes_nobody_best(tmp_path: Path):
    error = scattered(0.02, 1)
    summary = told(
        tmp_path,
        flat(["a", "b"]),
        lambda arm: {"mse_source": error * (1 + 1e-7 * (arm.receiver == "b"))},
    )
    (one,) = family_of(summary).members
    assert one.difference.high < 0  # a constant difference, however small
    assert one.better is None


def test_of_one_message_nobody_is_called_best(tmp_path: Path):
    summary = told(tmp_path, flat(["a", "b"]), lambda arm: {"mse_source": 0.1 + arm.arm}, n=1)
    assert who_serves_best(summary) == [
        "By mse against the source nobody is called best: a single unit was observed, so there are"
        " no intervals."
    ]


def test_a_metric_without_a_direction_is_compared_and_calls_nobody_best(tmp_path: Path):
    summary = told(
        tmp_path,
        flat(["a", "b"]),
        lambda arm: {"oddity_source": scattered(0.02 + 0.03 * arm.arm, arm.arm)},
        metrics=["oddity"],
    )
    assert family_of(summary).rows()[0]["difference"] == pytest.approx(-0.03)
    (said,) = who_serves_best(summary)
    assert "nobody is called best" in said
    assert "`primary:` names another metric" in said


def test_the_unit_is_the_image_where_images_are_sent_repeatedly(tmp_path: Path):
    summary = told(
        tmp_path,
        flat(["a", "b"]),
        lambda arm: {"mse_source": np.tile(scattered(0.02 + 0.01 * arm.arm, arm.arm, 40), 3)},
        n=120,
        calibration={"images": 40},
    )
    assert family_of(summary).units == 40


def test_the_unit_is_the_time_block_where_the_channel_remembers(tmp_path: Path):
    # Errors that last as long as the channel's memory: a hundred messages are few observations.
    fades = np.random.default_rng(1).normal(0.0, 0.01, 20)

    def columns(arm: ArmRecord) -> dict[str, Any]:
        return {"mse_source": 0.05 + 0.004 * arm.arm + (np.repeat(fades, 5) if arm.arm else 0.0)}

    widths = []
    for name, header in (("forgets", {}), ("remembers", {"memory_s": [0.05]})):
        (tmp_path / name).mkdir()
        summary = told(tmp_path / name, flat(["a", "b"]), columns, n=100, **header)
        assert family_of(summary).units == summary.points[0].cells
        (one,) = family_of(summary).members
        widths.append(one.difference.high - one.difference.low)
    assert family_of(summary).units <= 20
    assert widths[1] > 1.5 * widths[0]


def test_of_an_unfinished_run_only_messages_that_all_arms_have_are_compared(tmp_path: Path):
    with created(tmp_path, flat(["a", "b", "c"]), 50) as ledger:
        add_arm(ledger, 0, range(50), mse_source=scattered(0.02, 1, 50))
        add_arm(ledger, 1, range(10, 50), mse_source=scattered(0.05, 2, 50)[10:])
        family = family_of(summarise(ledger))
    assert family.receivers == ("a", "b")  # c has no data
    assert family.units == 40
    expected = scattered(0.02, 1, 50)[10:].mean() - scattered(0.05, 2, 50)[10:].mean()
    assert family.members[0].difference.value == pytest.approx(expected)


# --- sweeps ---------------------------------------------------------------------------------------


def test_an_attack_off_and_on_are_two_points(tmp_path: Path):
    # A plain codec is better undisturbed, the hardened one under attack.
    errors = {("plain", "off"): 0.01, ("plain", "on"): 0.08, ("hard", "off"): 0.02}
    summary = told(
        tmp_path,
        on_grid(["plain", "hard"], {"path.0": ["off", "on"]}),
        lambda arm: {
            "mse_source": scattered(errors.get((arm.receiver, arm.swept["path.0"]), 0.04), arm.arm)
        },
    )
    family = family_of(summary)
    assert [family.best_at(point) for point in family.points] == ["plain", "hard"]
    assert family.areas == ()
    said = who_serves_best(summary)[0]
    assert said.startswith(
        "Best for the user by mse (these weights, joint 95 % intervals): plain at path.0 = off:"
    )
    assert "plain at path.0 = off: mse lower than that of hard by 0.01" in said
    assert "; hard at path.0 = on: mse lower than that of plain by 0.04" in said


def test_over_snr_each_point_says_who_is_best_and_one_says_nobody(tmp_path: Path):
    errors = {"a": (0.09, 0.03, 0.01), "b": (0.06, 0.03, 0.02)}
    levels = [0, 10, 20]
    summary = told(
        tmp_path,
        on_grid(["a", "b"], {SNR: levels}),
        lambda arm: {
            "mse_source": scattered(
                errors[arm.receiver][levels.index(arm.swept[SNR])], arm.arm, scatter=0.3
            )
        },
    )
    assert [one.best for one in standings(family_of(summary))] == ["b", None, "a"]
    text = " ".join(who_serves_best(summary))
    assert "b at snr_db = 0: mse lower" in text
    assert "a at snr_db = 20: mse lower" in text
    assert (
        "Nobody is surely best at snr_db = 10, where a and b do not differ significantly." in text
    )
    assert "1 pair × 3 points" in text


def test_at_every_point_of_two_swept_keys_one_sentence_says_so(tmp_path: Path):
    summary = told(
        tmp_path,
        on_grid(["a", "b", "c"], {SNR: [0, 10], "link.loss": [0.0, 0.1]}),
        lambda arm: {"mse_source": scattered(0.02 + 0.02 * "abc".index(arm.receiver), arm.arm)},
    )
    said = who_serves_best(summary)
    assert said[0].startswith(
        "a serves the user best at every point: mse lower than that of b (next best) by"
    )
    assert "3 pairs × 4 points" in said[-1]
    assert len(family_of(summary).rows()) == 12
    assert family_of(summary).worse_everywhere() == {"b": "a", "c": "a"}


def test_a_pair_among_many_must_differ_by_more(tmp_path: Path):
    def width(receivers: Sequence[str], levels: Sequence[int], folder: str) -> float:
        (tmp_path / folder).mkdir()
        summary = told(
            tmp_path / folder,
            on_grid(receivers, {SNR: levels}),
            lambda arm: {"mse_source": scattered(0.02, 10 * arm.swept[SNR] + ord(arm.receiver))},
        )
        first = family_of(summary).members[0].difference
        return first.high - first.low

    assert width("abcde", range(6), "many") > 1.3 * width("ab", [0], "one")


# --- two readings of a budget ---------------------------------------------------------------------

GRID = [0.0, 0.25, 0.5, 0.75, 1.0]


def attacked(
    folder: Path,
    receivers: Mapping[str, tuple[float, float]],
    epsilons: Sequence[float] = GRID,
    **header: Any,
) -> Summary:
    """Receivers with an amplitude √(K·P) and an error 0.01 + slope·ρ against the source."""

    def columns(arm: ArmRecord) -> dict[str, Any]:
        amplitude, slope = receivers[arm.receiver]
        rho = arm.swept[EPSILON] / amplitude
        own = np.random.default_rng(arm.arm).normal(0.0, 0.001, N)
        off = {"psr_db": None, "delta_l2": 0.0, "verdict": "off"} if rho == 0 else {}
        power = off or {"psr_db": 20 * math.log10(rho)}
        return {"mse_source": 0.01 + slope * rho + own - own.mean(), "quality_mse": 0.01, **power}

    return told(folder, sweep(list(receivers), epsilons), columns, **header)


def test_areas_against_the_source_are_means_over_the_budget_and_over_amplitude(tmp_path: Path):
    summary = attacked(tmp_path, {"a": (1.0, 0.04), "b": (2.0, 0.04)})
    areas = {one.over: one for one in family_of(summary).areas}
    # Over ε: slope/1·½ against slope/2·½. Over ρ, up to 0.5: the same.
    assert areas["epsilon"].difference.value == pytest.approx(0.01, abs=1e-6)
    assert (areas["epsilon"].start, areas["epsilon"].end) == (0.0, 1.0)
    assert areas["epsilon"].better == "b"
    assert areas["psr"].difference.value == pytest.approx(0.0, abs=1e-6)
    assert (areas["psr"].start, areas["psr"].end) == pytest.approx((0.0, 0.5))
    assert areas["psr"].better is None


def test_where_the_readings_differ_nobody_is_called_best_under_attack(tmp_path: Path):
    # At the same ρ b suffers more; its latents are three times as large.
    summary = attacked(tmp_path, {"a": (1.0, 0.04), "b": (3.0, 0.08)})
    family = family_of(summary)
    assert family.readings({}) == {"epsilon": "b", "psr": "a"}
    assert [family.best_at(point) for point in family.points] == [None] * 5
    assert family.ahead_at({EPSILON: 1.0}) == "b"
    text = " ".join(who_serves_best(summary))
    assert "serves the user best" not in text
    assert "b is surely best at equal ε, but not surely at equal PSR" in text
    assert "at equal ε b is best, at equal PSR a is best" in text
    assert "the readings differ, so nobody is called best." in text


def test_where_one_reading_tells_nobody_apart_it_is_said_who_is_not(tmp_path: Path):
    summary = attacked(tmp_path, {"a": (1.0, 0.04), "b": (2.0, 0.04)})
    text = " ".join(who_serves_best(summary))
    assert "at equal ε b is best, at equal PSR a and b do not differ significantly: the" in text


def test_where_the_readings_agree_both_are_given(tmp_path: Path):
    summary = attacked(tmp_path, {"a": (1.0, 0.02), "b": (1.2, 0.08)})
    assert family_of(summary).readings({}) == {"psr": "a", "epsilon": "a"}
    text = " ".join(who_serves_best(summary))
    assert "at equal ε and at equal PSR, a serves the user best: its mse is lower by" in text


def test_each_value_of_another_swept_key_has_readings_of_its_own(tmp_path: Path):
    # At 30 dB a is better under both; at 10 dB b, whose latents are three times as large, is
    # better at equal ε only.
    def columns(arm: ArmRecord) -> dict[str, Any]:
        epsilon, noisy = arm.swept[EPSILON], arm.swept[SNR] == 10
        amplitude = 3.0 if arm.receiver == "b" and noisy else 1.0
        slope = {"a": 0.04, "b": 0.08}[arm.receiver]
        rho = epsilon / amplitude
        off = {"psr_db": None, "delta_l2": 0.0, "verdict": "off"} if rho == 0 else {}
        power = off or {"psr_db": 20 * math.log10(rho)}
        own = np.random.default_rng(arm.arm).normal(0.0, 0.001, N)
        return {"mse_source": 0.01 + slope * rho + own, **power}

    summary = told(tmp_path, on_grid(["a", "b"], {SNR: [10, 30], EPSILON: GRID}), columns)
    family = family_of(summary)
    assert family.readings({SNR: 10}) == {"epsilon": "b", "psr": "a"}
    assert family.readings({SNR: 30}) == {"epsilon": "a", "psr": "a"}
    assert family.best_at({SNR: 10, EPSILON: 1.0}) is None
    assert family.best_at({SNR: 30, EPSILON: 1.0}) == "a"
    text = " ".join(who_serves_best(summary))
    assert "with snr_db = 10: at equal ε b is best, at equal PSR a is" in text
    assert "with snr_db = 30: at equal ε and at equal PSR, a serves the user best:" in text


def test_a_budget_in_decibels_has_one_reading(tmp_path: Path):
    path = [{"kind": "pgd", "name": "mallory", "budget": {"norm": "psr_db"}}]

    def columns(arm: ArmRecord) -> dict[str, Any]:
        rho = 10 ** (arm.swept[EPSILON] / 20)
        slope = 0.02 if arm.receiver == "a" else 0.05
        return {"mse_source": scattered(0.01 + slope * rho, arm.arm), "psr_db": arm.swept[EPSILON]}

    summary = told(
        tmp_path, sweep(["a", "b"], [-20.0, -10.0, 0.0]), columns, scenario={"path": path}
    )
    family = family_of(summary)
    assert {one.over for one in family.areas} == {"psr"}
    assert family.readings({}) == {"psr": "a"}
    assert family.best_at({EPSILON: 0.0}) == "a"  # 0 dB is no absence of an attack, nor contested


def test_at_one_budget_unequal_power_is_told(tmp_path: Path):
    powers = {"a": -10.0, "b": -7.0}
    summary = told(
        tmp_path,
        flat(["a", "b"]),
        lambda arm: {
            "mse_source": scattered(0.02 + 0.02 * arm.arm, arm.arm),
            "psr_db": powers[arm.receiver],
        },
    )
    text = " ".join(who_serves_best(summary))
    assert "At equal budget receivers met powers up to 3.0 dB apart (PSR)" in text


# --- excluded receivers ---------------------------------------------------------------------------

BLANK = {"calibration": {"constant_image": {"mse": 0.05, "ssim": 0.15}}}


def beside_a_good_one(folder: Path, error: float, similarity: float, **header: Any) -> Summary:
    """A poor receiver, which loses little against its own g(z), beside a good one."""

    def columns(arm: ArmRecord) -> dict[str, Any]:
        rho = arm.swept[EPSILON]
        off = {"psr_db": None, "delta_l2": 0.0, "verdict": "off"} if rho == 0 else {}
        power = off or {"psr_db": 20 * math.log10(rho)}
        if arm.receiver == "poor":
            own = {"mse_source": scattered(error, 1), "ssim_source": similarity}
            own |= {"ssim_clean": 1.0 - 0.001 * rho, "quality_ssim": similarity}
            return {**own, "quality_mse": error, **power}
        harm = scattered(0.012 + 0.03 * rho, 2 + arm.arm)
        own = {"mse_source": harm, "quality_mse": 0.012, "quality_ssim": 0.8}
        return {**own, "ssim_source": 0.8 - 0.4 * rho, "ssim_clean": 1 - 0.5 * rho, **power}

    arms = sweep(["poor", "good"], GRID)
    return told(folder, arms, columns, metrics=["mse", "ssim"], **header)


@pytest.mark.parametrize("error", [0.048, 0.06, 0.2])
def test_who_serves_worse_at_every_point_wins_nowhere(tmp_path: Path, error: float):
    summary = beside_a_good_one(tmp_path, error, 0.1, **BLANK)
    assert family_of(summary).worse_everywhere() == {"poor": "good"}
    assert who_serves_best(summary)[0].startswith("good serves the user best at every point")
    for order in (order for one in summary.comparisons for order in one.orders):
        assert order.receivers == ("good",)
        assert order.unranked == ("poor",)
        assert str(order) == "good (poor unranked)"
    text = printed(summary)
    for winning in ("poor >", "poor ≈", "poor beats", "poor serves the user best"):
        assert winning not in text
    assert "Lu & Chen's reading (secondary, unadjusted)" in text
    assert "ssim quality" in text  # beside their areas
    assert contradictions(summary) == []
    legend = [text.get_text() for text in figure_of(summary).legends[0].get_texts()]
    assert not {"poor"} & set(legend)
    assert any(label.startswith("poor (") for label in legend)


def test_who_only_ties_somewhere_and_is_worse_elsewhere_does_not_win_either(tmp_path: Path):
    # At the largest budget both show the same.
    summary = beside_a_good_one(tmp_path, 0.042, 0.1)
    family = family_of(summary)
    assert family.best_at({EPSILON: 1.0}) is None
    assert family.worse_everywhere() == {}
    assert {str(order) for one in summary.comparisons for order in one.orders} == {
        "good (poor unranked)"
    }


def test_who_is_no_better_than_a_mean_image_is_warned_of_and_never_best(tmp_path: Path):
    # Even where the other one is still worse.
    errors = {"poor": 0.06, "worse": 0.09}
    summary = told(
        tmp_path,
        flat(["poor", "worse"]),
        lambda arm: {"mse_source": scattered(errors[arm.receiver], arm.arm)},
        **BLANK,
    )
    assert family_of(summary).hopeless() == ("poor", "worse")
    assert who_serves_best(summary)[0] == (
        "Nobody is surely best for the user by mse (these weights, joint 95 % intervals): none is"
        " surely better than always showing the mean image (poor comes nearest)."
    )
    assert (
        "poor, worse: worse for the user than always showing the data set's mean image (mse 0.05)."
        in warnings(summary)
    )


def test_a_good_receiver_is_warned_of_nothing(tmp_path: Path):
    summary = told(tmp_path, flat(["a"]), lambda arm: {"mse_source": 0.01}, **BLANK)
    assert not any("mean image" in text for text in warnings(summary))


def test_a_real_codec_of_one_number_does_not_win_by_saying_little(tmp_path: Path):
    run = channelsim.run(
        {
            "source": {"kind": "dataset", "name": "mnist5k", "count": 40},
            "path": [
                {
                    "kind": "pgd",
                    "name": "mallory",
                    "goal": {"kind": "damage"},
                    "budget": {"norm": "psr_db", "epsilon": -10},
                },
            ],
            "receivers": {
                "poor": {"codec": {"kind": "linear", "latent_size": 1}},
                "good": {"codec": "kld-vae-adversarial"},
            },
            "metrics": ["mse", "ssim"],
            "primary": "ssim",
            "sweep": {"mallory.budget.epsilon": [-20, -10, -5]},
            "block_rows": 20,
        },
        out=tmp_path / "run",
    )
    summary = run.summary()
    assert summary.primary_metric == family_of(summary).metric == "ssim"
    assert family_of(summary).worse_everywhere() == {"poor": "good"}
    assert who_serves_best(summary)[0].startswith(
        "good serves the user best at every point: ssim higher than that of poor by"
    )
    for order in (order for one in summary.comparisons for order in one.orders):
        assert order.receivers[0] == "good"


# --- sentences ------------------------------------------------------------------------------------


def by_primary(folder: Path, metrics: Sequence[str], primary: str | None) -> Path:
    """A run over SNRs in which every metric finds another point the worst; its ledger."""
    scenario = {"scenario": {"path": [], **({} if primary is None else {"primary": primary})}}
    arms = [ArmRecord(i, "kld", {SNR: snr}) for i, snr in enumerate((0.0, 10.0, 20.0))]
    quiet = {"verdict": None, "delta_l2": 0.0, "psr_db": None, "psr_received_db": None}
    with created(folder, arms, N, metrics, control=False, **scenario) as ledger:
        for arm in range(3):
            add_arm(
                ledger,
                arm,
                mse_source=0.3 if arm == 0 else 0.1,
                ssim_source=0.2 if arm == 1 else 0.8,
                psnr_source=5.0 if arm == 2 else 20.0,
                **quiet,
            )
    return folder / "ledger.sqlite"


@pytest.mark.parametrize(
    ("metrics", "primary", "metric", "worst"),
    [
        (["mse", "ssim", "psnr"], None, "mse", 0.0),
        (["mse", "ssim", "psnr"], "ssim", "ssim", 10.0),
        (["mse", "ssim", "psnr"], "psnr", "psnr", 20.0),
        (["psnr", "ssim", "mse"], None, "psnr", 20.0),
        (["ssim", "psnr", "mse"], "mse", "mse", 0.0),
    ],
)
def test_sentences_points_and_the_view_follow_the_primary_metric(
    tmp_path: Path, metrics: list[str], primary: str | None, metric: str, worst: float
):
    path = by_primary(tmp_path, metrics, primary)
    with channelsim.Run.open(tmp_path).ledger() as ledger:
        summary = summarise(ledger)
    point = hardest(summary, "kld")
    assert point is not None
    assert point.swept == {SNR: worst}
    said = sentence(summary, "kld")
    assert said.startswith(f"kld: at snr_db = {worst:g}, {metric.upper()} against the source: ")
    others = {name.upper() for name in metrics} - {metric.upper()}
    assert not others & set(said.replace(",", " ").split())
    assert Model(Reader(path)).metric == metric


def test_the_envelope_beside_a_failing_attack_is_told_in_it_too(tmp_path: Path):
    mallory = {"kind": "pgd", "name": "mallory", "budget": {"norm": "linf"}}
    scenario = {"scenario": {"path": [mallory], "primary": "psnr"}}
    noise = np.random.default_rng(3).normal(0, 0.02, N)
    arms, metrics = sweep(["kld"], [0.5, 1.0]), ["ssim", "mse", "psnr"]
    with created(tmp_path, arms, N, metrics, **scenario) as ledger:
        add_arm(ledger, 0, mse_clean=0.4 + noise, psnr_source=12.0)
        add_arm(ledger, 1, mse_clean=0.2 + noise, psnr_source=14.0)
        (said,) = [text for text in warnings(summarise(ledger)) if "failing attack" in text]
    assert "MSE against g(z)" in said  # the attack's own objective
    assert "PSNR against the source is 12" in said  # the user's quality


def test_a_ledger_whose_primary_metric_was_not_measured_is_called_damaged(tmp_path: Path):
    path = by_primary(tmp_path, ["mse", "ssim", "psnr"], "lpips")
    said = "names 'lpips' as its primary metric, which was not measured: it is damaged"
    with (
        channelsim.Run.open(tmp_path).ledger() as ledger,
        pytest.raises(InputError, match=said),
    ):
        summarise(ledger)
    with pytest.raises(InputError, match=said):
        Model(Reader(path))


@pytest.mark.parametrize(("primary", "named"), [(None, "mse"), ("ssim", "ssim")])
def test_check_names_the_primary_metric_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], primary: str | None, named: str
):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({**SCENARIO, "primary": primary}), encoding="utf-8")
    check(scenario=str(file), settings=[], seed=None, data_root=None)
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "primary" in line]
    assert line.split() == ["primary", named, "(measured:", "mse,", "ssim)"]


# --- the scenario's key ---------------------------------------------------------------------------

SCENARIO: dict[str, Any] = {
    "source": {"kind": "dataset", "name": "mnist5k", "count": 2},
    "receivers": {"a": {"codec": "linear"}, "b": {"codec": {"kind": "linear", "latent_size": 8}}},
    "metrics": ["mse", "ssim"],
}


def test_left_out_or_at_its_default_the_key_changes_no_hash():
    plain = Scenario.load(SCENARIO)
    assert "primary" not in plain.resolved
    assert Scenario.load({**SCENARIO, "primary": "mse"}).hash == plain.hash
    assert Scenario.load({**SCENARIO, "primary": None}).hash == plain.hash
    other = Scenario.load(SCENARIO, set={"primary": "ssim"})
    assert other.hash != plain.hash
    assert Scenario.load(other.resolved).hash == other.hash


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("psnr", "primary: 'psnr' is no metric of this run; name one of mse, ssim, or list it"),
        ("", "primary: '' is no metric of this run; name one of mse, ssim"),
        (3, "primary"),
        (["mse"], "primary"),
    ],
)
def test_a_primary_metric_that_is_not_measured_is_refused_in_one_sentence(given: Any, text: str):
    with pytest.raises(InputError) as caught:
        Scenario.load({**SCENARIO, "primary": given})
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_it_is_fixed_before_the_run():
    with pytest.raises(InputError, match="primary: cannot be swept: receivers are compared by one"):
        Scenario.load({**SCENARIO, "sweep": {"primary": ["mse", "ssim"]}})


def test_a_receiver_may_still_be_called_primary():
    receivers = {"primary": {"codec": "linear"}, "b": {"codec": "linear"}}
    found = Scenario.load(
        {**SCENARIO, "receivers": receivers, "sweep": {"primary.latency_s": [0.0, 0.1]}}
    )
    assert found.receivers == ("primary", "b")
    assert len(found.arms) == 4
