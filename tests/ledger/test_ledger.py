"""The ledger keeps its rows bit for bit, despite failures of the process or the disk."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.patience import PATIENCE_S
from hypothesis import given, settings
from hypothesis import strategies as st

from channelsim.contracts.records import (
    ATTEMPT_COLUMNS,
    ArmDone,
    ArmRecord,
    AttemptsDone,
    Finished,
    ImageSaved,
    Noted,
    Started,
    Ticked,
    TransmissionsDone,
    metric_columns,
    quality_columns,
)
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger, differences
from channelsim.ledger import ledger as ledger_module
from channelsim.ledger import sql as ledger_tables
from channelsim.support.errors import InputError, MachineError

COUNT, MAX_ATTEMPTS = 10, 3


def started(swept: Sequence[str] = ("mallory.epsilon",), **more: Any) -> Started:
    arms = [
        ArmRecord(0, "plain", dict.fromkeys(swept, 0)),
        ArmRecord(1, "hardened", dict.fromkeys(swept, 0.1)),
    ]
    header: dict[str, Any] = {
        "title": "A small run",
        "seed": 7,
        "scenario": {"seed": 7},
        "scenario_hash": "abc",
        "count": COUNT,
        "max_attempts": MAX_ATTEMPTS,
        "metrics": ["mse", "psnr"],
        "control": True,
        "swept_keys": list(swept),
        "receivers": ["plain", "hardened"],
        "versions": {"channelsim": "9.8.7"},
    }
    return Started(RunHeader(header | more), arms, COUNT * len(arms))


def measured() -> list[str]:
    return quality_columns(["mse", "psnr"]) + metric_columns(["mse", "psnr"], control=True)


def attempts(keys: Sequence[int], **columns: Any) -> AttemptsDone:
    """Attempts whose numbers all differ, so that no cell can be mistaken for another."""
    key = np.asarray(list(keys), dtype=np.int64)
    made: dict[str, Any] = {
        name: key + 0.001 * (place + 1)
        for place, name in enumerate([*ATTEMPT_COLUMNS, *measured()])
    }
    made |= {
        "attempt": key,
        "transmission": key // MAX_ATTEMPTS,
        "lost": np.zeros(len(key), dtype=bool),
        "accepted": key % 2 == 0,
        "verdict": np.full(len(key), "ok", dtype=object),
    }
    return AttemptsDone(made | columns)


def transmissions(numbers: Sequence[int], **columns: Any) -> TransmissionsDone:
    n = len(numbers)
    made: dict[str, Any] = {
        "transmission": list(numbers),
        "sent_s": [0.25 * t for t in numbers],
        "done_s": [0.25 * t + 0.125 for t in numbers],
        "attempts": [1] * n,
        "delivered": ["yes"] * n,
    }
    return TransmissionsDone(made | columns)


def new(folder: Path, begin: Started | None = None, name: str = "ledger.sqlite") -> Ledger:
    return Ledger.create(folder / name, begin or started())


def one(ledger: Ledger, query: str) -> Any:
    return next(ledger.rows(query))[0]


# --- the tables and the view --------------------------------------------------------------------


def test_the_flat_view_has_the_columns_of_the_design_in_its_order(tmp_path: Path) -> None:
    with new(tmp_path, started(["mallory.epsilon", "path[1].snr_db"])) as ledger:
        named = [
            row[0] for row in ledger.connection.execute("SELECT * FROM transmissions").description
        ]
        assert named == [
            *("transmission", "arm", "receiver", "message", "attempts", "sent_s", "done_s"),
            *("delivered", "mallory.epsilon", "path[1].snr_db"),
            *("snr_db", "snr_measured_db", "delta_linf", "delta_l2", "psr_db", "psr_received_db"),
            *("verdict", "mse_source", "mse_clean", "mse_passive", "mse_target"),
            *("psnr_source", "psnr_clean", "psnr_passive", "psnr_target"),
            *("control_mse_source", "control_mse_clean", "control_mse_passive"),
            *("control_mse_target", "control_psnr_source", "control_psnr_clean"),
            *("control_psnr_passive", "control_psnr_target"),
        ]
        assert tuple(named) == ledger.flat_columns


def test_the_flat_view_shows_each_transmission_with_its_last_attempt(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        # Message 4 of arm 1 needed all three attempts, message 0 of arm 0 one.
        ledger.write(attempts([0, 42, 43, 44]))
        ledger.write(transmissions([0, 14], attempts=[1, 3], delivered=["yes", "rejected"]))
        query = (
            "SELECT transmission, arm, receiver, message, attempts, sent_s, delivered,"
            ' "mallory.epsilon", mse_clean FROM transmissions ORDER BY transmission'
        )
        place = [*ATTEMPT_COLUMNS, *measured()].index("mse_clean") + 1
        assert list(ledger.rows(query)) == [
            (0, 0, "plain", 0, 1, 0.0, "yes", 0, 0 + 0.001 * place),
            (14, 1, "hardened", 4, 3, 3.5, "rejected", 0.1, 44 + 0.001 * place),
        ]


def test_a_transmission_enters_the_view_only_with_its_measured_attempt(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        ledger.write(transmissions([3]))
        assert one(ledger, "SELECT count(*) FROM transmissions") == 0
        ledger.write(attempts([9]))
        assert one(ledger, "SELECT count(*) FROM transmissions") == 1


@pytest.mark.parametrize(
    "key",
    [
        'a"b', "a'b", 'x"; DROP TABLE attempt; --', "path[0].budget.epsilon", "ü ☃", "a,b", "",
        "[x]", "`x`", "select", "%s", "?1", "a\nb",
    ],
)  # fmt: skip
def test_swept_names_are_columns_as_written_whatever_they_contain(key: str, tmp_path: Path) -> None:
    with new(tmp_path, started([key])) as ledger:
        ledger.write(attempts([0, 30]))
        ledger.write(transmissions([0, 10]))
        shown = ledger.connection.execute("SELECT * FROM transmissions ORDER BY transmission")
        assert shown.description[8][0] == key
        assert [row[8] for row in shown] == [0, 0.1]
        assert [arm.swept for arm in ledger.arms()] == [{key: 0}, {key: 0.1}]


def test_a_name_with_a_nul_character_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NUL character"):
        new(tmp_path, started(["a\0b"]))
    assert not (tmp_path / "ledger.sqlite").exists()


def test_swept_values_keep_their_kind(tmp_path: Path) -> None:
    values = [0, 0.1, "black", True, None, [1, 2], {"kind": "awgn"}, -math.inf]
    arms = [ArmRecord(i, "plain", {"key": value}) for i, value in enumerate(values)]
    with new(tmp_path, Started(started(["key"]).header, arms, 80)) as ledger:
        assert [arm.swept["key"] for arm in ledger.arms()] == values
        as_sql = [value for (value,) in ledger.rows("SELECT swept_0 FROM arm")]
        shown = [0, 0.1, "black", "true", None, "[1, 2]", '{"kind": "awgn"}', -math.inf]
        assert as_sql == shown
        assert [type(value) for value in as_sql] == [type(value) for value in shown]


def test_the_header_comes_back_as_it_was(tmp_path: Path) -> None:
    calibration = {"power": 0.1 + 0.2, "state": np.array([1.5, np.inf]), "path": Path("a/b")}
    with new(tmp_path, started(calibration=calibration)) as ledger:
        header = ledger.header().values
        assert header["calibration"] == {
            "power": 0.1 + 0.2,
            "state": [1.5, math.inf],
            "path": "a/b",
        }
        assert header["seed"] == 7
        assert header["total"] == 20
        assert header["ledger_version"] == ledger_tables.LEDGER_VERSION


def test_arms_run_until_they_are_done_with_a_verdict(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        assert ledger.arm_verdicts == {}
        ledger.write(ArmDone(1, "beaten_by_noise"))
        assert ledger.arm_verdicts == {1: "beaten_by_noise"}
        assert list(ledger.rows("SELECT status FROM arm ORDER BY arm")) == [("running",), ("done",)]


# --- values -------------------------------------------------------------------------------------


def test_nan_becomes_null_and_infinities_stay(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        psnr = np.array([np.nan, np.inf, -np.inf, 30.0])
        ledger.write(attempts(range(4), psnr_source=psnr, score=[None, 1.0, math.nan, 2.0]))
        got = list(ledger.rows("SELECT psnr_source, score FROM attempt ORDER BY attempt"))
        assert got == [(None, None), (math.inf, 1.0), (-math.inf, None), (30.0, 2.0)]


@given(st.lists(st.floats(width=64), min_size=1, max_size=30))
@settings(max_examples=50)
def test_every_double_comes_back_with_the_same_bits(values: list[float]) -> None:
    # -0.0 alone is stored as 0.0, to which it is equal.
    with sqlite_in_memory() as ledger:
        ledger.write(attempts(range(len(values)), score=np.array(values)))
        got = [score for (score,) in ledger.rows("SELECT score FROM attempt ORDER BY attempt")]
        assert got == [None if math.isnan(value) else value for value in values]


def sqlite_in_memory() -> Ledger:
    """A ledger without a file, for properties that are checked many times over."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in ledger_tables.statements(started().header).values():
        connection.execute(statement)
    ledger_tables.fill(connection, started())
    return Ledger(Path("memory"), connection, lock=None)


