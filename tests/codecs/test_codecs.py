"""Codecs: known answers of the linear one, the folded network, and refusal of bad weights."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import nn

from channelsim import sources
from channelsim.codecs import CODECS, Linear, LuChen, Module, Trained, Zoo, trained, zoo_names
from channelsim.codecs.trained import Blueprint, card_path, save_weights
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.support.errors import InputError

ROWS = 64


def digits(count: int = ROWS) -> torch.Tensor:
    return sources.mnist5k("test").images[:count]


def lived_in(network: LuChen, seed: int = 0) -> LuChen:
    """A network whose batch norm statistics are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var") or ("norms" in name and name.endswith("weight")):
                value.uniform_(0.5, 2.0, generator=generator)
            elif "norms" in name and value.is_floating_point():
                value.normal_(0.0, 0.3, generator=generator)
    return network.eval()


def small(variational: bool = True) -> LuChen:
    torch.manual_seed(1)
    return lived_in(LuChen(latent_size=6, variational=variational))


# --- the linear codec ---------------------------------------------------------------------------


def test_the_linear_codec_inverts_itself_and_projects_images():
    codec = Linear(latent_size=12, gains=tuple(0.5 + 0.25 * i for i in range(12)))
    latent = torch.randn(ROWS, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(codec.encode(codec.decode(latent)), latent, atol=1e-5)
    once = codec.decode(codec.encode(digits()))
    twice = codec.decode(codec.encode(once))
    assert torch.allclose(once, twice, atol=1e-5)
    residual = (digits() - once).flatten(1)
    assert float((residual * once.flatten(1)).sum(1).abs().max()) < 1e-3  # orthogonal


def test_the_linear_codecs_singular_values_are_its_gains():
    gains = (3.0, 0.5, 2.0, 1.0, 0.1)
    codec = Linear(latent_size=5, gains=gains)
    jacobian = torch.autograd.functional.jacobian(codec.decode, torch.zeros(1, 5))
    values = torch.linalg.svdvals(jacobian.reshape(-1, 5))
    assert values.tolist() == pytest.approx(sorted(gains, reverse=True), abs=1e-5)


def test_the_first_cosine_is_the_mean_and_the_basis_follows_the_zigzag():
    codec = Linear(latent_size=6)
    image = torch.full((1, 1, 32, 32), 0.25)
    assert codec.encode(image)[0].tolist() == pytest.approx([8.0, 0, 0, 0, 0, 0], abs=1e-4)
    atoms = codec.decode(torch.eye(6))[:, 0]
    # (u, v): 0 0, then 0 1, 1 0, then 2 0, 1 1, 0 2; an image of u = 0 is constant down a column.
    constant_down = [float(atom.std(dim=0).max()) < 1e-6 for atom in atoms]
    constant_across = [float(atom.std(dim=1).max()) < 1e-6 for atom in atoms]
    assert constant_down == [True, True, False, False, False, True]
    assert constant_across == [True, False, True, True, False, False]


def test_a_full_linear_codec_is_exact_also_in_colour():
    codec = Linear(latent_size=3 * 8 * 4, image_shape=(3, 8, 4))
    images = torch.rand(5, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(codec.decode(codec.encode(images)), images, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"latent_size": 0}, "greater than or equal to 1"),
        ({"latent_size": 2000}, "more than the 1024 values"),
        ({"latent_size": 3, "gains": [1.0, 1.0]}, "gains has 2 numbers, but latent_size is 3"),
        ({"latent_size": 2, "gains": [1.0, -1.0]}, "greater than 0"),
        ({"latent_size": 2, "gains": [1.0, float("nan")]}, "finite number"),
    ],
)
def test_impossible_linear_codecs_are_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        Linear(**wrong)


# --- Lu & Chen's network ------------------------------------------------------------------------


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 16, 48)])
def test_the_folded_network_is_the_same_map(variational, shape):
    network = lived_in(LuChen(latent_size=7, variational=variational, image_shape=shape))
    folded = network.folded()
    images = torch.rand(9, *shape, generator=torch.Generator().manual_seed(2))
    latent = torch.randn(9, 7, generator=torch.Generator().manual_seed(3))
    plain, quick = network.encode(images), folded.encode(images)
    if variational:
        assert len(plain) == len(quick) == 2
        assert bool((plain[1] > 0).all())
    else:
        plain, quick = (plain,), (quick,)
    for one, other in zip(plain, quick, strict=True):
        assert one.shape == (9, 7)
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-5)
    assert network.decode(latent).shape == (9, *shape)
    assert torch.allclose(network.decode(latent), folded.decode(latent), atol=1e-5)
    assert not any(p.requires_grad for p in folded.parameters())
    assert not folded.training


