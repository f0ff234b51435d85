"""Detectors judged: areas under risk–coverage curves, AUROC, false alarms; by closed forms."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, add_attempts, created, sweep
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from channelsim.analysis import auroc_aurc, intervals
from channelsim.analysis import coverage as module
from channelsim.analysis.auroc_aurc import (
    Ranked,
    area_under_risk,
    area_under_roc,
    estimates,
    risk_at,
)
from channelsim.analysis.caveats import warnings
from channelsim.analysis.coverage import Coverage, stated_rate
from channelsim.analysis.intervals import Resampler, binomial
from channelsim.analysis.refusals import detection
from channelsim.analysis.summary import Summary, summarise
from channelsim.contracts.records import ArmRecord
from channelsim.contracts.run_header import RunHeader
from channelsim.display.full_summary import print_summary
from channelsim.ledger import Ledger
from channelsim.report.coverage_chart import coverage as draw
from channelsim.report.coverage_chart import figure_of, thinned
from channelsim.runs import run as campaign

N = 60


def ranked(score: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows per group and the column's sums, each row counted once."""
    cell = np.zeros(len(score), dtype=np.int64)
    one = Ranked(np.asarray(score, float), cell, 1, [np.asarray(column, float)])
    count, sums = one.totals(np.ones((1, 1)))
    return count, sums


def aurc(score: np.ndarray, damage: np.ndarray) -> float:
    return float(area_under_risk(*ranked(score, damage))[0])


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    return float(area_under_roc(*ranked(score, positive))[0])


def by_definition(damage: np.ndarray) -> float:
    """Mean of the risks of the first k rows, k = 1 … n."""
    return float(np.mean(np.cumsum(damage) / np.arange(1, len(damage) + 1)))


# --- areas under risk–coverage curves -----------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 500])
def test_the_area_of_a_score_that_knows_the_damage_is_the_closed_form(n: int):
    # Damages 1/n … 1: the first k have mean (k + 1)/2n, the last k mean (2n − k + 1)/2n.
    damage = np.arange(1, n + 1) / n
    assert aurc(damage, damage) == pytest.approx((n + 3) / (4 * n), rel=1e-12)
    assert aurc(-damage, damage) == pytest.approx((3 * n + 1) / (4 * n), rel=1e-12)


def test_the_oracle_of_errors_is_geifmans_limit():
    # 0-1 losses of rate r: the oracle's area tends to r + (1 − r)·ln(1 − r).
    n, rate = 100_000, 0.3
    damage = (np.arange(n) < rate * n).astype(float)
    assert aurc(damage, damage) == pytest.approx(rate + (1 - rate) * math.log(1 - rate), abs=1e-4)


def test_a_score_that_says_nothing_has_the_mean_damage():
    damage = np.random.default_rng(1).lognormal(size=200)
    assert aurc(np.ones(200), damage) == pytest.approx(damage.mean(), rel=1e-12)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=5))
def test_rows_of_equal_score_count_as_the_mean_over_all_their_orders(rows):
    score, damage = map(np.array, zip(*rows, strict=True))
    orders = [
        list(o) for o in permutations(range(len(score))) if (np.diff(score[list(o)]) >= 0).all()
    ]
    expected = np.mean([by_definition(damage[order]) for order in orders])
    assert aurc(score, damage) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_weight_of_two_is_the_row_written_twice():
    random = np.random.default_rng(2)
    score, damage = random.normal(size=30), random.uniform(size=30)
    weights = random.integers(0, 4, 30)
    one = Ranked(score, np.arange(30), 30, [damage])
    weighted = area_under_risk(*one.totals(weights[None].astype(float)))[0]
    twice = np.repeat(np.arange(30), weights)
    assert weighted == pytest.approx(aurc(score[twice], damage[twice]), rel=1e-12)


