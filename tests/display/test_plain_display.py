"""The plain displays: progress while a run goes on, and its summary."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, created, started, sweep
from rich.console import Console

from channelsim.analysis.caveats import warnings
from channelsim.analysis.findings import sentence, towards_target
from channelsim.analysis.intervals import Interval
from channelsim.analysis.names import number, short_names, stated
from channelsim.analysis.summary import Summary, summarise
from channelsim.analysis.written import spread
from channelsim.contracts.records import ArmRecord, Finished, Noted, Ticked
from channelsim.display.page import Column, pack
from channelsim.display.progress_line import PlainDisplay, QuietDisplay, print_summary
from channelsim.report.curve_charts import figure_of

CONTROL_CODE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def plain_console(width: int = 80, **more) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=False, **more)


def terminal(width: int = 80, **more) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=True, force_interactive=True,
        legacy_windows=False, _environ={"TERM": "xterm-256color"}, **more,
    )  # fmt: skip


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


BEGIN = started(sweep(["kld", "hardened"], [0.0, 0.5]), count=500)


# --- progress -----------------------------------------------------------------------------------


def test_without_a_terminal_there_is_a_line_every_five_seconds_and_no_control_code(clock: Clock):
    console = plain_console()
    display = PlainDisplay(console, clock=clock)
    display.show(BEGIN)
    for tick in range(1, 201):  # ten ticks a second for twenty seconds
        clock.now = tick / 10
        display.show(Ticked(sim_s=tick / 100, done=10 * tick, total=2000))
    display.show(Finished(2.5))
    display.close()
    text = text_of(console)
    assert not CONTROL_CODE.search(text)
    lines = text.splitlines()
    assert lines[:2] == ["A run with known numbers", "500 messages × 4 arms, seed 7"]
    assert lines[2] == "500/2000 (25 %), simulated 0.50 s, 100/s, 15 s left"
    assert len(lines) == 2 + 4 + 1
    assert lines[-1] == "Done: 2000 transmissions, 2.50 s simulated, in 20 s (100/s)"


def test_the_rate_of_a_resumed_run_is_that_of_the_last_seconds(clock: Clock):
    console = plain_console()
    display = PlainDisplay(console, clock=clock)
    display.show(BEGIN)
    clock.now = 5.0
    display.show(Ticked(1.0, 1000, 2000))  # known rows come fast
    clock.now = 10.0
    display.show(Ticked(1.1, 1010, 2000))
    assert text_of(console).splitlines()[-1].endswith("2.0/s, 8 min 15 s left")


def test_a_run_that_stops_early_says_how_far_it_came(clock: Clock):
    console = plain_console()
    display = PlainDisplay(console, clock=clock)
    display.show(BEGIN)
    display.show(Ticked(0.1, 30, 2000))
    display.close()
    display.close()
    assert text_of(console).splitlines()[-1] == "Stopped after 30 of 2000 transmissions."
    assert text_of(console).count("Stopped") == 1


def test_closing_a_display_that_saw_nothing_prints_nothing():
    console = plain_console()
    PlainDisplay(console).close()
    assert text_of(console) == ""


def test_each_warning_is_printed_once_and_a_title_is_never_markup(clock: Clock):
    console = plain_console()
    display = PlainDisplay(console, clock=clock)
    display.show(started(sweep(["kld"], [0.5]), count=5, title="[red]loud[/red] [1, 2]"))
    for _ in range(3):
        display.show(Noted("warning", "the gradient was [zero]", 0.5, arm=0))
    display.show(Noted("info", "runs code from ./mine.py:MyCodec", 0.0))
    text = text_of(console)
    assert "[red]loud[/red] [1, 2]" in text
    assert text.count("warning: the gradient was [zero]") == 1
    assert "note: runs code from ./mine.py:MyCodec" in text


def test_on_a_terminal_one_line_shows_time_count_rate_and_what_is_left(clock: Clock):
    console = terminal(120)
    display = PlainDisplay(console, clock=clock)
    display.show(BEGIN)
    for second in range(1, 5):
        clock.now = float(second)
        display.show(Ticked(0.25 * second, 100 * second, 2000))
    display.close()
    text = text_of(console)
    for part in ("400/2000", "20 %", "100/s", "16 s left", "simulated 1.00 s"):
        assert part in text
    assert "\x1b[?25h" in text  # the cursor comes back


@pytest.mark.parametrize("width", [24, 40, 80])
def test_the_progress_line_fits_the_terminal(clock: Clock, width: int):
    console = terminal(width, color_system=None)
    display = PlainDisplay(console, clock=clock)
    display.show(started(sweep(["kld"], [0.5]), count=1_000_000))
    for second in range(1, 4):
        clock.now = float(second)
        display.show(Ticked(10.0 * second, 1000 * second, 1_000_000))
    display.close()
    bare = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text_of(console))
    assert max(len(line) for line in re.split(r"[\r\n]", bare)) <= width


def test_no_colour_is_used_where_none_is_wanted(clock: Clock):
    console = terminal(80, no_color=True)
    display = PlainDisplay(console, clock=clock)
    display.show(BEGIN)
    display.show(Noted("warning", "careful", 0.0))
    display.close()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text_of(console))


def test_the_quiet_display_says_nothing_but_warnings():
    console = plain_console()
    display = QuietDisplay(console)
    display.show(BEGIN)
    display.show(Noted("info", "all is well", 0.0))
    display.show(Noted("warning", "careful", 0.0))
    display.show(Finished(1.0))
    display.close()
    assert text_of(console) == "warning: careful\n"


# --- summary ------------------------------------------------------------------------------------

EPSILONS = [0.0, 0.1, 0.5, 1.0]


def known_summary(folder: Path, n: int = 60, **more) -> Summary:
    """Two receivers over four budgets; at ε = 0.1 noise beats the attack."""
    arms = sweep(["kld", "hardened"], EPSILONS)
    random = np.random.default_rng(3)
    image = random.uniform(0.8, 1.2, n)
    with created(folder, arms, n, metrics=["mse", "psnr", "ssim"], **more) as ledger:
        for arm in arms:
            epsilon = arm.swept[EPSILON]
            harm = (0.08 if arm.receiver == "kld" else 0.02) * epsilon * image
            noise = harm * (1.5 if epsilon == 0.1 else 0.1)
            columns = {"quality_mse": 0.01 * image, "quality_psnr": 20.0, "quality_ssim": 0.9}
            for prefix, damage in (("", harm), ("control_", noise)):
                if prefix and not more.get("control", True):
                    continue
                columns[f"{prefix}mse_source"] = 0.01 * image + damage
                columns[f"{prefix}mse_clean"] = columns[f"{prefix}mse_passive"] = damage
                columns[f"{prefix}ssim_source"] = 0.9 - 5 * damage
                columns[f"{prefix}psnr_source"] = -10 * np.log10(0.01 * image + damage)
            verdicts = ["off" if epsilon == 0 else "ok"] * n
            if epsilon == 0.5:
                verdicts[: n // 4] = ["zero_gradient"] * (n // 4)
            add_arm(ledger, arm.arm, verdict=verdicts, psr_db=20 * epsilon - 20, **columns)
        return summarise(ledger)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return known_summary(tmp_path_factory.mktemp("known"))


def shown(summary: Summary, width: int, **more) -> str:
    console = plain_console(width, **more)
    print_summary(console, summary)
    return text_of(console)


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_a_summary_fits_the_width_and_loses_no_column(known: Summary, width: int):
    text = shown(known, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for head in ("mse", "psnr", "ssim", "PSR dB", "gain dB", "delivered", "verdict", "AADDC"):
        assert head in text
    assert "…" not in re.sub(r"\S+\s+…\s+\S+", "", text)  # 0.1 … 1: points, nothing cut off


def test_at_eighty_columns_all_three_metrics_stand_in_one_table(known: Summary):
    lines = shown(known, 80).splitlines()
    head = next(line for line in lines if "psnr [dB]" in line)
    assert "mse" in head
    assert "ssim" in head


def test_a_narrow_terminal_gets_more_tables_rather_than_broken_numbers(known: Summary):
    narrow, wide = shown(known, 50), shown(known, 160)

    def cells(text: str) -> list[str]:
        rows = "\n".join(line for line in text.splitlines() if line.startswith("  "))
        return sorted(re.findall(r"-?\d+\.\d+ \[-?\d+\.\d+, -?\d+\.\d+\]", rows))

    assert cells(narrow) == cells(wide)
    assert len(cells(wide)) > 30
    assert max(len(line) for line in narrow.splitlines()) <= 50


def test_numbers_are_where_they_belong(known: Summary):
    text = shown(known, 200)
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    top = next(row for row in rows if row[:2] == ["1", "60"])  # kld comes first, at ε = 1
    assert float(top[2]) == pytest.approx(0.09, abs=0.003)  # mse: 0.01 + 0.08
    assert top[-1] == "ok"
    assert "10.0" in " ".join(top)  # the gain: attack ten times the noise
    assert any(row[0] == "quality" for row in rows)


def test_clean_quality_stands_above_every_column_of_the_primary_endpoint(known: Summary):
    lines = shown(known, 80).splitlines()
    row = next(line for line in lines if line.lstrip().startswith("quality"))
    assert row.count("0.9") >= 1
    assert row.count("20.0") >= 1


def test_quality_that_varies_over_the_sweep_gets_its_own_column(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), 40, metrics=["ssim"]) as ledger:
        add_arm(ledger, 0, quality_ssim=0.9)
        add_arm(ledger, 1, quality_ssim=0.7)
        text = shown(summarise(ledger), 80)
    head = next(line for line in text.splitlines() if "quality" in line and "ssim" in line)
    assert head.index("ssim") < head.index("quality")


def test_the_sentence_says_what_happened_at_the_largest_budget(known: Summary):
    said = sentence(known, "kld")
    assert said.startswith("kld: at ε = 1, MSE against the source: 0.0901 with the attack")
    assert "0.0180 with equal noise (0.0 dB PSR)" in said
    assert "; 0.0100 undisturbed" in said
    assert "The attack does 10.0 [10.0, 10.0] dB more mean MSE damage than that noise." in said


def test_the_sentence_admits_an_attack_that_noise_beats(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), 40, metrics=["mse"]) as ledger:
        add_arm(ledger, 0, mse_passive=0.1, control_mse_passive=0.2, mse_source=0.6,
                quality_mse=0.01)  # fmt: skip
        said = sentence(summarise(ledger), "kld")
    assert "MSE against the source: 0.600 with the attack, 0.500 with equal noise" in said
    assert "no better than that noise: -3.0 [-3.0, -3.0] dB" in said


def test_without_an_attack_the_sentence_does_not_speak_of_one(tmp_path: Path):
    with created(tmp_path, [ArmRecord(0, "kld", {})], 40, control=False) as ledger:
        add_arm(ledger, 0, verdict=None, delta_l2=0.0, psr_db=None, psr_received_db=None)
        summary = summarise(ledger)
    # Without an adversary on any path there is no success to deny.
    assert sentence(summary, "kld") == (
        "kld: MSE against the source: 0.500 undisturbed, 0.500 after the channel."
    )
    assert "gain dB" not in shown(summary, 80)


def test_of_an_adversary_that_is_off_the_sentence_says_so(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0]), 40) as ledger:
        add_arm(ledger, 0, verdict="off", delta_l2=0.0, psr_db=None, psr_received_db=None)
        summary = summarise(ledger)
    assert sentence(summary, "kld").endswith("0.500 after the channel; no attack took place.")


def test_an_adversary_that_let_everything_pass_is_not_compared_with_noise(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), 40) as ledger:
        add_arm(ledger, 0, verdict="idle", delta_l2=0.0, psr_db=None, psr_received_db=None)
        summary = summarise(ledger)
    assert sentence(summary, "kld").endswith(
        "0.500 after the channel; the adversary let everything pass."
    )
    (said,) = warnings(summary)
    assert "kld at ε = 0.5: nothing was attacked" in said


def test_how_many_codewords_were_attacked_stands_beside_the_power(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5, 1.0]), 40) as ledger:
        add_arm(ledger, 0)
        seldom = np.arange(40) % 10 == 0
        add_arm(ledger, 1, verdict=np.where(seldom, "ok", "idle"), delta_l2=1.0 * seldom)
        summary = summarise(ledger)
    assert "10.0 % of what was sent was attacked" in sentence(summary, "kld")
    assert [point.attacked_share for point in summary.points] == [1.0, 0.1]
    assert "attacked" in shown(summary, 100)


def test_failures_are_counted_among_attacks_and_not_among_what_was_let_pass(tmp_path: Path):
    words = np.array(["zero_gradient"] * 2 + ["ok"] * 2 + ["idle"] * 36)
    with created(tmp_path, sweep(["kld"], [0.5]), 40) as ledger:
        add_arm(ledger, 0, verdict=words)
        said = warnings(summarise(ledger))
    assert any("zero_gradient in 50.0 % of the attacks" in text for text in said)


def test_messages_that_never_arrived_are_mentioned(tmp_path: Path):
    delivered = np.array(["yes"] * 30 + ["rejected"] * 10)
    with created(tmp_path, sweep(["kld"], [0.5]), 40) as ledger:
        add_arm(ledger, 0, delivered=delivered)
        summary = summarise(ledger)
    assert "25.0 % of the messages were not delivered." in sentence(summary, "kld")
    assert "refused" in shown(summary, 80)


def test_warnings_name_noise_that_won_and_gradients_that_vanished(known: Summary):
    found = warnings(known)
    assert any(
        w.startswith("kld, hardened at ε = 0.1: beaten by noise") for w in found
    )  # fmt: skip
    vanished = next(w for w in found if "zero_gradient" in w)
    assert vanished.startswith("kld, hardened at ε = 0.5: zero_gradient in 25.0 % of the attacks")
    assert "set start: uniform" in vanished


def test_an_unfinished_or_tiny_run_is_called_so(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), 40) as ledger:
        add_arm(ledger, 0, range(12))
        summary = summarise(ledger)
    found = warnings(summary)
    assert found[0] == "The run is unfinished: 12 of 80 transmissions are settled."
    assert any("With only 12 messages" in w for w in found)
    assert "–" in shown(summary, 80)


def test_an_empty_run_prints_without_fault(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), 40) as ledger:
        text = shown(summarise(ledger), 80)
    assert "kld: nothing is settled yet." in text


def test_a_console_that_speaks_only_ascii_gets_ascii(known: Summary):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=stream, width=80, force_terminal=False)
    print_summary(console, known)
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "eps" in text


def test_a_file_gets_no_control_codes_and_a_title_is_never_markup(tmp_path: Path):
    text = shown(known_summary(tmp_path, title="[bold]a[/bold]"), 80)
    assert not CONTROL_CODE.search(text)
    assert "[bold]a[/bold]" in text


def test_columns_are_packed_from_left_to_right_and_led_by_the_sweep():
    lead = Column("ε", ["0.5"])
    wide = [Column(str(i), ["x" * 10]) for i in range(5)]
    tables = list(pack([lead], wide, width=30))
    assert [[column.header for column in table] for table in tables] == [
        ["ε", "0", "1"],
        ["ε", "2", "3"],
        ["ε", "4"],
    ]


def test_a_column_wider_than_the_terminal_still_gets_a_table():
    tables = list(pack([Column("ε", ["1"])], [Column("a", ["x" * 90])] * 2, width=40))
    assert len(tables) == 2


def test_swept_keys_are_shortened_as_far_as_they_stay_apart():
    names = short_names(["a.budget.epsilon", "first.snr_db", "second.snr_db", "link.loss"], ())
    assert list(names.values()) == ["ε", "first.snr_db", "second.snr_db", "loss"]
    names = short_names(["old.budget.epsilon", "path.1.budget.epsilon"], ["old.budget.epsilon"])
    assert list(names.values()) == ["old ε dB", "path.1 ε"]


def test_a_budget_in_decibels_carries_its_unit_and_minus_infinity_is_off():
    # "ε dB = 0" reads as no attack at all.
    assert stated("ε dB", "-20", "-10") == "ε = -20, -10 dB"
    assert stated("ε dB", number(-math.inf)) == "ε = off"
    assert stated("ε", "0") == "ε = 0"
    assert stated("ε dB", "-20", number(-math.inf)) == "ε = -20 dB, off"
    assert stated("ε dB", "-3 … off") == "ε = -3 dB … off"
    assert stated("ε dB", "off … -3") == "ε = off … -3 dB"


def test_a_rounded_zero_has_no_sign():
    assert spread(Interval(-0.001, -0.002, 0.001), 1) == "0.0 [0.0, 0.0]"
    assert spread(Interval(-0.06, math.nan, math.nan), 1) == "-0.1"


def test_repeated_images_are_counted_once_and_said(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), 60, calibration={"images": 20}) as ledger:
        add_arm(ledger, 0)
        summary = summarise(ledger)
    assert "60 messages of 20 different images × 1 arm" in shown(summary, 80)
    assert any("With only 20 images the intervals" in w for w in warnings(summary))


# --- receivers side by side -----------------------------------------------------------------------

FIVE = {"kld": 0.4, "mmd": 0.5, "swt": 0.6, "hardened": 0.2, "mmd-dae": 0.3}  # damage at ρ = 1


def five_receivers(folder: Path, same_power: bool = False, norm: str = "linf") -> Summary:
    """Five receivers, each with larger latents than the last; damage differs between images."""
    levels = [-math.inf, -20.0, -10.0, 0.0] if norm == "psr_db" else EPSILONS
    arms, n = sweep(list(FIVE), levels), 40
    header = {
        "scenario": {"path": [{"kind": "pgd", "name": "mallory", "budget": {"norm": norm}}]},
        "calibration": {
            "power": {
                str(arm.arm): {
                    "wire": (1.0 + 0.2 * (arm.arm // len(levels))) ** 2,
                    "latent_size": 10,
                }
                for arm in arms
            }
        },
    }
    image = np.random.default_rng(3).uniform(0.8, 1.2, n)
    with created(folder, arms, n, metrics=["psnr", "ssim"], **header) as ledger:
        for arm in arms:
            level = arm.swept[EPSILON]
            rank = list(FIVE).index(arm.receiver)
            rho = 10 ** (level / 20) if norm == "psr_db" else level
            rho /= 1.0 if same_power else 1.0 + 0.2 * rank
            power = {"psr_db": 20 * math.log10(rho)} if rho else {
                "psr_db": None, "delta_l2": 0.0, "verdict": "off"}  # fmt: skip
            harm = FIVE[arm.receiver] * rho * image
            with np.errstate(divide="ignore"):
                psnr = -10 * np.log10(0.05 * harm)
            columns = {"ssim_clean": 1 - harm, "ssim_source": 0.9 - harm, "quality_ssim": 0.9}
            columns |= {"psnr_clean": psnr, "psnr_source": 20 - 10 * harm, "quality_psnr": 20.0}
            add_arm(ledger, arm.arm, **columns, **power)
        return summarise(ledger)


@pytest.mark.parametrize("width", [80, 140])
def test_five_receivers_are_readable_side_by_side(tmp_path: Path, width: int):
    text = shown(five_receivers(tmp_path), width)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= width
    # One table holds both readings of the metric that has them, one row per receiver.
    head = next(i for i, line in enumerate(lines) if line.split()[:2] == ["quality", "equal"])
    assert lines[head].split()[1:5] == ["equal", "ε", "equal", "PSR"]
    assert lines[head - 1].split()[:5] == ["ssim", "ssim", "nAADDC", "ssim", "nAADDC"]
    names = [line.split()[0] for line in lines[head + 2 : head + 7]]
    assert names == list(FIVE)
    # One table holds the quality of all five at the same PSRs.
    head = next(
        i for i, line in enumerate(lines) if line.split()[:2] == ["PSR", "dB"] and "kld" in line
    )
    assert lines[head].split()[2:] == list(FIVE)
    assert len(lines[head + 2].split()) >= 6
    assert "ssim nAADDC: at equal ε hardened > mmd-dae > " in " ".join(text.split())
    assert "up to 0.556 (-5.1 dB)" in " ".join(text.split())


def test_power_and_size_of_the_codeword_stand_below_each_receiver(tmp_path: Path):
    text = " ".join(shown(five_receivers(tmp_path), 80).split())
    assert "P 1 in each of 10 values, amplitude √(K·P) 3.16;" in text
    assert "P 3.24 in each of 10 values, amplitude √(K·P) 5.69;" in text


def test_where_equal_budget_is_equal_power_nothing_is_printed_twice(tmp_path: Path):
    text = " ".join(shown(five_receivers(tmp_path, same_power=True), 80).split())
    assert "All receivers were hit with the same PSR at every ε: the readings are one." in text
    assert "equal PSR hardened" not in text
    assert len(re.findall("ssim nAADDC", text)) == 2  # a column, and the order by it
    assert "significant difference at equal" not in text.lower()


def test_a_budget_that_is_a_psr_is_read_once_and_normalised_over_amplitude(tmp_path: Path):
    text = " ".join(shown(five_receivers(tmp_path, same_power=True, norm="psr_db"), 80).split())
    assert "the readings are one" in text
    assert "at equal PSR:" not in text  # the table of PSRs would repeat the sweep
    assert "ssim nAADDC: hardened > mmd-dae > kld > mmd > swt" in text


# --- towards the target ---------------------------------------------------------------------------


def test_the_distance_to_the_target_is_told_without_and_with_the_attack(tmp_path: Path):
    wave = np.random.default_rng(1).normal(0, 0.002, 40)
    goal = {"kind": "image", "target": "black", "loss": "mse"}
    mallory = {"kind": "pgd", "name": "mallory", "goal": goal, "budget": {"norm": "linf"}}
    more: dict[str, Any] = {"scenario": {"path": [mallory]}, "passive_columns": True}
    with created(tmp_path, sweep(["kld"], [0.0, 1.0]), 40, **more) as ledger:
        for arm, distance in ((0, 0.10), (1, 0.03)):
            beside = {"control_mse_target": 0.09 + wave, "passive_mse_target": 0.10 + wave}
            add_arm(
                ledger, arm, mse_target=distance + wave, verdict="ok" if arm else "off", **beside
            )
        summary = summarise(ledger)
    said = towards_target(summary, "kld")
    assert said.startswith("kld, at ε = 1: mallory wants the black image: mean MSE to it 0.100")
    assert "after the channel alone, 0.090" in said
    assert "with equal noise, 0.030" in said
    assert "it got nearer (approach 5.2" in said
    assert said.endswith("noise 0.5 dB), and nearer than noise would.")
    text = shown(summary, 80)
    assert said in " ".join(text.split())
    assert "and against the target" in text
    rows = summary.rows()
    assert rows[1]["mse_target"] == pytest.approx(0.03, abs=0.001)
    assert rows[1]["control_mse_target"] == pytest.approx(0.09, abs=0.001)


def test_damage_has_no_target_to_speak_of(known: Summary):
    assert towards_target(known, "kld") is None
    assert "target" not in shown(known, 80)


@pytest.mark.parametrize(("epsilon", "told"), [(0.1, False), (1.0, True)])
def test_what_is_read_below_the_weakest_attack_is_called_a_straight_line(
    tmp_path: Path, epsilon: float, told: bool
):
    # ρ = ε: the weakest attack is 20 dB, or 0 dB, below a codeword; the table begins at −20 dB.
    with created(tmp_path, sweep(["kld"], [0.0, epsilon, 2.0]), 40) as ledger:
        for arm, rho in enumerate((0.0, epsilon, 2.0)):
            power = {"psr_db": 20 * math.log10(rho)} if rho else {"psr_db": None, "delta_l2": 0.0}
            add_arm(ledger, arm, mse_source=0.1 + rho, **power)
        text = shown(summarise(ledger), 120)
    assert "at equal PSR" in text
    assert ("Nobody attacked so weakly: below 0.0 dB" in text) is told
    assert ("Nobody attacked so weakly" in text) is told


OWN_DECIBELS = {
    "loudness": {
        "higher_is_better": True, "perfect": None, "limit": None,
        "averaged_as": "decibels lost", "factor": 1.0,
    }
}  # fmt: skip


def test_a_metric_of_ones_own_in_decibels_has_its_unit_in_every_table(tmp_path: Path):
    with created(
        tmp_path, sweep(["kld"], [0.5, 1.0]), 30, ["loudness", "mse"], scales=OWN_DECIBELS,
        calibration={"constant_image": {"loudness": 3.0}},
    ) as ledger:  # fmt: skip
        for arm in range(2):
            add_arm(ledger, arm, loudness_source=np.linspace(9.0, 11.0, 30) - arm)
        summary = summarise(ledger)
    console = plain_console(200)
    print_summary(console, summary)
    (constant,) = [line for line in text_of(console).splitlines() if "sanity" in line]
    assert summary.column_unit_of("loudness") == " [dB]"
    assert "loudness [dB] 3" in constant
    assert "loudness [dB]" in text_of(console).replace(constant, "")
    assert "mse [dB]" not in text_of(console)
    labels = [axes.get_ylabel() for axes in figure_of(summary).axes]
    assert "LOUDNESS against the source [dB]" in labels
    assert "MSE against the source" in labels
