"""The live view shows the ledger's content, in any order of rows, and never touches the run."""

from __future__ import annotations

import io
import math
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, add_attempts, created, sweep
from helpers.live_runs import (
    ARMS,
    COUNT,
    METRIC_NAMES,
    all_keys,
    known,
    new,
    png_of,
    rows_of,
    settled_of,
    whole,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from channelsim.analysis.caveats import warnings
from channelsim.analysis.summary import summarise
from channelsim.contracts.records import (
    ArmRecord,
    AttemptsDone,
    Finished,
    ImageSaved,
    ImagesDropped,
    Noted,
    TransmissionsDone,
)
from channelsim.display.live import overview, text_tables
from channelsim.display.live.detail import detail_lines
from channelsim.display.live.figures import Figures
from channelsim.display.live.following import Following
from channelsim.display.live.frames import Frames, arranged
from channelsim.display.live.model import (
    FINISHED,
    INTERRUPTED,
    NEWEST,
    RUNNING,
    Model,
)
from channelsim.display.live.plain_lines import watch_plainly
from channelsim.display.live.playback import Playback
from channelsim.display.live.plot import Series, plot
from channelsim.display.live.reader import WORDS, Reader
from channelsim.display.live.remembered import Details, Recomputed
from channelsim.display.live.story import latent_lines
from channelsim.display.live.style import Theme, columns, fit
from channelsim.display.live.text_images import Picture, drawn, strip
from channelsim.display.live.time_bins import BINS, TimeBins
from channelsim.display.live.top import Top
from channelsim.ledger import Ledger, differences
from channelsim.ledger.examination import examined
from channelsim.ledger.sql import packed, unpacked
from channelsim.support.errors import InputError, MachineError


def read_all(path: Path) -> Figures:
    reader = Reader(path)
    figures, feed = Figures(reader.info), Following(reader)
    while feed.read(figures, 0.01):
        pass
    return figures


def state_of(figures: Figures) -> list[np.ndarray]:
    """The whole state of figures, in a canonical order."""
    everything = np.ones(len(figures.info.arms), dtype=bool)
    groups = figures.groups(everything, None)
    found = [figures._sums, figures._squares, figures._counts, figures.settled_of, figures.fates]
    found += [figures.words, figures.first, figures._psr, figures._noise]
    found += [figures.tally[name] for name in sorted(figures.tally)]
    found += [figures.worst.best(groups, 1000), figures.newest.best(groups, 1000)]
    timeline = figures.timeline
    found += [timeline.sums, timeline.counts, timeline.attempts, timeline.attacked]
    return [*found, np.array([figures.clock_s, figures.last_message, timeline.width_s])]


def assert_same(one: Figures, other: Figures) -> None:
    for a, b in zip(state_of(one), state_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# --- reading ------------------------------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_along_ends_in_the_same_figures_as_reading_all_of_it(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Rows in any order, transmissions before or after their attempts, some listed twice."""
    folder = tmp_path / str(time.monotonic_ns())
    order = data.draw(st.permutations(list(all_keys())))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=6)))
    parts = [np.array(part) for part in np.split(np.array(order), cuts)]
    settling = data.draw(st.permutations(range(COUNT * len(ARMS))))
    halves = np.array_split(np.array(settling), len(parts))
    attach = data.draw(st.integers(0, len(parts)))
    feed, figures = None, None
    with new(folder) as ledger:
        for place, (part, half) in enumerate(zip(parts, halves, strict=True)):
            if place == attach:
                ledger.commit()
                reader = Reader(folder / "ledger.sqlite")
                figures, feed = Figures(reader.info), Following(reader)
            events = [AttemptsDone(rows_of(part)), TransmissionsDone(settled_of(half))]
            for event in reversed(events) if data.draw(st.booleans()) else events:
                ledger.write(event)
            if data.draw(st.booleans()):  # as a resumed run does
                ledger.write(TransmissionsDone(settled_of(half)))
            ledger.commit()
            if feed is not None and figures is not None and data.draw(st.booleans()):
                feed.step(figures)
        ledger.commit()
        if feed is not None and figures is not None:
            while feed.read(figures, 0.01):
                pass
    fresh = read_all(folder / "ledger.sqlite")
    assert fresh.settled == COUNT * len(ARMS)
    if figures is not None:
        assert_same(figures, fresh)
    shutil.rmtree(folder)


PARTS = 6
_WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import numpy as np
import helpers.live_runs as t
from channelsim.contracts.records import AttemptsDone, TransmissionsDone, Finished
keys = np.random.default_rng(3).permutation(t.all_keys())
folder = Path({folder!r})
with t.new(folder / "run") as ledger:
    for number, part in enumerate(np.array_split(keys, {parts})):
        ledger.write(AttemptsDone(t.rows_of(part)))
        ledger.commit()
        while not (folder / f"seen-{{number}}").exists():
            time.sleep(0.002)
    ledger.write(TransmissionsDone(t.settled_of(np.arange(t.COUNT * len(t.ARMS)))))
    ledger.write(Finished(2.0))
