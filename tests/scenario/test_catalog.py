"""The user's own parts: admissions, refusals, and their messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from channelsim.scenario import Scenario, catalog
from channelsim.scenario.listing import listing as listed
from channelsim.support.errors import InputError

MINE = '''\
"""Codecs somebody wrote in an afternoon."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from channelsim.contracts.parts import Metric, Positive, Stage, part


class Window(nn.Module):
    """Sends the middle of the image as it is."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def encode(self, x):
        return x[:, 0, 12:20, 12:20].flatten(1) * self.scale

    def decode(self, z):
        return functional.pad(z.unflatten(1, (1, 8, 8)) / self.scale, (12, 12, 12, 12))


class Variational(Window):
    def encode(self, x):
        return super().encode(x), torch.full((len(x), 64), 0.1)


class Dropping(Window):
    """Random in training mode only, which is what torch starts with."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.ones(1))

    def encode(self, x):
        return self.drop(super().encode(x)) * self.weight


class Centring(Window):
    def encode(self, x):
        z = super().encode(x)
        return z - z.mean(dim=0)


class CentringBack(Window):
    def decode(self, z):
        return super().decode(z - z.mean(dim=0))


class BatchStatistics(Window):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(64, track_running_stats=False)

    def encode(self, x):
        return self.norm(super().encode(x))


class Broken(Window):
    def encode(self, x):
        return torch.log(super().encode(x) - 2)


class Double(Window):
    def encode(self, x):
        return super().encode(x).double()


class Sampling(Window):
    def encode(self, x):
        return super().encode(x) + torch.randn(len(x), 64)


class Detached(Window):
    def decode(self, z):
        return super().decode(z).detach()


class Small(Window):
    def decode(self, z):
        return super().decode(z)[:, :, 2:30, 2:30]


class Unflattened(Window):
    def encode(self, x):
        return x


class LogVariance(Window):
    def encode(self, x):
        z = super().encode(x)
        return z, z - 2


class Bright(Window):
    def decode(self, z):
        return 255 * super().decode(z)


class Stated(Window):
    latent_mean: ClassVar = [0.2] * 64

    def __init__(self, power=None):
        super().__init__()
        if power is not None:
            self.transmit_power = power


class Mute(nn.Module):
    def encode(self, x):
        return x.flatten(1)


class Failing(nn.Module):
    def __init__(self):
        raise RuntimeError("the weights are at home")


class Nothing:
    pass


@part
class Amplifier(Stage):
    kind: ClassVar[str] = "amplifier"
    columns: ClassVar[dict] = {"gain": "gain"}
    name: str = ""
    gain: Positive = 2.0

    def cross(self, signal, rows):
        return signal * rows["gain"][:, None]


class Unfinished(Stage):
    kind = "unfinished"


@part
class MAE(Metric):
    kind: ClassVar[str] = "mae"
    higher_is_better = False
    perfect = 0.0

    def measure(self, images, references):
        return (images - references).abs().mean(dim=(1, 2, 3))


@part
class Relative(Metric):
    kind: ClassVar[str] = "relative"
    higher_is_better = False

    def measure(self, images, references):
        error = (images - references).abs().mean(dim=(1, 2, 3))
        return error / error.max()
