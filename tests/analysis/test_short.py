"""The short summary, in 25 lines: the best receiver, and the adversary's success."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, created, sweep

import channelsim
from channelsim.analysis.short_summary import LINES, WIDTH, short_lines
from channelsim.cli.summing_up import summary as command
from channelsim.contracts.records import ArmRecord
from channelsim.runs.run import Run
from channelsim.support.errors import InputError

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
SMALL: dict[str, Any] = {"source.count": 6, "block_rows": 8}


def two_receivers(folder: Path, gap: float) -> Run:
    """Receiver `good` with a mean squared error lower by ``gap`` than `poor` at every budget."""
    rng = np.random.default_rng(1)
    with created(folder, sweep(["good", "poor"], [0.0, 1.0]), 60, ["mse"]) as ledger:
        noise = 0.001 * rng.standard_normal(60)
        for arm in range(4):
            value = 0.03 + 0.02 * (arm % 2) + gap * (arm // 2) + noise
            verdict = "ok" if arm % 2 else "off"
            add_arm(ledger, arm, mse_source=value, verdict=verdict)
        ledger.commit()
    return Run.open(folder)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_shipped_scenario_ends_in_25_lines_of_80_columns(path: Path, tmp_path: Path) -> None:
    run = channelsim.run(path, set=SMALL, out=tmp_path / "run")
    found = short_lines(run.summary())
    assert len(found) <= LINES
    assert max(map(len, found)) <= WIDTH
    assert found[-1].endswith("channelsim summary RUN --full")
    assert "against the source" in "\n".join(found)


def test_the_table_and_the_sentence_name_the_better_receiver_and_by_how_much(
    tmp_path: Path,
) -> None:
    text = str(two_receivers(tmp_path, gap=0.01).summary())
    assert "good serves the user best at every point" in text.replace("\n  ", " ")
    assert "mse lower than that of poor by 0.010" in text.replace("\n  ", " ")
    lines = {line[:22].strip(): line[22:].split() for line in text.splitlines()}
    assert [float(value) for value in lines["ε = 0"]] == pytest.approx([0.03, 0.04], abs=1e-3)
    assert [float(value) for value in lines["ε = 1"]] == pytest.approx([0.05, 0.06], abs=1e-3)


def over(keys: dict[str, list[Any]], receivers: list[str]) -> list[ArmRecord]:
    """All receivers at all combinations of the swept values."""
    points = [dict(zip(keys, values, strict=True)) for values in itertools.product(*keys.values())]
    return [
        ArmRecord(arm, receiver, swept)
        for arm, (receiver, swept) in enumerate(itertools.product(receivers, points))
    ]


def shortened(folder: Path, arms: list[ArmRecord], columns: Any, **header: Any) -> str:
    """The short summary of made-up arms; ``columns``: columns of an arm."""
    with created(folder, arms, 60, ["mse"], **header) as ledger:
        for arm in arms:
            add_arm(ledger, arm.arm, **columns(arm))
        ledger.commit()
    return str(Run.open(folder).summary())


def around(value: float, arm: int) -> np.ndarray:
    return value + 0.001 * np.random.default_rng(arm).standard_normal(60)


def test_rows_of_two_swept_keys_have_labels_that_differ(tmp_path: Path) -> None:
    arms = over({"bursts.q": [0.8, 0.02], "bursts.filling": ["zero", "last"]}, ["a", "b"])
    text = shortened(
        tmp_path, arms, lambda arm: {"mse_source": around(0.02, arm.arm), "verdict": None}
    )
    labels = [line[:22].strip() for line in text.splitlines() if line.startswith("  ")]
    assert "q, filling" in labels
    assert {"0.8, zero", "0.02, last"} <= set(labels)
    assert len(labels) == len(set(labels))


def test_equal_noise_stands_below_the_point_that_the_gain_is_of(tmp_path: Path) -> None:
    # The hardest point is not the last: linf at ε = 1.
    keys = {"mallory.budget.norm": ["linf", "l2"], "mallory.budget.epsilon": [0.5, 1.0]}
    arms = over(keys, ["kld"])

    def columns(arm: ArmRecord) -> dict[str, Any]:
        norm, epsilon = arm.swept.values()
        error = 0.02 + epsilon * (0.06 if norm == "linf" else 0.02)
        return {
            "mse_source": around(error, arm.arm),
            "control_mse_source": around(error - 0.01, 50 + arm.arm),
            "mse_passive": around(error, arm.arm),
            "control_mse_passive": around(error / 2, 50 + arm.arm),
        }

    text = shortened(tmp_path, arms, columns)
    lines = [line[:24].strip() for line in text.splitlines()]
    assert lines[lines.index("linf, 1") + 1] == "equal noise there"
    said = text.replace("\n  ", " ")
    assert (
        "damage than equal noise, against the channel alone; gain in dB: 3.0 at norm = linf" in said
    )


def test_a_gain_of_mere_rounding_is_neither_more_damage_nor_less(tmp_path: Path) -> None:
    """And the warning beside it says of what it speaks: two sentences must not contradict."""
    (arm,) = over({}, ["kld"])
    noise = around(0.04, 1)
    text = shortened(
        tmp_path, [arm], lambda _: {"mse_passive": noise * (1 + 1e-8), "control_mse_passive": noise}
    ).replace("\n  ", " ")
    assert "not do significantly more or less damage than equal noise" in text
    assert "matched noise did on average at least as much damage to what the channel alone" in text


def test_too_few_messages_are_not_said_to_make_no_difference(tmp_path: Path) -> None:
    # One of the messages was attacked: a gain without an interval proves nothing either way.
    (arm,) = over({}, ["kld"])
    verdict = np.where(np.arange(60) < 1, "ok", "idle").astype(object)
    text = shortened(
        tmp_path,
        [arm],
        lambda arm: {
            "mse_passive": around(0.04, 1),
            "control_mse_passive": around(0.02, 2),
            "verdict": verdict,
            "delta_l2": np.where(np.arange(60) < 1, 1.0, 0.0),
            "delta_linf": np.where(np.arange(60) < 1, 1.0, 0.0),
        },
    ).replace("\n  ", " ")
    assert "significantly more or less" not in text
    assert "on too few messages to compare with equal noise; gain in dB: " in text


def test_the_channel_alone_stands_below_the_point_it_was_measured_at(tmp_path: Path) -> None:
    # At 0 dB the channel alone did most of it; a row without a place would be read at 20 dB too.
    arms = over({"awgn.snr_db": [0, 20]}, ["kld"])

    def columns(arm: ArmRecord) -> dict[str, Any]:
        alone = 0.05 if arm.swept["awgn.snr_db"] == 0 else 0.01
        return {
            "mse_source": around(alone + 0.01, arm.arm),
            "passive_mse_source": around(alone, 50 + arm.arm),
        }

    text = shortened(tmp_path, arms, columns, passive_columns=True)
    lines = [line[:24].strip() for line in text.splitlines()]
    assert lines[lines.index("snr_db = 0") + 1] == "channel alone there"
    assert lines.count("channel alone there") == 1
    assert "channel alone" not in lines


def test_of_equal_receivers_neither_is_called_best(tmp_path: Path) -> None:
    text = str(two_receivers(tmp_path, gap=0.0).summary()).replace("\n  ", " ")
    assert "Nobody is surely best for the user" in text
    assert "serves the user best" not in text


def test_little_room_leaves_out_what_matters_least_and_counts_it(tmp_path: Path) -> None:
    summary = two_receivers(tmp_path, gap=0.01).summary()
    whole, brief = short_lines(summary), short_lines(summary, lines=14)
    assert len(brief) <= 14 < len(whole)
    assert "serves the user best" in "\n".join(brief)
    assert "left out" in brief[-1]


def test_a_notebook_has_tables_and_so_has_the_run_folder(tmp_path: Path, capsys: Any) -> None:
    run = two_receivers(tmp_path, gap=0.01)
    summary = run.summary()
    frame = summary.frame()
    assert set(frame["receiver"]) == {"good", "poor"}
    assert set(frame["against"]) == {"quality", "source", "clean", "passive"}
    pairs = summary.comparisons_frame()
    assert set(pairs["better"].dropna()) == {"good"}
    assert "<table" in summary._repr_html_()
    command(folder=run.folder, metric=None, against="source", full=False)
    assert "serves the user best" in capsys.readouterr().out
    assert "good" in (run.folder / "summary.txt").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO((run.folder / "summary.csv").read_text("utf-8"))))
    assert {row["row"] for row in rows} == {"point", "pair"}
    assert sum(row["row"] == "point" for row in rows) == len(frame)
    command(folder=run.folder, metric="mse", against="clean", full=False)
    assert "mse against the undisturbed image" in capsys.readouterr().out
    command(folder=run.folder, metric=None, against="source", full=True)
    assert len(capsys.readouterr().out.splitlines()) > LINES


def test_a_wrong_metric_or_reference_is_one_sentence_with_what_there_is(tmp_path: Path) -> None:
    run = two_receivers(tmp_path, gap=0.01)
    with pytest.raises(InputError, match=r"--metric mes: this run measured mse\. Did you mean mse"):
        command(folder=run.folder, metric="mes", against="source", full=False)
    with pytest.raises(InputError, match=r"--against sorce: must be one of source, clean"):
        command(folder=run.folder, metric=None, against="sorce", full=False)
