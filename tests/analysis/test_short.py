"""The short summary, in 25 lines: the best receiver, and the adversary's success."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, created, sweep

import channelsim
from channelsim.analysis.short import LINES, WIDTH, short_lines
from channelsim.cli.summing_up import summary as command
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
    assert "lower than that of poor" in text.replace("\n  ", " ")
    lines = {line[:22].strip(): line[22:].split() for line in text.splitlines()}
    assert [float(value) for value in lines["ε = 0"]] == pytest.approx([0.03, 0.04], abs=1e-3)
    assert [float(value) for value in lines["ε = 1"]] == pytest.approx([0.05, 0.06], abs=1e-3)


def test_of_equal_receivers_neither_is_called_best(tmp_path: Path) -> None:
    text = str(two_receivers(tmp_path, gap=0.0).summary()).replace("\n  ", " ")
    assert "nobody is best" in text
    assert "serves the user best" not in text


def test_little_room_leaves_out_what_matters_least_and_counts_it(tmp_path: Path) -> None:
    summary = two_receivers(tmp_path, gap=0.01).summary()
    whole, brief = short_lines(summary), short_lines(summary, lines=13)
    assert len(brief) <= 13 < len(whole)
    assert "serves the user best" in "\n".join(brief)
    assert "left out here" in brief[-1]


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
