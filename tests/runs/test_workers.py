"""Workers compute what one process computes, whatever becomes of them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.happenings import at_rows
from helpers.known_ledger import assert_equal_ledgers
from helpers.patience import PATIENCE_S

from channelsim.runs.run import Run, run
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation import header, worker
from channelsim.simulation.worker import Brief
from channelsim.support.errors import ChannelsimError, InputError, MachineError

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
# A sweep of arms in one group; decisions on a contended link; a receiver that shows what it
# accepted last; a codec of the user's own.
ALWAYS = {"black_target", "detector_arq", "fading_arq", "your_codec"}
SMALL: dict[str, Any] = {"source.count": 6, "block_rows": 8, "max_pending": 8}

# Blocks of eight rows, thirty jobs: enough for something to happen between two of them.
STUDY: dict[str, Any] = {
    "title": "A study for workers",
    "seed": 5,
    "source": {"kind": "dataset", "count": 120},
    "link": {"latency_s": 0.01, "symbol_rate_hz": 1000, "max_attempts": 3},
    "path": [
        {
            "kind": "pgd",
            "name": "mallory",
            "goal": {"kind": "image", "target": "black"},
            "budget": {"norm": "linf", "epsilon": 1.0},
        }
    ],
    "receivers": {
        "plain": {"codec": {"kind": "linear", "latent_size": 8}},
        "wary": {
            "codec": {"kind": "linear", "latent_size": 8},
            "detector": {"kind": "norm", "false_alarm": 0.3},
            "fallback": "last",
        },
    },
    "metrics": ["mse"],
    "block_rows": 8,
    "max_pending": 8,
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, computed by one process."""
    return run(STUDY, out=tmp_path_factory.mktemp("calm") / "run").folder


# --- the same bits ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in ALWAYS else pytest.mark.slow)
        for path in SCENARIOS
    ],
)
def test_two_workers_write_the_ledger_of_one_process(path: Path, tmp_path: Path) -> None:
    run(path, set=SMALL, out=tmp_path / "alone")
    run(path, set=SMALL, out=tmp_path / "two", workers=2)
    assert_equal_ledgers(tmp_path / "alone", tmp_path / "two")


def test_three_workers_and_other_jobs_change_no_bit(calm: Path, tmp_path: Path) -> None:
    run(STUDY, set={"max_pending": 20}, out=tmp_path / "three", workers=3)
    assert_equal_ledgers(calm, tmp_path / "three")


def test_what_workers_began_one_process_ends(calm: Path, tmp_path: Path) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(STUDY, out=tmp_path / "left", workers=2, on_event=at_rows(60, leave))
    assert not run(STUDY, out=tmp_path / "left", resume=True).was_finished
    assert_equal_ledgers(calm, tmp_path / "left")


# --- workers that die ---------------------------------------------------------------------------


def kill_a_worker() -> None:
    workers = [one for one in multiprocessing.active_children() if one.pid]
    os.kill(random.Random(len(workers)).choice(workers).pid or 0, signal.SIGKILL)


@pytest.mark.parametrize("rows", [1, 100, 250])
def test_a_worker_that_dies_costs_nothing_but_time(rows: int, calm: Path, tmp_path: Path) -> None:
    run(STUDY, out=tmp_path / "struck", workers=2, on_event=at_rows(rows, kill_a_worker))
    assert_equal_ledgers(calm, tmp_path / "struck")
    assert not multiprocessing.active_children()


OWN = """
import multiprocessing
import os
import time
from typing import ClassVar

from channelsim import Metric, part


@part
class Own(Metric):
    kind: ClassVar[str] = "own"
    higher_is_better: ClassVar[bool] = False

    def measure(self, images, references):
        if {where}:
            {act}
        return (images - references).abs().flatten(1).amax(1)
"""
IN_A_WORKER = "multiprocessing.parent_process() is not None"


def with_metric(folder: Path, act: str) -> dict[str, Any]:
    file = folder / "mine.py"
    file.write_text(OWN.format(where=IN_A_WORKER, act=act))
    return {**STUDY, "metrics": ["mse", {"use": f"{file}:Own"}]}


def test_rows_that_kill_three_workers_end_the_run_and_are_named(tmp_path: Path) -> None:
    study = with_metric(tmp_path, "os._exit(9)")
    with pytest.raises(MachineError, match=r"3 workers died computing 8 attempts, from message 0"):
        run(study, out=tmp_path / "run", workers=1)
    assert not multiprocessing.active_children()
    again = run(study, out=tmp_path / "run", resume=True)
    assert again.finished


def test_a_parts_own_error_is_told_as_by_one_process_and_not_tried_again(tmp_path: Path) -> None:
    study = with_metric(tmp_path, f"open({str(tmp_path / 'log')!r}, 'a').write('x'); 1 / 0")
    with pytest.raises(
        InputError, match=r"own: measure raised ZeroDivisionError.*line \d+ of mine\.py"
    ):
        run(study, out=tmp_path / "run", workers=1)
    assert (tmp_path / "log").read_text() == "x"


# --- what workers cannot be given -----------------------------------------------------------------


def test_a_part_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    made = "\n    def __post_init__(self):\n        self.__dict__['two'] = lambda one: 2 * one\n"
    file.write_text(OWN.format(where="False", act="pass") + made)
    study = {**STUDY, "metrics": ["mse", {"use": f"{file}:Own"}]}
    with pytest.raises(InputError, match="metric own cannot be sent to another process"):
        run(study, out=tmp_path / "run", workers=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [-1, 100_000])
def test_a_number_of_workers_that_cannot_be_is_refused(workers: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"workers: .* is not between 0 and"):
        run(STUDY, out=tmp_path / "run", workers=workers)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def brief() -> Brief:
    scenario = Scenario.load(STUDY)
    paths = calibrate(scenario)
    return Brief.of(scenario, header.header(scenario, paths.report), paths)


