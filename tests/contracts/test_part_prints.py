"""A run is resumed and recomputed only with parts that compute the same as before.

The scenarios are small and real: a codec whose numbers are in a second file, or in weights that its
own code loads. Each is begun, interrupted (rows are removed), changed, and resumed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import channelsim
from channelsim.ledger import Ledger
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario
from channelsim.simulation import part_prints
from channelsim.support.errors import InputError

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
    """Run the scenario of a folder, and turn it into a run that stopped half-way."""
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
    """A codec whose gain is in a module beside it."""
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


METHODS = """
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from channelsim.contracts.parts import Detector, Metric, OpenFraction, Stage, part


def read(name):
    return float(Path(__file__).with_name(name).read_text())


@part
class Gain(Stage):
    kind: ClassVar[str] = "gain"
    name: str = ""
    def cross(self, signal, rows):
        return signal * read("stage.txt")


@part
class Judge(Detector):
    kind: ClassVar[str] = "judge"
    false_alarm: OpenFraction = 0.05
    def fit(self, latents):
        return {"mean": latents.mean(0) * read("fit.txt")}
    def score(self, latents, state):
        return (latents - state["mean"]).square().sum(1) * read("score.txt")


@part
class Distance(Metric):
    kind: ClassVar[str] = "distance"
    higher_is_better: ClassVar[bool] = False
    def measure(self, images, references):
        return (images - references).abs().flatten(1).mean(1) * read("metric.txt")
"""


def test_what_methods_of_parts_on_the_path_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(METHODS)
    for name in ("stage", "fit", "score", "metric"):
        (tmp_path / f"{name}.txt").write_text("1.0")
    (tmp_path / "scenario.yaml").write_text(
        """
source: {kind: dataset, name: mnist5k, count: 4}
path: [{use: "./parts.py:Gain"}, {kind: awgn, snr_db: 20}]
receivers: {kld: {codec: kld-vae, detector: {use: "./parts.py:Judge"}}}
metrics: [mse, {use: "./parts.py:Distance"}]
"""
    )
    parts = part_prints.prints(Scenario.load(tmp_path / "scenario.yaml"))
    assert set(parts["stage gain"]["files"]) == {"parts.py", "stage.txt"}
    assert set(parts["detector of kld"]["files"]) == {"parts.py", "fit.txt", "score.txt"}
    assert set(parts["metric distance"]["files"]) == {"parts.py", "metric.txt"}


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


COMPUTED = """
import importlib

from torch import nn
from torch.nn import functional as F

{top}

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = {gain}

    def encode(self, images):
        return F.avg_pool2d(images, 4).flatten(1)

    def decode(self, latents):
        {late}
        return self.gain * F.interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)
