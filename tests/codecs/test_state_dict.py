"""A user's weights are loaded into a user's module: all of them, from files that run nothing."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

import channelsim
from channelsim import InputError, Scenario
from channelsim.codecs import state_dict
from channelsim.scenario import user_code

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, size=16):
        super().__init__()
        self.down, self.up = nn.Linear(1024, size), nn.Linear(size, 1024)

    def encode(self, images):
        return torch.stack([self.down(one) for one in images.flatten(1)])

    def decode(self, latent):
        return torch.stack([self.up(one) for one in latent]).sigmoid().view(-1, 1, 32, 32)


class Picky(Net):
    def __init__(self, weights):
        super().__init__()
        assert weights == "imagenet"
        torch.manual_seed(0)
        nn.init.normal_(self.down.weight)
        nn.init.normal_(self.up.weight)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.bias)
"""


class Net(nn.Module):
    """The same network here."""

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(1024, size), nn.Linear(size, 1024)

    def encode(self, images: Tensor) -> Tensor:
        return torch.stack([self.down(one) for one in images.flatten(1)])

    def decode(self, latent: Tensor) -> Tensor:
        return torch.stack([self.up(one) for one in latent]).sigmoid().view(-1, 1, 32, 32)


def trained(seed: int = 0) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    shapes = {"down.weight": (16, 1024), "down.bias": (16,), "up.weight": (1024, 16)}
    shapes["up.bias"] = (1024,)
    return {name: torch.randn(shape, generator=draws) / 9 for name, shape in shapes.items()}


def study(folder: Path, **keys: Any) -> Path:
    (folder / "mine.py").write_text(CODE)
    data = {
        "seed": 1,
        "block_rows": 4,
        "source": {"kind": "dataset", "count": 4},
        "path": [{"kind": "awgn", "snr_db": 20}],
        "receivers": {"mine": {"codec": {"use": "./mine.py:Net", **keys}}},
        "metrics": ["mse"],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(data))
    return folder / "study.yaml"


def ways_to_save() -> dict[str, Callable[[Path], Path]]:
    def pt(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            torch.save(change(trained()), folder / "net.pt")
            return folder / "net.pt"

        return write

    def safetensors(folder: Path) -> Path:
        save_file(trained(), folder / "net.safetensors")
        return folder / "net.safetensors"

    return {
        "torch": pt(lambda state: state),
        "safetensors": safetensors,
        "checkpoint": pt(lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 1.0}}),
        "parallel": pt(lambda state: {f"module.{key}": one for key, one in state.items()}),
        "compiled": pt(lambda state: {f"_orig_mod.{key}": one for key, one in state.items()}),
        "both": pt(lambda state: {"model": {f"module._orig_mod.{k}": v for k, v in state.items()}}),
    }


class Bare(nn.Module):
    """A network without a constructor of its own: torch's takes any argument, and refuses all."""

    def decode(self, latent: Tensor) -> Tensor:
        return latent


def test_a_class_without_a_constructor_takes_no_argument() -> None:
    assert not user_code.takes(Bare, "weights")
    with pytest.raises(InputError, match=r"Bare has no argument blok .takes no arguments"):
        user_code.construct(Bare, {"blok": 3})


@pytest.mark.parametrize("way", ways_to_save())
def test_the_same_tensors_are_loaded_from_any_usual_file(way: str, tmp_path: Path) -> None:
    found = state_dict.read(ways_to_save()[way](tmp_path))
    net = Net()
    found.load_into(net, "Net")
    assert {key: one.tolist() for key, one in net.state_dict().items()} == {
        key: one.tolist() for key, one in trained().items()
    }
    undone = {"torch": 0, "safetensors": 0, "both": 3}.get(way, 1)
    assert len(found.notices) == undone


def test_a_scenario_names_class_and_weights(tmp_path: Path) -> None:
    ways_to_save()["checkpoint"](tmp_path)
    file = study(tmp_path, weights="./net.pt")
    run = channelsim.run(file, out=tmp_path / "run")
    scenario = Scenario.load(file)
    net = Net()
    net.load_state_dict(trained())
    codec = scenario.arms[0].receiver.codec
    digits = channelsim.images("mnist5k", 4)
    assert torch.equal(codec.encode(digits), net.encode(digits))
    assert any("took its state_dict, and not epoch, optimizer" in one for one in scenario.notices)
    assert run.header()["weights"] == {"mine": codec.card["sha256"]}
    assert "net.pt" in run.header()["parts"]["receiver mine"]["files"]

    workers = channelsim.run(file, out=tmp_path / "workers", workers=1)
    assert workers.frame()["mse_source"].tolist() == run.frame()["mse_source"].tolist()

    torch.save(trained(seed=1), tmp_path / "net.pt")
    assert Scenario.load(file).hash != scenario.hash, "other weights are another study"


