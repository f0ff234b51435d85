"""A run has its own folder, can be stopped at any time, and resumes where it was.

The simulation is a small fake that yields the events of a real one at a chosen pace; ledger,
folders, signals and processes are real. (test_promises does this with whole scenarios.)
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from helpers.patience import PATIENCE_S

from channelsim.contracts.records import (
    ATTEMPT_COLUMNS,
    ArmDone,
    ArmRecord,
    AttemptsDone,
    Finished,
    ImageSaved,
    LogEvent,
    Noted,
    Started,
    Ticked,
    TransmissionsDone,
    metric_columns,
    quality_columns,
)
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger, differences, ledger
from channelsim.runs import run as campaign
from channelsim.runs import run_folder
from channelsim.runs.run import Run, run
from channelsim.simulation.batcher import Memo
from channelsim.support.errors import ChannelsimError, InputError, Interrupted, MachineError

COUNT, ARMS, MAX_ATTEMPTS, BLOCK = 60, 2, 2, 6
TOTAL = COUNT * ARMS


@dataclass(frozen=True)
class Story:
    """A minimal scenario for `campaign`."""

    title: str
    seed: int
    path: Path | None
    resolved: dict[str, Any]
    hash: str
    arms: tuple[()] = ()
    metrics: tuple[()] = ()
    default_blocks: bool = False

    @classmethod
    def load(
        cls,
        given: Any,
        set: Mapping[str, Any] | None = None,
        seed: int | None = None,
        data_root: Any = None,
    ) -> Story:
        title = given["title"] if isinstance(given, Mapping) else "A story"
        resolved = {"title": title, "seed": seed or 7, "path": [{"kind": "awgn", "snr_db": 30.0}]}
        for key, value in (set or {}).items():
            if key == "path[0].snr_db":
                resolved["path"][0]["snr_db"] = value  # type: ignore[index]
            else:
                resolved[key] = value
        counted = {key: value for key, value in resolved.items() if key != "max_pending"}
        digest = hashlib.sha256(json.dumps(counted).encode()).hexdigest()
        path = None if isinstance(given, Mapping) else Path(given)
        return cls(title, seed or 7, path, resolved, digest)


class Play:
    """A fake `simulate`; ``pace``: time per block, ``computed``: the rows it computed."""

    def __init__(self, pace: float = 0.0, header: Mapping[str, Any] | None = None) -> None:
        self.pace, self.more = pace, dict(header or {})
        self.computed: list[int] = []
        self.before_block: Callable[[int], None] = lambda block: None

    def __call__(
        self,
        scenario: Story,
        memo: Memo | None = None,
        stop: Callable[[], bool] | None = None,
        **_: Any,
    ) -> Iterator[LogEvent]:
        header = {
            "title": scenario.title, "seed": scenario.seed, "scenario": scenario.resolved,
            "scenario_hash": scenario.hash, "count": COUNT, "max_attempts": MAX_ATTEMPTS,
            "metrics": ["mse"], "control": False, "swept_keys": ["epsilon"],
            "receivers": ["plain"], "fingerprint": {"torch": "2.13", "device": "x86_64"},
            "versions": {"channelsim": "0.1", "python": "3.11"},
            "calibration": {"latent_mean": 0.1, "offset": float("nan")}, "parts": {},
        }  # fmt: skip
        arms = [ArmRecord(arm, "plain", {"epsilon": 0.1 * arm}) for arm in range(ARMS)]
        yield Started(RunHeader(header | self.more), arms, TOTAL)
        yield Noted("info", "once upon a time", 0.0)
        for block in range(TOTAL // BLOCK):
            self.before_block(block)
            numbers = list(range(block * BLOCK, (block + 1) * BLOCK))
            # Every third message is rejected at first and goes twice.
            keys = [t * MAX_ATTEMPTS + n for t in numbers for n in range(1 + (t % 3 == 0))]
            known = memo.known(keys) if memo else {}
            yield from self.block([key for key in keys if key not in known])
            yield TransmissionsDone(
                {
                    "transmission": numbers,
                    "sent_s": [0.1 * t for t in numbers],
                    "done_s": [0.1 * t + 0.05 for t in numbers],
                    "attempts": [1 + (t % 3 == 0) for t in numbers],
                    "delivered": ["yes"] * BLOCK,
                }
            )
            yield Ticked(0.1 * numbers[-1], numbers[-1] + 1, TOTAL)
            if stop is not None and stop():
                return
        for arm in range(ARMS):
            yield ArmDone(arm, "ok")
        yield Finished(99.0)

    def block(self, keys: list[int]) -> Iterator[LogEvent]:
        if not keys:
            return
        time.sleep(self.pace)
        self.computed += keys
        for key in keys[:2]:
            yield ImageSaved(key // MAX_ATTEMPTS, key % MAX_ATTEMPTS, "received", b"png %d" % key)
        names = [*ATTEMPT_COLUMNS, *quality_columns(["mse"]), *metric_columns(["mse"], False)]
        columns = {name: [key / (7 + place) for key in keys] for place, name in enumerate(names)}
        columns |= {
            "attempt": keys,
            "transmission": [key // MAX_ATTEMPTS for key in keys],
            "lost": [0 for _ in keys],
            "accepted": [int(key % 6 != 0) for key in keys],
            "verdict": ["ok" for _ in keys],
        }
        yield AttemptsDone(columns)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    """Run stories in an empty working directory."""
    made = Play()
    put_on(made, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return made


def put_on(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "simulate", play)
    monkeypatch.setattr(campaign, "Scenario", Story)


def assert_equal(one: Path | Run, other: Path | Run) -> None:
    folders = [given.folder if isinstance(given, Run) else given for given in (one, other)]
    with Run(folders[0]).ledger() as left, Run(folders[1]).ledger() as right:
        assert left.finished
        assert right.finished
        assert differences(left, right) == []


# --- folders ------------------------------------------------------------------------------------


def test_runs_are_numbered_and_never_overwritten(play: Play) -> None:
    folders = [run("stories/tale.yaml").folder for _ in range(3)]
    assert folders == [Path(f"runs/tale-7-{n}") for n in (1, 2, 3)]
    assert run("stories/tale.yaml", seed=8).folder == Path("runs/tale-8-1")
    # A number once assigned is not assigned again.
    for path in sorted(folders[1].iterdir()):
        path.unlink()
    folders[1].rmdir()
    assert run("stories/tale.yaml").folder == Path("runs/tale-7-4")


def test_a_scenario_from_python_is_called_by_its_title(play: Play) -> None:
    assert run({"title": "A black ../ target!"}).folder == Path("runs/a-black-..-target-7-1")
    assert run({"title": "../.."}).folder == Path("runs/scenario-7-1")


def test_a_run_folder_holds_the_ledger_and_the_resolved_scenario(play: Play) -> None:
    done = run("tale.yaml", set={"path[0].snr_db": 3.5}, out="here/there")
    assert done.folder == Path("here/there")
    text = (done.folder / "scenario.yaml").read_text()
    assert yaml.safe_load(text)["path"] == [{"kind": "awgn", "snr_db": 3.5}]
    names = {path.name for path in done.folder.iterdir()}
    ledger = {"ledger.sqlite", "ledger.sqlite.lock"}
    assert names == {*ledger, "scenario.yaml", "summary.txt", "summary.csv"}


def test_a_folder_with_a_run_is_refused_without_resume(play: Play) -> None:
    first = run("tale.yaml", out="here")
    before = (first.folder / "ledger.sqlite").read_bytes()
    with pytest.raises(InputError, match=r"--out here: exists and holds a run.*--resume"):
        run("tale.yaml", out="here")
    assert (first.folder / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_something_else_is_refused(play: Play, resume: bool) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter-1.tex").write_text("In the beginning")
    with pytest.raises(InputError, match=r"not empty \(chapter-1\.tex\) and holds no run"):
        run("tale.yaml", out="thesis", resume=resume)
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter-1.tex"]


def test_a_file_is_no_folder(play: Play) -> None:
    Path("file").write_text("")
    with pytest.raises(InputError, match="--out file: this is a file"):
        run("tale.yaml", out="file")
    with pytest.raises(InputError, match="cannot make this folder"):
        run("tale.yaml", out="file/below")


def test_a_run_that_fails_before_its_first_row_leaves_no_folder(play: Play) -> None:
    def trip(block: int) -> None:
        raise InputError("codec: encode returned NaN")

    def fails(*args: Any, **kwargs: Any) -> Iterator[LogEvent]:
        trip(0)
        yield Finished(0.0)

    campaign.simulate = fails  # type: ignore[assignment]  # the fixture puts it back
    for out in (None, "here"):
        with pytest.raises(InputError, match="encode returned NaN"):
            run("tale.yaml", out=out)
    assert not Path("here").exists()
    assert list(Path("runs").iterdir()) == []
    Path("mine").mkdir()
    with pytest.raises(InputError, match="encode returned NaN"):
        run("tale.yaml", out="mine")
    assert Path("mine").exists(), "a folder somebody made is not ours to remove"


# --- a run's results ----------------------------------------------------------------------------


def test_a_run_shows_every_event_and_records_every_row(play: Play) -> None:
    events: list[LogEvent] = []
    done = run("tale.yaml", on_event=events.append)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert done.finished
    assert not done.was_finished
    assert done.header()["seed"] == 7
    table = done.frame()
    assert table["transmission"].tolist() == list(range(TOTAL))
    assert set(table["attempts"]) == {1, 2}
    with done.ledger() as ledger:
        assert ledger.arm_verdicts == {0: "ok", 1: "ok"}
    assert len(Run.open(done.folder).frame()) == TOTAL


def test_opening_what_is_no_run_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ledger\.sqlite: there is no ledger here"):
        Run.open(tmp_path)


def test_a_new_run_asks_no_memo_and_a_resumed_one_does(play: Play) -> None:
    asked: list[Any] = []
    original = campaign.simulate

    def spy(scenario: Any, memo: Any = None, **rest: Any) -> Iterator[LogEvent]:
        asked.append(memo)
        return original(scenario, memo=memo, **rest)

    campaign.simulate = spy  # type: ignore[assignment]
    play.before_block = stop_at(4)
    with pytest.raises(Interrupted):
        run("tale.yaml", out="here")
    play.before_block = lambda block: None
    run("tale.yaml", out="here", resume=True)
    assert asked[0] is None
    assert isinstance(asked[1], Ledger)


# --- stopping and going on ----------------------------------------------------------------------


def stop_at(block: int, number: signal.Signals = signal.SIGINT, times: int = 1) -> Callable:
    def before_block(current: int) -> None:
        if current == block:
            for _ in range(times):
                signal.raise_signal(number)

    return before_block


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_the_run_at_the_next_block_with_everything_recorded(
    play: Play, number: signal.Signals
) -> None:
    play.before_block = stop_at(4, number)
    with pytest.raises(Interrupted) as interruption:
        run("tale.yaml", set={"a.b": 0.00001}, seed=3, out="my run", data_root="data")
    assert "30 of 120 transmissions are recorded" in interruption.value.message
    with Run.open("my run").ledger() as ledger:
        assert f", {ledger.computed()} attempts are computed" in interruption.value.message
        assert ledger.computed() >= 30
    assert interruption.value.exit_code == 130
    with Run.open("my run").ledger() as ledger:
        assert ledger.settled() == 30
        assert not ledger.finished
    # The sentence ends with the exact command.
    words = shlex.split(interruption.value.message.split("Go on with: ")[1])
    assert words == [
        *("channelsim", "run", "tale.yaml", "--set", "a.b=1.0e-05", "--seed", "3"),
        *("--data-root", "data", "--out", "my run", "--resume"),
    ]
    assert yaml.safe_load(words[4].partition("=")[2]) == 0.00001


def test_from_python_the_sentence_is_python(play: Play) -> None:
    play.before_block = stop_at(0)
    with pytest.raises(Interrupted, match=r"out='here', resume=True\)"):
        run({"title": "A tale"}, out="here")


def test_an_interrupted_run_goes_on_to_the_same_ledger(play: Play) -> None:
    calm = run("tale.yaml", out="calm")
    everything = play.computed
    play.computed = []
    for block in (3, 9, 15):
        play.before_block = stop_at(block)
        with pytest.raises(Interrupted):
            run("tale.yaml", out="struck", resume=True)
    play.before_block = lambda block: None
    ticks: list[int] = []

    def watch(event: LogEvent) -> None:
        if isinstance(event, Ticked):
            ticks.append(event.done)

    struck = run("tale.yaml", out="struck", resume=True, on_event=watch)
    assert_equal(calm, struck)
    assert play.computed == everything, "something was computed twice, or not at all"
    assert ticks == list(range(BLOCK, TOTAL + 1, BLOCK)), "progress must count what was there"


def test_a_second_signal_stops_at_once_and_costs_no_committed_row(play: Play) -> None:
    play.before_block = stop_at(5, times=2)
    with pytest.raises(KeyboardInterrupt):
        run("tale.yaml", out="here")
    with Run.open("here").ledger() as ledger:
        kept = ledger.settled()
    assert kept >= BLOCK, "the first block is committed at once"
    play.before_block = lambda block: None
    assert_equal(run("tale.yaml", out="here", resume=True), run("tale.yaml", out="calm"))


def test_signals_mean_afterwards_what_they_meant_before(play: Play) -> None:
    def mine(number: int, frame: Any) -> None:
        raise AssertionError

    before, interrupt = signal.signal(signal.SIGTERM, mine), signal.getsignal(signal.SIGINT)
    try:
        run("tale.yaml")
        play.before_block = stop_at(2)
        with pytest.raises(Interrupted):
            run("tale.yaml")
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_works_outside_the_main_thread(play: Play) -> None:
    done: list[Run] = []
    thread = threading.Thread(target=lambda: done.append(run("tale.yaml")))
    thread.start()
    thread.join()
    assert done[0].finished


def test_a_crash_passes_through_and_keeps_what_was_committed(play: Play) -> None:
    def crash(block: int) -> None:
        if block == 7:
            raise ZeroDivisionError("in somebody's codec")

    play.before_block = crash
    with pytest.raises(ZeroDivisionError, match="in somebody's codec"):
        run("tale.yaml", out="here")
    with Run.open("here").ledger() as ledger:
        assert ledger.settled() >= BLOCK
    play.before_block = lambda block: None
    assert_equal(run("tale.yaml", out="here", resume=True), run("tale.yaml", out="calm"))


def test_a_simulation_that_ends_without_a_reason_is_a_bug(play: Play) -> None:
    def early(scenario: Any, memo: Any = None, stop: Any = None, **_: Any) -> Iterator[LogEvent]:
        yield next(iter(play(scenario)))

    campaign.simulate = early  # type: ignore[assignment]
    with pytest.raises(MachineError, match="ended early"):
        run("tale.yaml")


# --- resuming -----------------------------------------------------------------------------------


def test_resuming_starts_where_there_is_nothing_yet(play: Play) -> None:
    Path("empty").mkdir()
    for out in ("absent", "empty", None):
        assert run("tale.yaml", out=out, resume=True).finished


def test_resuming_starts_anew_over_what_a_killed_process_left_before_its_first_row(
    play: Play,
) -> None:
    Path("here").mkdir()
    for name in ("scenario.yaml", "ledger.sqlite.lock", "ledger.sqlite.part"):
        (Path("here") / name).write_text("")
    assert len(run("tale.yaml", out="here", resume=True).frame()) == TOTAL


def test_a_finished_run_says_so_and_computes_nothing(play: Play) -> None:
    run("tale.yaml", out="here")
    before = Path("here/ledger.sqlite").read_bytes()
    play.computed = []
    events: list[LogEvent] = []
    again = run("tale.yaml", out="here", resume=True, on_event=events.append)
    assert again.was_finished
    assert play.computed == []
    assert [event.text for event in events if isinstance(event, Noted)] == [
        "here: this run is finished already"
    ]
    assert Path("here/ledger.sqlite").read_bytes() == before


def test_without_a_folder_the_newest_run_of_this_scenario_goes_on(play: Play) -> None:
    play.before_block = stop_at(3)
    for snr_db in (1.0, 2.0):
        with pytest.raises(Interrupted):
            run("tale.yaml", set={"path[0].snr_db": snr_db})
    play.before_block = lambda block: None
    assert run("tale.yaml", set={"path[0].snr_db": 1.0}, resume=True).folder.name == "tale-7-1"
    assert run("tale.yaml", set={"path[0].snr_db": 2.0}, resume=True).folder.name == "tale-7-2"
    with pytest.raises(InputError, match=r"tale-7-2: this run is of another scenario"):
        run("tale.yaml", set={"path[0].snr_db": 3.0}, resume=True)


@pytest.mark.parametrize("block", [3, None], ids=["unfinished", "finished"])
def test_a_changed_scenario_is_refused_and_the_change_is_named(
    play: Play, block: int | None
) -> None:
    if block is not None:
        play.before_block = stop_at(block)
    try:
        run("tale.yaml", out="here")
    except Interrupted:
        play.before_block = lambda block: None
    with Run.open("here").ledger() as ledger:
        before = ledger.settled()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"set": {"path[0].snr_db": 5.0}}, r"path\[0\]\.snr_db \(30\.0 → 5\.0\)\. Put that back"),
        ({"seed": 8}, r"seed \(7 → 8\)"),
        ({"set": {"extra": [1]}}, r"extra \(null → \[1\]\)"),
        ({"set": {"max_pending": 3, "title": "x"}}, r'began: title \("A story" → "x"\)\. Put'),
    ]
    for change, named in changes:
        with pytest.raises(InputError, match=named):
            run("tale.yaml", out="here", resume=True, **change)
    with Run.open("here").ledger() as ledger:
        assert ledger.settled() == before
    assert run("tale.yaml", out="here", resume=True, set={"max_pending": 3}).finished


def test_a_changed_file_is_named_where_the_scenario_itself_is_the_same(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("tale.yaml", out="here")
    load = Story.load

    def with_other_weights(*args: Any, **kwargs: Any) -> Story:
        story = load(*args, **kwargs)
        return Story(story.title, story.seed, story.path, story.resolved, "another hash")

    monkeypatch.setattr(Story, "load", with_other_weights)
    with pytest.raises(InputError, match=r"a file it refers to \(weights, image or code\)"):
        run("tale.yaml", out="here", resume=True)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"fingerprint": {"torch": "2.14", "device": "x86_64"}}, r'torch \("2\.13" → "2\.14"\)'),
        ({"versions": {"channelsim": "0.2", "python": "3.11"}}, r"versions\.channelsim"),
        (
            {"calibration": {"latent_mean": 0.2, "offset": None}},
            r"calibration\.latent_mean \(0\.1 → 0\.2\)",
        ),
    ],
    ids=["torch", "channelsim", "calibration"],
)
def test_rows_of_two_kinds_of_machine_are_not_mixed_unless_asked_for(
    play: Play, changed: dict[str, Any], named: str
) -> None:
    play.before_block = stop_at(3)
    with pytest.raises(Interrupted):
        run("tale.yaml", out="here")
    play.before_block = lambda block: None
    play.more = changed
    with pytest.raises(InputError, match=named):
        run("tale.yaml", out="here", resume=True)
    done = run("tale.yaml", out="here", resume=True, mixed=True)
    assert done.finished
    mixed = done.header()["mixed"]
    assert [set(changed) <= set(kind) for kind in mixed] == [True]
    assert all(mixed[0][key] == value for key, value in changed.items())


def test_another_python_is_no_reason_to_refuse(play: Play) -> None:
    play.before_block = stop_at(3)
    with pytest.raises(Interrupted):
        run("tale.yaml", out="here")
    play.before_block = lambda block: None
    play.more = {"versions": {"channelsim": "0.1", "python": "3.13"}}
    assert run("tale.yaml", out="here", resume=True).finished


def test_two_processes_cannot_run_into_one_folder(play: Play) -> None:
    def meanwhile(block: int) -> None:
        if block == 3:
            with pytest.raises(InputError, match="another process is writing this run"):
                Ledger.open(Path("here") / run_folder.LEDGER, write=True)

    play.before_block = meanwhile
    assert run("tale.yaml", out="here").finished


# --- the summary lies in the folder -------------------------------------------------------------


def counted(folder: Path) -> set[str]:
    """Numbers of messages in the rows of a folder's summary.csv."""
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["n"] for row in csv.DictReader(file) if row["row"] == "point"}