"""
# The module's name is computed: the file's text does not contain it.
WAYS = {
    "in the constructor": {"gain": "importlib.import_module('gains' + '_{}').GAIN"},
    "by __import__": {"gain": "__import__('gains' + '_{}').GAIN"},
    "at the top": {"top": "G = importlib.import_module('gains' + '_{}').GAIN", "gain": "G"},
    "in a method": {"late": "importlib.import_module('gains' + '_{}')", "gain": "1.0"},
    "of a package": {"gain": "importlib.import_module('package_{}' + '.inner').GAIN"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_module_whose_name_is_computed_is_listed_by_everybody_who_imports_it(
    way: str, tmp_path: Path
) -> None:
    tag = way.replace(" ", "_").strip("_")
    text = COMPUTED.format(**{"top": "", "late": "", **WAYS[way]}).replace("{}", tag)
    (tmp_path / "codec.py").write_text(text)
    (tmp_path / "other.py").write_text(text)
    (tmp_path / f"gains_{tag}.py").write_text(
        f"import importlib\nGAIN = importlib.import_module('deep' + '_{tag}').GAIN\n"
    )
    (tmp_path / f"deep_{tag}.py").write_text(
        "from pathlib import Path\nGAIN = float(Path(__file__).with_suffix('.txt').read_text())\n"
    )
    (tmp_path / f"deep_{tag}.txt").write_text("1.0")
    package = tmp_path / f"package_{tag}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("GAIN = 1.0\n")
    both = '{mine: {codec: {use: "./codec.py:Scaled"}}, other: {codec: {use: "./other.py:Scaled"}}}'
    text = SCENARIO % ""
    text = text.replace(text.split("receivers: ")[1].split("\nmetrics")[0], both)
    (tmp_path / "scenario.yaml").write_text(text)
    wanted = {f"gains_{tag}.py", f"deep_{tag}.py", f"deep_{tag}.txt"}
    if way == "of a package":
        wanted = {f"package_{tag}/__init__.py", f"package_{tag}/inner.py"}
    for _ in range(2):  # a second load opens no file imported before
        parts = part_prints.prints(Scenario.load(tmp_path / "scenario.yaml"))
        for name, file in (("receiver mine", "codec.py"), ("receiver other", "other.py")):
            assert set(parts[name]["files"]) == {file} | wanted
    run = interrupted(tmp_path)
    assert resume(tmp_path).finished
    assert replay(run, 3, allow_code=True).flips == ()
    changed = sorted(wanted)[-1]
    (tmp_path / changed).write_text((tmp_path / changed).read_text() + " \n")
    with pytest.raises(InputError, match=changed.replace(".", r"\.")):
        replay(run, 3, allow_code=True)


def test_two_parts_of_one_file_list_each_what_it_imports_itself(tmp_path: Path) -> None:
    text = COMPUTED.format(top="", late="", gain="importlib.import_module('each' + '_a').GAIN")
    second = text[text.index("class") :].replace("Scaled", "Second").replace("'_a'", "'_b'")
    (tmp_path / "codec.py").write_text(text + "\n\n" + second)
    for name in ("a", "b"):
        (tmp_path / f"each_{name}.py").write_text("GAIN = 1.0\n")
    both = '{mine: {codec: {use: "./codec.py:Scaled"}}, b: {codec: {use: "./codec.py:Second"}}}'
    text = SCENARIO % ""
    text = text.replace(text.split("receivers: ")[1].split("\nmetrics")[0], both)
    (tmp_path / "scenario.yaml").write_text(text)
    for _ in range(2):
        parts = part_prints.prints(Scenario.load(tmp_path / "scenario.yaml"))
        assert set(parts["receiver mine"]["files"]) == {"codec.py", "each_a.py"}
        assert set(parts["receiver b"]["files"]) == {"codec.py", "each_b.py"}


def test_modules_that_stood_aside_are_the_same_ones_afterwards(tmp_path: Path) -> None:
    import sys

    folder = helped(tmp_path, "gains_kept", "import gains_late_kept")
    (folder / "gains_late_kept.py").write_text("HELD = []\n")
    Scenario.load(folder / "scenario.yaml")
    kept = {name: sys.modules[name] for name in ("gains_kept", "gains_late_kept")}
    spec = kept["gains_kept"].__spec__
    finders = list(sys.meta_path)
    Scenario.load(folder / "scenario.yaml")
    assert {name: sys.modules[name] for name in kept} == kept
    assert kept["gains_kept"].__spec__ is spec
    assert sys.meta_path == finders


# --- adversaries --------------------------------------------------------------------------------

ADVERSARY = """
from typing import ClassVar

import numpy as np
import torch

from channelsim.contracts import records
from channelsim.contracts.parts import part
from channelsim.contracts.adversary import Adversary, Budget

import settings_of_eve


@part
class Eve(Adversary):
    kind: ClassVar[str] = "eve"
    name: str = ""
    fits = {fits}
    budget: Budget

    def fit(self, radius, rows, draw):
        signal, known = draw(rows.message)
        return settings_of_eve.SIGN * radius * signal.mean(0).sign()

    def perturb(self, signal, radius, rows, knowledge):
        if rows.fitted is not None:
            return rows.fitted, np.full(len(signal), records.OK, dtype=object)
        with torch.enable_grad():
            leaf = signal.clone().requires_grad_()
            loss = (knowledge.decode(leaf) - knowledge.source).square().sum()
            (slope,) = torch.autograd.grad(loss, leaf)
        step = settings_of_eve.SIGN * radius[:, None] * slope.sign()
        return step, np.full(len(signal), records.OK, dtype=object)
"""
ATTACKED = """
title: An adversary that may change
seed: 7
block_rows: 8
source: {kind: dataset, name: mnist5k, count: 12}
path: [{use: "./eve.py:Eve", budget: {norm: linf, epsilon: 0.1}}, {kind: awgn, snr_db: 20}]
receivers: {kld: {codec: kld-vae}}
metrics: [mse]
"""


def attacked(folder: Path, fits: bool, sweep: str = "") -> Path:
    """A scenario with an adversary that takes a number from a module beside it."""
    (folder / "eve.py").write_text(ADVERSARY.format(fits=fits))
    (folder / "settings_of_eve.py").write_text("SIGN = 1.0\n")
    (folder / "scenario.yaml").write_text(ATTACKED + sweep)
    return folder


def forget(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a header's entries of its parts."""
    connection = sqlite3.connect(run / "ledger.sqlite")
    with connection:
        (text,) = connection.execute("SELECT value FROM header WHERE key = 'parts'").fetchone()
        parts = json.loads(text)
        change(parts)
        connection.execute("UPDATE header SET value = ? WHERE key = 'parts'", (json.dumps(parts),))
    connection.close()