"""


def test_another_process_is_followed_and_leaves_one_plain_file(tmp_path: Path) -> None:
    """The view holds no connection: the writer can still turn its ledger into one file."""
    code = _WRITER.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path), parts=PARTS)
    writer = subprocess.Popen([sys.executable, "-c", code])
    path = tmp_path / "run" / "ledger.sqlite"
    while not path.exists():
        assert writer.poll() is None
        time.sleep(0.01)
    model = Model(Reader(path))
    sizes = np.cumsum([len(part) for part in np.array_split(all_keys(), PARTS)])
    for number, size in enumerate(sizes):
        while model.figures.tally["attempts"].sum() < size:
            assert writer.poll() is None
            model.tick(0.01)
        assert model.figures.tally["attempts"].sum() == size
        assert model.state == RUNNING
        (tmp_path / f"seen-{number}").touch()
    while writer.poll() is None:
        model.tick(0.01)
        time.sleep(0.002)
    model.tick(1.0)
    assert writer.returncode == 0
    assert model.state == FINISHED
    assert_same(model.figures, read_all(path))
    assert sorted(p.name for p in path.parent.iterdir()) == ["ledger.sqlite", "ledger.sqlite.lock"]


def test_blocks_tell_of_schedule_and_are_not_compared(tmp_path: Path) -> None:
    first, second = whole(tmp_path / "a"), tmp_path / "b" / "ledger.sqlite"
    with new(tmp_path / "b") as ledger:
        for part in np.array_split(all_keys()[::-1], 9):
            ledger.write(AttemptsDone(rows_of(np.array(part))))
        ledger.write(TransmissionsDone(settled_of(np.arange(COUNT * len(ARMS)))))
        ledger.write(Finished(2.0))
    with Ledger.open(first) as one, Ledger.open(second) as other:
        assert next(one.rows("SELECT count(*) FROM block")) == (2,)
        assert next(other.rows("SELECT count(*) FROM block")) == (10,)
        assert differences(one, other) == []


def test_keys_come_out_of_a_block_as_they_went_in() -> None:
    keys = [0, 3, 2**52, 7, -1]
    assert unpacked(packed(keys)).tolist() == keys
    assert len(packed(range(256))) < 8 * 256 / 3, "deflating pays"


def test_rows_that_are_there_already_make_no_block(tmp_path: Path) -> None:
    path = whole(tmp_path, finish=False)
    with Ledger.open(path, write=True) as ledger:
        ledger.write(TransmissionsDone(settled_of(np.arange(5))))
        assert next(ledger.rows("SELECT count(*) FROM block")) == (2,)


def test_the_lock_tells_who_is_running_and_the_question_does_not_disturb(tmp_path: Path) -> None:
    path = whole(tmp_path, finish=False)
    model = Model(Reader(path))
    model.tick(1.0)
    assert model.state == INTERRUPTED
    with Ledger.open(path, write=True):
        assert model.reader.writing()
    assert not model.reader.writing()
    with Ledger.open(path, write=True) as ledger:
        ledger.write(Finished(2.0))
    model.tick(1.0)
    assert model.state == FINISHED
    assert model.sim_s == 2.0


def test_an_interrupted_run_that_goes_on_is_running_again(tmp_path: Path) -> None:
    """Also where its rows come so fast that the view never detects silence."""
    now = [0.0]
    with created(tmp_path, sweep(["r"], [1.0]), 100, ["mse"]) as ledger:
        add_arm(ledger, 0, range(10))
    model = Model(Reader(tmp_path / "ledger.sqlite"), clock=lambda: now[0])
    model.tick(1.0)
    assert model.state == INTERRUPTED
    with Ledger.open(tmp_path / "ledger.sqlite", write=True) as ledger:
        for start in range(10, 60, 10):
            now[0] += 1.0
            add_arm(ledger, 0, range(start, start + 10))
            ledger.commit()
            model.tick(1.0)
        assert model.state == RUNNING
    assert model.figures.settled == 60


def test_what_is_no_run_any_more_is_said_in_one_sentence(tmp_path: Path) -> None:
    path = whole(tmp_path / "run")
    reader = Reader(path)
    other = whole(tmp_path / "other")
    with Ledger.open(other, write=True) as ledger:
        ledger.set_header({"created_at": "2001-01-01T00:00:00+00:00"})
    shutil.copy(other, path)
    with (
        pytest.raises(InputError, match="another run has taken the place"),
        reader.snapshot() as snapshot,
    ):
        snapshot.finished()
    path.unlink()
    with pytest.raises(InputError, match=r"the ledger is gone; was the run's folder deleted"):
        Model(reader)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "ledger.sqlite").write_text("not a database, but long enough" * 100)
    with pytest.raises(InputError, match="not a channelsim ledger"):
        Reader(tmp_path / "text" / "ledger.sqlite")


def test_a_view_of_a_run_does_not_load_torch(tmp_path: Path) -> None:
    path = whole(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from channelsim.display.live import viewer, screenshot, plain_lines\n"
        "from channelsim.display.live.model import Model\n"
        "from channelsim.display.live.reader import Reader\n"
        f"model = Model(Reader(Path({str(path)!r}))); model.tick(1.0)\n"
        "assert model.figures.settled == 72\n"
        "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- figures ------------------------------------------------------------------------------------


def test_means_are_those_of_the_summary(tmp_path: Path) -> None:
    path = whole(tmp_path)
    figures = read_all(path)
    with Ledger.open(path) as ledger:
        summary = summarise(ledger)
    for metric in METRIC_NAMES:
        found = figures.estimates(f"{metric}_source")
        quality = figures.estimates(f"quality_{metric}")
        for point in summary.points:
            reading = point.metrics[metric]
            assert reading.source is not None
            assert reading.quality is not None
            assert found.value[point.arm] == pytest.approx(reading.source.value, rel=1e-9)
            assert quality.value[point.arm] == pytest.approx(reading.quality.value, rel=1e-9)
    expected = [math.nan if p.psr_db is None else p.psr_db for p in summary.points]
    np.testing.assert_allclose(figures.psr_db(), expected)
    np.testing.assert_allclose(figures.snr_db(), [p.snr_measured_db for p in summary.points])
    np.testing.assert_array_equal(
        figures.tally["rejected"] / (figures.tally["attempts"] - figures.tally["lost"]),
        [p.attempts_rejected_share for p in summary.points],
    )


def test_intervals_are_students_over_messages(tmp_path: Path) -> None:
    from scipy import stats

    values = np.array([0.1, 0.2, 0.4, 0.3, 0.25])
    with created(tmp_path, sweep(["r"], [1.0]), 5) as ledger:
        add_arm(ledger, 0, mse_source=values)
    found = read_all(tmp_path / "ledger.sqlite").estimates("mse_source")
    mean, error = values.mean(), stats.sem(values)
    expected = stats.t.interval(0.95, 4, mean, error)
    assert (found.low[0], found.high[0]) == pytest.approx(expected)
    assert found.value[0] == pytest.approx(mean)


def test_psnr_is_averaged_as_mse_and_one_message_has_no_interval(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["r", "q"], [1.0]), 2, ["psnr"]) as ledger:
        add_arm(ledger, 0, psnr_source=np.array([10.0, 20.0]))
        add_arm(ledger, 1, messages=[0], psnr_source=12.0)
    found = read_all(tmp_path / "ledger.sqlite").estimates("psnr_source")
    assert found.value == pytest.approx([-10 * math.log10((0.1 + 0.01) / 2), 12.0])
    assert np.isnan([found.low[1], found.high[1]]).all()


def test_the_worst_are_the_worst_of_every_arm_and_verdict_and_ties_go_to_the_lower_number() -> None:
    top = Top(3, keep=2)
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.arange(60.0), rng.integers(0, 5, 60) / 4.0, rng.random(60)])
    group = np.arange(60) % 3
    for part in np.array_split(rng.permutation(60), 7):
        top.add(rows[part], group[part])
    for one in range(3):
        own = rows[group == one]
        expected = own[np.lexsort((own[:, 0], -own[:, 1]))][:2]
        np.testing.assert_array_equal(top.best(np.arange(3) == one, 9), expected)
    everything = top.best(np.ones(3, dtype=bool), 3)
    assert everything[0, 1] == rows[:, 1].max()
    assert len(everything) == 3


def test_a_timeline_loses_nothing_when_its_bins_widen() -> None:
    timeline = TimeBins(arms=2, metrics=1)
    arm, when = np.arange(4000) % 2, np.linspace(0, 12.5, 4000)
    for part in np.array_split(np.arange(4000), 9):
        timeline.add_attempts(arm[part], when[part], when[part] > 10.0)
        timeline.add_fidelity(arm[part], when[part], (when[part] > 5.0)[:, None].astype(float))
    assert timeline.width_s * BINS > 12.5 >= timeline.width_s * BINS / 2
    assert timeline.attempts.sum() == timeline.counts.sum() == 4000
    assert timeline.attacked.sum() == (when > 10).sum()
    mean, share = timeline.shown(0, np.array([True, True]), 25)
    places = np.linspace(0, 12.5, 26)[:-1]
    assert (mean[places < 4.4] == 0).all()
    assert (mean[places > 5.1] == 1).all()
    assert (share[places < 9.4] == 0).all()
    assert (share[places > 10.1] == 1).all()


# --- playback -----------------------------------------------------------------------------------


def test_a_playback_shows_what_had_happened_by_its_clock_and_ends_with_everything(
    tmp_path: Path,
) -> None:
    path = whole(tmp_path)
    reader = Reader(path)
    figures, play = Figures(reader.info), Playback(reader, 2.0)
    done_s = np.array(settled_of(np.arange(COUNT * len(ARMS)))["done_s"])
    arrived_s = np.array(rows_of(all_keys())["arrived_s"])
    for moment in (0.0, 0.11, 0.52, 0.9, 1.31):
        play.advance(moment - play.clock_s)
        play.read(figures, 10.0)
        assert figures.settled == (done_s <= moment + 1e-12).sum()
        assert figures.tally["attempts"].sum() == (arrived_s <= moment + 1e-12).sum()
    play.advance(10.0)
    play.read(figures, 10.0)
    assert play.over
    assert_same(figures, read_all(path))


def test_steps_go_from_one_end_to_the_next(tmp_path: Path) -> None:
    model = Model(Reader(whole(tmp_path)))
    model.tick(1.0)
    assert model.play()
    times = np.unique(settled_of(np.arange(COUNT * len(ARMS)))["done_s"])
    for moment in times:
        model.step()
        assert model.sim_s == pytest.approx(moment)
    assert model.playback is not None
    assert model.playback.over
    assert model.figures.settled == COUNT * len(ARMS)


def test_speed_is_simulated_over_wall_time(tmp_path: Path) -> None:
    wall = [0.0]
    model = Model(Reader(whole(tmp_path)), clock=lambda: wall[0])
    model.tick(1.0)
    model.play()
    model.speed = 0.25
    model.faster(1)
    wall[0] += 2.0
    model.tick(1.0)
    assert model.sim_s == pytest.approx(1.0)
    model.paused = True
    wall[0] += 2.0
    model.tick(1.0)
    assert model.sim_s == pytest.approx(1.0)


def test_the_rate_is_that_of_blocks_and_not_of_catching_up(tmp_path: Path) -> None:
    """A block of 20 every 10 s makes 2 a second, whenever the view was opened."""
    now = [0.0]
    with created(tmp_path, sweep(["r"], [1.0]), 400, ["mse"]) as ledger:
        add_arm(ledger, 0, range(200))
        ledger.commit()
        model = Model(Reader(tmp_path / "ledger.sqlite"), clock=lambda: now[0])
        told = []
        for block in range(8):
            while model.tick(1.0):
                pass
            told.append(model.rate)
            add_arm(ledger, 0, range(200 + 20 * block, 220 + 20 * block))
            ledger.commit()
            now[0] += 1.0 if block == 0 else 10.0
        assert told[:3] == [None, None, None]
        assert told[3:] == pytest.approx([2.0] * 5)


def test_a_run_that_is_being_written_is_not_played(tmp_path: Path) -> None:
    path = whole(tmp_path, finish=False)
    with Ledger.open(path, write=True):
        model = Model(Reader(path))
        model.tick(1.0)
        assert not model.play()


# --- warnings -----------------------------------------------------------------------------------


def warned(path: Path) -> list[str]:
    model = Model(Reader(path))
    while model.tick(1.0):
        pass
    return [warning.text for warning in model.warned]


def test_an_attack_that_noise_beats_is_warned_of_and_only_that(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["r", "s"], [0.5, 1.0]), 40) as ledger:
        add_arm(ledger, 0, mse_passive=0.2, control_mse_passive=0.1)
        add_arm(ledger, 1, mse_passive=0.1, control_mse_passive=0.2)
        add_arm(ledger, 2, mse_passive=0.2, control_mse_passive=0.1)
        add_arm(ledger, 3, messages=range(20), mse_passive=0.1, control_mse_passive=0.2)
    found = warned(tmp_path / "ledger.sqlite")
    assert found == ["r at ε 1: beaten by noise so far; matched noise did as much damage"]


def test_a_gain_that_may_be_chance_is_warned_of_by_the_paired_difference(tmp_path: Path) -> None:
    # The same scatter of ± 0.1 about a lead of 0.02 and of 0.04: half an interval is 0.032 of 40.
    scatter = 0.1 * (-1.0) ** np.arange(40)
    with created(tmp_path, sweep(["r"], [0.5, 1.0]), 40) as ledger:
        for arm, lead in enumerate((0.02, 0.04)):
            noise = np.linspace(0.1, 5.0, 40)  # the common part cancels
            attack = noise + lead + scatter
            add_arm(ledger, arm, mse_passive=attack, control_mse_passive=noise)
    found = warned(tmp_path / "ledger.sqlite")
    assert found == ["r at ε 0.5: what the attack gains over noise may be chance so far"]


def test_zero_gradients_are_counted_among_the_attacks(tmp_path: Path) -> None:
    words = np.where(np.arange(40) < 10, "zero_gradient", "ok")
    with created(tmp_path, sweep(["r"], [1.0]), 40) as ledger:
        add_arm(ledger, 0, verdict=words, mse_passive=0.3, control_mse_passive=0.1)
    assert warned(tmp_path / "ledger.sqlite") == [
        "r at ε 1: zero_gradient in 25.0 % of the attacks: the first gradient was zero"
    ]


@pytest.mark.parametrize(("alarms", "warns"), [(10, False), (30, True)])
def test_a_detector_may_miss_its_false_alarm_rate_by_chance_only(
    tmp_path: Path, alarms: int, warns: bool
) -> None:
    """200 benign attempts at a stated 5 %: 10 alarms are expected, 30 are significant."""
    receivers = {"r": {"detector": {"kind": "norm", "false_alarm": 0.05}}}
    scenario = {"path": [], "receivers": receivers}
    with created(tmp_path, sweep(["r"], [0.0]), 200, scenario=scenario) as ledger:
        add_arm(
            ledger, 0, delta_l2=0.0, verdict="off", accepted=(np.arange(200) >= alarms).astype(int)
        )
    found = warned(tmp_path / "ledger.sqlite")
    assert bool(found) is warns
    if warns:
        assert found == [
            "r at ε 0: the detector rejects 15.0 % of 200 attempts with nothing injected;"
            " 5 % is stated"
        ]


@pytest.mark.parametrize(
    ("metric", "blank", "good", "bad"),
    [("mse", 0.07, 0.02, 0.11), ("ssim", 0.4, 0.8, 0.1), ("psnr", 12.0, 20.0, 9.0)],
)
def test_a_receiver_worse_than_the_mean_image_is_warned_of_as_in_the_summary(
    tmp_path: Path, metric: str, blank: float, good: float, bad: float
) -> None:
    score = {"calibration": {"constant_image": {metric: blank, "lpips": 0.5}}}
    arms = sweep(["r", "s"], [0.0, 0.5, 1.0])
    values = (good, bad, bad, good, good, blank)
    with created(tmp_path, arms, 12, [metric], **score) as ledger:
        for arm, value in enumerate(values):
            add_arm(ledger, arm, **{f"{metric}_source": value})
        told = [text for text in warnings(summarise(ledger)) if "mean image" in text]
    found = [text for text in warned(tmp_path / "ledger.sqlite") if "mean image" in text]
    said = f"always showing the data set's mean image ({metric} {blank:.4g})"
    assert found == [f"r at ε 0.5, 1: worse for the user so far than {said}"]
    assert told == [f"r at ε = 0.5, 1: worse for the user than {said}."]
    lines = io.StringIO()
    watch_plainly(Model(Reader(tmp_path / "ledger.sqlite")), Console(file=lines, width=200))
    assert f"warning: {found[0]}" in lines.getvalue()
    frames = Frames(Theme())
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    model.tick(1.0)
    frames.show(model)
    assert found[0] in " ".join(line.plain for line in frames.warnings(160, 12))


def test_while_it_runs_that_is_said_only_of_what_the_interval_bears_out(tmp_path: Path) -> None:
    score = {"calibration": {"constant_image": {"mse": 0.07}}}
    wave = 0.05 * (-1.0) ** np.arange(40)
    with created(tmp_path, sweep(["few", "sure", "unsure"], [1.0]), 100, **score) as ledger:
        add_arm(ledger, 0, messages=range(20), mse_source=0.2)
        add_arm(ledger, 1, messages=range(40), mse_source=0.2 + wave)
        add_arm(ledger, 2, messages=range(40), mse_source=0.071 + wave)
    found = [text for text in warned(tmp_path / "ledger.sqlite") if "mean image" in text]
    assert [text.partition(" ")[0] for text in found] == ["sure"]


@pytest.mark.parametrize("kept", [None, {}, {"constant_image": {"mse": "x"}}])
def test_a_header_without_the_mean_image_warns_of_nothing(tmp_path: Path, kept: Any) -> None:
    with created(tmp_path, sweep(["r"], [1.0]), 40, calibration=kept) as ledger:
        add_arm(ledger, 0, mse_source=9.0)
    assert not [text for text in warned(tmp_path / "ledger.sqlite") if "mean image" in text]


@pytest.mark.parametrize("kept", [[], "text", {"constant_image": 3}])
def test_a_header_of_another_kind_is_damage(tmp_path: Path, kept: Any) -> None:
    with created(tmp_path, sweep(["r"], [1.0]), 40, calibration=kept) as ledger:
        add_arm(ledger, 0, mse_source=9.0)
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(MachineError, match="the ledger is damaged"), examined(path):
        warned(path)


# --- frames -------------------------------------------------------------------------------------

SIZES = [(80, 24), (160, 50), (60, 60), (121, 37), (40, 12), (200, 20)]


def plain(lines: list[Text]) -> str:
    return "\n".join(line.plain.rstrip() for line in lines)


def test_the_frame_of_a_known_run(tmp_path: Path) -> None:
    model = known(tmp_path)
    assert plain(overview.path_lines(model, 110, 5, Theme())) == (
        "○ source ─▶ ○ encoder ─▶ ○ link        ─▶ ○ ⚔ mallory       ─▶ ○ awgn    ┬▶ ○ plain"
        "     150\n"
        "digits      K = 10       20 ms, 20 kHz    pgd linf ε 0 to 1    snr_db 20 └▶ ○ hardened"
        "  150\n"
        "50 of 50    300 sent     0 lost           200 hit              SNR 20 dB"
    )
    assert plain(overview.path_lines(model, 60, 9, Theme())) == (
        "  ○ source     50 of 50   digits\n"
        "↓ ○ encoder    300 sent   K = 10\n"
        "↓ ○ link       0 lost     20 ms, 20 kHz\n"
        "↓ ○ ⚔ mallory  200 hit    pgd linf ε 0 to 1\n"
        "↓ ○ awgn       SNR 20 dB  snr_db 20\n"
        "├▶○ plain      150\n"
        "└▶○ hardened   150"
    )
    table = text_tables.arms_table(model, 78, Theme())
    assert plain([table.head, *table.rows]) == (
        " receiver    ε   n             mse             ssim   psr [dB]  verdict\n"
        " plain       0  50  0.0100 ±0.0002   0.9000 ±0.0002          –  off\n"
        " plain     0.5  50  0.0200 ±0.0002   0.8000 ±0.0002       -6.0  ok\n"
        " plain       1  50  0.0500 ±0.0002◀  0.6000 ±0.0002◀      -6.0  ok\n"
        " hardened    0  50  0.0100 ±0.0002   0.8800 ±0.0002          –  off\n"
        " hardened  0.5  50  0.0150 ±0.0002   0.8500 ±0.0002       -6.0  ok\n"
        " hardened    1  50  0.0300 ±0.0002   0.7000 ±0.0002       -6.0  ok"
    )
    worst = text_tables.transmissions_table(model, 48, Theme())
    assert plain([worst.head, *worst.rows[:2]]) == (
        "number  receiver    ε    mse   ssim  verdict\n"
        "   149  plain       1  0.051  0.601  ok\n"
        "   148  plain       1  0.051  0.601  ok"
    )


def test_a_metric_of_ones_own_in_decibels_has_the_digits_of_psnr(tmp_path: Path) -> None:
    metrics, form = ["psnr", "loudness"], {"higher_is_better": True, "averaged_as": "decibels lost"}
    scales = {"loudness": form | {"perfect": None, "limit": None, "factor": 1.0}}
    with created(tmp_path, sweep(["r"], [0.5]), 3, metrics, scales=scales) as ledger:
        add_arm(ledger, 0, psnr_source=12.3456, loudness_source=23.4567)
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    model.select_first()
    worst = plain(text_tables.transmissions_table(model, 90, Theme()).rows)
    detail = plain(detail_lines(model, Details(model), 76, 30, Theme()))
    for shown, digits in ((worst, 1), (detail, 2)):
        for value in (12.3456, 23.4567):
            assert re.search(rf" {value:.{digits}f}\b", shown)


def test_why_it_was_the_worst_can_be_read_at_a_glance(tmp_path: Path) -> None:
    model = known(tmp_path)
    model.select_first()
    assert model.selected == 149
    text = plain(detail_lines(model, Details(model), 76, 30, Theme()))
    assert text.startswith(
        "ok · delivered after 1 try · sent 0.490 s, took 50 ms\n"
        "mse 0.051, 1.0× the mean here (0.05)\n"
        "  codec alone          0.010 ████▊\n"
        "  channel and attack   0.050 ███████████████████████▌\n"
        "  adversary alone      0.050 ███████████████████████▌\n"
        "  same noise instead   0.025 ███████████▊\n"
        "mallory: max |δ| 1 of 1 ██████ 100 %\n"
        "PSR -6.0 dB · at the receiver -10.0 dB · SNR measured 20.0 dB\n"
        "change in the latent: press i to recompute\n"
        "press i to recompute its images (no thumbnail in the ledger)"
    )


def test_nobody_is_blamed_for_what_an_adversary_did_not_do(tmp_path: Path) -> None:
    """Without an attack the damage is the channel's; undelivered messages show a fallback."""
    with created(tmp_path, sweep(["r"], [0.0]), 3, ["mse"], judged=True) as ledger:
        quiet = {"delta_l2": None, "delta_linf": None, "psr_db": None, "verdict": None}
        delivered = ["yes", "lost", "rejected"]
        add_arm(
            ledger, 0, mse_source=0.3, quality_mse=0.02, mse_clean=0.25, mse_passive=0.1,
            delivered=np.array(delivered), **quiet,
        )  # fmt: skip
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    told = []
    for model.selected in range(3):
        told.append(plain(detail_lines(model, Details(model), 76, 30, Theme())))
        assert "adversary" not in told[-1]
        assert "attack " not in told[-1].replace("no attack", "")
    assert re.search(r"codec alone +0\.020 .*\n +channel alone +0\.250", told[0])
    for text in told[1:]:
        assert re.search(r"codec alone +0\.020 .*\n +fallback shown +0\.300", text)
        assert "channel alone" not in text
    latents = {"sent": np.ones(2), "passive": np.array([1.0, 3.0]), "received": np.array([1.0, 3])}
    details = Details(model)
    details.remember(0, Recomputed({}, latents, "equals the ledger"))
    model.selected = 0
    text = plain(detail_lines(model, details, 76, 30, Theme()))
    assert "change in the latent by the channel, K = 2: |δ| 2.00 beside |z| 1.41" in text