@pytest.mark.parametrize(
    "column",
    [
        np.array([1.5, 2.5], dtype=np.float32),
        [np.float32(1.5), np.float32(2.5)],
        (np.float64(1.5), 2.5),
        np.array([1.5, 2.5], dtype=object),
    ],
    ids=["array", "scalars", "tuple", "objects"],
)
def test_numpy_and_python_numbers_are_stored_alike(column: Any, tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        keys = [np.int64(0), np.int32(1)]
        ledger.write(attempts([0, 1], score=column, attempt=keys, lost=[np.bool_(True), False]))
        query = "SELECT attempt, score, lost, typeof(score), typeof(lost) FROM attempt"
        assert list(ledger.rows(query)) == [
            (0, 1.5, 1, "real", "integer"),
            (1, 2.5, 0, "real", "integer"),
        ]


def test_single_precision_is_stored_exactly(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        value = np.float32(0.1)
        ledger.write(attempts([0], score=np.array([value])))
        assert np.float32(one(ledger, "SELECT score FROM attempt")) == value


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        for value in (1.0, 2.0):
            ledger.write(attempts([0], score=[value]))
            ledger.write(transmissions([0], sent_s=[value]))
            ledger.write(ImageSaved(0, 0, "clean", str(value).encode()))
            ledger.write(Noted("warning", "mind the gap", 1.0))
            ledger.write(Noted("warning", "mind the gap", 1.0, arm=1))
        assert list(ledger.rows("SELECT score FROM attempt")) == [(1.0,)]
        assert list(ledger.rows("SELECT sent_s FROM transmission")) == [(1.0,)]
        assert list(ledger.rows("SELECT png FROM image")) == [(b"1.0",)]
        assert list(ledger.rows("SELECT arm FROM event ORDER BY event")) == [(None,), (1,)]


def test_a_block_with_a_missing_or_an_unknown_column_is_never_stored(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        short = dict(attempts([0]).columns)
        del short["score"]
        for wrong in (short, attempts([0], surprise=[1.0]).columns):
            with pytest.raises(ValueError, match="differing: s"):
                ledger.write(AttemptsDone(wrong))
        with pytest.raises(ValueError, match="shorter"):
            ledger.write(attempts([0, 1], score=[1.0]))
        ledger.rollback()
        assert one(ledger, "SELECT count(*) FROM attempt") == 0


# --- the memo -----------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 59)), st.lists(st.one_of(st.integers(0, 70), st.integers(0, 10**9))))
@settings(max_examples=150)
def test_the_ledger_knows_exactly_what_it_holds(held: set[int], asked: list[int]) -> None:
    with sqlite_in_memory() as ledger:
        ledger.write(attempts(sorted(held)))
        assert ledger.known(asked) == {key: key % 2 == 0 for key in asked if key in held}


@pytest.mark.parametrize("asked", [range(2000), np.arange(0, 60000, 30), range(5999, 0, -7)])
def test_thousands_of_keys_are_looked_up_at_once(asked: Sequence[int], tmp_path: Path) -> None:
    with new(tmp_path, started(count=1000)) as ledger:
        ledger.write(attempts(range(0, 6000, 2), accepted=[True] * 3000))
        known = ledger.known(asked)
        assert known == {int(key): True for key in asked if key % 2 == 0 and key < 6000}


# --- one writer, many readers -------------------------------------------------------------------


def test_a_reader_sees_the_ledger_grow(tmp_path: Path) -> None:
    with new(tmp_path) as writer, Ledger.open(writer.path) as reader:
        seen = []
        for start in (0, 3, 6):
            writer.write(attempts(range(start, start + 3)))
            seen.append(one(reader, "SELECT count(*) FROM attempt"))  # before the commit
            writer.commit()
            seen.append(one(reader, "SELECT count(*) FROM attempt"))
        assert seen == [0, 3, 3, 6, 6, 9]


def test_a_reader_in_the_middle_of_its_answer_never_stops_the_writer(tmp_path: Path) -> None:
    with new(tmp_path) as writer:
        writer.write(attempts(range(6)))
        writer.commit()
        with Ledger.open(writer.path) as reader:
            answer = reader.rows("SELECT attempt FROM attempt")
            next(answer)
            writer.write(attempts(range(6, 9)))
            writer.write(Finished(1.0))
            assert len(list(answer)) == 5  # the state at the time of the query
            writer.close()
            assert one(reader, "SELECT count(*) FROM attempt") == 9


def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    with new(tmp_path) as first:
        first.write(attempts([0]))
        with pytest.raises(
            InputError, match=r"ledger\.sqlite: another process is writing this run"
        ):
            Ledger.open(first.path, write=True)
        with pytest.raises(InputError, match="another process is writing"):
            new(tmp_path)
        first.write(attempts([1]))
    with Ledger.open(first.path, write=True) as second:
        assert second.known([0, 1]) == {0: True, 1: False}


def test_a_second_writer_in_another_process_is_told_to_wait(tmp_path: Path) -> None:
    with new(tmp_path) as first:
        first.commit()
        story = f"""
            from pathlib import Path
            from channelsim.ledger import Ledger
            Ledger.open(Path({str(first.path)!r}), write=True)
        """
        answer = child(story)
        assert answer.returncode != 0
        assert "another process is writing this run" in answer.stderr


def test_a_ledger_that_somebody_reads_can_be_taken_up_again(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        ledger.write(attempts(range(9)))
    with Ledger.open(ledger.path) as reader:
        list(reader.rows("SELECT * FROM attempt"))  # has read, and keeps the connection open
        with Ledger.open(ledger.path, write=True) as writer:
            writer.write(attempts(range(9, 12)))
            writer.commit()
            assert one(reader, "SELECT count(*) FROM attempt") == 12


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    new(tmp_path).close()
    with (
        pytest.raises(InputError, match="cannot be written"),
        Ledger.open(tmp_path / "ledger.sqlite") as reader,
    ):
        reader.write(attempts([0]))


def test_an_existing_ledger_is_never_overwritten(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        ledger.write(attempts([0]))
    with pytest.raises(InputError, match="--resume"):
        new(tmp_path)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.known([0]) == {0: True}


def test_a_closed_ledger_is_one_plain_file_that_opens_in_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with new(folder) as ledger:
        ledger.write(attempts([0]))
    assert {path.name for path in folder.iterdir()} == {"ledger.sqlite", "ledger.sqlite.lock"}
    assert (folder / "ledger.sqlite").read_bytes()[18:20] == b"\1\1", "still in WAL mode"


# --- commits ------------------------------------------------------------------------------------


def committed(path: Path) -> int:
    with Ledger.open(path) as reader:
        return int(one(reader, "SELECT count(*) FROM attempt"))


def test_rows_are_committed_about_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with new(tmp_path) as ledger:
        seen = []
        for key in range(5):
            ledger.write(attempts([key]))
            ledger.write(Ticked(0.0, key, 20))
            seen.append(committed(ledger.path))
            clock[0] += 0.6
        assert seen == [1, 1, 2, 2, 4]  # before a block, once a second is over


def test_an_attempt_and_its_pictures_enter_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "COMMIT_SECONDS", 0.0)  # a commit at every possible place
    with new(tmp_path) as ledger:
        for key in range(3):
            ledger.write(attempts([key]))
            ledger.write(transmissions([key]))
            assert committed(ledger.path) == key, "committed before its picture came"
            ledger.write(ImageSaved(key, 0, "received", b"png"))


def test_leaving_by_an_exception_keeps_what_was_committed(tmp_path: Path) -> None:
    def story() -> None:
        with new(tmp_path) as ledger:
            ledger.write(attempts([0]))
            ledger.commit()
            ledger.write(attempts([1]))
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        story()
    assert committed(tmp_path / "ledger.sqlite") == 1
    Ledger.open(tmp_path / "ledger.sqlite", write=True).close()  # and the lock is free


def test_finished_is_committed_at_once(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        ledger.write(attempts([0]))
        ledger.write(Finished(2.5))
        with Ledger.open(ledger.path) as reader:
            assert reader.finished
            assert reader.header().values["finished"] == 2.5
            assert reader.known([0]) == {0: True}


def child(story: str, **limits: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(story)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        **limits,
    )


def test_a_killed_writer_loses_no_committed_row(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        ledger.write(attempts([0]))
    answer = child(f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_ledger import attempts
        from channelsim.ledger import Ledger
        ledger = Ledger.open(Path({str(ledger.path)!r}), write=True)
        ledger.write(attempts(range(1, 50)))
        ledger.commit()
        ledger.write(attempts(range(50, 60)))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert answer.returncode == -9, answer.stderr
    with Ledger.open(ledger.path) as reader:  # without a writer's clean-up
        assert one(reader, "SELECT count(*) FROM attempt") == 50
    with Ledger.open(ledger.path, write=True) as again:
        again.write(attempts(range(60)))
        assert one(again, "SELECT count(*) FROM attempt") == 60


# --- wrong files --------------------------------------------------------------------------------


def test_a_ledger_of_another_version_names_who_wrote_it(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        ledger.set_header({"ledger_version": 99})
    for write in (False, True):
        with pytest.raises(InputError) as refusal:
            Ledger.open(ledger.path, write)
        assert "written by channelsim 9.8.7 as ledger version 99" in refusal.value.message
        assert "run its scenario again" in refusal.value.message


@pytest.mark.parametrize(
    "content", [b"", b"title: a scenario\n" * 300, b"SQLite format 3\0" + b"\0" * 4000]
)
def test_a_file_that_is_no_ledger_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    for write in (False, True):
        with pytest.raises(InputError, match="not a channelsim ledger"):
            Ledger.open(path, write)
    assert path.read_bytes() == content


def test_another_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE header (key TEXT, value TEXT)")
    other.close()
    with pytest.raises(InputError, match="not a channelsim ledger"):
        Ledger.open(path)


def test_a_missing_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.sqlite: there is no ledger here"):
        Ledger.open(tmp_path / "nowhere.sqlite")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="does the folder exist"):
        Ledger.create(tmp_path / "no" / "folder.sqlite", started())


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_a_truncated_ledger_is_reported_in_one_sentence(kept: float, tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        for start in range(0, 6000, 500):
            ledger.write(attempts(range(start, start + 500)))
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[: int(len(whole) * kept)])
    with (
        pytest.raises(MachineError, match=r"ledger\.sqlite: the file is damaged"),
        Ledger.open(ledger.path) as reader,
    ):
        reader.settled()


def test_a_damaged_page_is_reported_where_it_is_read(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        for start in range(0, 6000, 500):
            ledger.write(attempts(range(start, start + 500)))
    whole = bytearray(ledger.path.read_bytes())
    half = len(whole) // 2
    whole[half : half + 20000] = b"\xff" * 20000
    ledger.path.write_bytes(whole)
    with Ledger.open(ledger.path) as reader, pytest.raises(MachineError, match="damaged"):
        sum(1 for _ in reader.rows("SELECT * FROM attempt"))


# --- a full disk --------------------------------------------------------------------------------


def test_a_full_disk_is_one_sentence_and_costs_no_committed_row(tmp_path: Path) -> None:
    """Fill it by SQLite's own limit, then go on with more room."""
    path = tmp_path / "ledger.sqlite"

    def story() -> None:
        with new(tmp_path) as ledger:
            ledger.write(attempts(range(30)))
            ledger.commit()
            pages = one(ledger, "PRAGMA page_count")
            ledger.connection.execute(f"PRAGMA max_page_count = {pages + 10}")
            for start in range(30, 100_000, 30):
                ledger.write(attempts(range(start, start + 30)))

    with pytest.raises(MachineError) as full:
        story()
    assert "the disk is full" in full.value.message
    assert "every committed row is kept" in full.value.message
    assert "--resume" in full.value.message
    with Ledger.open(path, write=True) as again:
        assert again.known(range(60)).keys() >= set(range(30))
        again.write(attempts(range(60)))
        assert one(again, "PRAGMA integrity_check") == "ok"


def test_a_disk_that_takes_no_more_bytes_costs_no_committed_row(tmp_path: Path) -> None:
    """A real limit: the system refuses to make the file longer."""
    new(tmp_path).close()
    path = tmp_path / "ledger.sqlite"
    answer = child(f"""
        import resource, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_ledger import attempts
        from channelsim.support.errors import MachineError
        from channelsim.ledger import Ledger
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            with Ledger.open(Path({str(path)!r}), write=True) as ledger:
                for start in range(0, 1_000_000, 100):
                    ledger.write(attempts(range(start, start + 100)))
                    ledger.commit()
                    print(start + 100, flush=True)
        except MachineError as error:
            sys.exit(error.message)
    """)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "every committed row is kept" in answer.stderr
    sure = int(answer.stdout.split()[-1])
    assert sure >= 1000
    with Ledger.open(path, write=True) as again:
        assert one(again, "SELECT count(*) FROM attempt") == sure
        again.write(attempts(range(sure, sure + 5000)))
        assert one(again, "PRAGMA integrity_check") == "ok"


# --- comparing two ledgers ----------------------------------------------------------------------


def filled(folder: Path, name: str, turn: int = 1, **columns: Any) -> Ledger:
    ledger = new(folder, name=name, begin=started(git=name, fingerprint={"torch": name}))
    for start in [0, 3, 6][::turn]:
        ledger.write(attempts(range(start, start + 3), **columns))
        ledger.write(transmissions([start // 3]))
        ledger.write(ImageSaved(start // 3, 0, "clean", b"png"))
    for text in ["a", "b"][::turn]:
        ledger.write(Noted("info", text, 0.0))
    ledger.write(Finished(9.0))
    return ledger


def test_ledgers_are_equal_whatever_the_order_of_writing(tmp_path: Path) -> None:
    with filled(tmp_path, "a") as a, filled(tmp_path, "b", turn=-1) as b:
        assert differences(a, b) == []


def test_every_kind_of_difference_is_found(tmp_path: Path) -> None:
    with filled(tmp_path, "a") as a:
        odd: dict[str, list[Any]] = {
            "attempt": [attempts([30])],
            "transmission": [transmissions([7])],
            "image": [ImageSaved(0, 0, "passive", b"png")],
            "event": [Noted("info", "c", 0.0, arm=1)],
            "arm": [ArmDone(0, "ok")],
            "header finished": [Finished(10.0)],
        }
        for table, events in odd.items():
            with filled(tmp_path, table.replace(" ", "")) as b:
                for event in events:
                    b.write(event)
                for found in (differences(a, b), differences(b, a)):
                    assert len(found) == 1, found
                    assert found[0].startswith(table)


def test_one_bit_is_a_difference(tmp_path: Path) -> None:
    value = 0.1 + 0.2
    with (
        filled(tmp_path, "a", score=[value] * 3) as a,
        filled(tmp_path, "b", score=[0.3, value, value]) as b,
    ):
        found = differences(a, b)
        assert len(found) == 3
        assert found[0] == f"attempt (0,): score {value!r} and 0.3"


def test_a_long_list_of_differences_is_cut(tmp_path: Path) -> None:
    with new(tmp_path, name="a") as a, new(tmp_path, name="b") as b:
        a.write(attempts(range(500)))
        assert len(differences(a, b, at_most=5)) == 6


def test_a_note_is_json_safe() -> None:
    assert json.loads(ledger_tables.dumps({"x": np.float32(0.5)})) == {"x": 0.5}
