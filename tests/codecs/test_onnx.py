"""Codecs in ONNX files: the numbers of the file, row by row, and nothing but numbers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import channelsim
from channelsim import InputError, Scenario
from channelsim.runs.replay import replay
from channelsim.runs.resume import changes_between
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.header import header
from channelsim.simulation.worker import Brief, prepare

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

FLOAT, OPSET, IR = onnx.TensorProto.FLOAT, 17, 9
WEIGHTS = np.random.default_rng(0).normal(size=(1024, 16)).astype(np.float32) / 32
AWGN = {"kind": "awgn", "snr_db": 15}
PGD = {
    "kind": "pgd",
    "name": "mallory",
    "goal": {"kind": "damage"},
    "budget": {"epsilon": 0.5},
    "steps": 1,
}


def written(
    file: Path, nodes: list[Any], given: list[Any], shown: list[list[Any]], tensors: Any = ()
) -> Path:
    """A file with these nodes; ``given``: the shape of ``x``; ``shown``: name and shape."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, given)],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, *shape in shown],
        list(tensors),
    )
    domains = {node.domain for node in nodes} - {""}
    sets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(one, 1) for one in domains)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=IR)
    file.write_bytes(model.SerializeToString())
    return file


def node(kind: str, *inputs: str, out: str, **keys: Any) -> Any:
    return helper.make_node(kind, list(inputs), [out], **keys)


def encoder(folder: Path, rows: Any = "N", tensors: Any = None) -> Path:
    nodes = [node("Flatten", "x", out="f", axis=1), node("MatMul", "f", "w", out="z")]
    tensors = [numpy_helper.from_array(WEIGHTS, "w")] if tensors is None else tensors
    return written(folder / "enc.onnx", nodes, [rows, 1, 32, 32], [["z", rows, 16]], tensors)


def decoder(folder: Path, rows: Any = "N", latent: Any = (16,), more: Any = ()) -> Path:
    shapes = {"flat": [-1, 16], "image": [-1, 1, 32, 32]}
    tensors = [numpy_helper.from_array(np.array(one), name) for name, one in shapes.items()]
    tensors.append(numpy_helper.from_array(np.ascontiguousarray(WEIGHTS.T), "w"))
    nodes = [
        node("Reshape", "x", "flat", out="f"),
        node("MatMul", "f", "w", out="p"),
        node("Reshape", "p", "image", out="s"),
        node("Sigmoid", "s", out="y"),
        *more,
    ]
    shown = [["y", rows, 1, 32, 32], *(["extra", rows, 1, 32, 32] for _ in more)]
    return written(folder / "dec.onnx", nodes, [rows, *latent], shown, tensors)


def study(folder: Path, codec: dict[str, Any], **changes: Any) -> Path:
    data = {
        "seed": 3,
        "block_rows": 8,
        "source": {"kind": "dataset", "count": 8},
        "path": [AWGN],
        "receivers": {"mine": {"codec": {"kind": "onnx", **codec}}},
        "metrics": ["mse"],
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(data))
    return folder / "study.yaml"


BOTH = {"encoder": "./enc.onnx", "decoder": "./dec.onnx"}


@pytest.mark.parametrize("rows", ["N", 1])
@pytest.mark.parametrize("latent", [(16,), (1, 4, 4)])
def test_it_computes_what_the_files_say(rows: Any, latent: Any, tmp_path: Path) -> None:
    encoder(tmp_path, rows) if latent == (16,) else None
    decoder(tmp_path, rows, latent)
    keys = BOTH if latent == (16,) else {"decoder": "./dec.onnx"}
    source = {} if "encoder" in keys else {"source": {"kind": "prior", "count": 8}}
    codec = Scenario.load(study(tmp_path, keys, **source)).arms[0].receiver.codec
    latents = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    shown = codec.decode(latents)
    expected = torch.sigmoid(latents @ torch.from_numpy(WEIGHTS).T).view(-1, 1, 32, 32)
    assert torch.allclose(shown, expected, atol=1e-6)
    assert torch.equal(codec.decode(latents[[3]]), shown[[3]]), "a row's bits are its own"
    if "encoder" in keys:
        digits = channelsim.images("mnist5k", 3)
        found = codec.encode(digits)
        assert torch.allclose(found, digits.flatten(1) @ torch.from_numpy(WEIGHTS), atol=1e-5)
    again = pickle.loads(pickle.dumps(codec))
    assert torch.equal(again.decode(latents), shown)


