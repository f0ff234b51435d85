"""Image retention: the first, the newest and the worst, independent of the schedule."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import channelsim
from channelsim.contracts.keys import Keys
from channelsim.contracts.records import Batch, Outcome, Ticked
from channelsim.ledger import Ledger
from channelsim.ledger import ledger as ledger_module
from channelsim.runs.replay import replay
from channelsim.runs.run import Run
from channelsim.simulation.attempt_rows import as_bytes
from channelsim.simulation.image_retention import WORST, ImageRetention

COUNT, MOST, ARMS = 12, 2, 2


def retention(first: int, *, metrics=("mse",), last=(MOST - 1, MOST - 1)) -> ImageRetention:
    return ImageRetention(first=first, last=last, keys=Keys(COUNT, MOST), metrics=metrics)


Block = tuple[Batch, list[int], Outcome]


def block(keys, accepted, arrived_s, values, column="mse_source") -> Block:
    transmission, attempt = np.divmod(np.array(keys, dtype=np.int64), MOST)
    arm, message = np.divmod(transmission, COUNT)
    arrived = np.array(arrived_s, dtype=np.float64)
    rows = replace(Batch.planned(message), arm=arm, attempt=attempt, arrived_s=arrived)
    outcome = Outcome(np.array(accepted), {column: np.array(values)})
    return rows, list(keys), outcome


def held_after(chooser: ImageRetention, blocks) -> set[int]:
    held: set[int] = set()
    for rows, keys, outcome in blocks:
        kept, dropped = chooser.choose(rows, keys, outcome)
        assert held.issuperset(dropped), "only what was kept can be dropped"
        held |= {keys[row] for row in kept}
        held -= set(dropped)
    return held


def by_definition(attempts, first: int, last: int) -> set[int]:
    """The same from a whole run at once: attempts are (key, accepted, arrived, value)."""
    if not first:
        return set()
    held = {key for key, *_ in attempts if key // MOST % COUNT < first}
    for arm in range(ARMS):
        ends = [
            (value, arrived, key)
            for key, accepted, arrived, value in attempts
            if key // MOST // COUNT == arm and (accepted or key % MOST == last)
        ]
        held |= {max((arrived, key) for _, arrived, key in ends)[1]} if ends else set()
        known = [(-value, key) for value, _, key in ends if not np.isnan(value)]
        held |= {key for _, key in sorted(known)[:WORST]}
    return held


@st.composite
def runs(draw):
    """Attempts of a run in any order, in blocks of any size: every transmission ends once."""
    attempts = []
    for transmission in range(ARMS * COUNT):
        if not draw(st.booleans()):
            continue
        for number in range(MOST):
            accepted = draw(st.booleans())
            value = draw(st.sampled_from([0.0, 0.1, 0.1, 0.5, 2.0, np.nan]))
            arrived = draw(st.sampled_from([0.0, 1.0, 2.0, 3.0]))
            attempts.append((transmission * MOST + number, accepted, arrived, value))
            if accepted:
                break
    order = draw(st.permutations(attempts))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)), max_size=4)))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return [part for part in parts if part]


@settings(max_examples=80)
@given(runs(), st.integers(0, 3), st.integers(0, 4))
def test_what_is_kept_depends_on_the_attempts_alone_not_on_schedule_or_interruption(
    parts, first, interrupted
):
    attempts = [one for part in parts for one in part]
    expected = by_definition(attempts, first, MOST - 1)
    blocks = [block(*zip(*part, strict=True)) for part in parts]
    assert held_after(retention(first), blocks) == expected

    # A resumed run knows only the records of the images kept.
    before, after = blocks[:interrupted], blocks[interrupted:]
    kept = held_after(retention(first), before)
    again = retention(first)
    again.recall(
        (key, accepted, arrived, None if np.isnan(value) else value)
        for part in parts[:interrupted]
        for key, accepted, arrived, value in part
        if key in kept
    )
    for rows, keys, outcome in after:
        chosen, dropped = again.choose(rows, keys, outcome)
        kept = (kept | {keys[row] for row in chosen}) - set(dropped)
    assert kept == expected


def test_a_similarity_is_worst_where_it_is_smallest():
    chooser = retention(1, metrics=("ssim",))
    keys = [MOST * message for message in range(1, 6)]
    rows = block(keys, [True] * 5, range(5), [0.9, 0.2, 0.7, 0.1, 0.8], "ssim_source")
    newest = keys[-1]
    assert held_after(chooser, [rows]) == {keys[1], keys[3], newest}


def test_an_attempt_that_was_repeated_is_no_transmission_and_so_not_the_worst():
    chooser = retention(1)
    refused, then_accepted = MOST * 5, MOST * 5 + 1
    first = block([refused, MOST * 6], [False, True], [1.0, 2.0], [9.0, 0.2])
    second = block([then_accepted], [True], [3.0], [0.1])
    assert held_after(chooser, [first, second]) == {then_accepted, MOST * 6}


def test_the_newest_is_what_arrived_last_not_what_was_sent_last():
    chooser = retention(1)
    late, other, bad, worse = (MOST * message for message in (3, 9, 5, 6))
    rows = block([late, other, bad, worse], [True] * 4, [8.0, 2.0, 1.0, 1.0], [0.1, 0.2, 0.8, 0.9])
    assert held_after(chooser, [rows]) == {late, bad, worse}


# --- in a run -----------------------------------------------------------------------------------

SCENARIO = {
    "seed": 3,
    "source": {"kind": "dataset", "name": "mnist5k", "split": "test", "count": 30},
    "path": [
        {
            "kind": "pgd",
            "name": "mallory",
            "goal": {"kind": "image", "target": "black"},
            "budget": {"norm": "linf", "epsilon": 0.5},
            "steps": 1,
        },
        {"kind": "awgn", "snr_db": 10},
    ],
    "receivers": {"one": {"codec": {"kind": "linear", "latent_size": 8}}},
    "metrics": ["psnr", "mse"],
    "control": False,
    "block_rows": 8,
    "images": 2,
    "sweep": {"mallory.budget.epsilon": [0.0, 1.0]},
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Run:
    return channelsim.run(SCENARIO, out=tmp_path_factory.mktemp("runs") / "run")


def pictured(run: Run) -> dict[int, set[int]]:
    with run.ledger() as ledger:
        found: dict[int, set[int]] = {}
        for (transmission,) in ledger.rows("SELECT DISTINCT transmission FROM image"):
            found.setdefault(transmission // 30, set()).add(transmission % 30)
    return found


def test_every_arm_shows_its_first_its_newest_and_its_worst_messages(recorded):
    table, images = recorded.frame(), pictured(recorded)
    assert len(images) == 2
    for arm, shown in images.items():
        own = table[table["arm"] == arm].set_index("message")
        worst = own["mse_source"].nlargest(WORST).index
        assert shown == {0, 1, 29, *worst}


def test_whoever_looks_while_a_run_goes_on_finds_the_newest_and_the_worst(tmp_path, monkeypatch):
    """No commit holds a row whose images are gone, or come later, or images without their row."""
    monkeypatch.setattr(ledger_module, "COMMIT_SECONDS", 0.0)  # a commit at every possible place
    commit, write, looks = Ledger.commit, Ledger.write, []

    def committed(ledger):
        commit(ledger)
        with closing(sqlite3.connect(ledger.path)) as reader:
            images = {key for (key,) in reader.execute("SELECT transmission FROM image")}
            rows = reader.execute("SELECT transmission, mse_source FROM attempt").fetchall()
        wanted = {key for key, _ in rows if key % 30 < 2}
        for arm in range(2):
            own = sorted((-mse, key) for key, mse in rows if key // 30 == arm)
            wanted |= {key for _, key in own[:WORST]} | {max((key for _, key in own), default=-1)}
        looks.append((len(rows), images ^ (wanted - {-1})))

    def written(ledger, event):
        if not isinstance(event, Ticked):  # after these a commit always finds whole blocks
            write(ledger, event)

    monkeypatch.setattr(Ledger, "commit", committed)
    monkeypatch.setattr(Ledger, "write", written)
    channelsim.run(SCENARIO, out=tmp_path / "run", set={"max_pending": 8})
    assert len({rows for rows, _ in looks}) > 4
    assert [odd for _, odd in looks if odd] == []


def test_pictures_of_the_worst_are_those_that_replay_computes(recorded):
    with recorded.ledger() as ledger:
        query = "SELECT transmission, role, png FROM image WHERE transmission > 31"
        rows = list(ledger.rows(query))
    assert {role for _, role, _ in rows} == {"source", "clean", "passive", "received"}
    for transmission, role, png in rows:
        again = replay(recorded.folder, transmission)
        with Image.open(io.BytesIO(png)) as image:
            assert np.array_equal(np.asarray(image), as_bytes(again.images[role][None])[0, ..., 0])


def test_who_wants_no_images_gets_none(tmp_path):
    run = channelsim.run({**SCENARIO, "images": 0}, out=tmp_path / "run")
    assert pictured(run) == {}
