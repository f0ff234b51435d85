"""Parts of a run, computed apart, make the run that was computed at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from helpers.known_ledger import assert_equal_ledgers
from hypothesis import given
from hypothesis import strategies as st

from channelsim.cli.app import answer
from channelsim.runs.merge import merge
from channelsim.runs.run import Run, run
from channelsim.simulation.share import Share
from channelsim.support.errors import ChannelsimError, InputError

LINEAR = {"kind": "linear", "latent_size": 8}
STUDY: dict[str, Any] = {
    "title": "A study in parts",
    "seed": 5,
    "source": {"kind": "dataset", "count": 30},
    "path": [
        {"kind": "awgn", "snr_db": 20},
        {"kind": "noise", "name": "mallory", "budget": {"norm": "linf", "epsilon": 1.0}},
    ],
    "receivers": {
        "plain": {"codec": LINEAR},
        "wary": {"codec": LINEAR, "detector": {"kind": "norm", "false_alarm": 0.2}},
        "small": {"codec": {"kind": "linear", "latent_size": 4}},
    },
    "metrics": ["mse"],
    "sweep": {"mallory.budget.epsilon": [0.5, 1.0]},
    "block_rows": 16,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(STUDY, out=tmp_path_factory.mktemp("whole") / "run").folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    return [run(STUDY, out=folder / f"{k}", part=f"{k}/3").folder for k in (1, 2, 3)]


def test_a_part_is_a_run_that_is_not_finished(parts: list[Path]) -> None:
    for part in parts:
        assert not Run.open(part).finished
        assert len(Run.open(part).frame()) == 2 * 30, "a group of two arms"


def test_all_parts_together_are_the_run(parts: list[Path], whole: Path, tmp_path: Path) -> None:
    merged = merge(list(reversed(parts)), tmp_path / "all")
    assert not merged.missing
    assert Run.open(tmp_path / "all").finished
    assert_equal_ledgers(whole, tmp_path / "all")


def test_what_is_missing_is_named_and_a_resumed_run_completes_it(
    parts: list[Path], whole: Path, tmp_path: Path
) -> None:
    merged = merge(parts[:2], tmp_path / "two")
    assert sum(merged.missing.values()) == 2 * 30
    assert merged.transmissions == 4 * 30
    assert not Run.open(tmp_path / "two").finished
    with Run(tmp_path / "two").ledger() as ledger:
        assert not ledger.arm_verdicts, "no arm is closed early"
    run(STUDY, out=tmp_path / "two", resume=True)
    assert_equal_ledgers(whole, tmp_path / "two")


def test_rows_that_are_in_two_parts_enter_once(
    parts: list[Path], whole: Path, tmp_path: Path
) -> None:
    merge([*parts, whole, parts[0]], tmp_path / "all")
    Run.open(tmp_path / "all")
    assert_equal_ledgers(whole, tmp_path / "all")


def test_a_row_that_differs_is_refused_by_name(
    parts: list[Path], whole: Path, tmp_path: Path
) -> None:
    merge([whole], tmp_path / "other")
    with closing(sqlite3.connect(tmp_path / "other" / "ledger.sqlite")) as file:
        file.execute("UPDATE attempt SET mse_source = mse_source + 1e-9 WHERE transmission = 33")
        file.commit()
    with pytest.raises(InputError, match=r"message 3 of arm 1 .* not the same \(mse_source: "):
        merge([whole, tmp_path / "other"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def damaged(folder: Path, copy: Path, *statements: str) -> Path:
    merge([folder], copy)
    with closing(sqlite3.connect(copy / "ledger.sqlite")) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()
    return copy


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM header WHERE key = 'total'", "damaged"),
        ("DELETE FROM arm", "damaged|arms"),
        ("UPDATE attempt SET attempt = 10000000 WHERE attempt = 3", "keys that no run"),
    ],
)
def test_a_damaged_ledger_is_told_not_copied(
    statement: str, said: str, whole: Path, tmp_path: Path
) -> None:
    copy = damaged(whole, tmp_path / "copy", statement)
    with pytest.raises(ChannelsimError, match=said):
        merge([copy], tmp_path / "all")


def test_a_transmission_without_its_attempt_is_missing(whole: Path, tmp_path: Path) -> None:
    copy = damaged(whole, tmp_path / "copy", "DELETE FROM attempt WHERE transmission < 4")
    merged = merge([copy], tmp_path / "all")
    assert merged.missing == {0: 4}
    assert not Run.open(tmp_path / "all").finished


def test_a_mixed_part_makes_a_mixed_run(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    mark = """INSERT INTO header VALUES ('mixed', '[{"fingerprint": {"device": "another"}}]')"""
    copy = damaged(parts[1], tmp_path / "copy", mark)
    merge([parts[0], copy], tmp_path / "all")
    assert Run(tmp_path / "all").header()["mixed"] == [{"fingerprint": {"device": "another"}}]
    assert "mixed" not in Run(whole).header()


def test_parts_one_after_the_other_in_one_folder_end_when_the_run_ends(
    whole: Path, tmp_path: Path
) -> None:
    for k in (3, 1, 2):
        run(STUDY, out=tmp_path / "run", part=f"{k}/3", resume=True)
    assert Run.open(tmp_path / "run").finished
    assert_equal_ledgers(whole, tmp_path / "run")


@pytest.mark.parametrize("change", [{"seed": 6}, {"path.0.snr_db": 21}, {"source.count": 29}])
def test_parts_of_other_runs_are_refused(
    change: dict[str, Any], parts: list[Path], tmp_path: Path
) -> None:
    other = run(STUDY, set=change, out=tmp_path / "other", part="2/3").folder
    with pytest.raises(InputError, match="is no part of the same run"):
        merge([parts[0], other], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_folder_without_a_run_or_an_occupied_one_is_refused(
    parts: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no run"):
        merge([tmp_path], tmp_path / "all")
    with pytest.raises(InputError, match="is not empty"):
        merge(parts, parts[0])


def test_a_part_goes_on_where_it_was_interrupted(
    parts: list[Path], whole: Path, tmp_path: Path
) -> None:
    def leave(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(STUDY, out=tmp_path / "1", part="1/3", on_event=leave)
    run(STUDY, out=tmp_path / "1", part="1/3", resume=True, workers=1)
    merge([tmp_path / "1", *parts[1:]], tmp_path / "all")
    Run.open(tmp_path / "all")
    assert_equal_ledgers(whole, tmp_path / "all")


@pytest.mark.parametrize(
    "text", ["", "0/2", "3/2", "2", "1/0", "-1/2", "1/2/3", "a/b", "1/9999999"]
)
def test_a_part_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--part"):
        Share.parse(text)


def test_more_parts_than_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 groups of arms"):
        run(STUDY, out=tmp_path / "run", part="1/4")
    assert not (tmp_path / "run").exists()


@given(st.lists(st.sampled_from([1.0, 2.0, 10.0, 30.0]), min_size=1, max_size=12), st.data())
def test_shares_are_a_partition_and_about_equal(work: list[float], data: st.DataObject) -> None:
    of = data.draw(st.integers(1, len(work)))
    shares = [Share(number, of).groups(work) for number in range(1, of + 1)]
    assert sorted(one for share in shares for one in share) == list(range(len(work)))
    sums = [sum(work[one] for one in share) for share in shares]
    assert all(shares)
    assert max(sums) - min(sums) <= max(work)


def test_the_command_says_what_is_missing_or_what_was_found(
    parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(["merge", str(parts[0]), "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "60 of 180 transmissions are there; missing are 120, of arms 2–5" in said
    assert "--resume" in said
    assert answer(["merge", *map(str, parts), "--out", str(tmp_path / "all")]) == 0
    assert "A study in parts" in capsys.readouterr().out
    assert (tmp_path / "all" / "curves.png").exists()
    assert answer(["merge", str(tmp_path), "--out", str(tmp_path / "none")]) == 2