def test_a_run_and_its_workers_and_the_hash_of_its_content(tmp_path: Path) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    file = study(tmp_path, BOTH)
    one = channelsim.run(file, out=tmp_path / "one")
    two = channelsim.run(file, out=tmp_path / "two", workers=1)
    assert one.frame()["mse_source"].tolist() == two.frame()["mse_source"].tolist()
    before = Scenario.load(file).hash
    encoder(tmp_path, tensors=[numpy_helper.from_array(WEIGHTS * 2, "w")])
    assert Scenario.load(file).hash != before


def test_a_decoder_alone_is_a_generator(tmp_path: Path) -> None:
    decoder(tmp_path)
    file = study(tmp_path, {"decoder": "./dec.onnx"}, source={"kind": "prior", "count": 8})
    run = channelsim.run(file, out=tmp_path / "run", set={"path": []})
    assert run.frame()["mse_source"].tolist() == [0.0] * 8
    with pytest.raises(InputError, match="has no encoder, but the source sends images"):
        Scenario.load(study(tmp_path, {"decoder": "./dec.onnx"}))


def test_who_follows_a_gradient_refuses_it(tmp_path: Path) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    with pytest.raises(InputError, match=r"decode is not differentiable .*mallory \(kind: pgd\)"):
        Scenario.load(study(tmp_path, BOTH, path=[PGD]))
    noise = {"kind": "noise", "budget": {"epsilon": 0.5}}
    assert Scenario.load(study(tmp_path, BOTH, path=[noise])).arms


def test_a_card_beside_the_decoder_states_its_power(tmp_path: Path) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    card = {"transmit_power": 0.5, "latent_mean": [0.0] * 16}
    (tmp_path / "dec.card.yaml").write_text(yaml.safe_dump(card))
    run = channelsim.run(study(tmp_path, BOTH), out=tmp_path / "run")
    assert run.header()["calibration"]["power"]["0"]["codec"] == 0.5
    (tmp_path / "dec.card.yaml").write_text(yaml.safe_dump(card | {"latent_mean": [0.0]}))
    with pytest.raises(InputError, match="latent_mean must be 16 numbers"):
        Scenario.load(study(tmp_path, BOTH))


def test_its_card_is_read_told_and_kept_as_that_of_a_module(tmp_path: Path) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    card = {"title": "Mine", "data": {"name": "mnist", "split": "test"}}
    (tmp_path / "dec.card.yaml").write_text(yaml.safe_dump(card))
    scenario = Scenario.load(study(tmp_path, BOTH))
    assert any("onnx was trained on images that are sent" in said for said in scenario.notices)
    kept = channelsim.run(scenario, out=tmp_path / "run").header()["parts"]["receiver mine"]["card"]
    assert card.items() <= kept.items()


def test_one_made_in_python_is_tried_as_well(tmp_path: Path) -> None:
    strange(tmp_path, "random")
    decoder(tmp_path)
    codec = channelsim.Onnx(encoder=tmp_path / "enc.onnx", decoder=tmp_path / "dec.onnx")
    given = yaml.safe_load(study(tmp_path, BOTH).read_text())
    with pytest.raises(InputError, match="encode answers differently when asked twice"):
        Scenario.load({**given, "receivers": {"mine": {"codec": codec}}})


def test_bits_are_promised_for_one_version_of_onnxruntime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    file = study(tmp_path, BOTH)
    run = channelsim.run(file, out=tmp_path / "run")
    assert replay(run.folder, 0).exact
    scenario = Scenario.load(file)
    paths = calibrate(scenario)
    began = header(scenario, paths.report)
    brief = Brief.of(scenario, began, paths)
    assert not changes_between(began, header(scenario, paths.report))
    monkeypatch.setattr(onnxruntime, "__version__", "99.1")
    assert replay(run.folder, 0).unlike == ("onnxruntime",)
    changed = changes_between(began, header(scenario, paths.report))  # asked by resume and merge
    assert changed.startswith("fingerprint.onnxruntime (")
    with pytest.raises(InputError, match=r"onnxruntime: 99\.1, not "):
        prepare(brief)


