"""Erasures in bursts: the chain against its closed forms, slot by slot, and its fillings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.fading import APART, rows_of, spread
from helpers.known_ledger import assert_waiting_changes_nothing
from helpers.small_runs import attempts, scenario
from torch import Tensor

from channelsim.channels import CHANNELS, GilbertElliott
from channelsim.channels.gilbert_elliott import bad_states
from channelsim.contracts.rows import Rows, View
from channelsim.support.errors import InputError

CHAINS = [(0.1, 0.3), (0.02, 0.05), (0.5, 0.5), (0.9, 0.8), (1.0, 0.5), (0.4, 1.0), (0.95, 0.95)]


def chain(stage: GilbertElliott, slots: np.ndarray, **more: Any) -> np.ndarray:
    """States of consecutive slots [N, S]."""
    rows = rows_of(stage, np.zeros(len(slots)), 1.0, 2, **more)
    p = np.full((len(slots), 1), stage.p)
    return bad_states(rows, slots, p, np.full((len(slots), 1), stage.q))


def one_run(p: float, q: float, length: int) -> np.ndarray:
    """The chain over ``length`` slots, as met by one very long codeword."""
    return chain(GilbertElliott(p=p, q=q), np.arange(length)[None])[0]


# --- the chain ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "q"), [*CHAINS, (2e-4, 3e-4), (0.0, 0.2), (0.2, 0.0)])
def test_every_state_is_that_of_a_chain_walked_step_by_step_from_long_ago(p: float, q: float):
    stage = GilbertElliott(p=p, q=q)
    slots = np.array([[0], [700], [10**9]]) + np.arange(300)
    got = chain(stage, slots)
    for row, start in enumerate(slots[:, 0]):
        long_ago = np.arange(start - 50_000, start + 300)
        u = rows_of(stage, [0.0], 1.0, 2).uniform_at(long_ago[None], 1, "state")[0, :, 0]
        ends = []
        for bad in (False, True):  # for either initial state
            for one in u:
                bad = one <= (1 - q if bad else p)
                ends.append(bad)
        walked = np.array(ends).reshape(2, -1)[:, -300:]
        assert (walked[0] == walked[1]).all()
        assert (got[row] == walked[0]).all()


@pytest.mark.parametrize(("p", "q"), CHAINS)
def test_it_is_bad_for_its_share_of_the_time_in_bursts_of_the_stated_length(p: float, q: float):
    bad = one_run(p, q, 200_000)
    share, memory = p / (p + q), 1 - p - q
    # A chain with memory λ averages as if there were (1 − λ)/(1 + λ) times as many slots.
    error = math.sqrt(share * (1 - share) * (1 + memory) / (1 - memory) / len(bad))
    assert bad.mean() == pytest.approx(share, abs=3 * error)
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False].astype(int)))
    bursts = edges[1::2] - edges[::2]
    assert bursts.mean() == pytest.approx(1 / q, rel=0.05)
    # Lengths are geometric: bursts have no memory.
    assert np.mean(bursts > 1) == pytest.approx(1 - q, abs=0.02)
    assert np.mean(bursts > 3) == pytest.approx((1 - q) ** 3, abs=0.02)


@pytest.mark.parametrize(("p", "q"), CHAINS)
def test_states_k_slots_apart_correlate_as_the_kth_power(p: float, q: float):
    bad = one_run(p, q, 200_000).astype(float)
    for k in (1, 2, 3, 7):
        found = np.corrcoef(bad[:-k], bad[k:])[0, 1]
        assert found == pytest.approx((1 - p - q) ** k, abs=0.03)


@pytest.mark.parametrize(("p", "q"), [(0.1, 0.3), (0.002, 0.008), (0.95, 0.9)])
def test_it_is_stationary_from_the_first_slot(p: float, q: float):
    # The first three slots of 1,500 runs, which differ only in their seeds.
    stage = GilbertElliott(p=p, q=q)
    first = np.concatenate([chain(stage, np.arange(3)[None], seed=seed) for seed in range(1500)])
    share = p / (p + q)
    error = math.sqrt(share * (1 - share) / 1500)
    for slot in range(3):
        assert first[:, slot].mean() == pytest.approx(share, abs=3 * error)
    turned = np.mean(first[:, 0] != first[:, 1])
    assert turned == pytest.approx(2 * share * q, abs=3 * math.sqrt(0.25 / 1500))


def test_a_chain_that_must_turn_bad_does_and_one_that_cannot_never_is():
    assert not one_run(0.0, 0.4, 5000).any()
    assert one_run(0.4, 0.0, 5000).all()
    always = one_run(1.0, 0.5, 5000)
    assert always[1:][~always[:-1]].all()  # never good twice


def test_arms_share_their_bursts():
    often = one_run(0.1, 0.3, 5000)
    assert not (one_run(0.05, 0.3, 5000) & ~often).any()
    assert not (one_run(0.1, 0.5, 5000) & ~often).any()
    assert not (often & ~one_run(0.1, 0.1, 5000)).any()


# --- slots of time ------------------------------------------------------------------------------

STAGE = GilbertElliott(p=0.1, q=0.2)


def erased(stage: GilbertElliott, began_s: Any, symbol_s: float, width: int, **more: Any) -> Tensor:
    return stage.erased(rows_of(stage, began_s, symbol_s, width, **more), width)


def test_codewords_that_follow_each_other_see_each_symbol_time_once():
    # 5 symbols of 50 µs each: most beginnings are a rounding error off a whole number of them.
    symbol_s = 1 / 20e3
    began = 5 * symbol_s * np.arange(20_000)
    parts = erased(STAGE, began, symbol_s, 10)[:, ::2].flatten()
    whole = erased(STAGE, [0.0], symbol_s, 200_000)[0, ::2]
    assert torch.equal(parts, whole)


def test_a_slot_is_in_the_same_state_whoever_asks():
    whole = erased(STAGE, [0.0], 1e-3, 4000)[0]
    order = np.random.default_rng(0).permutation(300)
    began = 1e-3 * order  # overlapping codewords of all sorts of transmitters
    some = erased(STAGE, began, 1e-3, 60, message=order + 7, attempt=order % 3)
    for row, slot in enumerate(order):
        assert torch.equal(some[row], whole[2 * slot : 2 * slot + 60])
    # A codeword that begins between two beats counts from the earlier one.
    late = erased(STAGE, [0.0104, 0.0109], 1e-3, 60)
    assert torch.equal(late[0], whole[20:80])
    assert torch.equal(late[1], whole[20:80])
    alone = erased(STAGE, [0.0], 1e-3, 60, name="another")
    assert not torch.equal(alone[0], whole[:60])


def test_a_row_is_disturbed_alike_wherever_it_stands_and_whoever_stands_beside_it():
    stage = GilbertElliott(p=0.2, q=0.3, e_good=0.1, e_bad=0.9, filling="last")
    generator = np.random.default_rng(2)
    signal = torch.from_numpy(generator.normal(size=(16, 11)).astype(np.float32))
    began = generator.uniform(0, 9, 16)
    home = stage.apply(signal, rows_of(stage, began, 0.01, 11))
    assert not torch.equal(home, signal)
    order = generator.permutation(16)
    rows = rows_of(stage, began[order], 0.01, 11, message=order)
    assert torch.equal(stage.apply(signal[order], rows), home[order])
    assert torch.equal(stage.apply(signal[5:6], rows_of(stage, began[5:6], 0.01, 11)), home[5:6])
    half = torch.arange(16) % 2 == 0
    for column, other in {"p": 0.9, "q": 0.9, "e_good": 0.8, "e_bad": 0.2}.items():
        value = stage.column_values()[column]
        mixed = {column: torch.where(half, value, other)}
        got = stage.apply(signal, rows_of(stage, began, 0.01, 11, **mixed))
        whole = stage.apply(signal, rows_of(stage, began, 0.01, 11, **{column: other}))
        assert torch.equal(got, torch.where(half[:, None], home, whole))
        assert not torch.equal(whole, home)


def test_the_mean_loss_is_that_of_both_states():
    stage = GilbertElliott(p=0.1, q=0.3, e_good=0.05, e_bad=0.6)
    lost = erased(stage, [0.0], 1e-3, 400_000).double().mean()
    assert float(lost) == pytest.approx(0.25 * 0.6 + 0.75 * 0.05, abs=0.006)


def test_both_values_of_a_symbol_are_erased_together_and_the_odd_one_is_a_symbol():
    got = erased(STAGE, np.arange(2000.0), 1e-3, 7)
    assert torch.equal(got[:, 0:6:2], got[:, 1:6:2])
    assert torch.equal(got[:, :6], erased(STAGE, np.arange(2000.0), 1e-3, 6))
    assert float(got[:, 6].double().mean()) == pytest.approx(1 / 3, abs=0.035)
    assert not torch.equal(got[:, 6], got[:, 5])


def test_the_share_of_bad_time_stands_for_the_chance_to_turn_bad():
    by_share = GilbertElliott(share_bad=0.2, q=0.4)
    by_chance = GilbertElliott(p=0.1, q=0.4)
    got, expected = (erased(stage, [3.0], 1e-3, 40_000) for stage in (by_share, by_chance))
    assert torch.equal(got, expected)
    edge = GilbertElliott(share_bad=0.5, q=1.0 - 1e-3)  # p = q
    assert float(erased(edge, [0.0], 1e-3, 40_000).double().mean()) == pytest.approx(0.5, abs=0.02)


# --- fillings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 10, 11])
@pytest.mark.parametrize("filling", ["zero", "mean", "last"])
def test_holes_are_filled_as_a_receiver_would_by_hand(filling: Any, width: int):
    stage = GilbertElliott(p=0.4, q=0.5, filling=filling)
    generator = torch.Generator().manual_seed(1)
    signal = torch.randn(200, width, generator=generator)
    rows = rows_of(stage, np.arange(200.0), 1e-3, width)
    rows.mean = torch.arange(1.0, width + 1)
    gone = stage.erased(rows, width)
    assert gone.any()
    expected = signal.clone()
    for row in range(200):
        for place in range(width):
            if not gone[row, place]:
                continue
            here = [k for k in range(place % 2, place, 2) if not gone[row, k]]
            value = {"zero": 0.0, "mean": float(rows.mean[place])}.get(filling)
            if value is None:
                value = float(signal[row, here[-1]] if here else rows.mean[place])
            expected[row, place] = value
    assert torch.equal(stage.apply(signal, rows), expected)


def test_where_nothing_is_erased_nothing_changes():
    stage = GilbertElliott(p=0.0, q=0.5, filling="mean")
    signal = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stage.apply(signal, rows_of(stage, np.arange(5.0), 1e-3, 8)), signal)
    every = GilbertElliott(p=0.5, q=0.5, e_good=1.0)
    assert not every.apply(signal, rows_of(every, np.arange(5.0), 1e-3, 8)).any()


# --- ledger columns -----------------------------------------------------------------------------

BURSTS = {"kind": "gilbert_elliott", "share_bad": 0.2, "q": 0.1}
JAMMER = {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": -10.0}}


def test_the_ledger_counts_erased_values_and_takes_zeros_for_noise():
    # Energy 1/5 is gone on average, so the ratio is 5, whatever the bursts' length.
    for q in (0.8, 0.1):
        rows = spread(path=[BURSTS | {"q": q}], power={"mode": "codeword"})
        assert rows["erased"].astype(float).mean() == pytest.approx(0.2 * 64, rel=0.1)
        lost = np.nan_to_num(10 ** (-rows["snr_measured_db"] / 10))
        assert lost.mean() == pytest.approx(0.2, rel=0.15)
        assert ((rows["erased"] == 0) == np.isnan(rows["snr_measured_db"])).all()
        assert np.isnan(rows["snr_db"]).all()


def test_two_links_in_a_row_lose_what_either_loses():
    rows = spread(path=[BURSTS, BURSTS | {"name": "again"}])
    assert rows["erased"].astype(float).mean() == pytest.approx(0.36 * 64, rel=0.1)
    clean = spread(path=[{"kind": "awgn", "snr_db": 20.0}])
    assert all(value is None or np.isnan(value) for value in clean["erased"])


@pytest.mark.parametrize("filling", ["zero", "mean", "last"])
def test_of_a_perturbation_arrives_what_is_not_erased_and_what_is_repeated(filling: str):
    rows = spread(path=[JAMMER, BURSTS | {"filling": filling}])
    assert rows["psr_db"] == pytest.approx(-10.0, abs=1e-4)
    share = np.nan_to_num(10 ** ((rows["psr_received_db"] - rows["psr_db"]) / 10))
    kept = 1 - rows["erased"].astype(float) / 64
    assert (np.isnan(rows["psr_received_db"]) == (kept == 0)).all()  # nothing arrived, no value
    if filling == "last":
        assert share.mean() > kept.mean() + 0.1
        assert share.mean() == pytest.approx(1.0, abs=0.1)  # but for holes at the beginning
    else:
        assert share.mean() == pytest.approx(kept.mean(), rel=0.02)
    # Behind the bursts nothing is erased: it arrives whole.
    rows = spread(path=[BURSTS | {"filling": filling}, JAMMER])
    assert rows["psr_received_db"] == pytest.approx(-10.0, abs=1e-3)


def test_an_attack_plans_without_bursts_or_with_imagined_ones_never_with_the_real():
    stage = GilbertElliott(p=0.3, q=0.3)
    signal = torch.ones(3000, 2)
    began = np.arange(3000.0)
    real = stage.apply(signal, rows_of(stage, began, 1e-3, 2))[:, 0]
    plain = rows_of(stage, began, 1e-3, 2, view=View("mallory"))
    assert torch.equal(stage.foresee(signal, plain), signal)
    assert stage.leaves(plain).erased is None
    draws = rows_of(stage, began, 1e-3, 2, view=View("mallory", draw=0))
    seen = stage.foresee(signal, draws)[:, 0]
    assert torch.equal(seen, stage.foresee(signal, draws)[:, 0])
    assert float(seen.mean()) == pytest.approx(0.5, abs=0.05)
    assert abs(np.corrcoef(real, seen)[0, 1]) < 0.06
    gone = stage.leaves(draws).erased
    assert gone is not None
    assert torch.equal(gone[:, 0], seen == 0)


# --- whole runs ---------------------------------------------------------------------------------


def test_a_repetition_meets_what_its_own_time_brings():
    # One codeword takes 3.2 µs; bursts of 100 ms outlast a short wait, not a long one.
    def outlived(timeout_s: float) -> float:
        rows = attempts(
            path=[BURSTS | {"q": 1e-3, "share_bad": 0.3}],
            source=APART | {"count": 300},
            link={
                "latency_s": 1e-6,
                "symbol_rate_hz": 1e4,
                "max_attempts": 2,
                "loss": 0.999999,
                "timeout_s": timeout_s,
            },
        )
        gone = (rows["erased"].astype(float) > 32).reshape(-1, 2)
        return float(np.corrcoef(gone.T)[0, 1])

    # Memory is (1 − p − q)^k: over 100 and 50,000 symbols of 0.1 ms, with p + q = 1/700.
    assert outlived(0.01) == pytest.approx((1 - 1 / 700) ** 132, abs=0.12)
    assert abs(outlived(5.0)) < 0.15


def test_rows_of_all_settings_share_batches_without_a_trace(tmp_path):
    study = {
        "seed": 5,
        "source": {"kind": "dataset", "count": 8},
        "path": [
            {"kind": "fading", "coherence_s": 0.01},
            JAMMER,
            {"kind": "awgn", "snr_db": 15},
            {"kind": "equaliser", "mode": "mmse"},
            {"kind": "gilbert_elliott", "p": 0.1, "q": 0.3, "filling": "last"},
        ],
        "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 9}}},
        "sweep": {
            "fading.k_factor": [0, 5],
            "fading.coherence_s": [0.0001, 1],
            "gilbert_elliott.p": [0.1, 0.9],
        },
        "block_rows": 16,
    }
    assert_waiting_changes_nothing(study, tmp_path)


# --- the user's mistakes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"q": 0.5}, "give p, the probability to turn bad, or share_bad, the share of time in"),
        ({"p": 0.1, "share_bad": 0.1, "q": 0.5}, "bad state; not both"),
        ({"p": 0.1}, "q: missing; gilbert_elliott needs it"),
        ({"p": 1.5, "q": 0.5}, "p: must be at most 1, was given 1.5"),
        ({"p": 0.0, "q": 0.0}, "p + q must lie between 0.0001 and 1.9999, not 0: beyond, the"),
        ({"p": 1.0, "q": 1.0}, "p + q must lie between 0.0001 and 1.9999, not 2"),
        ({"share_bad": 0.8, "q": 0.5}, "needs p = 2, and no probability is above 1; lower q to"),
        ({"share_bad": 1.0, "q": 0.5}, "share_bad: must be at most 0.99, was given 1"),
        ({"p": 0.1, "q": 0.5, "filling": "least"}, "Did you mean last?"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_in_a_sentence(keys: dict[str, Any], said: str):
    with pytest.raises(InputError) as error:
        scenario(path=[{"kind": "gilbert_elliott", **keys}])
    assert said in error.value.message


def test_the_kind_can_be_named_and_its_knobs_swept():
    assert "gilbert_elliott" in CHANNELS
    sweep = {"bursts.q": [0.1, 0.5], "bursts.filling": ["zero", "mean", "last"]}
    arms = scenario(path=[BURSTS | {"name": "bursts"}], sweep=sweep).arms
    assert len(arms) == 6
    values = arms[-1].path[0].column_values()
    assert (values["q"], values["share_bad"], values["e_bad"]) == (0.5, 0.2, 1.0)
    assert math.isnan(values["p"])


def test_without_a_clock_a_codeword_begins_at_slot_0():
    bare = Rows(
        name="gilbert_elliott",
        seed=3,
        message=np.arange(4),
        attempt=np.zeros(4, dtype=np.int64),
        columns=rows_of(STAGE, np.zeros(4), 1.0, 60).columns,
    )
    assert torch.equal(STAGE.erased(bare, 60), erased(STAGE, np.zeros(4), 1e-3, 60))