def test_gradients_of_the_folded_decoder_are_those_of_the_network():
    network, latent = small(), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    grads = []
    for decode in (network.decode, network.folded().decode):
        z = latent.clone().requires_grad_()
        grads.append(torch.autograd.grad(decode(z).square().sum(), z)[0])
    assert torch.allclose(grads[0], grads[1], rtol=1e-4, atol=1e-5)
    assert float(grads[0].abs().max()) > 1e-3


def test_folding_leaves_the_training_network_as_it_was():
    network = small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.folded()
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_network_needs_sides_that_halve_four_times():
    with pytest.raises(ValueError, match="multiples of 16"):
        LuChen(latent_size=4, image_shape=(1, 28, 28))


class OwnNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def encode(self, images):
        return self.inner.encode(images)

    def decode(self, latent):
        return self.inner.decode(latent)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    blueprint = Blueprint("lu-chen", 6, True, (1, 32, 32))
    save_weights(path, small(), blueprint, {"transmit_power": 1.5, "epochs": 3})
    return path


@pytest.fixture(params=["linear", "trained", "module", *(f"zoo:{name}" for name in zoo_names())])
def codec(request, weights):
    if request.param.startswith("zoo:"):
        return Zoo(name=request.param.removeprefix("zoo:"))
    return {
        "linear": Linear(gains=tuple(0.5 + i / 10 for i in range(16))),
        "small-linear": Linear(latent_size=3),
        "trained": Trained(weights=weights),
        "module": Module(module=OwnNetwork(), latent_size=6),
    }[request.param]


def test_every_codec_answers_latents_and_images_of_the_promised_shape(codec):
    mean, std = codec.posterior(digits(5))
    assert mean.shape == (5, codec.latent_size)
    assert std is None or std.shape == mean.shape
    assert codec.decode(mean).shape == (5, *codec.image_shape)
    with pytest.raises(InputError, match="encode takes images of shape"):
        codec.encode(torch.zeros(5, 1, 28, 28))
    with pytest.raises(InputError, match="decode takes latents of shape"):
        codec.decode(torch.zeros(5, codec.latent_size + 1))


def test_every_codec_is_ready_for_inference(codec):
    assert not codec.network.training
    assert not any(p.requires_grad for p in codec.network.parameters())
    assert codec.network is codec.network