def test_many_rows_in_groups_have_the_same_areas():
    random = np.random.default_rng(3)
    damage = random.gamma(2.0, 0.01, 20_000)
    score = damage + random.normal(0, 0.01, 20_000)
    positive = (score + random.normal(0, 0.01, 20_000) > 0.02).astype(float)
    assert len(score) > auroc_aurc.EXACT
    assert aurc(score, damage) == pytest.approx(by_definition(damage[score.argsort()]), rel=1e-4)
    expected = stats.mannwhitneyu(score[positive > 0], score[positive == 0]).statistic
    expected /= positive.sum() * (1 - positive).sum()
    assert auroc(score, positive) == pytest.approx(expected, abs=1e-4)


def test_the_risk_at_a_coverage_is_the_mean_of_the_rows_accepted():
    damage = np.array([0.1, 0.2, 0.3, 0.6])
    found = risk_at(np.array([0.25, 0.5, 1.0]), *ranked(np.arange(4), damage))
    assert found[0] == pytest.approx([0.1, 0.15, 0.3])


def test_the_interval_is_the_bca_bootstrap_of_scipy():
    random = np.random.default_rng(4)
    damage = random.gamma(2.0, 1.0, 80)
    score = damage + random.normal(0, 1.0, 80)
    one = Ranked(score, np.arange(80), 80, [damage])

    def area(weights: np.ndarray) -> np.ndarray:
        return area_under_risk(*one.totals(weights))[:, None]

    found = estimates(area, 80, Resampler(80, seed=5, resamples=4000))[0]
    reference = stats.bootstrap(
        (score, damage), aurc, paired=True, vectorized=False, n_resamples=2000, rng=6
    ).confidence_interval
    width = reference.high - reference.low
    assert found.low == pytest.approx(reference.low, abs=0.1 * width)
    assert found.high == pytest.approx(reference.high, abs=0.1 * width)


# --- AUROC and shares ---------------------------------------------------------------------------


def test_the_auroc_is_mann_and_whitneys_with_half_the_ties():
    random = np.random.default_rng(7)
    score = random.integers(0, 6, 300).astype(float)
    positive = random.uniform(size=300) < 0.4
    expected = stats.mannwhitneyu(score[positive], score[~positive]).statistic
    assert auroc(score, positive) == pytest.approx(
        expected / (positive.sum() * (~positive).sum()), rel=1e-12
    )


def test_the_auroc_of_two_normal_laws_is_the_closed_form():
    # P(X > Y) for unit normals a distance d apart is Φ(d/√2).
    random = np.random.default_rng(8)
    score = np.concatenate([random.normal(0, 1, 20_000), random.normal(1.2, 1, 20_000)])
    positive = np.arange(40_000) >= 20_000
    expected = stats.norm.cdf(1.2 / math.sqrt(2))
    assert auroc(score, positive) == pytest.approx(expected, abs=0.006)  # three standard errors


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (3, 20), (20, 20), (1, 1)])
def test_the_interval_of_a_share_is_the_exact_binomial_one(hits: int, trials: int):
    found = binomial(hits, trials)
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert binomial(0, 0) is None


# --- a ledger -----------------------------------------------------------------------------------


def judged(
    folder: Path,
    write: Callable[[Ledger, ArmRecord], None],
    arms: list[ArmRecord] | None = None,
    n: int = N,
    **more: Any,
) -> Summary:
    """Summarise a run whose one receiver has a detector that rejects scores above 1."""
    arms = arms or sweep(["watchful"], [0.0, 1.0])
    detector = {"kind": "norm", "false_alarm": 0.05}
    header: dict[str, Any] = {
        "scenario": {"receivers": {"watchful": {"detector": detector}}},
        "calibration": {"threshold": {str(arm.arm): 1.0 for arm in arms}},
    }
    header["calibration"] |= more.pop("calibration", {})
    with created(folder, arms, n, judged=True, **(header | more)) as ledger:
        for arm in arms:
            write(ledger, arm)
        return summarise(ledger)


def attacked(arm: ArmRecord) -> dict[str, Any]:
    """A row's columns of the adversary."""
    return {"delta_l2": 1.0} if arm.swept.get(EPSILON) else {"delta_l2": 0.0, "psr_db": None}