'''

BLACK = {"kind": "pgd", "goal": {"kind": "image", "target": "black"}, "budget": {"epsilon": 1}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    return tmp_path


def load(folder: Path, codec: Any = "linear", **changes: Any) -> Scenario:
    """A scenario file in ``folder`` with one receiver."""
    import yaml

    data = {
        "source": {"kind": "dataset", "count": 20},
        "path": [BLACK],
        "receivers": {"a": {"codec": codec}},
        "metrics": ["mse"],
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(data | changes), encoding="utf-8")
    return Scenario.load(file)


def refusal(folder: Path, codec: Any = "linear", **changes: Any) -> str:
    with pytest.raises(InputError) as error:
        load(folder, codec, **changes)
    (line,) = error.value.message.split("\n")
    return line


def use(name: str, **arguments: Any) -> dict[str, Any]:
    return {"use": f"./mine.py:{name}", **arguments}


# --- let in -------------------------------------------------------------------------------------


def test_a_torch_module_becomes_a_codec_and_the_user_is_told_that_code_runs(folder: Path) -> None:
    scenario = load(folder, use("Window", scale=2.0))
    assert scenario.notices == ("runs code from ./mine.py:Window",)
    codec = scenario.arms[0].receiver.codec
    assert (codec.image_shape, codec.latent_size) == ((1, 32, 32), 64)
    image = torch.rand(3, 1, 32, 32)
    assert torch.equal(codec.encode(image), 2 * image[:, 0, 12:20, 12:20].flatten(1))


def test_a_variational_module_and_one_with_dropout_are_fine(folder: Path) -> None:
    _, std = (
        load(folder, use("Variational")).arms[0].receiver.codec.posterior(torch.rand(2, 1, 32, 32))
    )
    assert std is not None
    network = load(folder, use("Dropping")).arms[0].receiver.codec.network
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_path_of_a_file_starts_at_the_scenario_wherever_one_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    scenario = load(folder, use("Window"))
    assert Scenario.load(scenario.resolved).hash == scenario.hash


def test_the_hash_follows_the_users_code(folder: Path) -> None:
    before = load(folder, use("Window")).hash
    (folder / "mine.py").write_text(MINE + "\n# a remark\n", encoding="utf-8")
    assert load(folder, use("Window")).hash != before
    assert load(folder, use("Window", scale=2.0)).hash != load(folder, use("Window")).hash


def test_arguments_of_a_users_class_can_be_swept(folder: Path) -> None:
    scenario = load(folder, use("Window"), sweep={"a.codec.scale": [1.0, 2.0]})
    scales = [arm.receiver.codec.module.scale for arm in scenario.arms]  # type: ignore[attr-defined]
    assert scales == [1.0, 2.0]


def test_stages_and_metrics_of_ones_own_are_named_by_their_kind(folder: Path) -> None:
    scenario = load(
        folder,
        path=[use("Amplifier"), BLACK],
        metrics=["mse", use("MAE")],
        sweep={"amplifier.gain": [1, 3]},
    )
    assert [arm.path[0].gain for arm in scenario.arms] == [1, 3]  # type: ignore[attr-defined]
    assert [metric.kind for metric in scenario.metrics] == ["mse", "mae"]
    assert Scenario.load(scenario.resolved).hash == scenario.hash


def test_parts_and_modules_may_be_given_from_python() -> None:
    from channelsim.channels import AWGN

    class Flat(nn.Module):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return z.unflatten(1, (1, 32, 32))

    scenario = Scenario.load(
        {
            "source": {"kind": "dataset", "count": 5},
            "path": [AWGN(snr_db=3.0)],
            "receivers": {"mine": {"codec": Flat()}},
        }
    )
    assert scenario.arms[0].receiver.codec.latent_size == 1024
    assert scenario.resolved["path"] == [{"kind": "awgn", "name": "", "snr_db": 3.0}]
    with pytest.raises(InputError, match="a module that was given from Python cannot be loaded"):
        Scenario.load(scenario.resolved)


def test_a_codec_that_paints_in_bytes_is_let_in_with_a_warning(folder: Path) -> None:
    warning = load(folder, use("Bright")).notices[1]
    assert warning.startswith(
        "Bright.decode returns values from 0 to 2.6e+02; images are in [0, 1]"
    )


def test_a_stated_power_far_from_that_of_ordinary_images_is_doubted(folder: Path) -> None:
    (code,) = load(folder, use("Window")).notices
    assert "runs code" in code
    *_, doubt = load(folder, use("Stated", power=30.0)).notices
    assert doubt.startswith("Stated states transmit_power 30, but that of the 8 images tried is 0.")
    assert "every SNR and PSR would be" in doubt
    usual = float(doubt.split("tried is ")[1].split(":")[0])
    assert len(load(folder, use("Stated", power=1.5 * usual)).notices) == 1


# --- turned away --------------------------------------------------------------------------------

REFUSED = [
    ("Centring", "Centring.encode couples rows: row 0 changes by"),
    ("CentringBack", "CentringBack.decode couples rows: row 0 changes by"),
    ("BatchStatistics", "BatchStatistics.encode couples rows: row 0 changes by"),
    ("Broken", "Broken.encode returned NaN or infinity for ordinary input"),
    ("Double", "Double.encode must return float32, returned float64; convert with .float()"),
    ("Sampling", "Sampling.encode answers differently when asked twice"),
    ("Small", "Small.decode must return shape [8, 1, 32, 32], returned shape [8, 1, 28, 28]"),
    ("Unflattened", "of your own (given float32 latents of shape [8, 1, 32, 32])"),
    ("LogVariance", "LogVariance.encode returned a negative standard deviation"),
    ("Stated", "Stated states one of transmit_power and latent_mean; state both"),
    ("Mute", "Mute has no method decode"),
    ("Failing", "Failing(…) raised RuntimeError: the weights are at home (line "),
    (
        "Nothing",
        "Nothing must be a torch module with encode and decode, or a channelsim.Cod",
    ),
    ("Windw", "mine.py has no class Windw (it has Window, Variational,"),
]


@pytest.mark.parametrize(("name", "said"), REFUSED)
def test_a_codec_that_a_run_cannot_stand_on_is_refused(folder: Path, name: str, said: str) -> None:
    assert said in refusal(folder, use(name))


def test_a_decoder_without_gradient_is_refused_only_where_one_is_followed(folder: Path) -> None:
    assert "Detached.decode is not differentiable" in refusal(folder, use("Detached"))
    noise = {"kind": "noise", "budget": {"epsilon": 1}}
    assert len(load(folder, use("Detached"), path=[noise]).arms) == 1


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ({"use": "./gone.py:X"}, "codec.use: no such file: "),
        (
            {"use": "./mine.py"},
            "codec.use: './mine.py' names no class; write \"./mine.py:MyClass\"",
        ),
        ({"use": 3}, 'codec.use: must be a text such as "./mine.py:MyCodec", was given 3'),
        ({"use": "./mine.py:functional"}, "codec.use: functional in mine.py is not a class"),
        (use("Window", kind="linear"), "codec.kind: kind and use exclude each other"),
        (
            use("Window", scael=2),
            "codec: Window has no argument scael (takes scale; beside them weig",
        ),
    ],
)
def test_a_wrong_use_is_explained(folder: Path, codec: Any, said: str) -> None:
    found = refusal(folder, codec)
    assert said in found
    assert found.startswith(f"{folder / 'study.yaml'}:")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1 +\n", "running bad.py raised SyntaxError: invalid syntax (line 1 of bad.py)"),
        ("\n\n{}['key']\n", "running bad.py raised KeyError: 'key' (line 3 of bad.py)"),
        ("import not_there_at_all\n", "raised ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)\n", "running bad.py raised SystemExit: 3 (line 1 of bad.py)"),
    ],
)
def test_code_that_fails_on_import_is_named_with_its_line(
    folder: Path, code: str, said: str
) -> None:
    (folder / "bad.py").write_text(code, encoding="utf-8")
    assert said in refusal(folder, {"use": "./bad.py:X"})


def test_other_parts_must_keep_their_contract_too(folder: Path) -> None:
    assert "Relative.measure couples rows" in refusal(folder, metrics=[use("Relative")])
    assert "Unfinished does not define cross" in refusal(folder, path=[use("Unfinished")])
    assert "must be more than 0, was given -1" in refusal(folder, path=[use("Amplifier", gain=-1)])
    assert "Window must be a channelsim.Stage" in refusal(folder, path=[use("Window")])


# --- the lists ----------------------------------------------------------------------------------


def test_the_listing_names_every_part_with_its_keys() -> None:
    listing = listed()
    assert set(listing) >= {"sources", "codecs", "channels", "adversaries", "metrics", "zoo"}
    for slot, table in catalog.TABLES.items():
        lines = [line for shelf in listing.values() for line in shelf]
        for kind in table:
            assert any(line.startswith(f"{kind} ") for line in lines), (slot, kind)
    attack = " ".join(" ".join(listing["adversaries"]).split())  # wherever the lines break
    assert "steps: 10" in attack
    assert "norm: linf (of linf, l2, psr_db, bits), epsilon: (required)" in attack
    # Shelves that are no list of kinds have keys, too.
    told = {shelf: " ".join(" ".join(lines).split()) for shelf, lines in listing.items()}
    assert "duplex: full (of full, half)" in told["link"]
    assert "fallback: mean (of mean, black, last)" in told["receivers"]
    assert "mode: average (of average, codeword)" in told["power"]


def test_the_schema_has_every_kind_and_lets_ones_own_in() -> None:
    described = catalog.schema()
    for slot, table in catalog.TABLES.items():
        kinds = [c["properties"]["kind"]["const"] for c in described[slot]["anyOf"][:-2]]
        assert kinds == list(table)
        assert described[slot]["anyOf"][-2]["required"] == ["use"]