def test_stages_that_take_turns_are_called_by_their_names(tmp_path: Path) -> None:
    """In the table, the path, the filter and beside a transmission; each with its own budget."""
    stages = [
        {"kind": "pgd", "name": name, "budget": {"norm": "psr_db", "epsilon": epsilon}}
        for name, epsilon in [("relay", -6.0), ("late", -9.0), ("blind", -12.0)]
    ]
    arms = [ArmRecord(i, "r", {"path.0": stage}) for i, stage in enumerate(stages)]
    path = {"path": [stages[0], {"kind": "awgn", "snr_db": 20.0}]}
    with created(tmp_path, arms, 3, ["mse"], scenario=path) as ledger:
        for arm in range(3):
            add_arm(ledger, arm)
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    table = text_tables.arms_table(model, 78, Theme())
    assert "path.0" in table.head.plain
    assert [row.plain.split()[1] for row in table.rows] == ["relay", "late", "blind"]
    text = plain(overview.path_lines(model, 110, 5, Theme()))
    assert "⚔ path.0" in text
    assert "relay or late or 1 more" in text
    assert model.info.place(1) == "path.0 late"
    assert model.info.budgets(1) == [("late", "psr_db", -9.0)]


def test_what_is_too_wide_is_cut_and_says_so(tmp_path: Path) -> None:
    """A verdict that has no room is cut, not left out."""
    with created(tmp_path, sweep(["r"], [1.0]), 40, ["mse"], judged=True) as ledger:
        add_arm(ledger, 0, delivered="rejected", verdict="zero_gradient")
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    rows = text_tables.transmissions_table(model, text_tables.list_width(model), Theme())
    assert rows.head.plain.endswith("verdict     ")
    assert rows.rows[0].plain.endswith("  rejected, z…")


