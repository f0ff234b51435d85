"""The default of ``block_rows``, which follows from the scenario.

A receiver that judges is asked about every codeword as it falls due, and few fall due together:
large blocks would be padding. All other blocks fill.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from channelsim.runs import estimate as estimate_module
from channelsim.runs.replay import replay
from channelsim.runs.run import run
from channelsim.scenario import Scenario, schema, waiting
from channelsim.scenario.waiting import FULL_BLOCK, JUDGED_BLOCK, waits
from channelsim.simulation import header as fingerprint
from channelsim.support.errors import InputError

LINEAR = {"kind": "linear", "latent_size": 8}
PLAIN = {"plain": {"codec": LINEAR}}
WARY = {"wary": {"codec": LINEAR, "detector": {"kind": "norm", "false_alarm": 0.2}}}
ASKING = {"max_attempts": 3, "loss": 0.3}
SHARED = {"max_attempts": 2, "transmitters": 2, "access": "aloha"}


def scenario(**changes: Any) -> Scenario:
    return Scenario.load(told(**changes))


def told(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "title": "blocks",
        "source": {"kind": "dataset", "count": 30},
        "path": [{"kind": "awgn", "snr_db": 20}],
        "receivers": PLAIN,
        "metrics": ["mse"],
        "images": 0,
    }
    return base | changes


@pytest.mark.parametrize(
    ("changes", "rows", "waiting"),
    [
        ({}, FULL_BLOCK, False),
        ({"link": {"max_attempts": 3}}, FULL_BLOCK, False),  # no request for repetition
        # Silence passes in simulated time; no decision needs a codeword's content.
        ({"link": ASKING}, FULL_BLOCK, True),
        ({"link": SHARED}, FULL_BLOCK, True),
        ({"link": {"max_attempts": 2, "duplex": "half"}}, FULL_BLOCK, True),
        ({"receivers": WARY}, JUDGED_BLOCK, True),
        ({"receivers": WARY | PLAIN}, JUDGED_BLOCK, True),
        ({"receivers": PLAIN | WARY, "link": ASKING}, JUDGED_BLOCK, True),
        (
            {"receivers": PLAIN, "sweep": {"plain.detector": [None, {"kind": "norm"}]}},
            JUDGED_BLOCK,
            True,
        ),
    ],
)
def test_blocks_are_small_by_default_only_where_a_receiver_judges(
    changes: dict[str, Any], rows: int, waiting: bool
) -> None:
    found = scenario(**changes)
    assert found.block_rows == found.resolved["block_rows"] == rows
    assert any(map(waits, found.arms)) == waiting
    assert fingerprint.header(found, {}).values["block_rows"] == rows


@pytest.mark.parametrize(
    ("shape", "latent_size", "rows"),
    [
        ((1, 32, 32), 1024, 256), ((1, 28, 28), 10, 256), ((1, 64, 64), 10, 64),
        ((3, 64, 64), 10, 16), ((1, 32, 32), 8192, 32), ((3, 256, 256), 10, JUDGED_BLOCK),
    ],
)  # fmt: skip
def test_blocks_of_large_images_or_codewords_are_smaller(
    shape: tuple[int, int, int], latent_size: int, rows: int
) -> None:
    codec = SimpleNamespace(image_shape=shape, latent_size=latent_size)
    arm = SimpleNamespace(receiver=SimpleNamespace(codec=codec, detector=None))
    assert waiting.default_block_rows([arm]) == rows  # type: ignore[list-item]


@pytest.mark.parametrize("receivers", [PLAIN, WARY])
def test_a_scenario_that_names_its_blocks_keeps_them(receivers: dict[str, Any]) -> None:
    named = scenario(receivers=receivers, block_rows=64)
    assert named.block_rows == 64
    assert Scenario.load(told(receivers=receivers), set={"block_rows": 64}).hash == named.hash


def test_the_default_is_the_same_run_as_naming_it() -> None:
    left_out = scenario(receivers=WARY)
    assert scenario(receivers=WARY, block_rows=JUDGED_BLOCK).hash == left_out.hash
    again = Scenario.load(left_out.resolved)
    assert (again.block_rows, again.hash) == (JUDGED_BLOCK, left_out.hash)


def test_the_schema_tells_both_defaults() -> None:
    text = schema()["properties"]["block_rows"]["description"]
    assert f"{FULL_BLOCK}, or {JUDGED_BLOCK} where a receiver has a detector" in text


# --- runs that began with others ------------------------------------------------------------------


def test_a_run_that_began_with_another_default_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(told(receivers=WARY)), encoding="utf-8")
    with monkeypatch.context() as then:
        then.setattr(waiting, "JUDGED_BLOCK", 16)
        run(file, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"block_rows \(16 → 4\)"):
        run(file, set={"block_rows": 4}, out=tmp_path / "run", resume=True)
    again = run(file, out=tmp_path / "run", resume=True)
    assert again.was_finished
    assert again.header()["block_rows"] == 16
    found = replay(tmp_path / "run", 3)  # whatever the default is now
    assert found.exact
    assert found.flips == ()


def test_without_a_folder_too_a_run_of_another_default_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(told(receivers=WARY)), encoding="utf-8")
    with monkeypatch.context() as then:
        then.setattr(waiting, "JUDGED_BLOCK", 16)
        first = run("study.yaml")
    other = run("study.yaml", set={"source.count": 5})
    assert first.folder != other.folder
    assert run("study.yaml", resume=True).folder == first.folder


# --- `check` --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("receivers", "tried"), [(PLAIN, {256}), (WARY, {256, JUDGED_BLOCK})])
def test_check_tries_the_small_block_where_a_receiver_judges_whatever_time_is_left(
    receivers: dict[str, Any], tried: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else large blocks are so slow that no others are tried, and seem a good choice."""
    monkeypatch.setattr(estimate_module, "BUDGET_S", 0.0)
    found = estimate_module.estimate(scenario(receivers=receivers, block_rows=256))
    assert set(found.rates) == tried