def test_a_worker_with_other_versions_is_refused_unless_that_was_agreed_to(brief: Brief) -> None:
    other = dataclasses.replace(brief, versions={**brief.versions, "torch": "1.0"})
    with pytest.raises(InputError, match=r"torch: .*, not 1\.0.*--mixed"):
        worker.prepare(other)
    worker.prepare(dataclasses.replace(other, mixed=True))


def test_a_worker_refuses_a_file_that_changed_since_the_run_began(
    brief: Brief, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("x = 1")
    with pytest.raises(InputError, match=r"mine\.py is not the file any more"):
        worker.prepare(dataclasses.replace(brief, files={str(file): "0" * 64}))


def test_a_class_of_a_script_is_refused_with_its_remedy(brief: Brief) -> None:
    script = b"cscript_that_is_not_here\nPart\n."  # a pickle's reference to a class
    with pytest.raises(InputError, match="name it with use:, or run without --workers"):
        worker.prepare(dataclasses.replace(brief, paths=script))


def test_a_brief_travels(brief: Brief) -> None:
    assert pickle.loads(pickle.dumps(brief)) == brief


CODEC = """
from torch.nn import functional
import nets

class Mine(nets.Net):
    def encode(self, images):
        return self.gain * functional.avg_pool2d(images, 8).flatten(1)

    def decode(self, latent):
        return functional.interpolate(latent.reshape(-1, 1, 4, 4) / self.gain, scale_factor=8)
"""
NET = """
from torch import nn

class Half(nn.Module):
    def forward(self, x):
        return x * {factor}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scaled = Half()

    @property
    def gain(self):
        return 1.0 + self.scaled(1.0)
"""


def test_two_folders_may_each_have_a_module_of_one_name(tmp_path: Path) -> None:
    for name, factor in (("z", 0.5), ("b", 3.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(CODEC)
        (tmp_path / name / "nets.py").write_text(NET.format(factor=factor))
    receivers = {
        name: {"codec": {"use": f"{tmp_path / name / 'mine.py'}:Mine"}} for name in ("z", "b")
    }
    path = [{"kind": "awgn", "snr_db": 10.0}]
    study = {**STUDY, "receivers": receivers, "path": path, "power": "average"}
    study["source"] = {"kind": "dataset", "count": 16}
    run(study, out=tmp_path / "alone")
    run(study, out=tmp_path / "one", workers=1)
    assert_equal_ledgers(tmp_path / "alone", tmp_path / "one")
    column = Run(tmp_path / "one").frame()["snr_measured_db"]
    assert column.notna().all()


# --- real processes -----------------------------------------------------------------------------

SCRIPT = """
import channelsim  # a script without the guard that multiprocessing asks for
channelsim.run({study!r}, out={out!r}, workers=2)
"""


def started(script: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children_of(parent: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def recorded(folder: Path) -> int:
    try:
        with Run(folder).ledger() as ledger:
            return ledger.computed()
    except ChannelsimError:
        return 0


LONG = {**STUDY, "source": {"kind": "dataset", "count": 4000, "repeat": True}}


@pytest.fixture
def running(tmp_path: Path) -> subprocess.Popen[str]:
    """A script with two workers that has recorded something, in a session of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(study=LONG, out=str(tmp_path / "run")))
    process = started(script)
    until(lambda: recorded(tmp_path / "run") > 0 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def test_workers_end_with_their_parent_however_it_dies(running: subprocess.Popen[str]) -> None:
    workers = children_of(running.pid)
    assert len(workers) >= 2
    running.kill()
    running.communicate(timeout=PATIENCE_S)
    until(lambda: not any(map(alive, workers)))


def test_ctrl_c_is_the_parents_alone(running: subprocess.Popen[str], tmp_path: Path) -> None:
    workers = children_of(running.pid)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    _, complaint = running.communicate(timeout=PATIENCE_S)
    assert "Interrupted; " in complaint
    assert "workers=2)" in complaint.splitlines()[-1]
    assert complaint.count("Traceback") == 1, "the script's own"
    until(lambda: not any(map(alive, workers)))
    assert recorded(tmp_path / "run") > 0


@pytest.mark.parametrize(
    ("kills", "messages"), [(10, 150), pytest.param(50, 900, marks=pytest.mark.slow)]
)
def test_whoever_is_killed_and_how_often_the_ledger_ends_the_same(
    kills: int, messages: int, tmp_path: Path
) -> None:
    slow = {**with_metric(tmp_path, "time.sleep(0.05)")}  # in workers alone
    slow["source"] = {"kind": "dataset", "count": messages}
    run(slow, out=tmp_path / "calm")
    script, out = tmp_path / "script.py", tmp_path / "struck"
    story = SCRIPT.format(study=slow, out=str(out)).replace("workers=2", "workers=2, resume=True")
    script.write_text(story)
    chosen = random.Random(kills)
    process, struck = started(script), 0
    while process.poll() is None and struck < kills:
        before = recorded(out)
        until(lambda: recorded(out) > before or process.poll() is not None)  # noqa: B023
        workers = sorted(children_of(process.pid))
        victim = process.pid if struck % 5 == 2 or not workers else chosen.choice(workers)
        os.kill(victim, signal.SIGKILL)
        struck += 1
        if victim == process.pid:
            process.communicate()
            assert recorded(out) >= before, "a committed row was lost"
            process = started(script)
    _, complaint = process.communicate(timeout=PATIENCE_S)
    if process.returncode:  # the last victim was the parent, or it was over early
        raise AssertionError(complaint)
    assert struck == kills, "the run was over before it could be struck as often: make it longer"
    assert_equal_ledgers(tmp_path / "calm", out)