def separable(ledger: Ledger, arm: ArmRecord) -> None:
    """Clean rows score up to 1 and are accepted, attacked ones 2 and more and are rejected."""
    number = np.arange(N) / N
    hit = bool(arm.swept[EPSILON])
    add_arm(
        ledger, arm.arm, score=number + 2 * hit, accepted=not hit,
        delivered="rejected" if hit else "yes", decoded_mse_source=0.01 + 0.1 * hit * number,
        **attacked(arm),
    )  # fmt: skip


def test_scores_that_part_clean_from_attacked_have_an_auroc_of_one(tmp_path: Path):
    clean, hit = judged(tmp_path, separable).coverages
    assert (hit.auroc.value, hit.detected.value, hit.detected_at_stated.value) == (1.0, 1.0, 1.0)
    assert hit.against == clean.arm == 0
    assert (clean.auroc, clean.detected, clean.against) == (None, None, None)
    assert (clean.false_alarms.value, clean.coverage.value) == (0.0, 1.0)
    assert clean.stated == hit.stated == 0.05


def test_scores_of_one_law_have_an_auroc_of_one_half_and_a_flat_curve(tmp_path: Path):
    random = np.random.default_rng(9)

    def blind(ledger: Ledger, arm: ArmRecord) -> None:
        score = random.uniform(0, 1.05, 400)
        add_arm(ledger, arm.arm, score=score, accepted=score <= 1.0,
                decoded_mse_source=random.gamma(2.0, 0.05, 400), **attacked(arm))  # fmt: skip

    hit = judged(tmp_path, blind, n=400).coverages[1]
    assert hit.auroc.low < 0.5 < hit.auroc.high
    risk = hit.risks["mse"]
    assert risk.aurc.low < risk.all.value < risk.aurc.high
    assert risk.excess.low > 0  # an oracle does significantly better
    assert all(point.low < risk.all.value < point.high for point in risk.curve[4:-1])


def test_risks_are_those_of_the_decoded_image_whatever_was_decided(tmp_path: Path):
    def known(ledger: Ledger, arm: ArmRecord) -> None:
        damage = np.arange(1, N + 1) / N
        accepted = damage <= 0.5
        add_arm(
            ledger, arm.arm, score=2 * damage, accepted=accepted, mse_source=0.123,
            delivered=np.where(accepted, "yes", "rejected"), decoded_mse_source=damage,
            **attacked(arm),
        )  # fmt: skip

    risk = judged(tmp_path, known).coverages[1].risks["mse"]
    assert risk.aurc.value == risk.oracle == pytest.approx((N + 3) / (4 * N))
    assert risk.excess.value == pytest.approx(0.0, abs=1e-12)
    assert risk.all.value == pytest.approx((N + 1) / (2 * N))
    assert risk.accepted.value == pytest.approx((N / 2 + 1) / (2 * N))
    assert risk.spared.value == pytest.approx(risk.all.value - risk.accepted.value)
    assert risk.spared.low > 0
    assert risk.curve[-1].value == pytest.approx(risk.all.value)


def test_psnr_counts_as_its_mse_and_ssim_as_what_it_lacks(tmp_path: Path):
    damage = np.arange(1, N + 1) / N

    def known(ledger: Ledger, arm: ArmRecord) -> None:
        columns = {
            "decoded_mse_source": damage,
            "decoded_psnr_source": -10 * np.log10(damage),
            "decoded_ssim_source": 1 - damage,
        }
        columns = {name: columns[name] for name in columns if name.split("_")[1] in metrics}
        add_arm(ledger, arm.arm, score=damage, accepted=True, **columns, **attacked(arm))

    for metrics in (["psnr", "ssim"], ["mse", "psnr"]):
        folder = tmp_path / metrics[0]
        folder.mkdir()
        found = judged(folder, known, metrics=metrics).coverages[1].risks
        assert list(found) == metrics
        for name in metrics:
            assert found[name].metric == name
            assert found[name].aurc.value == pytest.approx((N + 3) / (4 * N), rel=1e-9)