@pytest.mark.parametrize("fits", [False, True])
def test_an_adversary_that_injects_something_else_is_refused_by_name(
    fits: bool, tmp_path: Path
) -> None:
    run = interrupted(attacked(tmp_path, fits))
    (tmp_path / "settings_of_eve.py").write_text("SIGN = -1.0\n")
    said = r"stage eve: settings_of_eve\.py \(SHA-256 .*stage eve: what its perturb answers \(by"
    with pytest.raises(InputError, match=said):
        resume(tmp_path)
    assert rows(run) == 6, "nothing was computed"
    # The same where the number comes from an unrecorded file.
    forget(run, lambda parts: parts["stage eve"].update(files=own_files(tmp_path)))
    with pytest.raises(
        InputError, match="changed since it began: stage eve: what its perturb answers"
    ):
        replay(run, 3, allow_code=True)
    (tmp_path / "settings_of_eve.py").write_text("SIGN = 1.0\n")
    forget(run, lambda parts: parts["stage eve"].update(files=own_files(tmp_path)))
    assert resume(tmp_path).finished
    assert replay(run, 3, allow_code=True).flips == ()


def own_files(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("eve.py", "settings_of_eve.py")
    }


def test_an_adversary_of_a_sweep_has_its_answers_arm_by_arm(tmp_path: Path) -> None:
    folder = attacked(tmp_path, False, "sweep: {eve.budget.epsilon: [0, 0.1, 0.2]}\n")
    run = interrupted(folder)
    parts = channelsim.Run.open(run).header()["parts"]
    names = [f"stage eve (arms {arm})" for arm in range(3)]
    assert [name for name in parts if name.startswith("stage")] == names
    figures = [parts[name]["answers"].get("perturb") for name in names]
    assert figures[0] is None, "nothing is asked of one that is off"
    assert np.array(figures[2]) == pytest.approx(2 * np.array(figures[1]), abs=1e-4)
    (folder / "settings_of_eve.py").write_text("SIGN = 0.5\n")
    with pytest.raises(InputError, match=r"stage eve \(arms 1\): what its perturb answers"):
        resume(folder)


def test_a_run_begun_before_adversaries_had_answers_goes_on(tmp_path: Path) -> None:
    def one_for_all(parts: dict[str, Any]) -> None:
        several = [parts.pop(name) for name in list(parts) if name.startswith("stage eve")]
        parts["stage eve"] = several[0] | {"answers": {}}

    folder = attacked(tmp_path, False, "sweep: {eve.budget.epsilon: [0, 0.1, 0.2]}\n")
    run = interrupted(folder)
    forget(run, one_for_all)
    assert resume(folder).finished
    assert replay(run, 20, allow_code=True).flips == ()
    (folder / "settings_of_eve.py").write_text("SIGN = 0.5\n")
    with pytest.raises(InputError, match=r"settings_of_eve\.py \(SHA-256"):
        replay(run, 20, allow_code=True)


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


# --- prints -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("changed_rows", "told"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)])
def test_a_turned_sign_in_some_rows_of_an_attack_is_rounding_in_most_it_is_another_attack(
    changed_rows: int, told: int
) -> None:
    # A sign gradient turns where the gradient is close to 0, depending on kernels.
    now = [[-0.3, 1.0] if row < changed_rows else [0.3, 1.0] for row in range(4)]
    found = part_prints.changes(
        print_of(answers={"perturb": [[0.3, 1.0]] * 4}), print_of(answers={"perturb": now})
    )
    assert found == ["receiver one: what its perturb answers (by 0.6)"] * told


def test_prints_of_some_arms_are_held_against_those_of_all() -> None:
    plain, other = print_of()["receiver one"], print_of(weights="01")["receiver one"]
    split = {"stage a (arms 0, 2)": plain, "stage a (arms 1)": other}
    said = ["stage a (arms 1): its parameters or buffers"]
    assert part_prints.changes({"stage a": plain}, split) == said
    assert part_prints.changes(split, {"stage a": plain}) == said
    assert part_prints.changes(split, split) == []


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
