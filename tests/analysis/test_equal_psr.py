"""Both readings of every curve: at equal budget, and at equal power of the perturbation."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, created, sweep
from hypothesis import given, settings
from hypothesis import strategies as st

import channelsim
from channelsim.analysis.equal_psr import Polygons, at, points_db
from channelsim.analysis.findings import contradictions
from channelsim.analysis.orders import Comparison
from channelsim.analysis.summary import Summary, summarise
from channelsim.contracts.records import ArmRecord
from channelsim.contracts.scales import scale_of

GRID = [0.0, 0.25, 0.5, 0.75, 1.0]
N = 60


def harmed(
    folder: Path,
    receivers: Mapping[str, tuple[float, Callable[[np.ndarray], np.ndarray]]],
    epsilons: Sequence[float] = GRID,
    metric: str = "ssim",
    scatter: float = 0.2,
    **header: Any,
) -> Summary:
    """Receivers with an amplitude √(K·P) each, and a quality that depends on ρ = ε/√(K·P).

    ``scatter``: spread of the messages' damage at the same ρ.
    """
    arms = sweep(list(receivers), epsilons)
    factor = 1 + scatter * np.random.default_rng(3).uniform(-1, 1, N)
    with created(folder, arms, N, metrics=[metric], **header) as ledger:
        for arm in arms:
            amplitude, quality = receivers[arm.receiver]
            rho = arm.swept[EPSILON] / amplitude
            columns = {f"{metric}_{kind}": quality(rho * factor) for kind in ("clean", "source")}
            off = {"psr_db": None, "delta_l2": 0.0, "verdict": "off"} if rho == 0 else {}
            if rho:
                columns["psr_db"] = 20 * math.log10(rho)
            add_arm(ledger, arm.arm, **(columns | off))
        return summarise(ledger)


def only(summary: Summary) -> Comparison:
    (found,) = summary.comparisons
    return found


def straight(slope: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rho: 1.0 - slope * rho


def by_receiver(areas: Sequence[Any]) -> dict[str, Any]:
    return {area.receiver: area for area in areas}


# --- one codec at two scales of its latents -------------------------------------------------------


@settings(max_examples=15)
@given(scale=st.floats(1.2, 3.5), slope=st.floats(0.1, 0.9))
def test_one_codec_at_two_latent_scales_is_tied_at_equal_psr_and_ordered_at_equal_epsilon(
    scale: float, slope: float
):
    with tempfile.TemporaryDirectory() as folder:
        summary = harmed(
            Path(folder), {"plain": (1.0, straight(slope)), "louder": (scale, straight(slope))}
        )
    found = only(summary)
    epsilon, psr = found.order("ssim", "epsilon"), found.order("ssim", "psr")
    # The louder codec is hardly damaged by the same ε, and equally by the same PSR.
    assert epsilon.receivers == ("louder", "plain")
    assert epsilon.beats("louder", "plain")
    assert not psr.beats("louder", "plain")
    assert not psr.beats("plain", "louder")
    assert str(epsilon) == "louder > plain"
    assert " ≈ " in str(psr)
    # In numbers: a straight line 1 − s·ρ up to ρ₂ = 1/scale keeps 0.6 − s·ρ₂/2 of its 0.6.
    end = 1 / scale
    assert found.end == pytest.approx(end)
    factor = 1 + 0.2 * np.random.default_rng(3).uniform(-1, 1, N).mean()
    expected = 1 - slope * factor * end / 2 / 0.6
    for area in found.areas:
        assert area.normalised.value == pytest.approx(expected)
        assert area.raw.value == pytest.approx(expected * 0.6 * end)
        assert (area.start, area.end) == pytest.approx((0.0, end))


@settings(max_examples=15)
@given(scale=st.floats(1.05, 4.0), power=st.floats(1.0, 3.0))
def test_where_the_arms_lie_on_a_bent_curve_decides_nothing(scale: float, power: float):
    # Polygons through other points of the same curve differ by the interpolation error.
    def bent(rho: np.ndarray) -> np.ndarray:
        return np.exp(-(rho**power))

    with tempfile.TemporaryDirectory() as folder:
        summary = harmed(Path(folder), {"plain": (1.0, bent), "louder": (scale, bent)}, scatter=0)
    psr = only(summary).order("ssim", "psr")
    assert not any(pair.decided for pair in psr.pairs)


def test_a_latent_scale_stretches_the_epsilon_reading_and_leaves_the_psr_reading(tmp_path: Path):
    # The same sweep in the units of a codec whose latents are three times as large.
    found = []
    for scale in (1.0, 3.0):
        folder = tmp_path / f"{scale}"
        folder.mkdir()
        grid = [scale * epsilon for epsilon in GRID]
        found.append(harmed(folder, {"kld": (scale, straight(0.5))}, grid))
    one, three = found
    assert three.areas[0].raw.value == pytest.approx(3 * one.areas[0].raw.value)
    first, second = only(one).areas[0], only(three).areas[0]
    assert (second.raw.value, second.raw.low, second.raw.high) == pytest.approx(
        (first.raw.value, first.raw.low, first.raw.high)
    )
    assert second.end == pytest.approx(first.end) == pytest.approx(1.0)


def test_simulated_linear_codecs_at_two_latent_scales_tell_the_same_story(tmp_path: Path):
    # z/gains is sent: half the gains, twice the latents, four times the power; g(z) is the same.
    def codec(scale: float) -> dict[str, Any]:
        gains = [scale * gain for gain in (3.0, 2.5, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0)]
        return {"codec": {"kind": "linear", "latent_size": 8, "gains": gains}}

    goal = {"kind": "damage", "reference": "clean"}
    attack = {"kind": "pgd", "name": "mallory", "goal": goal, "step": "l2", "step_size": 10.0}
    run = channelsim.run(
        {
            "title": "two scales",
            "seed": 3,
            "source": {"kind": "dataset", "count": 40},
            "link": {"latency_s": 0.01, "symbol_rate_hz": 1e5},
            "path": [attack | {"budget": {"norm": "l2", "epsilon": 1.0}, "steps": 30}],
            "receivers": {"soft": codec(1.0), "loud": codec(0.5)},
            "metrics": ["mse", "psnr", "ssim"],
            "control": False,
            "block_rows": 64,
            "sweep": {EPSILON: [0.0, 0.5, 1.0, 1.5, 2.0]},
        },
        out=tmp_path / "run",
    )
    summary = run.summary()
    soft, loud = (summary.of(receiver)[-1] for receiver in ("soft", "loud"))
    assert loud.power == pytest.approx(4 * soft.power)
    assert (loud.latent_size, soft.latent_size) == (8, 8)
    assert soft.psr_db - loud.psr_db == pytest.approx(10 * math.log10(4), abs=1e-3)
    # ‖g(z+δ) − g(z)‖² = ε²·λ₁ per 1,024 pixels, so the loud one takes a quarter of it.
    assert soft.metrics["mse"].clean.value == pytest.approx(4 * 9 / 1024, rel=1e-3)
    assert loud.metrics["mse"].clean.value == pytest.approx(9 / 1024, rel=1e-3)
    found = only(summary)
    assert not found.same_power
    for metric in ("psnr", "ssim"):
        assert found.order(metric, "epsilon").beats("loud", "soft")
        assert not any(pair.decided for pair in found.order(metric, "psr").pairs)
    # ε = 1 of the soft one is the power of ε = 2 of the loud one, and does the same damage.
    half = summary.of("soft")[2]
    assert half.psr_db == pytest.approx(loud.psr_db, abs=1e-4)
    for metric in ("mse", "ssim"):
        damage = half.metrics[metric].clean.value
        assert damage == pytest.approx(loud.metrics[metric].clean.value, rel=1e-3)
    assert found.end == pytest.approx(10 ** (loud.psr_db / 20), rel=1e-6)
    rows = [(row["at"], row["receiver"], row["metric"]) for row in summary.area_rows()]
    assert len(set(rows)) == len(rows) == 2 * 2 * 2


# --- computation ----------------------------------------------------------------------------------


def test_the_range_is_the_one_all_receivers_share_and_curves_are_cut_between_arms(tmp_path: Path):
    # ρ up to 1, 0.5 and 0.8: cut at 0.5. Straight lines are exact wherever they are cut.
    summary = harmed(
        tmp_path,
        {"a": (1.0, straight(0.2)), "b": (2.0, straight(0.3)), "c": (1.25, straight(0.1))},
        scatter=0,
    )
    found = only(summary)
    assert (found.start, found.end) == pytest.approx((0.0, 0.5))
    for name, slope in (("a", 0.2), ("b", 0.3), ("c", 0.1)):
        area = by_receiver(found.areas)[name]
        assert area.raw.value == pytest.approx(0.6 * 0.5 - slope * 0.125)
        assert area.normalised.value == pytest.approx(1 - slope * 0.25 / 0.6)


def test_the_order_may_turn_round_and_the_summary_says_so_in_one_sentence(tmp_path: Path):
    # At the same ρ mmd suffers twice as much; its latents are three times as large.
    summary = harmed(tmp_path, {"kld": (1.0, straight(0.3)), "mmd": (3.0, straight(0.6))})
    assert contradictions(summary) == [
        "Lu & Chen's areas: at equal ε mmd beats kld, at equal PSR kld beats mmd (ssim nAADDC)."
    ]


def test_readings_that_agree_are_said_to_agree(tmp_path: Path):
    summary = harmed(tmp_path, {"kld": (1.0, straight(0.3)), "mmd": (1.2, straight(0.1))})
    assert contradictions(summary) == [
        "Lu & Chen's areas: both readings find the same significant differences, in the same"
        " direction."
    ]


def test_receivers_told_apart_under_one_reading_only_are_named(tmp_path: Path):
    summary = harmed(tmp_path, {"kld": (1.0, straight(0.3)), "mmd": (3.0, straight(0.3))})
    assert contradictions(summary) == [
        "Lu & Chen's areas: a significant difference at equal ε only: mmd beats kld (ssim nAADDC)."
    ]


def test_a_difference_within_its_interval_is_no_order(tmp_path: Path):
    random = np.random.default_rng(4)
    noise = {name: random.normal(0, 0.2, N) for name in ("kld", "mmd")}

    def noisy(name: str) -> Callable[[np.ndarray], np.ndarray]:
        # Undisturbed 1, and noise that grows with ρ and differs between receivers.
        return lambda rho: 1 - 0.3 * rho + noise[name] * rho

    summary = harmed(tmp_path, {"kld": (1.0, noisy("kld")), "mmd": (1.5, noisy("mmd"))})
    pair = only(summary).order("ssim", "psr").pairs[0]
    assert pair.difference.low < 0 < pair.difference.high
    assert pair.p > 0.05
    assert not pair.decided


def test_holm_asks_more_of_a_pair_among_many(tmp_path: Path):
    random = np.random.default_rng(11)
    noise = {name: random.normal(0, 0.3, N) for name in "abcde"}
    slopes = dict(zip("abcde", (0.20, 0.24, 0.28, 0.32, 0.36), strict=True))
    curves = {
        name: (1.0 + 0.1 * i, lambda rho, n=name: 1 - slopes[n] * rho + noise[n] * rho)
        for i, name in enumerate("abcde")
    }
    order = only(harmed(tmp_path, curves)).order("ssim", "psr")
    assert len(order.pairs) == 10
    bare = [pair for pair in order.pairs if pair.difference.low > 0]
    told = [pair for pair in order.pairs if pair.decided]
    assert set(told) < set(bare)  # some interval excludes 0, and is not significant among ten
    assert all(pair.difference.value >= 0 for pair in order.pairs)


def test_the_table_is_interpolated_linearly_between_arms(tmp_path: Path):
    def kinked(rho: np.ndarray) -> np.ndarray:
        return np.where(rho < 0.5, 1 - 0.2 * rho, 0.9 - 0.8 * (rho - 0.5))

    found = only(harmed(tmp_path, {"kld": (1.0, kinked), "mmd": (1.0, kinked)}, scatter=0))
    read = {one.psr_db: one for one in found.table if one.receiver == "kld"}
    assert list(read) == [-20.0, -15.0, -10.0, -5.0, 0.0]
    assert read[-20.0].clean.value == pytest.approx(1 - 0.02)
    assert read[-5.0].source.value == pytest.approx(0.9 - 0.8 * (10 ** (-5 / 20) - 0.5))
    assert read[0.0].source.value == pytest.approx(0.5)


def test_psnr_is_interpolated_as_mse_from_the_undamaged_image_on(tmp_path: Path):
    # MSE 0.01·ρ² at arms 0, 1/4, …: half way to the first arm half of its MSE, a finite PSNR.
    def psnr(rho: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return -10 * np.log10(0.01 * rho**2)

    curves = {"kld": (1.0, psnr), "mmd": (2.0, psnr)}
    found = only(harmed(tmp_path, curves, metric="psnr", scatter=0))
    low = next(one for one in found.table if (one.receiver, one.psr_db) == ("kld", -20.0))
    assert low.clean.value == pytest.approx(-10 * math.log10(0.01 * 0.25**2 * 0.1 / 0.25))
    # The area starts where both were attacked: at ρ = 0.25, and ends at 0.5.
    area = by_receiver(found.areas)["kld"]
    assert (area.start, area.end) == pytest.approx((0.25, 0.5))
    heights = [-10 * math.log10(0.01 * rho**2) - 34 for rho in (0.25, 0.5)]
    assert area.raw.value == pytest.approx(0.25 * sum(heights) / 2)
    assert area.normalised is None


def test_amplitudes_are_those_of_mean_power_not_of_mean_decibels(tmp_path: Path):
    arms = sweep(["kld"], [0.0, 1.0])
    with created(tmp_path, arms, 40, metrics=["ssim"]) as ledger:
        add_arm(ledger, 0, psr_db=None, delta_l2=0.0, verdict="off", ssim_clean=1.0)
        add_arm(ledger, 1, psr_db=[0.0, -20.0] * 20, ssim_clean=0.5)
        found = only(summarise(ledger))
    assert found.end == pytest.approx(math.sqrt((1 + 0.01) / 2))


def test_a_sweep_that_never_stops_attacking_starts_at_the_strongest_first_arm(tmp_path: Path):
    curves = {"kld": (1.0, straight(0.3)), "mmd": (2.0, straight(0.3))}
    found = only(harmed(tmp_path, curves, GRID[1:], scatter=0))
    assert (found.start, found.end) == pytest.approx((0.25, 0.5))
    area = by_receiver(found.areas)["mmd"]
    assert area.raw.value == pytest.approx(0.25 * 0.6 - 0.3 * (0.25 + 0.5) / 2 * 0.25)
    assert area.normalised is None


def test_each_value_of_another_swept_key_is_compared_by_itself(tmp_path: Path):
    arms = [
        ArmRecord(i, receiver, {EPSILON: epsilon, "awgn.snr_db": snr})
        for i, (receiver, snr, epsilon) in enumerate(
            (r, s, e) for r in ("kld", "mmd") for s in (10, 30) for e in (0.0, 1.0)
        )
    ]
    with created(tmp_path, arms, 40, metrics=["ssim"]) as ledger:
        for arm in arms:
            epsilon, snr = arm.swept[EPSILON], arm.swept["awgn.snr_db"]
            off = {"psr_db": None, "delta_l2": 0.0, "verdict": "off"} if not epsilon else {}
            psr = {"psr_db": -6.0 if arm.receiver == "mmd" else 0.0} | off
            add_arm(ledger, arm.arm, ssim_clean=1 - 0.01 * snr * epsilon, **psr)
        found = summarise(ledger).comparisons
    assert [one.fixed for one in found] == [{"awgn.snr_db": 10}, {"awgn.snr_db": 30}]
    assert [one.end for one in found] == pytest.approx([10 ** (-6 / 20)] * 2)


# --- where there is one reading -------------------------------------------------------------------


def test_equal_power_at_every_budget_is_one_reading(tmp_path: Path):
    summary = harmed(tmp_path, {"kld": (1.0, straight(0.3)), "hard": (1.0, straight(0.1))})
    found = only(summary)
    assert found.same_power
    assert [order.at for order in found.orders] == ["epsilon"]
    # Up to the scale of the abscissa the areas are those at equal ε.
    for area in found.areas:
        other = by_receiver(summary.areas)[area.receiver]
        assert area.normalised.value == pytest.approx(other.normalised.value)
    assert contradictions(summary) == []


def test_a_budget_in_decibels_of_psr_is_read_over_amplitude_and_gets_a_normalised_area(
    tmp_path: Path,
):
    path = [{"kind": "pgd", "name": "mallory", "budget": {"norm": "psr_db"}}]
    levels = [-math.inf, -20.0, -10.0, 0.0]
    arms = sweep(["kld", "mmd"], levels)
    with created(tmp_path, arms, 40, metrics=["ssim"], scenario={"path": path}) as ledger:
        for arm in arms:
            level = arm.swept[EPSILON]
            rho = 10 ** (level / 20)
            off = {"psr_db": None, "delta_l2": 0.0, "verdict": "off"} if rho == 0 else {}
            slope = 0.2 if arm.receiver == "kld" else 0.4
            add_arm(ledger, arm.arm, **({"psr_db": level, "ssim_clean": 1 - slope * rho} | off))
            if rho == 0:
                ledger.connection.execute("UPDATE attempt SET ssim_clean = 1.0 WHERE delta_l2 = 0")
        summary = summarise(ledger)
    found = only(summary)
    assert found.same_power
    assert all(area.normalised is None for area in summary.areas)
    assert by_receiver(found.areas)["kld"].normalised.value == pytest.approx(1 - 0.1 / 0.6)
    assert [str(order) for order in found.orders] == ["kld > mmd"]
    assert found.orders[0].at == "psr"


def test_without_power_or_a_swept_budget_there_is_no_second_reading(tmp_path: Path):
    with created(tmp_path, [ArmRecord(0, "kld", {})], 5, metrics=["ssim"]) as ledger:
        add_arm(ledger, 0)
        assert summarise(ledger).comparisons == ()


def test_an_attack_that_never_moved_leaves_nothing_to_compare(tmp_path: Path):
    with created(tmp_path, sweep(["kld", "mmd"], [0.0, 1.0]), 5, metrics=["ssim"]) as ledger:
        for arm in range(4):
            add_arm(ledger, arm, psr_db=None, delta_l2=0.0, verdict="not_moved")
        assert summarise(ledger).comparisons == ()


# --- pieces ---------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    points=st.lists(st.tuples(st.floats(0, 2), st.floats(-1, 1)), min_size=2, max_size=6),
    where=st.lists(st.floats(0, 2), min_size=1, max_size=4),
)
def test_polygons_are_interpolated_as_numpy_does(points, where):
    amplitude = np.unique([round(a, 3) for a, _ in points])
    quality = np.array([q for _, q in points])[: len(amplitude)]
    found = at(amplitude, quality, np.array(where))
    assert found == pytest.approx(np.interp(where, amplitude, quality), abs=1e-9)


def test_of_two_points_at_one_amplitude_the_curve_jumps():
    amplitude, quality = np.array([0.0, 0.5, 0.5, 1.0]), np.array([1.0, 0.8, 0.4, 0.2])
    assert at(amplitude, quality, np.array([0.25, 0.5, 0.75])) == pytest.approx([0.9, 0.4, 0.3])


def test_the_grid_error_takes_the_arm_that_the_curve_takes():
    """Two arms at one amplitude: the curve jumps to the last one, and so must the error."""

    def error(rho: list[float], quality: list[float]) -> float:
        psr = np.square(rho)
        group: Any = SimpleNamespace(
            receivers=("one",),
            means=SimpleNamespace(value=np.concatenate([psr, quality])),
            places=lambda _, name: list(
                range(len(rho)) if name == "psr" else range(len(rho), 2 * len(rho))
            ),
        )
        return float(Polygons(group).grid_error(scale_of("ssim"), 0.4, normalised=False)[0])

    without = error([0.0, 0.5, 1.0], [1.0, 0.7, 0.6])
    assert without > 0
    assert error([0.0, 0.5, 0.5, 1.0], [1.0, 0.2, 0.7, 0.6]) == pytest.approx(without)


def test_the_table_lies_inside_the_range():
    assert points_db(0.0, 1.0) == [-20.0, -15.0, -10.0, -5.0, 0.0]
    assert points_db(0.0, 10 ** (-0.6 / 20)) == [-20.0, -15.0, -10.0, -5.0]
    assert points_db(0.0, 10 ** (-21 / 20)) == [-35.0, -30.0, -25.0]
    assert points_db(0.0, 10 ** (6 / 20)) == [-20.0, -15.0, -10.0, -5.0, 0.0, 5.0]
    assert points_db(0.5, 1.0) == [-5.0, 0.0]
    assert points_db(0.9, 0.99) == []