def test_other_codecs_know_no_onnxruntime(tmp_path: Path) -> None:
    linear = {"mine": {"codec": {"kind": "linear", "latent_size": 8}}}
    run = channelsim.run(study(tmp_path, {}, receivers=linear), out=tmp_path / "run")
    assert "onnxruntime" not in run.header()["fingerprint"]


# --- files of strangers -------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["beside.bin", "../{folder}/beside.bin", "{whole}/beside.bin"])
@pytest.mark.parametrize("where", ["initializer", "constant"])
def test_tensors_in_other_files_are_not_read(
    where: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # onnxruntime would look there
    WEIGHTS.tofile(tmp_path / "beside.bin")
    decoder(tmp_path)
    outside = onnx.TensorProto(
        name="w", data_type=FLOAT, dims=WEIGHTS.shape, data_location=onnx.TensorProto.EXTERNAL
    )
    entry = outside.external_data.add()
    entry.key = "location"
    entry.value = place.format(folder=tmp_path.name, whole=tmp_path)
    if where == "initializer":
        encoder(tmp_path, tensors=[outside])
    else:
        nodes = [
            helper.make_node("Constant", [], ["w"], value=outside),
            node("Flatten", "x", out="f", axis=1),
            node("MatMul", "f", "w", out="z"),
        ]
        written(tmp_path / "enc.onnx", nodes, ["N", 1, 32, 32], [["z", "N", 16]])
    with pytest.raises(InputError, match="it must be one file with all its tensors"):
        Scenario.load(study(tmp_path, BOTH))


def strange(folder: Path, kind: str) -> None:
    image = ["N", 1, 32, 32]
    flat = node("Flatten", "x", out="f", axis=1)
    if kind == "custom operator":
        one = node("Evil", "x", out="z", domain="my.ops")
        written(folder / "enc.onnx", [one], image, [["z", "N", 16]])
    elif kind == "garbage":
        (folder / "enc.onnx").write_bytes(b"\x08\x09garbage")
    elif kind == "empty":
        (folder / "enc.onnx").write_bytes(b"")
    elif kind == "random":
        draws = helper.make_node("RandomNormalLike", ["x"], ["r"])
        added = node("Add", "x", "r", out="a")
        written(folder / "enc.onnx", [draws, added, node("Flatten", "a", out="f2", axis=1),
            node("MatMul", "f2", "w", out="z")], image, [["z", "N", 16]],
            [numpy_helper.from_array(WEIGHTS, "w")])  # fmt: skip
    elif kind == "another size":
        written(folder / "enc.onnx", [flat], image, [["f", "N", 1024]])
    elif kind == "no fixed size":
        written(folder / "enc.onnx", [flat], ["N", 1, "H", 32], [["f", "N", "K"]])
    elif kind == "always four":
        encoder(folder, rows=4)
    elif kind == "two outputs":
        twin = node("Identity", "y", out="extra")
        decoder(folder, more=[twin])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("custom operator", "onnxruntime cannot load it (.*Evil"),
        ("garbage", "onnxruntime cannot load it"),
        ("empty", "onnxruntime cannot load it"),
        ("random", "onnx.encode answers differently when asked twice"),
        ("another size", "they do not belong together"),
        ("no fixed size", r"wanted is float32 \[N, …\] with fixed sizes but the first"),
        ("always four", "is always of 4 rows; export it with a first dimension that is free"),
        ("two outputs", "has the outputs y, extra; say which with image: NAME"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(
    kind: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    strange(tmp_path, kind)
    with pytest.raises(InputError, match=said.replace("it (", r"it \(")):
        Scenario.load(study(tmp_path, BOTH))
    assert capfd.readouterr() == ("", ""), "onnxruntime says nothing of its own"


def test_one_of_several_outputs_is_named(tmp_path: Path) -> None:
    encoder(tmp_path)
    decoder(tmp_path, more=[node("Identity", "y", out="extra")])
    assert Scenario.load(study(tmp_path, BOTH | {"image": "extra"})).arms
    with pytest.raises(InputError, match=r"has no output 'other' \(y, extra\)"):
        Scenario.load(study(tmp_path, BOTH | {"image": "other"}))


@pytest.mark.parametrize("key", ["encoder", "decoder"])
def test_a_missing_file_is_told(key: str, tmp_path: Path) -> None:
    encoder(tmp_path)
    decoder(tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        Scenario.load(study(tmp_path, BOTH | {key: "./none.onnx"}))