@pytest.mark.parametrize("rows", [16, ROWS])
def test_a_rows_result_never_depends_on_its_neighbours_or_its_place(codec, rows):
    """Bit for bit, alone and padded, and among shuffled others; a module of the user's own, with
    other kernels, up to rounding."""
    images = digits(rows)
    own = isinstance(codec, Module)

    def same(one, other):
        return torch.allclose(one, other, rtol=1e-5, atol=1e-5) if own else torch.equal(one, other)

    latent = codec.encode(images)
    weight = torch.rand(codec.image_shape, generator=torch.Generator().manual_seed(4))

    def gradient(z):
        z = z.clone().requires_grad_()
        return torch.autograd.grad((codec.decode(z) * weight).sum(), z)[0]

    decoded, slope = codec.decode(latent), gradient(latent)
    shuffled = torch.randperm(rows, generator=torch.Generator().manual_seed(5))
    assert same(codec.encode(images[shuffled]), latent[shuffled])
    assert same(codec.decode(latent[shuffled]), decoded[shuffled])
    assert same(gradient(latent[shuffled]), slope[shuffled])
    for row in (0, rows // 3, rows - 1):
        alone_image, alone_latent = torch.zeros_like(images), torch.zeros_like(latent)
        alone_image[3], alone_latent[3] = images[row], latent[row]
        assert same(codec.encode(alone_image)[3], latent[row])
        assert same(codec.decode(alone_latent)[3], decoded[row])
        assert same(gradient(alone_latent)[3], slope[row])


# --- a user's module ----------------------------------------------------------------------------


def test_a_module_is_put_into_eval_mode_and_stops_asking_for_gradients():
    module = OwnNetwork().train().requires_grad_(True)
    codec = Module(module=module, latent_size=6, origin="./mine.py:OwnNetwork")
    assert torch.equal(codec.decode(torch.zeros(2, 6)), codec.decode(torch.zeros(2, 6)))
    assert not module.training
    assert codec.card == {"origin": "./mine.py:OwnNetwork"}


def test_a_module_without_both_verbs_or_a_size_is_refused():
    with pytest.raises(ValidationError, match=r"Linear has no method encode and no method decode"):
        Module(module=nn.Linear(3, 3), latent_size=3)
    with pytest.raises(ValidationError, match="latent_size is missing"):
        Module(module=OwnNetwork())


# --- weights ------------------------------------------------------------------------------------


def test_saved_weights_come_back_with_card_and_fingerprint(weights):
    codec = Trained(weights=weights)
    network, images = small(), digits(4)
    assert torch.allclose(codec.encode(images), network.encode(images)[0], atol=1e-5)
    assert codec.card["transmit_power"] == 1.5
    assert codec.card["epochs"] == 3
    assert codec.card["sha256"] == yaml.safe_load(card_path(weights).read_text())["sha256"]
    assert len(codec.card["sha256"]) == 64


def test_a_card_may_be_missing_but_must_not_belong_to_other_weights(weights, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    assert Trained(weights=copy).card["transmit_power"] == 1.5
    card_path(copy).write_text("sha256: 0123456789abcdef\n")
    with pytest.raises(InputError, match=r"copy\.card\.yaml: belongs to other weights"):
        _ = Trained(weights=copy).card
    card_path(copy).write_text("- not a mapping\n")
    with pytest.raises(InputError, match="must be a mapping of facts, is list"):
        _ = Trained(weights=copy).card


def refuse(path: Path, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        _ = Trained(weights=path).network
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_weights_are_refused(weights, tmp_path):
    refuse(tmp_path / "nowhere.safetensors", "there is no such file")
    refuse(tmp_path, "there is no such file")
    whole = weights.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / f"cut{length}.safetensors").write_bytes(whole[:length])
        refuse(tmp_path / f"cut{length}.safetensors", "not a complete safetensors file")
    (tmp_path / "noise.safetensors").write_bytes(bytes(range(256)) * 40)
    refuse(tmp_path / "noise.safetensors", "not a complete safetensors file")


def test_a_pickle_is_refused_unopened_with_reason_and_remedy(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    for name, write in {
        "zip.safetensors": lambda f: torch.save({"w": Trap()}, f),
        "bare.pt": lambda f: f.write_bytes(pickle.dumps(Trap())),
        "old.pt": lambda f: torch.save(
            {"w": torch.zeros(2)}, f, _use_new_zipfile_serialization=False
        ),
    }.items():
        write(tmp_path / name)
        refuse(tmp_path / name, r"is a pickle .*runs whatever code.*safetensors\.torch\.save_file")
    assert not (tmp_path / "sprung").exists()


def rewritten(weights: Path, tmp_path: Path, change, metadata=None) -> Path:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    with safe_open(weights, framework="pt") as opened:
        header = json.loads(opened.metadata()["channelsim"])
    change(tensors)
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, metadata={"channelsim": json.dumps({**header, **(metadata or {})})})
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("to_latent.bias"), r"to_latent\.bias is missing"),
        (lambda t: t.update(extra=torch.zeros(3)), "extra is unknown"),
        (
            lambda t: t.update({"to_latent.bias": torch.zeros(5)}),
            r"to_latent\.bias has shape \[5\], not \[12\]",
        ),
        (lambda t: t["from_latent.weight"][0].fill_(float("nan")), "holds NaN or infinity"),
        (lambda t: t.clear(), "is missing; and"),
    ],
)
def test_tensors_that_do_not_fit_the_header_are_refused(weights, tmp_path, change, says):
    refuse(rewritten(weights, tmp_path, change), says)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"format": "something"}, "the header says format 'something'"),
        ({"architecture": "lu-chin"}, r"unknown architecture 'lu-chin'.*Did you mean lu-chen\?"),
        ({"latent_size": "many"}, "damaged header"),
        ({"latent_size": -3}, "damaged header"),
        ({"latent_size": 7}, "do not fit what the header says"),
        ({"image_shape": [1, 30, 30]}, "damaged header"),
        ({"image_shape": [32, 32]}, "damaged header"),
        ({"card": 1}, "damaged header"),
    ],
)
def test_a_wrong_header_is_refused(weights, tmp_path, metadata, says):
    refuse(rewritten(weights, tmp_path, lambda t: None, metadata), says)