def test_images_come_from_the_ledger_or_from_a_replay_and_from_nowhere_else(
    tmp_path: Path,
) -> None:
    model = known(tmp_path)
    details = Details(model)
    stored = details.images(7)
    assert sorted(stored) == ["received", "source"]
    np.testing.assert_array_equal(stored["received"][..., 0], np.arange(16).reshape(4, 4) * 10)
    assert details.images(58) == {}
    model.selected = 58
    replayed = np.full((4, 4, 3), 9, dtype=np.uint8)
    latents = {"sent": np.ones(3), "passive": np.ones(3), "received": np.array([1.0, 3.0, 0.5])}
    details.remember(58, Recomputed({"received": replayed}, latents, "equals the ledger"))
    assert details.images(58)["received"] is replayed
    text = plain(detail_lines(model, details, 76, 40, Theme(colour=False)))
    assert "change in the latent, K = 3: |δ| 2.06 beside |z| 1.73" in text
    assert "z1 +2.00, z2 -0.50, z0 +0.00" in text
    details.remember(58, Recomputed(error="weights are gone"))
    assert "cannot be recomputed: weights are gone" in plain(
        detail_lines(model, details, 76, 40, Theme())
    )


def test_images_that_come_late_are_seen_and_those_that_go_stay(tmp_path: Path) -> None:
    """A run under way may add images; dropped ones were true and may stay."""
    path = tmp_path / "ledger.sqlite"
    with created(tmp_path, sweep(["a", "b"], [1.0]), 4, ["mse"], max_attempts=2) as ledger:
        add_arm(ledger, 0)
        add_attempts(ledger, [8])  # at receiver b the first of two attempts at message 0
        settled = {"transmission": [4], "sent_s": [0.0], "done_s": [0.1], "attempts": [2]}
        ledger.write(TransmissionsDone(settled | {"delivered": ["yes"]}))
        ledger.write(ImageSaved(4, 0, "received", png_of(np.full((4, 4), 10))))
        ledger.commit()
        details = Details(Model(Reader(path)))
        assert details.images(5) == {}
        assert details.images(4)["received"][0, 0, 0] == 10
        assert details.row(4)["attempt"] == 8

        add_attempts(ledger, [9], mse_source=0.2)
        ledger.write(ImageSaved(4, 1, "received", png_of(np.full((4, 4), 20))))
        add_arm(ledger, 1, [1])
        ledger.write(ImageSaved(5, 0, "received", png_of(np.full((4, 4), 30))))
        ledger.commit()
        assert details.row(4)["mse_source"] == 0.2
        assert details.images(4)["received"][0, 0, 0] == 20, "of the attempt that the row tells of"
        assert details.images(5)["received"][0, 0, 0] == 30

        ledger.write(ImagesDropped([(5, 0)]))
        ledger.commit()
        assert details.images(5)["received"][0, 0, 0] == 30


