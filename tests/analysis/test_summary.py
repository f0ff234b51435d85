"""Summaries of ledgers whose numbers are known in advance."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, add_attempts, created, sweep

from channelsim.analysis import areas, intervals
from channelsim.analysis.gain import undecided
from channelsim.analysis.intervals import mean_interval
from channelsim.analysis.places import places
from channelsim.analysis.summary import summarise
from channelsim.analysis.verdicts import arm_verdicts
from channelsim.contracts.records import ArmRecord
from channelsim.contracts.scales import damage_metric
from channelsim.ledger import Ledger

SNR = "awgn.snr_db"


def test_means_counts_and_quality_are_the_ledgers(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=4) as ledger:
        add_arm(ledger, 0, mse_source=np.array([0.1, 0.2, 0.3, 0.4]), quality_mse=0.02)
        point = summarise(ledger).points[0]
    assert (point.n, point.expected) == (4, 4)
    assert point.metrics["mse"].source.value == pytest.approx(0.25)
    assert point.metrics["mse"].quality.value == pytest.approx(0.02)
    assert point.swept == {EPSILON: 0.5}


def test_intervals_are_those_of_the_bootstrap_over_messages(tmp_path: Path):
    values = np.random.default_rng(1).lognormal(-3, 1, 60)
    with created(tmp_path, sweep(["kld"], [0.5]), count=60, seed=11) as ledger:
        add_arm(ledger, 0, mse_source=values)
        found = summarise(ledger).points[0].metrics["mse"].source
    expected = mean_interval(values, seed=11)
    ends = (expected.value, expected.low, expected.high)
    assert (found.value, found.low, found.high) == pytest.approx(ends, rel=1e-9)


def test_the_same_ledger_always_gives_the_same_summary(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), count=30, metrics=["mse", "ssim"]) as ledger:
        for arm in range(2):
            add_arm(ledger, arm, mse_source=np.random.default_rng(arm).uniform(size=30))
        assert summarise(ledger) == summarise(ledger)


def test_psnr_is_averaged_as_mse_and_survives_infinities(tmp_path: Path):
    # A perfect image (infinite PSNR) and one of MSE 0.02: the mean MSE is 0.01, so 20 dB.
    psnr = np.array([np.inf, 10 * math.log10(50)])
    with created(tmp_path, sweep(["kld"], [0.5]), count=2, metrics=["psnr"]) as ledger:
        add_arm(ledger, 0, psnr_source=psnr, psnr_clean=np.inf)
        readings = summarise(ledger).points[0].metrics["psnr"]
    assert readings.source.value == pytest.approx(20.0)
    assert readings.source.low < 20.0 <= readings.source.high
    assert readings.clean.value == math.inf


def test_the_gain_is_the_ratio_of_mean_damages_in_decibels(tmp_path: Path):
    image = np.random.default_rng(2).gamma(2.0, 0.01, 50)
    with created(tmp_path, sweep(["kld"], [0.5]), count=50) as ledger:
        add_arm(ledger, 0, mse_passive=8 * image, control_mse_passive=image)
        point = summarise(ledger).points[0]
    # The ratio is 8 for every message: paired, the interval has no width.
    assert point.gain_db.value == pytest.approx(10 * math.log10(8))
    assert point.gain_db.high - point.gain_db.low == pytest.approx(0.0, abs=1e-9)
    assert point.verdict == "ok"


def test_an_attack_no_better_than_noise_is_called_beaten_by_noise(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5, 0.6]), count=20) as ledger:
        add_arm(ledger, 0, mse_passive=0.1, control_mse_passive=0.2)
        add_arm(ledger, 1, mse_passive=0.2, control_mse_passive=0.2)
        weaker, equal = summarise(ledger).points
    assert weaker.gain_db.value == pytest.approx(-3.0103, abs=1e-4)
    assert weaker.verdict == equal.verdict == "beaten_by_noise"


def test_an_attack_without_any_damage_is_beaten_by_noise_that_does_some(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=20) as ledger:
        add_arm(ledger, 0, mse_passive=0.0, control_mse_passive=0.2)
        point = summarise(ledger).points[0]
        closing = dict(arm_verdicts(ledger))
    assert point.gain_db is None  # −∞ dB
    assert point.verdict == closing[0] == "beaten_by_noise"


@pytest.mark.parametrize(
    ("word", "control", "verdict"),
    [(None, True, "ok"), ("off", True, "off"), ("off", False, "off")],
)
def test_losses_on_the_link_are_no_victory_of_noise_where_nobody_attacks(
    word: str | None, control: bool, verdict: str, tmp_path: Path
):
    with created(tmp_path, sweep(["kld"], [0.0]), count=20, control=control) as ledger:
        damage = {"mse_passive": 0.1} | ({"control_mse_passive": 0.1} if control else {})
        add_arm(ledger, 0, verdict=word, delta_l2=0.0, psr_db=None, delivered="lost", **damage)
        assert dict(arm_verdicts(ledger)) == {0: verdict}
        assert summarise(ledger).points[0].verdict == word


def test_a_tie_is_not_decided_by_rounding(tmp_path: Path):
    # An isotropic decoder: attack and noise do the same up to float32.
    harm = np.random.default_rng(2).gamma(2.0, 0.01, 50)
    with created(tmp_path, sweep(["kld"], [0.5]), count=50) as ledger:
        add_arm(ledger, 0, mse_passive=harm * (1 + 1e-7), control_mse_passive=harm)
        point = summarise(ledger).points[0]
    assert point.gain_db.value > 0
    assert point.verdict == "beaten_by_noise"


def test_a_gain_whose_interval_reaches_zero_is_undecided(tmp_path: Path):
    attack = np.array([0.20, 0.04] * 4)  # on half of the messages noise did better
    with created(tmp_path, sweep(["kld"], [0.5]), count=8) as ledger:
        add_arm(ledger, 0, mse_passive=attack, control_mse_passive=0.1)
        gain = summarise(ledger).points[0].gain_db
    assert gain.low <= 0 < gain.value
    assert undecided(gain)


def test_the_gain_compares_first_attempts_because_noise_never_asks_again(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=2, max_attempts=2) as ledger:
        # Both messages were refused once; the second time the attacked image was accepted, while
        # the control, judged at that attempt only, shows the fallback.
        add_arm(ledger, 0, attempts=2, mse_passive=0.01, control_mse_passive=0.5)
        add_attempts(ledger, [0, 2], mse_passive=0.4, control_mse_passive=0.1)
        point = summarise(ledger).points[0]
    assert point.gain_db.value == pytest.approx(10 * math.log10(4))
    assert point.metrics["mse"].passive.value == pytest.approx(0.01)


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_damage_by_losses_on_the_link_is_no_part_of_the_gain(tmp_path: Path, max_attempts: int):
    with created(tmp_path, sweep(["kld"], [0.5]), count=4, max_attempts=max_attempts) as ledger:
        fate = np.array(
            ["lost", "yes", "yes", "yes"]
        )  # where nothing arrives, both show a fallback
        add_arm(ledger, 0, delivered=fate, mse_passive=[0.9, 0.4, 0.4, 0.4],
                control_mse_passive=[0.9, 0.1, 0.1, 0.1])  # fmt: skip
        point = summarise(ledger).points[0]
    assert point.gain_db.value == pytest.approx(10 * math.log10(4))
    assert point.metrics["mse"].passive.value == pytest.approx(0.525)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("attacked", [0, 1, 20])
def test_false_alarms_on_what_was_let_pass_are_no_part_of_the_gain(tmp_path: Path, attacked: int):
    # Rows not attacked, and refused all the same, have equal damage in both: the fallback's.
    hit = np.arange(40) < attacked
    with created(tmp_path, sweep(["kld"], [0.5]), count=40, max_attempts=2) as ledger:
        add_arm(
            ledger,
            0,
            verdict=np.where(hit, "ok", "idle"),
            delta_l2=np.where(hit, 1.0, 0.0),
            mse_passive=np.where(hit, 0.04, 5.0),
            control_mse_passive=np.where(hit, 0.01, 5.0),
        )
        if not attacked:  # but for a repetition, which has no control to compare it with
            add_attempts(ledger, [1], verdict="ok", delta_l2=1.0)
        point = summarise(ledger).points[0]
        assert dict(arm_verdicts(ledger)) == {0: point.verdict}
    if attacked:
        assert point.gain_db.value == pytest.approx(10 * math.log10(4))
    else:
        assert point.gain_db is None


def test_rejections_without_an_attack_are_no_gain(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0]), count=4) as ledger:
        add_arm(ledger, 0, mse_passive=[0.1, 0, 0, 0], control_mse_passive=[0.1, 0, 0, 0],
                verdict="off", delta_l2=0.0, psr_db=None)  # fmt: skip
        point = summarise(ledger).points[0]
    assert point.gain_db is None
    assert point.verdict == "off"


def test_without_an_attack_there_is_no_gain_and_the_arm_is_off(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0]), count=5) as ledger:
        add_arm(ledger, 0, mse_passive=0.0, control_mse_passive=0.0, verdict="off",
                psr_db=None, psr_received_db=None, delta_l2=0.0)  # fmt: skip
        point = summarise(ledger).points[0]
    assert point.gain_db is None
    assert point.psr_db is None
    assert point.verdict == "off"


def test_without_a_control_there_is_no_gain(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=5, control=False) as ledger:
        add_arm(ledger, 0)
        summary = summarise(ledger)
    assert summary.gain_metric is None
    assert summary.points[0].gain_db is None
    assert summary.points[0].metrics["mse"].control_source is None


def test_where_only_ssim_was_measured_the_gain_compares_what_it_lacks_to_one(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=5, metrics=["ssim"]) as ledger:
        add_arm(ledger, 0, ssim_passive=0.6, control_ssim_passive=0.96)
        summary = summarise(ledger)
    assert summary.gain_metric == "ssim"
    assert summary.points[0].gain_db.value == pytest.approx(10.0)


def test_the_gain_is_read_from_the_mse_before_anything_else():
    assert damage_metric(["ssim", "psnr", "mse"]) == "mse"
    assert damage_metric(["psnr", "ssim"]) == "psnr"
    assert damage_metric(["a-users-own"]) is None


def test_power_is_averaged_in_linear_units_and_spared_messages_count(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=4) as ledger:
        add_arm(
            ledger,
            0,
            psr_db=[0.0, -10.0, None, None],  # 1, 0.1, 0 and 0
            delta_l2=[1.0, 0.3, 0.0, 0.0],
            snr_measured_db=[10.0, 20.0, 10.0, 20.0],  # noise 0.1 and 0.01 of the transmit power
            verdict=["ok", "ok", "not_moved", "not_moved"],
        )
        point = summarise(ledger).points[0]
    assert point.psr_db == pytest.approx(10 * math.log10(1.1 / 4))
    assert point.snr_measured_db == pytest.approx(-10 * math.log10(0.055))
    assert point.snr_db == pytest.approx(30.0)
    assert point.verdicts == {"ok": 2, "not_moved": 2}


def test_what_was_refused_and_sent_again_was_attacked_all_the_same(tmp_path: Path):
    # A detector refuses every attacked codeword and the message ends on a repetition without an
    # attack: judged by last attempts alone, this adversary would have been absent.
    count = 40
    with created(tmp_path, sweep(["kld"], [0.5]), count=count, max_attempts=2) as ledger:
        again = np.arange(count) % 4 == 0
        add_arm(
            ledger,
            0,
            attempts=np.where(again, 2, 1),
            verdict="idle",
            delta_l2=0.0,
            psr_db=None,
            psr_received_db=None,
        )
        hit = 2 * np.flatnonzero(again)
        add_attempts(ledger, hit, verdict="ok", delta_l2=2.0, psr_db=3.0, psr_received_db=3.0,
                     snr_db=30.0, snr_measured_db=10.0, mse_passive=0.3,
                     control_mse_passive=0.1)  # fmt: skip
        point = summarise(ledger).points[0]
        assert dict(arm_verdicts(ledger)) == {0: "ok"}
    assert point.verdict == "ok"
    assert point.verdicts == {"ok": 10, "idle": 40}
    assert point.attacked_share == 10 / 50
    assert point.psr_db == pytest.approx(10 * math.log10(10**0.3 * 10 / 50))
    assert point.snr_measured_db == pytest.approx(-10 * math.log10((10 * 0.1 + 40 * 0.001) / 50))
    assert point.attempts == 50 / 40


def test_averaging_noise_power_does_not_flatter_short_codewords(tmp_path: Path):
    # Ten noise values per codeword: the mean of the ratios P/noise would be 1 dB too high.
    energy = np.random.default_rng(4).chisquare(10, 4000) / 10
    with created(tmp_path, sweep(["kld"], [0.5]), count=4000) as ledger:
        add_arm(ledger, 0, snr_measured_db=20 - 10 * np.log10(energy))
        point = summarise(ledger).points[0]
    assert point.snr_measured_db == pytest.approx(20.0, abs=0.06)


def test_delivery_latency_rejections_and_false_alarms_are_counted(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=4, max_attempts=2) as ledger:
        add_arm(
            ledger,
            0,
            attempts=np.array([1, 1, 2, 2]),
            delivered=np.array(["yes", "lost", "rejected", "yes"]),
            delta_l2=[1.0, 1.0, 0.0, 0.0],
        )
        add_attempts(ledger, [4, 6], accepted=0, delta_l2=0.0)  # the first tries of messages 2, 3
        point = summarise(ledger).points[0]
    assert (point.delivered_share, point.lost_share, point.rejected_share) == (0.5, 0.25, 0.25)
    assert point.attempts == 1.5
    assert point.latency_s == pytest.approx(0.05)
    assert point.attempts_rejected_share == pytest.approx(3 / 5)  # five arrived, three refused
    assert point.false_alarm_share == pytest.approx(3 / 4)  # of the four untouched


def test_only_the_last_attempt_of_a_transmission_is_read(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=2, max_attempts=3) as ledger:
        add_arm(ledger, 0, attempts=np.array([1, 3]), mse_source=np.array([0.1, 0.3]))
        add_attempts(ledger, [3, 4], mse_source=0.9)
        assert summarise(ledger).points[0].metrics["mse"].source.value == pytest.approx(0.2)


def test_an_unfinished_ledger_is_summarised_as_far_as_it_goes(tmp_path: Path):
    arms = sweep(["kld"], [0.0, 0.5, 1.0])
    with created(tmp_path, arms, count=40, metrics=["mse", "ssim"]) as ledger:
        add_arm(ledger, 0, range(30), ssim_clean=1.0)
        add_arm(ledger, 1, range(10, 40), ssim_clean=0.7)
        summary = summarise(ledger)
    assert [point.n for point in summary.points] == [30, 30, 0]
    assert not summary.complete
    empty = summary.points[2]
    assert empty.metrics["ssim"].source is None
    assert (empty.verdict, empty.gain_db, empty.delivered_share) == (None, None, None)
    # The area is over the points there are, and over the messages that both have.
    assert summary.areas[0].raw.value == pytest.approx((0.6 + 0.3) / 2 * 0.5)
    assert summary.areas[0].end == 0.5


def test_a_transmission_whose_attempt_is_not_yet_written_is_not_counted(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=3) as ledger:
        add_arm(ledger, 0)
        ledger.connection.execute("DELETE FROM attempt WHERE attempt = 2")
        assert summarise(ledger).points[0].n == 2


def test_areas_stand_beside_each_other_by_receiver(tmp_path: Path):
    epsilons = [0.0, 0.5, 1.0]
    arms = sweep(["kld", "hardened"], epsilons)
    with created(tmp_path, arms, count=6, metrics=["mse", "psnr", "ssim"]) as ledger:
        for arm in arms:
            fall = 0.8 if arm.receiver == "kld" else 0.4
            epsilon = arm.swept[EPSILON]
            psnr = 40.0 - 10 * epsilon if epsilon else math.inf
            add_arm(ledger, arm.arm, ssim_clean=1 - fall * epsilon, psnr_clean=psnr)
        found = {(area.receiver, area.metric): area for area in summarise(ledger).areas}
    assert found["kld", "ssim"].raw.value == pytest.approx(0.6 - 0.4)
    assert found["kld", "ssim"].normalised.value == pytest.approx(0.2 / 0.6)
    assert found["hardened", "ssim"].raw.value == pytest.approx(0.4)
    psnr = found["kld", "psnr"]
    assert psnr.raw.value == pytest.approx((1.0 - 4.0) / 2 * 0.5)  # 35 and 30 dB against 34
    assert psnr.flags == (areas.STARTS_ABOVE_ZERO,)
    assert ("kld", "mse") not in found  # no threshold is defined for the MSE


def test_a_second_swept_key_gives_one_curve_per_value(tmp_path: Path):
    pairs = [(epsilon, snr) for snr in (10, 30) for epsilon in (1.0, 0.0)]  # any order
    arms = [ArmRecord(i, "kld", {EPSILON: e, SNR: s}) for i, (e, s) in enumerate(pairs)]
    with created(tmp_path, arms, count=6, metrics=["ssim"]) as ledger:
        for arm in arms:
            quality = 1 - 0.01 * arm.swept[SNR] * arm.swept[EPSILON]
            add_arm(ledger, arm.arm, ssim_clean=quality)
        summary = summarise(ledger)
    assert summary.epsilon_key == EPSILON
    assert [area.fixed for area in summary.areas] == [{SNR: 10}, {SNR: 30}]
    assert [area.raw.value for area in summary.areas] == pytest.approx([0.55, 0.45])


@pytest.mark.parametrize(
    "swept",
    [{}, {SNR: 10}, {"a.budget.epsilon": 0.1, "b.budget.epsilon": 0.2}],
    ids=["nothing", "no budget", "two budgets"],
)
def test_without_exactly_one_swept_budget_there_are_points_but_no_areas(tmp_path: Path, swept):
    with created(tmp_path, [ArmRecord(0, "kld", swept)], count=3, metrics=["ssim"]) as ledger:
        add_arm(ledger, 0)
        summary = summarise(ledger)
    assert summary.areas == ()
    assert summary.points[0].swept == swept


def test_a_budget_in_decibels_is_recognised_from_the_scenario(tmp_path: Path):
    path = [{"kind": "pgd", "name": "mallory", "budget": {"norm": "psr_db"}}]
    arms = sweep(["kld"], [-20.0, -10.0])
    with created(tmp_path, arms, count=3, metrics=["ssim"], scenario={"path": path}) as ledger:
        for arm in arms:
            add_arm(ledger, arm.arm, ssim_clean=0.9)
        summary = summarise(ledger)
    assert summary.epsilon_in_db
    assert summary.areas[0].flags == (areas.IN_DECIBELS,)


def test_a_large_arm_is_summarised_in_cells_with_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    random = np.random.default_rng(3)
    values = random.lognormal(-3, 0.5, 3000)
    control = values * random.uniform(0.1, 0.3, 3000)
    with created(tmp_path, sweep(["kld"], [0.5]), count=3000) as ledger:
        add_arm(ledger, 0, mse_source=values, mse_passive=values, control_mse_passive=control)
        exact = summarise(ledger).points[0]
        monkeypatch.setattr(intervals, "CELLS", 500)
        celled = summarise(ledger).points[0]
    for one, other in [
        (exact.metrics["mse"].source, celled.metrics["mse"].source),
        (exact.gain_db, celled.gain_db),
    ]:
        assert other.value == pytest.approx(one.value, rel=1e-9)
        assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.15)


def test_rows_make_a_table_with_one_line_per_point(tmp_path: Path):
    with created(tmp_path, sweep(["kld", "hardened"], [0.0, 0.5]), count=3) as ledger:
        for arm in range(4):
            add_arm(ledger, arm, mse_source=0.1 * arm)
        rows = summarise(ledger).rows()
    assert [row["receiver"] for row in rows] == ["kld", "kld", "hardened", "hardened"]
    assert [row[EPSILON] for row in rows] == [0.0, 0.5, 0.0, 0.5]
    assert [row["mse_source"] for row in rows] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert rows[0]["mse_source_low"] == 0.0


def test_a_reader_summarises_while_the_ledger_grows(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), count=10) as ledger:
        add_arm(ledger, 0, range(4))
        ledger.commit()
        with Ledger.open(tmp_path / "ledger.sqlite") as reader:
            assert summarise(reader).points[0].n == 4
            add_arm(ledger, 0, range(4, 10))
            ledger.commit()
            assert summarise(reader).points[0].n == 10


# --- the same image again -------------------------------------------------------------------------


def test_a_repeated_image_is_no_second_observation(tmp_path: Path):
    values = np.random.default_rng(5).lognormal(-3, 1, 40)
    harm = np.random.default_rng(6).uniform(1, 2, 40)
    found = []
    for repeats, folder in ((1, "once"), (5, "five")):
        (tmp_path / folder).mkdir()
        arms = sweep(["kld"], [0.5, 1.0])
        with created(tmp_path / folder, arms, 40 * repeats, ["mse", "ssim"],
                     calibration={"images": 40}) as ledger:  # fmt: skip
            for arm in arms:
                add_arm(
                    ledger,
                    arm.arm,
                    mse_source=np.tile(values, repeats),
                    mse_passive=np.tile(values * harm, repeats),
                    control_mse_passive=np.tile(values, repeats),
                    ssim_clean=np.tile(1 - arm.swept[EPSILON] * values, repeats),
                )
            found.append(summarise(ledger))
    once, five = found
    assert [point.n for point in five.points] == [200, 200]
    assert [point.images for point in five.points] == [40, 40]
    for one, other in zip(once.points, five.points, strict=True):
        assert ends(other.metrics["mse"].source) == pytest.approx(ends(one.metrics["mse"].source))
        assert ends(other.gain_db) == pytest.approx(ends(one.gain_db))
    assert ends(five.areas[0].raw) == pytest.approx(ends(once.areas[0].raw))


def test_the_interval_of_repeated_images_is_the_one_between_images(tmp_path: Path):
    # Ten channel draws of each of 400 images: image effect of deviation 1, noise of deviation 0.1.
    # The mean's variance is (1 + 0.01/10)/400; 4,000 independent messages would make it 1.01/4000.
    random = np.random.default_rng(8)
    values = np.tile(random.normal(3, 1, 400), 10) + random.normal(0, 0.1, 4000)
    with created(tmp_path, sweep(["kld"], [0.5]), 4000, calibration={"images": 400}) as ledger:
        add_arm(ledger, 0, mse_source=values)
        found = summarise(ledger).points[0].metrics["mse"].source
    width = 2 * 1.96 * values.reshape(10, 400).mean(axis=0).std() / math.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.06)
    assert width == pytest.approx(2 * 1.96 / 20, rel=0.1)


def test_repeats_beyond_the_number_of_cells_share_their_image_s_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intervals, "CELLS", 64)
    values = np.random.default_rng(8).normal(3, 1, 500)
    with created(tmp_path, sweep(["kld"], [0.5]), 2000, calibration={"images": 500}) as ledger:
        add_arm(ledger, 0, mse_source=np.tile(values, 4))
        point = summarise(ledger).points[0]
    found = point.metrics["mse"].source
    assert point.images == 500
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(500), rel=0.3)


def ends(interval: intervals.Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def test_a_warning_names_exactly_the_points_it_is_about():
    """Dots stand for every point between, so that no warning includes another point."""
    epsilons = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    points = [
        SimpleNamespace(arm=number, receiver="kld", swept={"m.budget.epsilon": value})
        for number, value in enumerate(epsilons)
    ]
    summary = SimpleNamespace(
        swept_keys=["m.budget.epsilon"], points=points, epsilon_key="m.budget.epsilon",
        decibel_keys=(),
    )  # fmt: skip

    def said(*numbers: int) -> str:
        return places(summary, [points[number] for number in numbers])

    assert said(0, 1, 5) == " at ε = 0.1, 0.2, 0.6"
    assert said(0, 1, 2, 3, 4, 5) == " at ε = 0.1 … 0.6"
    assert said(0, 2, 3, 4) == " at ε = 0.1, 0.3 … 0.5"
