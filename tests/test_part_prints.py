"""A run goes on, and is computed again, only with parts that compute what they computed.

The scenarios are small and real: a codec whose numbers live in a second file, or in weights that
its own code loads. Each is begun, interrupted (rows are taken away), changed, and asked to go on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import channelsim
from channelsim import part_prints
from channelsim.errors import InputError
from channelsim.ledger import Ledger
from channelsim.replay import replay
from channelsim.scenario import Scenario

CODEC = """
from torch import nn
from torch.nn import functional as F

from {helper} import GAIN


class Scaled(nn.Module):
    def encode(self, images):
        return F.avg_pool2d(images, 4).flatten(1)

    def decode(self, latents):
        {lazily}
        return GAIN * F.interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)
"""

LOADED = """
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Scaled(nn.Module):
    def __init__(self, weights):
        super().__init__()
        gain = torch.from_numpy(np.load(weights)).float()
        {kept}

    def encode(self, images):
        return F.avg_pool2d(images, 4).flatten(1)

    def decode(self, latents):
        return self.gain * F.interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)
"""

SCENARIO = """
title: A codec that may change
seed: 7
block_rows: 8
source: {kind: dataset, name: mnist5k, count: 12}
path: [{kind: awgn, snr_db: 20}]
receivers: {mine: {codec: {use: "./codec.py:Scaled"%s}}}
metrics: [mse]
"""


def interrupted(folder: Path) -> Path:
    """Run the scenario of a folder, and make it a run that stopped half-way."""
    run = channelsim.run(folder / "scenario.yaml", out=folder / "run")
    connection = sqlite3.connect(run.folder / "ledger.sqlite")
    with connection:
        connection.execute("DELETE FROM header WHERE key IN ('finished', 'finished_at')")
        connection.execute("DELETE FROM attempt WHERE transmission > 5")
        connection.execute("DELETE FROM transmission WHERE transmission > 5")
    connection.close()
    return run.folder


def resume(folder: Path) -> channelsim.Run:
    return channelsim.run(folder / "scenario.yaml", out=folder / "run", resume=True)


def rows(run: Path) -> int:
    with Ledger.open(run / "ledger.sqlite") as ledger:
        return ledger.settled()


def helped(folder: Path, helper: str = "helper", lazily: str = "") -> Path:
    """A codec whose gain stands in a module beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "codec.py").write_text(CODEC.format(helper=helper, lazily=lazily))
    (folder / f"{helper}.py").write_text("GAIN = 1.0\n")
    (folder / "scenario.yaml").write_text(SCENARIO % "")
    return folder