def test_the_fallback_of_another_receiver_is_not_taken_for_its_decoding(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["a", "b"], [1.0]), 2, ["mse"], judged=True) as ledger:
        add_arm(ledger, 0)
        add_arm(ledger, 1, delivered="rejected")
        for transmission in (0, 2):
            for role in ("source", "received"):
                ledger.write(ImageSaved(transmission, 0, role, png_of(np.full((16, 16), 9))))
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    model.selected = 0
    text = plain(detail_lines(model, Details(model), 76, 60, Theme()))
    assert re.search(r"\bb \(fallback\)", text)
    assert not re.search(r"\ba \(fallback\)", text)


def test_what_was_not_delivered_has_its_column_and_an_estimate_its_place(tmp_path: Path) -> None:
    arms = sweep(["receiver"], [0.0, 1.0])
    with created(tmp_path, arms, 40, ["mse", "ssim"], judged=True) as ledger:
        add_arm(ledger, 0, mse_source=np.linspace(0.01, 0.03, 40))
        lost = np.where(np.arange(40) < 30, "yes", "rejected")
        add_arm(ledger, 1, mse_source=np.linspace(0.02, 0.06, 40), delivered=lost)
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    wide, narrow = (text_tables.arms_table(model, width, Theme()) for width in (90, 32))
    assert wide.head.plain.split()[:5] == ["receiver", "ε", "n", "mse", "delivered"]
    assert re.search(r"◀ +75\.0 %", wide.rows[1].plain)
    assert re.search(r" 100\.0 %", wide.rows[0].plain)
    assert narrow.head.plain.split() == ["receiver", "ε", "mse"], "an estimate goes last"
    assert "0.0400 ±0.0038" in narrow.rows[1].plain


