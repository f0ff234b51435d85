"""The powers in a summary: of which adversaries, and where measured.

Injected is the power that an adversary spends; at the receiver, the part that arrives. Where they
differ both are printed. Adversaries on a shared path have one power and one verdict together.
"""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from channelsim.analysis.summary import Summary, summarise
from channelsim.cli.checking import check
from channelsim.display.full_summary import print_summary
from channelsim.ledger import Ledger
from channelsim.runs import run as campaign
from channelsim.scenario import Scenario
from channelsim.simulation import header as fingerprint

JAMMER: dict[str, Any] = {
    "kind": "noise",
    "name": "jammer",
    "budget": {"norm": "psr_db", "epsilon": -10.0},
}
NOISE = {"kind": "awgn", "snr_db": 20}
HEADER = "PSR dB\nat receiver"


def told(path: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "title": "powers",
        "source": {"kind": "dataset", "count": 40},
        "path": path,
        "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 8}}},
        "metrics": ["mse"],
        "control": False,
        "images": 0,
        "block_rows": 32,
    }
    return base | changes


def summary(folder: Path, path: list[dict[str, Any]], **changes: Any) -> Summary:
    return campaign.run(told(path, **changes), out=folder / "run").summary()


def printed(found: Summary) -> str:
    stream = io.StringIO()
    print_summary(Console(file=stream, width=200, force_terminal=False), found)
    return stream.getvalue()


def through(gain_db: float) -> dict[str, Any]:
    return JAMMER | {"access": {"place": "over_the_air", "own_path": {"gain_db": gain_db}}}


# --- where --------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain_db", [-6.0, 4.0])
def test_what_arrives_differs_from_what_was_injected_by_the_gain_of_its_own_path(
    gain_db: float, tmp_path: Path
) -> None:
    found = summary(tmp_path, [through(gain_db), NOISE])
    (row,) = found.rows()
    assert row["psr_db"] == pytest.approx(-10.0, abs=1e-3)
    assert row["psr_received_db"] == pytest.approx(-10.0 + gain_db, abs=1e-3)
    text = printed(found)
    head = next(line for line in text.splitlines() if "at receiver" in line and "n " in line)
    line = next(line for line in text.splitlines() if line.split()[:2] == ["received", "40"])
    cells = [line[: head.index(name) + len(name)].split()[-1] for name in ("PSR dB", "at receiver")]
    assert cells == ["-10.0", f"{-10.0 + gain_db:.1f}"]
    assert "PSR dB: as injected" in text


@pytest.mark.parametrize("gain_db", [0.0, 0.04])
def test_powers_that_differ_by_no_more_than_rounding_are_printed_once(
    gain_db: float, tmp_path: Path
) -> None:
    found = summary(tmp_path, [through(gain_db), NOISE])
    assert found.points[0].psr_received_db == pytest.approx(-10.0 + gain_db, abs=1e-3)
    text = printed(found)
    assert "PSR dB" in text
    assert "at receiver" not in text
    assert "as injected" not in text


def test_where_nothing_arrives_there_is_a_dash_beside_what_was_injected(tmp_path: Path) -> None:
    found = summary(tmp_path, [JAMMER, NOISE], link={"loss": 1.0})
    assert found.points[0].psr_db == pytest.approx(-10.0, abs=1e-3)
    assert found.points[0].psr_received_db is None
    assert "at receiver" in printed(found)


def test_of_lost_attempts_nothing_arrives(tmp_path: Path) -> None:
    """Both are means over all attempts: with a share p lost, 1 − p of the power arrives."""
    source = {"kind": "dataset", "count": 400}
    found = summary(tmp_path, [JAMMER, NOISE], link={"loss": 0.5}, source=source)
    (point,) = found.points
    assert point.psr_db is not None
    assert point.psr_received_db is not None
    assert point.delivered_share is not None
    arrived = 10 ** ((point.psr_received_db - point.psr_db) / 10)
    assert arrived == pytest.approx(point.delivered_share, rel=1e-4)
    assert 0.4 < arrived < 0.6


def test_without_an_adversary_no_power_is_spoken_of(tmp_path: Path) -> None:
    text = printed(summary(tmp_path, [NOISE]))
    assert "PSR" not in text


# --- whose --------------------------------------------------------------------------------------

TOGETHER = "jammer and second act on one path: where more than one is on, PSR, gain and verdict"
RECORDED = "jammer and second act on one path: what is recorded of δ, PSR, gain and verdict"
SECOND = JAMMER | {"name": "second"}
OFF = {"norm": "psr_db", "epsilon": float("-inf")}


def test_of_two_adversaries_the_summary_says_that_its_power_is_of_both(tmp_path: Path) -> None:
    found = summary(tmp_path, [JAMMER, SECOND, NOISE], source={"kind": "dataset", "count": 400})
    # Independent noise: energies add, so the stated power is twice that of either.
    assert found.points[0].psr_db == pytest.approx(-10.0 + 3.01, abs=0.2)
    assert found.shared_paths == (("jammer", "second"),)
    assert TOGETHER in " ".join(printed(found).split())


@pytest.mark.parametrize(
    "path", [[JAMMER, NOISE], [JAMMER, SECOND | {"budget": OFF}, NOISE]], ids=["one", "one is off"]
)
def test_of_one_alone_nothing_of_the_kind_is_said(
    path: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = summary(tmp_path, path)
    assert found.points[0].psr_db == pytest.approx(-10.0, abs=1e-3)
    assert "act on one path" not in printed(found)
    assert not any("act on one path" in notice for notice in Scenario.load(told(path)).notices)


def test_groups_are_those_of_any_arm_of_a_sweep_each_once() -> None:
    """Where one of them is off, the other acts alone; a swept stage makes other groups."""
    sweep = {
        "path.0": [JAMMER, JAMMER | {"name": "other"}],
        "second.budget.epsilon": [float("-inf"), -10.0],
    }
    swept = Scenario.load(told([JAMMER, SECOND, NOISE], sweep=sweep))
    shared = fingerprint.header(swept, {}).values["shared_paths"]
    assert shared == [["jammer", "second"], ["other", "second"]]
    (notice,) = (text for text in swept.notices if "act on one path" in text)
    assert notice.startswith("jammer and second (others in other arms) act on one path")


def test_check_says_it_before_it_lists_the_threats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.yaml"
    few = {"kind": "dataset", "count": 2}
    file.write_text(yaml.safe_dump(told([JAMMER, SECOND, NOISE], source=few)), encoding="utf-8")
    check(scenario=str(file), settings=[], seed=None, data_root=None)
    lines = capsys.readouterr().out.splitlines()
    words = [line.split()[0] for line in lines if line.startswith("  ")]
    assert words.index("notice") < words.index("threat")
    assert any(RECORDED in line for line in lines)


def test_a_ledger_from_before_shared_paths_were_recorded_is_summarised(tmp_path: Path) -> None:
    made = campaign.run(told([JAMMER, SECOND, NOISE]), out=tmp_path / "run")
    with sqlite3.connect(made.folder / "ledger.sqlite") as connection:
        connection.execute("DELETE FROM header WHERE key = 'shared_paths'")
    connection.close()
    with Ledger.open(made.folder / "ledger.sqlite") as ledger:
        assert summarise(ledger).shared_paths == ()
