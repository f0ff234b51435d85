"""Counter-based random numbers: known answers, independence, moments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from channelsim.contracts.rows import Rows
from channelsim.support import seeds

KEY = seeds.stream_key(7, "awgn", "noise")


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_known_answers_of_its_authors(counter, key, answer):
    words = np.array([[int(word, 16)] for word in counter.split()], dtype=np.uint64)
    first, second = (int(word, 16) for word in key.split())
    out = seeds.philox(words, (first, second))
    assert [f"{int(word):08x}" for word in out[:, 0]] == answer.split()


def test_many_counters_at_once_are_the_same_as_one_by_one():
    counters = np.random.default_rng(0).integers(0, 2**32, (4, 50), dtype=np.uint64)
    together = seeds.philox(counters, (1, 2))
    alone = np.hstack([seeds.philox(counters[:, [i]], (1, 2)) for i in range(50)])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("draw", [seeds.uniforms, seeds.normals])
def test_a_row_does_not_depend_on_its_batch_nor_on_how_many_values_are_asked_for(draw):
    messages, attempts = np.arange(100), np.arange(100) % 3
    home = draw(KEY, messages, attempts, 9)
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(draw(KEY, messages[order], attempts[order], 9), home[order])
    assert np.array_equal(draw(KEY, messages[40:41], attempts[40:41], 9), home[40:41])
    for width in (1, 2, 8):
        assert np.array_equal(draw(KEY, messages, attempts, width), home[:, :width])


def test_every_part_of_the_key_matters():
    messages = np.arange(50)
    home = seeds.uniforms(KEY, messages, 0, 4)
    others = [
        seeds.uniforms(seeds.stream_key(8, "awgn", "noise"), messages, 0, 4),
        seeds.uniforms(seeds.stream_key(7, "awgn2", "noise"), messages, 0, 4),
        seeds.uniforms(seeds.stream_key(7, "awgn", "start"), messages, 0, 4),
        seeds.uniforms(KEY, messages + 50, 0, 4),
        seeds.uniforms(KEY, messages, 1, 4),
        seeds.uniforms(KEY, messages, 0, 4, index=1),
    ]
    everything = np.concatenate([home, *others]).ravel()
    assert len(np.unique(everything)) == everything.size
    for other in others:
        assert abs(np.corrcoef(home.ravel(), other.ravel())[0, 1]) < 0.25


def test_stream_keys_are_pinned_since_every_result_hangs_on_them():
    key = seeds.stream_key(7, "mallory", "start")
    assert key == (1178098609, 3876981826)
    assert seeds.uniforms(key, np.array([3]), 1, 2)[0].tolist() == [
        0.43230656411767693,
        0.08233229828393579,
    ]
    names = [(s, n, d) for s in range(5) for n in ("a", "b", "ab") for d in ("", "b", "start")]
    assert len({seeds.stream_key(*name) for name in names}) == len(names)
    assert all(0 <= half < 2**32 for half in KEY)


def test_uniforms_are_uniform_and_never_touch_the_ends():
    values = seeds.uniforms(KEY, np.arange(50_000), 0, 4).ravel()
    assert values.min() > 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert values.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * values.size))


def test_normals_have_the_moments_of_a_normal_and_no_correlation():
    values = seeds.normals(KEY, np.arange(50_000), 0, 4)
    flat = values.ravel()
    n = flat.size
    assert flat.mean() == pytest.approx(0, abs=4 / np.sqrt(n))
    assert flat.var() == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert stats.skew(flat) == pytest.approx(0, abs=4 * np.sqrt(6 / n))
    assert stats.kurtosis(flat) == pytest.approx(0, abs=4 * np.sqrt(24 / n))
    assert stats.kstest(flat, "norm").pvalue > 1e-3
    between_values = np.corrcoef(values.T) - np.eye(4)
    assert np.abs(between_values).max() < 4.5 / np.sqrt(len(values))
    between_messages = np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]
    assert abs(between_messages) < 4.5 / np.sqrt(len(values))


def test_gaps_between_arrivals_are_exponential():
    gaps = seeds.exponentials(KEY, np.arange(50_000))
    assert gaps.min() > 0
    assert stats.kstest(gaps, "expon").pvalue > 1e-3


def rows(name: str = "awgn", message: np.ndarray | None = None) -> Rows:
    numbers = np.arange(20) if message is None else message
    return Rows(
        name=name, seed=7, message=numbers, attempt=np.zeros(len(numbers), np.int64), columns={}
    )


def test_a_stage_that_asks_twice_gets_the_same_draw():
    here = rows()
    assert here.normal(5, "noise") is here.normal(5, "noise")
    assert not np.array_equal(here.normal(5, "noise"), here.normal(5, "other"))
    assert not np.array_equal(here.normal(5, "noise"), here.normal(5, "noise", index=1))
    assert np.array_equal(rows().normal(5, "noise"), here.normal(5, "noise"))
    assert not np.array_equal(rows("fading").normal(5, "noise"), here.normal(5, "noise"))