def test_a_run_leaves_its_summary_however_it_was_asked_for(play: Play) -> None:
    done = run("tale.yaml", out="here")
    assert "A story" in Path("here/summary.txt").read_text(encoding="utf-8")
    assert counted(done.folder) == {str(COUNT)}
    assert done.summary() is done.summary(), "it need not be computed again"
    assert str(done.summary()) == str(Run.open("here").summary())
    with Ledger.open(Path("here/ledger.sqlite"), write=True) as ledger:
        ledger.set_header({"title": "Another story"})
    assert str(done.summary()).startswith("Another story"), "what changed is read again"


def test_an_interrupted_run_leaves_the_summary_of_what_is_there(play: Play) -> None:
    play.before_block = stop_at(3)
    with pytest.raises(Interrupted):
        run("tale.yaml", out="here")
    assert "The run is unfinished" in Path("here/summary.txt").read_text(encoding="utf-8")
    assert counted(Path("here")) != {str(COUNT)}
    play.before_block = lambda block: None
    run("tale.yaml", out="here", resume=True)
    assert "unfinished" not in Path("here/summary.txt").read_text(encoding="utf-8")
    assert counted(Path("here")) == {str(COUNT)}


def test_a_finished_run_that_lost_its_summary_gets_it_back(play: Play) -> None:
    run("tale.yaml", out="here")
    for name in ("summary.txt", "summary.csv"):
        Path("here", name).unlink()
    assert run("tale.yaml", out="here", resume=True).was_finished
    assert counted(Path("here")) == {str(COUNT)}


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("a bug in a summary")])
def test_whoever_interrupts_hears_how_to_go_on_whatever_becomes_of_the_summary(
    play: Play, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(run: Run) -> NoReturn:
        raise fault

    monkeypatch.setattr(Run, "summary", fail)
    play.before_block = stop_at(3)
    with pytest.raises(Interrupted, match="--resume"):
        run("tale.yaml", out="here")


def test_a_folder_that_takes_no_summary_is_no_failed_run(play: Play) -> None:
    def occupy(block: int) -> None:
        Path("here/summary.txt").mkdir(exist_ok=True)

    play.before_block = occupy
    done = run("tale.yaml", out="here")
    assert done.finished
    assert str(done.summary()).startswith("A story")
    assert not list(Path("here").glob(".summary*"))


# --- a real child process, killed ---------------------------------------------------------------


def main(out: str, pace: float) -> None:
    """The child's program."""
    ledger.COMMIT_SECONDS = 0.02
    campaign.simulate = Play(pace)  # type: ignore[assignment]
    campaign.Scenario = Story  # type: ignore[assignment,misc]
    try:
        run("tale.yaml", out=out, resume=True)
    except ChannelsimError as error:
        sys.stderr.write(error.message)
        sys.exit(error.exit_code)


def child(out: Path, pace: float) -> subprocess.Popen[str]:
    story = f"from test_campaign import main; main({str(out)!r}, {pace})"
    paths = [str(Path(__file__).parent), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", story],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def settled(folder: Path) -> int:
    """Committed transmissions, as a reader beside the running writer sees them."""
    try:
        with Run(folder).ledger() as ledger:
            return ledger.settled()
    except InputError:
        return 0


def strike(out: Path, at: int, how: signal.Signals) -> tuple[int, int, str]:
    """Send a signal once ``at`` transmissions are committed; exit code, rows kept, error text."""
    process = child(out, pace=0.05)
    deadline = time.monotonic() + PATIENCE_S
    while settled(out) < at and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(how)
    _, complaint = process.communicate(timeout=PATIENCE_S)
    return process.returncode, settled(out), complaint


def test_killed_several_times_a_run_still_ends_with_an_equal_ledger(
    tmp_path: Path, play: Play
) -> None:
    calm = run("tale.yaml", out=tmp_path / "calm")
    struck = tmp_path / "struck"
    kept = 0
    for at in (BLOCK, 5 * BLOCK, 12 * BLOCK):
        code, now, complaint = strike(struck, at, signal.SIGKILL)
        assert code == -signal.SIGKILL, complaint
        assert max(at, kept) <= now < TOTAL, "killed between the first and the last commit"
        kept = now
    play.computed = []
    done = run("tale.yaml", out=struck, resume=True)
    assert_equal(calm, done)
    assert 0 < len({key // MAX_ATTEMPTS for key in play.computed}) <= TOTAL - kept + BLOCK


def test_a_child_that_is_asked_politely_says_how_to_go_on(tmp_path: Path, play: Play) -> None:
    out = tmp_path / "run"
    code, kept, complaint = strike(out, 2 * BLOCK, signal.SIGTERM)
    assert code == 130
    assert f"{kept} of {TOTAL} transmissions are recorded" in complaint
    assert complaint.endswith(f"channelsim run tale.yaml --out {shlex.quote(str(out))} --resume")
    assert_equal(run("tale.yaml", out=out, resume=True), run("tale.yaml", out=tmp_path / "calm"))