def test_where_nobody_attacks_there_is_no_verdict(tmp_path: Path) -> None:
    with created(tmp_path, sweep(["r"], [1.0]), 40, ["mse"], scenario={"path": []}) as ledger:
        add_arm(ledger, 0, delta_l2=None, psr_db=None, verdict=None)
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    heads = [text_tables.arms_table(model, width, Theme()).head.plain.split() for width in (60, 12)]
    assert heads == [["receiver", "ε", "n", "mse"], ["receiver", "ε"]]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("colour", [True, False])
def test_nothing_is_wider_than_its_panel(
    tmp_path: Path, width: int, height: int, colour: bool
) -> None:
    frames = Frames(Theme(colour))
    frames.show(known(tmp_path))
    assert frames.model is not None
    for selected in (7, 149):
        frames.model.selected = selected
        for draw in (frames.status, frames.tabs, frames.path, frames.curves, frames.times,
                     frames.detail, frames.warnings, frames.keys):  # fmt: skip
            for line in draw(width, height):
                assert line.cell_len <= width, (draw.__name__, line.plain)
        for table in (frames.arms(width), frames.transmissions(width)):
            assert all(row.cell_len <= width for row in [table.head, *table.rows])


def test_without_colours_nothing_is_said_by_colour_alone(tmp_path: Path) -> None:
    """Shades stand for pixels, letters for curves, marks for attacks; text has no colours."""
    frames = Frames(Theme(colour=False))
    frames.show(known(tmp_path))
    assert frames.model is not None
    frames.model.selected = 7
    times = plain(frames.times(60, 9))
    assert re.search(r"attacked +[░▒▓█]", times)
    assert all(mark in plain(frames.curves(60, 12)) for mark in ("a plain", "b hardened"))
    pictures = plain(frames.detail(60, 30))
    assert "▀" not in pictures
    assert "##" in pictures or "**" in pictures