def test_only_first_attempts_that_arrived_are_judged(tmp_path: Path):
    # Message 0 was refused, then accepted; message 1 was lost, then accepted.
    def again(ledger: Ledger, arm: ArmRecord) -> None:
        attempts = np.array([2, 2, 1, 1])
        add_arm(ledger, arm.arm, attempts=attempts, score=0.5, decoded_mse_source=0.1,
                **attacked(arm))  # fmt: skip
        first = 8 * arm.arm
        add_attempts(ledger, [first], score=1.5, decoded_mse_source=0.7, **attacked(arm))
        add_attempts(ledger, [first + 2], lost=1, score=9.0, decoded_mse_source=9.0,
                     **attacked(arm))  # fmt: skip

    clean, hit = judged(tmp_path, again, n=4, max_attempts=2).coverages
    assert hit.n == 3
    assert hit.coverage.value == pytest.approx(2 / 3)
    assert hit.risks["mse"].all.value == pytest.approx((0.7 + 0.1 + 0.1) / 3)
    assert clean.false_alarms.value == pytest.approx(1 / 3)


def test_where_nothing_is_accepted_there_is_no_risk_of_the_accepted(tmp_path: Path):
    summary = judged(tmp_path, separable)
    risk = summary.coverages[1].risks["mse"]
    assert (risk.accepted, risk.spared) == (None, None)
    said = detection(summary, "watchful")
    assert (
        "rejects 0.0 % of clean codewords (stated 5 %), 100.0 % of attacked ones at ε = 1" in said
    )
    assert "it accepted none there, where the mean MSE decoded was 0.059" in said


def test_repeated_images_are_one_observation(tmp_path: Path):
    random = np.random.default_rng(10)
    damage, noise = random.gamma(2.0, 0.05, N), random.normal(0, 0.02, N)

    def times(copies: int) -> Coverage:
        def same(ledger: Ledger, arm: ArmRecord) -> None:
            add_arm(ledger, arm.arm, score=np.tile(damage + noise, copies), accepted=True,
                    decoded_mse_source=np.tile(damage, copies), **attacked(arm))  # fmt: skip

        folder = tmp_path / str(copies)
        folder.mkdir()
        return judged(folder, same, n=copies * N, calibration={"images": N}).coverages[1]

    once, often = times(1).risks["mse"].aurc, times(5).risks["mse"].aurc
    width, again = once.high - once.low, often.high - often.low
    assert again == pytest.approx(width, rel=0.1)  # not width/√5


def test_a_run_without_a_detector_has_nothing_to_judge(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), N) as ledger:
        add_arm(ledger, 0)
        summary = summarise(ledger)
    assert summary.coverages == ()
    assert summary.coverage_rows() == []
    assert detection(summary, "kld") is None
    assert figure_of(summary) is None
    assert not draw(summary, tmp_path / "coverage.png")
    assert not (tmp_path / "coverage.png").exists()


def test_attacks_are_told_from_the_arm_that_differs_in_nothing_else(tmp_path: Path):
    # Two noise levels; at the noisy one, clean rows score as high as attacked ones.
    swept = [{EPSILON: e, "awgn.snr_db": s} for e in (0.0, 1.0) for s in (30, 0)]
    arms = [ArmRecord(number, "watchful", one) for number, one in enumerate(swept)]

    def noisy(ledger: Ledger, arm: ArmRecord) -> None:
        strange = arm.swept[EPSILON] == 1.0 or arm.swept["awgn.snr_db"] == 0
        add_arm(ledger, arm.arm, score=np.arange(N) / N + 2 * strange, accepted=not strange,
                decoded_mse_source=0.1, **attacked(arm))  # fmt: skip

    found = {one.arm: one for one in judged(tmp_path, noisy, arms).coverages}
    assert (found[2].against, found[2].auroc.value) == (0, 1.0)
    assert (found[3].against, found[3].auroc.value) == (1, 0.5)


