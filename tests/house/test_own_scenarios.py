"""The examples of parts of one's own: they run, they replay, and they need one import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from helpers.known_ledger import assert_equal_ledgers

import channelsim
from channelsim.runs.replay import replay
from channelsim.support.errors import InputError

OWN = Path(__file__).parents[2] / "scenarios" / "own"
SCENARIOS = sorted(path for path in OWN.glob("*.yaml") if not path.stem.endswith(".card"))
SCRIPTS = {"train_deepjscc"}  # run by hand
CODE = sorted(path for path in OWN.glob("*.py") if path.stem not in SCRIPTS)
LINES = {"deepjscc": 120}  # a network has its layers
SMALL = {"source.count": 3, "block_rows": 8}


def test_there_is_an_example_of_every_kind_of_part() -> None:
    assert {path.stem.partition("_")[0] for path in SCENARIOS} == {path.stem for path in CODE}
    assert {"clipping", "deepjscc", "ecg", "edges", "momentum", "neighbours"} <= {
        path.stem for path in CODE
    }


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.stem)
def test_an_example_imports_channelsim_alone_and_is_a_page(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    assert {name for name in names if name.startswith("channelsim")} <= {"channelsim"}
    assert len(path.read_text().splitlines()) <= LINES.get(path.stem, 50)
    assert all(hasattr(channelsim, name) for name in _taken(path))


def _taken(path: Path) -> list[str]:
    return [
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "channelsim"
        for alias in node.names
    ]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_it_runs_and_replays_to_the_bit(path: Path, tmp_path: Path) -> None:
    run = channelsim.run(path, set=SMALL, out=tmp_path / "run")
    for transmission in (0, len(run.frame()) - 1):
        assert replay(run.folder, transmission, allow_code=True).exact


def test_workers_load_parts_of_ones_own(tmp_path: Path) -> None:
    for name in ("deepjscc", "momentum", "sensing"):
        for workers in (0, 1):
            folder = tmp_path / f"{name}-{workers}"
            channelsim.run(OWN / f"{name}.yaml", set=SMALL, out=folder, workers=workers)
        assert_equal_ledgers(tmp_path / f"{name}-0", tmp_path / f"{name}-1")


def test_a_gradient_attack_of_ones_own_leaves_blocks_and_repeats_itself() -> None:
    digits = channelsim.images("mnist5k", 6)
    from channelsim.scenario.user_code import load_class

    momentum = load_class(OWN / "momentum.py", "Momentum")
    made = momentum(
        goal=channelsim.TargetImage(target="black"),
        budget=channelsim.Budget(norm="linf", epsilon=1.0),
    )
    found = channelsim.attack("kld-vae", digits, made, seed=7)
    few = channelsim.attack("kld-vae", digits[:2], made, seed=7)
    assert (found.perturbation[:2] == few.perturbation).all()
    assert (found.metric("mse", against="target") < found.metric("mse", "passive", "target")).all()


METRIC = """
from channelsim import {imports}

{decorator}
def brightness(images, references{keys}):
    return (images.flatten(1).mean(1) - references.flatten(1).mean(1)).abs(){times}
"""


def scenario(file: Path, **keys: object) -> dict[str, object]:
    return {
        "title": "own",
        "source": {"kind": "dataset", "count": 3},
        "receivers": {"it": {"codec": {"kind": "linear", "latent_size": 8}}},
        "metrics": ["mse", {"use": f"{file}:brightness", **keys}],
        "block_rows": 8,
    }


def test_a_functions_keywords_are_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        METRIC.format(
            imports="metric, Positive",
            decorator="@metric(higher_is_better=False)",
            keys=", *, weight: Positive = 1.0",
            times=" * weight",
        )
    )
    once = channelsim.run(scenario(file), out=tmp_path / "once").frame()
    twice = channelsim.run(scenario(file, weight=2.0), out=tmp_path / "twice").frame()
    assert (twice["brightness_source"] == 2 * once["brightness_source"]).all()
    for wrong, said in (({"weight": -1.0}, "weight"), ({"wait": 1.0}, "wait")):
        with pytest.raises(InputError, match=said):
            channelsim.Scenario.load(scenario(file, **wrong))


def test_a_bare_function_is_refused_with_the_lines_to_write(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(METRIC.format(imports="part", decorator="", keys="", times=""))
    with pytest.raises(InputError, match=r"is a function; .*@metric\(higher_is_better=False\)"):
        channelsim.Scenario.load(scenario(file))


@pytest.mark.parametrize("name", ["limit", "kind", "measure", "card"])
def test_a_key_may_not_have_a_name_of_the_contract(name: str) -> None:
    names: dict[str, object] = {"metric": channelsim.metric}
    text = "@metric(higher_is_better=False)\n"
    text += f"def mine(images, references, *, {name}=1.0):\n    return images"
    with pytest.raises(InputError, match=f"the key '{name}' has the name of something"):
        exec(text, names)


def test_annotations_of_other_arguments_need_not_be_there() -> None:
    names: dict[str, object] = {"metric": channelsim.metric, "Count": channelsim.Count}
    exec(
        "from __future__ import annotations\n@metric(higher_is_better=False)\n"
        "def mine(images: Nowhere, references: Nowhere, *, times: Count = 1) -> Nowhere:\n"
        "    return times * images.flatten(1).mean(1)",
        names,
    )
    assert names["mine"](times=2).times == 2  # type: ignore[operator]