def loading(folder: Path, kept: str, written: str = "weights.npy") -> Path:
    """A codec whose own code loads its gain from a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "codec.py").write_text(LOADED.format(kept=kept))
    np.save(folder / "weights.npy", np.array([1.0]))
    (folder / "scenario.yaml").write_text(SCENARIO % f", weights: {written}")
    return folder


# --- a run that goes on -------------------------------------------------------------------------


def test_a_number_changed_in_a_module_beside_the_codec_is_refused_by_name(tmp_path: Path) -> None:
    folder = helped(tmp_path, "gains_one")
    run = interrupted(folder)
    (folder / "gains_one.py").write_text("GAIN = 0.5\n")
    with pytest.raises(InputError, match=r"receiver mine: gains_one\.py \(SHA-256 .* → .*decode"):
        resume(folder)
    assert rows(run) == 6, "nothing was computed"
    (folder / "gains_one.py").write_text("GAIN = 1.0\n")
    assert resume(folder).finished
    assert rows(run) == 12


def test_a_file_read_only_when_it_is_needed_counts_too(tmp_path: Path) -> None:
    folder = helped(tmp_path, "gains_two", "open(__file__.replace('codec.py', 'late.txt')).close()")
    (folder / "late.txt").write_text("one")
    interrupted(folder)
    (folder / "late.txt").write_text("two")
    with pytest.raises(InputError, match=r"late\.txt \(SHA-256"):
        resume(folder)


@pytest.mark.parametrize(
    "lazily",
    [
        "import late_gains",
        "from late_package.inner import NUMBER",
        "if len(latents) > 1000: import late_gains",
        "if len(latents) > 1000: from late_package import inner",
    ],
)
def test_what_a_method_imports_late_or_perhaps_never_is_listed(lazily: str, tmp_path: Path) -> None:
    folder = helped(tmp_path, "gains_with_late", lazily)
    (folder / "late_gains.py").write_text("import later_gains\n")
    (folder / "later_gains.py").write_text("GAIN = 1.0\n")
    (folder / "late_package").mkdir()
    (folder / "late_package" / "__init__.py").write_text("")
    (folder / "late_package" / "inner.py").write_text("from .deep import NUMBER\n")
    (folder / "late_package" / "deep.py").write_text("NUMBER = 1\n")
    package = {f"late_package/{name}.py" for name in ("__init__", "inner", "deep")}
    late = package if "package" in lazily else {"late_gains.py", "later_gains.py"}
    run = channelsim.run(folder / "scenario.yaml", out=folder / "run")
    files = run.header()["parts"]["receiver mine"]["files"]
    assert set(files) == {"codec.py", "gains_with_late.py"} | late
    assert replay(run.folder, 3, allow_code=True).flips == ()


@pytest.mark.parametrize(
    "kept",
    ["self.register_buffer('gain', gain)", "self.gain = gain", "self.gain = nn.Parameter(gain)"],
    ids=["a buffer", "a plain tensor", "a parameter"],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_the_users_own_code_loads_are_compared(kept: str, tmp_path: Path) -> None:
    if "Parameter" in kept:
        kept = "self.gain = nn.Parameter(gain, requires_grad=False)"
    folder = loading(tmp_path, kept)
    interrupted(folder)
    np.save(folder / "weights.npy", np.array([0.5]))
    # The hash of the scenario sees a file that it names; the sentence names it, too.
    with pytest.raises(InputError, match=r"receiver mine: weights\.npy \(SHA-256"):
        resume(folder)


def test_a_file_that_the_code_finds_by_itself_is_compared(tmp_path: Path) -> None:
    folder = loading(tmp_path, "self.gain = gain")
    text = (folder / "codec.py").read_text()
    text = text.replace("def __init__(self, weights)", "def __init__(self)")
    text = text.replace("np.load(weights)", "np.load(Path(__file__).parent / 'weights.npy')")
    (folder / "codec.py").write_text(text)
    (folder / "scenario.yaml").write_text(SCENARIO % "")
    interrupted(folder)
    np.save(folder / "weights.npy", np.array([0.5]))
    with pytest.raises(InputError, match=r"weights\.npy \(SHA-256 .*what its decode answers \(by"):
        resume(folder)


def test_a_module_that_another_file_imported_before_is_known(tmp_path: Path) -> None:
    folder = helped(tmp_path, "gains_shared")
    (folder / "codec.py").rename(folder / "other.py")
    (folder / "codec.py").write_text((folder / "other.py").read_text())
    text = SCENARIO % ""
    both = '{other: {codec: {use: "./other.py:Scaled"}}, mine: {codec: {use: "./codec.py:Scaled"}}}'
    text = text.replace(text.split("receivers: ")[1].split("\nmetrics")[0], both)
    (folder / "scenario.yaml").write_text(text)
    parts = part_prints.prints(Scenario.load(folder / "scenario.yaml"))
    for name, file in (("receiver mine", "codec.py"), ("receiver other", "other.py")):
        assert set(parts[name]["files"]) == {file, "gains_shared.py"}


def test_a_run_of_before_parts_were_recorded_is_not_resumed(tmp_path: Path) -> None:
    run = interrupted(helped(tmp_path, "gains_old"))
    connection = sqlite3.connect(run / "ledger.sqlite")
    with connection:
        connection.execute("DELETE FROM header WHERE key = 'parts'")
    connection.close()
    with pytest.raises(InputError, match="did not record what its parts compute"):
        resume(tmp_path)
    again = replay(run, 0, allow_code=True)
    assert again.flips == ()
    assert "what its parts compute" in " ".join(again.notices)


# --- in one process -----------------------------------------------------------------------------


def test_a_changed_module_is_run_again_in_the_same_process(tmp_path: Path) -> None:
    folder = helped(tmp_path, "gains_again")
    first = channelsim.run(folder / "scenario.yaml", out=folder / "one").frame()
    (folder / "gains_again.py").write_text("GAIN = 0.5\n")
    other = channelsim.run(folder / "scenario.yaml", out=folder / "two").frame()
    assert (first["mse_source"] != other["mse_source"]).all()


# --- a ledger that is replayed ------------------------------------------------------------------


def test_a_replay_compares_before_it_computes(tmp_path: Path) -> None:
    folder = helped(tmp_path, "gains_replayed")
    run = channelsim.run(folder / "scenario.yaml", out=folder / "run").folder
    assert replay(run, 3, allow_code=True).flips == ()
    (folder / "gains_replayed.py").write_text("GAIN = 0.5\n")
    with pytest.raises(InputError, match=r"gains_replayed\.py \(SHA-256 .* in the header, .* now"):
        replay(run, 3, allow_code=True)


# --- what a print is ----------------------------------------------------------------------------


def print_of(**changed: Any) -> Mapping[str, Any]:
    plain: dict[str, Any] = {
        "weights": "00",
        "answers": {"decode": [[0.5, 2.0]]},
        "folder": "/a",
        "files": {"codec.py": "a" * 64},
    }
    return {"receiver one": plain | changed}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"folder": "/b"}, []),  # a folder that was moved computes the same
        ({"answers": {"decode": [[0.50003, 2.0]]}}, []),  # other kernels
        ({"answers": {"decode": [[0.5003, 2.0]]}}, ["what its decode answers (by 0.0003)"]),
        ({"answers": {"decode": [[float("nan"), 2.0]]}}, ["what its decode answers"]),
        ({"answers": {}}, ["what its decode answers"]),
        ({"weights": "01"}, ["its parameters or buffers"]),
        ({"weights": None}, ["its parameters or buffers"]),
        ({"files": {"codec.py": "b" * 64}}, ["codec.py (SHA-256 aaaaaaaaaaaa… → bbbbbbbbbbbb…)"]),
        ({"files": {}}, ["codec.py (is not read any more, or is gone)"]),
    ],
)
def test_what_counts_as_a_change(changed: dict[str, Any], said: list[str]) -> None:
    found = part_prints.changes(print_of(), print_of(**changed))
    assert found == [f"receiver one: {phrase}" for phrase in said]


def test_parts_that_came_or_went_are_named() -> None:
    assert part_prints.changes(print_of(), {}) == ["receiver one (gone)"]
    assert part_prints.changes({}, print_of()) == ["receiver one (new)"]


def test_one_changed_weight_shows_although_the_file_is_the_same(tmp_path: Path) -> None:
    scenario = Scenario.load(
        {
            "source": {"kind": "dataset", "name": "mnist5k", "count": 2},
            "receivers": {"kld": {"codec": "kld-vae"}},
            "metrics": ["mse"],
        }
    )
    before = part_prints.prints(scenario)
    network = scenario.arms[0].receiver.codec.network
    weight = next(network.parameters())
    kept = weight.data.reshape(-1)[0].item()
    try:
        weight.data.reshape(-1)[0] += 1e-6
        after = part_prints.prints(scenario)
    finally:
        weight.data.reshape(-1)[0] = kept
    assert part_prints.changes(before, after) == ["receiver kld: its parameters or buffers"]