def test_a_swept_rate_of_an_adversary_has_its_idle_arm_for_reference(tmp_path: Path):
    arms = [ArmRecord(i, "watchful", {"jammer.duty": v}) for i, v in enumerate([0.0, 1.0])]

    def jam(ledger: Ledger, arm: ArmRecord) -> None:
        add_arm(ledger, arm.arm, score=np.arange(N) + arm.arm * N, decoded_mse_source=0.1,
                delta_l2=float(arm.arm))  # fmt: skip

    assert judged(tmp_path, jam, arms, threats={"jammer": {}}).coverages[1].auroc.value == 1.0


@pytest.mark.parametrize(
    ("swept", "expected"),
    [
        ({}, 0.05),
        ({"watchful.detector.false_alarm": 0.2}, 0.2),
        ({"receivers.watchful.detector.false_alarm": 0.3}, 0.3),
        ({"receivers.*.detector.false_alarm": 0.4}, 0.4),
        ({"trusting.detector.false_alarm": 0.5}, 0.05),
    ],
)
def test_the_stated_false_alarm_rate_follows_the_sweep(swept: Mapping[str, Any], expected: float):
    header = {"scenario": {"receivers": {"watchful": {"detector": {"false_alarm": 0.05}}}}}
    assert stated_rate(RunHeader(header), ArmRecord(0, "watchful", swept)) == expected
    assert stated_rate(RunHeader({}), ArmRecord(0, "watchful", {})) is None


def test_of_a_very_large_arm_a_random_sample_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    random = np.random.default_rng(11)
    damage = random.gamma(2.0, 0.05, 2000)

    def large(ledger: Ledger, arm: ArmRecord) -> None:
        add_arm(ledger, arm.arm, score=damage, accepted=True, decoded_mse_source=damage,
                **attacked(arm))  # fmt: skip

    monkeypatch.setattr(module, "MOST_ROWS", 500)
    monkeypatch.setattr(module, "CELLS", 200)
    found = judged(tmp_path, large, n=2000).coverages[1]
    assert 400 < found.n < 600
    assert (
        found.risks["mse"].aurc.low < by_definition(np.sort(damage)) < found.risks["mse"].aurc.high
    )


def test_scattering_is_even_and_the_cells_of_few_images_are_their_own():
    numbers = np.arange(4000)
    counts = np.bincount(intervals.scattered(numbers, 8, 1, "rows"), minlength=8)
    assert stats.chisquare(counts).pvalue > 0.001
    assert (intervals.cell_of(numbers, 4000, 1) == numbers).all()
    assert intervals.cell_of(numbers, 4000, 1, most=100).max() == 99


# --- sentences and pictures ---------------------------------------------------------------------


def watchful(folder: Path, alarms: int = 3, better: bool = True, **more: Any) -> Summary:
    """A run that rejects ``alarms`` clean rows and half of the attacked; the worse half, or not."""

    def write(ledger: Ledger, arm: ArmRecord) -> None:
        number = np.arange(N)
        hit = bool(arm.swept[EPSILON])
        refused = number % 2 == 1 if hit else number < alarms
        wave = 0.002 * np.sin(number)
        damage = 0.02 + 0.04 * hit * (refused == better) + wave
        add_arm(
            ledger, arm.arm, score=refused + 0.5 + 0.001 * number, accepted=~refused,
            delivered=np.where(refused, "rejected", "yes"), decoded_mse_source=damage,
            verdict="ok" if hit else "off", **attacked(arm),
        )  # fmt: skip

    return judged(folder, write, **more)


def test_the_sentence_says_what_is_rejected_and_what_that_is_worth(tmp_path: Path):
    assert detection(watchful(tmp_path), "watchful") == (
        "watchful: rejects 5.0 % of clean codewords (stated 5 %), 50.0 % of attacked ones at"
        " ε = 1; accepting all would raise the mean MSE of what it decodes from 0.020 to 0.040."
    )


def test_the_sentence_admits_a_detector_that_rejects_the_better_half(tmp_path: Path):
    said = detection(watchful(tmp_path, better=False), "watchful")
    assert "accepting all would lower the mean MSE of what it decodes from 0.060 to 0.040." in said