def test_without_colours_there_is_room_for_every_receiver(tmp_path: Path) -> None:
    """Where two lines each are too many, all receivers share the line of attacks."""
    names = ["a1", "b2", "c3", "d4", "e5"]
    with created(tmp_path, sweep(names, [1.0]), 20, ["mse"]) as ledger:
        for arm in range(5):
            add_arm(ledger, arm)
    frames = Frames(Theme(colour=False))
    model = Model(Reader(tmp_path / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    frames.show(model)
    for height, lines in ((11, 5), (9, 1)):
        text = plain(frames.times(60, height))
        assert all(name in text for name in names)
        assert len(re.findall(r"attacked +█", text)) == lines
    assert "and 2 more" in plain(frames.times(60, 5))


def test_half_blocks_are_the_very_pixels() -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (6, 5, 3)).astype(np.uint8)
    pixels[2, 3] = pixels[3, 3]  # equal colours above and below are drawn as a blank
    console = Console(width=40, color_system="truecolor", force_terminal=True)
    shown = np.zeros_like(pixels)
    for row, line in enumerate(drawn(pixels, 1, colour=True)):
        cells = [(c, s.style) for s in line.render(console) for c in s.text if c != "\n"]
        for column, (character, style) in enumerate(cells):
            assert style is not None
            assert style.bgcolor is not None
            below = style.bgcolor.get_truecolor()
            above = (
                below if character == " " or style.color is None else style.color.get_truecolor()
            )
            shown[2 * row, column], shown[2 * row + 1, column] = tuple(above), tuple(below)
    np.testing.assert_array_equal(shown, pixels)


def test_pictures_that_are_shrunk_say_so() -> None:
    picture = Picture("received", np.zeros((64, 64, 3), dtype=np.uint8))
    assert "1:4" in strip([picture], 20, 12, colour=True)[0].plain
    assert "1:" not in strip([picture], 64, 40, colour=True)[0].plain


def test_a_curve_goes_through_its_points() -> None:
    series = Series("r", "a", "", [0, 1, 2], [5.0, 10.0, 0.0])
    rows = plain(plot([series], 40, 12, "ε")).split("\n")
    assert [rows[y][:4] for y in (0, 4, 9)] == [" 10┤", "  5┤", "  0┤"]
    marks = [(y, x) for y, row in enumerate(rows[:10]) for x, c in enumerate(row) if c == "a"]
    assert marks == [(0, 4 + 18), (4, 4), (9, 39)]
    assert rows[-1].split() == ["0", "ε", "2"]


def test_decades_get_a_logarithmic_axis_that_says_so() -> None:
    """0.01, 0.1 and 1 stand at equal distances; ε from 0 and narrow ranges stay linear."""
    rows = plot([Series("a", "a", "", [0.01, 0.1, 1.0], [1.0, 2.0, 3.0])], 47, 8, "x").copy()
    marks = sorted(row.plain.index("a") for row in rows if "a" in row.plain)
    assert marks[1] - marks[0] == pytest.approx(marks[2] - marks[1], abs=1)
    assert re.search(r"0\.01 +x \(log\) +1 *$", rows[-1].plain)
    for x in ([0.0, 0.1, 1.0], [0.1, 0.5, 1.0]):
        assert "log" not in plot([Series("a", "a", "", x, x)], 47, 8, "x")[-1].plain


def test_latent_bars_stand_up_and_hang_down() -> None:
    head, above, below, most = latent_lines(np.array([1.0, -1.0, 0.0]), np.ones(3), 60)
    assert "K = 3" in head.plain
    assert above.plain.rstrip() == "  ██"
    assert below.plain.rstrip() == "     ██"
    assert most.plain == "  most: z0 +1.00, z1 -1.00, z2 +0.00"


def test_texts_are_cut_at_words_and_styles_stay_with_their_column() -> None:
    assert fit("press i to recompute", 14) == "press i to…"
    joined = columns([Text("left", style="red")], [Text("right")], 6)[0]
    assert joined.plain == "left    right"
    assert [(span.start, span.end) for span in joined.spans if span.style == "red"] == [(0, 4)]
    assert not joined.style


@pytest.mark.parametrize(("width", "height"), [(80, 24), (119, 60), (200, 30)])
def test_small_terminals_show_a_panel_at_a_time(width: int, height: int) -> None:
    seen = {name for name, shown in arranged(width, height, 1, -1).seen.items() if shown}
    assert "arms" in seen
    assert "curves" not in seen
    assert "tabs" in seen


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    model = known(tmp_path)
    console = Console(file=io.StringIO(), width=60)
    watch_plainly(model, console, wait=lambda seconds: None)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "300/300 (100 %), simulated 0.540 s, finished\n" in text
    assert "warning: the intervals are narrow\n" in text
    assert (
        "transmission 149 (message 49, plain at ε 1): 0.051;"
        f" channelsim replay {shlex.quote(str(tmp_path))}" in text
    )
    assert "\x1b" not in text


# --- the application ----------------------------------------------------------------------------


def screen_of(app: Any) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in row) for row in strips)


async def up_to_date(pilot: Any) -> None:
    """Wait until all of the ledger is on the screen, independent of clocks."""
    behind = True
    while behind:
        await pilot.pause()
        pilot.app._frame()
        behind = pilot.app._behind
    await pilot.pause()


def press(
    model: Model,
    size: tuple[int, int],
    *keys: str | Callable[[Any], Awaitable[None]],
    colour: bool = True,
) -> Iterator[str]:
    """Screens after every key (or change of the app), in a headless terminal."""
    import asyncio

    from channelsim.display.live.viewer import LiveApp

    app = LiveApp(lambda: model, colour=colour)
    screens: list[str] = []

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await up_to_date(pilot)
            screens.append(screen_of(app))
            for key in keys:
                if isinstance(key, str):
                    await pilot.press(key)
                else:
                    await key(pilot)
                await up_to_date(pilot)
                screens.append(screen_of(app))

    asyncio.run(go())
    assert app.failure is None
    return iter(screens)


def test_keys_on_a_wide_terminal(tmp_path: Path) -> None:
    first, newest, filtered, closed, cleared, sort, replay, back, one, every, help_ = press(
        known(tmp_path), (160, 50), "n", "f", "escape", "x", "s", "r", "escape", "2", "0",
        "question_mark",
    )  # fmt: skip
    assert "Worst transmissions by mse" in first
    assert "Transmission 149 · message 49 · plain · ε 1" in first
    assert "mse ◀" not in first
    assert "Newest transmissions" in newest
    assert "Filter" in filtered
    assert "Filter" not in closed
    assert "Newest" in cleared
    assert "worst mse first" in sort
    # A long path moves the line breaks of the command; a word is never broken.
    assert " 49.png" in replay, "the newest, ties by number"
    assert "Replay" not in back
    assert "Estimates" in one
    assert "Worst" not in one
    assert "Newest" in every
    assert "the view, never the run" in help_


def test_filters_reach_every_panel(tmp_path: Path) -> None:
    model = known(tmp_path)
    *_, last = press(model, (160, 50), "f", "right", "down", "right", "right", "enter")
    assert model.filter.said(model.info) == "plain, ε 0.5"
    assert "· plain, ε 0.5" in last
    assert "hardened  0" not in last
    assert "1–" not in last.split("Worst")[0]
    assert model.listed()[:, 0].min() >= 50
    assert model.listed()[:, 0].max() < 100
    model.filter.word = "off"
    assert len(model.listed()) == 0