def test_from_python_too(tmp_path: Path) -> None:
    file = ways_to_save()["torch"](tmp_path)
    digits = channelsim.images("mnist5k", 2)
    codec = channelsim.codec(Net(), digits, weights=file)
    net = Net()
    net.load_state_dict(trained())
    assert torch.equal(codec.encode(digits), net.encode(digits))
    with pytest.raises(InputError, match="weights: are for a torch module"):
        channelsim.codec("kld-vae", weights=file)


def test_a_class_with_an_argument_weights_gets_it(tmp_path: Path) -> None:
    file = study(tmp_path, weights="imagenet")
    file.write_text(file.read_text().replace("py:Net", "py:Picky"))
    assert Scenario.load(file).arms[0].receiver.codec.latent_size == 16


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"encoder.{key}": one for key, one in state.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed, "4 missing (down.weight, down.bias, up.weight, … 1 more); 4 unknown to it"),
        (lambda s: s | {"up.bias": torch.zeros(3)}, "1 of another shape (up.bias [3], not [1024])"),
        (lambda s: s | {"up.bias": torch.full((1024,), torch.nan)}, "1 with NaN or infinity"),
        (lambda s: s | {"up.bias": torch.zeros(1024).to_sparse()}, "1 sparse"),
        (lambda s: {"generator": s, "critic": s}, "holds generator, critic; wanted is one mapping"),
        (lambda s: {"state_dict": s, "model": s}, "holds state_dict, model; wanted is one"),
        (lambda _: [1, 2], "holds a list; wanted is one mapping"),
        (lambda _: {}, "holds nothing"),
        # A few bytes that claim to be an enormous tensor are not touched.
        (lambda s: s | {"up.bias": torch.zeros(1).expand(10**13)}, "1 of another shape"),
    ],
)
def test_what_does_not_fit_is_told_by_name_and_number(
    change: Any, said: str, tmp_path: Path
) -> None:
    torch.save(change(trained()), tmp_path / "net.pt")
    with pytest.raises(InputError, match=re.escape(said)) as error:
        Scenario.load(study(tmp_path, weights="./net.pt"))
    assert "study.yaml:" in error.value.message
    assert "weights" in error.value.message


@pytest.mark.parametrize("given", ["./none.pt", 3, "net", ".", ["a.pt"]])
def test_what_is_no_file_is_told(given: Any, tmp_path: Path) -> None:
    says = r"codec.weights: (/.*: there is no such file|must be a file)"
    with pytest.raises(InputError, match=says):
        Scenario.load(study(tmp_path, weights=given))


def test_a_misspelt_key_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"takes size; beside them weights\)\. Did you mean weights"
    ):
        Scenario.load(study(tmp_path, weigths="./net.pt"))


class Trap:
    """Whose unpickling leaves a trace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("how", ["object", "whole module", "old"])
def test_a_pickle_that_holds_more_runs_nothing(how: str, tmp_path: Path) -> None:
    file, trace = tmp_path / "net.pt", tmp_path / "trace"
    if how == "old":
        file.write_bytes(pickle.dumps(Trap(trace), protocol=2))
    else:
        torch.save(Trap(trace) if how == "object" else Net(), file)
    with pytest.raises(InputError) as error:
        state_dict.read(file)
    assert not trace.exists()
    assert 'torch.save(model.state_dict(), "net.pt")' in error.value.message
    if how == "whole module":
        assert "test_state_dict.Net" in error.value.message
    assert "\x1b" not in error.value.message


def rewritten(data: bytes, sort: int, records: dict[str, Callable[[bytes], bytes]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", sort) as new:
        for name in old.namelist():
            change = records.get(name.partition("/")[2], lambda one: one)
            new.writestr(name, change(old.read(name)))
    return made.getvalue()


def test_a_file_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    torch.save({"a": torch.arange(4.0)}, whole)
    data, file = whole.getvalue(), tmp_path / "net.pt"
    bomb = rewritten(data, zipfile.ZIP_DEFLATED, {"data/0": lambda _: bytes(10**7)})
    longer = rewritten(
        data,
        zipfile.ZIP_STORED,
        {"data.pkl": lambda one: one.replace(b"K\x04tq\x07Q", b"M\x00\x40tq\x07Q")},
    )
    for bytes_, said in (
        (bomb, "torch.save does not compress"),
        (longer, "damaged or cut off"),
        (data[: len(data) // 2], "damaged or cut off"),
        (b"PK\x03\x04", "damaged or cut off"),
        (b"", "not a complete safetensors file"),
    ):
        file.write_bytes(bytes_)
        with pytest.raises(InputError, match=said):
            state_dict.read(file)