def test_more_false_alarms_than_stated_are_warned_of(tmp_path: Path):
    (tmp_path / "many").mkdir()
    said = [w for w in warnings(watchful(tmp_path / "many", 12)) if "detector" in w]
    assert len(said) == 1
    assert said[0].startswith("watchful at ε = 0: the detector rejects 20.0 [10.8, 32.3] % of")
    assert said[0].endswith("more than the stated 5 %.")
    (tmp_path / "few").mkdir()
    assert not any("detector" in w for w in warnings(watchful(tmp_path / "few", 3)))


@pytest.mark.parametrize("width", [50, 80, 140])
def test_the_table_of_detectors_fits_the_terminal(tmp_path: Path, width: int):
    stream = io.StringIO()
    print_summary(Console(file=stream, width=width, force_terminal=False), watchful(tmp_path))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    for head in ("accepted", "false alarms", "AUROC", "AURC", "risk"):
        assert head in text
    assert "5 → 5.0 [1.0, 13.9] %" in text
    assert "accepting all would raise the mean MSE" in " ".join(text.split())


def test_rows_make_a_table_with_one_line_per_detector_and_arm(tmp_path: Path):
    rows = watchful(tmp_path).coverage_rows()
    assert [(row["receiver"], row[EPSILON]) for row in rows] == [
        ("watchful", 0.0),
        ("watchful", 1.0),
    ]
    assert rows[0].keys() == rows[1].keys()
    assert rows[0]["auroc"] is None
    assert rows[1]["detected"] == pytest.approx(0.5)
    assert rows[1]["risk_accepted_mse"] < rows[1]["risk_all_mse"]


def test_the_picture_has_a_line_per_point_and_ends_at_the_risk_of_all(tmp_path: Path):
    summary = watchful(tmp_path)
    panel = figure_of(summary).axes[0]
    solid = [line for line in panel.lines if line.get_linestyle() == "-"]
    ends = [line.get_ydata()[-1] for line in solid]
    assert ends == pytest.approx([one.risks["mse"].all.value for one in summary.coverages])
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names[0] == "ε = 0"
    assert names[1].startswith("ε = 1, AUROC ")
    assert draw(summary, tmp_path / "coverage.png")
    assert (tmp_path / "coverage.png").stat().st_size > 1000


def test_a_long_sweep_is_drawn_with_its_ends(tmp_path: Path):
    one, other = watchful(tmp_path).coverages
    chosen = thinned([one, *[other] * 30, one])
    assert len(chosen) == 6
    assert chosen[0] is chosen[-1] is one


# --- a real run ---------------------------------------------------------------------------------


def test_a_run_records_what_the_detector_hid(tmp_path: Path):
    scenario = {
        "title": "Noise on a linear codec",
        "seed": 3,
        "source": {"kind": "dataset", "name": "mnist5k", "count": 60, "arrivals": {"kind": "once"}},
        "path": [
            {"kind": "noise", "name": "mallory", "budget": {"norm": "psr_db", "epsilon": 6}},
            {"kind": "awgn", "snr_db": 20},
        ],
        "receivers": {
            "watchful": {
                "codec": {"kind": "linear", "latent_size": 8},
                "detector": {"kind": "norm", "false_alarm": 0.1},
            }
        },
        "metrics": ["mse"],
        "sweep": {"mallory.budget.epsilon": [float("-inf"), 6]},
        "block_rows": 64,
    }
    run = campaign.run(scenario, out=tmp_path / "run")
    clean, hit = run.summary().coverages
    assert (clean.n, hit.n, hit.against) == (60, 60, clean.arm)
    assert clean.false_alarms.low < clean.stated == 0.1
    assert hit.auroc.value > 0.8
    assert clean.risks["mse"].all.value < hit.risks["mse"].all.value
    with run.ledger() as ledger:
        query = "SELECT accepted, mse_source, decoded_mse_source FROM attempt"
        rows = list(ledger.rows(query))
    assert all(seen == decoded for accepted, seen, decoded in rows if accepted)
    assert any(seen != decoded for accepted, seen, decoded in rows if not accepted)