def test_enter_on_an_arm_shows_its_transmissions(tmp_path: Path) -> None:
    model = known(tmp_path)

    async def focus(pilot: Any) -> None:
        pilot.app.query_one("#arms").focus()

    *_, last = press(model, (160, 50), focus, "down", "enter")
    assert model.filter.said(model.info) == "plain, ε 0.5"
    assert "Worst transmissions by mse · plain, ε 0.5" in last or "only plain, ε 0.5" in last
    assert model.selected == 99


def test_a_narrow_terminal_takes_turns_and_resizing_is_survived(tmp_path: Path) -> None:
    def resize(width: int, height: int) -> Callable[[Any], Awaitable[None]]:
        return lambda pilot: pilot.resize_terminal(width, height)

    first, listed, detail, wide, tiny = press(
        known(tmp_path), (80, 24), "w", "enter", resize(160, 50), resize(40, 12)
    )
    assert "1 Path" in first
    assert "⚔ mallory" in first
    assert "number  receiver" in listed
    assert "adversary alone" in detail
    assert "Estimates" in wide or "adversary alone" in wide
    assert len(tiny.splitlines()) == 12
    for screen, width in ((first, 80), (detail, 80), (tiny, 40)):
        assert all(len(line) <= width for line in screen.splitlines())


def test_a_panel_without_a_frame_still_says_what_it_shows(tmp_path: Path) -> None:
    """The list's order, the curves' metric, and the transmission."""
    _, worst, _, detail, table, curves = press(
        known(tmp_path), (80, 24), "w", "down", "enter", "2", "3"
    )
    assert re.search(r"Worst transmissions by mse +1–18 of 100", worst)
    assert "Transmission 148 · message 48 · plain · ε 1" in detail
    assert "Estimates · against source, mean ±95 %" in table
    assert "mse against source over ε" in curves


def test_a_transmission_that_was_opened_stays_open(tmp_path: Path) -> None:
    """Worse ones push it out of the list; only the user chooses another."""
    with created(tmp_path, sweep(["r"], [1.0]), 200, ["mse"]) as ledger:
        add_arm(ledger, 0, range(20), mse_source=np.linspace(0.01, 0.02, 20))
        ledger.commit()
        model = Model(Reader(tmp_path / "ledger.sqlite"))
        while model.tick(1.0):
            pass

        async def worse(pilot: Any) -> None:
            ledger.write(Noted("note", "more", 0.0))
            add_arm(ledger, 0, range(20, 200), mse_source=np.linspace(0.03, 0.05, 180))
            ledger.commit()
            await up_to_date(pilot)

        _, opened, later, every, cleared = press(model, (160, 50), "enter", worse, "0", "x")
    assert "Transmission 19 " in opened
    assert "Transmission 19 " in later
    assert "Transmission 19 " in every
    assert "    199  r" in every
    assert model.listed()[-1, 0] > 19, "it is no longer in the list"
    assert "Transmission 199 " in cleared, "a new choice of rows begins with its first"


def test_two_keys_at_once_close_a_window_once(tmp_path: Path) -> None:
    from textual.events import Key

    async def at_once(pilot: Any) -> None:
        window = pilot.app.screen
        for _ in range(3):
            window.post_message(Key("a", "a"))

    _, shown, closed = press(known(tmp_path), (80, 24), "r", at_once)
    assert "Replay it outside" in shown
    assert "Replay it outside" not in closed


def test_pausing_freezes_the_view_and_a_step_shows_the_next_block(tmp_path: Path) -> None:
    with new(tmp_path) as ledger:
        keys = all_keys()
        ledger.write(AttemptsDone(rows_of(keys[:10])))
        ledger.commit()
        model = Model(Reader(tmp_path / "ledger.sqlite"))
        model.tick(1.0)
        model.paused = True
        for part in (keys[10:20], keys[20:30]):
            ledger.write(AttemptsDone(rows_of(part)))
            ledger.commit()
        model.tick(1.0)
        assert model.figures.tally["attempts"].sum() == 10
        model.step()
        assert model.figures.tally["attempts"].sum() == 20
        model.paused = False
        model.tick(1.0)
        assert model.figures.tally["attempts"].sum() == 30


def test_lists_follow_the_newest_and_the_verdict(tmp_path: Path) -> None:
    model = known(tmp_path)
    model.list = NEWEST
    assert model.listed()[0, 0] == 49
    model.filter.word = "ok"
    assert model.listed()[0, 0] == 99
    assert "ok" in WORDS


def test_a_frame_that_falls_due_while_the_view_closes_is_no_fault(tmp_path: Path) -> None:
    import asyncio

    from channelsim.display.live.viewer import LiveApp

    model = known(tmp_path)
    app = LiveApp(lambda: model)

    async def go() -> None:
        async with app.run_test(size=(160, 50)) as pilot:
            await pilot.pause()
            await app.query_one("#list").remove()  # as when a terminal closes: not all at once
            app._frame()
            app._draw()

    asyncio.run(go())
    assert app.failure is None


def test_a_deleted_run_ends_the_view_with_one_sentence(tmp_path: Path) -> None:
    import asyncio

    from channelsim.display.live.viewer import LiveApp

    model = known(tmp_path)
    app = LiveApp(lambda: model)

    async def go() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await up_to_date(pilot)
            (tmp_path / "ledger.sqlite").unlink()
            app._frame()

    asyncio.run(go())
    assert app.failure is not None
    assert "the ledger is gone" in app.failure.message


def test_the_picture_of_the_screen_is_one_file_and_says_what_is_on_it(tmp_path: Path) -> None:
    from channelsim.display.live.screenshot import parsed_size, save, svg_of
    from channelsim.display.live.viewer import LiveApp

    (tmp_path / "run").mkdir()
    model = known(tmp_path / "run")
    picture = svg_of(LiveApp(lambda: model), parsed_size("120x40"), ["n"])
    save(picture, tmp_path / "live.svg")
    text = (tmp_path / "live.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert "Newest transmissions" in text
    assert "url(http" not in text, "nothing is fetched"
    assert "@font-face" not in text
    with pytest.raises(InputError, match="expected COLUMNSxROWS"):
        parsed_size("16")
    with pytest.raises(InputError, match="cannot write there"):
        save(picture, tmp_path / "no" / "live.svg")