def test_an_unknown_zoo_codec_lists_the_known_ones(monkeypatch, weights):
    monkeypatch.setattr(trained, "ZOO_FOLDER", weights.parent)
    assert zoo_names() == ["small"]
    assert Zoo(name="small").latent_size == 6
    with pytest.raises(ValidationError, match=r"known: small.*Did you mean small\?"):
        Zoo(name="smal")
    with pytest.raises(InputError, match=r"codec 'smal' is not in the zoo \(known: small\)"):
        trained.zoo_file("smal")


def test_a_scenario_may_name_these_kinds():
    assert {kind: cls.kind for kind, cls in CODECS.items()} == {k: k for k in CODECS}
    assert set(CODECS) == {"linear", "onnx", "trained", "zoo"}


# --- the power of a module of one's own -----------------------------------------------------------


class Halves(nn.Module):
    """The upper half of an image, and back; counts the images that it encodes."""

    def __init__(self, **stated: Any) -> None:
        super().__init__()
        self.encoded = 0
        for name, value in stated.items():
            setattr(self, name, value)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.encoded += len(images)
        return images[:, 0, :16].flatten(1) - 0.1

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.cat([latent + 0.1, latent + 0.1], dim=1).view(-1, 1, 32, 32)


def calibrated(**stated: Any) -> tuple[float, int]:
    """The power of such a module, and how many images were encoded to know it."""
    module = Halves(**stated)
    codec = Module(module=module, latent_size=512)
    scenario = Scenario.load(
        {"source": {"kind": "dataset", "count": 4}, "metrics": ["mse"], "path": [],
         "receivers": {"mine": {"codec": codec}}}
    )  # fmt: skip
    assert not codec.tells_decoded  # which a few images tell
    module.encoded = 0
    path = calibrate(scenario).paths[0]
    return path.transmitter.codec_power, module.encoded


def test_a_module_names_how_many_images_calibrate_its_power_or_states_it() -> None:
    whole, seen = calibrated()
    assert seen == 4000
    some, few = calibrated(calibration_images=600)
    assert few == 600
    assert some != whole
    assert some == pytest.approx(whole, rel=0.06)  # the classes are mixed, whatever their order
    assert calibrated(transmit_power=0.25, latent_mean=[0.0] * 512) == (0.25, 0)
    assert calibrated(calibration_images=10_000) == (whole, 4000)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"transmit_power": 1.0}, "states one of transmit_power and latent_mean; state both"),
        ({"transmit_power": 0.0, "latent_mean": [0.0] * 512}, "must be a number above 0, not 0.0"),
        ({"transmit_power": 1.0, "latent_mean": [0.0]}, "must be 512 numbers"),
        ({"transmit_power": "much", "latent_mean": [0.0] * 512}, "above 0, not 'much'"),
        ({"transmit_power": 1.0, "latent_mean": [float("nan")] * 512}, "must be 512 numbers"),
        ({"transmit_power": 1.0, "latent_mean": 0.0}, "must be 512 numbers"),
        ({"calibration_images": 0}, "must be a whole number above 0, not 0"),
        ({"calibration_images": True}, "must be a whole number above 0, not True"),
    ],
)
def test_what_a_module_states_amiss_is_said(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Module(module=Halves(**stated), latent_size=512)


def test_onnx_without_onnxruntime_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    (tmp_path / "dec.onnx").write_bytes(b"")
    codec = {"kind": "onnx", "decoder": str(tmp_path / "dec.onnx")}
    with pytest.raises(InputError, match=re.escape("pip install 'channelsim[onnx]'")):
        Scenario.load({"receivers": {"mine": {"codec": codec}}, "metrics": ["mse"]})
