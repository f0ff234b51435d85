"""Scenarios: valid files, and the errors of invalid ones."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channelsim.analysis.names import number
from channelsim.scenario import Scenario, parse_value, schema
from channelsim.scenario.catalog import TABLES
from channelsim.support.errors import InputError
from channelsim.support.yaml_lines import read_yaml

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

TEXT = """\
title: A small study
source: {kind: dataset, count: 20}
link: {latency_s: 0.02}
path:
  - kind: pgd
    name: mallory
    goal: {kind: image, target: black}
    budget: {norm: linf, epsilon: 0.5}
  - {kind: awgn, snr_db: 30}
receivers:
  plain: {codec: linear}
  wary: {codec: {kind: linear, latent_size: 8}, detector: {kind: norm}}
sweep:
  mallory.budget.epsilon: [0, 0.5, 1]
"""


def write(folder: Path, text: str = TEXT) -> Path:
    file = folder / "study.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def complaint(folder: Path, text: str, **options: Any) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(InputError) as error:
        Scenario.load(write(folder, text), **options)
    return error.value.message.replace(f"{folder}/", "").split("\n")


def linear(path: Path) -> dict[str, Any]:
    """Settings that put the linear codec in the place of trained ones."""
    receivers = yaml.safe_load(path.read_text(encoding="utf-8"))["receivers"]
    trained = [name for name, keys in receivers.items() if isinstance(keys["codec"], str)]
    return {f"{name}.codec": "linear" for name in trained}


# --- valid files --------------------------------------------------------------------------------


def test_arms_are_receivers_times_the_sweep_with_receivers_outermost(tmp_path: Path) -> None:
    text = TEXT + "  link.latency_s: [0.1, 0.2]\n"
    scenario = Scenario.load(write(tmp_path, text))
    assert scenario.receivers == ("plain", "wary")
    assert scenario.swept_keys == ("mallory.budget.epsilon", "link.latency_s")
    assert [arm.number for arm in scenario.arms] == list(range(12))
    assert [arm.receiver_name for arm in scenario.arms] == ["plain"] * 6 + ["wary"] * 6
    points = [(arm.path[0].budget.epsilon, arm.link.latency_s) for arm in scenario.arms[6:]]
    assert points == [(0, 0.1), (0, 0.2), (0.5, 0.1), (0.5, 0.2), (1, 0.1), (1, 0.2)]
    assert scenario.arms[3].swept == {"mallory.budget.epsilon": 0.5, "link.latency_s": 0.2}


def test_parts_that_are_described_alike_are_one_object_in_all_arms(tmp_path: Path) -> None:
    text = TEXT + "  receivers.*.latency_s: [0.1, 0.2]\n"
    scenario = Scenario.load(write(tmp_path, text), set={"wary.codec": {"kind": "linear"}})
    assert len({id(arm.receiver.codec) for arm in scenario.arms}) == 1
    assert len({id(arm.receiver.detector) for arm in scenario.arms}) == 2  # norm, and none
    assert len({id(arm.path[0]) for arm in scenario.arms}) == 3
    assert len({id(arm.path[1]) for arm in scenario.arms}) == 1
    assert {arm.receiver.latency_s for arm in scenario.arms} == {0.1, 0.2}


def test_what_a_file_leaves_out_has_the_documented_default(tmp_path: Path) -> None:
    text = "source: {kind: dataset}\nreceivers: {plain: {codec: linear}}\n"
    scenario = Scenario.load(write(tmp_path, text))
    assert scenario.title == "study"
    assert (scenario.seed, scenario.control, scenario.block_rows) == (0, True, 256)
    assert (scenario.max_pending, scenario.images) == (None, 4)
    assert [metric.kind for metric in scenario.metrics] == ["mse", "psnr", "ssim"]
    (arm,) = scenario.arms
    assert (arm.transmit, arm.path, arm.power.mode) == ("mean", (), "average")
    assert scenario.source.messages == 1000


def test_words_stand_for_parts_that_need_nothing_else(tmp_path: Path) -> None:
    text = TEXT.replace("detector: {kind: norm}", "detector: norm") + "power: codeword\n"
    scenario = Scenario.load(write(tmp_path, text))
    assert (
        scenario.arms[-1].receiver.detector
        == Scenario.load(write(tmp_path)).arms[-1].receiver.detector
    )
    assert scenario.arms[0].power.mode == "codeword"


def test_a_mapping_makes_the_same_scenario_as_its_file(tmp_path: Path) -> None:
    from_file = Scenario.load(write(tmp_path))
    data = yaml.safe_load(TEXT)
    assert Scenario.load(data).hash == from_file.hash
    data["sweep"]["mallory.budget.epsilon"] = np.linspace(0, 1, 3)
    assert Scenario.load(data).hash == from_file.hash
    assert Scenario.load(from_file) is from_file
    assert from_file.written == TEXT


def test_the_resolved_scenario_is_plain_and_loads_to_itself(tmp_path: Path) -> None:
    text = TEXT.replace("epsilon: [0, 0.5, 1]", "norm: [linf, l2]").replace(
        "sweep:", "sweep:\n  wary.detector: [null, {kind: latent-density}]"
    )
    for written in (TEXT, text):
        scenario = Scenario.load(write(tmp_path, written))
        through_json = json.loads(json.dumps(scenario.resolved))
        again = Scenario.load(through_json)
        assert again.resolved == scenario.resolved
        assert again.hash == scenario.hash
        assert [arm.path for arm in again.arms] == [arm.path for arm in scenario.arms]
        assert [arm.receiver for arm in again.arms] == [arm.receiver for arm in scenario.arms]
    swept = scenario.resolved["sweep"]["wary.detector"]
    assert swept == [None, {"kind": "latent-density", "false_alarm": 0.05}]


def test_numbers_are_read_as_yaml_1_2_reads_them() -> None:
    text = "[20e3, 1e-3, .5, -.inf, 0x10, 010, 1_000, off, yes, 1:30, null, ~, true, '1', 3.]"
    values = parse_value(text, "--set x")
    assert values == [
        20e3, 1e-3, 0.5, -math.inf, 16, 10, "1_000", "off", "yes", "1:30", None, None, True,
        "1", 3.0,
    ]  # fmt: skip
    assert isinstance(values[0], float)
    assert math.isnan(parse_value(".nan", "--set x"))


def test_a_setting_that_is_no_yaml_is_said_so() -> None:
    with pytest.raises(InputError, match=r"^--set a\.b: not valid YAML: expected ',' or ']'"):
        parse_value("[1, 2", "--set a.b")


def test_every_value_knows_its_line() -> None:
    document = read_yaml("a: 1\nb:\n  - x\n  - {c: 2}\n", "f.yaml")
    assert document.data == {"a": 1, "b": ["x", {"c": 2}]}
    assert document.lines[("b",)] == 2
    assert document.lines[("b", 1, "c")] == 4


# --- sweeps and settings ------------------------------------------------------------------------


def test_setting_a_swept_key_pins_it(tmp_path: Path) -> None:
    file = write(tmp_path)
    pinned = Scenario.load(file, set={"mallory.budget.epsilon": 0.7})
    assert pinned.swept_keys == ()
    assert [arm.path[0].budget.epsilon for arm in pinned.arms] == [0.7, 0.7]
    # Setting the whole budget pins its parts.
    assert Scenario.load(file, set={"mallory.budget": {"epsilon": 2}}).swept_keys == ()
    # Another key of it leaves the sweep alone.
    assert len(Scenario.load(file, set={"mallory.budget.norm": "l2"}).arms) == 6


def test_setting_a_sweep_replaces_it_under_whatever_name(tmp_path: Path) -> None:
    file = write(tmp_path)
    for key in ("sweep.mallory.budget.epsilon", "sweep.path.0.budget.epsilon"):
        scenario = Scenario.load(file, set={key: [0.25, 0.75]})
        assert [arm.path[0].budget.epsilon for arm in scenario.arms] == [0.25, 0.75] * 2
    added = Scenario.load(file, set={"sweep.awgn.snr_db": [10, 20]})
    assert added.swept_keys == ("mallory.budget.epsilon", "awgn.snr_db")
    assert len(Scenario.load(file, set={"sweep": {}}).arms) == 2


def test_a_swept_value_need_not_stand_in_the_path(tmp_path: Path) -> None:
    scenario = Scenario.load(write(tmp_path, TEXT.replace("linf, epsilon: 0.5", "linf")))
    assert len(scenario.arms) == 6


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("source.count", 5, lambda s: s.source.messages == 5),
        ("seed", 11, lambda s: s.seed == 11),
        ("title", "other", lambda s: s.title == "other"),
        ("metrics", ["mse"], lambda s: len(s.metrics) == 1),
        ("path.1.snr_db", 3, lambda s: s.arms[0].path[1].snr_db == 3),
        ("plain.codec.latent_size", 4, lambda s: s.arms[0].receiver.codec.latent_size == 4),
        ("receivers.wary.detector.false_alarm", 0.2,
         lambda s: s.arms[-1].receiver.detector.false_alarm == 0.2),
        ("receivers.*.latency_s", 0.5, lambda s: s.arms[-1].receiver.latency_s == 0.5),
        ("power.level", "unit", lambda s: s.arms[0].power.level == "unit"),
        ("max_pending", 1, lambda s: s.max_pending == 1),
    ],
)  # fmt: skip
def test_any_dotted_key_can_be_set(tmp_path: Path, key: str, value: Any, seen: Any) -> None:
    assert not seen(Scenario.load(write(tmp_path)))
    assert seen(Scenario.load(write(tmp_path), set={key: value}))


def test_the_seed_option_comes_last(tmp_path: Path) -> None:
    assert Scenario.load(write(tmp_path), set={"seed": 3}, seed=4).seed == 4


def test_a_thousand_arms_load_at_once(tmp_path: Path) -> None:
    file = write(tmp_path)
    Scenario.load(file)
    started = time.process_time()
    values = [i / 500 for i in range(500)]
    assert len(Scenario.load(file, set={"sweep.mallory.budget.epsilon": values}).arms) == 1000
    # A guard against building every part for every arm; ten times what it takes.
    assert time.process_time() - started < 3.0


# --- the hash -----------------------------------------------------------------------------------


def test_the_hash_stands_for_results_and_for_nothing_else(tmp_path: Path) -> None:
    base = Scenario.load(write(tmp_path)).hash
    same = [
        "# a remark\n" + TEXT,
        "\n".join(["block_rows: 8", *TEXT.split("\n")]),
        TEXT + "max_pending: 3\n",
        TEXT.replace("{norm: linf, epsilon: 0.5}", "{epsilon: 0.9, norm: linf}"),  # swept anyway
        TEXT.replace("[0, 0.5, 1]", "[0.0, 5e-1, 1.0]"),
        TEXT.replace("codec: linear", "codec: {kind: linear, latent_size: 16}"),
    ]
    for text in same:
        assert Scenario.load(write(tmp_path, text)).hash == base, text
    other = [
        TEXT + "seed: 1\n",
        TEXT + "block_rows: 128\n",
        TEXT + "control: false\n",
        TEXT.replace("count: 20", "count: 21"),
        TEXT.replace("[0, 0.5, 1]", "[0, 0.5]"),
        TEXT.replace("linf", "l2"),
        TEXT.replace("latent_size: 8", "latent_size: 9"),
        TEXT.replace("kind: norm", "kind: latent-density"),
        TEXT.replace("  wary", "  careful"),
    ]
    found = {Scenario.load(write(tmp_path, text)).hash for text in other}
    assert len(found) == len(other)
    assert base not in found


def test_the_hash_sees_into_files_but_not_where_they_lie(tmp_path: Path) -> None:
    text = TEXT.replace("target: black", "target: file, file: wanted.npy")

    def hash_in(folder: str, grey: float) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        np.save(tmp_path / folder / "wanted.npy", np.full((32, 32), grey, dtype=np.float32))
        return Scenario.load(write(tmp_path / folder, text)).hash

    assert hash_in("one", 0.25) == hash_in("two", 0.25)
    assert hash_in("one", 0.25) != hash_in("three", 0.75)


# --- shipped scenarios --------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_load_and_their_schema_knows_them(path: Path) -> None:
    scenario = Scenario.load(path, set=linear(path))
    assert len(scenario.arms) >= 6
    assert Scenario.load(scenario.resolved).hash == scenario.hash
    written = read_yaml(path.read_text(encoding="utf-8"), path.name).data
    described = schema()
    assert allows(described, written, described)
    assert allows(described, scenario.resolved, described)


def test_the_schema_refuses_what_the_program_refuses() -> None:
    described = schema()
    good = yaml.safe_load(TEXT)
    assert allows(described, good, described)
    for wrong in (
        {"sede": 3},
        {"seed": -1},
        {"source": None},
        {"receivers": {}},
        {"path": [{"kind": "agwn"}]},
        {"path": [{"kind": "awgn", "snr": 3}]},
        {"receivers": {"a": {"codex": "linear"}}},
        {"transmit": "men"},
        {"sweep": {"awgn.snr_db": 3}},
    ):
        assert not allows(described, good | wrong, described), wrong


def allows(node: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    """The part of the JSON Schema standard that the schema uses."""
    kinds = {
        "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
        "integer": int, "number": (int, float),
    }  # fmt: skip
    if "$ref" in node:
        parts = node["$ref"].removeprefix("#/").split("/")
        target: Any = root
        for part in parts:
            target = target[part]
        if not allows(target, value, root):
            return False
    choices = node.get("anyOf") or node.get("oneOf")
    if choices and not any(allows(choice, value, root) for choice in choices):
        return False
    if "type" in node:
        if not isinstance(value, kinds[node["type"]]):
            return False
        if isinstance(value, bool) and node["type"] in ("integer", "number"):
            return False
    if "const" in node and value != node["const"]:
        return False
    if "enum" in node and value not in node["enum"]:
        return False
    if isinstance(value, dict):
        known = node.get("properties", {})
        rest = node.get("additionalProperties", True)
        if len(value) < node.get("minProperties", 0) or set(node.get("required", ())) - set(value):
            return False
        for key, inner in value.items():
            described = known.get(key, rest)
            if described is False:
                return False
            if described is not True and not allows(described, inner, root):
                return False
    if isinstance(value, list):
        if len(value) < node.get("minItems", 0):
            return False
        if any(not allows(node.get("items", {}), item, root) for item in value):
            return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (
            node.get("minimum", -math.inf) <= value <= node.get("maximum", math.inf)
            and value > node.get("exclusiveMinimum", -math.inf)
        ) or value == -math.inf
    return True


# --- errors -------------------------------------------------------------------------------------

BAD: list[tuple[str, str, str]] = [
    ("kind: awgn", "kind: agwn",
     f":9  path[1].kind: unknown kind 'agwn' (known: {', '.join(TABLES['stage'])}, or `use:` your"
      " own). Did you mean awgn?"),
    ("snr_db: 30", "snr: 30",
     ":9  path[1].snr: unknown field for awgn (known: snr_db, name)."
     " Did you mean snr_db?"),
    (", snr_db: 30", "", ":9  path[1].snr_db: missing; awgn needs it"),
    ("snr_db: 30", "snr_db: loud", ":9  path[1].snr_db: must be a number, was given 'loud'"),
    ("snr_db: 30", "snr_db: yes", ":9  path[1].snr_db: must be a number, was given 'yes'"),
    ("snr_db: 30", "snr_db: true", ":9  path[1].snr_db: must be a number, was given true"),
    ("snr_db: 30", "snr_db: .nan",
     ":9  path[1].snr_db: must be a finite number, was given nan"),
    ("snr_db: 30", "snr_db: inf",
     ":9  path[1].snr_db: must be a number, was given 'inf'"
     " (infinity is written .inf in YAML)"),
    ("latency_s: 0.02", "latency_s: -1",
     ":3  link.latency_s: must be at least 0, was given -1"),
    ("latency_s: 0.02", "los: 0.1",
     ":3  link.los: unknown field for link (known: latency_s, symbol_rate_hz, loss,"
     " max_attempts, timeout_s, transmitters, priorities, medium, duplex,"
     " answer_symbols, access). Did you mean loss?"),
    ("latency_s: 0.02", "loss: 2", ":3  link.loss: must be at most 1, was given 2"),
    ("count: 20", "count: 0", ":2  source.count: must be at least 1, was given 0"),
    ("count: 20", "count: 2.5",
     ":2  source.count: must be a whole number, was given 2.5"),
    ("count: 20", "arrivals: {kind: poison}",
     ":2  source.arrivals: unknown kind 'poison' (known: once, periodic, poisson)."
     " Did you mean poisson?"),
    ("count: 20", "arrivals: {rate_hz: 3}",
     ":2  source.arrivals: kind is missing (known: once, periodic, poisson)"),
    ("kind: dataset, ", "",
     ":2  source: kind is missing (known: dataset, images, npz, signals, prior, or `use:`"),
    ("source: {kind: dataset, count: 20}\n", "", ":1  source: missing; a scenario needs it"),
    ("target: black", "target: blakc",
     ":7  path[0].goal.target: must be black, white, inverse, random, message, file or zero,"
     " was given 'blakc'. Did you mean black?"),
    ("{norm: linf, epsilon: 0.5}", "3",
     ":8  path[0].budget: must be a mapping (key: value), was given 3"),
    ("codec: linear}", "codec: linaer}",
     ":11  receivers.plain.codec: unknown codec 'linaer'"),
    ("codec: linear}", "codec: {kind: linear, image_shape: [1, 28, 28]}}",
     ":11  receivers.plain.codec: takes images of shape [1, 28, 28], but the source sends"
     " [1, 32, 32]"),
    ("codec: linear}", "codec: {kind: trained, weights: gone.safetensors}}",
     ":11  receivers.plain.codec: weights gone.safetensors: there is no such file"),
    ("{codec: linear}", "{codex: linear}",
     ":11  receivers.plain.codex: unknown field for receiver (known: codec, detector,"
     " latency_s, fallback, assumed_snr_db). Did you mean codec?"),
    ("{codec: linear}", "linear",
     ":11  receivers.plain: must be a mapping {codec: …}, was given 'linear'"),
    ("  plain:", "  1:",
     ":11  receivers[1]: a name must be text, was given 1; write it in quotes"),
    ("  plain:", "  a.b:",
     ":11  receivers.a.b: 'a.b' cannot name a receiver: use letters, digits, _ and -"),
    ("  plain:", "  link:",
     ":11  receivers.link: 'link' cannot name a receiver: the word has a meaning of its"
     " own"),
    ("  plain:", "  mallory:",
     ":11  receivers.mallory: the name 'mallory' is used by path[0] too; rename one"),
    ("  plain:", "  wary:", ":12  wary: given twice (first on line 11); remove one"),
    ("  - {kind: awgn, snr_db: 30}", "  - {kind: awgn, snr_db: 30}\n  - {kind: awgn, snr_db: 20}",
     ":10  path[2]: the name 'awgn' is used by path[1] too; give one of them a name of its"
     " own (name: …)"),
    ("  - {kind: awgn, snr_db: 30}", "  - 3",
     f":9  path[1]: must be a mapping {{kind: …}} (known: {', '.join(TABLES['stage'])}), was given"
      " 3"),
    ("title: A small study", "sede: 3", ":1  sede: unknown field for a scenario (known: "),
    ("receivers:", "recievers:", ":10  recievers: unknown field for a scenario (known: "),
    ("source:", "souce:", ":2  souce: unknown field for a scenario (known: "),
    ("title: A small study", "seed: -3", ":1  seed: must be at least 0, was given -3"),
    ("title: A small study", "title: 3", ":1  title: must be text, was given 3"),
    ("title: A small study", "control: off",
     ":1  control: must be true or false, was given 'off'"),
    ("title: A small study", "block_rows: 0",
     ":1  block_rows: must be at least 1, was given 0"),
    ("title: A small study", "transmit: men",
     ":1  transmit: must be mean or sample, was given 'men'. Did you mean mean?"),
    ("title: A small study", "power: loud",
     ":1  power.mode: must be average or codeword, was given 'loud'"),
    ("title: A small study", "metrics: []", ":1  metrics: must not be empty"),
    ("title: A small study", "metrics: [mse, ssmi]",
     ":1  metrics[1].kind: unknown kind 'ssmi'"),
    ("title: A small study", "metrics: [mse, mse]",
     ":1  metrics[1]: mse is listed twice; remove one"),
    ("title: A small study", "title: [",
     ":3  not valid YAML: expected ',' or ']', but got"),
    ("title: A small study", "title: !!python/name:os.system x",
     ":1  tag !!python/name:os.system is not allowed: a scenario is data"),
    ("title: A small study", "title: &x [*x]", ":1  "),
    ("  mallory.budget.epsilon: [0, 0.5, 1]", "  mallory.budget.epsilon: 3",
     ":14  sweep.mallory.budget.epsilon: must be a list of values, was given 3"),
    ("[0, 0.5, 1]", "[]",
     ":14  sweep.mallory.budget.epsilon: must not be an empty list; remove the key"),
    ("[0, 0.5, 1]", "[0, 1, 0.0]",
     ":14  sweep.mallory.budget.epsilon[2]: 0.0 is in the list twice; remove one"),
    ("[0, 0.5, 1]", "\n   - 0\n   - -1",
     ":16  sweep.mallory.budget.epsilon[1]: epsilon must not be negative for norm linf"),
    ("[0, 0.5, 1]", "[0, high]",
     ":14  sweep.mallory.budget.epsilon[1]: must be a number, was given 'high'"),
    ("  mallory.budget.", "  malory.budget.",
     ":14  sweep.malory.budget.epsilon: unknown key 'malory.budget.epsilon'."
     " Did you mean mallory.budget.epsilon?"),
    ("  mallory.budget.epsilon: [0", "  seed: [0",
     ":14  sweep.seed: cannot be swept: all arms share their random numbers; use --seed"),
    ("  mallory.budget.epsilon: [0", "  source.count: [2",
     ":14  sweep.source.count: cannot be swept: all arms share their messages; use --set"),
    ("  mallory.budget.epsilon: [0, 0.5, 1]", "  mallory: {steps: [1, 2]}",
     ":14  sweep.mallory: must be a list of values; join keys by dots: mallory.steps"),
    ("sweep:", "sweep:\n  path.0.budget: [{epsilon: 1}]",
     ":15  sweep.mallory.budget.epsilon: sweeps the same value as path.0.budget"),
    (TEXT, "", ": is empty; a scenario is a mapping"),
    (TEXT, "- a\n- b\n", ": holds list; a scenario is a mapping"),
    (TEXT, "a: 1\n---\nb: 2\n", ":2  not valid YAML"),
    (TEXT, "[" * 5000, ":1  not valid YAML: nested too deeply"),
    (TEXT, "a: \x00", ": not a YAML text file"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "said"), BAD, ids=lambda text: text[:40])
def test_one_mistake_gives_one_sentence_with_its_line(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert TEXT.count(before) == 1
    found = complaint(tmp_path, TEXT.replace(before, after))
    assert len(found) == 1, found
    assert found[0].startswith(f"study.yaml{said}")


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"malory.steps": 3}, "malory.steps: unknown key 'malory.steps'. Did you mean mallory.steps?"),
    ({"source.cuont": 3}, "source.cuont: unknown key 'source.cuont'. Did you mean source.count?"),
    ({"path.7.snr_db": 3}, "path.7.snr_db: unknown key 'path.7.snr_db'."),
    ({"awgn.snr_db": "x"}, "awgn.snr_db: must be a number, was given 'x'"),
    ({"seed": -1}, "seed: must be at least 0, was given -1"),
    ({"receivers": {}}, "receivers: must not be empty"),
    ({"sweep.mallory.steps": 3},
     "sweep.mallory.steps: must be a list of values, was given 3"),
    ({"sweep.malory.steps": [3]},
     "sweep.malory.steps: unknown key 'malory.steps'. Did you mean mallory.steps?"),
    ({"sweep.mallory.steps": [3, 0]},
     "sweep.mallory.steps  sweep.mallory.steps[1]: must be at least 1, was given 0"),
    ({"sweep": {"mallory.goal": [{"kind": "damage"}]}, "mallory.goal.loss": "ssim"},
     "mallory.goal.loss: mallory.goal is swept and would replace it; set mallory.goal or"
     " sweep.mallory.goal"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), SETTINGS, ids=str)
def test_a_bad_setting_is_named_as_it_was_typed(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    found = complaint(tmp_path, TEXT, set=change)
    assert len(found) == 1, found
    assert found[0].startswith(f"--set {said}")


def test_all_mistakes_are_said_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = (
        TEXT.replace("codec: linear}", "codec: nothing}")
        .replace("latency_s: 0.02", "latency_s: soon")
        .replace("kind: awgn", "kind: agwn")
        .replace("[0, 0.5, 1]", "[0, x]")
        .replace("title:", "titel:")
    )
    found = complaint(tmp_path, text, set={"nowhere": 1}, seed=-5)
    places = [line.split(": ")[0] for line in found]
    assert places == [
        "study.yaml:1  titel",
        "study.yaml:3  link.latency_s",
        "study.yaml:9  path[1].kind",
        "study.yaml:11  receivers.plain.codec",
        "study.yaml:14  sweep.mallory.budget.epsilon[1]",
        "--set nowhere",
        "--seed",
    ]


def test_a_mistake_in_the_path_is_not_repeated_for_every_arm(tmp_path: Path) -> None:
    found = complaint(tmp_path, TEXT.replace("kind: image", "kind: imgae"))
    assert len(found) == 1
    assert found[0].startswith("study.yaml:7  path[0].goal: unknown kind 'imgae'")


def test_a_hundred_mistakes_are_counted_not_listed(tmp_path: Path) -> None:
    found = complaint(tmp_path, TEXT.replace("[0, 0.5, 1]", str([f"x{i}" for i in range(100)])))
    assert len(found) == 41
    assert found[-1] == "… and 60 more"


def test_a_target_of_the_wrong_shape_is_refused_before_the_run(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((32, 48), dtype=np.float32))
    text = TEXT.replace("target: black", "target: file, file: wide.npy")
    (found,) = complaint(tmp_path, text)
    assert found.startswith(
        "study.yaml:7  path[0].goal: wide.npy: the target image has shape [32, 48]"
    )
    swept = TEXT + "  mallory.goal: [{kind: damage}, {kind: image, target: file, file: wide.npy}]\n"
    (found,) = complaint(tmp_path, swept)
    assert found.startswith("study.yaml:15  sweep.mallory.goal[1]: wide.npy: the target image has")


def test_too_many_arms_are_refused_before_they_are_built(tmp_path: Path) -> None:
    many = list(range(1, 1001))
    (found,) = complaint(
        tmp_path, TEXT, set={"sweep": {"mallory.steps": many, "awgn.snr_db": many}}
    )
    assert "makes 2,000,000 arms with 2 receivers; at most 100,000 are allowed" in found


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    names = ["a"] + [f"b{i}" for i in range(20)]
    for before, name in itertools.pairwise(names):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    (found,) = complaint(tmp_path, bomb)
    assert "more than 100,000 values" in found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.yaml", "there is no such scenario file"),
        (".", "is a folder"),
        ("bytes.yaml", "not a text file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(InputError, match=said):
        Scenario.load(tmp_path / name)


# --- arbitrary inputs ---------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["linear", "pgd", "awgn", "kind", "use", "./x.py:Y", "mse", "norm", "", "."])
)
GARBAGE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)


PLACES = [
    ("source",), ("source", "arrivals"), ("source", "count"), ("link",), ("link", "loss"),
    ("path",), ("path", 0), ("path", 0, "name"), ("path", 0, "goal"), ("path", 0, "budget"),
    ("path", 0, "budget", "epsilon"), ("path", 1), ("path", 1, "kind"), ("receivers",),
    ("receivers", "plain"), ("receivers", "plain", "codec"), ("receivers", "wary", "detector"),
    ("receivers", "wary", "latency_s"), ("sweep",), ("sweep", "mallory.budget.epsilon"),
    ("sweep", "awgn.snr_db"), ("metrics",), ("power",), ("transmit",), ("seed",), ("images",),
    ("max_pending",), ("title",), ("control",), ("nonsense",), (),
]  # fmt: skip


def replaced(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    if isinstance(data, list):
        return [replaced(x, place[1:], value) if i == place[0] else x for i, x in enumerate(data)]
    data = dict(data) if isinstance(data, dict) else {}
    return data | {place[0]: replaced(data.get(place[0]), place[1:], value)}


def outcome(given: Any, **options: Any) -> Scenario | str:
    """A scenario, or the error message; any other exception fails the test."""
    try:
        return Scenario.load(given, **options)
    except InputError as error:
        return error.message


@settings(max_examples=120)
@given(st.lists(st.tuples(st.sampled_from(PLACES), GARBAGE), min_size=1, max_size=3))
def test_garbage_anywhere_gives_an_input_error_or_a_scenario(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    data: Any = yaml.safe_load(TEXT)
    for place, value in changes:
        data = replaced(data, place, value)
    if not isinstance(data, dict):
        return
    data["block_rows"] = 8
    answer = outcome(data)
    if isinstance(answer, Scenario):
        assert Scenario.load(answer.resolved).hash == answer.hash
    else:
        assert answer.strip()


@settings(max_examples=50)
@given(st.text(max_size=12), GARBAGE)
def test_garbage_settings_give_an_input_error_or_a_scenario(key: str, value: Any) -> None:
    for name in (key, f"mallory.{key}", f"sweep.{key}", "sweep.mallory.goal", "sweep", "path"):
        assert outcome(yaml.safe_load(TEXT), set={name: value})


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t0.e"), max_size=40))
def test_garbage_text_is_a_scenario_file_nobody_crashes_on(tmp_path: Path, text: str) -> None:
    answer = outcome(write(tmp_path, text))
    assert isinstance(answer, str)  # it names no source
    assert answer.startswith(str(tmp_path / "study.yaml"))


def test_what_a_card_tells_does_not_decide_about_results_but_what_acts_does(tmp_path, monkeypatch):
    """A new title or a new figure of quality must not make older runs unrepeatable."""
    from channelsim.codecs.trained import Zoo

    plain = {
        "title": "cards",
        "seed": 1,
        "source": {"kind": "dataset", "name": "mnist5k", "count": 4},
        "receivers": {"kld": {"codec": "kld-vae"}},
        "metrics": ["mse"],
    }
    known = Scenario.load(plain).hash
    card = dict(Zoo(name="kld-vae").card)

    def with_card(**changes):
        with monkeypatch.context() as patched:
            patched.setattr(Zoo, "card", property(lambda codec: {**card, **changes}))
            return Scenario.load(plain).hash

    assert with_card(title="another", test_mse=1.0, sha256="0" * 64) == known
    assert with_card(transmit_power=2.0) != known
    assert with_card(content_sha256="0" * 64) != known


# --- whole stages in one another's place --------------------------------------------------------

STAND_INS = """\
sweep:
  path.0:
    - {kind: pgd, name: relay, goal: {kind: damage}, budget: {norm: l2, epsilon: 0.5}}
    - {kind: noise, budget: {norm: l2, epsilon: 0.5}}
"""


def test_a_sweep_may_put_other_stages_in_the_place_of_one(tmp_path: Path) -> None:
    file = write(tmp_path, TEXT.split("sweep:")[0] + STAND_INS)
    scenario = Scenario.load(file)
    assert [arm.path[0].label for arm in scenario.arms] == ["relay", "noise"] * 2
    assert len({id(arm.path[1]) for arm in scenario.arms}) == 1
    assert [number(arm.swept["path.0"]) for arm in scenario.arms[:2]] == [
        "relay",
        "noise",
    ]
    again = Scenario.load(json.loads(json.dumps(scenario.resolved)))
    assert [arm.path for arm in again.arms] == [arm.path for arm in scenario.arms]
    assert again.hash == scenario.hash
    pinned = Scenario.load(file, set={"path.0": {"kind": "awgn", "name": "x", "snr_db": 3}})
    assert [arm.path[0].label for arm in pinned.arms] == ["x", "x"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{kind: noise, law: signs, budget: {epsilon: 1}}", "an earlier value is named 'noise'"),
        ("{kind: noise, name: wary, budget: {epsilon: 1}}", "the name 'wary' is taken"),
        ("{kind: noise, name: a b, budget: {epsilon: 1}}", "'a b' cannot name a stage"),
        ("{kind: noise, name: x, budget: {epsilon: -1}}", "epsilon must not be negative"),
    ],
)
def test_what_stands_in_needs_a_name_of_its_own(tmp_path: Path, value: str, said: str) -> None:
    text = TEXT.split("sweep:")[0] + STAND_INS + f"    - {value}\n"
    with pytest.raises(InputError) as error:
        Scenario.load(write(tmp_path, text))
    line = len(text.splitlines())
    assert f":{line}  sweep.path.0[2]" in error.value.message
    assert said in error.value.message
